"""What a room leaves behind: its lineage, its snapshot and the updates since, kept by a Store.

A Store is told of every change on the event loop, at once and without waiting, and makes it durable later;
`flush` is the one place where a caller learns that this has happened, or that it could not. `MemoryStore`
here keeps rooms for tests and throw-away servers; `SQLiteStore` (sqlite.py) keeps them on disk.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pycrdt import Doc
from traitlets.config import LoggingConfigurable

from .protocol import ProtocolError
from .updates import guarded, unmet, whole_state

__all__ = ["Checkpoint", "Mark", "MemoryStore", "Past", "Store", "StoreError", "StoredRoom", "Version"]


class StoreError(Exception):
    """Say that something could not be stored, or could not be read.

    `rooms` names the rooms concerned; it is empty where the trouble is the whole store's.
    """

    def __init__(self, reason: str, rooms: frozenset[str] = frozenset()) -> None:
        super().__init__(reason)
        self.rooms = rooms


@dataclass(frozen=True)
class Mark:
    """State that a room's file was equal to its document after one update.

    `seq` is the number of the last update that the file holds; `hash` is the contents manager's hash of the
    file, or "" where it is not known yet (an intended save).
    """

    seq: int
    hash: str


@dataclass(frozen=True)
class StoredRoom:
    """Hold what a store knows of one room.

    - `lineage`: the identity of this history, a uuid4 in hex;
    - `genesis`: the client id of the document's first build; 0 where it was never built from a file;
    - `snapshot`: a CRDT update (version 1), the document's state after update number `seq`;
    - `log`: the updates after the snapshot with their numbers, ascending and without gaps;
    - `intended`: a save that was about to be written; after a crash it may or may not have reached the disk;
    - `saved`: the last save that is known to be on disk.
    """

    lineage: str
    genesis: int
    snapshot: bytes
    seq: int
    log: tuple[tuple[int, bytes], ...]
    intended: Mark | None
    saved: Mark | None

    @property
    def last(self) -> int:
        """Return the number of the last update that is stored."""
        return self.log[-1][0] if self.log else self.seq

    def document(self, until: int | None = None) -> Doc[Any]:
        """Return a document that holds what is stored, up to the update number `until`.

        Raises StoreError where that makes none: a disk may change bytes, which not every store notices.
        """
        doc: Doc[Any] = Doc()
        try:
            for update in self._updates(until):
                guarded(doc.apply_update, update)
        except ProtocolError as error:
            raise StoreError(f"what is stored is damaged: {error.reason}") from None
        return doc

    def state(self, until: int) -> bytes:
        """Return the state after the update number `until` as one update, with what had to wait then.

        May run in any thread.
        """
        return whole_state(self.document(until), self._updates(until))

    def waiting(self, doc: Doc[Any]) -> bytes:
        """Return what `doc`, which was made by `document`, could not take in yet, as one update."""
        return unmet(doc.get_state(), self._updates())

    def _updates(self, until: int | None = None) -> list[bytes]:
        return [self.snapshot, *(update for number, update in self.log if until is None or number <= until)]


class Version(NamedTuple):
    """Say of one version of a document how it came from the one before: by whom, and when.

    `seq` is the number of the last update in it; the changes were made from `begun` to `ended`, in seconds since
    the epoch, by `authors`: usernames, where "" is the server itself.
    """

    seq: int
    begun: float
    ended: float
    authors: tuple[str, ...]


class Checkpoint(NamedTuple):
    """Hold what a version adds to the one before it, as a compressed update; the oldest one holds everything."""

    version: Version
    data: bytes


class Past(NamedTuple):
    """Hold all that a store knows of a room's history: `checkpoints`, oldest first; then `stored`.

    `made` says of each update in the log of `stored` who made it and when, in seconds since the epoch.
    """

    stored: StoredRoom
    made: tuple[tuple[str, float], ...]
    checkpoints: tuple[Checkpoint, ...]


class Store(Protocol):
    """Keep rooms. All methods are called from the thread of one event loop.

    The methods that are not coroutines neither wait nor raise: they queue, in order. To append, compact and
    mark, a room must have been loaded or created; on any other room they do nothing.
    """

    @property
    def trouble(self) -> str | None:
        """Say in a sentence what is not being stored, and why; None while everything is."""

    @property
    def damage(self) -> str | None:
        """Say in a sentence what happened to what was stored earlier, if it was lost or set aside; else None."""

    @property
    def partial(self) -> Mapping[str, str]:
        """Return the rooms whose newest changes were refused, each with the reason.

        They are whole again after a `compact` with their present state, or a `create` or `forget`.
        """

    async def load(self, room: str) -> StoredRoom | None:
        """Return what is stored of a room, with everything queued before the call; None if nothing is.

        Raises StoreError where the store cannot be read or the room is `partial`: what is stored must not be
        taken for the whole.
        """

    async def past(self, room: str) -> Past | None:
        """Return a room's history, with everything queued before the call; None if nothing is stored of it.

        Only to look at: the room need not be in use here, and does not become so. Raises StoreError as `load` does.
        """

    def create(self, room: str, stored: StoredRoom) -> None:
        """Begin a room's history with `stored`, in place of whatever stood under that name."""

    def append(self, room: str, seq: int, update: bytes, author: str) -> None:
        """Add update number `seq`, one more than the last, to a room's log."""

    def compact(self, room: str, seq: int, snapshot: bytes, checkpoints: Sequence[Checkpoint] | None = None) -> None:
        """Replace a room's snapshot by its state after update `seq`, and drop the log up to there.

        `checkpoints` take the place of those that are stored; None leaves them. A snapshot older than the stored
        one is ignored, and what comes with it.
        """

    def mark(self, room: str, *, intended: Mark | None = None, saved: Mark | None = None) -> None:
        """Note a save that is about to be written, or one that was; None leaves a mark as it is."""

    def release(self, room: str, spare: bool) -> None:
        """Take note that nobody uses a room until it is loaded again.

        `spare` says that all it holds is elsewhere too: a store that has a limit may drop it from then on.
        """

    def forget(self, room: str) -> None:
        """Delete everything that is stored of a room."""

    async def flush(self) -> None:
        """Return when everything queued before the call is durable; raise StoreError while it is not."""

    async def close(self) -> None:
        """Flush, then release the store, even where that raises StoreError. A second call does nothing.

        Whatever is asked of a closed store is ignored, or raises StoreError where it can.
        """


