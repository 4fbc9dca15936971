"""Somebody who may only read creates nothing that is kept, and steers nothing that is another's."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import websockets
from docs.test_docs import script
from pycrdt import Doc, Text, create_update_message

from jupyter_rtc.wire.protocol import Kind

from .conftest import Opener, Starter
from .peer import Peer, until
from .process import Jupyter

MESSAGES = script("make_rights").MESSAGES


def free(server: Jupyter, room: str, token: str) -> websockets.connect:
    """Connect to a free room."""
    return websockets.connect(server.url(f"api/rtc/room/{room}?token={token}", "ws"), proxy=None)


async def refusal(server: Jupyter, room: str, token: str) -> int:
    """Return the status with which somebody is refused at the door of a free room."""
    with pytest.raises(websockets.InvalidStatus) as refused:
        await free(server, room, token)
    return refused.value.response.status_code


async def test_a_reader_begins_no_free_room_and_comes_into_one_that_there_is(start: Starter) -> None:
    server = start("c.Relay.eviction_delay = 0.2")
    for number in range(5):
        assert await refusal(server, f"room{number}", "rita") == 404
    assert server.rooms() == {}
    async with free(server, "room0", "bob") as bob:
        await bob.send(create_update_message(Doc({"text": Text("typed")}).get_update()))
        await until(lambda: server.rooms().get("room0", {}).get("updates"))
        async with free(server, "room0", "rita"):
            members = server.rooms()["room0"]["members"]
        assert {member["username"]: member["writable"] for member in members} == {"bob": True, "rita": False}
    await until(lambda: "room room0: evicted" in server.log())
    async with free(server, "room0", "rita") as rita:  # it is in the store
        await rita.send(b"\x00\x00\x01\x00")
        while b"typed" not in await rita.recv(decode=False):
            pass
    assert await refusal(server, "room1", "rita") == 404


async def begin(server: Jupyter, token: str) -> tuple[int, Any]:
    """Ask for a timeline of the document; return the status, and the name of its room."""
    status, answer = await server.ask("GET", "api/collaboration/timeline/a.txt?format=text&type=file", token=token)
    return status, answer.get("forkRoom")


def timeline(server: Jupyter, room: str, token: str) -> websockets.connect:
    """Connect to the room of a timeline."""
    return websockets.connect(server.url(f"api/collaboration/room/{room}?token={token}", "ws"), proxy=None)


async def test_a_timeline_is_for_whose_it_is(start: Starter, join: Opener) -> None:
    server = start()
    (server.root / "a.txt").write_text("a")
    await join(server, "a.txt")
    _, of_ada = await begin(server, "ada")
    for token in ("rita", "bob"):
        step = f"api/collaboration/undo_redo/x?action=undo&steps=1&forkRoom={of_ada}"
        assert (await server.ask("PUT", step, token=token))[0] == 404
        with pytest.raises(websockets.InvalidStatus, match="403"):
            await timeline(server, of_ada, token)
        _, answer = await server.ask("GET", "api/rtc/rooms", token=token)
        assert of_ada not in {room["name"] for room in answer["rooms"]}
    assert (await server.ask("PUT", f"api/collaboration/undo_redo/x?action=restore&forkRoom={of_ada}", token="bob"))[
        0
    ] == 404
    assert of_ada in server.rooms()
    async with timeline(server, of_ada, "ada"):
        pass


async def test_nobody_takes_the_timelines_from_the_others(start: Starter, join: Opener) -> None:
    server = start("c.Timelines.max_timelines = 3\nc.Timelines.max_timelines_per_user = 2")
    (server.root / "a.txt").write_text("a")
    await join(server, "a.txt")
    taken = [(await begin(server, "rita"))[1] for _ in range(5)]
    assert None not in taken
    async with AsyncExitStack() as stack:
        for room in taken[3:]:
            await stack.enter_async_context(timeline(server, room, "rita"))
        for room in taken[:3]:
            with pytest.raises(websockets.InvalidStatus, match="404"):
                await timeline(server, room, "rita")
        assert (await begin(server, "rita"))[0] == 429
        assert (await begin(server, "ada"))[0] == 200


async def test_what_a_reader_shows_decides_no_save(jupyter: Jupyter, here: Path, join: Opener) -> None:
    for name in ("on.txt", "off.txt"):
        (here / name).write_text("a")

    async def both(name: str) -> tuple[Peer, Peer]:
        ada, rita = [await join(jupyter, f"{here.name}/{name}", token=token) for token in ("ada", "rita")]
        return ada, rita

    pairs = await both("on.txt"), await both("off.txt")
    off = pairs[1][0]
    off.show(autosave=False)
    for (ada, rita), wish in zip(pairs, (False, True), strict=True):
        rita.show(autosave=wish)
        await until(
            lambda ada=ada: any(
                "autosave" in state and state["user"]["username"] == "rita" for state in ada.awareness.states.values()
            )
        )
        ada.type("b")
    await until(lambda: (here / "on.txt").read_text() == "ab")
    other = await join(jupyter, f"{here.name}/on.txt", token="bob")
    other.type("c")  # saved after the time in which what was typed before would have been
    await until(lambda: (here / "on.txt").read_text() == "abc")
    assert (here / "off.txt").read_text() == "a"
    assert await off.save() == "success"


async def test_each_message_with_a_reader_and_a_writer(jupyter: Jupyter, here: Path, join: Opener) -> None:
    """Rita may only read; her page sends what Ada's does."""
    path = f"{here.name}/a.txt"
    (here / "a.txt").write_text("a")
    seen = await join(jupyter, path, token="bob")
    for person, column in (("rita", 0), ("ada", 1)):
        peer = await join(jupyter, path, token=person)  # step 1 was answered, as was what the server asked
        said = {kind: MESSAGES[kind][column] for kind in Kind}
        assert said[Kind.STEP1] == said[Kind.QUERY_AWARENESS] == "answered"
        peer.show(cursor=person)
        await until(
            lambda person=person: any(state.get("cursor") == person for state in seen.awareness.states.values())
        )
        peer.type(f" {person}")
        peer.send(b"\x00\x01" + create_update_message(peer.doc.get_update())[2:])  # all of it as a step 2, too
        saves = await peer.save() == "success"  # comes after what was typed
        assert said[Kind.RAW] == ("`save` saves" if saves else "`save` fails")
        assert (f" {person}" in (here / "a.txt").read_text()) is saves
        assert said[Kind.STEP2] == said[Kind.UPDATE] == ("reaches all" if saves else "reaches nobody")
    await until(lambda: seen.text == "a ada")
