"""The cases without files: broadcast, durability, crowds. Each starts a fresh server, and makes a row of figures.

CPU is the server's, from the first edit until it is quiet again. Afterwards every reader's edits are counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import meter
from clients import Address, Peer
from edits import typing
from measuring import (
    WRITER,
    Row,
    Sizes,
    complete,
    delivered,
    join_all,
    latency,
    leave_all,
    play,
    spread,
    windowed,
)
from pycrdt import Text
from servers import Server

FILE = "text.txt"


async def burst(server: Server, sizes: Sizes) -> Row:
    """Send edits of one writer as fast as they go to many readers."""
    await server.start()
    readers = await join_all(server.room("burst"), sizes.burst_readers)
    writer = await Peer.join(server.room("burst"))
    await meter.quiet(server.pid)
    updates = typing(sizes.burst_edits * (sizes.rounds + 1), WRITER)
    costs, seconds = [], []
    for turn in range(sizes.rounds + 1):
        part = updates[turn * sizes.burst_edits : (turn + 1) * sizes.burst_edits]
        frames = b"".join(writer.frame(update) for update in part)
        before, start = meter.cpu(server.pid), time.monotonic()
        writer.send_raw(frames)
        await delivered(readers, (turn + 1) * sizes.burst_edits)
        seconds.append(time.monotonic() - start)
        costs.append(await meter.quiet(server.pid) - before)
    row = spread(costs[1:], sizes.burst_edits * len(readers))  # the first round warms up
    row |= {"seconds": sorted(seconds[1:])[sizes.rounds // 2], "delivered": complete(readers, {WRITER: updates})}
    await leave_all([*readers, writer])
    return row


async def paced(server: Server, sizes: Sizes) -> AsyncIterator[Row]:
    """Send 100 edits a second of one writer to readers; yield between the rounds, and the row at last."""
    await server.start()
    readers = await join_all(server.room("paced"), sizes.paced_readers)
    writer = await Peer.join(server.room("paced"))
    updates = typing(sizes.paced_edits * sizes.rounds, WRITER)
    sent: dict[bytes, float] = {}
    costs = []
    for turn in range(sizes.rounds):
        yield {}
        before = await meter.quiet(server.pid)
        part = updates[turn * sizes.paced_edits : (turn + 1) * sizes.paced_edits]
        await play(writer, part, 0.01, sent)
        await delivered(readers, (turn + 1) * sizes.paced_edits)
        costs.append(await meter.quiet(server.pid) - before)
    row = spread(costs, sizes.paced_edits * len(readers)) | latency(readers, sent)
    row["delivered"] = complete(readers, {WRITER: updates})
    await leave_all([*readers, writer])
    yield row


async def durable(server: Server, sizes: Sizes) -> Row:
    """Send edits to one reader with at most `window` on their way; then kill the server and count what it kept."""
    return await _durable(server, sizes, sizes.window, "" if server.keeps_rooms else FILE)


async def flood(server: Server, sizes: Sizes) -> Row:
    """Send the same edits as fast as they go."""
    return await _durable(server, sizes, sizes.durable_edits, "" if server.keeps_rooms else FILE)


async def saved(server: Server, sizes: Sizes) -> Row:
    """Send the same edits, with a window, to the document of a text file, which is saved too."""
    return await _durable(server, sizes, sizes.window, FILE)


async def _durable(server: Server, sizes: Sizes, window: int, file: str = "") -> Row:
    await server.start(keep=True)
    if file:
        (server.files / file).write_text("")
    where = await _where(server, file)
    reader, writer = await Peer.join(where), await Peer.join(where)
    await meter.quiet(server.pid)
    root = "source" if file else "t"
    updates = typing(sizes.durable_edits, WRITER, root)
    before, start = meter.cpu(server.pid), time.monotonic()
    await windowed(writer, reader, updates, window)
    await delivered([reader], len(updates))
    seconds, cost_then = time.monotonic() - start, meter.cpu(server.pid) - before
    cost = await meter.quiet(server.pid, 2.5) - before
    row = {
        "us": cost / len(updates) * 1e6,
        "us_at_delivery": cost_then / len(updates) * 1e6,
        "seconds": seconds,
        "delivered": complete([reader], {WRITER: updates}),
    }
    server.kill()
    await server.start(keep=True)
    again = await Peer.join(await _where(server, file))
    await delivered([again], 1, 3.0)  # where the store is read after the sync, its content comes as an update
    row["kept"] = len(str(again.document().get(root, type=Text)))
    await again.leave()
    return row


async def _where(server: Server, file: str) -> Address:
    return await server.document(file, "text:file") if file else server.room("durable")


async def crowd(server: Server, sizes: Sizes) -> Row:
    """Let ten of many readers type twice a second."""
    await server.start()
    start = time.monotonic()
    peers = await join_all(server.room("crowd"), sizes.crowd_readers)
    joining = time.monotonic() - start
    joined = await meter.quiet(server.pid)
    writers, count = peers[:10], sizes.crowd_seconds * 2
    wanted = {WRITER + number: typing(count, WRITER + number) for number in range(len(writers))}
    sent: dict[bytes, float] = {}
    own, start = time.process_time(), time.monotonic()
    typists = [
        play(writer, updates, 0.5, sent, number * 0.05)
        for number, (writer, updates) in enumerate(zip(writers, wanted.values(), strict=True))
    ]
    await asyncio.gather(*typists)
    await delivered(peers[10:], len(sent))
    load = (time.process_time() - own) / (time.monotonic() - start)
    cost = await meter.quiet(server.pid) - joined
    row = latency(peers, sent) | {
        "us": cost / len(sent) / (len(peers) - 1) * 1e6,
        "joining_s": joining,
        "client_load": load,
        "delivered": complete(peers[10:], wanted),
    }
    await leave_all(peers)
    return row
