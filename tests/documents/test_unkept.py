"""A file that does not keep all of its document: what it never had is no deletion by anybody."""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Map

from jupyter_rtc.documents.formats.ipynb import Notebook
from jupyter_rtc.documents.formats.unkept import carried, carried_text, unkept, without

from .conftest import Opener, Starter
from .examples import calm, code, markdown, notebook
from .peer import Peer, until

# The example of Jupyter Server's documentation ("Saving hooks"), in our words; and one that tidies texts up.
HOOKS = '''
def strip(model, **more):
    """Write no outputs."""
    if model["type"] == "notebook":
        for cell in model["content"]["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
                cell["metadata"].pop("tags", None)
    elif model["format"] == "text":
        model["content"] = "\\n".join(line.rstrip() for line in model["content"].split("\\n"))


c.FileContentsManager.pre_save_hook = strip
c.Documents.poll_interval = 0.2
'''
SHOWN = [{"output_type": "stream", "name": "stdout", "text": "1\n"}]
META = {"nbformat": 4.0, "nbformat_minor": 5.0, "metadata": {}}


def cell(id: str, source: str, outputs: Any = (), **metadata: Any) -> dict[str, Any]:
    """Return a code cell as a document has it."""
    count = 1.0 if outputs else None
    parts = {"outputs": list(outputs), "execution_count": count, "metadata": metadata}
    return {"id": id, "cell_type": "code", "source": source, **parts}


def of(*cells: dict[str, Any]) -> Notebook:
    """Return a notebook."""
    return Notebook(list(cells), META)


FULL = of(cell("a", "one", SHOWN, tags=["x"]), cell("b", "two", SHOWN), cell("c", "three"))
STRIPPED = of(cell("x", "one"), cell("y", "two"), cell("z", "three"))


def test_which_parts_a_file_does_not_keep() -> None:
    assert unkept(FULL, STRIPPED) == ["execution_count", "metadata.tags", "outputs"]
    assert unkept(FULL, FULL) == []
    assert unkept(FULL, of(*FULL.cells[:1])) == []  # cells that are gone are another matter


def test_what_a_file_held_that_keeps_all_but_some_parts() -> None:
    held = without(FULL, unkept(FULL, STRIPPED))
    assert held == of(cell("a", "one"), cell("b", "two"), cell("c", "three"))
    assert FULL.cells[0]["outputs"] == SHOWN


def test_an_edit_of_another_cell_takes_nothing_away() -> None:
    now = of(cell("p", "one"), cell("q", "two"), cell("r", "three outside"))
    assert carried(FULL, STRIPPED, now) == of(*FULL.cells[:2], cell("c", "three outside"))


def test_a_cell_that_is_edited_keeps_what_the_file_never_had() -> None:
    now = of(cell("p", "one outside"), cell("q", "two"), cell("r", "three"))
    assert carried(FULL, STRIPPED, now) == of(cell("a", "one outside", SHOWN, tags=["x"]), *FULL.cells[1:])


def test_cells_come_and_go_and_move() -> None:
    now = of(cell("r", "three"), cell("n", "new"), cell("p", "one"))
    assert carried(FULL, STRIPPED, now) == of(FULL.cells[2], now.cells[1], FULL.cells[0])


def test_what_the_file_does_keep_can_be_deleted() -> None:
    kept = of(cell("a", "one", SHOWN), cell("b", "two", SHOWN), cell("c", "three"))
    now = of(cell("a", "one"), cell("b", "two", SHOWN), cell("c", "three"))
    assert carried(FULL, kept, now).cells[0] == cell("a", "one", tags=["x"])


def test_a_cell_that_the_file_never_had_stays_where_it_is() -> None:
    kept = of(STRIPPED.cells[0], STRIPPED.cells[2])
    now = of(cell("n", "new"), cell("p", "one"), cell("r", "three outside"))
    found = carried(FULL, kept, now)
    assert found == of(now.cells[0], *FULL.cells[:2], cell("c", "three outside"))


