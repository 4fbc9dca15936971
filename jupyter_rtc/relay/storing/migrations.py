"""The schema of a SQLiteStore's file: a chain of steps, each from one version to the next, from the first version on.

The version is the file's `user_version`; an empty file has version 0. A new file takes the whole chain, so that it has
the tables of one that has grown old. To change the schema, add a step at the end: the earlier ones never change, for
there are files of each version.

Nothing here opens, commits or closes anything; database.py does.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

__all__ = ["VERSION", "NewerError", "migrate", "require_tables", "version_of"]


class NewerError(sqlite3.DatabaseError):
    """Say that a file was written by a newer version of this program, whose schema is not known here."""


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a file, 0 for an empty one.

    Raises NewerError for a version that is not known yet, and DatabaseError for a file that is not a store's.
    """
    # In this order: another process that makes the tables meanwhile commits the version with them.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise NewerError(
            f"a newer version of jupyter_rtc has written it: its schema has version {version}, and {VERSION} is the"
            " newest that is known here; it is left as it is"
        )
    if version < 0 or (version == 0 and tables):
        raise sqlite3.DatabaseError(f"it is no store of rooms: its version is {version}, and it has {tables} tables")
    return int(version)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to the present version. The caller has begun a transaction, which is all or nothing.

    Raises what `version_of` does, and DatabaseError for a file whose tables are not those of its version.
    """
    try:
        for step in _STEPS[version_of(connection) :]:
            step(connection)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # no table or column of that name, or one already
            raise sqlite3.DatabaseError(f"its tables are not those of its version: {error}") from None
        raise
    connection.execute(f"PRAGMA user_version={VERSION}")


def require_tables(connection: sqlite3.Connection) -> None:
    """Raise DatabaseError where a file of the present version lacks what it should have, as one that was cut does."""
    with closing(sqlite3.connect(":memory:")) as model:
        migrate(model)
        missing = _columns(model) - _columns(connection)
    if missing:
        raise sqlite3.DatabaseError(f"it lacks {len(missing)} columns, such as {'.'.join(missing.pop())}")


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """Return the columns of all tables, each with the table's name."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {(name, column) for (name,) in tables for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")}


def _rooms(connection: sqlite3.Connection) -> None:
    # A snapshot stands apart from its room because SQLite rewrites a whole row, blobs and all, to change one column.
    connection.execute(
        "CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, lineage TEXT NOT NULL,"
        " genesis INTEGER NOT NULL, writer TEXT NOT NULL, intended_seq INTEGER, intended_hash TEXT,"
        " saved_seq INTEGER, saved_hash TEXT)"
    )
    connection.execute("CREATE TABLE snapshots (room INTEGER PRIMARY KEY, seq INTEGER NOT NULL, state BLOB NOT NULL)")
    connection.execute(
        "CREATE TABLE log (room INTEGER NOT NULL, seq INTEGER NOT NULL, time REAL NOT NULL, author TEXT NOT NULL,"
        " data BLOB NOT NULL, PRIMARY KEY (room, seq)) WITHOUT ROWID"
    )


def _past_versions(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE checkpoints (room INTEGER NOT NULL, seq INTEGER NOT NULL, begun REAL NOT NULL,"
        " ended REAL NOT NULL, authors TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (room, seq))"
    )


def _checksums(connection: sqlite3.Connection) -> None:
    """Add checksums. What stands there already has none until it is written again."""
    for table in ("snapshots", "log", "checkpoints"):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN sum INTEGER")
    connection.execute(
        "CREATE TABLE damaged (time REAL NOT NULL, room TEXT NOT NULL, part TEXT NOT NULL, seq INTEGER NOT NULL,"
        " sum INTEGER, data BLOB NOT NULL)"
    )


def _checksums_of_rooms(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE rooms ADD COLUMN sum INTEGER")


def _who_began_a_room(connection: sqlite3.Connection) -> None:
    """Add who made up a room's name. Of older rooms nobody knows; those of documents and forks are the server's."""
    connection.execute("ALTER TABLE rooms ADD COLUMN begun_by TEXT")
    # The names of documents have colons, and those of forks 32 hexadecimal digits.
    connection.execute(
        "UPDATE rooms SET begun_by = '' WHERE name NOT LIKE '%:%' AND (length(name) <> 32 OR name GLOB '*[^0-9a-f]*')"
    )


def _since_when_a_room_is_spare(connection: sqlite3.Connection) -> None:
    """Add since when a room may be dropped. Files from version 2 to 5 may have it: it once came without a number."""
    if "released" not in {column for _, column, *_ in connection.execute("PRAGMA table_info(rooms)")}:
        connection.execute("ALTER TABLE rooms ADD COLUMN released REAL")


def _durable_records(connection: sqlite3.Connection) -> None:
    # No index: where a byte of an id changed, SQLite would take the whole file to be damaged, not this row.
    connection.execute(
        "CREATE TABLE records (number INTEGER PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,"
        " kept INTEGER NOT NULL, time REAL NOT NULL, value BLOB NOT NULL, sum INTEGER NOT NULL)"
    )


_STEPS = (
    _rooms,
    _past_versions,
    _checksums,
    _checksums_of_rooms,
    _who_began_a_room,
    _since_when_a_room_is_spare,
    _durable_records,
)

VERSION = len(_STEPS)
"""The version of the schema that the last step leads to."""
