"""Real WebSocket clients that cost little: one asyncio protocol per peer, everything else looked at afterwards."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from frames import (
    BINARY,
    CLOSE,
    EMPTY_STATE,
    EMPTY_UPDATE,
    OPENING,
    PING,
    PONG,
    STEP1,
    STEP2,
    UPDATE,
    body,
    extent,
    masked,
    prefixed,
    read_varint,
)
from pycrdt import Doc


@dataclass(frozen=True)
class Dialect:
    """What a server wants around y-protocols messages."""

    prefix: bytes = b""
    """Stands before every message (Hocuspocus: the document's name)."""

    greeting: bytes = b""
    """The first message of a client, after the prefix (Hocuspocus: an authentication)."""

    answers: bool = True
    """Whether the server itself answers a sync step 1; a bare broadcast does not."""


@dataclass(frozen=True)
class Address:
    """Where a room is, and how to speak there."""

    host: str
    port: int
    target: str
    dialect: Dialect = field(default_factory=Dialect)


class Peer(asyncio.Protocol):
    """Join a room, keep what arrives in it, and send what it is told to.

    `updates` counts the update frames delivered so far. `arrivals` holds each of them as (seconds on the
    monotonic clock, message without the prefix); it is read after the measurement.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.updates = 0
        self.arrivals: list[tuple[float, bytes]] = []
        self.received = 0
        self.state = b""
        self.replies: asyncio.Queue[bytes] = asyncio.Queue()
        self.watcher: Callable[[], None] | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._synced: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._skip = len(address.dialect.prefix)
        self._buffer = bytearray()
        self._need = 0
        self._open = False

    @classmethod
    async def join(cls, address: Address, limit: float = 60.0) -> Peer:
        """Connect to a room and return once it is synced, or raise `TimeoutError` after `limit` seconds."""
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_connection(lambda: cls(address), address.host, address.port)
        await asyncio.wait_for(asyncio.shield(peer._synced), limit)
        return peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade to WebSocket."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        host = f"{self.address.host}:{self.address.port}"
        transport.write(OPENING.format(target=self.address.target, host=host).encode())

    def data_received(self, data: bytes) -> None:
        """Take what arrived; complete frames are counted and kept, the rest waits for the next call."""
        self.received += len(data)
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        if not self._open:
            data = self._opened(data)
        before = self.updates
        stop = self._frames(data)
        if stop < len(data):
            self._buffer += data[stop:]
        if self.watcher is not None and self.updates != before:
            self.watcher()

    def _opened(self, data: bytes) -> bytes:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer += data
            return b""
        if b" 101 " not in data[:20]:
            self._fail(f"refused: {data[:20]!r}")
            return b""
        self._open = True
        if self.address.dialect.greeting:
            self.send(self.address.dialect.greeting)
        if self.address.dialect.answers:
            self.send(STEP1 + prefixed(EMPTY_STATE))
        else:
            self._synced.set_result(None)
        return data[end + 4 :]

    def _frames(self, data: bytes) -> int:
        """Read every complete frame of `data`; return the position after the last of them."""
        at, end, skip = 0, len(data), self._skip
        keep, now = self.arrivals.append, time.monotonic()
        while True:
            found = extent(data, at, end)
            if found is None:
                self._need = 0
                return at
            start, stop = found
            if stop > end:
                self._need = stop - at
                return at
            start += skip
            if data[at] == BINARY and data[start : start + 2] == UPDATE:
                self.updates += 1
                keep((now, data[start:stop]))
            else:
                self._other(data[at], data[start - skip : stop])
            at = stop

    def _other(self, opening: int, payload: bytes) -> None:
        if opening == BINARY:
            message = payload[self._skip :]
            if message[:2] == STEP1:
                self.send(STEP2 + prefixed(EMPTY_UPDATE))
            elif message[:2] == STEP2:
                self.state = message
                if not self._synced.done():
                    self._synced.set_result(None)
            elif message[:1] == b"\x02":
                self.replies.put_nowait(message)
        elif opening == PING:
            self._transport.write(masked(payload, PONG))
        elif opening == CLOSE:
            self._fail(f"closed: {int.from_bytes(payload[:2], 'big')} {payload[2:]!r}")
        else:
            self._fail(f"unexpected frame: {opening:#x}")

    def _fail(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
        if not self._synced.done():
            self._synced.set_exception(ConnectionError(reason))
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        self._fail(f"lost: {exc}")

    def send(self, message: bytes) -> None:
        """Send one y-protocols message."""
        self._transport.write(masked(self.address.dialect.prefix + message))

    def send_raw(self, data: bytes) -> None:
        """Send frames that `frame` made, as they are."""
        self._transport.write(data)

    def frame(self, update: bytes) -> bytes:
        """Encode one update as the frame that this peer would send."""
        return masked(self.address.dialect.prefix + UPDATE + prefixed(update))

    async def leave(self) -> None:
        """Close the connection."""
        if not self.closed.done():
            self._transport.write(masked((1000).to_bytes(2, "big"), CLOSE))
            self._transport.close()
        await self.closed

    def document(self) -> Doc[Any]:
        """Build the document that this peer has been sent: its step 2 and every update after it."""
        doc: Doc[Any] = Doc()
        if self.state:
            doc.apply_update(body(self.state, 2))
        for _, message in self.arrivals:
            doc.apply_update(body(message, 2))
        return doc


def clocks(doc: Doc[Any]) -> dict[int, int]:
    """Return how many operations of each client a document has integrated, from its state vector."""
    data = doc.get_state()
    count, at = read_varint(data, 0)
    out = {}
    for _ in range(count):
        client, at = read_varint(data, at)
        out[client], at = read_varint(data, at)
    return out


async def request(address: Address, method: str, path: str, content: Any = None) -> tuple[int, Any]:
    """Send one HTTP request with a JSON body; return the status and the decoded answer."""

    def ask() -> tuple[int, Any]:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=120)
        data = None if content is None else json.dumps(content)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text or b"null")

    return await asyncio.to_thread(ask)


async def document_address(server: Address, token: str, path: str, kind: str) -> Address:
    """Open a session for a file, as JupyterLab's front end does, and return where its room is.

    `kind` is "text:file" or "json:notebook". Raises `ConnectionError` if the server refuses.
    """
    form, file_type = kind.split(":")
    where = f"/api/collaboration/session/{quote(path, safe='')}?token={token}"
    status, session = await request(server, "PUT", where, {"format": form, "type": file_type})
    if status not in (200, 201):
        raise ConnectionError(f"session: {status} {session}")
    room = f"{kind}:{session['fileId']}"
    target = f"/api/collaboration/room/{room}?sessionId={session['sessionId']}&token={token}"
    return Address(server.host, server.port, target)
