"""Trouble with the store is said once: to the people in each document, and to whoever looks after the server."""

from __future__ import annotations

from typing import Any

from .conftest import Opener, Starter
from .listening import STORE, heard, sentences
from .peer import until
from .process import Jupyter
from .test_store_faults import locked, remove


def overview(server: Jupyter) -> dict[str, Any]:
    """Return what the server says of its store and its rooms."""
    return dict(server.request("GET", "api/rtc/rooms")[1])


async def test_a_database_that_is_locked_for_a_while(start: Starter, join: Opener) -> None:
    server = start()
    for name in ("a.txt", "b.txt"):
        (server.root / name).write_text("")
    ada, bob = await join(server, "a.txt"), await join(server, "b.txt", token="bob")
    async with heard(server) as said, heard(server, STORE) as told:
        with locked(server.database):
            ada.type("during\n")
            await until(lambda: told and sentences(said, ada.room) and sentences(said, bob.room))
            (sentence,) = sentences(said, ada.room)
            assert sentence == f"What is typed here is not being stored: {told[0]['trouble']}"
            assert "locked" in sentence
            rooms = {room["name"]: room for room in overview(server)["rooms"]}
            assert rooms[ada.room]["unstored"] == rooms[bob.room]["unstored"] == told[0]["trouble"]
            # Before each save the store is waited for, for some seconds and several tries; nobody hears of those.
            await until(lambda: "during" in (server.root / "a.txt").read_text())
        await until(lambda: len(told) > 1 and len(sentences(said, ada.room)) > 1 and len(sentences(said, bob.room)) > 1)
        assert [event["trouble"] for event in told] == [told[0]["trouble"], None]
        assert {event["damage"] for event in told} == {None}
        both = [sentence, "What is typed here is stored again"]
        assert sentences(said, ada.room) == sentences(said, bob.room) == both
        assert {room["unstored"] for room in overview(server)["rooms"]} == {None}


async def test_a_database_that_is_removed(start: Starter, join: Opener) -> None:
    server = start()
    (server.root / "a.txt").write_text("")
    ada = await join(server, "a.txt")
    async with heard(server, STORE) as told:
        remove(server.database)
        ada.type("during\n")
        await until(lambda: told and told[-1]["trouble"] is None and told[-1]["damage"], lambda: told)
        assert "removed or replaced" in told[-1]["damage"]
        assert overview(server)["store"] == {"trouble": None, "damage": told[-1]["damage"]}


async def test_places_that_cannot_be_written_are_named_when_the_server_starts(start: Starter, join: Opener) -> None:
    server = start(
        "import pathlib; pathlib.Path('taken').touch()\n"
        "c.SQLiteStore.path = 'taken/rooms.db'\nc.Recovery.folder = 'taken/recovery'"
    )
    await until(lambda: "taken/rooms.db" in server.log() and "taken/recovery" in server.log(), server.log)
    lines = server.log().splitlines()
    (store,) = [line for line in lines if "Cannot write to the store" in line]
    (recovery,) = [line for line in lines if "No recovery copies can be kept" in line]
    assert "SQLiteStore.path" in store
    assert "Recovery.folder" in recovery
    (server.root / "a.txt").write_text("")
    ada = await join(server, "a.txt")
    ada.type("typed\n")
    await until(lambda: (server.root / "a.txt").read_text() == "typed\n")
