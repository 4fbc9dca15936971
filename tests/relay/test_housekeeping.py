"""What keeps the database small: rooms that are spare are dropped, free space is given back, the log is ended."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc
from traitlets.config import Config

from jupyter_rtc.relay import FreeRooms, Member, OpenRoom, Relay, Resident
from jupyter_rtc.relay.storing.housekeeping import is_remote
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.awareness import Identity

from .by_hand import append as typed
from .by_hand import in_memory, observed, text_of
from .faulty import Faulty
from .peer import eventually
from .stores import ROOM, append, awaited, opened, until
from .wire import Socket

MEGABYTE = 1 << 20


def megabyte(seq: int = 0) -> Any:
    """Return a room that takes a megabyte."""
    return replace(ROOM, snapshot=os.urandom(MEGABYTE), seq=seq)


def log_size(path: Path) -> int:
    """Return the size of a database's write-ahead log."""
    return Path(f"{path}-wal").stat().st_size


def names(path: Path) -> set[str]:
    """Return the names of the rooms in a database."""
    with closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM rooms")}


# Rooms that are dropped


@awaited
async def test_a_full_store_drops_what_is_spare_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path / "rooms.db", size_limit=5 * MEGABYTE) as store:
        rooms = {"open": None, "unsaved": False, "oldest": True, "older": True, "newer": True}
        for name, spare in rooms.items():
            store.create(name, megabyte())
            if spare is not None:
                store.release(name, spare)
            await store.flush()
        store.create("last", megabyte())
        await until(lambda: names(tmp_path / "rooms.db") == {"open", "unsaved", "newer", "last"})
        await store.flush()
        assert names(tmp_path / "rooms.db") == {"open", "unsaved", "newer", "last"}


@awaited
async def test_a_room_that_is_in_use_again_is_not_spare(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", megabyte())
        store.release("a", True)
        assert await store.load("a")
        store.create("b", megabyte())
        store.release("b", True)
    async with opened(path, size_limit=MEGABYTE) as store, opened(path) as other:
        assert await other.load("b")  # another server has it open
        for _ in range(3):
            store.create("c", megabyte())
            await store.flush()
        assert await other.load("a")
        assert await other.load("b")


@awaited
async def test_what_is_changed_after_the_release_is_ignored_until_the_room_is_loaded_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "rooms.db") as store:
        store.create("a", ROOM)
        store.release("a", True)
        append(store, 1)
        assert await store.load("a") == ROOM
        append(store, 1)
        assert await store.load("a") == replace(ROOM, log=((1, b"u1"),))


@awaited
async def test_a_room_that_is_stored_only_in_part_is_never_spare(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path, size_limit=MEGABYTE) as store:
        store.create("a", megabyte())
        store.append("a", 1, b"u", "\ud800")  # cannot be stored
        store.release("a", True)
        for _ in range(3):
            store.create("b", megabyte())
            await store.flush()
        assert await store.load("a")


# Space that is given back


@awaited
async def test_free_space_is_given_back_in_steps_while_the_store_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        for number in range(10):
            store.create(f"{number}", replace(ROOM, snapshot=os.urandom(4 * MEGABYTE)))
        await store.flush()
        store.create("small", ROOM)
        for number in range(10):
            store.forget(f"{number}")
        append(store, *range(1, 100), room="small")
        assert await store.load("small")
        await until(lambda: path.stat().st_size < MEGABYTE)
    assert path.stat().st_size < MEGABYTE


@awaited
async def test_the_write_ahead_log_is_ended_when_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path, rest=1e6) as store:
        store.create("a", megabyte())
        await store.flush()
        assert log_size(path) > 0
    async with opened(path, rest=0.05) as store:
        store.create("b", megabyte())
        await store.flush()
        await until(lambda: log_size(path) == 0)


# Logs that are folded


def relay_with(tmp_path: Path, **traits: int) -> Relay:
    """Make a relay that folds logs for their number of updates, or for their size."""
    store = {"path": str(tmp_path / "rooms.db"), "synchronous": "OFF"}
    often = {"keepalive_interval": 0.1}  # how often it looks what is to be folded
    return Relay([FreeRooms()], config=Config({"Keeper": traits, "SQLiteStore": store, "Relay": often}))


def joined(relay: Relay, room: OpenRoom) -> tuple[Member, Doc[Any]]:
    """Let somebody in, with an empty document."""
    member = Member(Identity("ada", {}), True)
    relay.join(room, member, Socket())
    return member, Doc()


