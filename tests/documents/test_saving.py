"""Saving: soon, in time, on request; and a save that cannot be made is said, tried again, and loses nothing."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from .conftest import Opener, Starter
from .disks import as_root, read_only, small_disk_at
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter


@pytest.fixture
def small_disk(here: Path) -> Iterator[Path]:
    """Return a folder of the server's that is a disk of 256 KiB."""
    with small_disk_at(here / "disk", "256k") as folder:
        yield folder


def stamp(file: Path) -> tuple[int, ...]:
    """Return what a write of a file changes; that it was read does not."""
    stat = file.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


class TestAutosave:
    async def test_a_moment_after_an_edit(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("")
        (here / "a.ipynb").write_text(as_nbformat(notebook(code(""))))
        text, note = await join(jupyter, f"{here.name}/a.txt"), await join(jupyter, f"{here.name}/a.ipynb")
        text.type("typed")
        note.type("typed", 0)
        await until(lambda: (here / "a.txt").read_text() == "typed")
        await until(lambda: "typed" in (here / "a.ipynb").read_text())

    async def test_who_types_without_a_pause_is_on_disk_all_along(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        (here / "a.txt").write_text("")
        peer = await join(jupyter, f"{here.name}/a.txt")

        def typed_and_saved(size: int) -> bool:
            peer.type("x")  # a key every 10 ms, where the server waits for 200 ms of silence
            return (here / "a.txt").stat().st_size > size

        for _ in range(3):
            size = (here / "a.txt").stat().st_size
            await until(lambda size=size: typed_and_saved(size))

    async def test_what_the_document_says_of_itself(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("a")
        ada, bob = await join(jupyter, f"{here.name}/a.txt"), await join(jupyter, f"{here.name}/a.txt", token="bob")
        assert ada.state["hash"] == sha256(b"a").hexdigest()
        ada.type("b")
        ada.state_map["dirty"] = True
        await until(lambda: bob.state["dirty"] is False and bob.text == "ab" and (here / "a.txt").read_text() == "ab")
        await until(lambda: bob.state["hash"] == sha256(b"ab").hexdigest())
        assert bob.state["path"] == f"{here.name}/a.txt"
        assert bob.state["document_id"] == bob.room
        _, model = await jupyter.ask("GET", f"api/contents/{here.name}/a.txt?content=0&hash=1")
        assert model["hash"] == bob.state["hash"]

    async def test_bookkeeping_is_no_edit(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.ipynb").write_text(as_nbformat(notebook(code("x"))))
        before = stamp(here / "a.ipynb")
        peer = await join(jupyter, f"{here.name}/a.ipynb")
        peer.state_map["own"] = 1
        peer.cells[0]["execution_state"] = "running"
        assert await peer.save() == "success"
        assert stamp(here / "a.ipynb") == before

    async def test_it_is_off_where_everybody_says_so(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        for name in ("off.txt", "on.txt", "some.txt"):
            (here / name).write_text("a")
        off, on, some = [await join(jupyter, f"{here.name}/{name}.txt") for name in ("off", "on", "some")]
        other = await join(jupyter, f"{here.name}/some.txt", token="bob")
        for peer in (off, some):
            peer.show(autosave=False)
        other.show(autosave=True)
        for peer in (off, some, on):
            peer.type("b")
        for name in ("on.txt", "some.txt"):
            await until(lambda name=name: (here / name).read_text() == "ab")
        assert (here / "off.txt").read_text() == "a"
        assert await off.save() == "success"
        assert (here / "off.txt").read_text() == "ab"

    async def test_where_it_is_off_leaving_saves_nothing_and_loses_nothing(self, start: Starter, join: Opener) -> None:
        server = start("c.Relay.eviction_delay = 0.2")
        (server.root / "a.txt").write_text("a")
        peer = await join(server, "a.txt")
        peer.show(autosave=False)
        peer.type("b")
        # The server has it all once it answers to what came after it.
        other = await join(server, "a.txt", token="bob")
        assert other.text == "ab"
        await other.close()
        await peer.close()
        await until(lambda: f"room {peer.room}: evicted" in server.log())
        assert (server.root / "a.txt").read_text() == "a"
        again = await join(server, "a.txt")
        again.show(autosave=False)
        assert again.text == "ab"
        assert await again.save() == "success"
        assert (server.root / "a.txt").read_text() == "ab"


class TestRequest:
    async def test_success_means_that_it_is_on_disk(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("")
        (here / "a.ipynb").write_text(as_nbformat(notebook(code("x"))))
        text, note = await join(jupyter, f"{here.name}/a.txt"), await join(jupyter, f"{here.name}/a.ipynb")
        for number in range(15):
            text.type(f"{number} ")
            note.type(f"{number} ", 0)
            answers = [text.begin_save(), note.begin_save()]
            assert await answers[0] == "success"
            assert (here / "a.txt").read_text() == text.text
            assert await answers[1] == "success"
            cells = json.loads((here / "a.ipynb").read_text())["cells"]
            assert ["".join(cell["source"]) for cell in cells] == note.sources

    async def test_every_request_is_answered(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("")
        peers = [await join(jupyter, f"{here.name}/a.txt", token=token) for token in ("ada", "bob")]
        answers = []
        for number in range(20):
            peers[number % 2].type("x")
            answers.append(peers[number % 2].begin_save())
        assert set(await asyncio.wait_for(asyncio.gather(*answers), 20)) == {"success"}
        assert (here / "a.txt").read_text() == "x" * 20

    async def test_who_asks_again_and_again_keeps_nobody_waiting(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        """As who holds Ctrl+S down does. One after the other, these would take minutes; who waits shares a save."""
        (here / "a.ipynb").write_text(as_nbformat(notebook(*[code("x" * 1000) for _ in range(1000)])))
        ada, bob = await join(jupyter, f"{here.name}/a.ipynb"), await join(jupyter, f"{here.name}/a.ipynb", token="bob")
        answers = [ada.begin_save() for _ in range(5000)]
        bob.type("bob's", 0)
        assert await bob.save() == "success"
        assert "bob's" in (here / "a.ipynb").read_text()
        assert set(await asyncio.wait_for(asyncio.gather(*answers), 20)) == {"success"}

    async def test_a_request_of_another_name_harms_nobody(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("a")
        peer = await join(jupyter, f"{here.name}/a.txt")
        peer.send(b"\x02\x04dele\x01")
        peer.type("b")
        assert await peer.save() == "success"
        assert not peer.closes


def content(file: Path) -> bytes:
    """Return what a file holds; nothing if there is none."""
    return file.read_bytes() if file.exists() else b""


async def not_saved(peer: Peer, file: Path, before: bytes) -> None:
    """Hold the server to this: it says that nothing was saved, goes on serving, and the file is as it was."""
    assert await peer.save() == "failed"
    assert not peer.closes
    assert content(file) == before


class TestTrouble:
    async def test_a_read_only_file(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file = here / "a.txt"
        file.write_text("a")
        peer = await join(jupyter, f"{here.name}/a.txt")
        with read_only(file):
            peer.type("b")
            await not_saved(peer, file, b"a")
        assert await peer.save() == "success"
        assert file.read_text() == "ab"

    async def test_a_folder_that_is_gone(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        folder = here / "folder"
        folder.mkdir()
        (folder / "a.txt").write_text("a")
        peer = await join(jupyter, f"{here.name}/folder/a.txt")
        shutil.rmtree(folder)
        peer.type("b")
        await not_saved(peer, folder / "a.txt", b"")
        assert os.listdir(here) == []
        folder.mkdir()
        assert await peer.save() == "success"
        assert (folder / "a.txt").read_text() == "ab"

    @as_root
    async def test_a_full_disk(self, jupyter: Jupyter, small_disk: Path, here: Path, join: Opener) -> None:
        line = "0123456789abcde\n"
        (small_disk / "a.txt").write_text(line)
        (small_disk / "a.ipynb").write_text(as_nbformat(notebook(code("x"))))
        before = (small_disk / "a.ipynb").read_bytes()
        text = await join(jupyter, f"{here.name}/disk/a.txt")
        note = await join(jupyter, f"{here.name}/disk/a.ipynb")
        (small_disk / "big").write_bytes(bytes(230_000))
        text.type(line * 3_000)
        note.type(line * 3_000, 0)
        await not_saved(text, small_disk / "a.txt", line.encode())
        await not_saved(note, small_disk / "a.ipynb", before)
        text.type("last")
        (small_disk / "big").unlink()
        assert text.text == line * 3_001 + "last"
        # Nobody has to ask: the server tries again by itself.
        await until(lambda: (small_disk / "a.txt").read_text() == text.text)
        assert await note.save() == "success"
        assert "".join(json.loads((small_disk / "a.ipynb").read_text())["cells"][0]["source"]) == note.sources[0]
        assert sorted(os.listdir(small_disk)) == [".ipynb_checkpoints", "a.ipynb", "a.txt"]

    async def test_a_write_that_is_cut_short(self, start: Starter, join: Opener) -> None:
        """The system refuses to write more than a part; without atomic writing, that part is all that is left."""
        server = start("c.AsyncLargeFileManager.use_atomic_writing = False")
        (server.root / "a.txt").write_text("begin\n")
        (server.root / "a.ipynb").write_text(as_nbformat(notebook(code("begin"))))
        peers = [await join(server, "a.txt"), await join(server, "a.ipynb")]
        text, note = peers
        limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (400_000, limits[1]))
        text.type("0123456789" * 50_000)
        note.type("0123456789" * 50_000, 0)
        assert [await peer.save() for peer in peers] == ["failed", "failed"]
        text.type("end")
        note.type("end", 0)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)
        assert [await peer.save() for peer in peers] == ["success", "success"]
        expected = "0123456789" * 50_000 + "end"
        assert (server.root / "a.txt").read_text() == text.text == "begin\n" + expected
        cell = json.loads((server.root / "a.ipynb").read_text())["cells"][0]
        assert "".join(cell["source"]) == note.sources[0] == "begin" + expected

    async def test_a_hook_that_fails_after_the_save(self, start: Starter, join: Opener) -> None:
        """The bytes are on disk then, and must not be taken for somebody else's."""
        server = start(FAILING)
        (server.root / "a.txt").write_text("a")
        (server.root / "fail").touch()
        peer = await join(server, "a.txt")
        peer.type("b")
        assert await peer.save() == "success"
        assert (server.root / "a.txt").read_text() == "ab"
        peer.type("c")
        assert await peer.save() == "success"
        (server.root / "fail").unlink()
        peer.type("d")
        assert await peer.save() == "success"
        assert (server.root / "a.txt").read_text() == peer.text == "abcd"


FAILING = '''
from pathlib import Path


def after(os_path, **_):
    """Fail as long as there is a file that says so."""
    if Path(os_path).with_name("fail").exists():
        raise RuntimeError("the hook fails")


c.FileContentsManager.post_save_hook = after
'''


class TestReader:
    async def test_what_a_reader_types_reaches_nobody_and_no_disk(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        (here / "a.txt").write_text("a")
        before = stamp(here / "a.txt")
        ada = await join(jupyter, f"{here.name}/a.txt")
        rita = await join(jupyter, f"{here.name}/a.txt", token="rita")
        rita.type("forbidden")
        rita.type("!")
        assert await rita.save() == "failed"
        assert rita.told == [{"type": "conflict"}]
        ada_saved = await ada.save()
        assert ada_saved == "success"
        assert ada.text == "a"
        assert stamp(here / "a.txt") == before
        # She goes on reading.
        ada.type("b")
        await until(lambda: "b" in rita.text)
        assert (await join(jupyter, f"{here.name}/a.txt", token="bob")).text == "ab"
        assert len(rita.told) == 1

    async def test_a_reader_that_only_watches_is_told_nothing(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("a")
        rita = await join(jupyter, f"{here.name}/a.txt", token="rita")
        ada = await join(jupyter, f"{here.name}/a.txt")
        ada.type("b")
        await until(lambda: rita.text == "ab")
        del ada.source[0:1]
        await until(lambda: rita.text == "b")
        await rita.close()
        rita.connect()
        await rita.ready()
        assert await rita.save() == "failed"
        assert rita.told == []

    async def test_what_a_reader_typed_offline_is_no_edit_either(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        (here / "a.txt").write_text("a")
        ada = await join(jupyter, f"{here.name}/a.txt")
        rita = await join(jupyter, f"{here.name}/a.txt", token="rita")
        await rita.close()
        rita.type("forbidden")
        rita.connect()
        await rita.ready()
        await until(lambda: rita.told)
        assert await ada.save() == "success"
        assert ada.text == (here / "a.txt").read_text() == "a"

    async def test_what_a_readers_front_end_writes_by_itself_is_told_to_nobody(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        (here / "a.txt").write_text("a")
        await join(jupyter, f"{here.name}/a.txt")
        rita = await join(jupyter, f"{here.name}/a.txt", token="rita")
        rita.state_map["language_info"] = {"name": "python"}
        rita.state_map["language_info"] = {"name": "python", "version": "3"}
        await rita.close()
        rita.connect()
        await rita.ready()
        assert await rita.save() == "failed"  # so that everything before was looked at
        assert rita.told == []
        del rita.source[0:1]
        await until(lambda: rita.told == [{"type": "conflict"}])
