"""What every case is made of: sizes, joining, typing at a pace, waiting for deliveries, checking them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clients import Address, Peer, clocks
from frames import UPDATE, prefixed

WRITER = 1000
"""The Yjs client id of the first writer."""

Row = dict[str, Any]
"""The figures of one case on one server, by name."""


@dataclass(frozen=True)
class Sizes:
    """How big the cases are."""

    rounds: int = 5
    burst_edits: int = 1000
    burst_readers: int = 99
    paced_edits: int = 500
    paced_readers: int = 49
    durable_edits: int = 5000
    window: int = 50
    crowd_readers: int = 1000
    crowd_seconds: int = 20
    notebook_cells: int = 2000
    notebook_size: int = 25_000_000
    openers: int = 20
    other_cells: int = 4000
    other_size: int = 60_000_000
    other_cycles: int = 5


QUICK = Sizes(
    rounds=2,
    burst_edits=300,
    burst_readers=30,
    paced_edits=200,
    durable_edits=1000,
    crowd_readers=200,
    crowd_seconds=6,
    notebook_cells=400,
    notebook_size=5_000_000,
    openers=5,
    other_cells=600,
    other_size=10_000_000,
    other_cycles=2,
)
"""Sizes for a look within a few minutes; their figures are not to be published."""


async def join_all(address: Address, count: int, limit: float = 180.0) -> list[Peer]:
    """Join `count` peers, twenty at a time; raise `TimeoutError` if that takes longer than `limit` seconds."""
    peers: list[Peer] = []
    deadline = time.monotonic() + limit
    while len(peers) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{len(peers)} of {count} joined in {limit:.0f} s")
        some = min(20, count - len(peers))
        peers += await asyncio.gather(*(Peer.join(address, left) for _ in range(some)))
    return peers


async def leave_all(peers: Sequence[Peer]) -> None:
    """Close every connection that is still open."""
    for peer in peers:
        await peer.leave()


async def play(
    writer: Peer, updates: Sequence[bytes], period: float, sent: dict[bytes, float], offset: float = 0.0
) -> None:
    """Send one update every `period` seconds, the first after `offset`; note in `sent` when each left."""
    loop = asyncio.get_running_loop()
    start = loop.time() + offset
    for number, update in enumerate(updates):
        frame = writer.frame(update)
        await asyncio.sleep(max(0.0, start + number * period - loop.time()))
        sent[UPDATE + prefixed(update)] = time.monotonic()
        writer.send_raw(frame)


async def windowed(writer: Peer, reader: Peer, updates: Sequence[bytes], window: int) -> None:
    """Send updates, never more than `window` ahead of what the reader has been sent."""
    frames = [writer.frame(update) for update in updates]
    wake = asyncio.Event()
    reader.watcher = wake.set
    first, at = reader.updates, 0
    while at < len(frames):
        stop = min(reader.updates - first + window, len(frames))
        while at < stop:
            writer.send_raw(frames[at])
            at += 1
        wake.clear()
        if at < len(frames) and reader.updates - first + window <= at:
            await asyncio.wait_for(wake.wait(), 60)
    reader.watcher = None


async def delivered(peers: Sequence[Peer], wanted: int, patience: float = 5.0) -> None:
    """Wait until every peer has `wanted` updates, or until nothing at all has arrived for `patience` seconds."""
    last, since = -1, time.monotonic()
    while any(peer.updates < wanted for peer in peers):
        await asyncio.sleep(0.02)
        total = sum(peer.received for peer in peers)
        if total != last:
            last, since = total, time.monotonic()
        elif time.monotonic() - since > patience:
            return


def complete(peers: Sequence[Peer], wanted: dict[int, list[bytes]]) -> str:
    """Check that each peer holds every update of `wanted` (by writer); say "all", or what is missing.

    A peer that was sent the very bytes is done; for any other a document is built from what it was sent,
    and its state vector must count every edit.
    """
    messages = {UPDATE + prefixed(update) for updates in wanted.values() for update in updates}
    lacking = 0
    for peer in peers:
        if not messages.issubset(message for _, message in peer.arrivals):
            held = clocks(peer.document())
            lacking += any(held.get(client, 0) < len(updates) for client, updates in wanted.items())
    return "all" if not lacking else f"NOT ALL: {lacking} of {len(peers)} readers lack edits"


def latency(readers: Sequence[Peer], sent: dict[bytes, float]) -> Row:
    """Return the delivery latencies of all edits to all readers in ms, and how many were seen."""
    found = sorted(
        (when - sent[message]) * 1e3 for reader in readers for when, message in reader.arrivals if message in sent
    )
    if not found:
        return {"p50_ms": None, "p99_ms": None, "max_ms": None, "deliveries": 0}
    return {
        "p50_ms": found[len(found) // 2],
        "p99_ms": found[min(len(found) * 99 // 100, len(found) - 1)],
        "max_ms": found[-1],
        "deliveries": len(found),
    }


def spread(costs: Sequence[float], per: int) -> Row:
    """Return the median, lowest and highest of some CPU seconds, in microseconds for each of `per` things."""
    each = sorted(cost / per * 1e6 for cost in costs)
    return {"us": each[len(each) // 2], "lowest": each[0], "highest": each[-1]}
