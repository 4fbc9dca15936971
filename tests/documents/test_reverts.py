"""Somebody sets a file back to a checkpoint of Jupyter Server: its document follows, whatever was typed since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter

MANAGERS = {
    "local": "",
    "not asynchronous": """
from jupyter_server.services.contents.largefilemanager import LargeFileManager
c.ServerApp.contents_manager_class = LargeFileManager
""",
    "of others": """
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
class Other(AsyncLargeFileManager):
    async def get(self, *args, **more):
        return await super().get(*args, **more)
c.ServerApp.contents_manager_class = Other
""",
}


async def checkpoint(server: Jupyter, path: str) -> str:
    """Make a checkpoint of a file; return its id."""
    status, answer = await server.ask("POST", f"api/contents/{quote(path)}/checkpoints")
    assert status == 201, answer
    return str(answer["id"])


async def set_back(server: Jupyter, path: str, id: str) -> None:
    """Set a file back to a checkpoint, as JupyterLab does."""
    status, answer = await server.ask("POST", f"api/contents/{quote(path)}/checkpoints/{id}")
    assert status == 204, answer


async def versions(server: Jupyter, path: str) -> list[str]:
    """Return what the versions of a document said."""
    _, answer = await server.ask("GET", f"api/rtc/history/{quote(path)}")
    found: list[str] = []
    for version in answer["versions"]:
        _, one = await server.ask("GET", f"api/rtc/history/{quote(path)}?version={version['id']}")
        content: Any = one["content"]
        found.append(content if isinstance(content, str) else "\n".join(cell["source"] for cell in content["cells"]))
    return found


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("saved", [False, True])
async def test_a_document_follows_its_file_to_a_checkpoint(
    start: Starter, join: Opener, manager: str, saved: bool
) -> None:
    server = start(MANAGERS[manager])
    (server.root / "a.txt").write_text("one\n")
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    for peer in (ada, bob):
        peer.show(autosave=False)
    id = await checkpoint(server, "a.txt")
    ada.type("typed\n")
    await until(lambda: bob.text == "one\ntyped\n")
    if saved:
        assert await ada.save() == "success"
    await set_back(server, "a.txt", id)
    await until(lambda: ada.text == bob.text == "one\n", lambda: (ada.text, bob.text))
    assert (server.root / "a.txt").read_text() == "one\n"
    await until(lambda: ada.state["dirty"] is False, lambda: ada.state)
    await until(lambda: len(ada.state.get("recovery", [])) == 1, lambda: ada.state)
    _, copy = await server.ask("GET", f"api/rtc/recovery/{ada.state['recovery'][0]}")
    assert copy["content"] == "one\ntyped\n"
    assert (await versions(server, "a.txt"))[-2:] == ["one\ntyped\n", "one\n"]
    ada.type("on\n")
    assert await ada.save() == "success"
    assert (server.root / "a.txt").read_text() == "one\non\n"


async def test_a_notebook_follows_and_an_edit_from_outside_still_finds_its_base(start: Starter, join: Opener) -> None:
    server = start()
    file = server.root / "a.ipynb"
    file.write_text(as_nbformat(notebook(code("one"), code("two"))))
    ada = await join(server, "a.ipynb")
    ada.show(autosave=False)
    id = await checkpoint(server, "a.ipynb")
    ada.type(" typed", cell=0)
    await set_back(server, "a.ipynb", id)
    await until(lambda: ada.sources == ["one", "two"], lambda: ada.sources)
    ada.type(" again", cell=0)
    file.write_text(as_nbformat(notebook(code("one"), code("two outside", id="cell-1"))))
    await until(lambda: ada.sources == ["one again", "two outside"], lambda: ada.sources)


async def test_a_checkpoint_that_holds_all_leaves_no_copy(start: Starter, join: Opener) -> None:
    server = start()
    (server.root / "a.txt").write_text("one\ntwo\n")
    ada = await join(server, "a.txt")
    id = await checkpoint(server, "a.txt")
    del ada.source[4:]
    assert await ada.save() == "success"
    await set_back(server, "a.txt", id)
    await until(lambda: ada.text == "one\ntwo\n", lambda: ada.text)
    assert not ada.state.get("recovery")
    await until(lambda: ada.state["dirty"] is False)


@pytest.mark.parametrize("typed", [lambda peer: peer.type("typed\n"), lambda peer: None], ids=["typing", "quiet"])
async def test_what_was_there_before_an_outside_edit_is_a_version(
    start: Starter, join: Opener, typed: Callable[[Peer], None]
) -> None:
    server = start()
    file = server.root / "a.txt"
    file.write_text("one\ntwo\n")
    ada = await join(server, "a.txt")
    ada.show(autosave=False)
    ada.type("three\n")
    assert await ada.save() == "success"
    typed(ada)
    before = ada.text
    file.write_text("two\nthree\n")
    await until(lambda: "one" not in ada.text)
    typed(ada)
    assert before in await versions(server, "a.txt")
