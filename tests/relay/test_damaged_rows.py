"""Bytes that changed in a database that is sound otherwise: noticed where there is a checksum, and set aside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc
from traitlets.config import Config

from jupyter_rtc.relay import FreeRooms, Member, Relay
from jupyter_rtc.relay.storing.store import Checkpoint, DamagedError, Mark, Past, Version
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.awareness import Identity
from jupyter_rtc.wire.protocol import NO_CHANGE

from .by_hand import append as typed
from .by_hand import in_memory, observed, text_of
from .peer import eventually
from .stores import ROOM, append, awaited, log_of, opened, query
from .wire import Socket

MEGABYTE = 1 << 20


def past(*seqs: int) -> tuple[Checkpoint, ...]:
    """Return past versions that tell their numbers."""
    return tuple(Checkpoint(Version(seq, 1.0, 2.0, ("ann",)), b"past %d" % seq) for seq in seqs)


@awaited
@pytest.mark.parametrize(("table", "column", "seq"), [("snapshots", "state", 0), ("log", "data", 2)])
@pytest.mark.parametrize("value", [b"u0", "no bytes", 7])
async def test_a_change_is_noticed(tmp_path: Path, table: str, column: str, seq: int, value: object) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", ROOM)
        append(store, 1, 2, 3)
        await store.flush()
        query(path, f"UPDATE {table} SET {column} = ? WHERE seq = ?", value, seq)
        for read in (store.load, store.past):
            with pytest.raises(DamagedError, match="1 of the 4") as caught:
                await read("a")
            assert caught.value.seqs == {seq}
            assert caught.value.stored.last == 3


@awaited
@pytest.mark.parametrize(("column", "value"), [("saved_seq", 1), ("saved_seq", "x"), ("genesis", 0), ("lineage", 5)])
async def test_a_change_beside_the_document_ends_what_is_known_of_its_file(
    tmp_path: Path, column: str, value: object
) -> None:
    """The document is whole. Which part of it the file has is not known any more; nor is who may come in unheard."""
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", ROOM)
        append(store, 1, 2)
        store.mark("a", intended=Mark(2, ""), saved=Mark(2, "sha"))
        await store.flush()
    query(path, f"UPDATE rooms SET {column} = ?", value)
    async with opened(path) as store:
        found = await store.load("a")
        assert found is not None
        assert (found.log, found.intended, found.saved) == (log_of(1, 2), None, None)
        assert found.genesis != 0
        assert "'a' was damaged" in str(store.damage)
        store.mark("a", saved=Mark(2, "new"))
        await store.flush()
    assert [part for (part,) in query(path, "SELECT part FROM damaged")] == ["room"]
    async with opened(path) as store:
        assert await store.load("a") == replace(found, saved=Mark(2, "new"))
        assert store.damage is None


@awaited
async def test_what_stands_in_the_place_of_another_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", ROOM)
        append(store, 1, 2, 3)
        await store.flush()
        query(path, "UPDATE log SET seq = 4 WHERE seq = 3")
        with pytest.raises(DamagedError) as caught:
            await store.load("a")
        assert caught.value.seqs == {3}  # the one that is missing


@awaited
async def test_what_is_set_aside_is_kept_with_what_stood_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", replace(ROOM, saved=Mark(0, "sha")))
        append(store, 1, 2, 3)
        await store.flush()
        query(path, "UPDATE log SET data = 'x' WHERE seq = 2")
        store.set_aside("a", {2})
        append(store, 4)
        log = ((1, b"u1"), (2, NO_CHANGE), *log_of(3, 4))
        assert await store.load("a") == replace(ROOM, saved=Mark(0, "sha"), log=log)
        assert query(path, "SELECT room, part, seq, data FROM damaged WHERE part != 'room'") == [("a", "log", 2, "x")]
        ((identity,),) = query(path, "SELECT data FROM damaged WHERE part = 'room'")
        assert '"saved_hash": "sha"' in identity
        assert "room 'a'" in (store.damage or "")


@awaited
async def test_a_whole_room_is_set_aside_with_its_past(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", ROOM)
        append(store, 1, 2)
        store.compact("a", 1, b"one", past(0, 1))
        store.set_aside("a", None)
        store.create("a", replace(ROOM, lineage="new"))
        assert await store.load("a") == replace(ROOM, lineage="new")
        rows = query(path, "SELECT part, seq, data FROM damaged WHERE part != 'room' ORDER BY part, seq")
        whole = [("checkpoints", 0, b"past 0"), ("checkpoints", 1, b"past 1")]
        assert rows == [*whole, ("log", 2, b"u2"), ("snapshots", 1, b"one")]


@awaited
async def test_a_room_of_another_server_is_not_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as first, opened(path) as second:
        first.create("a", ROOM)
        await first.flush()
        assert await second.load("a") == ROOM
        first.set_aside("a", None)
        await first.flush()
        assert await second.load("a") == ROOM
        assert query(path, "SELECT * FROM damaged") == []


@awaited
async def test_what_was_set_aside_longest_ago_goes_when_there_is_too_much(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path, size_limit=32 * MEGABYTE) as store:
        for number in range(5):
            store.create(f"{number}", replace(ROOM, snapshot=bytes(MEGABYTE - 1000)))
            store.set_aside(f"{number}", None)
            await store.flush()
        kept = query(path, "SELECT DISTINCT room FROM damaged ORDER BY room")
        assert kept == [("3",), ("4",)]
        store.create("large", replace(ROOM, snapshot=bytes(8 * MEGABYTE)))
        store.set_aside("large", None)
        await store.flush()
        assert query(path, "SELECT DISTINCT room FROM damaged") == [("large",)]


@awaited
async def test_a_damaged_version_ends_the_past_and_is_kept_when_it_is_folded(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", ROOM)
        store.compact("a", 0, b"first", past(1, 2, 3, 4))
        await store.flush()
        query(path, "UPDATE checkpoints SET data = 'x' WHERE seq = 3")
        found = await store.past("a")
        assert isinstance(found, Past)
        assert found.checkpoints == past(1, 2)
        store.compact("a", 0, b"first", past(1, 2))
        assert (await store.past("a")) == found
        assert query(path, "SELECT part, seq FROM damaged") == [("checkpoints", 3), ("checkpoints", 4)]


# Rooms without a file


def relay_on(path: Path) -> Relay:
    """Make a relay of free rooms that folds its logs soon."""
    sizes = {"eviction_delay": 600, "compact_bytes": 1 << 10, "keepalive_interval": 0.1}
    store = {"path": str(path), "synchronous": "OFF"}
    return Relay([FreeRooms()], config=Config({"Relay": sizes, "SQLiteStore": store}))


async def filled(relay: Relay, *words: tuple[str, str]) -> None:
    """Have people, named first, type words in the room."""
    room = await in_memory(relay, "room")
    for name in dict(words):
        doc: Doc[Any] = Doc()
        member = Member(Identity(name, {}), True)
        relay.join(room, member, Socket())
        for author, word in words:
            if author == name:
                for update in observed(doc, typed(word)):
                    relay.receive(room, member, protocol.update(update))
    await relay.store.flush()


@pytest.mark.parametrize("summed", [True, False])
async def test_a_free_room_goes_on_with_what_is_left(tmp_path: Path, summed: bool) -> None:
    path = tmp_path / "rooms.db"
    relay = relay_on(path)
    await filled(relay, ("ada", "one "), ("ada", "two "), ("bob", "three "))
    await relay.close()
    query(path, "UPDATE log SET data = ? WHERE seq = 2", b"\xff" * 20)
    if not summed:  # then nobody knows what of the rest is sound
        query(path, "UPDATE log SET sum = NULL")
    relay = relay_on(path)
    room = await in_memory(relay, "room")
    assert sorted(text_of(room.doc).split()) == (["one", "three"] if summed else ["one"])
    room.edit(typed("four"))
    await relay.close()
    relay = relay_on(path)
    assert "four" in text_of((await in_memory(relay, "room")).doc)
    await relay.close()
    assert len(query(path, "SELECT * FROM damaged WHERE part = 'log'")) == (1 if summed else 2)


async def test_a_free_room_whose_snapshot_is_damaged_takes_in_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    relay = relay_on(path)
    await filled(relay, ("ada", "one "), ("bob", "two "))
    room = await in_memory(relay, "room")
    relay.store.compact("room", room.seq, room.doc.get_update())
    await relay.close()
    query(path, "UPDATE snapshots SET state = substr(state, 1, 10)")
    relay = relay_on(path)
    room = await in_memory(relay, "room")
    assert room.doc.get_update() == NO_CHANGE
    await filled(relay, ("ada", "one "))
    await relay.close()
    relay = relay_on(path)
    assert text_of((await in_memory(relay, "room")).doc) == "one "
    await relay.close()


async def test_what_is_damaged_while_a_room_is_open_is_stored_anew_from_memory(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    relay = relay_on(path)
    await filled(relay, ("ada", "one "), ("ada", "two "))
    query(path, "UPDATE log SET data = 'x' WHERE seq = 1")
    room = relay.get("room")
    assert room is not None
    room.edit(typed("three" * 1000))
    await eventually(lambda: relay.overview()[0]["log_bytes"] == 0)
    await relay.close()
    relay = relay_on(path)
    assert text_of((await in_memory(relay, "room")).doc) == "one two " + "three" * 1000
    await relay.close()
    assert query(path, "SELECT seq, data FROM damaged WHERE part = 'log'") == [(1, "x")]
