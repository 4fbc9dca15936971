"""The database of the notebooks' signatures is locked or damaged: nobody waits, and nothing fails for it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from .conftest import Opener, Starter
from .examples import code, notebook
from .peer import until
from .process import Jupyter

SHOWS = code(
    "x", [{"output_type": "execute_result", "data": {"text/html": "<b>"}, "metadata": {}, "execution_count": 1}]
)
SYNCHRONOUS = (
    "c.ServerApp.contents_manager_class = 'jupyter_server.services.contents.largefilemanager.LargeFileManager'"
)
MANAGED = """
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager


class Managed(AsyncLargeFileManager):
    async def get(self, *args, **more):
        return await super().get(*args, **more)


c.ServerApp.contents_manager_class = Managed
c.Documents.poll_interval = 0.2
"""


@contextmanager
def locked(server: Jupyter) -> Iterator[None]:
    """Hold the database locked, as another program may."""
    db = sqlite3.connect(server.data / "nbsignatures.db", isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    yield
    db.rollback()
    db.close()


@contextmanager
def damaged(server: Jupyter) -> Iterator[None]:
    """Write something else over the database."""
    file = server.data / "nbsignatures.db"
    before = file.read_bytes()
    file.write_bytes(b"garbage " * 1000)
    yield
    file.write_bytes(before)


@pytest.mark.parametrize("broken", [locked, damaged])
@pytest.mark.parametrize("config", ["", SYNCHRONOUS, MANAGED], ids=["as it is", "synchronous", "in its own way"])
async def test_notebooks_are_opened_and_saved(start: Starter, join: Opener, broken: Any, config: str) -> None:
    """They count as not trusted, and are not signed until it can be used again. Other rooms notice nothing."""
    server = start(config)
    file = server.root / "a.ipynb"
    for name in ("a", "b"):
        (server.root / f"{name}.ipynb").write_text(json.dumps(notebook(SHOWS)))
    (server.root / "text.txt").write_text("one\n")
    typing, seeing = await join(server, "text.txt"), await join(server, "text.txt", token="bob")
    ada = await join(server, "a.ipynb")
    with broken(server):
        opening = asyncio.ensure_future(join(server, "b.ipynb"))
        typing.type("typed meanwhile\n")
        await until(lambda: "meanwhile" in seeing.text)
        assert (await opening).cells[0]["metadata"]["trusted"] is False
        ada.cells[0]["metadata"]["trusted"] = True
        ada.type(" typed", 0)
        assert await ada.save() == "success"
        assert nbformat.read(file, 4).cells[0].source == "x typed"
        assert server.log().count("nbsignatures.db cannot be used") == 1
        if not config:
            assert "signed" in ada.state["warning"]
            assert "trouble" not in ada.state
    assert server.alive()
    ada.type(", more", 0)
    assert await ada.save() == "success"
    assert "warning" not in ada.state
    notary = NotebookNotary(data_dir=str(server.data))
    assert notary.check_signature(nbformat.read(file, 4))
    assert (await join(server, "a.ipynb", token="bob")).cells[0]["metadata"]["trusted"] is True


async def test_a_signature_that_could_not_be_kept_is_kept_at_the_next_save(start: Starter, join: Opener) -> None:
    """Even if nobody has typed since."""
    server = start()
    file = server.root / "a.ipynb"
    file.write_text(json.dumps(notebook(SHOWS)))
    ada = await join(server, "a.ipynb")
    ada.cells[0]["metadata"]["trusted"] = True
    ada.type(" typed", 0)
    with locked(server):
        assert await ada.save() == "success"
    assert "signed" in ada.state["warning"]
    assert await ada.save() == "success"
    await until(lambda: "warning" not in ada.state, lambda: ada.state)
    assert NotebookNotary(data_dir=str(server.data)).check_signature(nbformat.read(file, 4))
