"""The case of two rooms: what opening, editing and saving a very big notebook does to the room beside it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

import meter
from clients import Peer
from edits import typing, write_notebook
from frames import UPDATE, prefixed
from measuring import WRITER, Row, Sizes, complete, delivered, join_all, latency, leave_all
from servers import TOKEN, Server

RATE = 50
"""Edits a second in the room beside the notebook."""

LONGEST = 240
"""Seconds for which there are edits to type."""


async def neighbour(server: Server, sizes: Sizes) -> Row:
    """Type in one room while a big notebook is opened, and then edited and saved, in another."""
    await server.start()
    file = server.files / "huge.ipynb"
    write_notebook(file, sizes.other_cells, sizes.other_size)
    readers = await join_all(server.room("beside"), 3)
    typist = Typist(await Peer.join(server.room("beside")), readers)
    await meter.quiet(server.pid)
    alone = await typist.during(asyncio.sleep(5))
    editor = await Editor.launch(server.port, file, sizes.other_cycles)
    opening = await typist.during(editor.said("open"))
    await editor.said("ready")
    before = await meter.quiet(server.pid)
    editor.tell()
    editing = await typist.during(editor.report())
    cost = await meter.quiet(server.pid, 2.5) - before
    report = json.loads(await editor.report())
    row = editing | {
        "alone_p99_ms": alone["p99_ms"],
        "opening_p99_ms": opening["p99_ms"],
        "opening_max_ms": opening["max_ms"],
        "server_s": cost,
        "slowest_save_s": report["slowest_save_s"],
        "writes": report["writes"],
        "saves": ", ".join(sorted(set(report["saves"]))),
        "on_disk": report["digest"] == _digest(file),
        "delivered": complete(readers, {WRITER: typist.typed}),
    }
    await editor.end()
    await leave_all([typist.writer, *readers])
    return row


def _digest(file: Path) -> str:
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return hashlib.sha256("".join("".join(cell["source"]) for cell in cells).encode()).hexdigest()


class Typist:
    """Types in the room beside for as long as something else goes on."""

    def __init__(self, writer: Peer, readers: list[Peer]) -> None:
        self.writer = writer
        self.readers = readers
        self.typed: list[bytes] = []
        self._updates = iter(typing(RATE * LONGEST, WRITER))

    async def during(self, work: Awaitable[object]) -> Row:
        """Type until `work` is done; return the latencies of what was typed."""
        task = asyncio.ensure_future(work)
        sent: dict[bytes, float] = {}
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not task.done():
            update = next(self._updates)
            self.typed.append(update)
            sent[UPDATE + prefixed(update)] = time.monotonic()
            self.writer.send_raw(self.writer.frame(update))
            due = max(due + 1 / RATE, loop.time())
            await asyncio.sleep(due - loop.time())
        await task
        await delivered(self.readers, len(self.typed))
        return latency(self.readers, sent)


class Editor:
    """The other process; its own reading of 60 MB must not be counted as a delay here."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._report = b""

    @classmethod
    async def launch(cls, port: int, file: Path, turns: int) -> Editor:
        """Start the process on the clients' core; it opens the notebook at once."""
        script = str(Path(__file__).with_name("editor.py"))
        arguments = [script, str(port), TOKEN, str(file), str(turns)]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe))

    async def said(self, word: str) -> None:
        """Wait until it says a word."""
        line = await self._line()
        if line != word:
            raise ConnectionError(f"the editor said {line!r}, not {word!r}")

    async def report(self) -> str:
        """Wait for its report."""
        if not self._report:
            self._report = (await self._line()).encode()
        return self._report.decode()

    async def _line(self) -> str:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), LONGEST - 30)
        if not line:
            raise ConnectionError("the editor ended early")
        return line.decode().strip()

    def tell(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def end(self) -> None:
        """Let it end."""
        self.tell()
        await self._process.wait()
