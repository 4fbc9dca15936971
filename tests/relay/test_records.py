"""Durable records: kept in order and within bounds, through kills, trouble, damage and other servers."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_rtc.relay import Bounds, MemoryStore, Record, Records, Store, StoreError

from .stores import ROOM, aside, awaited, locked, opened, query, until
from .test_sqlite import ROOT

ANY = Bounds(1000, 1 << 20)


def record(id: str, value: bytes = b"{}", kept: bool = False) -> Record:
    """Return a record that was put at some time."""
    return Record(id, value, kept, 5.0)


async def loaded(store: Store, kind: str = "k", bounds: Bounds = ANY) -> Records:
    """Return the records of a kind that a store has."""
    records = Records(store, kind, bounds)
    await records.load()
    return records


# Kept by servers that come and go


@awaited
async def test_records_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        records = await loaded(store)
        for number in range(5):
            records.put(f"{number}", {"n": number}, kept=number == 3)
        records.put("1", {"n": "é"})
        records.remove("2")
        records.put("2", {})
        await store.flush()
    async with opened(path) as store:
        records = await loaded(store)
        assert {id: records.get(id) for id in records} == {
            "0": {"n": 0}, "1": {"n": "é"}, "3": {"n": 3}, "4": {"n": 4}, "2": {},
        }  # fmt: skip
        assert list(records) == ["0", "1", "3", "4", "2"]
        assert [one.id for one in await store.records("k") if one.kept] == ["3"]


KILLED = """
import asyncio, sys
from jupyter_rtc.relay import Bounds, Records, SQLiteStore

async def main():
    store = SQLiteStore(path=sys.argv[1])
    records = Records(store, "k", Bounds(1000, 1 << 20))
    await records.load()
    number = 0
    while True:
        number += 1
        if len(sys.argv) > 2 and number > int(sys.argv[2]):
            await asyncio.Event().wait()
        records.put(f"{number}", {"running": True}, kept=True)
        records.put(f"{number - 1}", {"running": False})
        await store.flush()
        print(number, flush=True)

asyncio.run(main())
"""


async def running(path: Path, *most: str) -> tuple[asyncio.subprocess.Process, int]:
    """Return a server that puts records, `most` so many, and how many it said were durable."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(path), *most, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [int(await process.stdout.readline()) for _ in range(20)]
    return process, lines[-1]


