"""Two servers that one user started, with one data directory and one database: they serve the same file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from jupyter_server_fileid.manager import ArbitraryFileIdManager

from .conftest import Opener
from .examples import as_nbformat, code, notebook
from .lost import NAMES, copies, on_disk, said, words, write
from .peer import Peer, until
from .process import Jupyter
from .test_damaged_record import query

AT_ONCE = """
import asyncio
import os
from pathlib import Path

from jupyter_rtc.relay.storing.sqlite import SQLiteStore


class Slow(SQLiteStore):
    async def load(self, room):
        stored = await super().load(room)
        if stored is None:
            folder = Path(self.path).parent
            (folder / f"looked-{os.getpid()}").touch()
            while len(list(folder.glob("looked-*"))) < 2:
                await asyncio.sleep(0.01)
        return stored


c.Relay.store_class = Slow
"""
"""Whoever finds nothing of a document in the store goes on when the other server has found nothing, too."""


@pytest.fixture
def start_two(tmp_path: Path) -> Iterator[Callable[[str], tuple[Jupyter, Jupyter]]]:
    """Return what starts two servers that share all that they keep, and the folder that they serve."""
    with ExitStack() as ends:

        def start(config: str) -> tuple[Jupyter, Jupyter]:
            data = tmp_path / "one" / "data"
            shared = f"""
c.SQLiteStore.path = {str(data / "jupyter_rtc" / "rooms.db")!r}
c.Recovery.folder = {str(data / "jupyter_rtc" / "recovery")!r}
c.BaseFileIdManager.db_path = {str(data / "file_id_manager.db")!r}
{config}
"""
            one, other = Jupyter(tmp_path / "one", shared), Jupyter(tmp_path / "other", shared)
            other.root = one.root
            for server in (one, other):
                ends.callback(server.kill)
                server.start()
            return one, other

        yield start


@pytest.fixture
def two(start_two: Callable[[str], tuple[Jupyter, Jupyter]]) -> tuple[Jupyter, Jupyter]:
    """Return two servers that share all that they keep, and the folder that they serve."""
    return start_two("")


async def taken_over(server: Jupyter, peer: Peer) -> None:
    """Wait until a server knows that the other one keeps the document now, and has saved since."""
    write(peer, "here")
    assert await peer.save() == "success"
    await until(lambda: "another server" in str(server.rooms()[peer.room]["unstored"]))
    write(peer, "again")
    assert await peer.save() == "success"


def write_file(server: Jupyter, name: str) -> Path:
    """Write a file of two lines, or two cells."""
    file = server.root / name
    minor = 4 if name == "old.ipynb" else 5
    cells = notebook(code("begin\n"), code("end\n"), minor=minor)
    file.write_text("begin\nend\n" if name == "a.txt" else as_nbformat(cells))
    return file


async def type_in_turns(ada: Peer, bob: Peer) -> list[str]:
    """Let two people type, each in another server; return what they typed."""
    expected = []
    for number in range(8):
        write(ada, f"ada{number}")
        write(bob, f"bob{number}", first=True)
        expected += [f"ada{number}", f"bob{number}"]
        await asyncio.sleep(0.3)  # longer than `save_delay`, so that each has the other's saves to merge
    return expected


async def stands_once(file: Path, expected: list[str], *peers: Peer) -> None:
    """Wait until clients and a file say certain words, each once."""
    for view in (*(partial(said, peer) for peer in peers), partial(on_disk, file)):
        await until(lambda view=view: words(view()) == sorted(expected), view)


@pytest.mark.parametrize("name", NAMES)
async def test_what_people_type_in_both_stands_once(two: tuple[Jupyter, Jupyter], join: Opener, name: str) -> None:
    file = write_file(two[0], name)
    ada = await join(two[0], name)
    await until(lambda: query(two[0], "SELECT 1 FROM rooms"))
    bob = await join(two[1], name, token="bob")
    assert ada.room == bob.room
    await taken_over(two[0], ada)
    await until(lambda: "again" in words(said(bob)), lambda: said(bob))
    typed = await type_in_turns(ada, bob)
    await stands_once(file, ["begin", "end", "here", "again", *typed], ada, bob)
    assert copies(two[0]) == {}


@pytest.mark.parametrize("name", NAMES)
async def test_who_open_a_new_document_at_once_share_its_history(
    start_two: Callable[[str], tuple[Jupyter, Jupyter]], join: Opener, name: str
) -> None:
    """Both servers are killed then, and both pages come back, one with what was typed offline: nobody has to reload."""
    servers = start_two(AT_ONCE)
    file = write_file(servers[0], name)
    ids = ArbitraryFileIdManager(root_dir=str(servers[0].root), db_path=str(servers[0].data / "file_id_manager.db"))
    ids.index(name)  # both find one, and none has to make it
    ids.con.close()
    ada, bob = await asyncio.gather(join(servers[0], name), join(servers[1], name, token="bob"))
    assert servers[0].rooms()[ada.room]["lineage"] == servers[1].rooms()[bob.room]["lineage"]
    for server in servers:
        server.kill()
    write(ada, "ada")
    for server in servers:
        await asyncio.to_thread(server.start)
    await until(lambda: ada.online and bob.online)
    await stands_once(file, ["begin", "end", "ada"], ada, bob)
    write(bob, "bob", first=True)
    await stands_once(file, ["begin", "end", "ada", "bob"], ada, bob)
    write(ada, "again")
    await stands_once(file, ["begin", "end", "ada", "bob", "again"], ada, bob)
    assert not [code for peer in (ada, bob) for code, _ in peer.closes if code == 1003]
    assert copies(servers[0]) == {}
