"""Documents that nobody has open any more give their memory back, and go on with the same history."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook, stream
from .peer import until
from .process import Jupyter

NOTEBOOKS = 20


def resident(server: Jupyter) -> int:
    """Return how much memory the server takes, in kB: proc(5)."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux and glibc say so, and give it back")
async def test_memory_is_given_back(start: Starter, join: Opener) -> None:
    server = start("c.Relay.eviction_delay = 0.2")
    text = as_nbformat(notebook(*(code(f"cell {number}", [stream(["x" * 70 + "\n"] * 400)]) for number in range(20))))
    for number in range(NOTEBOOKS):
        (server.root / f"{number}.ipynb").write_text(text)
    sessions: list[set[str]] = [set() for _ in range(NOTEBOOKS)]

    async def around() -> int:
        """Open all notebooks, type in each, and close them; return how much memory they took at most."""
        peers = [await join(server, f"{number}.ipynb") for number in range(NOTEBOOKS)]
        for peer, seen in zip(peers, sessions, strict=True):
            seen.add(peer.session)
            peer.type("typed\n", 0)
            assert await peer.save() == "success"
        most = resident(server)
        for peer in peers:
            await peer.close()
        await until(lambda: not server.rooms())
        return most

    await around()
    await asyncio.sleep(11)  # so often at most is it given back
    begun = resident(server)
    for _ in range(4):
        most = await around()
    await until(lambda: resident(server) < 1.2 * begun, lambda: (begun, resident(server)))
    assert most > 1.05 * begun  # else the bound says nothing
    assert [len(seen) for seen in sessions] == [1] * NOTEBOOKS
