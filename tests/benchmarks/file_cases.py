"""The cases with a big notebook: opened cold, and by many people at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import meter
from clients import Peer
from edits import same_content, write_notebook
from frames import body
from measuring import Row, Sizes, leave_all
from pycrdt import Doc
from servers import Server

KIND = "json:notebook"


async def cold(server: Server, sizes: Sizes) -> Row:
    """Open a big notebook for the first time: a session, a connection, and the whole document."""
    await server.start()
    notebook = write_notebook(server.files / "big.ipynb", sizes.notebook_cells, sizes.notebook_size)
    before, start = await meter.quiet(server.pid), time.monotonic()
    peer = await Peer.join(await server.document("big.ipynb", KIND))
    seconds = time.monotonic() - start
    cost = await meter.quiet(server.pid) - before
    row = {
        "s": cost,
        "seconds": seconds,
        "peak_mb": meter.peak_memory(server.pid),
        "delivered": "all" if same_content(peer.document(), notebook) else "NOT the file's content",
    }
    await peer.leave()
    return row


async def openers(server: Server, sizes: Sizes) -> Row:
    """Open the same notebook for many people at once while one has it open."""
    await server.start()
    notebook = write_notebook(server.files / "big.ipynb", sizes.notebook_cells, sizes.notebook_size)
    first = await Peer.join(await server.document("big.ipynb", KIND))
    before = await meter.quiet(server.pid)
    at_rest, whole = meter.memory(server.pid), meter.peak_memory(server.pid)
    meter.forget_peak(server.pid)

    async def open_one() -> Peer:
        return await Peer.join(await server.document("big.ipynb", KIND), 120)

    start = time.monotonic()
    peers = await asyncio.gather(*(open_one() for _ in range(sizes.openers)))
    seconds = time.monotonic() - start
    cost = await meter.quiet(server.pid) - before
    peak = meter.peak_memory(server.pid)
    row = {
        "s": cost,
        "seconds": seconds,
        "peak_mb": peak,
        "rest_mb": at_rest,
        "since_start_mb": max(whole, peak),
        "delivered": _all_alike(peers, notebook),
    }
    await leave_all([first, *peers])
    return row


def _all_alike(peers: list[Peer], notebook: dict[str, Any]) -> str:
    """Check each distinct document once; peers that were sent the same bytes share it."""
    lacking = 0
    for state in {peer.state for peer in peers}:
        doc: Doc[Any] = Doc()
        doc.apply_update(body(state, 2))
        if not same_content(doc, notebook):
            lacking += sum(peer.state == state for peer in peers)
    return "all" if not lacking else f"NOT the file's content: {lacking} of {len(peers)}"
