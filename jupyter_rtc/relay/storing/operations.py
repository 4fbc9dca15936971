"""What a SQLiteStore does to its rooms, as values that can be queued, and their meaning in tables (schema.py).

What it does to durable records is in rows.py.

Nothing here opens, commits or closes anything; database.py does.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from .ledger import IDENTITY, NEVER, Identity, Ledger, Refusal
from .rows import PutRecord, RecordOperation, Rows, newest
from .schema import (
    checksum,
    delete_room,
    has_newer,
    identity_sum,
    keep_beside,
    keep_damaged_past,
    made_by,
    put_snapshot,
    take_out,
)
from .servers import Servers
from .store import TAKEN, Checkpoint, Mark, StoredRoom

__all__ = [
    "GONE",
    "Append",
    "Claim",
    "Compact",
    "Create",
    "Forget",
    "Operation",
    "Release",
    "SetAside",
    "SetMarks",
    "Transaction",
    "memory",
    "room_of",
    "squash",
]

GONE = "its record is gone from the database"
"""Why a room is refused whose record somebody else removed."""

_FORGOTTEN = NEVER + 1
_OVERHEAD = 256  # bytes that a queued operation takes besides its blobs, roughly


class Append(NamedTuple):
    """Add an update to a room's log; `time` is in seconds since the epoch."""

    room: str
    seq: int
    update: bytes
    author: str
    time: float


class Create(NamedTuple):
    """Begin a room, in place of what this writer has under its name; `begun_by` is the user who made that up.

    The room stays as it is where it is another writer's. Where `refused` says why its content is not here, nothing is
    stored of it until its first snapshot comes.
    """

    room: str
    stored: StoredRoom
    begun_by: str | None = None
    refused: str = ""


class Compact(NamedTuple):
    """Replace a room's snapshot, and its checkpoints if there are any here, and drop the log that it holds."""

    room: str
    seq: int
    snapshot: bytes
    checkpoints: Sequence[Checkpoint] | None = None


class SetMarks(NamedTuple):
    """Change a room's save marks; None leaves one as it is."""

    room: str
    intended: Mark | None
    saved: Mark | None


class Forget(NamedTuple):
    """Delete a room."""

    room: str


class SetAside(NamedTuple):
    """Take updates out of a room, or all of it (None), and keep them beside the rooms."""

    room: str
    seqs: Collection[int] | None


class Claim(NamedTuple):
    """Become the writer of a room that is not in use here yet; who wrote to it before is refused from now on."""

    room: str


class Release(NamedTuple):
    """Use a room no longer; one that is `spare`, for what it holds is elsewhere too, may be dropped from then on."""

    room: str
    spare: bool


RoomOperation: TypeAlias = Append | Create | Compact | SetMarks | Forget | SetAside | Claim | Release

Operation: TypeAlias = RoomOperation | RecordOperation


def room_of(operation: Operation) -> str | None:
    """Return the room that an operation is about; None for one about records."""
    return None if isinstance(operation, RecordOperation) else operation.room


def memory(operation: Operation) -> int:
    """Return about how many bytes an operation takes while it is queued."""
    match operation:
        case Append():
            return _OVERHEAD + len(operation.update)
        case Compact():
            kept = sum(_OVERHEAD + len(checkpoint.data) for checkpoint in operation.checkpoints or ())
            return _OVERHEAD + len(operation.snapshot) + kept
        case Create():
            stored = operation.stored
            return _OVERHEAD + len(stored.snapshot) + sum(_OVERHEAD + len(update) for _, update in stored.log)
        case PutRecord():
            return _OVERHEAD + len(operation.record.value)
    return _OVERHEAD


def squash(operations: Sequence[Operation]) -> list[Operation]:
    """Leave out the operations that a later one makes needless, so that a long queue takes little memory."""
    rooms = _squash([operation for operation in operations if not isinstance(operation, RecordOperation)])
    return [*rooms, *newest(operation for operation in operations if isinstance(operation, RecordOperation))]


def _squash(operations: Sequence[RoomOperation]) -> list[RoomOperation]:
    kept: list[RoomOperation] = []
    covered: dict[str, int] = {}  # room -> the updates up to this number are in a snapshot further on
    for operation in reversed(_without_needless_claims(operations)):
        room, reach = operation.room, covered.get(operation.room, -1)
        if isinstance(operation, (Append, Compact)) and operation.seq <= reach:
            continue
        if isinstance(operation, (Create, SetMarks)) and reach >= NEVER:
            continue
        if isinstance(operation, Forget) and reach == _FORGOTTEN:
            continue
        if isinstance(operation, (Release, SetAside)):
            covered.pop(room, None)  # what comes after the one may be ignored, what came before the other is kept
        elif isinstance(operation, Compact):
            covered[room] = operation.seq
        elif isinstance(operation, Create):  # what it is to replace may be another writer's, unless it was deleted
            covered[room] = NEVER
        elif isinstance(operation, Forget):
            covered[room] = _FORGOTTEN
        kept.append(operation)
    kept.reverse()
    return kept


