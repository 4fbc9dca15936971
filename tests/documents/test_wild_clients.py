"""A client writes into an open notebook what is none: the others' words are saved, and the file opens again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Text

from .conftest import Opener, Starter
from .examples import as_nbformat, code, markdown, notebook
from .peer import Peer, until
from .process import Jupyter

WRITES: dict[str, Callable[[Peer], Any]] = {
    "a number as an output": lambda bob: bob.cells[1]["outputs"].append(5),
    "no outputs": lambda bob: bob.cells[1].update({"outputs": None}),
    "no source": lambda bob: bob.cells[1].update({"source": None}),
    "no type": lambda bob: bob.cells[1].pop("cell_type"),
    "an object as an id": lambda bob: bob.cells[1].update({"id": {"a": 1}}),
    "a list as an id": lambda bob: bob.cells[1].update({"id": ["a"]}),
    "a text as a cell": lambda bob: bob.cells.append(Text("bob's words")),
    "a format to come": lambda bob: bob.doc.get("meta", type=type(bob.state_map)).update({"nbformat": 5}),
    "an endless version": lambda bob: bob.doc.get("meta", type=type(bob.state_map)).update({"nbformat_minor": 1e300}),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_the_others_words_are_saved_and_the_file_opens_again(
    jupyter: Jupyter, here: Path, join: Opener, write: Callable[[Peer], Any]
) -> None:
    file = here / "a.ipynb"
    file.write_text(as_nbformat(notebook(code("one"), code("two"), markdown("three"))))
    ada, bob = await join(jupyter, f"{here.name}/a.ipynb"), await join(jupyter, f"{here.name}/a.ipynb", token="bob")
    write(bob)
    assert await bob.save() == "success"
    ada.type(" typed", 0)
    assert await ada.save() == "success"
    assert jupyter.rooms()[ada.room]["trouble"] is None
    shutil.copy(file, here / "b.ipynb")  # of which the server knows no past
    copy = await join(jupyter, f"{here.name}/b.ipynb")
    assert copy.sources[0] == "one typed"
    assert [source for source in copy.sources if source == "bob's words"] == ["bob's words"] * (len(copy.cells) - 3)
    changed = json.loads(file.read_text())
    changed["cells"][2]["source"] = ["changed outside"]
    file.write_text(json.dumps(changed))
    await until(lambda: str(ada.cells[2]["source"]) == "changed outside")
    ada.type(" again", 0)
    assert await ada.save() == "success"
    assert json.loads(file.read_text())["cells"][0]["source"] == ["one typed again"]


async def test_a_room_with_such_a_cell_leaves_memory(start: Starter, join: Opener) -> None:
    server = start("c.Relay.eviction_delay = 0.1")
    (server.root / "a.ipynb").write_text(as_nbformat(notebook(code("one"), code("two"))))
    ada, bob = await join(server, "a.ipynb"), await join(server, "a.ipynb", token="bob")
    bob.cells[1]["id"] = {"a": 1}
    ada.type(" typed", 0)
    await ada.close()
    await bob.close()
    await until(lambda: not server.rooms())
    assert json.loads((server.root / "a.ipynb").read_text())["cells"][0]["source"] == ["one typed"]
    assert "Traceback" not in server.log(), server.log()
    again = await join(server, "a.ipynb")
    assert again.sources == ["one typed", "two"]


async def test_an_empty_notebook_file_opens_as_a_new_notebook(jupyter: Jupyter, here: Path, join: Opener) -> None:
    file = here / "a.ipynb"
    file.touch()
    ada = await join(jupyter, f"{here.name}/a.ipynb")
    assert ada.sources == [""]
    ada.type("typed", 0)
    assert await ada.save() == "success"
    assert [cell["source"] for cell in json.loads(file.read_text())["cells"]] == [["typed"]]
    file.write_text("")
    ada.type(" on", 0)
    await until(lambda: "was emptied outside" in str(ada.state.get("trouble")))
    assert ada.sources == ["typed on"]
    assert file.read_text() == ""


async def test_a_wrong_version_is_refused(jupyter: Jupyter, here: Path, join: Opener) -> None:
    text = as_nbformat(notebook(code("one")))
    (here / "a.ipynb").write_text(text.replace('"nbformat_minor": 5', '"nbformat_minor": "5"'))
    with pytest.raises(AssertionError, match=r'4400, .*nbformat_minor is "5", not a whole number'):
        await join(jupyter, f"{here.name}/a.ipynb")
