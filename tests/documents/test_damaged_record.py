"""A record in the store whose bytes were changed, which SQLite cannot notice: set aside, and nothing else is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from .conftest import Opener, Starter
from .listening import heard, sentences
from .peer import Peer, until
from .process import Jupyter

BY_HAND = "c.Documents.save_delay = c.Documents.max_save_delay = 600"
"""Nothing is saved unless somebody asks for it: what survives is what the store has."""


def query(server: Jupyter, sql: str, *values: Any) -> list[Any]:
    """Return what the database answers."""
    with closing(sqlite3.connect(server.database)) as database, database:
        return database.execute(sql, values).fetchall()


async def stored(server: Jupyter, word: str) -> None:
    """Wait until the store has an update with a word."""
    await until(lambda: query(server, "SELECT 1 FROM log WHERE instr(data, ?)", word.encode()))


def garbage(data: bytes, word: bytes) -> bytes:
    """Overwrite a large part of some bytes."""
    at = data.index(word)
    return data[:at] + b"\xff" * len(data[at : at + 512]) + data[at + 512 :]


def one_bit(data: bytes, word: bytes) -> bytes:
    """Change one letter of a word into another."""
    return data.replace(word, bytes([word[0] ^ 1]) + word[1:])


Change = Callable[[bytes, bytes], bytes]


def spoil(server: Jupyter, table: str, word: str, change: Change) -> None:
    """Change the bytes of those rows of a table that have a word in them."""
    column = "state" if table == "snapshots" else "data"
    rows = query(server, f"SELECT {column} FROM {table} WHERE instr({column}, ?)", word.encode())
    assert rows
    for (data,) in rows:
        query(server, f"UPDATE {table} SET {column} = ? WHERE {column} = ?", change(data, word.encode()), data)


async def typed_and_killed(server: Jupyter, join: Opener) -> list[Peer]:
    """Have Ada type before a save and after it, and Bob after it, elsewhere; then kill the server. Return both."""
    (server.root / "a.txt").write_text("base\n" * 200)
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    ada.type("before\n")
    await until(lambda: "before" in bob.text)
    assert await bob.save() == "success"
    ada.type("after\n")
    bob.source.insert(0, "elsewhere\n")
    await stored(server, "after")
    await stored(server, "elsewhere")
    server.kill()
    return [ada, bob]


async def is_durable_again(server: Jupyter, join: Opener, peer: Peer, wanted: str) -> None:
    """Type, have the server killed before it saves, and find everything once."""
    await until(lambda: peer.text == wanted and peer.online, lambda: peer.text)
    peer.type("durable\n")
    await stored(server, "durable")
    await peer.close()
    server.kill()
    await asyncio.to_thread(server.start)
    again = await join(server, "a.txt", token="rita")
    assert again.text == f"{wanted}durable\n"
    await again.close()


@pytest.mark.parametrize("change", [garbage, one_bit])
@pytest.mark.parametrize(("table", "word"), [("snapshots", "base"), ("log", "before"), ("log", "after")])
async def test_open_pages_keep_everything(start: Starter, join: Opener, table: str, word: str, change: Change) -> None:
    server = start(BY_HAND)
    ada, bob = await typed_and_killed(server, join)
    spoil(server, table, word, change)
    await asyncio.to_thread(server.start)
    everything = "elsewhere\n" + "base\n" * 200 + "before\nafter\n"
    await until(lambda: ada.text == bob.text == everything and ada.online, lambda: [ada.closes, bob.closes])
    said = [line for line in server.log().splitlines() if "has a damaged record of it" in line]
    assert said
    assert all(line.endswith("(a.txt)") for line in said)  # and not only the room's name, which nobody knows
    await bob.close()
    # Who joins sees it all, whether Ada's history is the room's or was merged into it.
    await is_durable_again(server, join, await join(server, "a.txt", token="bob"), everything)


@pytest.mark.parametrize(("column", "value"), [("saved_seq", 1), ("saved_hash", "another"), ("intended_seq", 99)])
async def test_what_is_noted_of_saves(start: Starter, join: Opener, column: str, value: object) -> None:
    """A wrong base would let what was saved stand twice."""
    server = start(BY_HAND)
    ada, bob = await typed_and_killed(server, join)
    query(server, f"UPDATE rooms SET {column} = ?", value)
    await asyncio.to_thread(server.start)
    everything = "elsewhere\n" + "base\n" * 200 + "before\nafter\n"
    await until(lambda: ada.text == bob.text == everything and ada.online, lambda: [ada.closes, bob.closes])
    assert "was damaged; what it had is in the table damaged" in server.log()
    await bob.close()
    await is_durable_again(server, join, ada, everything)


async def test_what_was_typed_before_a_save_is_in_the_file(start: Starter, join: Opener) -> None:
    server = start(BY_HAND)
    ada, bob = await typed_and_killed(server, join)
    session = ada.session
    await ada.close()
    await bob.close()
    spoil(server, "log", "before", one_bit)
    await asyncio.to_thread(server.start)
    async with heard(server) as events:
        rita = await join(server, "a.txt", token="rita")
        assert rita.text == "base\n" * 200 + "before\n" == (server.root / "a.txt").read_text()
        assert rita.session != session
        # What Bob typed since is in the record, and not in the file.
        (copy,) = await until(lambda: server.request("GET", "api/rtc/recovery?path=a.txt")[1]["copies"])
        assert "damaged record" in copy["reason"]
        content = server.request("GET", f"api/rtc/recovery/{copy['id']}")[1]["content"]
        assert content == "elsewhere\n" + "base\n" * 200
        await until(lambda: len(sentences(events, rita.room)) == 2, lambda: events)
        assert "are damaged; it began anew" in sentences(events, rita.room)[0]
        assert copy["id"] in sentences(events, rita.room)[1]
    writer = await join(server, "a.txt")
    await rita.close()
    await is_durable_again(server, join, writer, "base\n" * 200 + "before\n")


async def test_what_was_typed_after_a_save_is_missed_and_the_rest_is_not(start: Starter, join: Opener) -> None:
    server = start(BY_HAND)
    ada, bob = await typed_and_killed(server, join)
    await ada.close()
    await bob.close()
    spoil(server, "log", "after", one_bit)
    await asyncio.to_thread(server.start)
    async with heard(server) as events:
        rita = await join(server, "a.txt", token="rita")
        assert rita.text == "elsewhere\n" + "base\n" * 200 + "before\n"
        assert rita.session == ada.session
        await until(lambda: sentences(events, rita.room), lambda: events)
        assert "damaged; it goes on with the rest" in sentences(events, rita.room)[0]
    ada.connect()  # her laptop was asleep
    everything = "elsewhere\n" + "base\n" * 200 + "before\nafter\n"
    await until(lambda: rita.text == everything)
    await rita.close()
    await is_durable_again(server, join, ada, everything)


async def test_what_was_damaged_is_kept_for_whoever_wants_to_look_into_it(start: Starter, join: Opener) -> None:
    server = start(BY_HAND)
    for peer in await typed_and_killed(server, join):
        await peer.close()
    before = query(server, "SELECT seq, data FROM log")
    spoil(server, "snapshots", "base", garbage)
    (spoilt,) = query(server, "SELECT state FROM snapshots")
    await asyncio.to_thread(server.start)
    rita = await join(server, "a.txt", token="rita")
    assert rita.text == "base\n" * 200 + "before\n"
    await until(lambda: query(server, "SELECT 1 FROM damaged"))
    assert query(server, "SELECT data FROM damaged WHERE part = 'snapshots'") == [spoilt]
    assert query(server, "SELECT seq, data FROM damaged WHERE part = 'log' ORDER BY seq") == before
    ((room,),) = query(server, "SELECT DISTINCT room FROM damaged")
    assert room == rita.room
    store = server.request("GET", "api/rtc/rooms")[1]["store"]
    assert store["trouble"] is None
    assert rita.room in store["damage"]
    assert store["damage"] in server.log()


async def test_a_number_that_is_none_keeps_nobody_from_anything(start: Starter, join: Opener) -> None:
    """In the bytes of the file a number may become a text; the schema's types do not change that."""
    server = start(BY_HAND)
    for peer in await typed_and_killed(server, join):
        await peer.close()
    query(server, "UPDATE log SET seq = 'none' WHERE seq = (SELECT min(seq) FROM log)")
    await asyncio.to_thread(server.start)
    (server.root / "b.txt").write_text("other\n")
    for path, text in (("a.txt", "base\n" * 200 + "before\n"), ("b.txt", "other\n")):
        bob = await join(server, path, token="bob")
        assert bob.text == text
        bob.type("more\n")
        assert await bob.save() == "success"
        assert (server.root / path).read_text() == f"{text}more\n"
    server.terminate()
    await asyncio.to_thread(server.wait)
