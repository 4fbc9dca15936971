"""What a SQLiteStore does with a file that is damaged, foreign, shared or gone, and with what it cannot take."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sqlite3
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_rtc.relay.storing.ahead import Ahead
from jupyter_rtc.relay.storing.database import Database, Options
from jupyter_rtc.relay.storing.ledger import NEVER
from jupyter_rtc.relay.storing.operations import (
    Append,
    Claim,
    Compact,
    Create,
    Forget,
    Operation,
    Release,
    SetAside,
    SetMarks,
    squash,
)
from jupyter_rtc.relay.storing.rows import ClaimRecords, PutRecord, RemoveRecord
from jupyter_rtc.relay.storing.schema import read_room
from jupyter_rtc.relay.storing.sqlite import SQLiteStore
from jupyter_rtc.relay.storing.store import DamagedError, Mark, Record, StoredRoom, StoreError

from .stores import ROOM, append, aside, awaited, locked, log_of, opened, query, until

# Damaged and foreign files


@awaited
async def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rooms.db"
    path.write_bytes(b"not a database" * 1000)
    async with opened(path) as store:
        assert await store.load("a") is None
        store.create("a", ROOM)
        await store.flush()
        assert store.trouble is None
        assert await store.load("a") == ROOM
    (old,) = aside(path)
    assert old.read_bytes() == b"not a database" * 1000
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(old) in caplog.text


@awaited
async def test_somebody_elses_database_is_set_aside_untouched(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE treasure (a)")
    before = path.read_bytes()
    async with opened(path) as store:
        assert await store.load("a") is None
    (old,) = aside(path)
    assert old.read_bytes() == before


@awaited
async def test_damage_while_in_use_costs_no_room_that_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path, journal_mode="DELETE") as store:
        store.create("a", replace(ROOM, log=log_of(*range(1, 500))))
        store.create("b", ROOM)
        await store.flush()
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.write(os.urandom(size))
        append(store, 500)
        with pytest.raises(StoreError, match="gone") as caught:
            await store.flush()
        assert caught.value.rooms == {"a", "b"}
        assert str(aside(path)[0]) in (store.damage or "")
        store.compact("b", 0, b"all of b")
        store.compact("a", 499, b"too old to make up for update 500")
        with pytest.raises(StoreError, match="stored only in part"):
            await store.load("a")
        store.compact("a", 500, b"all")
        append(store, 501)
        await store.flush()
        assert await store.load("a") == replace(ROOM, snapshot=b"all", seq=500, log=log_of(501))


@awaited
async def test_whoever_began_a_room_is_known_after_the_database_was_lost(tmp_path: Path) -> None:
    """Else the room would be charged to nobody, and be in no list of rooms that may be deleted."""
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("loaded", ROOM, "ada")
    async with opened(path, rest=0.05) as store:
        assert await store.load("loaded") == ROOM
        store.create("created", ROOM, "bob")
        await store.flush()
        path.unlink()
        await until(lambda: store.partial.keys() == {"loaded", "created"})
        for room in list(store.partial):
            store.compact(room, 0, b"all")
        await store.flush()
        assert sorted(await store.begun()) == [("created", "bob", 3), ("loaded", "ada", 3)]


@awaited
@pytest.mark.parametrize("replaced", [False, True])
async def test_what_was_saved_while_a_room_was_refused_is_known_once_it_is_whole(
    tmp_path: Path, replaced: bool
) -> None:
    path, older = tmp_path / "rooms.db", tmp_path / "older.db"
    async with opened(older) as other:
        other.create("a", replace(ROOM, lineage="of another time", genesis=99, saved=Mark(7, "other")))
    async with opened(path) as store:
        store.create("a", replace(ROOM, saved=Mark(0, "first")))
        await store.flush()
        for file in path.parent.glob("rooms.db*"):
            file.unlink()
        if (
            replaced
        ):  # at one stroke: whoever writes into a file that the store has opened meanwhile takes its room over
            older.rename(path)
        append(store, 1)
        store.mark("a", intended=Mark(1, ""))
        store.mark("a", saved=Mark(1, "second"))
        with pytest.raises(StoreError, match="gone"):
            await store.flush()
        append(store, 2)
        store.compact("a", 2, b"all")
        append(store, 3)
        whole = replace(ROOM, snapshot=b"all", seq=2, log=log_of(3), intended=Mark(1, ""), saved=Mark(1, "second"))
        assert await store.load("a") == whole
    async with opened(path) as store:
        assert await store.load("a") == whole


@awaited
async def test_damage_found_while_reading_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", replace(ROOM, log=log_of(*range(1, 5000))))
    with path.open("r+b") as file:  # the first page stays: the file opens, and its schema is read
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    async with opened(path) as store:
        assert await store.load("a") is None
        store.create("a", ROOM)
        await store.flush()
    assert len(aside(path)) == 1


@awaited
async def test_a_database_that_is_removed_under_the_store_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "folder" / "rooms.db"
    async with opened(path) as store:
        store.create("a", ROOM)
        await store.flush()
        shutil.rmtree(path.parent)
        append(store, 1)
        with pytest.raises(StoreError, match="gone"):
            await store.flush()
        assert dict(store.partial) == {"a": "its record is gone from the database"}
        store.compact("a", 1, b"all")
        await store.flush()
        assert store.trouble is None
    async with opened(path) as store:
        assert await store.load("a") == replace(ROOM, snapshot=b"all", seq=1)
    assert "removed or replaced" in caplog.text


def put_in_place_of(path: Path, other: Path) -> None:
    """Remove a database and what belongs to it, and put another one in its place if there is one."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    if other.exists():
        other.rename(path)


