"""What follows a save goes wrong: the file is written, and that is a success with a warning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Opener, Starter
from .examples import code, notebook
from .peer import Peer, until
from .process import Jupyter

HOOK = '''
import os


def hook(os_path, **more):
    """Fail as long as there is a file called so."""
    if os.path.exists(os.path.join(os.path.dirname(os_path), "fail")):
        raise {error}


c.FileContentsManager.post_save_hook = hook
'''
MANAGED = """
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager


class Managed(AsyncLargeFileManager):
    async def get(self, *args, **more):
        return await super().get(*args, **more)


c.ServerApp.contents_manager_class = Managed
"""


def content(file: Path) -> str:
    """Return what a file holds."""
    return file.read_text()


async def saved(server: Jupyter, peer: Peer, file: Path, text: str) -> dict[str, Any]:
    """Type, save, and return what is said of the document once the file has it."""
    peer.type(text, 0 if file.suffix == ".ipynb" else None)
    assert await peer.save() == "success"
    assert text in content(file)
    await until(lambda: peer.state.get("dirty") is False)
    assert "trouble" not in peer.state
    assert not [told for told in server.rooms().values() if told["trouble"]]
    return peer.state


@pytest.mark.parametrize("error", ["OSError('nobody takes it')", "RuntimeError()", "StopIteration"])
@pytest.mark.parametrize("config", ["", MANAGED], ids=["as it is", "in its own way"])
async def test_a_hook_fails(start: Starter, join: Opener, error: str, config: str) -> None:
    server = start(HOOK.format(error=error) + config)
    file = server.root / "a.txt"
    file.write_text("one\n")
    peer = await join(server, "a.txt")
    (server.root / "fail").touch()
    state = await saved(server, peer, file, "two\n")
    assert "hook" in state["warning"]
    assert "None" not in state["warning"]
    assert (await saved(server, peer, file, "three\n"))["warning"] == state["warning"]
    assert server.log().count(f"room {peer.room}: a.txt is saved, but") == 1
    (server.root / "fail").unlink()
    assert "warning" not in await saved(server, peer, file, "four\n")
    bob = await join(server, "a.txt", token="bob")
    assert bob.text == file.read_text() == "one\ntwo\nthree\nfour\n"


async def test_no_checkpoint_can_be_made(start: Starter, join: Opener) -> None:
    """It is tried again at each save; also when nobody has typed, and Ctrl+S is pressed."""
    server = start()
    file = server.root / "a.ipynb"
    file.write_text(json.dumps(notebook(code("one"))))
    in_the_way = server.root / ".ipynb_checkpoints"
    in_the_way.touch()
    peer = await join(server, "a.ipynb")
    assert "checkpoint" in (await saved(server, peer, file, " two"))["warning"]
    assert "None" not in peer.state["warning"]
    in_the_way.unlink()
    assert await peer.save() == "success"
    await until(lambda: "warning" not in peer.state, lambda: peer.state)
    assert (in_the_way / "a-checkpoint.ipynb").exists()


async def test_a_name_that_is_too_long_for_a_checkpoint(start: Starter, join: Opener) -> None:
    server = start()
    file = server.root / ("a" * 247 + ".ipynb")
    file.write_text(json.dumps(notebook(code("one"))))
    peer = await join(server, file.name)
    assert "too long" in (await saved(server, peer, file, " two"))["warning"]
