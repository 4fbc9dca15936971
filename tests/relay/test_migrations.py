"""A database of each schema that there ever was opens, and goes on with all that it holds.

The scripts in schemas/ make these databases. Each was written by the program of its version, which had stored the same
three rooms in it; the name of a script begins with its version. A column, `released`, came without a version of its
own: those named "unreleased" are without it.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from pycrdt import Text

from jupyter_rtc.relay.storing.checkpoints import document
from jupyter_rtc.relay.storing.migrations import VERSION
from jupyter_rtc.relay.storing.store import DamagedError, Mark, StoredRoom, StoreError, Version

from .stores import ROOM, append, aside, awaited, log_of, opened, query, until

SCRIPTS = sorted((Path(__file__).parent / "schemas").glob("*.sql"))
ROOT = Path(__file__).parents[2]

DOCUMENT, FORK, LOBBY = "text:file:1", "0123456789abcdef" * 2, "lobby"


def made(script: Path, path: Path) -> int:
    """Make the database of a script; return its version."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script.read_text())
    return version(path)


def version(path: Path) -> int:
    """Return the version of a database."""
    return int(query(path, "PRAGMA user_version")[0][0])


def columns(path: Path) -> set[tuple[object, ...]]:
    """Return each column of each table: its name, its type, and what may stand in it; their order does not matter."""
    tables = query(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {(name, *column[1:]) for (name,) in tables for column in query(path, f"PRAGMA table_info({name})")}


def words(stored: StoredRoom | None) -> str:
    """Return what is written in the document that is stored."""
    assert stored is not None
    return str(stored.document().get("source", type=Text))


async def check(path: Path, script: Path) -> None:
    """Check that everything is there that the script of an earlier version put there."""
    has_past, knows_who_began = script.stem != "1", script.stem in ("5", "6")
    async with opened(path) as store:
        stored = await store.load(DOCUMENT)
        assert words(stored) == "Dear all, hello world"
        assert stored is not None
        assert (stored.lineage, stored.genesis, stored.seq, stored.last) == ("1f" * 16, 7, 2, 4)
        assert (stored.saved, stored.intended) == (Mark(3, "5ha"), Mark(4, ""))
        past = await store.past(DOCUMENT)
        assert past is not None
        assert past.made == (("bob", 1700000001.0), ("ann", 1700000001.5))
        versions = [checkpoint.version for checkpoint in past.checkpoints]
        kept = [Version(1, 1.6e9, 1.6e9 + 1, ()), Version(2, 1.6e9 + 10, 1.6e9 + 11.5, ("ann",))]
        assert versions == (kept if has_past else [])
        for seq, text in [(1, "Dear "), (2, "Dear all, ")] if has_past else []:
            assert str(document(past, seq).get("source", type=Text)) == text
        assert words(await store.load(FORK)) == "Dear "
        assert words(await store.load(LOBBY)) == "Dear all, "
        begun = await store.begun()
        assert [(one.name, one.user) for one in begun] == [(LOBBY, "ada" if knows_who_began else "")]
        assert begun[0].size > 0
        assert store.damage is None
    assert version(path) == VERSION


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
@awaited
async def test_a_database_of_each_earlier_schema_goes_on_with_all_that_it_holds(script: Path, tmp_path: Path) -> None:
    path, fresh = tmp_path / "rooms.db", tmp_path / "fresh.db"
    assert made(script, path) == int(script.stem.partition("-")[0])
    await check(path, script)
    async with opened(path) as store, opened(fresh) as new:
        stored = await store.load(DOCUMENT)
        assert stored is not None
        store.append(DOCUMENT, 5, b"u5", "ann")
        store.mark(DOCUMENT, saved=Mark(4, "5hb"))
        store.create("new", ROOM)
        assert await store.load(LOBBY)
        store.release(LOBBY, spare=True)
        await store.flush()
        await new.flush()
        assert columns(path) == columns(fresh)
        assert query(path, "SELECT typeof(released) FROM rooms WHERE name = ?", LOBBY) == [("real",)]
    async with opened(path) as store:
        assert await store.load(DOCUMENT) == replace(stored, log=(*stored.log, (5, b"u5")), saved=Mark(4, "5hb"))
        assert await store.load("new") == ROOM
        store.compact(DOCUMENT, 5, b"all", ())
        assert await store.load(DOCUMENT) == replace(stored, seq=5, snapshot=b"all", log=(), saved=Mark(4, "5hb"))


@awaited
async def test_what_is_written_into_a_database_from_before_checksums_has_some(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    made(SCRIPTS[0], path)
    async with opened(path) as store:
        assert await store.load(DOCUMENT)
        store.append(DOCUMENT, 5, b"u5", "ann")
        store.mark(DOCUMENT, saved=Mark(5, "5hb"))
        await store.flush()
        query(path, "UPDATE log SET data = 'x' WHERE seq = 5")
        with pytest.raises(DamagedError):
            await store.load(DOCUMENT)
        store.set_aside(DOCUMENT, {5})
        await store.flush()
    query(path, "UPDATE rooms SET saved_hash = '5hc' WHERE name = ?", DOCUMENT)
    async with opened(path) as store:
        assert (await store.load(DOCUMENT) or ROOM).saved is None


def test_there_is_a_database_of_each_earlier_schema() -> None:
    """Whoever adds a step to the schema adds a database of the version before it."""
    found = {int(script.stem.partition("-")[0]) for script in SCRIPTS}
    assert found == set(range(1, VERSION))


KILLED = """
import logging, os, shutil, signal, sqlite3, sys
from pathlib import Path
from jupyter_rtc.relay.storing.ahead import Ahead
from jupyter_rtc.relay.storing.database import Database, Options

connect = sqlite3.connect

def convert(path, left):
    def count(statement):
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counting(*args, **kwargs):
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = counting
    Database(path, Options(), Ahead(path), logging.getLogger()).check()

old, number, killed = Path(sys.argv[1]), 0, True
while killed:
    path = old.with_name(f"killed-{number}.db")
    shutil.copy(old, path)
    child = os.fork()
    if child == 0:
        convert(path, number)
        os._exit(0)
    killed = os.waitpid(child, 0)[1] == signal.SIGKILL
    number += 1
"""
"""Converts copies of a database in processes that are killed at one statement each: the first, the second, ..."""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_whoever_is_killed_while_it_is_converted_leaves_the_old_schema_or_the_new(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    before = made(SCRIPTS[0], old)
    subprocess.run([sys.executable, "-c", KILLED, str(old)], cwd=ROOT, check=True, timeout=60)
    paths = list(tmp_path.glob("killed-*.db"))
    found = [version(path) for path in paths]
    assert set(found) == {before, VERSION}
    assert found.count(before) > VERSION
    for path in paths:
        asyncio.run(check(path, SCRIPTS[0]))


@awaited
async def test_several_servers_open_a_database_of_an_earlier_schema_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rooms.db"
    made(SCRIPTS[0], path)
    async with AsyncExitStack() as stack:
        for number in range(6):
            store = await stack.enter_async_context(opened(path))
            store.create(f"room {number}", ROOM)
    await check(path, SCRIPTS[0])
    async with opened(path) as store:
        assert [await store.load(f"room {number}") for number in range(6)] == [ROOM] * 6


@awaited
async def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rooms.db"
    with closing(sqlite3.connect(path)) as newer:
        newer.executescript("PRAGMA user_version=99; CREATE TABLE rooms (a); INSERT INTO rooms VALUES ('treasure')")
    before = path.read_bytes()
    async with opened(path) as store:
        store.create("a", ROOM)
        append(store, 1)
        with pytest.raises(StoreError, match="a newer version of jupyter_rtc has written it"):
            await store.flush()
        with pytest.raises(StoreError, match="newer version"):
            await store.load("b")
        assert "newer version" in (store.trouble or "")
        assert store.damage is None
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert os.listdir(tmp_path) == [path.name]
        assert path.read_bytes() == before
        path.rename(tmp_path / "kept.db")
        await until(lambda: store.trouble is None)
        assert await store.load("a") == replace(ROOM, log=log_of(1))
    assert (tmp_path / "kept.db").read_bytes() == before


@pytest.mark.parametrize("number", [-1, 3, VERSION - 1, VERSION])
@awaited
async def test_a_database_whose_tables_are_not_those_of_its_version_is_set_aside(tmp_path: Path, number: int) -> None:
    path = tmp_path / "rooms.db"
    with closing(sqlite3.connect(path)) as other:
        other.executescript(f"CREATE TABLE treasure (a); PRAGMA user_version={number}")
    async with opened(path) as store:
        store.create("a", ROOM)
        assert await store.load("a") == ROOM
    (old,) = aside(path)
    assert version(old) == number
    assert query(old, "SELECT name FROM sqlite_master") == [("treasure",)]
