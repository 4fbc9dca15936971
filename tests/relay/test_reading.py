"""What comes over a real socket is read whole, in turns, and over TLS too."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Text
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from websockets.asyncio.client import connect

from jupyter_rtc.relay.handlers import RoomProtocol

from .peer import PATIENCE, Peer, eventually

CERTIFICATE = Path(__file__).with_name("tls.pem")
Rooms = Callable[[], Awaitable[dict[str, Any]]]


async def test_over_tls(server: Any) -> None:
    own, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    own.load_cert_chain(CERTIFICATE)
    trusting.load_verify_locations(CERTIFICATE)
    listening, port = bind_unused_port()
    door = HTTPServer(server.app.web_app, ssl_options=own)
    door.add_socket(listening)
    url = f"wss://127.0.0.1:{port}{server.base_url}api/rtc/room/room?token={server.token}"
    doc = Doc()
    doc["source"] = Text("x" * 3_000_000)
    options = {"ssl": trusting, "compression": None, "max_size": None, "proxy": None}
    async with connect(url, **options) as one, Peer(one, doc) as ada:
        async with connect(url, **options) as two, Peer(two) as bob:
            await bob.until(lambda: len(bob.text) == 3_000_000)
            for number in range(200):
                await bob.write(f"{number},")
            await ada.until(lambda: ada.text.endswith(",199,"))
            assert ada.text == bob.text
        await asyncio.wait_for(asyncio.shield(eventually(lambda: not ada.others)), PATIENCE)
    door.stop()


@pytest.mark.traits(Relay={"max_share": 0.2})
async def test_who_sends_more_than_can_be_worked_off_is_read_more_slowly(server: Any, rooms: Rooms) -> None:
    async with (
        server.connect("busy") as one,
        server.connect("quiet") as two,
        server.connect("quiet") as three,
        Peer(one) as ada,
        Peer(two) as bob,
        Peer(three) as carol,
    ):
        flood = asyncio.create_task(_flood(ada, 300))
        await eventually(lambda: _updates(rooms, "busy"))
        await bob.write("hello")
        await carol.until(lambda: carol.text == "hello")
        assert await _updates(rooms, "busy") < 300
        await flood

        async def everything() -> bool:
            return await _updates(rooms, "busy") == 300

        await eventually(everything, 60)


@pytest.mark.parametrize("slow", [1, 2, 3])
async def test_who_comes_in_while_the_server_is_busy_is_heard(
    server: Any, monkeypatch: pytest.MonkeyPatch, slow: int
) -> None:
    """A turn in which a socket is read takes longer than it may: the machine does something else meanwhile."""
    work_off, turns = RoomProtocol._work_off, itertools.count(1)

    def slowly(self: RoomProtocol, deadline: float) -> None:
        if next(turns) <= slow:
            time.sleep(0.005)
        work_off(self, deadline)

    async with server.connect("room") as one, Peer(one) as bob:
        await bob.until(lambda: bob.synced)
        monkeypatch.setattr(RoomProtocol, "_work_off", slowly)
        async with server.connect("room") as two, Peer(two) as ada:
            await ada.write("typed")
            await bob.until(lambda: bob.text == "typed")
            await bob.write(", and answered")
            await ada.until(lambda: ada.text == "typed, and answered")


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (b"\x82\x01x", 1002),
        (b"\xf2\x81keysx", 1002),
        (b"\x87\x81keysx", 1002),
        (b"\x80\x81keysx", 1002),
        (b"\x88\x81keysx", 1002),
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", 1007),
    ],
)
async def test_who_sends_what_no_websocket_client_sends_is_closed_alone(
    server: Any, rooms: Rooms, packet: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
        await ada.write("before")
        await bob.until(lambda: bob.text == "before")
        ada.socket.transport.write(packet + packet)
        assert (await ada.closed())[0] == code
        assert len([record for record in caplog.records if "room room: closing" in record.getMessage()]) == 1

        async def alone() -> bool:
            return len((await rooms())["room"]["members"]) == 1

        await eventually(alone)
        await bob.write(", after")
        async with server.connect("room") as three, Peer(three) as carol:
            await carol.until(lambda: carol.text == "before, after")


async def test_who_is_closed_leaves_at_once_and_not_when_it_answers(server: Any, rooms: Rooms) -> None:
    async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
        await ada.show(cursor=1)
        await bob.until(lambda: bob.others)
        ada.socket.transport.pause_reading()
        ada.socket.transport.write(b"\x82\x01x")
        await bob.until(lambda: not bob.others, 2)
        assert len((await rooms())["room"]["members"]) == 1
        ada.socket.transport.resume_reading()


async def _flood(peer: Peer, times: int) -> None:
    for _ in range(times):
        await peer.edit(lambda doc: doc.get("source", type=Text).insert(0, "x" * 100_000))


async def _updates(rooms: Rooms, name: str) -> int:
    room = (await rooms()).get(name)
    return room["updates"] if room else 0
