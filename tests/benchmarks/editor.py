"""A person with a big notebook open, as a process of its own: opens it, edits it, pauses, saves it.

Run by `neighbour.py`. It prints "open" and "ready", waits for a line, works, and prints a report in JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from clients import Address, Peer, document_address
from edits import cell_typing, sources
from frames import SAVE, read_varint, varint

TYPED, PAUSE, MORE = 8, 2.5, 2
"""A turn: so many edits at four a second, seconds of rest in which an autosave falls, edits before a save."""


async def main(port: int, token: str, file: Path, turns: int) -> None:
    """Open the notebook, say so, and work when told to."""
    where = await document_address(Address("127.0.0.1", port, ""), token, file.name, "json:notebook")
    peer = await Peer.join(where, 120)
    print("open", flush=True)
    doc = peer.document()
    updates = iter(cell_typing(doc, turns * (TYPED + MORE)))
    digest = hashlib.sha256("".join(sources(doc)).encode()).hexdigest()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    writes: list[int] = []
    watch = asyncio.create_task(count_writes(file, writes))
    saves: list[str] = []
    longest = 0.0
    for turn in range(turns):
        await type_some(peer, updates, TYPED)
        await asyncio.sleep(PAUSE)
        await type_some(peer, updates, MORE)
        start = time.monotonic()
        saves.append(await save(peer, turn))
        longest = max(longest, time.monotonic() - start)
        await asyncio.sleep(1.0)
    watch.cancel()
    report = {"saves": saves, "slowest_save_s": longest, "writes": len(writes), "digest": digest}
    print(json.dumps(report), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await peer.leave()


async def type_some(peer: Peer, updates: Any, count: int) -> None:
    """Send some edits, four a second."""
    for _ in range(count):
        peer.send_raw(peer.frame(next(updates)))
        await asyncio.sleep(0.25)


async def save(peer: Peer, number: int) -> str:
    """Ask for a save as the front end does; return the status that the server answers."""
    peer.send(SAVE + varint(number))
    while True:
        message = await asyncio.wait_for(peer.replies.get(), 60)
        _, start = read_varint(message, 1)
        answer = json.loads(message[start:])
        if answer.get("type") == "save" and answer.get("responseTo") == number:
            return str(answer["status"])


async def count_writes(file: Path, writes: list[int]) -> None:
    """Note each write of a file: its modification time is new, and has stayed so for a fifth of a second."""
    last = seen = _modified(file)
    still = 0
    while True:
        await asyncio.sleep(0.05)
        now = _modified(file)
        still = still + 1 if now == seen else 0
        seen = now
        if still == 4 and now not in (0, last):
            last = now
            writes.append(now)


def _modified(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:  # between the removal and the renaming of a save
        return 0


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
