"""A program that reads and replaces a file while the server stands still, at moments that nobody chose."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from .conftest import Opener, Starter
from .peer import until
from .process import Jupyter
from .test_outside import PATIENCE, by_renaming, plainly

END = "the end\n"


def insert(server: Jupyter, file: Path, token: str, how: object) -> bool:
    """Put a token into a file as a program does that is quick; return whether it was whole, so that it could."""
    with server.stopped():
        text = file.read_text()
        if not text.endswith(END):
            return False
        write = by_renaming if how == "replace" else plainly
        write(file, text.replace("begin", f"{token} begin", 1))
    return True


@pytest.mark.parametrize("how", ["replace", "write"])
async def test_at_any_moment(start: Starter, join: Opener, how: str) -> None:
    """What both wrote is there once, whatever the server was about to do."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    noise = random.Random(seed)
    server = start("c.Documents.save_delay = c.Documents.max_save_delay = 0.05\nc.Documents.settle_delay = 0.01")
    file = server.root / "a.txt"
    file.write_text("begin\n" + "line\n" * 100_000 + END)
    peer = await join(server, "a.txt")
    written: list[str] = []
    for number in range(60):
        peer.source.insert(len(peer.source) - len(END), f"typed{number}\n")
        written.append(f"typed{number}")
        await asyncio.sleep(noise.uniform(0, 0.12))
        if insert(server, file, f"outside{number}", how):
            written.append(f"outside{number}")
    expected = Counter([*written, "begin", *["line"] * 100_000, *END.split()])

    def found() -> list[Counter[str]]:
        return [Counter(text.split()) for text in (peer.text, file.read_text())]

    await until(
        lambda: found() == [expected, expected],
        lambda: [(one - expected, expected - one) for one in found()],
        PATIENCE,
    )
