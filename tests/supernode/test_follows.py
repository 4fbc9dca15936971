"""The tables follow reality, whoever acts: a client in another process has what Jupyter's REST API answers.

No table is polled here: what is seen was told.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from itertools import pairwise
from typing import Any

import pytest
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server_fileid.manager import ArbitraryFileIdManager
from relay.peer import Peer, eventually

from . import expected
from .asking import ALL, Server
from .copying import Copies

NOT_POLLED = {f"{table}_interval": 0.0 for table in ALL if table != "folders"}
pytestmark = pytest.mark.traits(Supernode=NOT_POLLED)


async def agree(server: Server, copies: Copies, *tables: str) -> None:
    """Wait until the copies are what the REST API answers."""

    async def same() -> bool:
        for table in tables or expected.ASKED:
            wanted = await expected.ASKED[table](server)
            if expected.only(copies.records[table], wanted) != wanted:
                return False
        return True

    try:
        await eventually(same)
    except AssertionError:
        wanted = {table: await expected.ASKED[table](server) for table in tables or expected.ASKED}
        raise AssertionError(f"{wanted} is not { ({table: copies.records[table] for table in wanted}) }") from None


async def state(copies: Copies, kernel: str, *states: str) -> None:
    """Wait until a kernel's copy is in one of these states."""
    await copies.until(lambda: copies.records["kernels"].get(kernel, {}).get("execution_state") in states)


def busy(copies: Copies, kernel: str) -> int:
    """Return how often the copy of a kernel became busy."""
    states = [records[kernel]["execution_state"] for _, records in copies.seen if kernel in records]
    return sum(after == "busy" != before for before, after in pairwise(states))


class TestKernels:
    async def test_one_that_is_started_and_shut_down(self, home: Server) -> None:
        async with home.copies() as copies:
            await agree(home, copies)
            kernel = await home.kernel()
            await state(copies, kernel, "idle")
            await copies.until(lambda: copies.records["kernels"][kernel]["info"])
            assert copies.records["kernels"][kernel]["info"]["language_info"]["name"] == "python"
            await agree(home, copies)
            await home.ask("DELETE", f"api/kernels/{kernel}")
            await copies.until(lambda: kernel not in copies.records["kernels"])
            await agree(home, copies)

    async def test_every_execution_is_seen(self, home: Server) -> None:
        async with home.copies("kernels") as copies:
            kernel = await home.kernel()
            await copies.until(lambda: copies.records["kernels"].get(kernel, {}).get("info"))
            await state(copies, kernel, "idle")
            for number in range(1, 11):
                home.run(kernel, "pass")
                await copies.until(lambda number=number: busy(copies, kernel) == number)
                await state(copies, kernel, "idle")
            await agree(home, copies, "kernels")

    async def test_a_restart_counts(self, home: Server) -> None:
        async with home.copies("kernels") as copies:
            kernel = await home.kernel()
            await state(copies, kernel, "idle")
            for number in (1, 2):
                await home.ask("POST", f"api/kernels/{kernel}/restart")
                await copies.until(lambda number=number: copies.records["kernels"][kernel]["incarnation"] == number)
                await copies.until(lambda: copies.records["kernels"][kernel]["info"])
                await state(copies, kernel, "idle")
            seen = [records[kernel]["execution_state"] for _, records in copies.seen if kernel in records]
            assert "restarting" in seen

    async def test_one_that_dies_comes_back_by_itself(self, home: Server) -> None:
        async with home.copies("kernels") as copies:
            kernel = await home.kernel()
            await state(copies, kernel, "idle")
            home.run(kernel, "import os; os._exit(1)")
            await copies.until(lambda: copies.records["kernels"][kernel]["incarnation"] == 1)
            await state(copies, kernel, "idle")
            await agree(home, copies, "kernels")

    async def test_one_that_is_interrupted(self, home: Server) -> None:
        async with home.copies("kernels") as copies:
            kernel = await home.kernel()
            await state(copies, kernel, "idle")
            begun = home.root / "begun"
            home.run(kernel, f"import time; open({str(begun)!r}, 'w').close(); time.sleep(60)")
            await eventually(begun.exists)
            await state(copies, kernel, "busy")
            await home.ask("POST", f"api/kernels/{kernel}/interrupt")
            await state(copies, kernel, "idle")

    async def test_who_is_connected(self, home: Server) -> None:
        async with home.copies("kernels", "status") as copies:
            kernel = await home.kernel()
            await state(copies, kernel, "idle")
            async with home.running.connect(f"{kernel}/channels", path="api/kernels"):
                await copies.until(lambda: copies.records["kernels"][kernel]["connections"] == 1)
                await copies.until(lambda: copies.records["status"]["status"]["connections"] == 1)
            await copies.until(lambda: copies.records["kernels"][kernel]["connections"] == 0)
            await agree(home, copies, "kernels", "status")

    @pytest.mark.traits(MappingKernelManager={"transport_encryption": "required"})
    async def test_one_that_is_talked_to_in_secret(self, home: Server) -> None:
        async with home.copies("kernels") as copies:
            kernel = await home.kernel()
            await copies.until(lambda: copies.records["kernels"].get(kernel, {}).get("info"))

    @pytest.mark.traits(MappingKernelManager={"cull_idle_timeout": 1, "cull_interval": 1})
    async def test_one_that_is_culled(self, home: Server) -> None:
        async with home.copies("kernels", "sessions") as copies:
            body = {"path": "a.ipynb", "type": "notebook", "name": "a", "kernel": {"name": "python3"}}
            session = await home.ask("POST", "api/sessions", body)
            await copies.until(lambda: session["id"] in copies.records["sessions"])
            await copies.until(lambda: copies.records["kernels"] == {} == copies.records["sessions"])


