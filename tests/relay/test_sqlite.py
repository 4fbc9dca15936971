"""What a SQLiteStore does beyond the shared suite: it survives kills, trouble, damage and neighbours."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_rtc.relay.storing.store import Checkpoint, Mark, StoreError, Version

from .stores import ROOM, append, awaited, locked, log_of, opened, until

ROOT = Path(__file__).parents[2]


def commits(path: Path) -> int:
    """Count the transactions in a write-ahead log: https://www.sqlite.org/fileformat2.html#the_write_ahead_log"""
    data = Path(f"{path}-wal").read_bytes()
    frame = 24 + int.from_bytes(data[8:12], "big")
    return sum(any(data[start + 4 : start + 8]) for start in range(32, len(data), frame))


# Durable, and cheap


KILLED = """
import asyncio, sys
from jupyter_rtc.relay.storing.sqlite import SQLiteStore
from jupyter_rtc.relay.storing.store import StoredRoom

async def main():
    store = SQLiteStore()
    store.create("a", StoredRoom("lineage", 7, b"first", 0, (), None, None))
    seq = 0
    while True:
        for _ in range(20):
            seq += 1
            store.append("a", seq, b"u%d" % seq, "ann")
        await store.flush()
        print(seq, flush=True)

asyncio.run(main())
"""


@awaited
async def test_what_was_flushed_survives_kill_9(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        KILLED,
        cwd=ROOT,
        env={**os.environ, "JUPYTER_DATA_DIR": str(tmp_path / "data")},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    for _ in range(20):
        flushed = int(await process.stdout.readline())
    process.kill()
    await process.wait()
    path = tmp_path / "data" / "jupyter_rtc" / "rooms.db"
    async with opened(path) as store:
        room = await store.load("a")
        assert room is not None
        assert len(room.log) >= flushed >= 400
        assert room == replace(ROOM, lineage="lineage", log=log_of(*range(1, len(room.log) + 1)))
        append(store, len(room.log) + 1)
        await store.flush()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@awaited
async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    async with opened(tmp_path / "new" / "rooms.db") as store:
        store.create("a", ROOM)
        await store.flush()
        files = sorted((tmp_path / "new").iterdir())
        assert [file.name for file in files] == ["rooms.db", "rooms.db-shm", "rooms.db-wal"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["rooms.db"]


@awaited
async def test_a_reopened_store_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    for seq in range(1, 5):
        async with opened(path) as store:
            room = await store.load("a")
            assert room == (None if seq == 1 else replace(ROOM, log=log_of(*range(1, seq)), saved=Mark(seq - 1, "h")))
            if room is None:
                store.create("a", ROOM)
            append(store, seq)
            store.mark("a", saved=Mark(seq, "h"))


@awaited
async def test_appends_are_committed_in_groups(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", ROOM)
        await store.flush()
        before, start = commits(path), time.monotonic()
        for seq in range(1, 401):
            append(store, seq)
            await asyncio.sleep(0.001)
        await store.flush()
        groups = (time.monotonic() - start) / 0.05
        assert 2 <= commits(path) - before <= groups + 2
        await store.flush()
        assert await store.load("a") == replace(ROOM, log=log_of(*range(1, 401)))


@awaited
async def test_nobody_waits_for_the_commit_interval(tmp_path: Path) -> None:
    async with opened(tmp_path / "rooms.db", commit_interval=10_000) as store:
        store.create("a", ROOM)
        await store.flush()
        append(store, 1)
        assert await store.load("a") == replace(ROOM, log=log_of(1))
        append(store, 2)
        await store.close()
    async with opened(tmp_path / "rooms.db") as store:
        assert await store.load("a") == replace(ROOM, log=log_of(1, 2))


@awaited
async def test_changes_are_committed_without_a_flush(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path, commit_interval=0.01) as store, opened(path) as reader:
        store.create("a", ROOM)
        for _ in range(1000):
            if await reader.load("a"):
                break
        assert await reader.load("a") == ROOM


@awaited
async def test_the_file_shrinks_when_rooms_do(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", replace(ROOM, snapshot=os.urandom(2**20)))
        for seq in range(1, 5):
            store.append("a", seq, os.urandom(2**20), "ann")
        await store.close()
    large = path.stat().st_size
    async with opened(path) as store:
        assert await store.load("a")
        store.compact("a", 4, os.urandom(2**20))
    assert path.stat().st_size < large / 4
    async with opened(path) as store:
        store.forget("a")
    assert path.stat().st_size < 2**16


# Trouble


@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
@awaited
async def test_a_lock_is_waited_out_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, journal_mode: str
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "rooms.db"
    async with opened(path, journal_mode=journal_mode) as store:
        store.create("a", ROOM)
        await store.flush()
        with locked(path):
            append(store, 1)
            store.mark("a", saved=Mark(1, "h"))
            for seq in (2, 3):
                append(store, seq)
                with pytest.raises(StoreError, match="locked"):
                    await store.flush()
            assert "locked" in (store.trouble or "")
            assert dict(store.partial) == {}
            append(store, 4)
        await until(lambda: store.trouble is None)
        await store.flush()
        assert await store.load("a") == replace(ROOM, log=log_of(1, 2, 3, 4), saved=Mark(1, "h"))
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]


@awaited
async def test_a_load_waits_for_the_end_of_a_short_lock(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        store.create("a", ROOM)
        await store.flush()
        with locked(path):
            append(store, 1)
            loading = asyncio.ensure_future(store.load("a"))
            await until(lambda: store.trouble)
            assert not loading.done()
        assert await loading == replace(ROOM, log=log_of(1))


@pytest.mark.parametrize(("journal_mode", "lock"), [("WAL", "IMMEDIATE"), ("DELETE", "EXCLUSIVE")])
@awaited
async def test_a_locked_store_closes_in_time_and_says_what_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, journal_mode: str, lock: str
) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path, journal_mode=journal_mode) as store:
        store.create("a", ROOM)
        await store.flush()
        with locked(path, lock):
            append(store, 1)
            loading = asyncio.ensure_future(store.load("a"))
            await until(lambda: store.trouble)
            with pytest.raises(StoreError, match="locked"):
                await store.close()
            with pytest.raises(StoreError):
                await loading
    assert "with 1 changes that it does not hold" in caplog.text


@awaited
async def test_a_folder_that_cannot_be_made_is_trouble_until_it_can(tmp_path: Path) -> None:
    blocking = tmp_path / "folder"
    blocking.write_text("a file")
    async with opened(blocking / "rooms.db") as store:
        store.create("a", ROOM)
        append(store, 1)
        with pytest.raises(StoreError):
            await store.flush()
        assert blocking.read_text() == "a file"
        blocking.unlink()
        await store.flush()
        assert store.trouble is None
        assert await store.load("a") == replace(ROOM, log=log_of(1))


FULL = """
import asyncio, json, os, resource, sys
from jupyter_rtc.relay.storing.sqlite import SQLiteStore
from jupyter_rtc.relay.storing.store import StoredRoom, StoreError

async def main():
    store = SQLiteStore(path=sys.argv[1])
    store.create("a", StoredRoom("lineage", 7, b"first", 0, (), None, None))
    await store.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    for seq in range(1, 101):
        store.append("a", seq, os.urandom(10_000), "ann")
    try:
        await store.flush()
    except StoreError:
        trouble = store.trouble
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.flush()
    room = await store.load("a")
    print(json.dumps([trouble, [seq for seq, _ in room.log], store.trouble]))
    await store.close()

asyncio.run(main())
"""


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "rooms.db")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    during, seqs, after = json.loads(done.stdout)
    assert "Cannot write" in during
    assert seqs == list(range(1, 101))
    assert after is None


@awaited
async def test_to_look_at_a_rooms_past_takes_it_from_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path / "rooms.db") as ours, opened(tmp_path / "rooms.db") as theirs:
        theirs.create("a", ROOM)
        append(theirs, 1, 2)
        await theirs.flush()
        past = await ours.past("a")
        assert past is not None
        assert past.stored == replace(ROOM, log=log_of(1, 2))
        append(theirs, 3)
        await theirs.flush()
        assert await theirs.load("a") == replace(ROOM, log=log_of(1, 2, 3))
        assert theirs.trouble is None


