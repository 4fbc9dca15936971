"""What every store does, whichever it is."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_rtc.relay.storing.memory_store import MemoryStore
from jupyter_rtc.relay.storing.sqlite import SQLiteStore
from jupyter_rtc.relay.storing.store import Checkpoint, Mark, Past, Record, Store, StoredRoom, StoreError, Version
from jupyter_rtc.wire.protocol import NO_CHANGE

from .stores import awaited

ROOM = StoredRoom(lineage="1f" * 16, genesis=2**40 + 7, snapshot=b"first", seq=3, log=(), intended=None, saved=None)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = MemoryStore() if request.param == "memory" else SQLiteStore(path=str(tmp_path / "rooms.db"))
    yield made
    with suppress(StoreError):
        asyncio.run(made.close())


@awaited
async def test_an_unknown_room_is_none(store: Store) -> None:
    assert await store.load("nobody") is None
    await store.flush()
    assert store.trouble is None
    assert dict(store.partial) == {}


@awaited
async def test_a_room_comes_back_as_it_was_created(store: Store) -> None:
    whole = replace(ROOM, log=((4, b"four"), (5, b"")), intended=Mark(5, ""), saved=Mark(4, "sha"))
    store.create("a", whole)
    store.create("b", ROOM)
    assert await store.load("a") == whole
    assert await store.load("b") == ROOM


@awaited
async def test_rooms_that_users_began_are_listed_with_what_they_take(store: Store) -> None:
    store.create("server's", ROOM)
    store.create("ada's", replace(ROOM, log=((4, b"four"),)), "ada")
    store.create("somebody's", ROOM, "")
    store.append("ada's", 5, b"fifth", "bob")
    first = len(ROOM.snapshot)
    assert sorted(await store.begun()) == [("ada's", "ada", first + 9), ("somebody's", "", first)]
    store.compact("ada's", 5, b"all")
    store.forget("somebody's")
    assert list(await store.begun()) == [("ada's", "ada", 3)]
    store.create("ada's", ROOM)
    assert list(await store.begun()) == []


@awaited
async def test_updates_are_kept_in_order(store: Store) -> None:
    store.create("a", ROOM)
    log = tuple((seq, bytes([seq % 256]) * (seq % 7)) for seq in range(4, 1500))
    for seq, update in log:
        store.append("a", seq, update, "ann")
    assert await store.load("a") == replace(ROOM, log=log)


@awaited
async def test_load_sees_what_was_queued_before_it_without_a_flush(store: Store) -> None:
    store.create("a", ROOM)
    for seq in range(4, 40):
        store.append("a", seq, b"u", "ann")
        loaded = await store.load("a")
        assert loaded is not None
        assert loaded.log[-1][0] == seq


@awaited
async def test_many_loads_at_once(store: Store) -> None:
    for number in range(50):
        store.create(f"room {number}", replace(ROOM, seq=number))
    loaded = await asyncio.gather(*(store.load(f"room {number}") for number in range(50)))
    assert [room and room.seq for room in loaded] == list(range(50))


@awaited
async def test_create_replaces_the_history_that_stood_there(store: Store) -> None:
    store.create("a", replace(ROOM, log=((4, b"old"),), saved=Mark(4, "old")))
    store.append("a", 5, b"old", "ann")
    fresh = replace(ROOM, lineage="new", genesis=1, seq=0, snapshot=b"")
    store.create("a", fresh)
    store.append("a", 1, b"new", "ann")
    assert await store.load("a") == replace(fresh, log=((1, b"new"),))


@awaited
async def test_compaction_drops_what_the_snapshot_holds_and_keeps_the_rest(store: Store) -> None:
    store.create("a", replace(ROOM, saved=Mark(3, "sha")))
    for seq in range(4, 10):
        store.append("a", seq, b"%d" % seq, "ann")
    store.compact("a", 7, b"seven")
    store.append("a", 10, b"10", "ann")
    log = ((8, b"8"), (9, b"9"), (10, b"10"))
    assert await store.load("a") == replace(ROOM, snapshot=b"seven", seq=7, log=log, saved=Mark(3, "sha"))


@awaited
async def test_an_older_snapshot_is_ignored(store: Store) -> None:
    store.create("a", ROOM)
    for seq in range(4, 8):
        store.append("a", seq, b"u", "ann")
    store.compact("a", 6, b"six")
    store.compact("a", 5, b"five")
    assert await store.load("a") == replace(ROOM, snapshot=b"six", seq=6, log=((7, b"u"),))


@awaited
async def test_a_snapshot_may_be_ahead_of_the_log(store: Store) -> None:
    store.create("a", ROOM)
    store.append("a", 4, b"u", "ann")
    store.compact("a", 9, b"nine")
    store.append("a", 10, b"ten", "ann")
    assert await store.load("a") == replace(ROOM, snapshot=b"nine", seq=9, log=((10, b"ten"),))


@awaited
async def test_marks_change_one_by_one(store: Store) -> None:
    store.create("a", ROOM)
    store.mark("a", intended=Mark(4, ""))
    assert await store.load("a") == replace(ROOM, intended=Mark(4, ""))
    store.mark("a", saved=Mark(4, "sha"))
    assert await store.load("a") == replace(ROOM, intended=Mark(4, ""), saved=Mark(4, "sha"))
    store.mark("a", intended=Mark(6, ""), saved=Mark(5, "other"))
    store.mark("a")
    assert await store.load("a") == replace(ROOM, intended=Mark(6, ""), saved=Mark(5, "other"))


@awaited
async def test_a_forgotten_room_is_gone_and_stays_so(store: Store) -> None:
    store.create("a", replace(ROOM, log=((4, b"u"),)))
    store.create("b", ROOM)
    store.forget("a")
    store.forget("nobody")
    store.append("a", 5, b"late", "ann")
    store.mark("a", saved=Mark(5, "late"))
    assert await store.load("a") is None
    assert await store.load("b") == ROOM
    await store.flush()
    store.create("a", ROOM)
    assert await store.load("a") == ROOM


@awaited
async def test_what_is_set_aside_leaves_the_rest(store: Store) -> None:
    store.create("a", replace(ROOM, seq=3, saved=Mark(3, "sha")))
    for seq in range(4, 8):
        store.append("a", seq, b"%d" % seq, "ann")
    store.set_aside("a", {5, 6})
    store.append("a", 8, b"8", "ann")
    log = (4, b"4"), (5, NO_CHANGE), (6, NO_CHANGE), (7, b"7"), (8, b"8")
    left = replace(ROOM, seq=3, saved=Mark(3, "sha"), log=log)
    assert await store.load("a") == left
    store.set_aside("a", {3})
    assert await store.load("a") == replace(left, snapshot=NO_CHANGE)
    past = await store.past("a")
    assert past is not None
    assert len(past.made) == 5
    store.set_aside("a", None)
    store.append("a", 9, b"late", "ann")
    store.set_aside("nobody", None)
    assert await store.load("a") is None
    store.create("a", ROOM)
    assert await store.load("a") == ROOM


@awaited
async def test_changes_of_an_unknown_room_are_ignored(store: Store) -> None:
    store.append("a", 1, b"u", "ann")
    store.compact("a", 1, b"snapshot")
    store.mark("a", intended=Mark(1, ""), saved=Mark(1, "sha"))
    assert await store.load("a") is None
    await store.flush()
    assert store.trouble is None


@awaited
async def test_rooms_of_any_name_do_not_touch_each_other(store: Store) -> None:
    names = ["json:notebook:1", "json:notebook:10", "JSON:notebook:1", "", " ", "é", "'; DROP TABLE rooms", "a\0b"]
    for seq, name in enumerate(names, 4):
        store.create(name, ROOM)
        store.append(name, 4, name.encode(), name)
        store.compact(name, seq, b"%d" % seq)
    for seq, name in enumerate(names, 4):
        assert await store.load(name) == replace(ROOM, seq=seq, snapshot=b"%d" % seq)


@awaited
async def test_a_large_document_goes_in_and_out(store: Store) -> None:
    state = os.urandom(8 * 2**20)
    store.create("a", replace(ROOM, snapshot=state))
    store.append("a", 4, state, "ann")
    assert await store.load("a") == replace(ROOM, snapshot=state, log=((4, state),))
    store.compact("a", 4, state + b"!")
    assert await store.load("a") == replace(ROOM, snapshot=state + b"!", seq=4)


CHECKPOINTS = (
    Checkpoint(Version(3, 1.5, 2.5, ()), b"as it was"),
    Checkpoint(Version(5, 10.0, 11.25, ("ann", "", 'b"ob é')), b"\0what they did"),
    Checkpoint(Version(6, 12.0, 12.5, ("ann",), True), b"what was sealed"),
)


@awaited
async def test_the_past_says_who_made_which_update_and_when(store: Store) -> None:
    assert await store.past("a") is None
    store.create("a", replace(ROOM, log=((4, b"four"),)))
    before = time.time()
    store.append("a", 5, b"five", "ann")
    store.append("a", 6, b"six", "")
    past = await store.past("a")
    assert past is not None
    assert past.stored == await store.load("a")
    assert [author for author, _ in past.made] == ["", "ann", ""]
    assert all(before - 5 <= when <= time.time() for _, when in past.made)
    assert past.checkpoints == ()


@awaited
async def test_checkpoints_come_with_a_compaction_and_stay_until_others_do(store: Store) -> None:
    store.create("a", ROOM)
    store.create("b", ROOM)
    for seq in range(4, 9):
        store.append("a", seq, b"%d" % seq, "ann")
    store.compact("a", 5, b"five", CHECKPOINTS)
    past = await store.past("a")
    assert past is not None
    assert past == Past(replace(ROOM, seq=5, snapshot=b"five", log=past.stored.log), past.made, CHECKPOINTS)
    assert len(past.made) == len(past.stored.log) == 3
    store.compact("a", 6, b"six")
    store.compact("a", 2, b"two", ())
    store.compact("b", 3, b"three", [])
    assert (past := await store.past("a")) is not None
    assert past.checkpoints == CHECKPOINTS
    assert (past := await store.past("b")) is not None
    assert past.checkpoints == ()
    store.compact("a", 6, b"six", CHECKPOINTS[1:])
    assert (past := await store.past("a")) is not None
    assert past.checkpoints == CHECKPOINTS[1:]


@pytest.mark.parametrize("end", ["create", "forget"])
@awaited
async def test_checkpoints_end_with_their_history(store: Store, end: str) -> None:
    store.create("a", ROOM)
    store.compact("a", 3, b"three", CHECKPOINTS)
    if end == "forget":
        store.forget("a")
        assert await store.past("a") is None
    store.create("a", ROOM)
    assert await store.past("a") == Past(ROOM, (), ())


@awaited
async def test_records_are_kept_in_the_order_in_which_they_were_first_put(store: Store) -> None:
    assert list(await store.records("k")) == []
    first, second = Record("a", b"\0", False, 1.5), Record("b", b"", True, 2.0)
    store.put_record("k", first)
    store.put_record("k", second)
    store.put_record("other", first._replace(value=b"of another kind"))
    assert list(await store.records("k")) == [first, second]
    newer = first._replace(value=b"newer", kept=True, time=3.0)
    store.put_record("k", newer)
    assert list(await store.records("k")) == [newer, second]
    store.remove_record("k", "a")
    store.remove_record("k", "nothing")
    store.put_record("k", first)
    await store.flush()
    assert list(await store.records("k")) == [second, first]
    assert [one.value for one in await store.records("other")] == [b"of another kind"]


@awaited
async def test_a_closed_store_takes_and_gives_nothing(store: Store) -> None:
    store.create("a", ROOM)
    await store.close()
    await store.close()
    store.create("b", ROOM)
    store.append("a", 4, b"u", "ann")
    store.compact("a", 4, b"")
    store.mark("a", saved=Mark(4, ""))
    store.forget("a")
    store.put_record("k", Record("a", b"", False, 1.0))
    store.remove_record("k", "a")
    with pytest.raises(StoreError):
        await store.records("k")
    with pytest.raises(StoreError):
        await store.load("a")
    with pytest.raises(StoreError):
        await store.past("a")
    with pytest.raises(StoreError):
        await store.flush()


@awaited
async def test_a_store_serves_one_loop_after_another(store: Store) -> None:
    def elsewhere(work: Awaitable[StoredRoom | None]) -> StoredRoom | None:
        async def wait() -> StoredRoom | None:
            return await work

        return asyncio.run(wait())

    store.create("a", ROOM)
    assert await asyncio.to_thread(elsewhere, store.load("a")) == ROOM
    assert await store.load("a") == ROOM


ROOMS = st.sampled_from(["a", "b"])
BLOBS = st.binary(max_size=5)
MARKS = st.none() | st.builds(Mark, st.integers(0, 20), st.text(max_size=3))
CALLS = st.one_of(
    st.tuples(st.just("append"), ROOMS, BLOBS),
    st.tuples(st.just("append"), ROOMS, BLOBS),
    st.tuples(
        st.just("create"),
        ROOMS,
        st.builds(
            StoredRoom,
            BLOBS.map(bytes.hex),
            st.integers(0, 2**53),
            BLOBS,
            st.integers(0, 20),
            st.just(()),
            MARKS,
            MARKS,
        ),
    ),
    st.tuples(st.just("compact"), ROOMS, st.integers(0, 40), BLOBS, st.sampled_from([None, CHECKPOINTS, ()])),
    st.tuples(st.just("mark"), ROOMS, MARKS, MARKS),
    st.tuples(st.just("forget"), ROOMS),
    st.tuples(st.just("load"), ROOMS),
    st.tuples(st.just("put"), st.sampled_from("kl"), st.builds(Record, ROOMS, BLOBS, st.booleans(), st.just(1.0))),
    st.tuples(st.just("remove"), st.sampled_from("kl"), ROOMS),
    st.tuples(st.just("records"), st.sampled_from("kl")),
)


async def play(store: Store, calls: list[tuple]) -> list[object]:
    """Make the calls, numbering the updates as a relay does, and return every room and its past as they were loaded."""
    seen, last = [], {"a": 0, "b": 0}
    for name, room, *rest in [*calls, ("load", "a"), ("load", "b"), ("records", "k"), ("records", "l")]:
        match name:
            case "append":
                last[room] += 1
                store.append(room, last[room], *rest, "ann")
            case "create":
                store.create(room, *rest)
                last[room] = rest[0].seq
            case "compact":
                seq = min(rest[0], last[room])
                store.compact(room, seq, *rest[1:])
            case "mark":
                store.mark(room, intended=rest[0], saved=rest[1])
            case "forget":
                store.forget(room)
            case "put":
                store.put_record(room, *rest)
            case "remove":
                store.remove_record(room, *rest)
            case "records":
                seen.append(list(await store.records(room)))
            case "load":
                seen.append(await store.load(room))
                past = await store.past(room)
                seen.append(past and (past.stored, [author for author, _ in past.made], past.checkpoints))
    await store.close()
    return seen


@settings(max_examples=40, deadline=None)
@given(st.lists(CALLS, max_size=25))
def test_both_stores_agree(calls: list[tuple]) -> None:
    with TemporaryDirectory() as folder:
        in_memory = asyncio.run(play(MemoryStore(), calls))
        on_disk = asyncio.run(play(SQLiteStore(path=f"{folder}/rooms.db", synchronous="OFF"), calls))
    assert on_disk == in_memory
