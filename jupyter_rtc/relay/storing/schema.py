"""The tables of a SQLiteStore: how a room is read from them, and how damage in them is noticed.

Each snapshot, update and past version stands beside a checksum, and so does what else is known of a room, for SQLite
does not notice a changed byte in what it keeps. Nothing here opens, commits or closes anything; database.py does.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from itertools import dropwhile, takewhile
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

from ...wire import NO_CHANGE
from .ledger import IDENTITY, Identity, is_number
from .store import Begun, Checkpoint, DamagedError, Past, StoredRoom, Version

_Row: TypeAlias = tuple[Any, Any, Any]
"""A number, the data, and the checksum beside them; damaged, each of them may be anything."""

_Update: TypeAlias = tuple[Any, Any, Any, Any, Any]
"""The same of the log, then the author, and when, in seconds since the epoch."""

_MOST_MISSING = 1000
"""How many updates in a row may be missing before those after them are taken to be damaged in their numbers."""

_END_OF_TIME = 253402300800.0  # the year 10000, where datetime ends


def checksum(number: int, seq: int, data: bytes) -> int:
    """Return what stands beside the data with the number `seq` of the room with the id `number`."""
    return crc32(data, crc32(b"%d %d" % (number, seq)))


def identity_sum(room: str, identity: Identity) -> int:
    """Return what stands beside the identity of a room."""
    return crc32(json.dumps([room, *identity.columns()]).encode())


def delete_room(connection: sqlite3.Connection, number: int) -> None:
    """Delete everything of the room with the id `number`."""
    for statement in (
        "DELETE FROM log WHERE room = ?",
        "DELETE FROM checkpoints WHERE room = ?",
        "DELETE FROM snapshots WHERE room = ?",
        "DELETE FROM rooms WHERE id = ?",
    ):
        connection.execute(statement, (number,))


# Reading


def read_room(connection: sqlite3.Connection, room: str) -> StoredRoom | None:
    """Return what is stored of a room, or None. The caller has begun a transaction.

    Raises DamagedError where it is not what was stored.
    """
    found = _read(connection, room)
    return found and found[1].stored


def read_past(connection: sqlite3.Connection, room: str) -> Past | None:
    """Return the history of a room, or None. The caller has begun a transaction. Raises DamagedError as `read_room`.

    A past version that is damaged ends the chain of them: those after it build on it.
    """
    found = _read(connection, room)
    if found is None:
        return None
    number, record = found
    whole = takewhile(lambda version: version is not None, (version for _, version in _versions(connection, number)))
    return Past(record.stored, record.made, tuple(version for version in whole if version))


def read_begun(connection: sqlite3.Connection) -> list[Begun]:
    """Return the rooms whose names clients made up, with their sizes. The caller has begun a transaction."""
    rows = connection.execute(
        "SELECT name, begun_by, (SELECT total(length(state)) FROM snapshots WHERE room = id)"
        " + (SELECT total(length(data)) FROM log WHERE room = id) FROM rooms WHERE begun_by IS NOT NULL"
    )
    return [Begun(str(name), str(user), int(size)) for name, user, size in rows]


class _Record(NamedTuple):
    """What stands in the tables of one room: who made each update of the log, and when; and what is damaged.

    `damaged` has the numbers of what is not there as it was written.
    """

    stored: StoredRoom
    made: tuple[tuple[str, float], ...]
    damaged: frozenset[int]


def _read(connection: sqlite3.Connection, room: str) -> tuple[int, _Record] | None:
    row = connection.execute(f"SELECT id, {IDENTITY} FROM rooms WHERE name = ?", (room,)).fetchone()  # noqa: S608
    if row is None:
        return None
    record = _record(connection, row[0], Identity.read(row[1:]))
    if record.damaged:
        raise DamagedError(record.stored, record.damaged)
    return row[0], record


def _record(connection: sqlite3.Connection, number: int, identity: Identity) -> _Record:
    """Read the room with the id `number`, whatever its tables hold.

    Updates are numbered without a gap. So a row whose own number is damaged is known by the one that is missing.
    """
    row = _snapshot_row(connection, number)
    rows = _log_rows(connection, number)
    sound = [row for row in rows if _is_sound(number, *row[:3])]
    spoilt = len(rows) - len(sound)
    damaged: set[int] = set()
    if row and _is_sound(number, *row):
        seq, snapshot = row[:2]
    else:
        seq, snapshot = max(0, sound[0][0] - 1) if sound else 0, b""
        damaged.add(seq)
    log = [row for row in sound if row[0] > seq]
    if spoilt or (log and log[-1][0] != seq + len(log)):
        log, missing = _filled(log, seq, len(log) + spoilt)
        damaged |= missing
    updates = tuple((key, data) for key, data, *_ in log)
    made = tuple((author if isinstance(author, str) else "", _time(when)) for _, _, _, author, when in log)
    lineage, genesis, intended, saved, _ = identity
    stored = StoredRoom(lineage, genesis, snapshot, seq, updates, intended, saved)
    return _Record(stored, made, frozenset(damaged))


def _filled(sound: list[_Update], seq: int, count: int) -> tuple[list[_Update], set[int]]:
    """Return a log of `count` rows after the update `seq` without gaps, and the numbers of those that were not there.

    Only the rows that are `sound` are given; a number that lies too far beyond all others is damaged, too.
    """
    known = {row[0]: row for row in sound}
    last = max((key for key in known if key <= seq + count + _MOST_MISSING), default=seq)
    numbers = range(seq + 1, max(last, seq + count) + 1)
    return [known.get(key, (key, b"", None, "", 0.0)) for key in numbers], {key for key in numbers if key not in known}


def _snapshot_row(connection: sqlite3.Connection, number: int) -> _Row | None:
    select = "SELECT seq, state, sum FROM snapshots WHERE room = ?"
    row: _Row | None = connection.execute(select, (number,)).fetchone()
    return row


def _log_rows(connection: sqlite3.Connection, number: int) -> list[_Update]:
    select = "SELECT seq, data, sum, author, time FROM log WHERE room = ? ORDER BY seq"
    return connection.execute(select, (number,)).fetchall()


def _versions(connection: sqlite3.Connection, number: int) -> Iterator[tuple[_Row, Checkpoint | None]]:
    """Yield the past versions of a room as they stand there, and as what they are, if they are that."""
    select = "SELECT seq, data, sum, begun, ended, authors FROM checkpoints WHERE room = ? ORDER BY seq"
    for seq, data, sum, begun, ended, authors in connection.execute(select, (number,)):
        row = seq, data, sum
        sound = _is_sound(number, *row) and is_time(begun) and is_time(ended)
        made = _made_by(authors)
        yield row, Checkpoint(Version(seq, begun, ended, *made), data) if sound and made else None


def _is_sound(number: int, seq: Any, data: Any, sum: Any) -> bool:
    """Say whether a row of the room with the id `number` is as it was written, as far as there is a checksum."""
    if not (isinstance(data, bytes) and is_number(seq)):
        return False
    return sum is None or bool(sum == checksum(number, seq, data))


def _time(value: Any) -> float:
    return value if is_time(value) else 0.0


def is_time(value: Any) -> bool:
    """Say whether a value may be a time, in seconds since the epoch."""
    return isinstance(value, float) and 0 <= value < _END_OF_TIME


def made_by(version: Version) -> str:
    """Return what stands in the column ``authors``: a list of names; of a sealed version, an object with it."""
    return json.dumps({"sealed": version.authors} if version.sealed else version.authors)


def _made_by(text: Any) -> tuple[tuple[str, ...], bool] | None:
    """Return the usernames that such a text has, and whether the version is sealed; None where it is none."""
    try:
        names = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    sealed = isinstance(names, dict)
    names = names.get("sealed") if sealed else names
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        return None
    return tuple(names), sealed


# Setting aside


def keep_beside(connection: sqlite3.Connection, room: str, number: int, seqs: Collection[int] | None) -> None:
    """Copy the updates of these numbers, or all of a room, into the table `damaged`, with what stands beside them.

    Rows that are damaged are copied in any case.
    """
    names = IDENTITY.split(", ")
    identity = connection.execute(f"SELECT {IDENTITY} FROM rooms WHERE id = ?", (number,)).fetchone()  # noqa: S608
    record = json.dumps(dict(zip(names, identity, strict=True)), default=repr)
    tables = {
        "room": [(0, record, None)],
        "snapshots": [row for row in (_snapshot_row(connection, number),) if row],
        "log": [row[:3] for row in _log_rows(connection, number)],
        "checkpoints": [row for row, _ in _versions(connection, number)] if seqs is None else [],
    }
    for table, rows in tables.items():
        wanted = [row for row in rows if seqs is None or row[0] in seqs or not _is_sound(number, *row)]
        _copy(connection, room, table, rows if table == "room" else wanted)


def take_out(connection: sqlite3.Connection, number: int, seqs: Collection[int]) -> None:
    """Put empty updates in the place of those with these numbers, and of what is damaged; an empty snapshot, likewise.

    There is no gap in the numbers then, so that a row which is lost later is noticed.
    """
    record = _record(connection, number, Identity("", 0, None, None))
    spoilt = ((number, row[0]) for row in _log_rows(connection, number) if not _is_sound(number, *row[:3]))
    connection.executemany("DELETE FROM log WHERE room = ? AND seq IS ?", spoilt)
    gone = record.damaged.union(seqs)
    first = record.stored.seq
    if first in gone:
        connection.execute("DELETE FROM snapshots WHERE room = ?", (number,))
        put_snapshot(connection, number, first, NO_CHANGE)
    now = time.time()
    rows = (
        (number, seq, now, "", NO_CHANGE, checksum(number, seq, NO_CHANGE))
        for seq, _ in record.stored.log
        if seq in gone
    )
    connection.executemany("INSERT OR REPLACE INTO log VALUES (?, ?, ?, ?, ?, ?)", rows)


def put_snapshot(connection: sqlite3.Connection, number: int, seq: int, state: bytes) -> None:
    """Give a room that has none a snapshot."""
    row = number, seq, state, checksum(number, seq, state)
    connection.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?)", row)


def has_newer(connection: sqlite3.Connection, number: int, seq: int) -> bool:
    """Say whether a room has a snapshot of a state after update `seq`; one that is damaged does not count."""
    row = connection.execute("SELECT 1 FROM snapshots WHERE room = ? AND seq > ?", (number, seq)).fetchone()
    return row is not None and _is_sound(number, *(_snapshot_row(connection, number) or (0, None, None)))


def keep_damaged_past(connection: sqlite3.Connection, room: str, number: int) -> bool:
    """Copy a room's past versions into the table `damaged` from the first that is; return whether there is one."""
    damaged = [row for row, _ in dropwhile(lambda found: found[1] is not None, _versions(connection, number))]
    _copy(connection, room, "checkpoints", damaged)
    return bool(damaged)


def keep_record_beside(connection: sqlite3.Connection, name: str, row: _Row) -> None:
    """Copy a durable record that is damaged into the table `damaged`."""
    _copy(connection, name, "records", [row])


def _copy(connection: sqlite3.Connection, room: str, part: str, rows: Iterable[_Row]) -> None:
    now = time.time()
    kept = (
        (now, room, part, seq if isinstance(seq, int) else -1, sum, b"" if data is None else data)
        for seq, data, sum in rows
    )
    connection.executemany("INSERT INTO damaged VALUES (?, ?, ?, ?, ?, ?)", kept)


def forget_oldest(connection: sqlite3.Connection, limit: int) -> None:
    """Delete what was set aside longest ago while all of it takes more than `limit` bytes; the newest stays."""
    sizes = "SELECT time, total(length(data)) FROM damaged GROUP BY time ORDER BY time DESC"
    (_, size), *older = connection.execute(sizes).fetchall()
    for when, more in older:
        size += more
        if size > limit:
            connection.execute("DELETE FROM damaged WHERE time <= ?", (when,))
            return
