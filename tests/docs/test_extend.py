"""Runs the extensions on the page "Extend" as they stand there, in a real server process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from awaiting import until
from documents.process import Jupyter
from pycrdt import Array, Map, Text
from relay.peer import Peer
from websockets.asyncio.client import connect

from jupyter_rtc.supernode.actions import Right, action

from .pages import DOCS, blocks

PAGE = DOCS / "how-to" / "extend.md"
MODULES = {"kind": "guestbooks", "table": "disk", "action": "copies", "store": "audited"}


@pytest.fixture
def jupyter(tmp_path: Path) -> Iterator[Jupyter]:
    """Start a server with all extensions of the page, and with its store."""
    folder = tmp_path / "packages"
    folder.mkdir()
    examples = {block.mark: block.code for block in blocks(PAGE) if block.mark}
    assert set(examples) == set(MODULES)
    for mark, module in MODULES.items():
        assert examples[mark].startswith(f'"""{module}.py: ')
        (folder / f"{module}.py").write_text(examples[mark])
    (option,) = [block.code for block in blocks(PAGE) if block.language == "python" and not block.mark]
    # Jupyter Server loads all three before the extension that they add to.
    enabled = {"guestbooks": True, "disk": True, "copies": True}
    server = Jupyter(tmp_path / "home", f"c.ServerApp.jpserver_extensions.update({enabled})\n{option}", folder)
    server.start()
    yield server
    server.kill()


def room(jupyter: Jupyter, name: str, token: str = "ada") -> connect:
    """Connect to a room."""
    options: dict[str, Any] = {"compression": None, "proxy": None}
    return connect(f"{jupyter.url('api/rtc/room', 'ws')}/{name}?token={token}", **options)


async def test_a_guestbook_says_who_came_in_also_after_a_restart(jupyter: Jupyter) -> None:
    async with room(jupyter, "guestbook:party") as one, Peer(one) as ada:
        await ada.until(lambda: lines(ada) == ["ada came in"])
        async with room(jupyter, "guestbook:party", "bob") as two, Peer(two):
            await ada.until(lambda: lines(ada) == ["ada came in", "bob came in"])
    jupyter.terminate()
    assert jupyter.wait() == 0
    jupyter.start()
    async with room(jupyter, "guestbook:party") as one, Peer(one) as ada:
        await ada.until(lambda: lines(ada) == ["ada came in", "bob came in", "ada came in"])


def lines(peer: Peer) -> list[str]:
    """Return what stands in a guestbook."""
    return list(peer.doc.get("lines", type=Array))


async def test_the_table_shows_the_disk_over_http_and_in_its_room(jupyter: Jupyter) -> None:
    async def listed() -> Any:
        status, answer = await jupyter.ask("GET", "api/rtc/tables/disk")
        assert status == 200, answer
        return answer["records"]

    records = await until(listed)
    assert records["root"]["total"] == shutil.disk_usage("/").total
    async with room(jupyter, "table:disk") as one, Peer(one) as ada:
        await ada.until(lambda: ada.doc.get("records", type=Map).to_py())
        assert ada.doc.get("records", type=Map).to_py()["root"]["total"] == records["root"]["total"]


async def test_the_action_copies_a_file_and_is_described(jupyter: Jupyter) -> None:
    (jupyter.root / "thesis.txt").write_text("a chapter")
    status, answer = await jupyter.ask("POST", "api/rtc/copies/thesis.txt")
    assert (status, (jupyter.root / answer["path"]).read_text()) == (201, "a chapter")
    assert answer["path"] != "thesis.txt"
    assert (await jupyter.ask("POST", "api/rtc/copies/nothing.txt"))[0] == 404
    assert (await jupyter.ask("POST", "api/rtc/copies/thesis.txt", token="rita"))[0] == 403
    spec = (await jupyter.ask("GET", "api/rtc/spec"))[1]
    assert spec["paths"]["/copies/{path}"]["post"]["summary"] == "Copy a file, under a name that is free."


async def test_the_store_logs_who_changed_which_room_and_keeps_it(jupyter: Jupyter) -> None:
    async with room(jupyter, "notes") as one, Peer(one) as ada:
        await ada.write("hello")
        await until(lambda: "notes: update 1" in jupyter.log(), jupyter.log)
    assert "by ada" in jupyter.log()
    await asyncio.to_thread(jupyter.terminate)
    assert jupyter.wait() == 0
    jupyter.start()
    async with room(jupyter, "notes") as one, Peer(one) as ada:
        await ada.until(lambda: str(ada.doc.get("source", type=Text)) == "hello")


class Status:
    """A service under the name of one that there is."""

    name, resource = "status", "api"

    async def list(self) -> dict[str, Any]:
        """List nothing."""
        return {}

    def watch(self, changed: Any) -> Any:
        """Watch nothing."""
        return lambda: None


class Restart:
    """An action at a path that there is."""

    @action("PUT kernels/{id}/restart", Right("execute", "kernels"), answers={204: None}, errors={})
    async def restart(self, id: str) -> None:
        """Do nothing."""


async def test_a_table_or_an_action_whose_name_is_taken_is_refused(server: Any) -> None:
    extension = server.extension
    tables, actions = set(extension.supernode.tables), list(extension.actions)
    with pytest.raises(ValueError, match="status"):
        extension.supernode.add(Status())
    with pytest.raises(ValueError, match="restart"):
        extension.add_actions(Restart())
    assert (set(extension.supernode.tables), extension.actions) == (tables, actions)