@pytest.mark.parametrize("fate", ["removed", "replaced by an older copy", "replaced by another server's"])
@awaited
async def test_a_file_that_is_replaced_is_noticed_although_nobody_writes(tmp_path: Path, fate: str) -> None:
    path, copy = tmp_path / "rooms.db", tmp_path / "copy.db"
    if "server" in fate:
        async with opened(copy) as other:
            other.create("a", replace(ROOM, log=log_of(1)))
    async with opened(path, rest=0.05) as store:
        store.create("a", ROOM)
        append(store, 1)
        await store.flush()
        if "older" in fate:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        append(store, 2)
        await store.flush()
        put_in_place_of(path, copy)
        await until(lambda: store.partial)
        assert "removed or replaced" in (store.damage or "")
        append(store, 3)  # must not be added to a log that lacks the second
        store.compact("a", 3, b"all")
        append(store, 4)
        await store.flush()
        assert await store.load("a") == replace(ROOM, snapshot=b"all", seq=3, log=log_of(4))


# What cannot be taken


@awaited
async def test_a_change_that_cannot_be_stored_harms_only_its_room(tmp_path: Path) -> None:
    async with opened(tmp_path / "rooms.db") as store:
        store.create("a", ROOM)
        store.create("b", ROOM)
        for seq in range(1, 50):
            append(store, seq)
            store.append("b", seq, b"u%d" % seq, "\ud800" if seq == 20 else "ann")
        with pytest.raises(StoreError, match="cannot be stored") as caught:
            await store.flush()
        assert caught.value.rooms == {"b"}
        assert await store.load("a") == replace(ROOM, log=log_of(*range(1, 50)))
        store.compact("b", 49, b"all")
        append(store, 50, room="b")
        assert await store.load("b") == replace(ROOM, snapshot=b"all", seq=49, log=log_of(50))
        await store.flush()


@awaited
async def test_a_name_that_cannot_be_stored_is_an_error(tmp_path: Path) -> None:
    async with opened(tmp_path / "rooms.db") as store:
        with pytest.raises(StoreError):
            await store.load("\ud800")
        store.create("a", ROOM)
        assert await store.load("a") == ROOM


