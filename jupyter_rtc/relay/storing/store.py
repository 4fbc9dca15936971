"""What a room leaves behind: its lineage, its snapshot and the updates since, kept by a Store; and durable records.

A Store is told of every change on the event loop, at once and without waiting, and makes it durable later;
`flush` is the one place where a caller learns that this has happened, or that it could not. `MemoryStore`
(memory_store.py) keeps rooms for tests and throw-away servers; `SQLiteStore` (sqlite.py) keeps them on disk.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from pycrdt import Doc

from ...wire import NO_CHANGE, BadEntryError, Read, proved, restored, unmet, whole_state

__all__ = [
    "Begun",
    "Checkpoint",
    "DamagedError",
    "Mark",
    "Past",
    "Record",
    "Store",
    "StoreError",
    "StoredRoom",
    "Version",
    "in_part",
]


class StoreError(Exception):
    """Say that something could not be stored, or could not be read.

    `rooms` names the rooms concerned; it is empty where the trouble is the whole store's.
    """

    def __init__(self, reason: str, rooms: frozenset[str] = frozenset()) -> None:
        super().__init__(reason)
        self.rooms = rooms


class DamagedError(StoreError):
    """Say that parts of what is stored of a room are not what was stored.

    `stored` is the room with them; `seqs` are their numbers, that of the snapshot among them if it is damaged.
    """

    def __init__(self, stored: StoredRoom, seqs: frozenset[int]) -> None:
        super().__init__(f"{len(seqs)} of the {len(stored.log) + 1} parts of what is stored are damaged")
        self.stored = stored
        self.seqs = seqs


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
    - `log`: the updates after the snapshot with their numbers, ascending, without gaps;
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

        Raises DamagedError where that makes none, with all from there on where it fails: a disk may change bytes, which
        not every store notices, and what follows may fit no more.
        """
        try:
            return restored(self._entries(until))
        except BadEntryError as bad:
            seqs = frozenset(number for number, _ in self._entries() if number >= bad.number)
            raise DamagedError(self, seqs) from None

    def state(self, until: int) -> bytes:
        """Return the state after the update number `until` as one update, with what had to wait then.

        May run in any thread.
        """
        return whole_state(self.document(until), self.updates(until))

    def proved(self, until: int | None = None, read: Read | None = None) -> tuple[Doc[Any], bytes]:
        """Return the document after the update number `until`, and its state as one update, which was read back.

        Raises UnfaithfulError where the two are not the same, and DamagedError as `document` does.
        """
        return proved(lambda: self.document(until), self.updates(until), read)

    def waiting(self, doc: Doc[Any]) -> bytes:
        """Return what `doc`, which was made by `document`, could not take in yet, as one update."""
        return unmet(doc.get_state(), self.updates())

    def without(self, seqs: Collection[int]) -> StoredRoom:
        """Return the room with empty updates in the place of those with these numbers, its snapshot among them."""
        snapshot = NO_CHANGE if self.seq in seqs else self.snapshot
        return replace(
            self, snapshot=snapshot, log=tuple((n, NO_CHANGE if n in seqs else data) for n, data in self.log)
        )

    def misses(self, seqs: Collection[int]) -> bool:
        """Say whether a file cannot be told from the document any more without the updates of these numbers.

        It cannot where a save mark speaks of them. Those that came after the saves are missed as if a crash had
        come before they were stored: whoever made them still may bring them.
        """
        marked = [mark.seq for mark in (self.intended, self.saved) if mark]
        return bool(marked) and min(seqs) <= max(self.seq, *marked)

    def _entries(self, until: int | None = None) -> list[tuple[int, bytes]]:
        log = [entry for entry in self.log if until is None or entry[0] <= until]
        return [(self.seq, self.snapshot), *log]

    def updates(self, until: int | None = None) -> list[bytes]:
        """Return the snapshot and the updates after it, up to number `until`."""
        return [update for _, update in self._entries(until)]


class Version(NamedTuple):
    """Say of one version of a document how it came from the one before: by whom, and when.

    `seq` is the number of the last update in it; the changes were made from `begun` to `ended`, in seconds since
    the epoch, by `authors`: usernames, where "" is the server itself. `sealed` says that it was ended on purpose:
    before something was merged into the document, or brought back, that may have taken something away.
    """

    seq: int
    begun: float
    ended: float
    authors: tuple[str, ...]
    sealed: bool = False


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


class Begun(NamedTuple):
    """Say of a room whose name a client made up, `name`, who began it, and how many bytes are stored of it.

    `user` is a username; empty where it is not known.
    """

    name: str
    user: str
    size: int


class Record(NamedTuple):
    """Hold one durable record: a value with an id, of some kind; `time` is when it was put, in seconds since the epoch.

    `kept` says that it must not be dropped to make place for others.
    """

    id: str
    value: bytes
    kept: bool
    time: float