@dataclass
class _Room:
    """Hold one room of a MemoryStore: a StoredRoom whose parts can be replaced."""

    lineage: str
    genesis: int
    snapshot: bytes
    seq: int
    log: list[tuple[int, bytes]]
    made: list[tuple[str, float]]
    checkpoints: tuple[Checkpoint, ...]
    intended: Mark | None
    saved: Mark | None


class MemoryStore(LoggingConfigurable):
    """Keep rooms in memory, for tests and for servers that may forget everything when they stop."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._rooms: dict[str, _Room] = {}
        self._closed = False

    @property
    def trouble(self) -> str | None:
        """Return None: memory has no trouble that a process survives."""
        return None

    @property
    def damage(self) -> str | None:
        """Return None: memory is not damaged."""
        return None

    @property
    def partial(self) -> Mapping[str, str]:
        """Return nothing: memory refuses no change."""
        return {}

    async def load(self, room: str) -> StoredRoom | None:
        """Return what is stored of a room; None if nothing is. Raises StoreError on a closed store."""
        self._require_open()
        kept = self._rooms.get(room)
        if kept is None:
            return None
        return StoredRoom(
            lineage=kept.lineage,
            genesis=kept.genesis,
            snapshot=kept.snapshot,
            seq=kept.seq,
            log=tuple(kept.log),
            intended=kept.intended,
            saved=kept.saved,
        )

    async def past(self, room: str) -> Past | None:
        """Return a room's history; None if nothing is stored of it. Raises StoreError on a closed store."""
        stored = await self.load(room)
        if stored is None:
            return None
        kept = self._rooms[room]
        return Past(stored, tuple(kept.made), kept.checkpoints)

    def create(self, room: str, stored: StoredRoom) -> None:
        """Begin a room's history with `stored`, in place of whatever stood under that name."""
        if not self._closed:
            self._rooms[room] = _Room(
                lineage=stored.lineage,
                genesis=stored.genesis,
                snapshot=stored.snapshot,
                seq=stored.seq,
                log=list(stored.log),
                made=[("", time.time())] * len(stored.log),
                checkpoints=(),
                intended=stored.intended,
                saved=stored.saved,
            )

    def append(self, room: str, seq: int, update: bytes, author: str) -> None:
        """Add update number `seq` to a room's log."""
        kept = self._rooms.get(room)
        if kept is not None:
            kept.log.append((seq, update))
            kept.made.append((author, time.time()))

    def compact(self, room: str, seq: int, snapshot: bytes, checkpoints: Sequence[Checkpoint] | None = None) -> None:
        """Replace a room's snapshot by its state after update `seq`, and drop the log up to there."""
        kept = self._rooms.get(room)
        if kept is not None and seq >= kept.seq:
            kept.seq, kept.snapshot = seq, snapshot
            folded = sum(number <= seq for number, _ in kept.log)
            del kept.log[:folded], kept.made[:folded]
            kept.checkpoints = kept.checkpoints if checkpoints is None else tuple(checkpoints)

    def mark(self, room: str, *, intended: Mark | None = None, saved: Mark | None = None) -> None:
        """Note a save that is about to be written, or one that was; None leaves a mark as it is."""
        kept = self._rooms.get(room)
        if kept is not None:
            kept.intended = intended or kept.intended
            kept.saved = saved or kept.saved

    def release(self, room: str, spare: bool) -> None:
        """Have nothing to do: there is no limit."""

    def forget(self, room: str) -> None:
        """Delete everything that is stored of a room."""
        self._rooms.pop(room, None)

    async def flush(self) -> None:
        """Return: memory is as durable as it gets. Raises StoreError on a closed store."""
        self._require_open()

    async def close(self) -> None:
        """Let go of every room."""
        self._closed = True
        self._rooms.clear()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