@awaited
async def test_a_full_queue_keeps_a_rooms_past_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "rooms.db"
    async with opened(path, queue_limit=50_000) as store:
        store.create("a", ROOM)
        store.create("b", ROOM)
        await store.flush()
        with locked(path):
            append(store, *range(1, 500))
            store.mark("a", intended=Mark(499, ""))
            store.create("b", replace(ROOM, lineage="another"))
            assert set(store.partial) == {"a", "b"}
        append(store, 500)
        with pytest.raises(StoreError, match="too much was waiting") as caught:
            await store.flush()
        assert caught.value.rooms == {"a", "b"}
        with pytest.raises(StoreError):
            await store.load("a")
        async with opened(path) as later:  # what would be found after a crash
            past = await later.past("a")
            assert past is not None
            log = past.stored.log
            assert past.stored == replace(ROOM, log=log_of(*range(1, len(log) + 1)))
            assert 100 < len(log) < 499
            assert await later.past("b") is None
        store.create("a", ROOM)
        store.forget("b")
        await store.flush()
        assert store.trouble is None
    assert "Every room" in caplog.text


@awaited
async def test_a_room_that_was_cut_off_is_whole_after_a_compaction(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path, queue_limit=50_000) as store:
        store.create("a", ROOM)
        await store.flush()
        with locked(path):
            append(store, *range(1, 500))
        append(store, 500)
        with pytest.raises(StoreError, match="too much was waiting"):
            await store.flush()
        store.compact("a", 499, b"too old")
        assert set(store.partial) == {"a"}
        store.compact("a", 500, b"all")
        append(store, 501)
        await store.flush()
        assert await store.load("a") == replace(ROOM, snapshot=b"all", seq=500, log=log_of(501))


@awaited
async def test_a_room_that_began_while_the_queue_was_full_is_stored_with_its_first_snapshot(tmp_path: Path) -> None:
    path, another = tmp_path / "rooms.db", replace(ROOM, lineage="2f" * 16, saved=Mark(0, "sha"))
    async with opened(path, queue_limit=50_000) as store:
        store.create("a", ROOM)
        store.create("b", ROOM)
        await store.flush()
        with locked(path):
            append(store, *range(1, 500))
            store.create("b", another)
        with pytest.raises(StoreError, match="too much was waiting"):
            await store.flush()
        store.compact("b", 3, b"three")
        append(store, 4, room="b")
        await until(lambda: "b" not in store.partial)
        assert await store.load("b") == replace(another, seq=3, snapshot=b"three", log=log_of(4))


@awaited
async def test_a_room_of_another_server_stays_where_one_begins_while_the_queue_is_full(tmp_path: Path) -> None:
    path, another = tmp_path / "rooms.db", replace(ROOM, lineage="2f" * 16)
    async with opened(path, queue_limit=50_000) as store, opened(path) as other:
        store.create("a", ROOM)
        assert await store.load("b") is None
        other.create("b", ROOM)
        append(other, 1, room="b")
        await other.flush()
        with locked(path):
            append(store, *range(1, 500))
            store.create("b", another)
        with pytest.raises(StoreError):
            await store.flush()
        store.compact("b", 1, b"of this one")
        with pytest.raises(StoreError):
            await store.flush()
        assert "another server" in store.partial["b"]
        append(other, 2, room="b")
        await other.flush()
        assert await other.load("b") == replace(ROOM, log=log_of(1, 2))


# Two stores on one file


@awaited
async def test_stores_begin_a_file_at_the_same_time(tmp_path: Path) -> None:
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        async with AsyncExitStack() as stack:
            stores = [await stack.enter_async_context(opened(path)) for _ in range(6)]
            for number, store in enumerate(stores):
                store.create(f"room {number}", ROOM)
            await asyncio.gather(*(store.flush() for store in stores))
            assert await asyncio.gather(*(stores[0].load(f"room {number}") for number in range(6))) == [ROOM] * 6


@awaited
async def test_two_stores_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path, commit_interval=0.001) as one, opened(path, commit_interval=0.001) as two:
        stores = {"a": one, "b": two}
        for room, store in stores.items():
            store.create(room, ROOM)
        for seq in range(1, 201):
            for room, store in stores.items():
                append(store, seq, room=room)
            await asyncio.sleep(0)
        await asyncio.gather(one.flush(), two.flush())
        whole = replace(ROOM, log=log_of(*range(1, 201)))
        assert [await store.load(room) for room, store in stores.items()] == [whole, whole]
        assert await one.load("b") == whole


