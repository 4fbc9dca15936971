// One person's page: a text in a room, through y-websocket's own provider. Takes orders from the standard input,
// a line of JSON each, and says on the standard output, in the same way, what the page shows after each change.
//
// Usage: node y_websocket.mjs <url of rooms> <room> <token>

import { createInterface } from 'node:readline'
import WebSocket from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

const [url, room, token] = process.argv.slice(2)
const doc = new Y.Doc()
const text = doc.getText('source')
const provider = new WebsocketProvider(url, room, doc, {
  params: { token },
  WebSocketPolyfill: WebSocket,
  disableBc: true // only the server connects this page to the others
})

const show = () => {
  const others = [...provider.awareness.getStates()].filter(([client]) => client !== doc.clientID)
  console.log(JSON.stringify({
    text: text.toString(),
    others: others.map(([, state]) => state),
    online: provider.synced
  }))
}

const orders = {
  append: words => text.insert(text.length, words),
  prepend: words => text.insert(0, words),
  splice: ([at, length, words]) => doc.transact(() => {
    if (length) text.delete(at, length)
    if (words) text.insert(at, words)
  }),
  show: state => provider.awareness.setLocalState(state)
}

text.observe(show)
provider.awareness.on('change', show)
provider.on('sync', show)
createInterface({ input: process.stdin })
  .on('line', line => { for (const [name, value] of Object.entries(JSON.parse(line))) orders[name](value) })
  .on('close', () => { provider.destroy(); process.exit() })
show()
