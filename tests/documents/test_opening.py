"""Opening: whole or not at all; what cannot be opened says why, and harms nothing else."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import websockets
from pycrdt import Array, Map, Text

from .conftest import Opener
from .examples import as_nbformat, code, markdown, notebook
from .peer import Peer, SessionRefused, until
from .process import Jupyter


def opened(jupyter: Jupyter, room: str) -> int:
    """Return how often a room was loaded since its server began."""
    return jupyter.log().count(f"room {room}: open")


async def failure(peer: Peer) -> tuple[int, str]:
    """Connect; return how the server closed the connection, which it must do before any sync."""
    await peer.ask()
    peer.connect()
    await until(lambda: peer.closes)
    assert not peer.steps
    return peer.closes[0]


class TestWhole:
    async def test_a_text_arrives_in_one_piece(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        text = "".join(f"line {number} äöü\n" for number in range(20_000))
        (here / "a.txt").write_text(text)
        peer = await join(jupyter, f"{here.name}/a.txt")
        assert peer.text == text
        assert len(peer.steps) == 1
        assert peer.state["path"] == f"{here.name}/a.txt"
        assert peer.state["dirty"] is False
        assert len(peer.state["hash"]) == 64

    async def test_a_notebook_arrives_in_one_piece(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        cells = [code(f"print({number})") if number % 2 else markdown(f"# {number}") for number in range(1_500)]
        (here / "a.ipynb").write_text(as_nbformat(notebook(*cells)))
        peer = await join(jupyter, f"{here.name}/a.ipynb")
        assert peer.sources == [cell["source"] for cell in cells]
        assert len(peer.steps) == 1

    async def test_an_empty_file_opens(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_bytes(b"")
        peer = await join(jupyter, f"{here.name}/a.txt")
        peer.type("first")
        await until(lambda: (here / "a.txt").read_text() == "first")

    async def test_who_opens_at_once_gets_one_document(
        self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer]
    ) -> None:
        cells = [code(f"x{number}") for number in range(800)]
        (here / "a.ipynb").write_text(as_nbformat(notebook(*cells)))
        peers = [prepare(jupyter, f"{here.name}/a.ipynb", token=token) for token in ("ada", "bob", "rita") * 4]
        await asyncio.gather(*(peer.ask() for peer in peers))
        for peer in peers:
            peer.connect()
        await asyncio.gather(*(peer.ready() for peer in peers))
        assert len({(peer.room, peer.session) for peer in peers}) == 1
        assert opened(jupyter, peers[0].room) == 1
        for peer in peers:
            assert peer.sources == [cell["source"] for cell in cells]
        peers[0].type("!", 7)
        for peer in peers:
            await until(lambda peer=peer: peer.sources[7] == "x7!")


class TestRefused:
    async def test_a_file_that_is_not_there(self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer]) -> None:
        with pytest.raises(SessionRefused) as refused:
            await prepare(jupyter, f"{here.name}/none.txt").ask()
        assert refused.value.status == 404
        assert "none.txt" in refused.value.message

    async def test_a_file_that_went_meanwhile(
        self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer], join: Opener
    ) -> None:
        (here / "a.txt").write_text("a")
        peer = prepare(jupyter, f"{here.name}/a.txt", kind="unicode")
        await peer.ask()
        # The session loads the room; only another type of the same file has still to be loaded when it is asked for.
        peer.room = peer.room.replace("unicode", "file")
        (here / "a.txt").unlink()
        peer.connect()
        await until(lambda: peer.disposed)
        assert peer.closes[0][0] == 4404
        assert "a.txt" in peer.closes[0][1]
        assert not peer.steps
        assert os.listdir(here) == []

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("latin.txt", "é".encode("latin-1")),
            ("broken.ipynb", b'{"cells": [{"cell_type": "code", "sour'),
            ("list.ipynb", b"[]"),
            ("latin.ipynb", as_nbformat(notebook(code("é"))).encode("latin-1")),
            ("future.ipynb", json.dumps({**notebook(code("x")), "nbformat": 99}).encode()),
        ],
    )
    async def test_content_that_cannot_be(
        self,
        jupyter: Jupyter,
        here: Path,
        prepare: Callable[..., Peer],
        join: Opener,
        name: str,
        content: bytes,
    ) -> None:
        (here / "other.txt").write_text("other")
        other = await join(jupyter, f"{here.name}/other.txt")
        (here / name).write_bytes(content)
        before = (here / name).stat().st_mtime_ns
        code, reason = await failure(prepare(jupyter, f"{here.name}/{name}"))
        assert code == 4400
        assert name in reason
        other.type("!")
        await until(lambda: (here / "other.txt").read_text() == "other!")
        assert (here / name).read_bytes() == content
        assert (here / name).stat().st_mtime_ns == before
        assert (await join(jupyter, f"{here.name}/other.txt", token="bob")).text == "other!"

    async def test_it_opens_once_it_is_mended(
        self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer], join: Opener
    ) -> None:
        (here / "a.ipynb").write_text("<<<<<<< HEAD")
        assert (await failure(prepare(jupyter, f"{here.name}/a.ipynb")))[0] == 4400
        (here / "a.ipynb").write_text(as_nbformat(notebook(code("mended"))))
        assert (await join(jupyter, f"{here.name}/a.ipynb")).sources == ["mended"]

    async def test_what_is_no_file(self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer]) -> None:
        (here / "folder").mkdir()
        os.mkfifo(here / "fifo")
        for name in ("folder", "fifo"):
            with pytest.raises(SessionRefused) as refused:
                await prepare(jupyter, f"{here.name}/{name}").ask()
            assert refused.value.status == 400
            assert name in refused.value.message

    async def test_a_file_that_cannot_be_read(self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer]) -> None:
        # A regular file that nobody can read, not even root: reading it fails with an input/output error.
        (here / "a.txt").symlink_to("/proc/self/mem")
        code, reason = await failure(prepare(jupyter, f"{here.name}/a.txt"))
        assert code == 4500
        assert "a.txt" in reason


class TestTypes:
    async def test_an_unknown_type_is_named(self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer]) -> None:
        (here / "a.txt").write_text("a")
        with pytest.raises(SessionRefused) as refused:
            await prepare(jupyter, f"{here.name}/a.txt", kind="drawing").ask()
        assert refused.value.status == 400
        assert "drawing" in refused.value.message

    @pytest.mark.parametrize(("kind", "form"), [("notebook", "text"), ("file", "json"), ("file", "yaml")])
    async def test_a_format_that_does_not_fit(
        self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer], kind: str, form: str
    ) -> None:
        (here / "a.ipynb").write_text(as_nbformat(notebook()))
        with pytest.raises(SessionRefused) as refused:
            await prepare(jupyter, f"{here.name}/a.ipynb", kind, form).ask()
        assert refused.value.status == 400
        assert form in refused.value.message
        assert kind in refused.value.message

    async def test_jupyters_own_text_type(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_bytes(b"one\r\ntwo\r\n")
        peer = await join(jupyter, f"{here.name}/a.txt", "unicode")
        assert peer.text == "one\ntwo\n"
        peer.type("three\n")
        await until(lambda: (here / "a.txt").read_bytes() == b"one\r\ntwo\r\nthree\r\n")

    async def test_a_type_of_bytes(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.bin").write_bytes(bytes(range(256)))
        ada = await join(jupyter, f"{here.name}/a.bin", "blob", "base64")
        bob = await join(jupyter, f"{here.name}/a.bin", "blob", "base64", "bob")
        ada_map = ada.doc.get("source", type=Map)
        assert ada_map["bytes"] == bytes(range(256))
        ada_map["bytes"] = b"\xff\x00new"
        await until(lambda: (here / "a.bin").read_bytes() == b"\xff\x00new")
        assert bob.doc.get("source", type=Map)["bytes"] == b"\xff\x00new"
        (here / "a.bin").write_bytes(b"outside\x80")
        await until(lambda: ada_map["bytes"] == b"outside\x80")

    async def test_a_type_of_somebody_elses(
        self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer], join: Opener
    ) -> None:
        (here / "a.lines").write_text("one\ntwo")
        peer = await join(jupyter, f"{here.name}/a.lines", "lines")
        lines = peer.doc.get("lines", type=type(peer.cells))
        assert list(lines) == ["one", "two"]
        lines.append("three")
        await until(lambda: (here / "a.lines").read_text() == "one\ntwo\nthree")
        (here / "bad.lines").write_text("!")
        assert (await failure(prepare(jupyter, f"{here.name}/bad.lines", "lines")))[0] == 4400

    async def test_a_type_whose_class_writes_by_itself(
        self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer], join: Opener
    ) -> None:
        """It does so in copies: what it would do in the shared document nobody would be sent."""
        file = here / "a.diary"
        file.write_text(given := '{"pages": ["one"], "about": {}}')
        ada = await join(jupyter, f"{here.name}/a.diary", "diary")
        pages = ada.doc.get("pages", type=Array)
        await until(lambda: ada.state.get("hash"))
        assert file.read_text() == given
        pages.append("two")
        await until(lambda: file.read_text() != given)
        await until(lambda: ada.state["hash"] == sha256(file.read_bytes()).hexdigest())
        assert ada.state["dirty"] is False
        saved = json.loads(file.read_text())
        assert saved == {"pages": ["one", "two"], "about": ada.doc.get("about", type=Map).to_py()}
        bob = await join(jupyter, f"{here.name}/a.diary", "diary", token="bob")
        await until(lambda: bob.state == ada.state)
        said = set(ada.state)
        file.write_text(json.dumps({**saved, "pages": ["one", "two", "three"]}))
        await until(lambda: list(bob.doc.get("pages", type=Array)) == ["one", "two", "three"])
        await until(lambda: bob.state["hash"] == sha256(file.read_bytes()).hexdigest())
        assert set(bob.state) == said
        assert bob.state["dirty"] is False
        (here / "bad.diary").write_text("!")
        assert (await failure(prepare(jupyter, f"{here.name}/bad.diary", "diary")))[0] == 4400


class TestDoor:
    @pytest.mark.parametrize(
        "room",
        [
            "text:file:no-such-id",
            "text:drawing:{id}",
            "yaml:file:{id}",
            "json:file:{id}",
            "text:notebook:{id}",
            "text:file:{id}:more",
            "text:file:",
            "::",
            "text:file",
            "free",
            "text:file:{id}%0A",
        ],
    )
    async def test_a_name_of_no_document_is_refused_at_the_handshake(
        self, jupyter: Jupyter, here: Path, room: str
    ) -> None:
        (here / "a.txt").write_text("a")
        _, answer = await jupyter.session(f"{here.name}/a.txt", "text", "file")
        name = room.format(id=answer["fileId"])
        before = jupyter.rooms().keys()
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(jupyter.url(f"api/collaboration/room/{name}?token=ada", "ws"), proxy=None)
        assert refused.value.response.status_code == 404
        assert jupyter.rooms().keys() <= before

    async def test_nobody_comes_in_without_a_name(self, jupyter: Jupyter, here: Path) -> None:
        (here / "a.txt").write_text("a")
        assert (await jupyter.session(f"{here.name}/a.txt", "text", "file", token="mallory"))[0] == 403
        _, answer = await jupyter.session(f"{here.name}/a.txt", "text", "file")
        url = jupyter.url(f"api/collaboration/room/text:file:{answer['fileId']}?token=mallory", "ws")
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url, proxy=None)
        assert refused.value.response.status_code == 403


async def test_the_first_sync_may_be_asked_for_twice(jupyter: Jupyter, here: Path, join: Opener) -> None:
    """A front end whose Retry button was pressed connects the document it has again."""
    (here / "a.txt").write_text("once")
    peer = await join(jupyter, f"{here.name}/a.txt")
    peer.type(" more")
    await peer.close()
    await peer.ask()
    peer.connect()
    await peer.ready()
    other = await join(jupyter, f"{here.name}/a.txt", token="bob")
    assert peer.text == other.text == "once more"
    assert isinstance(peer.doc.get("source", type=Text), Text)