class TestSessions:
    async def test_one_that_is_made_renamed_and_deleted(self, home: Server) -> None:
        async with home.copies() as copies:
            body = {"path": "a.ipynb", "type": "notebook", "name": "a", "kernel": {"name": "python3"}}
            session = (await home.ask("POST", "api/sessions", body))["id"]
            await copies.until(lambda: session in copies.records["sessions"])
            await agree(home, copies)
            await home.ask("PATCH", f"api/sessions/{session}", {"path": "b.ipynb", "name": "b"})
            await copies.until(lambda: copies.records["sessions"][session]["path"] == "b.ipynb")
            await home.ask("PATCH", f"api/sessions/{session}", {"kernel": {"name": "python3"}})
            await agree(home, copies)
            await home.ask("DELETE", f"api/sessions/{session}")
            await copies.until(lambda: copies.records["sessions"] == {} == copies.records["kernels"])


class TestTerminals:
    async def test_one_that_is_made_and_deleted(self, home: Server) -> None:
        async with home.copies("terminals") as copies:
            name = (await home.ask("POST", "api/terminals"))["name"]
            await copies.until(lambda: name in copies.records["terminals"])
            await agree(home, copies, "terminals")
            await home.ask("DELETE", f"api/terminals/{name}")
            await copies.until(lambda: copies.records["terminals"] == {})

    async def test_one_that_ends_by_itself(self, home: Server) -> None:
        async with home.copies("terminals") as copies:
            name = (await home.ask("POST", "api/terminals"))["name"]
            await copies.until(lambda: name in copies.records["terminals"])
            terminals = home.running.app.web_app.settings["terminal_manager"].terminals
            os.kill(terminals[name].ptyproc.pid, signal.SIGKILL)
            await copies.until(lambda: copies.records["terminals"] == {})


def by_path(copies: Copies) -> dict[str, Any]:
    """Return the copy of the contents, by path."""
    return {record["path"]: record for record in copies.records["contents"].values()}


async def shows(server: Server, copies: Copies, path: str) -> None:
    """Wait until the copies of the contents and of the folders are what the REST API answers of a folder."""

    async def same() -> bool:
        wanted = await expected.folder(server, path)
        there, ids = expected.only(by_path(copies), wanted), copies.records["contents"]
        folders = {record["path"]: record["children"] for record in copies.records["folders"].values()}
        names = {name: ids[id]["path"] for name, id in folders.get(path, {}).items() if id in ids}
        inside = {model["name"]: one for one, model in wanted.items() if one != path}
        return all(there.get(one) == model for one, model in wanted.items()) and names == inside

    try:
        await eventually(same)
    except AssertionError:
        wanted = await expected.folder(server, path)
        raise AssertionError(f"{wanted} is not {by_path(copies)}, {copies.records['folders']}") from None


class Asked(ArbitraryFileIdManager):
    """Remembers that it was asked for the id of a moved file before it knew of the move."""

    for_nothing = asyncio.Event()

    def get_id(self, path: str) -> str | None:
        """Return the id of a path."""
        id: str | None = super().get_id(path)
        if id is None and path.startswith("moved"):
            self.for_nothing.set()
        return id


class SlowlyMoving(AsyncLargeFileManager):
    """Is done with a move only when somebody has asked for the id of what was moved."""

    async def rename_file(self, old_path: str, new_path: str) -> None:
        """Move a file."""
        await super().rename_file(old_path, new_path)
        await Asked.for_nothing.wait()


