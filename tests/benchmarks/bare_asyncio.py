"""The floor: a WebSocket broadcast on an asyncio protocol, with no framework, no document and no checks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys

from frames import BINARY, CLOSE, PING, PONG, extent, plain

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Member(asyncio.Protocol):
    """Hand every binary frame of this peer to all others, encoded once."""

    def __init__(self, rooms: dict[bytes, set[Member]]) -> None:
        self.rooms = rooms
        self.room: set[Member] = set()
        self.buffer = b""
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer the upgrade first; afterwards, broadcast each complete frame."""
        data = self.buffer + data
        if not self.open:
            head, _, data = data.partition(b"\r\n\r\n")
            self._accept(head)
        at, end = 0, len(data)
        while (found := extent(data, at, end)) is not None and found[1] <= end:
            start, stop = found
            self._frame(data[at], data[start - 4 : start], data[start:stop])
            at = stop
        self.buffer = data[at:]

    def _accept(self, head: bytes) -> None:
        lines = head.split(b"\r\n")
        key = next(line.partition(b":")[2].strip() for line in lines if line.lower().startswith(b"sec-websocket-key"))
        proof = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
        )
        self.room = self.rooms.setdefault(lines[0].split()[1], set())
        self.room.add(self)
        self.open = True

    def _frame(self, opening: int, key: bytes, payload: bytes) -> None:
        size = len(payload)
        pad = (key * (size // 4 + 1))[:size]
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
        if opening == BINARY:
            frame = plain(payload)
            for other in self.room:
                if other is not self:
                    other.transport.write(frame)
        elif opening == PING:
            self.transport.write(plain(payload, PONG))
        elif opening == CLOSE:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the room."""
        self.room.discard(self)


async def main(port: int) -> None:
    """Serve until the process is ended."""
    rooms: dict[bytes, set[Member]] = {}
    server = await asyncio.get_running_loop().create_server(lambda: Member(rooms), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
