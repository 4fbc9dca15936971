"""Recovery copies over REST: listed, read, downloaded, restored into the document or beside it, and removed."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime, timedelta
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from urllib.request import Request, urlopen

import nbformat
import pytest
from pycrdt import UndoManager

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter

ATTACHMENT = r"attachment; filename=\"(.*)\"; filename\*=UTF-8''(\S*)"


async def wiped(server: Jupyter, peer: Peer) -> str:
    """Take away all that a document says, and save; return the id of the recovery copy that this leaves."""
    before = peer.state.get("recovery", [])
    if peer.kind == "notebook":
        for cell in peer.cells:
            cell["source"].clear()
    else:
        peer.source.clear()
    assert await peer.save() == "success"
    await until(lambda: len(peer.state.get("recovery", [])) > len(before), lambda: peer.state)
    return str(peer.state["recovery"][-1])


async def restored(server: Jupyter, id: str, into: str, token: str = "ada") -> dict[str, Any]:
    """Restore a copy; return the answer."""
    status, answer = await server.ask("POST", f"api/rtc/recovery/{id}/restore", {"into": into}, token)
    assert status in (200, 201), answer
    return dict(answer)


class TestRead:
    async def test_the_list(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("one ✓")
        (here / "b.txt").write_text("two")
        a, b = await join(jupyter, f"{here.name}/a.txt"), await join(jupyter, f"{here.name}/b.txt")
        ids = [await wiped(jupyter, peer) for peer in (a, b)]
        status, answer = await jupyter.ask("GET", "api/rtc/recovery", token="rita")
        assert status == 200
        listed = {copy["id"]: copy for copy in answer["copies"]}
        assert listed.keys() >= set(ids)
        assert [copy["created"] for copy in answer["copies"]] == sorted(copy["created"] for copy in listed.values())
        copy = listed[ids[0]]
        assert datetime.now(UTC) - datetime.fromisoformat(copy.pop("created")) < timedelta(minutes=5)
        assert len(copy.pop("hash")) == 64
        assert copy == {
            "id": ids[0],
            "path": f"{here.name}/a.txt",
            "room": a.room,
            "file_id": a.room.split(":")[2],
            "type": "file",
            "format": "text",
            "author": "",
            "reason": "This is what the file held before a save that left nothing of it.",
            "size": 7,
        }
        _, answer = await jupyter.ask("GET", f"api/rtc/recovery?path={quote(f'/{here.name}/b.txt')}")
        assert [copy["id"] for copy in answer["copies"]] == ids[1:]
        assert (await jupyter.ask("GET", "api/rtc/recovery?path=nowhere"))[1] == {"copies": []}

    async def test_a_text(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "é a.txt").write_bytes("\ufeffone\r\n✓".encode())
        id = await wiped(jupyter, await join(jupyter, f"{here.name}/é a.txt"))
        status, copy = await jupyter.ask("GET", f"api/rtc/recovery/{id}", token="rita")
        assert status == 200
        assert (copy["id"], copy["type"], copy["format"], copy["content"]) == (id, "file", "text", "\ufeffone\r\n✓")
        answer, data = await download(jupyter, id)
        assert data == "\ufeffone\r\n✓".encode()
        assert answer.headers["Content-Type"] == "application/octet-stream"
        found = re.fullmatch(ATTACHMENT, answer.headers["Content-Disposition"])
        assert found is not None
        plain, name = found.groups()
        assert re.fullmatch(r"é a \(recovered \d{4}-\d\d-\d\d \d\d\.\d\d\)\.txt", unquote(name))
        assert plain == unquote(name).replace("é", "_")

    async def test_a_notebook(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        body = as_nbformat(notebook(code("print(1)\nprint(2)"), code("3")))
        (here / "a.ipynb").write_text(body)
        id = await wiped(jupyter, await join(jupyter, f"{here.name}/a.ipynb"))
        _, copy = await jupyter.ask("GET", f"api/rtc/recovery/{id}")
        assert (copy["type"], copy["format"]) == ("notebook", "json")
        assert copy["content"] == nbformat.reads(body, as_version=4)
        assert (await download(jupyter, id))[1].decode() == body

    async def test_bytes(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.bin").write_bytes(b"\0\xff")
        peer = await join(jupyter, f"{here.name}/a.bin", "blob", "base64")
        del peer.doc.get("source", type=type(peer.state_map))["bytes"]
        peer.doc.get("source", type=type(peer.state_map))["bytes"] = b""
        assert await peer.save() == "success"
        await until(lambda: peer.state.get("recovery"))
        _, copy = await jupyter.ask("GET", f"api/rtc/recovery/{peer.state['recovery'][0]}")
        assert (copy["type"], copy["format"], copy["content"]) == ("blob", "base64", "AP8=")


async def download(server: Jupyter, id: str) -> tuple[HTTPResponse, bytes]:
    """Return the answer to a download, and the file."""
    request = Request(server.url(f"api/rtc/recovery/{id}?download=1"), headers={"Authorization": "token ada"})

    def fetch() -> tuple[HTTPResponse, bytes]:
        with urlopen(request, timeout=20) as answer:
            return answer, answer.read()

    return await asyncio.to_thread(fetch)


class TestIntoTheDocument:
    async def test_as_an_edit_with_the_smallest_change(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.ipynb").write_text(as_nbformat(notebook(*(code(f"cell {number}") for number in range(50)))))
        ada, bob = [await join(jupyter, f"{here.name}/a.ipynb", token=token) for token in ("ada", "bob")]
        copy = await wiped(jupyter, ada)
        for number in range(49):
            ada.type(f"cell {number}", number)
        ada.type("other", 49)
        await until(lambda: bob.sources == ada.sources)
        cells, frames = [cell["id"] for cell in bob.cells], len(bob.frames)
        assert await restored(jupyter, copy, "document", "bob") == {"into": "document", "room": ada.room}
        await until(lambda: ada.sources == bob.sources == [f"cell {number}" for number in range(50)])
        assert [cell["id"] for cell in bob.cells] == cells
        assert bob.frames[frames] < 100
        assert f"room {ada.room}: bob restored recovery copy {copy}" in jupyter.log()
        await until(lambda: "cell 49" in (here / "a.ipynb").read_text())

    async def test_what_is_in_both_stays_with_its_undo(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("one\ntwo\n")
        ada, bob = [await join(jupyter, f"{here.name}/a.txt", token=token) for token in ("ada", "bob")]
        copy = await wiped(jupyter, ada)
        undo = UndoManager(scopes=[ada.source], capture_timeout_millis=0)
        undo.include_origin("ada")
        with ada.doc.transaction(origin="ada"):
            ada.type("one\n")
        await until(lambda: bob.text == "one\n")
        await restored(jupyter, copy, "document", "bob")
        await until(lambda: ada.text == bob.text == "one\ntwo\n")
        assert undo.undo()
        await until(lambda: ada.text == bob.text == "two\n")
        assert undo.redo()
        await until(lambda: ada.text == bob.text == "one\ntwo\n")

    async def test_while_people_type(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("one\ntwo\n")
        ada, bob = [await join(jupyter, f"{here.name}/a.txt", token=token) for token in ("ada", "bob")]
        copy = await wiped(jupyter, ada)
        restoring = asyncio.ensure_future(restored(jupyter, copy, "document"))
        while not restoring.done():
            bob.type("x")
            await asyncio.sleep(0.002)
        await restoring
        await until(lambda: ada.text == bob.text and "one\ntwo\n" in ada.text, lambda: (ada.text, bob.text))
        bob.type(" typed")
        assert await ada.save() == "success"
        assert re.fullmatch(r"x*one\ntwo\nx* typed", (here / "a.txt").read_text())

    async def test_when_nobody_has_it_open(self, start: Starter, join: Opener) -> None:
        server = start("c.Relay.eviction_delay = 0.2")
        (server.root / "a.txt").write_text("one\n")
        peer = await join(server, "a.txt")
        copy = await wiped(server, peer)
        await peer.close()
        await until(lambda: f"room {peer.room}: evicted" in server.log())
        await restored(server, copy, "document")
        await until(lambda: (server.root / "a.txt").read_text() == "one\n")
        assert (await join(server, "a.txt")).text == "one\n"

    async def test_after_a_restart_and_a_rename(self, start: Starter, join: Opener) -> None:
        server = start()
        (server.root / "a.txt").write_text("one\n")
        peer = await join(server, "a.txt")
        copy = await wiped(server, peer)
        await server.move("a.txt", "b.txt")
        await until(lambda: peer.state["path"] == "b.txt")
        await peer.close()
        server.terminate()
        await asyncio.to_thread(server.wait)
        server.start()
        await restored(server, copy, "document")
        await until(lambda: (server.root / "b.txt").read_text() == "one\n")
        assert not (server.root / "a.txt").exists()

    async def test_where_the_file_is_gone(self, start: Starter, join: Opener) -> None:
        server = start("c.Relay.eviction_delay = 0.2")
        (server.root / "a.txt").write_text("one\n")
        peer = await join(server, "a.txt")
        copy = await wiped(server, peer)
        await peer.close()
        await until(lambda: f"room {peer.room}: evicted" in server.log())
        (server.root / "a.txt").unlink()
        status, answer = await server.ask("POST", f"api/rtc/recovery/{copy}/restore", {"into": "document"})
        assert status == 409
        assert answer["message"].startswith('a.txt does not exist any more; restore into a new file ({"into": "file"})')
        path = (await restored(server, copy, "file"))["path"]
        assert (server.root / path).read_text() == "one\n"

    async def test_where_the_file_was_deleted_while_it_was_open(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        (here / "a.txt").write_text("one\n")
        peer = await join(jupyter, f"{here.name}/a.txt")
        copy = await wiped(jupyter, peer)
        (here / "a.txt").unlink()
        status, answer = await jupyter.ask("POST", f"api/rtc/recovery/{copy}/restore", {"into": "document"})
        assert (status, "does not exist any more" in answer["message"]) == (409, True)
        assert peer.text == ""
        assert await peer.save() == "success"  # which writes it again
        await restored(jupyter, copy, "document")
        await until(lambda: peer.text == (here / "a.txt").read_text() == "one\n")


class TestBeside:
    async def test_a_text(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "the thesis.txt").write_bytes(b"one\r\ntwo")
        copy = await wiped(jupyter, await join(jupyter, f"{here.name}/the thesis.txt"))
        paths = [(await restored(jupyter, copy, "file"))["path"] for _ in range(3)]
        stem = paths[0].removesuffix(".txt")
        assert re.fullmatch(rf"{here.name}/the thesis \(recovered \d{{4}}-\d\d-\d\d \d\d\.\d\d\)", stem)
        assert paths == [f"{stem}.txt", f"{stem} 2.txt", f"{stem} 3.txt"]
        assert {(jupyter.root / path).read_bytes() for path in paths} == {b"one\r\ntwo"}
        assert (here / "the thesis.txt").read_bytes() == b""
        # It is a file like any other.
        assert (await join(jupyter, paths[0])).text == "one\ntwo"

    async def test_a_notebook(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        body = as_nbformat(notebook(code("one")))
        (here / "a.ipynb").write_text(body)
        copy = await wiped(jupyter, await join(jupyter, f"{here.name}/a.ipynb"))
        path = (await restored(jupyter, copy, "file"))["path"]
        assert path.endswith(").ipynb")
        assert (jupyter.root / path).read_text() == body
        status, model = await jupyter.ask("GET", f"api/contents/{quote(path)}")
        assert (status, model["type"]) == (200, "notebook")

    async def test_one_that_others_make_meanwhile_is_not_overwritten(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        (here / "a.txt").write_text("text")
        copy = await wiped(jupyter, await join(jupyter, f"{here.name}/a.txt"))
        answers = await asyncio.gather(*(restored(jupyter, copy, "file") for _ in range(8)))
        assert len({answer["path"] for answer in answers}) == 8
        assert {(jupyter.root / answer["path"]).read_text() for answer in answers} == {"text"}

    async def test_where_the_folder_is_gone(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "folder").mkdir()
        (here / "folder" / "a.txt").write_text("text")
        peer = await join(jupyter, f"{here.name}/folder/a.txt")
        copy = await wiped(jupyter, peer)
        await peer.close()
        (here / "folder" / "a.txt").unlink()
        (here / "folder").rmdir()
        status, answer = await jupyter.ask("POST", f"api/rtc/recovery/{copy}/restore", {"into": "file"})
        assert status == 404
        assert "No such file or directory" in answer["message"]
        assert os.listdir(here) == []


class TestRemoved:
    async def test_it_is_gone_from_everywhere(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("text")
        peer = await join(jupyter, f"{here.name}/a.txt")
        copy = await wiped(jupyter, peer)
        folder = jupyter.data / "jupyter_rtc" / "recovery" / copy
        assert folder.exists()
        assert await jupyter.ask("DELETE", f"api/rtc/recovery/{copy}") == (204, None)
        assert not folder.exists()
        await until(lambda: "recovery" not in peer.state)
        assert (await asyncio.to_thread(jupyter.rooms))[peer.room]["recovery"] == 0
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/restore")):
            status, answer = await jupyter.ask(method, f"api/rtc/recovery/{copy}{path}", {"into": "file"})
            assert (status, answer["message"]) == (404, f"there is no recovery copy '{copy}'")


class TestRefused:
    @pytest.mark.parametrize("id", ["..%2f..%2fserver_config", "%2e%2e", "x" * 32, "A" * 32, "%00", "100%25", "é"])
    async def test_an_id_that_is_none(self, jupyter: Jupyter, id: str) -> None:
        for method, path in (("GET", ""), ("GET", "?download=1"), ("DELETE", ""), ("POST", "/restore")):
            status, _ = await jupyter.ask(method, f"api/rtc/recovery/{quote(id, safe='%')}{path}", {"into": "file"})
            assert status == 404

    @pytest.mark.parametrize("body", [b"", b"\xff", b"[]", {}, {"into": "everywhere"}, {"into": ["file"]}])
    async def test_a_body_that_says_nothing(self, jupyter: Jupyter, body: Any) -> None:
        status, answer = await jupyter.ask("POST", f"api/rtc/recovery/{'0' * 32}/restore", body)
        assert status == 400
        assert "into" in answer["message"] or "UTF-8" in answer["message"]

    async def test_who_only_reads_changes_nothing(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("text")
        copy = await wiped(jupyter, await join(jupyter, f"{here.name}/a.txt"))
        assert (await jupyter.ask("DELETE", f"api/rtc/recovery/{copy}", token="rita"))[0] == 403
        for into in ("document", "file"):
            asked = await jupyter.ask("POST", f"api/rtc/recovery/{copy}/restore", {"into": into}, "rita")
            assert asked[0] == 403
        assert os.listdir(here) == ["a.txt"]
        assert (await jupyter.ask("GET", f"api/rtc/recovery/{copy}", token="rita"))[1]["content"] == "text"

    async def test_who_has_no_name_reads_nothing(self, jupyter: Jupyter) -> None:
        for path in ("", f"/{'0' * 32}", f"/{'0' * 32}?download=1"):
            assert (await jupyter.ask("GET", f"api/rtc/recovery{path}", token="eve"))[0] == 403


async def test_a_copy_that_somebody_spoilt_keeps_no_document_from_being_opened(start: Starter, join: Opener) -> None:
    server = start()
    folder = server.data / "jupyter_rtc" / "recovery" / ("0" * 32)
    folder.mkdir(parents=True)
    (folder / "about.json").write_text('{"id": "' + "0" * 32 + '", "time": null, "room": "text:file:x", "size": 0}')
    (server.root / "a.txt").write_text("text\n")
    ada = await join(server, "a.txt")
    assert ada.text == "text\n"
    assert server.request("GET", "api/rtc/recovery") == (200, {"copies": []})
    assert server.log().count(f"{folder} is no recovery copy") == 1
