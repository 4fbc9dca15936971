// Frames as y-websocket sends them: three Yjs clients edit a text, a notebook's cells and maps, see each other now and
// then, undo, and merge what they did offline. A line of hexadecimal for each frame, "-" between two sessions.
//
// Usage: node seeds.mjs <sessions> <seed>

import * as encoding from 'lib0/encoding'
import * as sync from 'y-protocols/sync'
import * as Y from 'yjs'

const [sessions, seed] = process.argv.slice(2).map(Number)
let state = seed >>> 0 || 1
const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
const below = n => Math.floor(random() * n)
const pick = list => list[below(list.length)]
const WORDS = ['a', 'b', 'hello ', 'wörld', '😂', '👩‍👩‍👧', '\n', 'x = 1\n', '漢字', 'a longer piece of text, pasted ']

const frame = (kind, payload) => {
  const encoder = encoding.createEncoder()
  encoding.writeVarUint(encoder, 0)
  encoding.writeVarUint(encoder, kind)
  encoding.writeVarUint8Array(encoder, payload)
  return Buffer.from(encoding.toUint8Array(encoder)).toString('hex')
}

const value = () => pick([1, -7, 2.5, 1e300, null, true, 'text', [1, [2, 'x']], { k: { z: [] } }, 2 ** 40])

const edits = [
  ({ text }) => text.insert(below(text.length + 1), pick(WORDS)),
  ({ text }) => text.insert(below(text.length + 1), pick(WORDS)),
  ({ text }) => { if (text.length) { const at = below(text.length); text.delete(at, 1 + below(text.length - at)) } },
  ({ text }) => { const at = text.toString().search(/[^\x00-\x7F]/); if (at >= 0) text.delete(at, 1) },
  ({ text }) => { if (text.length) text.format(0, 1 + below(text.length), { bold: random() < 0.5 || null }) },
  ({ cells }) => {
    const cell = new Y.Map([['source', new Y.Text('x')], ['metadata', new Y.Map()], ['outputs', new Y.Array()]])
    cells.insert(below(cells.length + 1), [cell])
  },
  ({ cells }) => { if (cells.length) cells.delete(below(cells.length), 1) },
  ({ cells }) => { if (cells.length) cells.get(below(cells.length)).get('source').insert(0, pick(WORDS)) },
  ({ cells }) => { if (cells.length) cells.get(below(cells.length)).get('outputs').push([value(), value()]) },
  ({ cells }) => { if (cells.length) cells.get(below(cells.length)).set('execution_count', below(9)) },
  ({ map }) => map.set(pick(['a', 'b', 'nbformat']), value()),
  ({ map }) => map.delete('a'),
  ({ undo }) => undo.undo(), ({ undo }) => undo.undo(), ({ undo }) => undo.redo(),
  ({ cells }) => { if (cells.length) { const at = below(cells.length); const c = cells.get(at).clone(); cells.delete(at, 1); cells.insert(below(cells.length + 1), [c]) } },
  ({ cells }) => { if (cells.length) { const s = cells.get(below(cells.length)).get('source'); if (s.length) s.delete(below(s.length), 1) } },
  ({ cells }) => { if (cells.length) { const o = cells.get(below(cells.length)).get('outputs'); o.delete(0, o.length) } },
  ({ cells }) => { if (cells.length) cells.get(below(cells.length)).get('source').insert(0, 'é😂') },
  ({ undo }) => undo.redo()
]

for (let session = 0; session < sessions; session++) {
  const people = [1, 2, 3].map(number => {
    const doc = new Y.Doc()
    doc.clientID = random() < 0.5 ? number : below(2 ** 32)
    const text = doc.getText('source')
    const person = { doc, text, cells: doc.getArray('cells'), map: doc.getMap('state'), made: [] }
    person.undo = new Y.UndoManager(random() < 0.5 ? [text, person.cells, person.map] : [person.cells], { captureTimeout: random() < 0.5 ? 0 : 500 })
    doc.on('update', (update, origin) => { if (origin !== 'other') person.made.push(update) })
    return person
  })
  const sent = []
  for (let step = 0; step < 20 + below(60); step++) {
    const person = pick(people)
    const before = person.made.length
    for (let many = below(4); many >= 0; many--) try { pick(edits)(person) } catch { break } // undo raises at times
    const made = person.made.slice(before)
    if (!made.length) continue
    const update = made.length > 1 && random() < 0.5 ? [Y.mergeUpdates(made)] : made
    for (const one of update) sent.push(frame(2, one))
    for (const other of people) if (other !== person) { (other.late ??= []).push(...made); if (random() < 0.6) { for (const one of other.late) Y.applyUpdate(other.doc, one, 'other'); other.late = [] } }
  }
  const last = people[0].doc
  sent.push(frame(1, Y.encodeStateAsUpdate(last)), frame(0, Y.encodeStateVector(last)))
  console.log(sent.join('\n') + '\n-')
}
