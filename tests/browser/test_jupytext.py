"""Jupytext beside us, the real one, on two pages: its server extension, and configured as contents manager."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import jupytext
import pytest

from .awaiting import eventually, eventually_equal
from .conftest import Pair
from .lab import Lab
from .notebooks import KERNEL, code_cell
from .server import LabServer

SETUPS = {
    "its server extension": "",  # enabled by its installation
    "configured": """\
c.ServerApp.contents_manager_class = 'jupytext.TextFileContentsManager'
c.ServerApp.jpserver_extensions = {'jupyterlab_jupytext': False}
""",
}
EXTENSION_LOADED = "jupyterlab_jupytext | extension was successfully loaded"
OUR_TRACEBACK = re.compile(r'File ".*/(?:jupyter_rtc|jupytext)/(?:\w+/)*\w+\.py".*')
"""Where Jupytext or this extension fails; Jupyter Server says so, too, of a page that closes while a kernel speaks."""

HEADER = "# ---\n# jupyter:\n#   kernelspec:\n#     display_name: Python 3\n#     name: python3\n# ---\n\n"
SCRIPT = HEADER + "# %%\none = 1\n\n# %%\nprint(one)\n\n# %%\nlast = 3\n"
PAIRED = {"jupytext": {"formats": "ipynb,py:percent"}, "kernelspec": KERNEL}


@pytest.fixture(scope="module", params=SETUPS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """A running server with Jupytext in one of its set-ups."""
    folder = tmp_path_factory.mktemp("jupytext")
    config = folder / "config.py"
    config.write_text(SETUPS[request.param])
    lab_server = LabServer(folder / "server", config=config)
    try:
        lab_server.start()
        assert (EXTENSION_LOADED in lab_server.log_tail(50_000)) == (request.param == "its server extension")
        yield lab_server
        assert OUR_TRACEBACK.findall(lab_server.log_tail(100_000)) == []
    finally:
        lab_server.stop()


def open_as_notebook(lab: Lab, path: str) -> None:
    """Choose *Open With*, *Notebook* for a file, and wait until its cells are shown and its kernel is idle."""
    lab.command("docmanager:open", path=path, factory="Notebook")
    lab.page.wait_for_selector(".jp-Notebook .jp-Cell .cm-content")
    lab.await_kernel()


def cells_on_disk(server: LabServer, path: str) -> list[str]:
    """Return what the cells of a file say, a notebook or a script; none while it is half written."""
    if path.endswith(".ipynb"):
        return server.notebook_sources(path)
    return [cell.source for cell in jupytext.reads(server.read(path), fmt="py").cells]


def test_a_script_is_a_notebook_on_two_pages(pair: Pair) -> None:
    """Both type, a cell's output shows to both and stays there while the script is saved and edited outside."""
    script = pair.server.root / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    for lab in (pair.a, pair.b):
        open_as_notebook(lab, "script.py")
    pair.a.type_in_cell(0, "0")
    pair.b.type_in_cell(2, "0")
    eventually_equal(lambda: (pair.a.cells(), pair.b.cells()), (["one = 10", "print(one)", "last = 30"],) * 2)
    pair.a.run_cell(0)
    eventually_equal(lambda: pair.b.prompt(0), "[1]:")
    pair.a.run_cell(1)
    eventually_equal(lambda: (pair.a.output(1).strip(), pair.b.output(1).strip()), ("10", "10"))
    eventually_equal(lambda: cells_on_disk(pair.server, "script.py"), ["one = 10", "print(one)", "last = 30"])

    pair.a.await_saved()  # what comes before the end of a save may count as what the manager made of it
    script.write_text(script.read_text().replace("last", "end") + "\n# %%\nadded = 4\n", encoding="utf-8")
    merged = ["one = 10", "print(one)", "end = 30", "added = 4"]
    eventually_equal(lambda: (pair.a.cells(), pair.b.cells()), (merged, merged))
    pair.b.type_in_cell(3, "0")
    merged[3] += "0"
    eventually_equal(lambda: cells_on_disk(pair.server, "script.py"), merged)
    assert pair.a.cells() == merged
    assert [lab.output(1).strip() for lab in (pair.a, pair.b)] == ["10", "10"]
    assert [lab.prompt(1) for lab in (pair.a, pair.b)] == ["[2]:", "[2]:"]


def test_both_files_of_a_pair_are_written(pair: Pair) -> None:
    """What each page types is in the notebook and in the script, and an edit of the script is on both pages."""
    cells = [code_cell(0, "one = 1"), code_cell(1, "two = 2")]
    content = {"cells": cells, "metadata": PAIRED, "nbformat": 4, "nbformat_minor": 5}
    (pair.server.root / "pair.ipynb").write_text(json.dumps(content), encoding="utf-8")
    pair.open("pair.ipynb")

    def everywhere() -> list[list[str]]:
        files = [cells_on_disk(pair.server, name) for name in ("pair.ipynb", "pair.py")]
        return [pair.a.cells(), pair.b.cells(), *files]

    pair.a.type_in_cell(0, "0")
    pair.b.type_in_cell(1, "0")
    script = pair.server.root / "pair.py"
    eventually(script.exists, bool, "the script is written")
    eventually_equal(everywhere, [["one = 10", "two = 20"]] * 4)

    pair.a.await_saved()
    script.write_text(script.read_text().replace("two = 20", "two = 22"), encoding="utf-8")
    eventually_equal(lambda: (pair.a.cells(), pair.b.cells()), (["one = 10", "two = 22"],) * 2)
    pair.b.type_in_cell(0, "0")
    eventually_equal(everywhere, [["one = 100", "two = 22"]] * 4)
