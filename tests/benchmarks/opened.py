"""Measure what open documents cost: many of them, a person in each, who do nothing, and who type now and then.

`python tests/benchmarks/opened.py` prints each figure; `--quick` uses small sizes, for a look. For Linux. Of figures
on a machine that is not quiet the ratios count: what twice as many documents cost.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import meter
from clients import Peer
from edits import typing
from keeping import Kept


@dataclass(frozen=True)
class Sizes:
    """How many documents are open, for how long each state is measured, and how often each person types, in seconds."""

    documents: tuple[int, ...] = (50, 200, 400)
    span: float = 30.0
    pause: float = 5.0


QUICK = Sizes(documents=(20, 40), span=10.0)


async def type_now_and_then(peer: Peer, number: int, sizes: Sizes, begin: float) -> None:
    """Type a character at each pause, the people one after the other."""
    for turn, update in enumerate(typing(int(sizes.span / sizes.pause), 1000 + number, "source")):
        await asyncio.sleep(max(0.0, begin + turn * sizes.pause - time.monotonic()))
        peer.send_raw(peer.frame(update))


async def watch_another(server: Kept, updates: list[bytes], stop: asyncio.Event) -> float:
    """Type in another room, twenty characters a second; return the p99 of how late each arrived, in milliseconds."""
    writer, reader = [await Peer.join(server.room("other")) for _ in range(2)]
    sent: list[float] = []
    for update in updates:
        sent.append(time.monotonic())
        writer.send_raw(writer.frame(update))
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.05)
            break
    all_came = asyncio.Event()
    reader.watcher = lambda: all_came.set() if reader.updates == len(sent) else None
    if reader.updates < len(sent):
        await all_came.wait()
    late = sorted(came - gone for (came, _), gone in zip(reader.arrivals, sent, strict=True))
    for peer in (writer, reader):
        await peer.leave()
    return 1000 * late[int(0.99 * len(late))]


async def measured(number: int, sizes: Sizes) -> tuple[float, float, float]:
    """Return the share of a core that open documents take while nobody types, and while all do; and the p99."""
    server = Kept()
    await server.start()
    try:
        people = []
        for one in range(number):
            (server.files / f"{one}.txt").write_text("")
            people.append(await Peer.join(await server.document(f"{one}.txt", "text:file")))
        await meter.quiet(server.pid, 3.0, 20.0)
        before = meter.cpu(server.pid)
        await asyncio.sleep(sizes.span)
        idle = (meter.cpu(server.pid) - before) / sizes.span
        stop, updates = asyncio.Event(), typing(round(2 * sizes.span / 0.05), 7)
        before, begin = meter.cpu(server.pid), time.monotonic()
        watching = asyncio.create_task(watch_another(server, updates, stop))
        step = sizes.pause / number
        await asyncio.gather(*(type_now_and_then(peer, at, sizes, begin + at * step) for at, peer in enumerate(people)))
        await asyncio.sleep(max(0.0, begin + sizes.span - time.monotonic()))
        busy = (meter.cpu(server.pid) - before) / (time.monotonic() - begin)
        stop.set()
        late = await watching
        await meter.quiet(server.pid, 3.0, 20.0)
        missing = number * int(sizes.span / sizes.pause) - sum(
            len((server.files / f"{one}.txt").read_text()) for one in range(number)
        )
        assert missing == 0, f"{missing} characters are not saved"
        return idle, busy, late
    finally:
        server.close()


async def main() -> None:
    """Measure the sizes one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    sizes = QUICK if parser.parse_args().quick else Sizes()
    meter.pin_clients()
    found = []
    for number in sizes.documents:
        idle, busy, late = await measured(number, sizes)
        found.append((number, idle, busy))
        print(f"{number} documents: idle {idle:.1%} of a core, typing {busy:.1%}, another room's p99 {late:.1f} ms")
    for (few, idle, busy), (many, more_idle, more_busy) in pairwise(found):
        ratio = f"idle x{more_idle / idle:.1f}, typing x{more_busy / busy:.1f}"
        print(f"x{many / few:.1f} documents: {ratio} (goal: no more than the number of documents)")


if __name__ == "__main__":
    asyncio.run(main())
