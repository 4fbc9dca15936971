"""The tables of a SQLiteStore: what they are, how a room is read from them, and how damage in them is noticed.

Each snapshot, update and past version stands beside a checksum, and so does what else is known of a room, for SQLite
does not notice a changed byte in what it keeps. Nothing here opens, commits or closes anything; database.py does.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterable
from typing import TypeAlias
from zlib import crc32

from .ledger import IDENTITY, Identity
from .protocol import NO_CHANGE
from .store import Checkpoint, DamagedError, Past, StoredRoom, Version

VERSION = 4
"""The `user_version` of the schema below."""

# A snapshot stands apart from its room because SQLite rewrites a whole row, blobs and all, to change one column.
_ASIDE = (
    "CREATE TABLE damaged (time REAL NOT NULL, room TEXT NOT NULL, part TEXT NOT NULL, seq INTEGER NOT NULL,"
    " sum INTEGER, data BLOB NOT NULL)"
)
_SCHEMA = (
    "CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, lineage TEXT NOT NULL,"
    " genesis INTEGER NOT NULL, writer TEXT NOT NULL, intended_seq INTEGER, intended_hash TEXT,"
    " saved_seq INTEGER, saved_hash TEXT, released REAL, sum INTEGER)",
    "CREATE TABLE snapshots (room INTEGER PRIMARY KEY, seq INTEGER NOT NULL, state BLOB NOT NULL, sum INTEGER)",
    "CREATE TABLE log (room INTEGER NOT NULL, seq INTEGER NOT NULL, time REAL NOT NULL, author TEXT NOT NULL,"
    " data BLOB NOT NULL, sum INTEGER, PRIMARY KEY (room, seq)) WITHOUT ROWID",
    "CREATE TABLE checkpoints (room INTEGER NOT NULL, seq INTEGER NOT NULL, begun REAL NOT NULL, ended REAL NOT NULL,"
    " authors TEXT NOT NULL, data BLOB NOT NULL, sum INTEGER, UNIQUE (room, seq))",
    _ASIDE,
    f"PRAGMA user_version={VERSION}",
)
CONVERSIONS = {
    0: _SCHEMA,
    2: (
        *(f"ALTER TABLE {table} ADD COLUMN sum INTEGER" for table in ("rooms", "snapshots", "log", "checkpoints")),
        _ASIDE,
        f"PRAGMA user_version={VERSION}",
    ),
    3: ("ALTER TABLE rooms ADD COLUMN sum INTEGER", f"PRAGMA user_version={VERSION}"),
}
"""What makes a file of an older version, 0 is an empty one, one of this.

What stood in it has no checksum until it is written again.
"""

_Row: TypeAlias = tuple[int, bytes, int | None]


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
    row = connection.execute(
        f"SELECT id, seq, state, snapshots.sum, {IDENTITY} FROM rooms JOIN snapshots ON room = id WHERE name = ?",  # noqa: S608
        (room,),
    ).fetchone()
    if row is None:
        return None
    number, seq, snapshot, sum, *columns = row
    log = connection.execute(
        "SELECT seq, data, sum FROM log WHERE room = ? AND seq > ? ORDER BY seq", (number, seq)
    ).fetchall()
    updates = tuple((seq, data) for seq, data, _ in log)
    stored = StoredRoom(snapshot=snapshot, seq=seq, log=updates, **Identity.read(columns)._asdict())
    if damaged := _damaged(number, [(seq, snapshot, sum), *log]):
        raise DamagedError(stored, damaged)
    return stored


def read_past(connection: sqlite3.Connection, room: str) -> Past | None:
    """Return the history of a room, or None. The caller has begun a transaction. Raises DamagedError as `read_room`.

    A past version that is damaged ends the chain of them: those after it build on it.
    """
    stored = read_room(connection, room)
    if stored is None:
        return None
    of_room = "WHERE room = (SELECT id FROM rooms WHERE name = ?)"
    made = connection.execute(
        f"SELECT author, time FROM log {of_room} AND seq > ? ORDER BY seq",  # noqa: S608  # a constant
        (room, stored.seq),
    ).fetchall()
    rows = connection.execute(
        f"SELECT seq, begun, ended, authors, data, sum, room FROM checkpoints {of_room} ORDER BY seq",  # noqa: S608
        (room,),
    )
    checkpoints = []
    for seq, begun, ended, authors, data, sum, number in rows:
        if _damaged(number, [(seq, data, sum)]):
            break
        checkpoints.append(Checkpoint(Version(seq, begun, ended, tuple(json.loads(authors))), data))
    return Past(stored, tuple(made), tuple(checkpoints))


def _damaged(number: int, rows: Iterable[_Row]) -> frozenset[int]:
    """Return the numbers of what is not as it was written, as far as there is a checksum."""
    return frozenset(
        seq
        for seq, data, sum in rows
        if not isinstance(data, bytes) or (sum is not None and sum != checksum(number, seq, data))
    )


# Setting aside


def keep_beside(connection: sqlite3.Connection, room: str, number: int, seqs: Collection[int] | None) -> None:
    """Copy the updates of these numbers, or all of a room, into the table `damaged`, with what stands beside them."""
    now = time.time()
    names = IDENTITY.split(", ")
    identity = connection.execute(f"SELECT {IDENTITY} FROM rooms WHERE id = ?", (number,)).fetchone()  # noqa: S608
    record = json.dumps(dict(zip(names, identity, strict=True)))
    connection.execute("INSERT INTO damaged VALUES (?, ?, 'room', 0, NULL, ?)", (now, room, record))
    for table, column in (("snapshots", "state"), ("log", "data"), ("checkpoints", "data")):
        copy = f"INSERT INTO damaged SELECT ?, ?, ?, seq, sum, {column} FROM {table} WHERE room = ?"  # noqa: S608
        if seqs is None:
            connection.execute(copy, (now, room, table, number))
        elif table != "checkpoints":
            connection.executemany(f"{copy} AND seq = ?", ((now, room, table, number, seq) for seq in seqs))


def take_out(connection: sqlite3.Connection, number: int, seqs: Collection[int]) -> None:
    """Take the updates of these numbers out of a room's log; an empty snapshot takes the place of one that has one."""
    connection.executemany("DELETE FROM log WHERE room = ? AND seq = ?", ((number, seq) for seq in seqs))
    rows = ((NO_CHANGE, checksum(number, seq, NO_CHANGE), number, seq) for seq in seqs)
    connection.executemany("UPDATE snapshots SET state = ?, sum = ? WHERE room = ? AND seq = ?", rows)


def keep_damaged_past(connection: sqlite3.Connection, room: str, number: int) -> bool:
    """Copy a room's past versions into the table `damaged` from the first that is; return whether there is one."""
    rows = connection.execute("SELECT seq, data, sum FROM checkpoints WHERE room = ?", (number,))
    damaged = _damaged(number, rows)
    if damaged:
        connection.execute(
            "INSERT INTO damaged SELECT ?, ?, 'checkpoints', seq, sum, data FROM checkpoints"
            " WHERE room = ? AND seq >= ?",
            (time.time(), room, number, min(damaged)),
        )
    return bool(damaged)


def forget_oldest(connection: sqlite3.Connection, limit: int) -> None:
    """Delete what was set aside longest ago while all of it takes more than `limit` bytes; the newest stays."""
    sizes = "SELECT time, sum(length(data)) FROM damaged GROUP BY time ORDER BY time DESC"
    (_, size), *older = connection.execute(sizes).fetchall()
    for when, more in older:
        size += more
        if size > limit:
            connection.execute("DELETE FROM damaged WHERE time <= ?", (when,))
            return