def write(relay: Relay, room: OpenRoom, member: Member, doc: Doc[Any], *texts: str) -> None:
    """Type texts."""
    for text in texts:
        for update in observed(doc, typed(text)):
            relay.receive(room, member, protocol.update(update))


async def test_a_long_log_is_folded_however_small_it_is(tmp_path: Path) -> None:
    relay = relay_with(tmp_path, compact_updates=100)
    room = await in_memory(relay, "room")
    member, doc = joined(relay, room)
    write(relay, room, member, doc, *"abcdefghij" * 11)
    await eventually(lambda: relay.overview()[0]["log_bytes"] == 0)
    write(relay, room, member, doc, "!")
    stored = await relay.store.load("room")
    assert stored is not None
    assert len(stored.log) < 10
    assert text_of(stored.document()) == text_of(doc)
    await relay.close()


async def test_what_is_typed_while_a_log_is_folded_is_not_folded_away() -> None:
    relay = Relay([FreeRooms()], config=Config({"Relay": {"store_class": Faulty}, "Keeper": {"compact_updates": 10}}))
    store = relay.store
    assert isinstance(store, Faulty)
    room = await in_memory(relay, "room")
    member, doc = joined(relay, room)
    store.asked.clear()
    store.open.clear()
    write(relay, room, member, doc, *"abcdefghijkl")
    await store.asked.wait()  # what it answers is known now, and on its way
    write(relay, room, member, doc, *"mnop")
    store.open.set()
    await eventually(lambda: relay.overview()[0]["snapshot_bytes"] > 2)
    stored = await store.load("room")
    assert stored is not None
    assert text_of(stored.document()) == text_of(doc) == "abcdefghijklmnop"
    assert relay.overview()[0]["log_bytes"] == sum(len(update) for _, update in stored.log)
    await relay.close()


class Unsaved(FreeRooms, Resident):
    """Rooms whose first update must be told from the others: their file has only that."""

    def resident(self, room: OpenRoom) -> Resident:
        """Look after all of them."""
        return self

    def settled(self) -> int:
        """Return the number of the first update."""
        return 1


async def test_a_room_over_its_limit_is_folded_beyond_its_base_and_loses_nothing(tmp_path: Path) -> None:
    relay = Relay(
        [Unsaved()],
        config=Config(
            {
                "Relay": {"compact_bytes": 1 << 10},
                "Keeper": {"compact_updates": 10, "room_limit": 20_000},
                "SQLiteStore": {"path": str(tmp_path / "rooms.db")},
            }
        ),
    )
    room = await in_memory(relay, "room")
    member, doc = joined(relay, room)
    write(relay, room, member, doc, "base", *["x" * 100] * 100)
    await eventually(lambda: 0 < relay.overview()[0]["snapshot_bytes"] < 1000)
    assert relay.overview()[0]["log_bytes"] > 10_000  # under the limit the base is kept
    write(relay, room, member, doc, *["y" * 100] * 100)
    await eventually(lambda: relay.overview()[0]["log_bytes"] == 0)
    stored = await relay.store.load("room")
    assert stored is not None
    assert text_of(stored.document()) == text_of(doc)
    assert len(stored.snapshot) < 25_000
    await relay.close()


# Where the file is


MOUNTS = """22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2
31 30 254:2 / /home/ann/local\\040disk rw,relatime - xfs /dev/vdb rw
32 22 0:30 / /mnt/ssh rw - fuse.sshfs ann@host: rw
"""


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("/var/rooms.db", False),
        ("/home/ann/rooms.db", True),
        ("/homes/ann/rooms.db", False),
        ("/home/ann/local disk/rooms.db", False),
        ("/mnt/ssh/rooms.db", True),
    ],
)
def test_a_network_file_system_is_recognised(path: str, remote: bool) -> None:
    assert is_remote(Path(path), MOUNTS) is remote


def test_this_disk_is_not_one(tmp_path: Path) -> None:
    assert not is_remote(tmp_path / "rooms.db")


@pytest.mark.parametrize("mode", ["AUTO", "TRUNCATE"])
@awaited
async def test_an_exclusive_store_keeps_others_out(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path, exclusive=True, journal_mode=mode) as store:
        store.create("a", ROOM)
        await store.flush()
        async with opened(path) as other:
            other.create("b", ROOM)
            await until(lambda: "locked" in (other.trouble or ""))
        assert await store.load("a") == ROOM
    async with opened(path) as later:
        assert await later.load("a") == ROOM
