"""A second client, in a process of its own: copies of tables over real WebSockets, told to whoever started it.

Run as ``python -m tests.supernode.copying <url of the rooms> <token> <table> ...``. For each change of a copy, and for
each frame, it writes a line of JSON: the table, the records as they are there now, and how many frames came so far.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from pycrdt import Doc, Map, Provider
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0


class Channel:
    """A WebSocket, as pycrdt.Provider wants it, whose frames are counted."""

    def __init__(self, socket: ClientConnection, path: str) -> None:
        """Send and receive over `socket`."""
        self.path = path
        self.send = socket.send
        self.number = 0
        self._socket = socket

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for frame in self._socket:
            assert isinstance(frame, bytes)
            self.number += frame != b"\x01\x01\x00" and len(frame) > 2  # not what only keeps the connection alive
            yield frame


async def copy(url: str, token: str, table: str) -> None:
    """Keep a copy of a table, and tell of each change."""
    doc: Doc[Any] = Doc()
    records = doc.get("records", type=Map)
    url = f"{url}/table:{table}"
    headers = {"Authorization": f"token {token}"}
    async with connect(url, additional_headers=headers, max_size=None, compression=None, proxy=None) as socket:
        channel = Channel(socket, url)

        def tell(*_: object) -> None:
            print(json.dumps([table, records.to_py(), channel.number]), flush=True)

        async with Provider(doc, channel) as provider:
            await provider.synced.wait()
            records.observe_deep(tell)
            tell()
            await socket.wait_closed()


async def main(url: str, token: str, *tables: str) -> None:
    """Keep copies of all these tables."""
    await asyncio.gather(*(copy(url, token, table) for table in tables))


class Copies:
    """The copies of a second client.

    Attributes:
        records: by table, the records there.
        frames: by table, how many frames came.
        seen: every line, in order: the table and its records.
    """

    def __init__(self, url: str, token: str, *tables: str) -> None:
        """Copy `tables` of the server whose rooms are at `url`, once entered."""
        self.records: dict[str, dict[str, Any]] = {}
        self.frames: dict[str, int] = {}
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self._tables = tables
        self._command = [sys.executable, "-m", "tests.supernode.copying", url, token, *tables]
        self._news = asyncio.Event()

    async def __aenter__(self) -> Copies:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = await asyncio.create_subprocess_exec(
            *self._command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, limit=1 << 27
        )
        self._reading = asyncio.ensure_future(self._read())
        await self.until(lambda: self.records.keys() >= set(self._tables))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def until(self, holds: Callable[[], Any]) -> Any:
        """Wait until something holds of the copies; return it."""

        async def wait() -> Any:
            while not (held := holds()):
                self._news.clear()
                await self._news.wait()
            return held

        try:
            return await asyncio.wait_for(wait(), PATIENCE)
        except TimeoutError:
            raise AssertionError(f"it did not come to pass; the copies are {self.records}") from None

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            table, records, frames = json.loads(line)
            self.records[table], self.frames[table] = records, frames
            self.seen.append((table, records))
            self._news.set()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
