"""Documents with another history than the room's: what one says of itself, and what it holds that the room's lacks.

Pure. Everything here may run in any thread; documents come and go as bytes, for none may leave the thread it was made
in. See docs/topics/lineage.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pycrdt
from pycrdt import Array, Map, Text

from ...wire import covers, decode_state_vector, delete_misplaced, document_of, refuse_misplaced, salvaged, whole_state
from ..formats.content import Content, Original, rendered, value_of
from ..formats.update import NO_CHANGE
from .conflicts import Note, merged, records, write
from .likeness import holds, may_share_an_edit
from .merge import outside

Doc: TypeAlias = "pycrdt.Doc[Any]"

_RECORD = "merged "
_TAKEN = "taken"
_MOST_TAKEN = 8
_NONSENSE = (ValueError, TypeError, OverflowError, RecursionError)
"""What comes of reading JSON that makes no sense here: not text, not pairs, an infinite number, a million brackets."""
_LINEAGE = re.compile(r"[0-9a-f]{32}")


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
    refuse_misplaced(doc, content.lists)
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


def lacking(content: Content, original: Original, updates: Sequence[bytes], live: bytes) -> Original | None:
    """Return the file that a document of these updates makes; None if the document `live` holds all of it.

    The document is only read, and never written: that it cannot be may be why it is not gone on with.
    """
    doc = salvaged(updates)
    delete_misplaced(doc, content.lists)
    left, now = rendered(content, doc, original), rendered(content, document_of([live]), original)
    return None if left is now or holds(now.value, left.value) else left


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
    except _NONSENSE:  # a client wrote it
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

    `base` is `live` without this edit; `brought` has all of it, too.
    """
    old, mine = (value_of(content, document_of([state])) for state in (base, live))
    return may_share_an_edit(old, mine, brought.original.value)


def _clocks(text: object) -> dict[int, int]:
    """Return the clocks of a record; none where a client wrote what is none."""
    try:
        return {int(client): int(clock) for client, clock in json.loads(str(text))}
    except _NONSENSE:
        return {}


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