@awaited
async def test_checkpoints_survive_a_restart(tmp_path: Path) -> None:
    kept = (Checkpoint(Version(2, 1.0, 2.0, ("ann",)), bytes(range(256)) * 100),)
    async with opened(tmp_path / "rooms.db") as store:
        store.create("a", ROOM)
        append(store, 1, 2, 3)
        store.compact("a", 2, b"two", kept)
    async with opened(tmp_path / "rooms.db") as store:
        past = await store.past("a")
        assert past is not None
        assert past.checkpoints == kept
        assert past.stored == replace(ROOM, snapshot=b"two", seq=2, log=log_of(3))


@awaited
async def test_a_path_that_cannot_be_written_is_told_at_once_and_waited_for_by_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "rooms.db"
    async with opened(path, patience=1e6) as store:  # whoever waited would do so for ever
        await until(lambda: store.trouble)  # nobody has asked for anything
        (warning,) = caplog.messages
        assert str(path) in warning
        assert "SQLiteStore.path" in warning
        with pytest.raises(StoreError, match="cannot be read"):
            await store.load("a")
        (tmp_path / "file").unlink()
        await until(lambda: store.trouble is None)  # likewise
        store.create("a", ROOM)
        assert await store.load("a") == ROOM


class Unforeseen(BaseException):
    """What no caller of SQLite expects."""


class Poison(str):
    """A username that cannot be written down."""

    def __conform__(self, protocol: object) -> str:
        raise Unforeseen("poison")


@awaited
async def test_nothing_that_is_raised_in_the_thread_ends_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def read(connection: sqlite3.Connection, room: str) -> None:
        raise Unforeseen(room)

    async with asyncio.timeout(20), opened(tmp_path / "rooms.db") as store:
        store.create("a", ROOM)
        store.create("b", ROOM)
        with pytest.raises(StoreError, match="a cannot be read: a"):
            await store._whole("a", read)
        store.append("a", 1, b"u1", Poison("eve"))
        append(store, 1, room="b")
        with pytest.raises(StoreError, match="poison"):
            await store.flush()
        assert list(store.partial) == ["a"]
        assert await store.load("b") == replace(ROOM, log=log_of(1))
        store.compact("a", 1, b"whole")
        await store.flush()
        assert await store.load("a") == replace(ROOM, seq=1, snapshot=b"whole")
    assert "an unforeseen error in the store: a" in caplog.text
