"""Measure the shared tables: what they cost, how late a change is in them, and what many files do.

`python tests/benchmarks/tables.py` prints each figure; `--quick` uses small sizes, for a look. For Linux. The server
is a real process, its kernels are real kernels, and those who watch are connected over real WebSockets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import meter
from clients import request
from delays import PUSHED, UNPOLLED, Copy, Delays
from keeping import Kept
from servers import HOST, TOKEN
from websockets.asyncio.client import ClientConnection, connect

OFF = "--Supernode.shown=[]"
MEMORY = Path(__file__).parent.parent / "documents" / "memory_manager.py"


@dataclass(frozen=True)
class Sizes:
    """How big the cases are; `span` is in seconds."""

    kernels: int = 20
    span: float = 60.0
    watchers: int = 100
    executions: int = 500
    files: int = 10_000
    changes: int = 200


QUICK = Sizes(kernels=4, span=10.0, watchers=20, executions=50, files=1000, changes=40)


def own_cpu(pid: int) -> float:
    """Return the CPU seconds of a process, without its children: here, the kernels."""
    return time.clock_gettime((~pid) << 3 | 2)


async def ask(server: Kept, method: str, path: str, body: Any = None) -> Any:
    """Send a REST request; return the decoded answer."""
    return (await request(server.room("any"), method, f"{path}?token={TOKEN}", body))[1]


async def begun(server: Kept, number: int) -> list[str]:
    """Start kernels; return their ids when all are idle."""
    ids = [(await ask(server, "POST", "/api/kernels", {"name": "python3"}))["id"] for _ in range(number)]
    for _ in range(600):
        if all(kernel["execution_state"] == "idle" for kernel in await ask(server, "GET", "/api/kernels")):
            break
        for id in ids:  # a kernel that nobody ever talked to is "starting" for ever
            async with socket(server, f"api/kernels/{id}/channels") as channels:
                await execute(channels)
        await asyncio.sleep(0.2)
    await meter.quiet(server.pid, 3.0)
    return ids


def socket(server: Kept, path: str) -> connect:
    """Connect a WebSocket."""
    url = f"ws://{HOST}:{server.port}/{path}?token={TOKEN}"
    return connect(url, max_size=None, compression=None, proxy=None)


async def execute(channels: ClientConnection) -> None:
    """Have a kernel run nothing, and wait until it is idle again."""
    id = uuid4().hex
    header = {"msg_id": id, "username": "", "session": "bench", "msg_type": "execute_request", "version": "5.3"}
    content = {"code": "pass", "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    await channels.send(json.dumps(message))
    async for text in channels:
        answer = json.loads(text)
        if answer["parent_header"].get("msg_id") == id and answer["content"].get("execution_state") == "idle":
            return


async def idle(sizes: Sizes) -> None:
    """Leave a server with kernels alone, with tables and without."""
    spent = {}
    for name, options in {"on": [], "off": [OFF]}.items():
        server = Kept(*options)
        await server.start()
        await begun(server, sizes.kernels)
        before = own_cpu(server.pid)
        await asyncio.sleep(sizes.span)
        spent[name] = 1000 * (own_cpu(server.pid) - before) / sizes.span
        server.close()
    print(f"{sizes.kernels} idle kernels, CPU per second: {spent['on']:.2f} ms, without tables {spent['off']:.2f} ms,")
    print(f"  the tables: {spent['on'] - spent['off']:.2f} ms (goal: at most 2)", flush=True)


async def changes(sizes: Sizes) -> None:
    """Let a kernel become busy and idle many times while many watch, and while none can."""
    spent = {}
    for name, options in {"on": [], "off": [OFF]}.items():
        server = Kept(*options)
        await server.start()
        [kernel] = await begun(server, 1)
        async with AsyncExitStack() as stack:
            frames: list[int] = []
            if name == "on":
                for _ in range(sizes.watchers):
                    watcher = await stack.enter_async_context(socket(server, "api/rtc/room/table:kernels"))
                    await watcher.send(b"\x00\x00\x01\x00")
                    stack.callback(asyncio.ensure_future(count(watcher, frames)).cancel)
            channels = await stack.enter_async_context(socket(server, f"api/kernels/{kernel}/channels"))
            await execute(channels)
            await meter.quiet(server.pid)
            frames.clear()
            before = own_cpu(server.pid)
            for _ in range(sizes.executions):
                await execute(channels)
            await asyncio.sleep(1.0)
            spent[name] = own_cpu(server.pid) - before
        server.close()
        if name == "on":
            print(f"frames that each of {sizes.watchers} watchers was sent: {len(frames) / sizes.watchers:.0f}")
    each = 1e6 * (spent["on"] - spent["off"]) / (2 * sizes.executions)
    print(f"a kernel becomes busy or idle, {sizes.watchers} watch, CPU per change: {each:.0f} us", flush=True)


async def count(watcher: ClientConnection, frames: list[int]) -> None:
    """Take note of the size of each update that comes."""
    while True:
        frame = await watcher.recv()
        if frame[:2] == b"\x00\x02":
            frames.append(len(frame))


async def delays(sizes: Sizes) -> None:
    """Change things of all kinds, and see how late each is in a client's copy of its table."""
    server = Kept(*UNPOLLED)
    await server.start()
    folder = server.files / "folder"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number}.txt").touch()
    [kernel] = await begun(server, 1)
    copies = {table: await Copy.join(server, table) for table in PUSHED}
    measured = Delays(server, copies, sizes.changes)
    async with AsyncExitStack() as stack:

        async def channels() -> ClientConnection:
            return await stack.enter_async_context(socket(server, f"api/kernels/{kernel}/channels"))

        first = await channels()
        await execute(first)
        await measured.executions(kernel, first)
        await measured.connections(channels, kernel)
    await measured.sessions(kernel)
    await measured.terminals()
    await measured.files(folder)
    await measured.documents()
    measured.report()
    server.close()