@awaited
async def test_what_was_flushed_survives_kill_9_and_is_the_next_servers(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    process, number = await running(path)
    async with opened(path) as waiting:
        assert await waiting.records("k") == []
        process.kill()
        await process.wait()
        records = await loaded(waiting)
        assert list(records)[: number + 1] == ["1", "0", *(str(one) for one in range(2, number + 1))]
        assert [records.get(str(one)) for one in range(number)] == [{"running": False}] * number
        assert records.get(str(number)) is not None
        assert os.listdir(tmp_path / "rooms.db-servers") == [query(path, "SELECT DISTINCT owner FROM records")[0][0]]
        async with opened(path) as late:
            assert await late.records("k") == []
    async with opened(path) as after:
        assert list(await loaded(after)) == list(records)


@awaited
async def test_a_server_that_is_stopped_for_a_while_keeps_its_records(tmp_path: Path) -> None:
    """No clock says whether a server runs: a laptop may sleep."""
    path = tmp_path / "rooms.db"
    process, number = await running(path, "20")
    process.send_signal(signal.SIGSTOP)
    async with opened(path) as store:
        assert await store.records("k") == []
        process.kill()
        await process.wait()
        assert len(await store.records("k")) == number + 1


@awaited
async def test_each_of_two_servers_has_its_own_records(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as one, opened(path) as two:
        first, second = await loaded(one), await loaded(two)
        first.put("a", {"of": 1}, kept=True)
        second.put("b", {"of": 2})
        await one.flush()
        await two.flush()
        assert [list(await loaded(store)) for store in (one, two)] == [["a"], ["b"]]
        two.remove_record("k", "a")
        await two.flush()
        await one.close()
        assert list(await loaded(two)) == ["a", "b"]
    assert not list((tmp_path / "rooms.db-servers").iterdir())


@awaited
async def test_a_record_that_was_taken_over_by_mistake_is_its_servers_again_when_it_is_put(tmp_path: Path) -> None:
    """Where there are no locks, or their files are removed, a server may be taken to be gone."""
    path = tmp_path / "rooms.db"
    async with opened(path) as one, opened(path) as two:
        records = await loaded(one)
        records.put("a", {"state": "running"}, kept=True)
        await one.flush()
        for file in (tmp_path / "rooms.db-servers").iterdir():
            file.unlink()
        taken = await loaded(two)
        taken.put("a", {"state": "lost"})
        await two.flush()
        records.put("a", {"state": "ok"})
        await one.flush()
        assert query(path, "SELECT value FROM records") == [(b'{"state":"ok"}',)]
    async with opened(path) as after:
        assert (await loaded(after)).get("a") == {"state": "ok"}


# Trouble


@awaited
async def test_records_wait_in_memory_while_the_file_is_locked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path, queue_limit=1) as store:
        records = await loaded(store)
        store.create("a", ROOM)
        await store.flush()
        with locked(path):
            for number in range(50):
                records.put("a", {"n": number})
                records.put(f"gone {number}", {})
                records.remove(f"gone {number}")
            with pytest.raises(StoreError, match="locked"):
                await store.flush()
            with pytest.raises(StoreError, match="locked"):
                await store.records("k")
            assert store.trouble is not None
            assert records.get("a") == {"n": 49}
        await until(lambda: store.trouble is None)
        await store.flush()
        assert query(path, "SELECT id, value FROM records") == [("a", b'{"n":49}')]
    assert [one.levelname for one in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("fate", ["removed", "damaged", "an older copy"])
@awaited
async def test_records_are_written_again_where_the_file_is_lost(tmp_path: Path, fate: str) -> None:
    path, copy = tmp_path / "rooms.db", tmp_path / "copy.db"
    async with opened(path, journal_mode="TRUNCATE") as store:
        records = await loaded(store)
        records.put("gone", {})
        await store.flush()
        copy.write_bytes(path.read_bytes())
        records.put("a", {"n": 1})
        records.put("b", {"n": 2}, kept=True)
        records.remove("gone")
        await store.flush()
        if fate == "removed":
            path.unlink()
        elif fate == "damaged":
            with path.open("r+b") as file:
                file.write(b"no database" * 1000)
        else:
            copy.replace(path)
        records.put("c", {})
        with suppress(StoreError):  # as the file is now, it cannot be written
            await store.flush()
        await until(lambda: store.trouble is None and store.damage)
        await store.flush()
        assert store.damage is not None
        assert query(path, "SELECT id, kept FROM records ORDER BY number") == [("a", 0), ("b", 1), ("c", 0)]
        assert len(aside(path)) == (fate == "damaged")


@pytest.mark.parametrize(
    ("column", "value"),
    [("value", b"[]"), ("value", "text"), ("kind", "l"), ("id", "other"), ("kept", 1), ("time", "soon"), ("sum", 0)],
)
@awaited
async def test_a_damaged_record_is_set_aside_and_the_others_go_on(
    tmp_path: Path, column: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        for id in "abc":
            store.put_record("k", record(id))
        await store.flush()
    query(path, f"UPDATE records SET {column} = ? WHERE id = 'b'", value)
    async with opened(path) as store:
        assert list(await loaded(store)) == ["a", "c"]
        assert "was damaged" in (store.damage or "")
        assert query(path, "SELECT part FROM damaged") == [("records",)]
        assert len(await loaded(store)) == 2
        store.put_record("k", record("b"))
        assert [one.id for one in await store.records("k")] == ["a", "c", "b"]
    assert [one.levelname for one in caplog.records] == ["ERROR"]


@awaited
async def test_a_record_that_cannot_be_stored_is_said_and_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "rooms.db") as store:
        store.put_record("k", record("\ud800"))
        store.put_record("k", record("a"))
        assert await store.records("k") == [record("a")]
        assert store.trouble is None
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
    assert "cannot be carried out" in caplog.text


@awaited
async def test_a_record_that_is_damaged_while_its_server_has_it_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        for id in "ab":
            store.put_record("k", record(id))
        await store.flush()
        query(path, "UPDATE records SET id = 'x' WHERE id = 'a'")
        assert [one.id for one in await store.records("k")] == ["a", "b"]
        assert "was damaged" in (store.damage or "")
        query(path, "DELETE FROM records WHERE id = 'b'")
        store.put_record("k", record("b", b"new"))
    async with opened(path) as store:
        assert set(await store.records("k")) == {record("a"), record("b", b"new")}


# Within bounds


@awaited
async def test_the_oldest_go_when_there_are_too_many_but_none_that_is_kept() -> None:
    records = await loaded(MemoryStore(), bounds=Bounds(3, 1 << 20))
    records.put("running", {}, kept=True)
    for number in range(5):
        records.put(f"{number}", {})
    assert list(records) == ["running", "3", "4"]
    records.put("3", {}, kept=True)
    records.put("another", {}, kept=True)
    assert list(records) == ["running", "3", "another"]
    records.put("4", {}, kept=True)
    records.put("new", {})
    assert list(records) == ["running", "3", "another", "4", "new"]
    records.put("newer", {})
    assert list(records) == ["running", "3", "another", "4", "newer"]
    records.put("running", {})
    assert list(records) == ["running", "3", "another", "4"]


@awaited
async def test_the_oldest_go_when_they_take_too_much(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    async with opened(path) as store:
        records = await loaded(store, bounds=Bounds(100, 1000))
        for number in range(10):
            records.put(f"{number}", {"text": "x" * 200})
        assert list(records) == ["6", "7", "8", "9"]
        records.put("9", {"text": "x" * 900})
        assert list(records) == ["9"]
        with pytest.raises(ValueError, match="1211 bytes, and 1000 are allowed"):
            records.put("9", {"text": "x" * 1200})
        for odd in ({"x": object()}, {"x": float("nan")}, {1j: 2}):
            with pytest.raises(ValueError, match="JSON"):
                records.put("9", odd)
        with pytest.raises(ValueError, match="surrogates"):
            records.put("\ud800", {})
        assert records.get("9") == {"text": "x" * 900}
        assert records.get("8") is None
        records.remove("8")
        records.put("a", {})
    async with opened(path) as store:
        assert list(await loaded(store, bounds=Bounds(1, 1000))) == ["a"]
        await store.flush()
        assert query(path, "SELECT id FROM records") == [("a",)]


PUTS = st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 60), st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.lists(PUTS, max_size=30), st.integers(1, 5), st.integers(80, 200))
def test_whatever_is_put_the_bounds_hold_and_what_is_kept_stays(
    puts: list[tuple[str, int, bool]], most: int, size: int
) -> None:
    async def play() -> None:
        """Put them all, and look after each."""
        store = MemoryStore()
        records = Records(store, "k", Bounds(most, size))
        present: dict[str, tuple[int, bool]] = {}
        for id, length, kept in puts:
            records.put(id, {"x": "y" * length}, kept)
            present[id] = length, kept
            present = {one: value for one, value in present.items() if one in records}
            assert id in present
            assert [one.id for one in await store.records("k")] == list(records)
            over = len(present) > most or sum(length + 8 for length, _ in present.values()) > size
            assert not over or not any(not kept for one, (_, kept) in present.items() if one != id)
        assert {id for id, kept in {id: kept for id, _, kept in puts}.items() if kept} <= present.keys()

    asyncio.run(play())
