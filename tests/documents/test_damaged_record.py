"""A record in the store whose bytes were changed, which SQLite cannot notice: the document still opens."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from .conftest import Opener, Starter
from .peer import until


@pytest.mark.parametrize(("table", "column", "key"), [("snapshots", "state", "room"), ("log", "data", "seq")])
async def test_a_damaged_record_keeps_nobody_out(
    start: Starter, join: Opener, table: str, column: str, key: str
) -> None:
    server = start("c.Documents.save_delay = c.Documents.max_save_delay = 600")
    (server.root / "a.txt").write_text("one\n" * 300)
    ada = await join(server, "a.txt")
    assert await ada.save() == "success"
    ada.type("two\n" * 100)
    with closing(sqlite3.connect(server.database)) as database:
        await until(lambda: len(database.execute("SELECT seq FROM log").fetchall()) > 2)
    server.kill()
    with closing(sqlite3.connect(server.database)) as database, database:
        for number, data in database.execute(f"SELECT {key}, {column} FROM {table}").fetchall():
            at = len(data) // 3
            damaged = data[:at] + b"\xff" * len(data[at : at + 512]) + data[at + 512 :]
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (damaged, number))
    await asyncio.to_thread(server.start)
    bob = await join(server, "a.txt", token="bob")
    await until(lambda: ada.text == bob.text == "one\n" * 300 + "two\n" * 100)
