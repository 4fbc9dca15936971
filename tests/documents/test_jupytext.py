"""Jupytext beside us, the real one, in both of its set-ups: pairs, and scripts that are opened as notebooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupytext
import pytest
from pycrdt import Array, Map

from .conftest import Opener
from .examples import code, markdown, notebook
from .peer import Peer, until
from .process import Jupyter

SETUPS = {
    "its server extension": "c.ServerApp.jpserver_extensions['jupyterlab_jupytext'] = True",
    "configured": "c.ServerApp.contents_manager_class = 'jupytext.TextFileContentsManager'",
    "configured, asynchronous": "c.ServerApp.contents_manager_class = 'jupytext.AsyncTextFileContentsManager'",
}
CONFIG = "\nc.Documents.poll_interval = 0.2\n"
SCRIPT = "# %%\none = 1\n\n# %%\ntwo = 2\n\n# %% [markdown]\n# three\n"
MEANWHILE = """
from pathlib import Path
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupytext.async_contentsmanager import build_async_jupytext_contents_manager_class

class Meanwhile(AsyncLargeFileManager):
    async def get(self, path, content=True, **how):
        script, program = Path(self.root_dir, path), Path(self.root_dir, path + ".program")
        if not (content and program.exists()):
            return await super().get(path, content, **how)
        script.write_text("")
        model = await super().get(path, content, **how)
        program.replace(script)
        return model