@awaited
async def test_a_room_belongs_to_the_store_that_began_it_first(tmp_path: Path) -> None:
    """Who loaded it before that found nothing; the record of the other one stays, and can be loaded."""
    path, another = tmp_path / "rooms.db", replace(ROOM, lineage="2f" * 16)
    async with opened(path) as first, opened(path) as second:
        assert await first.load("a") is None
        assert await second.load("a") is None
        first.create("a", ROOM)
        append(first, 1)
        await first.flush()
        second.create("a", another)
        append(second, 1)
        second.compact("a", 1, b"of the second")
        second.mark("a", saved=Mark(1, "of the second"))
        second.create("a", another)
        with pytest.raises(StoreError, match="another server") as caught:
            await second.flush()
        assert caught.value.rooms == {"a"}
        append(first, 2)
        await first.flush()
        second.release("a", spare=True)
        assert await second.load("a") == replace(ROOM, log=log_of(1, 2))
        append(second, 3)
        await second.flush()
        assert not second.partial
        assert await second.load("a") == replace(ROOM, log=log_of(1, 2, 3))


@awaited
async def test_a_room_belongs_to_the_store_that_loaded_it_last(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as first, opened(path) as second:
        first.create("a", ROOM)
        append(first, 1)
        await first.flush()
        assert await second.load("a") == replace(ROOM, log=log_of(1))
        append(second, 2)
        await second.flush()
        first.append("a", 2, b"of the first", "ann")
        first.compact("a", 2, b"of the first")
        first.mark("a", saved=Mark(2, "of the first"))
        with pytest.raises(StoreError, match="another server") as caught:
            await first.flush()
        assert caught.value.rooms == {"a"}
        with pytest.raises(StoreError, match="another server"):
            await first.load("a")
        append(second, 3)
        await second.flush()
        assert await second.load("a") == replace(ROOM, log=log_of(1, 2, 3))


# What waits in memory

BLOBS = st.binary(max_size=3)
MARKS = st.none() | st.builds(Mark, st.integers(0, 9), st.just("h"))
SEQS = st.integers(0, 9)
NAMES = st.sampled_from(["a", "b"])
STORED = st.builds(StoredRoom, st.just("l"), st.just(1), BLOBS, SEQS, st.just(()), MARKS, MARKS)
OPERATIONS = st.one_of(
    st.builds(Append, NAMES, SEQS, BLOBS, st.just("ann"), st.just(1.0)),
    st.builds(Create, NAMES, STORED),
    st.builds(Create, NAMES, STORED, st.none(), st.just("refused")),
    st.builds(Compact, NAMES, SEQS, BLOBS),
    st.builds(SetMarks, NAMES, MARKS, MARKS),
    st.builds(Forget, NAMES),
    st.builds(SetAside, NAMES, st.none() | st.frozensets(SEQS)),
    st.builds(Claim, NAMES),
    st.builds(Release, NAMES, st.booleans()),
    st.builds(PutRecord, st.just("k"), st.builds(Record, NAMES, BLOBS, st.booleans(), st.just(1.0))),
    st.builds(RemoveRecord, st.just("k"), NAMES),
    st.builds(ClaimRecords, st.just("k")),
)


OPTIONS = Options("DELETE", "OFF")


def found(database: Database, room: str) -> object:
    """Return a room as it is stored, and which of it is missing where the operations left updates out."""
    try:
        return database.read(read_room, room)
    except DamagedError as error:
        return error.stored, error.seqs


def outcome(path: Path, operations: list[Operation]) -> list[object]:
    """Carry out operations on a file where room `a` stands already, and return the rooms."""
    log = logging.getLogger("test.store")
    earlier, database = (Database(path, OPTIONS, Ahead(path), log) for _ in range(2))
    earlier.write([Create("a", replace(ROOM, log=log_of(1, 2))), PutRecord("k", Record("a", b"earlier", True, 1.0))])
    earlier.end()
    database.write(operations)
    rooms = [found(database, "a"), found(database, "b")]
    rows = query(path, "SELECT id, value, kept FROM records ORDER BY number")
    database.end()
    return [*rooms, database.records("k"), rows]


@settings(max_examples=40, deadline=None)
@given(st.lists(OPERATIONS, max_size=12))
def test_a_squashed_queue_has_the_same_outcome(operations: list[Operation]) -> None:
    with TemporaryDirectory() as folder:
        whole = outcome(Path(folder) / "whole.db", operations)
        squashed = outcome(Path(folder) / "squashed.db", squash(operations))
    assert squashed == whole


def test_a_squashed_queue_holds_one_snapshot_and_what_follows() -> None:
    appends = [Append("a", seq, b"u", "ann", 1.0) for seq in range(1, 8)]
    marks = SetMarks("a", Mark(2, ""), None)
    queue = [*appends[:3], Compact("a", 2, b"two"), marks, *appends[3:], Compact("a", 6, b"six")]
    assert squash(queue) == [marks, appends[6], Compact("a", 6, b"six")]
    assert squash([*queue, Forget("a")]) == [Forget("a")]


@awaited
async def test_a_file_that_is_saved_while_nothing_can_be_written_outruns_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    store = SQLiteStore(path=str(path))
    store.create("a", replace(ROOM, seq=3))
    store.mark("a", saved=Mark(3, "three"))
    await store.flush()
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        store.append("a", 4, b"four", "ann")
        store.mark("a", intended=Mark(4, ""))
        await store.outrun("a", 4)
        stored = read_room(other, "a")
        assert stored
        assert await store.is_outrun("a", stored)  # as the next server finds it after a crash
        assert not await store.is_outrun("b", stored)
        other.execute("ROLLBACK")
    await store.flush()
    stored = await store.load("a")
    assert stored
    assert not await store.is_outrun("a", stored)
    assert list((tmp_path / "rooms.db-ahead").iterdir()) == []  # what has caught up leaves nothing behind
    await store.outrun("a", NEVER)
    assert await store.is_outrun("a", stored)
    store.create("a", stored)
    await store.flush()
    assert not await store.is_outrun("a", stored)
    await store.close()


@awaited
async def test_where_not_even_that_can_be_written_down_it_is_said(tmp_path: Path) -> None:
    store = SQLiteStore(path=str(tmp_path / "rooms.db"))
    (tmp_path / "rooms.db-ahead").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        await store.outrun("a", 4)
    await store.close()


@awaited
@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_beside_the_database_that_is_removed_takes_nothing_with_it(
    tmp_path: Path, suffix: str, replaced: bool
) -> None:
    path, beside, after = tmp_path / "rooms.db", tmp_path / f"rooms.db{suffix}", tmp_path / "after" / "rooms.db"
    async with opened(path, rest=0.1) as store:
        store.create("a", ROOM)
        store.create("closed", ROOM)
        append(store, 1)
        append(store, 1, room="closed")
        store.release("closed", False)
        await store.flush()
        beside.unlink()
        if replaced:
            beside.write_bytes(b"")
        await until(lambda: "a" in store.partial)  # although nobody writes
        assert f"rooms.db{suffix} of the database was removed or replaced" in (store.damage or "")
        store.compact("a", 1, b"whole")
        append(store, 2)
        await store.flush()
        after.parent.mkdir()  # what a crash leaves
        for name in os.listdir(tmp_path):
            if name.startswith("rooms.db"):
                shutil.copy(tmp_path / name, after.parent)
        async with opened(after) as again:
            assert await again.load("a") == replace(ROOM, seq=1, snapshot=b"whole", log=log_of(2))
            assert await again.load("closed") == replace(ROOM, log=log_of(1))


@awaited
async def test_of_many_damaged_databases_the_newest_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    old = [f"rooms.db.corrupt-2020010{day}T000000.000000Z{suffix}" for day in (1, 2) for suffix in ("", "-wal", "-shm")]
    others = ["rooms.db.corrupt-mine", "rooms.db.corrupt", "rooms.db-ahead"]
    for name in (*old, *others):
        (tmp_path / name).write_text("old")
    for number in range(3):
        path.write_bytes(b"%d" % number * 1000)
        async with opened(path, max_damaged=4) as store:
            assert await store.load("a") is None
    assert [file.read_bytes()[:1] for file in sorted(aside(path)) if file.name not in others] == [
        b"o",
        b"0",
        b"1",
        b"2",
    ]
    assert [name for name in old if name in os.listdir(tmp_path)] == old[3:]
    assert set(others) <= set(os.listdir(tmp_path))
