"""A network between two servers that can be cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress

HOST = "127.0.0.1"


class Proxy:
    """Hands on what comes in on a port of its own, both ways, until it is cut.

    Attributes:
        port: where it listens.
    """

    def __init__(self, target: int) -> None:
        """Lead to the port `target` of this computer."""
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Begin, or go on, to take connections."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break all connections, and take no more."""
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(HOST, self._target)
        ways = ((reader, there[1]), (there[0], writer))
        self._writers |= {writer, there[1]}
        for task in [asyncio.ensure_future(self._hand_on(*way)) for way in ways]:
            self._tasks.add(task)

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()