@calm
@given(st.lists(st.text("ab \n", max_size=8), max_size=5), st.data())
def test_a_file_that_keeps_all_is_taken_as_it_is(sources: list[str], data: st.DataObject) -> None:
    full = of(*(cell(f"id{number}", source, SHOWN) for number, source in enumerate(sources)))
    now = of(*data.draw(st.permutations(full.cells)))
    assert carried(full, full, now).cells == now.cells
    stripped = without(full, ["outputs", "execution_count"])
    assert carried(full, stripped, without(now, ["outputs", "execution_count"])).cells == now.cells
    assert carried(full, stripped, deepcopy(stripped)) == full


def test_texts_that_a_hook_changes() -> None:
    assert carried_text("a \nb\n", "a\nb\n", "a\nb\nc\n") == "a \nb\nc\n"
    assert carried_text("a \nb\n", "a\nb\n", "a\nb\n") == "a \nb\n"
    assert carried_text("a\n", "a\n", "b\n") == "b\n"


def show(peer: Peer) -> None:
    """Run the first cell."""
    with peer.doc.transaction():
        peer.cells[0]["execution_count"] = 1.0
        peer.cells[0]["outputs"] = Array([Map(SHOWN[0])])


async def test_a_hook_that_strips_outputs(start: Starter, join: Opener) -> None:
    """The file has none, whatever is written into it outside; the document keeps them, also over a restart."""
    server = start(HOOKS)
    file = server.root / "a.ipynb"
    file.write_text(json.dumps(notebook(code("one", metadata={"tags": ["x"]}), markdown("two")), indent=2))
    ada, bob = await join(server, "a.ipynb"), await join(server, "a.ipynb", token="bob")

    def outside(text: str) -> None:
        content = json.loads(file.read_text())
        assert content["cells"][0]["outputs"] == []
        assert "tags" not in content["cells"][0]["metadata"]
        content["cells"][1]["source"] = text
        file.write_text(json.dumps(content, indent=2))

    def is_kept(peer: Peer) -> bool:
        first = peer.cells[0].to_py()
        return (first["outputs"], first["execution_count"], first["metadata"]["tags"]) == (SHOWN, 1.0, ["x"])

    show(ada)
    assert await ada.save() == "success"
    assert bob.state["unkept"] == ["execution_count", "metadata.tags", "outputs"]
    assert '\n  "cells"' in file.read_text()  # what the hook leaves as it is stays so
    for text in ("outside", "once more"):
        outside(text)
        await until(lambda text=text: ada.sources == bob.sources == ["one", text], lambda: ada.sources)
        assert is_kept(ada)
    server.kill()
    outside("while the server was down")
    await ada.close()
    await asyncio.to_thread(server.start)
    carla = await join(server, "a.ipynb")
    await until(
        lambda: bob.sources == carla.sources == ["one", "while the server was down"],
        lambda: (carla.sources, bob.sources, bob.closes),
    )
    assert is_kept(carla)
    assert is_kept(bob)
    assert "recovery" not in carla.state


async def test_a_hook_that_tidies_up_a_text(start: Starter, join: Opener) -> None:
    server = start(HOOKS)
    file = server.root / "a.txt"
    file.write_text("one\n")
    peer = await join(server, "a.txt")
    peer.type("two  ")
    assert await peer.save() == "success"
    assert file.read_text() == "one\ntwo"
    file.write_text("zero\none\ntwo")
    await until(lambda: peer.text.startswith("zero"))
    assert peer.text == "zero\none\ntwo  "


async def test_a_hook_that_refuses(start: Starter, join: Opener) -> None:
    """Nothing is written, and the reason is told; what is no notebook any more is refused as well."""
    server = start(
        "from tornado.web import HTTPError\n"
        "def hook(model, path, **more):\n"
        "    if path == 'a.txt':\n"
        "        raise HTTPError(400, 'not today')\n"
        "    model['content'] = {'cells': 1}\n"
        "c.FileContentsManager.pre_save_hook = hook\n"
    )
    (server.root / "a.txt").write_text("one\n")
    (server.root / "a.ipynb").write_text(json.dumps(notebook(code("one"))))
    for name, told in (("a.txt", "not today"), ("a.ipynb", "pre_save_hook")):
        peer = await join(server, name)
        before = (server.root / name).read_bytes()
        peer.type("x", None if name == "a.txt" else 0)
        assert await peer.save() == "failed"
        assert told in peer.state["trouble"]
        assert (server.root / name).read_bytes() == before
