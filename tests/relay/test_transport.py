"""The socket below a connection: a real stream whose other end reads when the test does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tornado.iostream import IOStream

from jupyter_rtc.relay.sockets import SocketTransport

BODY = b"b" * 1_000_000


class Ends:
    """Both ends of a connection: the stream that our side writes to, and the peer's raw socket."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        ours.setblocking(False)
        self.peer.setblocking(False)
        self.stream = IOStream(ours)
        handler: Any = None  # closing is the handler's; here nothing is closed
        self.transport = SocketTransport(handler, self.stream)
        self.written = asyncio.Event()

    async def read(self, size: int) -> bytes:
        """Return the next `size` bytes that the peer gets."""
        loop, data = asyncio.get_running_loop(), b""
        while len(data) < size:
            data += await asyncio.wait_for(loop.sock_recv(self.peer, size - len(data)), 5)
        return data

    def write(self, *parts: bytes) -> bool:
        """Write, as a connection does."""
        return self.transport.write(parts, self.written.set)


@pytest.fixture
def ends(io_loop: Any) -> Iterator[Ends]:
    """Return both ends of a connection."""
    both = Ends()
    yield both
    both.stream.close()
    both.peer.close()


async def test_what_the_socket_takes_is_out_at_once(ends: Ends) -> None:
    assert ends.write(b"head", b"body") is True
    assert not ends.stream.writing()
    assert await ends.read(8) == b"headbody"
    assert not ends.written.is_set()


async def test_what_it_does_not_take_is_out_later(ends: Ends) -> None:
    assert ends.write(b"head", BODY) is False
    assert not ends.written.is_set()
    assert await ends.read(4 + len(BODY)) == b"head" + BODY
    await asyncio.wait_for(ends.written.wait(), 5)


async def test_nothing_gets_between_the_parts(ends: Ends) -> None:
    # As when the peer's ping is answered while a large frame waits behind another answer.
    ends.stream.write(BODY)
    assert ends.write(b"head", BODY, b"tail") is False
    ends.stream.write(b"pong")
    await ends.read(len(BODY))
    assert await ends.read(4 + len(BODY) + 8) == b"head" + BODY + b"tailpong"
    await asyncio.wait_for(ends.written.wait(), 5)


async def test_writing_to_a_peer_that_is_gone_is_no_error(ends: Ends) -> None:
    ends.peer.close()
    ends.write(b"head", BODY, b"tail")
    assert ends.stream.closed()
    assert ends.write(b"more") is True


async def test_a_write_under_way_ends_when_the_peer_goes(ends: Ends) -> None:
    assert ends.write(BODY) is False
    ends.peer.close()
    await asyncio.wait_for(ends.written.wait(), 5)