c.ServerApp.contents_manager_class = build_async_jupytext_contents_manager_class(Meanwhile)
"""
"""Jupytext over a disk where a program writes a script in the moment in which it is read, `<script>.program`."""
PAIRED = {"jupytext": {"formats": "ipynb,py:percent"}}


@pytest.fixture(scope="module", params=SETUPS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """Return a server with Jupytext."""
    server = Jupyter(tmp_path_factory.mktemp("jupytext") / "home", SETUPS[request.param] + CONFIG)
    server.start()
    yield server
    assert "Traceback" not in server.log()
    server.kill()


@pytest.fixture
def folder(server: Jupyter, request: pytest.FixtureRequest) -> Path:
    """Return a folder for this test alone; its name is its API path."""
    folder = server.root / request.node.originalname
    folder.mkdir()
    return folder


@pytest.fixture
def both(server: Jupyter, folder: Path, join: Opener) -> Callable[..., Any]:
    """Return a coroutine function that opens a notebook in two pages."""

    async def open_in_two(name: str) -> tuple[Peer, Peer]:
        path = f"{folder.name}/{name}"
        return await join(server, path, "notebook"), await join(server, path, "notebook", token="bob")

    return open_in_two


def run(peer: Peer, at: int, text: str) -> None:
    """Let a page show an output of a cell, with its count, as when the cell is run."""
    cell = peer.cells[at]
    with peer.doc.transaction():
        cell["execution_count"] = float(at + 1)
        cell["outputs"] = Array([Map({"output_type": "stream", "name": "stdout", "text": text})])


def outputs(peer: Peer) -> list[Any]:
    """Return what the code cells of a document show."""
    return [cell["outputs"].to_py() for cell in peer.cells if cell["cell_type"] == "code"]


def ids(peer: Peer) -> list[str]:
    """Return the ids of the cells."""
    return [cell["id"] for cell in peer.cells]


def cells_of(path: Path) -> list[str]:
    """Return what the cells of a file say, a notebook or a script."""
    return [cell.source for cell in jupytext.read(path).cells]


async def test_both_files_of_a_pair_are_written_at_each_save(folder: Path, both: Callable[..., Any]) -> None:
    (folder / "a.ipynb").write_text(json.dumps(notebook(code("one = 1"), markdown("two"), **PAIRED)))
    ada, bob = await both("a.ipynb")
    for peer, text in ((ada, " + 1"), (bob, " + 2")):
        peer.type(text, 0)
        assert await peer.save() == "success"
        said = [str(cell["source"]) for cell in peer.cells]
        assert cells_of(folder / "a.py") == cells_of(folder / "a.ipynb") == said
    assert ada.sources == bob.sources == ["one = 1 + 1 + 2", "two"]
    assert "trouble" not in ada.state
    assert "warning" not in ada.state


async def test_the_script_of_a_pair_is_edited_outside(folder: Path, both: Callable[..., Any]) -> None:
    (folder / "a.ipynb").write_text(json.dumps(notebook(code("one = 1"), code("two = 2"), markdown("three"), **PAIRED)))
    ada, bob = await both("a.ipynb")
    run(ada, 0, "1\n")
    bob.type(" + 2", 1)
    assert await ada.save() == "success"
    shown, known = outputs(ada), ids(ada)
    script = folder / "a.py"
    script.write_text(script.read_text().replace("# three", "# three, outside") + "\n# %%\nfour = 4\n")
    bob.type("0", 0)
    await until(lambda: len(ada.cells) == 4, lambda: ada.sources)
    await until(lambda: ada.sources == bob.sources)
    assert ada.sources == ["one = 10", "two = 2 + 2", "three, outside", "four = 4"]
    assert outputs(ada) == [*shown, []]
    assert ids(ada)[:3] == known
    assert await bob.save() == "success"
    assert cells_of(script) == cells_of(folder / "a.ipynb") == ada.sources


async def test_a_script_is_opened_as_a_notebook(folder: Path, both: Callable[..., Any]) -> None:
    """It has no outputs; the document keeps them, whatever others write into another cell of the file."""
    script = folder / "s.py"
    script.write_text(SCRIPT)
    ada, bob = await both("s.py")
    assert ada.sources == bob.sources == ["one = 1", "two = 2", "three"]
    known = ids(ada)
    run(ada, 0, "1\n")
    run(bob, 1, "2\n")
    ada.type("0", 0)
    assert await ada.save() == "success"
    assert cells_of(script) == ["one = 10", "two = 2", "three"]
    await until(lambda: ada.state.get("unkept"), lambda: ada.state)
    assert {"outputs", "execution_count"} <= set(ada.state["unkept"])
    for turn in range(3):
        script.write_text(script.read_text().replace("# three", f"# three {turn}"))
        bob.type(f" + {turn}", 1)
        await until(lambda turn=turn: f"three {turn}" in ada.sources[2] == bob.sources[2], lambda: ada.sources)
        assert [len(shown) for shown in outputs(ada)] == [1, 1]
        assert await bob.save() == "success"
    assert ada.sources == bob.sources == cells_of(script)
    assert ada.sources[:2] == ["one = 10", "two = 2 + 0 + 1 + 2"]
    assert [cell["execution_count"] for cell in ada.cells if cell["cell_type"] == "code"] == [1.0, 2.0]
    assert ids(ada) == ids(bob) == known


async def test_cells_that_are_put_into_a_script_outside_are_there_once(folder: Path, both: Callable[..., Any]) -> None:
    script = folder / "s.py"
    script.write_text(SCRIPT)
    ada, bob = await both("s.py")
    known = ids(ada)
    script.write_text(SCRIPT + "\n# %%\nfour = 4\n")
    await until(lambda: len(ada.cells) == 4)
    bob.type("00", 0)
    script.write_text(SCRIPT.replace("# %%\none", "# %%\nzero = 0\n\n# %%\none") + "\n# %%\nfour = 4\n")
    await until(lambda: len(ada.cells) == 5 and ada.sources == bob.sources, lambda: (ada.sources, bob.sources))
    assert ada.sources == ["zero = 0", "one = 100", "two = 2", "three", "four = 4"]
    assert ids(ada)[1:4] == known
    await until(lambda: cells_of(script) == ada.sources, lambda: cells_of(script))


async def test_the_text_and_the_notebook_of_a_script_side_by_side(
    server: Jupyter, folder: Path, join: Opener, both: Callable[..., Any]
) -> None:
    script = folder / "s.py"
    script.write_text(SCRIPT)
    ada, _ = await both("s.py")
    text = await join(server, f"{folder.name}/s.py", token="bob")
    run(ada, 0, "1\n")
    ada.type("0", 0)
    await until(lambda: "one = 10" in text.text, lambda: text.text)
    text.source.insert(text.text.index("two = 2"), "# said in the text\n")
    await until(lambda: ada.sources[1] == "# said in the text\ntwo = 2", lambda: ada.sources)
    assert [len(shown) for shown in outputs(ada)] == [1, 0]


@pytest.mark.server
async def test_a_restart_between_a_save_and_an_edit_outside(tmp_path: Path, join: Opener) -> None:
    """What the file does not keep is known from before."""
    server = Jupyter(tmp_path / "home", SETUPS["its server extension"] + CONFIG)
    script = server.root / "s.py"
    script.write_text(SCRIPT)
    server.start()
    try:
        ada = await join(server, "s.py", "notebook")
        run(ada, 0, "1\n")
        ada.cells[1]["metadata"]["tags"] = ["kept"]
        ada.type("0", 0)
        assert await ada.save() == "success"
        await until(lambda: ada.state.get("unkept"), lambda: ada.state)
        shown, known = outputs(ada), ids(ada)
        server.kill()
        script.write_text(script.read_text().replace("# three", "# three, outside"))
        ada.type("0", 0)
        await asyncio.to_thread(server.start)
        bob = await join(server, "s.py", "notebook", token="bob")
        await until(
            lambda: ada.sources == bob.sources == ["one = 100", "two = 2", "three, outside"], lambda: bob.sources
        )
        assert outputs(bob) == outputs(ada) == shown
        assert bob.cells[1]["metadata"]["tags"] == ["kept"]
        assert ids(bob) == known
        assert await bob.save() == "success"
        assert cells_of(script) == bob.sources
    finally:
        server.kill()


@pytest.mark.server
@pytest.mark.parametrize(("name", "saved"), [("a.ipynb", True), ("a.py", True), ("a.py", False)])
async def test_a_program_writes_while_a_save_is_read_back(name: str, saved: bool, tmp_path: Path, join: Opener) -> None:
    """No cell stands twice or is lost, and no output: in a script of a pair, and in one alone from its first save."""
    server = Jupyter(tmp_path / "home", MEANWHILE + CONFIG)
    notebook_path, script, program = (server.root / each for each in ("a.ipynb", "a.py", "a.py.program"))
    if name == notebook_path.name:
        notebook_path.write_text(json.dumps(notebook(code("one = 1"), code("two = 2"), **PAIRED)))
    else:
        script.write_text("# %%\none = 1\n\n# %%\ntwo = 2\n")
    server.start()
    try:
        ada, bob = await join(server, name, "notebook"), await join(server, name, "notebook", token="bob")
        run(ada, 0, "1\n")
        if saved:
            assert await ada.save() == "success"
        program.write_text(script.read_text().replace("one = 1", "one = 10").replace("two = 2", "two = 22"))
        ada.type("0", 0)
        await until(lambda: not program.exists())
        await until(lambda: ada.sources == bob.sources == ["one = 10", "two = 22"], lambda: ada.sources)
        assert [len(shown) for shown in outputs(bob)] == [1, 0]
        assert await bob.save() == "success"
        assert cells_of(script) == ["one = 10", "two = 22"]
    finally:
        server.kill()
