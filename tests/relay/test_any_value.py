"""Every column of the store with every kind of value in it: whatever is asked is answered, and nothing else suffers."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shutil import copy

import pytest

from jupyter_rtc.relay.storing.migrations import migrate
from jupyter_rtc.relay.storing.sqlite import SQLiteStore
from jupyter_rtc.relay.storing.store import DamagedError, Mark, Past, Record

from .by_hand import append as typed
from .by_hand import in_memory, text_of
from .peer import eventually
from .stores import ROOM, append, awaited, log_of, opened, query
from .test_damaged_rows import filled, past, relay_on

VALUES = [None, "text", b"blob", 5.5, -1, 0, 2**62, float("inf")]

WHICH = {
    "rooms": "name = 'a'",
    "snapshots": "room = (SELECT id FROM rooms WHERE name = 'a')",
    "log": "room = (SELECT id FROM rooms WHERE name = 'a') AND seq = 2",
    "checkpoints": "room = (SELECT id FROM rooms WHERE name = 'a') AND seq = 1",
    "damaged": "room = 'a'",
    "records": "id = 'a'",
}
"""One row of room `a` in every table."""


def columns() -> Iterator[tuple[str, str]]:
    """Yield every column of every table."""
    with closing(sqlite3.connect(":memory:")) as database:
        migrate(database)
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for _, column, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
                yield table, column


def put(path: Path, table: str, column: str, value: object) -> bool:
    """Put a value where the schema does not let it be, as changed bytes do; return whether a row can hold it at all."""
    ((schema,),) = query(path, "SELECT sql FROM sqlite_master WHERE name = ?", table)
    loose = re.sub(r" (INTEGER|TEXT|REAL|BLOB)\b(?! PRIMARY)( NOT NULL)?", "", schema)
    declare(path, table, loose)
    try:
        query(path, f"UPDATE {table} SET {column} = ? WHERE {WHICH[table]}", value)
    except sqlite3.IntegrityError:
        return False
    finally:
        declare(path, table, schema)
    return True


def declare(path: Path, table: str, schema: str) -> None:
    """Let a table have another schema; what stands in it stays."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript("PRAGMA synchronous = OFF; PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (schema, table))


async def filled_store(path: Path) -> Past:
    """Store two rooms with a log, marks and past versions, `a` and `b`; return what is stored of the second."""
    async with opened(path) as store:
        for room in "ab":
            store.create(room, ROOM)
            append(store, 1, 2, 3, room=room)
            store.compact(room, 0, b"first", past(0, 1, 2))
            store.mark(room, intended=Mark(3, ""), saved=Mark(1, "sha"))
        store.create("c", ROOM)
        store.set_aside("c", None)
        for id in "ab":
            store.put_record("k", Record(id, b"{}", False, 1.0))
        await store.flush()
        query(path, "UPDATE damaged SET room = 'a'")
        found = await store.past("b")
        assert found is not None
        return found


async def used(store: SQLiteStore, room: str) -> None:
    """Do all that is done with a room, as the keeper does it."""
    for _ in range(2):  # the second time nothing is damaged any more
        try:
            stored = await store.load(room)
            break
        except DamagedError as damage:
            store.set_aside(room, damage.seqs)
            stored = damage.stored
    await store.past(room)
    assert Record("b", b"{}", False, 1.0) in await store.records("k")
    store.put_record("k", Record("a", b"new", True, 2.0))
    if stored is None:
        store.create(room, ROOM)
    seq = stored.last if stored else ROOM.seq
    append(store, seq + 1, room=room)
    store.mark(room, saved=Mark(seq + 1, "new"))
    store.compact(room, seq + 1, b"whole", past(seq + 1))
    append(store, seq + 2, room=room)
    await store.flush()
    left = await store.load(room)
    assert left is not None
    assert (left.snapshot, left.seq, left.log, left.saved) == (b"whole", seq + 1, log_of(seq + 2), Mark(seq + 1, "new"))
    kept = await store.past(room)
    assert kept is not None
    assert kept.checkpoints == past(seq + 1)


@awaited
@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize("place", list(columns()), ids=".".join)
async def test_whatever_stands_in_a_column_is_no_worse_than_damage(
    tmp_path: Path, place: tuple[str, str], summed: bool
) -> None:
    """Without a checksum (of an older version) what may be right is taken to be; nothing raises in the thread."""
    whole = tmp_path / "whole.db"
    other = await filled_store(whole)
    if not summed:
        for table in WHICH.keys() - {"records"}:
            query(whole, f"UPDATE {table} SET sum = NULL")
    for number, value in enumerate(VALUES):
        path = Path(copy(whole, tmp_path / f"{number}.db"))
        if not put(path, *place, value):
            continue
        async with opened(path, size_limit=1 << 20) as store:
            await used(store, "a")
            assert await store.past("b") == other
            store.set_aside("a", None)
            store.create("a", replace(ROOM, snapshot=b"whole"))
            store.release("a", True)
            await store.flush()
            assert (store.trouble, dict(store.partial)) == (None, {})
        async with opened(path) as store:
            assert await store.load("a") == replace(ROOM, snapshot=b"whole")
            assert Record("a", b"new", True, 2.0) in await store.records("k")
            assert await store.past("b") == other


@pytest.mark.parametrize("place", [place for place in columns() if place[0] in ("snapshots", "log")], ids=".".join)
async def test_a_room_that_is_open_while_a_column_changes_is_stored_whole_from_memory(
    tmp_path: Path, place: tuple[str, str]
) -> None:
    async def changed(path: Path, value: object) -> None:
        """Have one room open while the column gets this value."""
        relay = relay_on(path)
        await filled(relay, ("ada", "one "), ("ada", "two "), ("ada", "three "))
        query(path, "UPDATE rooms SET name = 'a'")
        put(path, *place, value)
        query(path, "UPDATE rooms SET name = 'room'")
        room = relay.get("room")
        assert room is not None
        room.edit(typed("four" * 1000))
        await eventually(lambda: relay.overview()[0]["log_bytes"] == 0)
        await relay.close()
        relay = relay_on(path)
        assert text_of((await in_memory(relay, "room")).doc) == "one two three " + "four" * 1000
        await relay.close()

    await asyncio.gather(*(changed(tmp_path / f"{number}.db", value) for number, value in enumerate(VALUES)))
