"""A document that is just going out of memory, and what others write into its file in that moment."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter

SLOW = """
import asyncio, pathlib
from jupyter_rtc.relay import SQLiteStore

class Slow(SQLiteStore):
    '''A store of which single reads and flushes, once there is this folder, take until the test lets them go.'''

    gates = pathlib.Path({gates!r})

    async def flush(self):
        await super().flush()
        await self.pass_gate("flush")

    async def load(self, room):
        stored = await super().load(room)
        await self.pass_gate("load")
        return stored

    async def pass_gate(self, what):
        if self.gates.exists():
            number = len(list(self.gates.glob(f"asked-{{what}}-*"))) + 1
            (self.gates / f"asked-{{what}}-{{number}}").touch()
            while (self.gates / f"hold-{{what}}-{{number}}").exists():
                await asyncio.sleep(0.01)

c.Relay.store_class = Slow
c.Relay.eviction_delay = 0.1
"""


class Gates:
    """What a server asks of its store, which the test lets go one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hold(self, *gates: str) -> None:
        """Hold the flushes and reads of these numbers, such as ``flush-1``, counted from now on."""
        self.folder.mkdir()
        for gate in gates:
            (self.folder / f"hold-{gate}").touch()

    def asked(self, gate: str) -> bool:
        """Say whether somebody came to a gate."""
        return (self.folder / f"asked-{gate}").exists()

    def open(self, gate: str) -> None:
        """Let go who is at a gate, and who comes there."""
        (self.folder / f"hold-{gate}").unlink(missing_ok=True)


def open_rooms(server: Jupyter, path: str) -> list[str]:
    """Return the rooms of a file that are in memory."""
    return [name for name, room in server.rooms().items() if room.get("path") == path]


def text(*words: str) -> str:
    """Return a text with a line for each word."""
    return "".join(f"{word}\n" for word in words)


def cells(*words: str) -> str:
    """Return a notebook with a cell for each word."""
    return as_nbformat(notebook(*(code(word, id=word) for word in words)))


@pytest.mark.parametrize(("name", "content"), [("a.txt", text), ("a.ipynb", cells)])
async def test_an_outside_edit_while_a_document_is_evicted_stands_once(
    start: Starter, join: Opener, tmp_path: Path, name: str, content: Callable[..., str]
) -> None:
    gates = Gates(tmp_path / "gates")
    server = start(SLOW.format(gates=str(gates.folder)))
    file = server.root / name
    file.write_text(content("one"))

    def words(page: Peer) -> list[str]:
        """Return what a page shows."""
        return page.sources if name.endswith(".ipynb") else page.text.split()

    async def shows(*expected: str) -> None:
        """Open the document, and find each of these words in it, once."""
        page = await join(server, name)
        await until(lambda: words(page) == [*expected], lambda: words(page))
        await page.close()

    await shows("one")
    await until(lambda: not open_rooms(server, name))
    peer = await join(server, name)
    gates.hold("flush-1", "load-1")
    await peer.close()
    await until(lambda: gates.asked("flush-1"))  # it is being evicted
    file.write_text(content("one", "outside"))
    with suppress(AssertionError):  # whoever merges this now reads the base first
        await until(lambda: gates.asked("load-1"), timeout=3.0)
    if not gates.asked("load-1"):
        gates.open("load-1")
    gates.open("flush-1")
    await until(lambda: not open_rooms(server, name))
    page = await join(server, name)
    gates.open("load-1")
    for number in range(3):
        page.type(f"typed{number}\n", **({"cell": 0} if name.endswith(".ipynb") else {}))
        assert await page.save() == "success"
    typed = "typed0\ntyped1\ntyped2"
    expected = [f"one{typed}\n", "outside"] if name.endswith(".ipynb") else ["one", "outside", *typed.split()]
    assert words(page) == expected
    await page.close()
    await shows(*expected)
    server.kill()
    server.start()
    await shows(*expected)