def _without_needless_claims(operations: Sequence[RoomOperation]) -> list[RoomOperation]:
    """Leave out the claims of rooms that are in use since they were created: without the latter, they would claim."""
    kept, created = [], set()
    for operation in operations:
        room = operation.room
        if isinstance(operation, Claim) and room in created:
            continue
        if isinstance(operation, Create):
            created.add(room)
        elif isinstance(operation, (Forget, Release, SetAside)):
            created.discard(room)
        kept.append(operation)
    return kept


class Transaction:
    """Carry out operations on a connection that has begun a transaction, and note the outcome in `ledger`.

    A room belongs to the `writer` who created it, or claimed it last, in whichever process: two of them would give
    different updates the same number. What anybody else writes to it is refused, as is what would leave a gap.

    Attributes:
        aside: the rooms of which something was set aside.
        rows: the durable records.
        caught_up: the rooms whose records know of a save, each with the number of its last update.
    """

    def __init__(self, connection: sqlite3.Connection, writer: str, ledger: Ledger, servers: Servers) -> None:
        self.aside: list[str] = []
        self.caught_up: dict[str, int] = {}
        self.rows = Rows(connection, writer, ledger, servers)
        self._connection = connection
        self._writer = writer
        self._ledger = ledger

    def carry_out(self, operations: Sequence[Operation]) -> None:
        """Carry out operations in order; doing so twice does no harm. Raises what the sqlite3 module raises."""
        for kind, group in groupby(operations, type):
            if kind is Append:
                rows = self._log_rows([operation for operation in group if isinstance(operation, Append)])
                self._connection.executemany("INSERT OR REPLACE INTO log VALUES (?, ?, ?, ?, ?, ?)", rows)
            else:
                for operation in group:
                    if isinstance(operation, RecordOperation):
                        self.rows.carry_out(operation)
                    else:
                        self._carry_out_one(operation)

    def _log_rows(self, appends: Sequence[Append]) -> Iterator[tuple[int, int, float, str, bytes, int]]:
        numbers: dict[str, int | None] = {}
        for room, seq, update, author, when in appends:
            if numbers.get(room) is None:
                numbers[room] = self._writable(room, seq)
            number = numbers[room]
            if number is not None:
                yield number, seq, when, author, update, checksum(number, seq, update)

    def _carry_out_one(self, operation: RoomOperation) -> None:
        match operation:
            case Create():
                self._create(operation)
            case Compact():
                self._compact(operation)
            case SetMarks():
                self._set_marks(operation)
            case Forget():
                self._forget(operation.room)
            case SetAside():
                self._set_aside(*operation)
            case Claim():
                self._claim(operation.room)
            case Release():
                self._release(operation)

    def _writable(self, room: str, seq: int) -> int | None:
        """Return the id of a room that may be written; else None, and note that `seq` was refused."""
        if room not in self._ledger.in_use:
            return None
        refusal = self._ledger.refusals.get(room)
        found = None if refusal else self._find(room)
        if found and found[1] == self._writer:
            return found[0]
        if found:
            self._ledger.refuse(room, NEVER, TAKEN)
        else:
            self._ledger.refuse(room, seq, refusal.reason if refusal else GONE)
        return None

    def _find(self, room: str) -> tuple[int, str] | None:
        """Return the id and the writer of a room."""
        row: tuple[int, str] | None = self._connection.execute(
            "SELECT id, writer FROM rooms WHERE name = ?", (room,)
        ).fetchone()
        return row

    def _claim(self, room: str) -> None:
        if room in self._ledger.in_use:
            return
        self._connection.execute("UPDATE rooms SET writer = ?, released = NULL WHERE name = ?", (self._writer, room))
        select = f"SELECT id, sum, begun_by, {IDENTITY} FROM rooms WHERE name = ?"  # noqa: S608
        if row := self._connection.execute(select, (room,)).fetchone():
            number, sum, begun_by, *columns = row
            identity = self._ledger.in_use[room] = Identity.read(columns, begun_by)
            if columns != identity.columns() or (sum is not None and sum != identity_sum(room, identity)):
                self._distrust(room, number, identity)

    def _distrust(self, room: str, number: int, identity: Identity) -> None:
        """Go on without the marks of a room whose identity was damaged: its owner then knows that it lost its base."""
        self.aside.append(room)
        keep_beside(self._connection, room, number, ())
        # A genesis of 0 would let any history in; with one that nobody has, all are heard.
        self._ledger.in_use[room] = identity._replace(genesis=identity.genesis or 1, intended=None, saved=None)
        self._put_identity(room, number)

    def _put_identity(self, room: str, number: int) -> None:
        identity = self._ledger.in_use[room]
        self._connection.execute(
            f"UPDATE rooms SET ({IDENTITY}, sum) = (?, ?, ?, ?, ?, ?, ?) WHERE id = ?",  # noqa: S608
            (*identity.columns(), identity_sum(room, identity), number),
        )

    def _release(self, operation: Release) -> None:
        room = operation.room
        whole = room in self._ledger.in_use and room not in self._ledger.refusals
        self._ledger.in_use.pop(room, None)
        self._ledger.refusals.pop(room, None)
        if operation.spare and whole:
            now = time.time()
            self._connection.execute(
                "UPDATE rooms SET released = ? WHERE name = ? AND writer = ?", (now, room, self._writer)
            )

    def _create(self, operation: Create) -> None:
        room, stored, begun_by, refused = operation
        identity = Identity(stored.lineage, stored.genesis, stored.intended, stored.saved, begun_by)
        found = self._find(room)
        if found and found[1] != self._writer:  # who looked before found no record, or one that was its own still
            self._ledger.in_use[room] = identity
            self._ledger.refusals[room] = Refusal(NEVER, TAKEN)
            return
        self._forget(room)
        if refused:
            self._ledger.in_use[room] = identity
            self._ledger.refuse(room, stored.last, refused)
            return
        number = self._begin(room, identity)
        put_snapshot(self._connection, number, stored.seq, stored.snapshot)
        now = time.time()
        rows = ((number, seq, now, "", update, checksum(number, seq, update)) for seq, update in stored.log)
        self._connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", rows)
        self.caught_up[room] = NEVER

    def _begin(self, room: str, identity: Identity) -> int:
        self._ledger.in_use[room] = identity
        cursor = self._connection.execute(
            f"INSERT INTO rooms (name, writer, begun_by, {IDENTITY}, sum)"  # noqa: S608
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (room, self._writer, identity.begun_by, *identity.columns(), identity_sum(room, identity)),
        )
        return cursor.lastrowid or 0

    def _compact(self, operation: Compact) -> None:
        room, seq, snapshot, checkpoints = operation
        identity, refusal = self._ledger.in_use.get(room), self._ledger.refusals.get(room)
        if identity is None or (refusal and seq < refusal.seq):
            return
        found = self._find(room)
        if found and found[1] != self._writer:
            self._ledger.refuse(room, NEVER, TAKEN)
            return
        self._ledger.refusals.pop(room, None)
        number = found[0] if found else self._begin(room, identity)
        execute = self._connection.execute
        if found and refusal:  # its marks were refused, too; and what is under its name may come from another time
            self._put_identity(room, number)
        if has_newer(self._connection, number, seq):
            return
        # Not an UPDATE: that would take new pages before it frees the old ones, and double the file.
        execute("DELETE FROM snapshots WHERE room = ?", (number,))
        put_snapshot(self._connection, number, seq, snapshot)
        execute("DELETE FROM log WHERE room = ? AND seq <= ?", (number, seq))
        if checkpoints is not None:
            self._replace_past(room, number, checkpoints)

    def _replace_past(self, room: str, number: int, checkpoints: Sequence[Checkpoint]) -> None:
        if keep_damaged_past(self._connection, room, number):
            self.aside.append(room)
        self._connection.execute("DELETE FROM checkpoints WHERE room = ?", (number,))
        rows = (
            (number, *version[:3], made_by(version), data, checksum(number, version.seq, data))
            for version, data in checkpoints
        )
        self._connection.executemany("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def _set_marks(self, operation: SetMarks) -> None:
        self._ledger.mark(*operation)
        number = self._writable(operation.room, 0)
        if number is None:
            return
        for mark in (operation.intended, operation.saved):
            if mark is not None:
                self.caught_up[operation.room] = mark.seq
        self._put_identity(operation.room, number)

    def _set_aside(self, room: str, seqs: Collection[int] | None) -> None:
        found = self._find(room)
        if room not in self._ledger.in_use or not found or found[1] != self._writer:
            return
        self.aside.append(room)
        keep_beside(self._connection, room, found[0], seqs)
        if seqs is None:
            self._forget(room)
        else:
            take_out(self._connection, found[0], seqs)

    def _forget(self, room: str) -> None:
        self._ledger.in_use.pop(room, None)
        self._ledger.refusals.pop(room, None)
        if found := self._find(room):
            delete_room(self._connection, found[0])
