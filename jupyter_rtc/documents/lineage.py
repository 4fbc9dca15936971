"""Documents with another history than the room's: what one says of itself, and what it holds that the room's lacks.

Pure. Everything here may run in any thread; documents come and go as bytes, for none may leave the thread it was made
in. See docs/topics/lineage.md.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import pycrdt
from pycrdt import Array, Map, Text

from ..relay import covers, decode_state_vector, document_of, whole_state
from .align import match
from .conflicts import Note, merged, records, regions, write
from .content import Content, Original, Value, rendered, value_of
from .diff import hunks, lines_of, text_hunks
from .ipynb import Notebook
from .merge import outside
from .update import NO_CHANGE

Doc: TypeAlias = "pycrdt.Doc[Any]"

_RECORD = "merged "
_TAKEN = "taken"
_MOST_TAKEN = 8
_LINEAGE = re.compile(r"[0-9a-f]{32}")
_WORD = re.compile(r"\w+")
_WORD_OR_SIGN = re.compile(r"\w+|[^\w\s]")
_MOST_PAIRS = 1_000_000


@dataclass(frozen=True)
class Brought:
    """A document with another history, as a peer brought it.

    Attributes:
        state: all of it, as one update.
        clocks: how much of each client is in it.
        empty: whether nobody can have typed anything into it.
        original: the file that it would make.
        hashes: those of the file when it was last equal to it, and of the save that was under way, as it says itself.
        lineage: that of its history, likewise; empty where it does not say.
        genesis: the client that began its history, likewise; 0 where it does not say, or cannot be right.
    """

    state: bytes
    clocks: Mapping[int, int]
    empty: bool
    original: Original
    hashes: tuple[str, ...]
    lineage: str
    genesis: int


@dataclass(frozen=True)
class Weighed:
    """What a document with another history holds that the one of the room lacks.

    Attributes:
        update: the edits that were made in it, for the document of the room, with a record of them; None where it is
            not known what they began from.
        fork: a state of the room's history with the content of the other document, where there is one.
        contained: whether the room's document holds all of it already.
    """

    update: bytes | None
    fork: bytes | None
    contained: bool


def examine(content: Content, original: Original, updates: Sequence[bytes]) -> Brought:
    """Read what a peer brought; `original` is the file as it is, for the style of what is made of it.

    Raises ProtocolError where it cannot be read.
    """
    doc = document_of(updates)
    state: Map[Any] = doc.get("state", type=Map)
    clocks = decode_state_vector(doc.get_state())
    said = [state.get(key) for key in ("hash", "saving", "lineage", "genesis")]
    hash, saving, lineage, genesis = (value if isinstance(value, str) else "" for value in said)
    number = int(genesis) if genesis.isascii() and genesis.isdigit() and len(genesis) < 20 else 0
    return Brought(
        state=whole_state(doc, updates),
        clocks=clocks,
        empty=_is_empty(content.kind, doc),
        original=rendered(content, doc, original),
        hashes=(saving, hash),
        lineage=lineage if _LINEAGE.fullmatch(lineage) else "",
        genesis=number if number in clocks else 0,
    )


def weigh(content: Content, brought: Brought, base: bytes | None, live: bytes, note: Note) -> Weighed:
    """Find out what a document holds that `live`, the whole state of the room's, lacks.

    `base` is a state of the room's history with the content from which the edits in `brought` began; None where that
    is not known. `note` says of conflicts when they were found, and whose document it is.
    """
    now = rendered(content, document_of([live]), brought.original)
    same = now is brought.original
    if base is None:
        return Weighed(None, live if same else None, same or holds(now.value, brought.original.value))
    edits, conflicts = merged(base, content, brought.original, live)
    if edits == NO_CHANGE and not conflicts:
        return Weighed(NO_CHANGE, base, contained=True)
    if same:
        base, edits = live, NO_CHANGE
    fork = document_of([base, edits])
    written = [_record(fork, brought), write(fork, records(conflicts, note))]
    return Weighed(pycrdt.merge_updates(edits, *written), fork.get_update(), same)


def reconcile(content: Content, original: Original, live: bytes, *, edited: bool) -> bytes | None:
    """Return what a file adds to the document `live`, where nobody knows what both began from, as an update.

    That is so if the document was not `edited`, for then they began from it; or if one of the two holds all that the
    other does. Else None.
    """
    if not edited:
        return outside(live, content, original)
    now = rendered(content, document_of([live]), original)
    if holds(now.value, original.value):
        return NO_CHANGE
    return outside(live, content, original) if holds(original.value, now.value) else None


def recorded(doc: Doc, clocks: Mapping[int, int]) -> bool | None:
    """Say whether the edits of a document were merged into `doc`, all of them; None where none of its history was.

    `clocks` says how much of each client is in that document.
    """
    state: Map[Any] = doc.get("state", type=Map)
    found = None
    for key in list(state.keys()):
        if key.startswith(_RECORD):
            merged = _clocks(state[key])
            if merged.keys() & clocks.keys():
                found = bool(found) or all(merged.get(client, 0) >= clock for client, clock in clocks.items())
    return found


def note_taken(doc: Doc, edit: bytes, hash: str) -> bytes:
    """Write down in a document that `edit`, which it holds, was taken from a file that nobody here had written.

    `hash` is that of the file. The note is returned as an update; there is none of an edit that puts nothing in.
    """
    before = doc.get_state()
    if clocks := decode_state_vector(pycrdt.get_state(edit)):
        notes = [[old, sorted(known.items())] for old, known in taken(doc)]
        notes = [*notes, [hash, sorted(clocks.items())]][-_MOST_TAKEN:]
        doc.get("state", type=Map)[_TAKEN] = json.dumps(notes, separators=(",", ":"))
    return doc.get_update(before)


def taken(doc: Doc) -> list[tuple[str, dict[int, int]]]:
    """Return the edits in `doc` that were so taken: the hash of the file, and how much of which client the edit is."""
    state: Map[Any] = doc.get("state", type=Map)
    try:
        notes = [(str(hash), _clocks(json.dumps(pairs))) for hash, pairs in json.loads(str(state.get(_TAKEN, "[]")))]
    except (ValueError, TypeError):  # a client wrote it
        return []
    return [(hash, clocks) for hash, clocks in notes if clocks]


def made_elsewhere(doc: Doc, brought: Brought) -> bool:
    """Say whether a document holds by itself what `doc` took from a file for somebody else's edit.

    It says that it was equal to this file, and does not know the edit. So the file was saved from here, in a part of
    the history that the store has lost, and the document still has that part.
    """
    return any(hash in brought.hashes and not covers(brought.clocks, clocks) for hash, clocks in taken(doc))


def may_double(content: Content, base: bytes, live: bytes, brought: Brought) -> bool:
    """Say whether what was typed into a document may be in `live` already as somebody else's edit.

    `base` is `live` without this edit; `brought` has all of it, too. It may be where both changed the same place, and
    one wrote what the other did, or wrote on at it.
    """
    old, mine = (value_of(content, document_of([state])) for state in (base, live))
    return any(_are_alike(*texts) for texts in _met(old, mine, brought.original.value))


def _met(base: Value, mine: Value, theirs: Value) -> Iterator[tuple[str, str, str]]:
    """Yield what stood at each place that both sides changed, and what each made of it."""
    if isinstance(base, Notebook) and isinstance(mine, Notebook) and isinstance(theirs, Notebook):
        (ours, fresh), (others, more) = (_paired(base.cells, side.cells) for side in (mine, theirs))
        for at in sorted(ours.keys() & others.keys()):
            yield from _met(*map(_labelled, (base.cells[at], ours[at], others[at])))
        pairs = zip(match(fresh, more), more, strict=True)
        yield from (("", _labelled(fresh[place]), _labelled(cell)) for place, cell in pairs if place is not None)
    elif isinstance(base, str):
        texts = lines_of(base), lines_of(mine), lines_of(theirs)
        for places in regions(hunks(texts[0], texts[1]), hunks(texts[0], texts[2])):
            was, now, new = ("".join(lines[place]) for lines, place in zip(texts, places, strict=True))
            yield was, now, new
    elif base not in (mine, theirs):
        yield "", str(mine), str(mine)  # nobody can tell


def _paired(
    old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]
) -> tuple[dict[int, dict[str, Any]], list[dict[str, Any]]]:
    """Return what became of old cells, by their index, and the cells that are new."""
    found = list(zip(match(old, new), new, strict=True))
    return {at: cell for at, cell in found if at is not None}, [cell for at, cell in found if at is None]


def _text(cell: dict[str, Any]) -> str:
    """Return what a cell says and shows."""
    return f"{cell.get('source')}\n{json.dumps(cell.get('outputs', []), indent=0)}\n"


def _labelled(cell: dict[str, Any]) -> str:
    """Return what a cell says and shows, with its id."""
    return f"{_text(cell)}{cell.get('id')}\n"


def _are_alike(base: str, mine: str, theirs: str) -> bool:
    """Say whether two texts that took the place of a third may be one in two stages."""
    old, *sides = (Counter(_WORD.findall(text)) for text in (base, mine, theirs))
    ours, others = (side - old for side in sides)
    pairs = product(ours, others) if len(ours) * len(others) < _MOST_PAIRS else [("", "")]
    return mine == theirs or any(one.startswith(two) or two.startswith(one) for one, two in pairs)


def _clocks(text: object) -> dict[int, int]:
    """Return the clocks of a record; none where a client wrote what is none."""
    try:
        return {int(client): int(clock) for client, clock in json.loads(str(text))}
    except (ValueError, TypeError):
        return {}


def is_later(saved: Value, stored: Value, file: Value) -> bool:
    """Say whether a file was written from what was `stored`, or from later on; and not from what was `saved` before.

    Who wrote it from there has seen what was typed since then: most of these words still stand at their places.
    """
    typed, _ = _changes(saved, stored)
    _, gone = _changes(stored, file)
    _, deleted = _changes(saved, file)
    return 2 * (gone - deleted).total() < typed.total()


def _changes(old: Value, new: Value) -> tuple[Counter[str], Counter[str]]:
    """Return the words and signs that were put into a document, and those that were taken out, each where it stood.

    A word that was written on, at its place, was not taken out.
    """
    put, taken = Counter[str](), Counter[str]()
    for before, after in _pairs(old, new):
        for start, stop, begin, end in text_hunks(before, after):
            was, now = (Counter(_WORD_OR_SIGN.findall(text)) for text in (before[start:stop], after[begin:end]))
            known = sorted(now)
            put += now - was
            taken += Counter({word: count for word, count in (was - now).items() if not _begins(word, known)})
    return put, taken


def _pairs(old: Value, new: Value) -> Iterator[tuple[str, str]]:
    """Yield the texts of a document as they were, and what became of each."""
    if isinstance(old, Notebook) and isinstance(new, Notebook):
        known, fresh = _paired(old.cells, new.cells)
        yield from ((_text(cell), _text(known[at]) if at in known else "") for at, cell in enumerate(old.cells))
        yield from (("", _text(cell)) for cell in fresh)
    else:
        yield str(old), str(new)


def _begins(word: str, known: Sequence[str]) -> bool:
    """Say whether one of the words, which are `known` in ascending order, begins with this one."""
    at = bisect_left(known, word)
    return at < len(known) and known[at].startswith(word)


def holds(value: Value, other: Value) -> bool:
    """Say whether one document holds everything that another one does, line by line; what it cannot tell, it denies."""
    if isinstance(value, str) and isinstance(other, str):
        return all(hunk.start == hunk.stop for hunk in hunks(other.splitlines(), value.splitlines()))
    if not (isinstance(value, Notebook) and isinstance(other, Notebook)):
        return bool(value == other)
    cells, others = list(value.cells), list(other.cells)
    pairs = zip(match(cells, others), others, strict=True)
    return value.meta == other.meta and all(
        _is_blank(cell) if at is None else _cell_holds(cells[at], cell) for at, cell in pairs
    )


def _cell_holds(cell: dict[str, Any], other: dict[str, Any]) -> bool:
    plain = {key: item for key, item in other.items() if key not in ("id", "source", "execution_count")}
    if not plain.get("outputs", True):
        del plain["outputs"]
    same = all(key in cell and cell[key] == item for key, item in plain.items())
    return same and holds(str(cell.get("source", "")), str(other.get("source", "")))


def _is_blank(cell: dict[str, Any]) -> bool:
    return not (str(cell.get("source", "")).strip() or cell.get("outputs") or cell.get("attachments"))


def _is_empty(kind: str, doc: Doc) -> bool:
    if kind == "notebook":
        return len(doc.get("cells", type=Array)) == 0
    return kind == "file" and len(doc.get("source", type=Text)) == 0


def _record(fork: Doc, brought: Brought) -> bytes:
    """Write down in a document that all the edits of another one are in it; return that as an update.

    It stands in one update with the edits: wherever they are, it is, too, whenever the server is killed.
    """
    key = f"{_RECORD}{brought.genesis or min(brought.clocks)}"
    before = fork.get_state()
    fork.get("state", type=Map)[key] = json.dumps(sorted(brought.clocks.items()), separators=(",", ":"))
    return fork.get_update(before)