TAKEN = "another server has taken it over"
"""Why nothing more is stored of a room that another server with the same store has begun, or loaded, since."""


def in_part(partial: Mapping[str, str]) -> str:
    """Say in a sentence which rooms are stored only in part, and why."""
    room, reason = next(iter(partial.items()))
    return f"{len(partial)} room(s) are stored only in part, such as {room}: {reason}"


class Store(Protocol):
    """Keep rooms, and durable records beside them. All methods are called from the thread of one event loop.

    The methods that are not coroutines neither wait nor raise: they queue, in order. To append, compact and
    mark, a room must have been loaded or created; on any other room they do nothing.
    """

    @property
    def trouble(self) -> str | None:
        """Say in a sentence why nothing can be stored; None while it can."""

    @property
    def damage(self) -> str | None:
        """Say in a sentence what happened to what was stored earlier, if it was lost or set aside; else None."""

    @property
    def partial(self) -> Mapping[str, str]:
        """Return the rooms whose newest changes were refused, each with the reason.

        They are whole again after a `compact` with their present state, or a `create` or `forget`; but not those that
        are TAKEN, which another server keeps: once they were released here they can be loaded again.
        """

    async def load(self, room: str) -> StoredRoom | None:
        """Return what is stored of a room, with everything queued before the call; None if nothing is.

        Raises StoreError where the store cannot be read or the room is `partial`: what is stored must not be
        taken for the whole. Raises DamagedError where it is not what was stored; `set_aside` ends that.
        """

    async def past(self, room: str) -> Past | None:
        """Return a room's history, with everything queued before the call; None if nothing is stored of it.

        Only to look at: the room need not be in use here, and does not become so. Raises StoreError as `load` does.
        """

    async def begun(self) -> Sequence[Begun]:
        """Return the rooms whose names clients made up, with everything queued before the call.

        Raises StoreError where the store cannot be read.
        """

    def create(self, room: str, stored: StoredRoom, begun_by: str | None = None) -> None:
        """Begin a room's history with `stored`, in place of what was loaded, or created here, under that name.

        Where another server has begun or loaded the room since, its record stays, and here the room is TAKEN.
        `begun_by` is the user who made the name up; None where the server did.
        """

    def append(self, room: str, seq: int, update: bytes, author: str) -> None:
        """Add update number `seq`, one more than the last, to a room's log."""

    def compact(self, room: str, seq: int, snapshot: bytes, checkpoints: Sequence[Checkpoint] | None = None) -> None:
        """Replace a room's snapshot by its state after update `seq`, and drop the log up to there.

        `checkpoints` take the place of those that are stored; None leaves them. A snapshot older than the stored
        one is ignored, and what comes with it.
        """

    def mark(self, room: str, *, intended: Mark | None = None, saved: Mark | None = None) -> None:
        """Note a save that is about to be written, or one that was; None leaves a mark as it is."""

    async def outrun(self, room: str, seq: int) -> None:
        """Take note, without what cannot be written, that a file is about to hold a room's state after update `seq`.

        Raises StoreError where that is impossible too.
        """

    async def is_outrun(self, room: str, stored: StoredRoom) -> bool:
        """Say whether a room's file may hold more than what is stored of it, which therefore is no base of it."""

    def set_aside(self, room: str, seqs: Collection[int] | None) -> None:
        """Take the updates of these numbers out of a room's record, or all of the record, and keep them beside it.

        Empty ones take their places, and that of the snapshot if its number is among them. A room that is set aside
        whole is as one that was forgotten. How much is kept beside the rooms, and how, is the store's affair.
        """

    def release(self, room: str, spare: bool) -> None:
        """Take note that nobody uses a room until it is loaded again.

        `spare` says that all it holds is elsewhere too: a store that has a limit may drop it from then on.
        """

    def forget(self, room: str) -> None:
        """Delete everything that is stored of a room."""

    async def records(self, kind: str) -> Sequence[Record]:
        """Return the durable records of a kind that this server has, with everything queued before the call.

        They are in the order in which they were first put. A record is that of the server which put it; of servers
        that have ended, the first one that asks has them. Raises StoreError where the store cannot be read.
        """

    def put_record(self, kind: str, record: Record) -> None:
        """Put a durable record, in place of the one of this kind with its id. `Records` keeps them within bounds."""

    def remove_record(self, kind: str, id: str) -> None:
        """Remove a durable record, if this server has it."""

    async def flush(self) -> None:
        """Return when everything queued before the call is durable; raise StoreError while it is not."""

    async def close(self) -> None:
        """Flush, then release the store, even where that raises StoreError. A second call does nothing.

        Whatever is asked of a closed store is ignored, or raises StoreError where it can.
        """
