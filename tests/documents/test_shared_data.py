"""Two servers that one user started, with one data directory and one database: they serve the same file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Opener
from .examples import as_nbformat, code, notebook
from .lost import NAMES, copies, on_disk, said, words, write
from .peer import Peer, until
from .process import Jupyter
from .test_damaged_record import query


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Jupyter, Jupyter]]:
    """Return two servers that share all that they keep, and the folder that they serve."""
    one = Jupyter(tmp_path / "one")
    shared = f"""
c.SQLiteStore.path = {str(one.database)!r}
c.Recovery.folder = {str(one.database.with_name("recovery"))!r}
c.BaseFileIdManager.db_path = {str(one.data / "file_id_manager.db")!r}
"""
    other = Jupyter(tmp_path / "other", shared)
    other.root = one.root
    for server in (one, other):
        server.start()
    yield one, other
    for server in (one, other):
        server.kill()


async def taken_over(server: Jupyter, peer: Peer) -> None:
    """Wait until a server knows that the other one keeps the document now, and has saved since."""
    write(peer, "here")
    assert await peer.save() == "success"
    await until(lambda: "another server" in str(server.rooms()[peer.room]["unstored"]))
    write(peer, "again")
    assert await peer.save() == "success"


@pytest.mark.parametrize("name", NAMES)
async def test_what_people_type_in_both_stands_once(two: tuple[Jupyter, Jupyter], join: Opener, name: str) -> None:
    file = two[0].root / name
    minor = 4 if name == "old.ipynb" else 5
    cells = notebook(code("begin\n"), code("end\n"), minor=minor)
    file.write_text("begin\nend\n" if name == "a.txt" else as_nbformat(cells))
    ada = await join(two[0], name)
    await until(lambda: query(two[0], "SELECT 1 FROM rooms"))
    bob = await join(two[1], name, token="bob")
    assert ada.room == bob.room
    await taken_over(two[0], ada)
    await until(lambda: "again" in words(said(bob)), lambda: said(bob))
    expected = ["begin", "end", "here", "again"]
    for number in range(8):
        write(ada, f"ada{number}")
        write(bob, f"bob{number}", first=True)
        expected += [f"ada{number}", f"bob{number}"]
        await asyncio.sleep(0.3)  # longer than `save_delay`, so that each has the other's saves to merge
    for view in (lambda: said(ada), lambda: said(bob), lambda: on_disk(file)):
        await until(lambda view=view: words(view()) == sorted(expected), view)
    assert copies(two[0]) == {}
