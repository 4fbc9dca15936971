"""Characters in the list of cells, as no client puts them there: a server that went over them would never come back."""

from __future__ import annotations

import asyncio
import json
from logging import getLogger
from pathlib import Path

import pytest
from pycrdt import Map, Text

from jupyter_rtc.relay import SQLiteStore
from jupyter_rtc.wire import protocol

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter
from .test_damaged_record import query
from .test_given_out import number

INTO_CELLS = bytes.fromhex("010186c6a8e1ae94560004010563656c6c730661f09f98806200")


def beside(client: int, clock: int) -> bytes:
    """Return the update that puts two characters after an item."""
    return b"\x01\x01\x07\x00\x84" + number(client) + number(clock) + b"\x06" + "漢字".encode() + b"\x00"


def genesis(peer: Peer) -> int:
    """Return the client that made the document from the file, whose first item is in the list of cells, or in a map."""
    return int(peer.doc.get("state", type=Map)["genesis"])


async def test_a_cell_is_added_beside_one_that_a_program_added_while_nobody_was_there(
    start: Starter, join: Opener
) -> None:
    """Where the items of that cell are is known, though they are in no stored update when the room is loaded."""
    server = start()
    file = server.root / "a.ipynb"
    file.write_text(as_nbformat(notebook(code("one", id="a"), code("two", id="b"))))
    ada = await join(server, "a.ipynb")
    await ada.close()
    server.kill()
    file.write_text(as_nbformat(notebook(code("one", id="a"), code("outside", id="c"), code("two", id="b"))))
    await asyncio.to_thread(server.start)
    bob = await join(server, "a.ipynb", token="bob")
    assert bob.sources == ["one", "outside", "two"]
    for at in (1, 3):
        bob.cells.insert(at, Map({"id": f"new{at}", "cell_type": "code", "source": Text("typed"), "metadata": Map()}))
    await until(lambda: said(file) == ["one", "typed", "outside", "typed", "two"], lambda: (said(file), bob.closes))
    assert bob.closes == []


def said(file: Path) -> list[str]:
    """Return the sources of a notebook's cells on disk; nothing while it is being written."""
    try:
        return ["".join(cell["source"]) for cell in json.loads(file.read_text())["cells"]]
    except ValueError:
        return []


@pytest.mark.parametrize("cells", [0, 2])
async def test_whoever_sends_them_is_closed_and_nobody_else_notices(
    jupyter: Jupyter, here: Path, join: Opener, cells: int
) -> None:
    file = here / "a.ipynb"
    file.write_text(as_nbformat(notebook(*(code("one") for _ in range(cells)))))
    path = f"{here.name}/a.ipynb"
    ada = await join(jupyter, path)
    for update in (INTO_CELLS, beside(genesis(ada), 0)):
        mallory = await join(jupyter, path, token="bob")
        mallory.send(protocol.update(update))
        await until(lambda mallory=mallory: mallory.closes)
        assert mallory.closes[0] == (1007, "an item where no client puts it")
        await mallory.close()
    if cells:
        ada.type(" typed", 0)
    assert await ada.save() == "success"
    assert len(json.loads(file.read_text())["cells"]) == cells
    assert ada.closes == []
    assert jupyter.rooms()[ada.room]["trouble"] is None


async def test_what_an_older_server_stored_of_them_is_gone_when_the_document_is_opened(
    start: Starter, join: Opener
) -> None:
    server = start("c.Documents.save_delay = c.Documents.max_save_delay = 600")
    file = server.root / "a.ipynb"
    file.write_text(as_nbformat(notebook(code("one"), code("two"))))
    ada = await join(server, "a.ipynb")
    ada.type(" unsaved", 0)
    await until(lambda: query(server, "SELECT 1 FROM log WHERE instr(data, 'unsaved')"))
    room, made = ada.room, genesis(ada)
    await ada.close()
    server.kill()
    store = SQLiteStore(path=str(server.database), log=getLogger("test.store"))
    stored = await store.load(room)
    assert stored
    for seq, update in enumerate((INTO_CELLS, beside(made, 0)), stored.last + 1):
        store.append(room, seq, update, "mallory")
    await store.close()
    await asyncio.to_thread(server.start)
    bob = await join(server, "a.ipynb", token="bob")
    assert bob.sources == ["one unsaved", "two"]
    assert await bob.save() == "success"
    assert [cell["source"] for cell in json.loads(file.read_text())["cells"]] == [["one unsaved"], ["two"]]
    assert query(server, "SELECT 1 FROM damaged WHERE instr(data, x'e6bca2')")
    await bob.close()
