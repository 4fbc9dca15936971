"""A client that goes while its handshake is being answered: it is not let in, and that is no error."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from jupyter_server.auth import Authorizer, User

from jupyter_rtc.relay import OpenRoom, PlainKind, Resident, StoredRoom

from .peer import PATIENCE, Peer, eventually

Rooms = Callable[[], Awaitable[dict[str, Any]]]
NAME = "held:up"


class Gate:
    """A place where whoever comes by waits until the test lets everybody through."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def pass_through(self) -> None:
        """Wait to be let through."""
        self.reached.set()
        await self.open.wait()


class HeldUp(PlainKind):
    """One room, whose handshake is held up at one step: `admission` or `loading`."""

    def __init__(self, gate: Gate, step: str) -> None:
        self.gate, self.step = gate, step

    def owns(self, name: str) -> bool:
        """Own the room."""
        return name == NAME

    async def admit(self, name: str) -> None:
        """Take long, or not."""
        if self.step == "admission":
            await self.gate.pass_through()

    async def load(self, room: OpenRoom, stored: StoredRoom | None) -> tuple[Resident, StoredRoom | None]:
        """Take long, or not."""
        if self.step == "loading":
            await self.gate.pass_through()
        return await super().load(room, stored)


class Slow(Authorizer):
    """Takes long to say yes."""

    gate: Gate

    async def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        """Say yes."""
        if "room/" in handler.request.path:
            await self.gate.pass_through()
        return True


def begin_handshake(server: Any, path: str) -> socket.socket:
    """Return a socket over which a client has asked to come in, and waits for the answer."""
    client = socket.create_connection(("127.0.0.1", server.port))
    lines = (
        f"GET {server.base_url}{path}/{NAME}?token={server.token} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==",
    )
    client.sendall("\r\n".join([*lines, "", ""]).encode())
    return client


@pytest.mark.traits(ServerApp={"authorizer_class": Slow})
@pytest.mark.parametrize("path", ["api/rtc/room", "api/collaboration/room"])
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("step", ["rights", "admission", "penalty", "loading"])
async def test_who_hangs_up_during_the_handshake_leaves_no_traceback(
    server: Any, rooms: Rooms, caplog: pytest.LogCaptureFixture, step: str, end: str, path: str
) -> None:
    gate, free = Gate(), Gate()
    free.open.set()
    server.app.authorizer.gate = gate if step == "rights" else free
    server.extension.relay.add_kind(HeldUp(gate, step))
    server.extension.relay.faults.wait = lambda *_: (gate if step == "penalty" else free).pass_through()
    caplog.set_level(logging.WARNING)
    client = begin_handshake(server, path)
    await asyncio.wait_for(gate.reached.wait(), PATIENCE)
    if end == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    for _ in range(10):
        await asyncio.sleep(0)  # the server's loop sees it
    gate.open.set()
    async with server.connect(NAME) as one, Peer(one) as ada:
        await ada.until(lambda: ada.synced)

        async def alone() -> bool:
            return len((await rooms())[NAME]["members"]) == 1

        await eventually(alone)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert [record for record in caplog.records if record.exc_info] == []