class TestContents:
    async def test_a_folder_that_was_asked_for(self, home: Server) -> None:
        (home.root / "folder").mkdir()
        (home.root / "folder" / "a.txt").write_text("a")
        (home.root / "folder" / ".hidden").write_text("a")
        async with home.copies("contents", "folders") as copies:
            assert copies.records["contents"] == {}
            await home.supernode.refresh("contents", path="folder")
            await shows(home, copies, "folder")
            assert by_path(copies).keys() == {"folder", "folder/a.txt"}
            assert by_path(copies)["folder/a.txt"]["mimetype"] == "text/plain"

    async def test_what_programs_do_on_the_disk(self, home: Server) -> None:
        folder = home.root / "folder"
        folder.mkdir()
        async with home.copies("contents", "folders") as copies:
            await home.supernode.refresh("contents", path="folder")
            (folder / "a.txt").write_text("a")
            await copies.until(lambda: by_path(copies).get("folder/a.txt", {}).get("size") == 1)
            (folder / "a.txt").write_text("longer")
            await copies.until(lambda: by_path(copies)["folder/a.txt"]["size"] == 6)
            (folder / "a.txt").rename(folder / "b.txt")
            await copies.until(lambda: by_path(copies).keys() == {"folder", "folder/b.txt"})
            await shows(home, copies, "folder")
            (folder / "b.txt").unlink()
            await copies.until(lambda: by_path(copies).keys() == {"folder"})
            shutil.rmtree(folder)
            await copies.until(lambda: by_path(copies) == {} == copies.records["folders"])

    async def test_what_is_done_through_the_api(self, home: Server) -> None:
        async with home.copies("contents", "folders") as copies:
            await home.supernode.refresh("contents", path="")
            await shows(home, copies, "")
            path = (await home.ask("POST", "api/contents", {"type": "notebook"}))["path"]
            await shows(home, copies, "")
            await home.supernode.refresh("contents", path=path, content=True)  # then it has an id, which follows it
            id = (await copies.until(lambda: by_path(copies)[path]["room"])).split(":")[-1]
            await copies.until(lambda: id in copies.records["contents"])
            await home.ask("PATCH", f"api/contents/{path}", {"path": "moved.ipynb"})
            # for a moment, it may be at its new path already and have no id there yet
            await copies.until(lambda: copies.records["contents"].get(id, {}).get("path") == "moved.ipynb")
            await shows(home, copies, "")
            await home.ask("DELETE", "api/contents/moved.ipynb")
            await shows(home, copies, "")

    @pytest.mark.traits(
        Supernode=NOT_POLLED,
        ServerApp={"contents_manager_class": "supernode.test_follows.SlowlyMoving"},
        FileIdExtension={"file_id_manager_class": "supernode.test_follows.Asked"},
    )
    async def test_a_file_that_is_listed_while_it_is_moved_keeps_its_id(self, home: Server) -> None:
        """It is at its new path, of which the manager of file ids is told in the middle of the listing."""
        for number in range(1000):
            (home.root / f"{number}.txt").touch()
        (home.root / "a.txt").touch()
        id = home.running.app.web_app.settings["file_id_manager"].index("a.txt")
        async with home.copies("contents") as copies:
            await home.supernode.refresh("contents", path="")
            await copies.until(lambda: id in copies.records["contents"])
            for before, path in pairwise(["a.txt", *(f"moved{number}.txt" for number in range(6))]):
                Asked.for_nothing.clear()
                await home.ask("PATCH", f"api/contents/{before}", {"path": path})
                await copies.until(lambda path=path: copies.records["contents"].get(id, {}).get("path") == path)
                assert Asked.for_nothing.is_set()

    async def test_an_open_document_has_its_room_and_its_hash(self, home: Server) -> None:
        (home.root / "a.txt").write_text("a")
        async with home.copies("contents", "documents") as copies:
            await home.supernode.refresh("contents", path="a.txt", content=True)
            record = await copies.until(lambda: (one := by_path(copies).get("a.txt")) and one["fetched"] and one)
            assert record["format"] == "text"
            await copies.until(lambda: record["room"] in copies.records["documents"])
            document = copies.records["documents"][record["room"]]
            assert (document["path"], document["hash"]) == ("a.txt", record["hash"])


class TestDocuments:
    async def test_who_has_it_open_and_whether_it_is_saved(self, home: Server) -> None:
        (home.root / "a.txt").write_text("a")
        async with home.copies("documents") as copies:
            session = await home.ask("PUT", "api/collaboration/session/a.txt", {"format": "text", "type": "file"})
            room = f"text:file:{session['fileId']}"
            await copies.until(lambda: room in copies.records["documents"])
            async with home.running.connect(room, path="api/collaboration/room") as socket, Peer(socket) as peer:
                await peer.until(lambda: peer.synced)
                await copies.until(lambda: len(copies.records["documents"][room]["members"]) == 1)
                await peer.write("b")
                await copies.until(lambda: copies.records["documents"][room]["dirty"])
                await copies.until(lambda: not copies.records["documents"][room]["dirty"])
                assert copies.records["documents"][room]["last_saved"]
                (home.root / "a.txt").rename(home.root / "gone.txt")
                await peer.write("c")
                await copies.until(lambda: copies.records["documents"][room]["save_error"])
            await copies.until(lambda: copies.records["documents"][room]["members"] == [])
