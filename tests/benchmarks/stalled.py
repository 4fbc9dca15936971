"""Measure how late edits are in one room while something else stalls: a database, a contents manager, a large update.

`python tests/benchmarks/stalled.py` prints p99 and the longest of each case, beside p99 of the same room when nothing
stalls; the goal is a p99 below 50 ms. `--quick` uses small sizes, for a look. For Linux. What stalls is real: a
database that this process holds locked, a contents manager that sleeps, an update that a client sends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import meter
from awaiting import until
from clients import Peer
from edits import typing
from keeping import Kept
from measuring import Row, delivered, join_all, leave_all
from neighbour import Typist
from pycrdt import Array, Doc, Map

GOAL = 50.0
WRITERS = 2000

SLOW = '''"""A contents manager that is not asynchronous, and takes its time for every call."""

import os
import time

from jupyter_server.services.contents.largefilemanager import LargeFileManager


class Slow(LargeFileManager):
    depth = 0

    def get(self, *args, **more):
        return self.slowly(super().get, *args, **more)

    def save(self, *args, **more):
        return self.slowly(super().save, *args, **more)

    def slowly(self, method, *args, **more):
        if not self.depth:
            time.sleep(float(os.environ["SLOW_SECONDS"]))
        self.depth += 1
        try:
            return method(*args, **more)
        finally:
            self.depth -= 1
'''


@dataclass(frozen=True)
class Sizes:
    """How big the cases are: seconds, documents, numbers in a plot."""

    locked: float = 10.0
    call: float = 0.5
    documents: int = 20
    typing: float = 20.0
    numbers: int = 1_000_000


QUICK = Sizes(locked=3.0, documents=5, typing=5.0, numbers=100_000)


class SlowServer(Kept):
    """Our server with a contents manager that takes its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__("--ServerApp.contents_manager_class=slow_manager.Slow")
        self._seconds = seconds
        (self.folder / "slow_manager.py").write_text(SLOW)

    def environment(self, keep: bool) -> dict[str, str]:
        """Let the manager be found."""
        path = os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH")]))
        return super().environment(keep) | {"PYTHONPATH": path, "SLOW_SECONDS": str(self._seconds)}


async def beside(server: Kept, stalling: Callable[[], Awaitable[object]]) -> Row:
    """Type in a free room alone, and then while something stalls; return the latencies of both."""
    readers = await join_all(server.room("beside"), 3)
    typist = Typist(await Peer.join(server.room("beside")), readers)
    await meter.quiet(server.pid, 1.0, 30)
    alone = await typist.during(asyncio.sleep(3))
    row = await typist.during(stalling())
    await leave_all([typist.writer, *readers])
    return row | {"alone_p99_ms": alone["p99_ms"]}


async def locked_signatures(sizes: Sizes) -> Row:
    """Hold the database of signatures locked while notebooks with HTML in them are opened."""
    server = Kept()
    await server.start()
    for number in range(4):
        (server.files / f"{number}.ipynb").write_text(json.dumps(_shown(number)))

    async def open_all() -> None:
        db = sqlite3.connect(server.folder / "data" / "nbsignatures.db", isolation_level=None)
        db.execute("BEGIN EXCLUSIVE")
        rest = asyncio.ensure_future(asyncio.sleep(sizes.locked))
        for number in range(4):
            await (await Peer.join(await server.document(f"{number}.ipynb", "json:notebook"))).leave()
        await rest
        db.close()

    row = await beside(server, open_all)
    server.close()
    return row


async def slow_manager(sizes: Sizes) -> Row:
    """Have documents open, and somebody typing in each, of a manager that takes its time."""
    server = SlowServer(sizes.call)
    await server.start()
    wanted = {f"{number}.txt": f"one {number}" for number in range(sizes.documents)}
    for name, text in wanted.items():
        (server.files / name).write_text(text)
    peers = [await Peer.join(await server.document(name, "text:file"), 120) for name in wanted]

    updates = typing(int(sizes.typing) * 2, WRITERS, "source")

    async def type_in_all() -> None:
        ends = asyncio.get_running_loop().time() + sizes.typing
        for update in updates:
            for peer in peers:
                peer.send_raw(peer.frame(update))
            await asyncio.sleep(0.5)
        await asyncio.sleep(max(0.0, ends - asyncio.get_running_loop().time()))

    row = await beside(server, type_in_all)
    begun = asyncio.get_running_loop().time()
    while not all(
        len((server.files / name).read_text()) > len(text) + len(updates) - 1 for name, text in wanted.items()
    ):
        await asyncio.sleep(0.1)
        if asyncio.get_running_loop().time() - begun > 300:
            raise TimeoutError("the documents are not saved")
    row["saved_after_s"] = asyncio.get_running_loop().time() - begun
    await leave_all(peers)
    server.close()
    return row


async def large_update(sizes: Sizes) -> Row:
    """Send a plot of a million numbers into a notebook, in one update, until it is saved."""
    server = Kept()
    await server.start()
    file = server.files / "plot.ipynb"
    file.write_text(json.dumps(_shown(0)))
    author = await Peer.join(await server.document("plot.ipynb", "json:notebook"))
    update = _plot(author.document(), sizes.numbers)
    frame = author.frame(update)  # now: to mask it stops this process, too

    async def plot() -> None:
        reader = await Peer.join(author.address)
        author.send_raw(frame)
        await delivered([reader], reader.updates + 1, 60.0)
        await until(lambda: file.stat().st_size > len(update))
        await asyncio.sleep(3)  # what comes after a save
        await reader.leave()

    row = await beside(server, plot)
    await author.leave()
    server.close()
    return row | {"update_mb": len(update) / 1e6}


def _shown(number: int) -> dict[str, object]:
    shown = {"output_type": "display_data", "data": {"text/html": f"<b>{number}</b>"}, "metadata": {}}
    cell = {"cell_type": "code", "execution_count": 1, "id": "a", "metadata": {}, "outputs": [shown], "source": "x"}
    return {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def _plot(doc: Doc[object], numbers: int) -> bytes:
    before = doc.get_state()
    data = {"application/vnd.plotly.v1+json": {"data": [{"y": [number / 7 for number in range(numbers)]}]}}
    output = Map({"output_type": "display_data", "data": data, "metadata": {}})
    doc.get("cells", type=Array)[0]["outputs"].append(output)
    return doc.get_update(before)


CASES: dict[str, tuple[str, Callable[[Sizes], Awaitable[Row]]]] = {
    "signatures": ("the database of signatures is locked, notebooks are opened", locked_signatures),
    "manager": ("a contents manager takes 0.5 s a call, documents are typed in", slow_manager),
    "update": ("an update of a million numbers", large_update),
}


async def main() -> None:
    """Run the cases that were asked for, and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="all without")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a look")
    chosen = parser.parse_args()
    meter.pin_clients()
    others = meter.Others()
    for name in chosen.cases or CASES:
        what, case = CASES[name]
        row = await case(QUICK if chosen.quick else Sizes())
        more = "".join(f", {key} {row[key]:.1f}" for key in ("saved_after_s", "update_mb") if key in row)
        met = "met" if row["p99_ms"] < GOAL else "MISSED"
        print(f"{what}: p99 {row['p99_ms']:.1f} ms, longest {row['max_ms']:.0f} ms", end="")
        print(f" (alone: p99 {row['alone_p99_ms']:.1f} ms){more}; goal {GOAL:g} ms: {met}", flush=True)
    print(f"other programs used {others.load():.2f} of a core meanwhile")


if __name__ == "__main__":
    asyncio.run(main())
