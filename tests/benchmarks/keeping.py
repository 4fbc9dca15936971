"""Measure what rooms leave behind: memory after eviction, bytes on disk, the time to open and to stop.

`python tests/benchmarks/keeping.py` prints each figure with its goal; `--quick` uses small sizes, for a look. For
Linux. Every server is a real process with this package in it, every edit came over a real WebSocket.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import meter
from clients import Peer, request
from edits import cell_typing, typing, write_notebook
from pycrdt import Text
from servers import TOKEN, Ours

KIND = "json:notebook"


@dataclass(frozen=True)
class Sizes:
    """How big the cases are."""

    notebooks: int = 500
    edits: int = 10_000
    updates: int = 100_000
    cells: int = 2000
    large: int = 25_000_000


QUICK = Sizes(notebooks=60, edits=2000, updates=10_000, cells=200, large=2_500_000)


class Kept(Ours):
    """Our server, with a choice of options."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options

    def command(self, keep: bool) -> list[str]:
        """Add the options."""
        return [*super().command(keep), *self._options]

    @property
    def database(self) -> Path:
        """Where the rooms are kept."""
        return self.folder / "data" / "jupyter_rtc" / "rooms.db"

    def stored(self) -> float:
        """Return how many bytes the store takes on disk, in MB (10^6)."""
        return sum(file.stat().st_size for file in self.database.parent.glob("rooms.db*")) / 1e6

    async def open_rooms(self) -> list[dict[str, object]]:
        """Return the open rooms."""
        _, answer = await request(self.room("any"), "GET", f"/api/rtc/rooms?token={TOKEN}")
        return list(answer["rooms"])

    async def stop(self, number: signal.Signals) -> float:
        """Send a signal; return the seconds until the process has ended."""
        assert self._process is not None
        begun = time.monotonic()
        self._process.send_signal(number)
        await asyncio.to_thread(self._process.wait, 60)
        return time.monotonic() - begun


async def edit(peer: Peer, updates: list[bytes], server: Kept, room: str) -> None:
    """Send updates as fast as the server takes them in."""
    for start in range(0, len(updates), 500):
        for update in updates[start : start + 500]:
            peer.send_raw(peer.frame(update))
        await asyncio.sleep(0.05)
    for _ in range(600):
        found = [one for one in await server.open_rooms() if str(one["name"]).startswith(room)]
        if found and int(str(found[0]["updates"])) >= len(updates):
            return
        await asyncio.sleep(0.2)
    raise TimeoutError("the server does not take the edits in")


async def gone(server: Kept) -> None:
    """Wait until no room is in memory."""
    for _ in range(600):
        if not await server.open_rooms():
            break
        await asyncio.sleep(0.2)
    await meter.quiet(server.pid, 12.0)


async def memory(sizes: Sizes) -> None:
    """Open, edit and close many notebooks, twice over; the second time they come from the store."""
    server = Kept("--Relay.eviction_delay=1", "--Documents.save_delay=0.2")
    await server.start()
    for number in range(sizes.notebooks + 20):
        write_notebook(server.files / f"{number}.ipynb", 20, 100_000)
    await rounds(server, range(sizes.notebooks, sizes.notebooks + 20))
    began = meter.memory(server.pid)
    print(f"memory: {began:.1f} MB after 20 notebooks")
    for turn in ("opened, edited and closed", "and once more"):
        meter.forget_peak(server.pid)
        await rounds(server, range(sizes.notebooks))
        now = meter.memory(server.pid)
        print(
            f"  {sizes.notebooks} notebooks {turn}: {now:.1f} MB, {now / began - 1:+.1%} (goal: within 20 %),"
            f" at most {meter.peak_memory(server.pid):.0f} MB; {server.stored():.1f} MB stored"
        )
    server.close()


async def rounds(server: Kept, numbers: range) -> None:
    """Open notebooks, fifty at a time, type in each, and close them; wait until they are out of memory."""
    for first in range(numbers.start, numbers.stop, 50):
        some = range(first, min(first + 50, numbers.stop))
        peers = await asyncio.gather(*(open_one(server, number) for number in some))
        for peer in peers:
            for update in cell_typing(peer.document(), 20):
                peer.send_raw(peer.frame(update))
        await asyncio.sleep(1)
        for peer in peers:
            await peer.leave()
    await gone(server)


async def open_one(server: Kept, number: int) -> Peer:
    """Open one notebook."""
    return await Peer.join(await server.document(f"{number}.ipynb", KIND), 120)


async def size(sizes: Sizes) -> None:
    """Type 10,000 characters all over a notebook of 1 MB."""
    server = Kept("--Relay.eviction_delay=1")
    await server.start()
    write_notebook(server.files / "a.ipynb", 100, 1_000_000)
    document = (server.files / "a.ipynb").stat().st_size / 1e6
    peer = await Peer.join(await server.document("a.ipynb", KIND))
    before = server.stored()
    updates = cell_typing(peer.document(), sizes.edits)
    await edit(peer, updates, server, "json")
    busy = server.stored()
    await peer.leave()
    await gone(server)
    idle = server.stored()
    await server.stop(signal.SIGTERM)
    print(
        f"store of a notebook of {document:.2f} MB: {before:.2f} MB at first; after {sizes.edits} edits {busy:.2f} MB,"
        f" {idle:.2f} MB when it is closed, {server.stored():.2f} MB when the server has stopped"
        f" ({server.stored() / document:.1f} times the document; goal: at most 4)"
    )
    server.close()


async def opening(sizes: Sizes) -> None:
    """Open a room with 100,000 tiny updates, of a hundred people."""
    server = Kept("--Relay.eviction_delay=600")
    await server.start()
    peer = await Peer.join(server.room("long"))
    people = [typing(sizes.updates // 100, 1000 + number, f"text {number}") for number in range(100)]
    await edit(peer, [update for turn in zip(*people, strict=True) for update in turn], server, "long")
    (room,) = [one for one in await server.open_rooms() if one["name"] == "long"]
    server.kill()
    await server.start()
    begun = time.monotonic()
    again = await Peer.join(server.room("long"))
    seconds = time.monotonic() - begun
    doc = again.document()
    kept = sum(len(str(doc.get(f"text {number}", type=Text))) for number in range(100))
    print(f"a room with {room['updates']} updates, {kept} of them kept through kill -9: opened in {seconds:.2f} s")
    server.close()


async def stopping(sizes: Sizes) -> None:
    """Stop the server with open sockets, right after an edit, and while a large notebook is being saved."""
    for number in (signal.SIGTERM, signal.SIGINT):
        for cells, bytes_ in ((20, 100_000), (sizes.cells, sizes.large)):
            server = Kept("--Documents.save_delay=0.1")
            await server.start()
            write_notebook(server.files / "a.ipynb", cells, bytes_)
            where = await server.document("a.ipynb", KIND)
            peers = [await Peer.join(where, 120) for _ in range(3)]
            for update in cell_typing(peers[0].document(), 3):
                peers[0].send_raw(peers[0].frame(update))
                await asyncio.sleep(0.1)
            seconds = await server.stop(number)
            print(f"{number.name} with a notebook of {bytes_ / 1e6:.1f} MB just edited: {seconds:.2f} s (goal: 2)")
            server.close()


CASES = {"memory": memory, "size": size, "opening": opening, "stopping": stopping}


async def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"any of {', '.join(CASES)}; all without")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, for a look only")
    chosen = parser.parse_args()
    for case in chosen.cases or CASES:
        await CASES[case](QUICK if chosen.quick else Sizes())


if __name__ == "__main__":
    asyncio.run(main())
