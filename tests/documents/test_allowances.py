"""Rooms that a user has the server bring into memory count as the user's, whichever request asks for them."""

from __future__ import annotations

from typing import Any

import pytest
import websockets

from .conftest import Opener, Starter
from .peer import Peer, until
from .process import Jupyter
from .test_conflict_records import UNHURRIED, agreed, records
from .test_forks import enter, fork
from .test_history import versions
from .test_recovery import wiped

TWO_ROOMS = "c.Relay.eviction_delay = 0.3\nc.Timelines.timeline_timeout = 0.1\nc.Allowances.max_rooms = 2\n"


async def is_nowhere(server: Jupyter, *rooms: str) -> None:
    """Wait until rooms are out of memory."""
    await until(lambda: not {*rooms} & server.rooms().keys(), server.rooms)


async def requests(server: Jupyter, peer: Peer) -> list[tuple[str, str, Any]]:
    """Return one request of each kind that brings the document of a.txt into memory, or a copy of it."""
    peer.type(" ada")
    (server.root / "a.txt").write_text("one outside\n")
    await until(lambda: records(peer), lambda: peer.text)
    ((id, _),) = records(peer).items()
    assert await peer.save() == "success"
    await agreed(server.root / "a.txt", peer)
    made, copy = (await fork(server, peer.room))["fork_roomid"], await wiped(server, peer)
    version = (await versions(server, "a.txt"))[0]["id"]
    await peer.close()
    await is_nowhere(server, peer.room, made)
    return [
        ("PUT", "api/collaboration/session/a.txt", {"format": "text", "type": "file"}),
        ("DELETE", f"api/rtc/conflicts/{id}?path=a.txt", None),
        ("POST", "api/rtc/history/a.txt", {"version": version}),
        ("POST", f"api/rtc/recovery/{copy}/restore", {"into": "document"}),
        ("GET", "api/collaboration/timeline/a.txt?format=text&type=file", None),
        ("PUT", f"api/collaboration/fork/{peer.room}", {}),
        ("DELETE", f"api/collaboration/fork/{made}?merge=true", None),
    ]


async def test_one_room_too_many_is_refused_whatever_asks_for_it(start: Starter, join: Opener) -> None:
    server = start(TWO_ROOMS + UNHURRIED)
    for name in ("a.txt", "b.txt", "c.txt"):
        (server.root / name).write_text("one\n")
    asked = await requests(server, await join(server, "a.txt"))
    others = await join(server, "b.txt"), await join(server, "c.txt")
    for request in asked:
        status, answer = await server.ask(*request)
        assert (status, "ada may have 2 rooms in memory" in answer["message"]) == (429, True), (request, answer)
    for other in others:
        await other.close()
    for request in asked:
        await until(lambda: not server.rooms(), server.rooms)
        status, answer = await server.ask(*request)
        assert status < 300, (request, answer)


async def test_a_timeline_and_a_fork_are_rooms_too(start: Starter, join: Opener) -> None:
    server = start(TWO_ROOMS)
    for name in ("a.txt", "b.txt"):
        (server.root / name).write_text(name)
    ada = await join(server, "a.txt")
    made = await fork(server, ada.room, synchronize=True)
    status, answer = await server.ask("PUT", "api/collaboration/session/b.txt", {"format": "text", "type": "file"})
    assert (status, "rooms in memory" in answer["message"]) == (429, True)
    await is_nowhere(server, made["fork_roomid"])
    assert (await server.ask("GET", "api/collaboration/timeline/a.txt?format=text&type=file"))[0] == 200
    with pytest.raises(websockets.InvalidStatus, match="429"):
        await websockets.connect(server.url(f"api/collaboration/room/{made['fork_roomid']}?token=ada", "ws"))


async def test_the_document_that_a_fork_follows_is_counted_for_whoever_opens_the_fork(
    start: Starter, join: Opener
) -> None:
    server = start(TWO_ROOMS)
    for name in ("a.txt", "b.txt"):
        (server.root / name).write_text(name)
    ada = await join(server, "a.txt")
    made = await fork(server, ada.room, synchronize=True)
    await ada.close()
    await is_nowhere(server, ada.room, made["fork_roomid"])
    await join(server, "b.txt", token="bob")
    url = server.url(f"api/collaboration/room/{made['fork_roomid']}?token=bob", "ws")
    async with websockets.connect(url) as socket:
        await socket.wait_closed()
    assert (socket.close_code, "rooms in memory" in (socket.close_reason or "")) == (1008, True)
    ada.session, ada.room = made["sessionId"], made["fork_roomid"]
    beside = await enter(server, made, ada)
    assert beside.text == "a.txt"
    await beside.close()
