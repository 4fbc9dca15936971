"""Characters in the list of cells, as no client puts them there: a server that went over them would never come back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pycrdt import Map

from jupyter_rtc.relay import protocol

from .conftest import Opener
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter
from .test_given_out import number

INTO_CELLS = bytes.fromhex("010186c6a8e1ae94560004010563656c6c730661f09f98806200")


def beside(client: int, clock: int) -> bytes:
    """Return the update that puts two characters after an item."""
    return b"\x01\x01\x07\x00\x84" + number(client) + number(clock) + b"\x06" + "漢字".encode() + b"\x00"


def genesis(peer: Peer) -> int:
    """Return the client that made the document from the file, whose first item is in the list of cells, or in a map."""
    return int(peer.doc.get("state", type=Map)["genesis"])


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