async def files(sizes: Sizes) -> None:
    """Look at a folder with many files on the local disk; then change one of them, again and again."""
    server = Kept()
    await server.start()
    folder = server.files / "many"
    folder.mkdir()
    for number in range(sizes.files):
        (folder / f"{number}.txt").write_text("x")
    await look(server, "many", f"a folder with {sizes.files} files")

    async def change(size: int) -> None:
        (folder / "0.txt").write_text("x" * size)

    await follow(server, change)
    server.close()


async def elsewhere(sizes: Sizes) -> None:
    """Look at as many files of a contents manager that is not the local disk; it lists them on the event loop."""
    server = Kept(f"--config={MEMORY}")
    await server.start()

    async def save(name: str, size: int) -> None:
        await ask(server, "PUT", f"/api/contents/{name}.txt", {"type": "file", "format": "text", "content": "x" * size})

    for number in range(sizes.files):
        await save(str(number), 1)
    gap, seconds, cost = await while_asking(server, lambda: ask(server, "GET", "/api/contents"))
    print(f"Jupyter's own listing of {sizes.files} files elsewhere: {seconds:.2f} s, CPU {cost:.2f} s,", end=" ")
    print(f"another request waits at most {1000 * gap:.0f} ms", flush=True)
    await look(server, "", f"the table, of {sizes.files} files elsewhere")
    await meter.quiet(server.pid)
    before = own_cpu(server.pid)
    async with socket(server, "api/rtc/room/table:contents") as watcher:
        await watcher.send(b"\x00\x00\x01\x00")
        await asyncio.sleep(sizes.span)
    spent = 1000 * (own_cpu(server.pid) - before) / sizes.span
    print(f"they are polled while somebody looks: CPU per second {spent:.1f} ms", flush=True)
    await follow(server, lambda size: save("0", size))
    server.close()


async def look(server: Kept, path: str, what: str) -> None:
    """Look at a folder twice, while something else is asked for."""
    for name in ("the first time", "once more"):
        gap, seconds, cost = await while_asking(
            server, lambda: ask(server, "POST", "/api/rtc/tables/contents/refresh", {"path": path})
        )
        print(f"{what}, {name}: {seconds:.2f} s, CPU {cost:.2f} s,", end=" ")
        print(f"another request waits at most {1000 * gap:.0f} ms", flush=True)


async def follow(server: Kept, change: Callable[[int], Awaitable[object]]) -> None:
    """Change the file 0.txt in the folder that is looked at to another size, and wait until the table shows it."""
    copy = await Copy.join(server, "contents")
    shown = modified(copy.records)
    before, waited = own_cpu(server.pid), 0.0
    for size in range(2, 7):
        begun = time.monotonic()
        await change(size)
        waited += await copy.until(lambda records, last=shown: modified(records) != last) - begun
        shown = modified(copy.records)
    spent = own_cpu(server.pid) - before
    print(f"one of them changes: with a client after {waited / 5:.2f} s, CPU {spent / 5:.2f} s", flush=True)
    print(f"memory of the server: {meter.memory(server.pid):.0f} MB")


def modified(records: dict[str, Any]) -> str:
    """Return when the file 0.txt was changed last."""
    return next(str(record["last_modified"]) for record in records.values() if record["name"] == "0.txt")


async def while_asking(server: Kept, work: Callable[[], Awaitable[object]]) -> tuple[float, float, float]:
    """Do something; return the longest that another request waited meanwhile, the seconds and the CPU it took."""
    longest = 0.0

    async def keep_asking() -> None:
        nonlocal longest
        while True:
            begun = time.monotonic()
            await ask(server, "GET", "/api/status")
            longest = max(longest, time.monotonic() - begun)

    before, start = own_cpu(server.pid), time.monotonic()
    asking = asyncio.ensure_future(keep_asking())
    await work()
    seconds = time.monotonic() - start
    asking.cancel()
    return longest, seconds, own_cpu(server.pid) - before


CASES = {"idle": idle, "changes": changes, "delays": delays, "files": files, "elsewhere": elsewhere}


async def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"any of {', '.join(CASES)}; all without")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, for a look only")
    chosen = parser.parse_args()
    meter.pin_clients()
    for case in chosen.cases or CASES:
        await CASES[case](QUICK if chosen.quick else Sizes())


if __name__ == "__main__":
    asyncio.run(main())
