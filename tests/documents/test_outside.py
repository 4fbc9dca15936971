"""What happens to a file outside: it is merged as one more author's edit, and nobody loses a character."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from awaiting import PATIENCE

from .conftest import Opener, Starter
from .examples import as_nbformat, code, markdown, notebook
from .peer import Peer, until
from .process import Jupyter

REFUSING = """
import pathlib
from jupyter_rtc.wire import ProtocolError
from jupyter_rtc.relay.room import Room

merge = Room.merge

def refusing(self, update, author):
    '''Refuse every update of the server's own while there is a file of this name: at once, or when it is applied.'''
    if pathlib.Path({gate!r}).exists():
        if {applied!r}:
            self.doc.apply_update(update)
        raise ProtocolError("not today")
    return merge(self, update, author)

Room.merge = refusing
"""

MOMENTS = ["write before", "replace before", "write opening", "replace opening", "replace during", "replace after"]
"""How a program comes in between when the server writes a file, and when it does."""


def plainly(file: Path, content: str) -> None:
    """Write a file in place, as most programs do."""
    file.write_text(content)


def by_renaming(file: Path, content: str) -> None:
    """Replace a file by another, as git and many editors do."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(content)
    new.replace(file)


def quietly(file: Path, content: str) -> None:
    """Write a file of the same size in place, and put back the time of its last modification."""
    before = file.stat()
    file.write_text(content)
    assert file.stat().st_size == before.st_size
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def tokens(text: str) -> list[str]:
    """Return the words of a text, in order of the alphabet: each stands for one edit."""
    return sorted(text.split())


def on_disk(file: Path) -> dict[str, Any]:
    """Return the notebook in a file; an empty dict while it is being written."""
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except json.JSONDecodeError:
        return {}
    return content


def said(file: Path) -> str:
    """Return what all cells in a notebook file say."""
    return "\n".join("".join(cell["source"]) for cell in on_disk(file).get("cells", []))


@pytest.mark.parametrize("applied", [False, True], ids=["refused", "half-way"])
@pytest.mark.parametrize("typed", ["before", "after"])
async def test_an_edit_that_could_not_be_merged_is_found_again_and_not_saved_over(
    start: Starter, join: Opener, tmp_path: Path, typed: str, applied: bool
) -> None:
    gate = tmp_path / "refusing"
    server = start(REFUSING.format(gate=str(gate), applied=applied))
    file = server.root / "a.txt"
    file.write_text("one\n")
    peer = await join(server, "a.txt")
    peer.show(autosave=False)
    if typed == "before":
        peer.type("typed\n")
    gate.touch()
    file.write_text("outside\none\n")
    await until(lambda: "cannot be merged: not today" in str(peer.state.get("trouble")), lambda: peer.state)
    if typed == "after":
        peer.type("typed\n")
    for _ in range(2):
        assert await peer.save() == "failed"
        assert file.read_text() == "outside\none\n"
    gate.unlink()
    assert await peer.save() == "success"
    assert file.read_text() == peer.text == "outside\none\ntyped\n"
    assert peer.state.get("trouble") is None
    await peer.close()
    server.kill()
    server.start()
    assert (await join(server, "a.txt")).text == "outside\none\ntyped\n"


class TestNoticed:
    @pytest.mark.parametrize("write", [plainly, by_renaming])
    async def test_an_edit_reaches_everybody(
        self, jupyter: Jupyter, here: Path, join: Opener, write: Callable[[Path, str], None]
    ) -> None:
        (here / "a.txt").write_text("one\ntwo\n")
        (here / "a.ipynb").write_text(as_nbformat(notebook(code("one"), code("two"))))
        texts = [await join(jupyter, f"{here.name}/a.txt", token=token) for token in ("ada", "bob")]
        notes = [await join(jupyter, f"{here.name}/a.ipynb", token=token) for token in ("ada", "bob")]
        for number in range(3):
            write(here / "a.txt", f"one\ntwo\nthree {number}\n")
            cells = notebook(code("one"), markdown(f"new {number}", id="new"), code("two!", id="cell-1"))
            write(here / "a.ipynb", as_nbformat(cells))
            text, sources = f"one\ntwo\nthree {number}\n", ["one", f"new {number}", "two!"]
            await until(lambda text=text: all(peer.text == text for peer in texts))
            await until(lambda sources=sources: all(peer.sources == sources for peer in notes))
        assert texts[0].state["dirty"] is False
        _, model = await jupyter.ask("GET", f"api/contents/{here.name}/a.txt?content=0&hash=1")
        await until(lambda: texts[0].state["hash"] == model["hash"])

    async def test_through_a_symbolic_link(self, start: Starter, join: Opener) -> None:
        """Without polling: the notification says where the file is, not by which name it was opened."""
        server = start("c.Documents.poll_interval = 0")
        (server.root / "real").mkdir()
        (server.root / "real" / "a.txt").write_text("a")
        (server.root / "folder").symlink_to("real")
        (server.root / "link.txt").symlink_to("real/a.txt")
        peers = [await join(server, "folder/a.txt"), await join(server, "link.txt")]
        (server.root / "real" / "a.txt").write_text("b")
        for peer in peers:
            await until(lambda peer=peer: peer.text == "b")
        # And what one of them types reaches the other by way of the file.
        peers[0].type("c")
        await until(lambda: peers[1].text == "bc")
        # Each opening and closing of a document sets the watching up anew; none of it is forgotten.
        await server.move("link.txt", "other.txt")
        (server.root / "real" / "a.txt").write_text("d")
        for peer in peers:
            await until(lambda peer=peer: peer.text == "d")

    async def test_the_same_content_is_no_edit(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("a")
        peer = await join(jupyter, f"{here.name}/a.txt")
        other = await join(jupyter, f"{here.name}/a.txt", token="bob")
        frames = len(other.frames)
        by_renaming(here / "a.txt", "a")  # without a moment in which it is empty
        peer.type("b")
        await until(lambda: (here / "a.txt").read_text() == "ab")
        await until(lambda: peer.state["dirty"] is False)
        assert peer.text == "ab"
        assert len(other.frames) - frames < 4

    async def test_a_file_that_is_older_than_the_one_before(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        """As a copy from a backup is, and what is unpacked."""
        file = here / "a.txt"
        file.write_text("one\n")
        peer = await join(jupyter, f"{here.name}/a.txt")
        new = here / "new"
        new.write_text("older\none\n")
        os.utime(new, (1e9, 1e9))
        new.rename(file)
        await until(lambda: peer.text == "older\none\n", lambda: peer.text)
        peer.type("typed\n")
        assert await peer.save() == "success"
        assert file.read_text() == peer.text

    async def test_a_program_that_puts_back_the_time_of_the_file(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        """As ``touch -r``, rsync and unpackers do: neither time nor size of the file say that it is another."""
        file = here / "a.txt"
        file.write_text("one\ntwo\n")
        peer = await join(jupyter, f"{here.name}/a.txt")
        quietly(file, "ONE\ntwo\n")
        await until(lambda: peer.text == "ONE\ntwo\n", lambda: peer.text)


class TestMerged:
    @pytest.mark.parametrize("write", [plainly, by_renaming])
    async def test_typed_and_outside_at_once(
        self, jupyter: Jupyter, here: Path, join: Opener, write: Callable[[Path, str], None]
    ) -> None:
        (here / "a.txt").write_text("one\ntwo\nthree\n")
        ada, bob = await join(jupyter, f"{here.name}/a.txt"), await join(jupyter, f"{here.name}/a.txt", token="bob")
        ada.source.insert(0, "ada\n")
        bob.type("bob\n")
        write(here / "a.txt", "one\ntwo outside\nthree\n")
        expected = "ada\none\ntwo outside\nthree\nbob\n"
        await until(lambda: ada.text == bob.text == expected, lambda: ada.text)
        await until(lambda: (here / "a.txt").read_text() == expected)

    async def test_the_same_line_on_both_sides(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("line\n")
        ada = await join(jupyter, f"{here.name}/a.txt")
        ada.source.insert(4, " ada")
        (here / "a.txt").write_text("line outside\n")
        await until(lambda: tokens(ada.text) == ["ada", "line", "outside"], lambda: ada.text)
        await until(lambda: (here / "a.txt").read_text() == ada.text)

    async def test_while_everybody_types(self, start: Starter, join: Opener) -> None:
        """Numbered tokens: each arrives once, whoever wrote it, in the file and with everybody."""
        server = start(LOCKING)
        file = server.root / "a.txt"
        file.write_text("begin\n")
        peers = [await join(server, "a.txt", token=token) for token in ("ada", "bob")]
        written = ["begin"]
        for number in range(60):
            for peer in peers:
                token = f"{peer.token}{number}"
                peer.type(f"{token}\n")
                written.append(token)
            if number % 6 == 3:
                token = f"outside{number}"
                with locked(file):
                    file.write_text(f"{token}\n{file.read_text()}")
                written.append(token)
            await asyncio.sleep(0.03)
        await until(
            lambda: all(tokens(text) == sorted(written) for text in (peers[0].text, peers[1].text, file.read_text())),
            lambda: [set(tokens(text)) ^ set(written) for text in (peers[0].text, peers[1].text, file.read_text())],
            PATIENCE,
        )

    async def test_a_notebook_while_everybody_types(self, start: Starter, join: Opener) -> None:
        server = start(LOCKING)
        file = server.root / "a.ipynb"
        file.write_text(as_nbformat(notebook(code(""), code(""), code(""))))
        peers = [await join(server, "a.ipynb", token=token) for token in ("ada", "bob")]
        written: list[str] = []
        for number in range(40):
            for at, peer in enumerate(peers):
                token = f"{peer.token}{number}"
                peer.type(f"{token}\n", at)
                written.append(token)
            if number % 8 == 3:
                token = f"outside{number}"
                with locked(file):
                    content = on_disk(file)
                    content["cells"][2]["source"] = ["".join(content["cells"][2]["source"]) + f"{token}\n"]
                    by_renaming(file, json.dumps(content, indent=1))
                written.append(token)
            await asyncio.sleep(0.03)

        await until(
            lambda: all(tokens(text) == sorted(written) for text in (*map(joined, peers), said(file))),
            lambda: [set(tokens(joined(peer))) ^ set(written) for peer in peers],
            PATIENCE,
        )

    @pytest.mark.parametrize("moment", MOMENTS)
    async def test_a_program_that_writes_at_the_last_moment(self, start: Starter, join: Opener, moment: str) -> None:
        """Between the server's last look at a file and the end of its writing: what both wrote survives."""
        server = start(OVERTAKING)
        file = server.root / "a.txt"
        file.write_text("begin\n")
        peer = await join(server, "a.txt")
        (server.root / "a.txt.overtake").write_text(moment)
        peer.type("typed\n")
        assert await peer.save() == "success"
        expected = "outside begin\ntyped\n"
        await until(lambda: peer.text == file.read_text() == expected, lambda: (peer.text, file.read_text()))
        assert not (server.root / "a.txt.overtake").exists()

    @pytest.mark.parametrize("moment", ["remove before", "remove opening"])
    async def test_a_program_that_removes_a_file_at_the_last_moment(
        self, start: Starter, join: Opener, moment: str
    ) -> None:
        """Not even an empty one is made again; Ctrl+S writes it, as after any removal."""
        server = start(OVERTAKING)
        file = server.root / "a.txt"
        file.write_text("begin\n")
        peer = await join(server, "a.txt")
        (server.root / "a.txt.overtake").write_text(moment)
        peer.type("typed\n")
        await until(lambda: "does not exist any more" in peer.state.get("trouble", ""), lambda: peer.state)
        assert list(server.root.iterdir()) == []
        assert await peer.save() == "success"
        assert file.read_text() == "begin\ntyped\n"

    @pytest.mark.parametrize("moment", MOMENTS[:-1])
    async def test_a_program_that_writes_much_the_same_at_the_last_moment(
        self, start: Starter, join: Opener, moment: str
    ) -> None:
        """It cannot have begun from what the server was about to write, much as what it wrote looks like it."""
        server = start(OVERTAKING.replace('.replace("begin", "outside begin")', ' + "import sys\\n"'))
        file = server.root / "a.txt"
        file.write_text("begin\n")
        peer = await join(server, "a.txt")
        (server.root / "a.txt.overtake").write_text(moment)
        peer.type("import os\n")
        assert await peer.save() == "success"
        await until(lambda: "sys" in peer.text and peer.text == file.read_text(), lambda: peer.text)
        assert sorted(peer.text.split()) == ["begin", "import", "import", "os", "sys"]

    @pytest.mark.parametrize("moment", ["replace before", "replace opening", "replace during"])
    async def test_a_program_that_replaces_a_notebook_at_the_last_moment(
        self, start: Starter, join: Opener, moment: str
    ) -> None:
        server = start(OVERTAKING)
        file = server.root / "a.ipynb"
        file.write_text(as_nbformat(notebook(code("begin"), code("two"))))
        peer = await join(server, "a.ipynb")
        (server.root / "a.ipynb.overtake").write_text(moment)
        peer.type(" typed", 1)
        assert await peer.save() == "success"
        await until(lambda: peer.sources == ["outside begin", "two typed"], lambda: peer.sources)
        await until(lambda: said(file) == "outside begin\ntwo typed", lambda: said(file))

    @pytest.mark.parametrize("times", [1, 2, 9])
    async def test_who_types_while_an_outside_edit_is_stored(
        self, start: Starter, join: Opener, tmp_path: Path, times: int
    ) -> None:
        """The program deletes a cell, and somebody types into it, once or again and again, until that is merged."""
        held = tmp_path / "held"
        held.mkdir()
        server = start(f"HELD = {str(held)!r}\nc.Documents.save_delay = c.Documents.max_save_delay = 5\n{HOLDING}")
        file = server.root / "a.ipynb"
        file.write_text(as_nbformat(notebook(code("one"), code("two"))))
        ada, bob = [await join(server, "a.ipynb", token=token) for token in ("ada", "bob")]
        (held / "on").touch()
        by_renaming(file, as_nbformat(notebook(code("one, outside"))))
        expected = "two"
        for number in range(1, times + 1):
            await until(lambda number=number: (held / str(number)).exists() or ada.sources[0] != "one")
            expected += f" {number}"
            bob.type(f" {number}", 1)
            await until(lambda expected=expected: ada.sources[1:] == [expected], lambda: ada.sources)
            (held / str(number)).unlink(missing_ok=True)
        (held / "on").unlink()
        both = ["one, outside", expected]
        await until(lambda: ada.sources == bob.sources == both, lambda: (ada.sources, bob.sources))
        await until(lambda: said(file) == "\n".join(both), lambda: said(file))

    @pytest.mark.parametrize("moment", ["quietly before", "quietly opening"])
    async def test_a_program_that_hides_what_it_writes_at_the_last_moment(
        self, start: Starter, join: Opener, moment: str
    ) -> None:
        """Size and time stay as they were: only the content says that there is something to merge."""
        server = start(OVERTAKING.replace("outside begin", "begun"))
        file = server.root / "a.txt"
        file.write_text("begin\n")
        peer = await join(server, "a.txt")
        (server.root / "a.txt.overtake").write_text(moment)
        peer.type("typed\n")
        assert await peer.save() == "success"
        await until(lambda: peer.text == file.read_text() == "begun\ntyped\n", lambda: (peer.text, file.read_text()))

    async def test_a_notebook_of_another_version(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        """A tool of former times writes nbformat 3, which says the same in another way, and has no cell ids."""
        file = here / "a.ipynb"
        file.write_text(as_nbformat(notebook(code("one"), code("two"))))
        peer = await join(jupyter, f"{here.name}/a.ipynb")
        peer.type(" typed", 1)
        old = {"cell_type": "code", "language": "python", "collapsed": False, "metadata": {}, "outputs": []}
        cells = [{**old, "input": ["one outside"]}, {**old, "input": ["two"]}]
        worksheets = [{"metadata": {}, "cells": cells}]
        head = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": "a"}}
        by_renaming(file, json.dumps({**head, "worksheets": worksheets}))
        await until(lambda: peer.sources == ["one outside", "two typed"], lambda: peer.sources)
        await until(lambda: said(file) == "one outside\ntwo typed", lambda: file.read_text())
        assert on_disk(file)["nbformat"] == 4

    async def test_git_checkout(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        def git(*arguments: str) -> None:
            who = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=main")
            subprocess.run(["git", *who, *arguments], cwd=here, check=True, capture_output=True)

        (here / "a.txt").write_text("one\ntwo\nthree\n")
        git("init")
        git("add", ".")
        git("commit", "-m", "1")
        git("checkout", "-b", "other")
        (here / "a.txt").write_text("one\ntwo\nthree\nfour\n")
        git("commit", "-am", "2")
        peer = await join(jupyter, f"{here.name}/a.txt")
        git("checkout", "main")
        await until(lambda: peer.text == "one\ntwo\nthree\n")
        peer.source.insert(0, "typed\n")
        git("checkout", "other")
        await until(lambda: peer.text == "typed\none\ntwo\nthree\nfour\n")
        await until(lambda: (here / "a.txt").read_text() == peer.text)


OVERTAKING = '''
import os
from contextlib import contextmanager
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager


class OvertakenManager(AsyncLargeFileManager):
    """Plays the program too: it reads the file before the server writes it, and writes it at the moment given, once."""

    @contextmanager
    def atomic_writing(self, os_path, *args, **options):
        how = moment = text = ""
        if os.path.exists(os_path + ".overtake"):
            with open(os_path + ".overtake") as order:
                how, moment = order.read().split()
            os.remove(os_path + ".overtake")
            with open(os_path) as file:
                text = file.read().replace("begin", "outside begin")
        if moment == "before":
            self.overtake(how, os_path, text)
        elif moment == "opening":  # the copy is made, and the file not yet opened
            given = options.get("opener", os.open)

            def opener(name, flags):
                self.overtake(how, os_path, text)
                return given(name, flags)

            options["opener"] = opener
        with super().atomic_writing(os_path, *args, **options) as file:
            if moment == "during":
                self.overtake(how, os_path, text)
            yield file
        if moment == "after":  # it began from what the server has just written, and does not know of yet
            with open(os_path) as file:
                self.overtake(how, os_path, file.read().replace("begin", "outside begin"))

    def overtake(self, how, os_path, text):
        if how == "remove":
            os.remove(os_path)
            return
        before = os.stat(os_path)
        path = os_path + ".new" if how == "replace" else os_path
        with open(path, "w") as file:
            file.write(text)
        if how == "replace":
            os.replace(path, os_path)
        if how == "quietly":
            os.utime(os_path, ns=(before.st_atime_ns, before.st_mtime_ns))


c.ServerApp.contents_manager_class = OvertakenManager
'''

HOLDING = '''
import asyncio
import itertools
import os
from jupyter_rtc.relay import SQLiteStore


class HeldStore(SQLiteStore):
    """Is not durable before somebody has taken away the file that says, by its number, which time it is."""

    numbers = itertools.count(1)

    async def flush(self):
        if os.path.exists(os.path.join(HELD, "on")):
            path = os.path.join(HELD, str(next(self.numbers)))
            open(path, "w").close()
            while os.path.exists(path):
                await asyncio.sleep(0.01)
        await super().flush()


c.Relay.store_class = HeldStore
'''

LOCKING = '''
import fcntl
from contextlib import contextmanager
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager


class LockingManager(AsyncLargeFileManager):
    """Writes under a lock, which the program takes too: it reads and writes between the server's saves, not in one."""

    @contextmanager
    def atomic_writing(self, os_path, *args, **options):
        with open(os_path + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with super().atomic_writing(os_path, *args, **options) as file:
                yield file


c.ServerApp.contents_manager_class = LockingManager
'''


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Keep the server from writing a file, on one that was started with `LOCKING`."""
    with open(f"{file}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def joined(peer: Peer) -> str:
    """Return what all cells say."""
    return "\n".join(peer.sources)


class TestDeleted:
    async def test_it_is_not_made_again_under_somebodys_feet(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file = here / "a.txt"
        file.write_text("a")
        peer = await join(jupyter, f"{here.name}/a.txt")
        file.unlink()
        await until(lambda: f"room {peer.room}: the file is not up to date" in jupyter.log())
        peer.type("b")
        await join_again(peer)
        await asyncio.sleep(0.5)  # longer than `save_delay`: it would have been made again by now
        assert os.listdir(here) == []
        assert peer.text == "ab"
        assert await peer.save() == "success"
        assert file.read_text() == "ab"
        peer.type("c")
        await until(lambda: file.read_text() == "abc")

    async def test_one_that_was_emptied(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        """It may be about to be written, or meant so: that is for people to say."""
        file = here / "a.ipynb"
        file.write_text(as_nbformat(notebook(code("one"))))
        peer = await join(jupyter, f"{here.name}/a.ipynb")
        file.write_text("")
        peer.type(" two", 0)
        await until(lambda: f"room {peer.room}: the file is not up to date" in jupyter.log())
        assert file.read_text() == ""
        assert await peer.save() == "success"
        assert "".join(json.loads(file.read_text())["cells"][0]["source"]) == "one two"
        peer.type(" three", 0)
        await until(lambda: "three" in file.read_text())

    async def test_through_jupyter(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file = here / "a.txt"
        file.write_text("a")
        ada, bob = await join(jupyter, f"{here.name}/a.txt"), await join(jupyter, f"{here.name}/a.txt", token="bob")
        status, _ = await jupyter.ask("DELETE", f"api/contents/{here.name}/a.txt")
        assert status == 204
        ada.type("b")
        await join_again(bob)
        assert not file.exists()
        assert await bob.save() == "success"
        assert file.read_text() == "ab"
        # Who opens it now, by its path, comes into the same document.
        eve = await join(jupyter, f"{here.name}/a.txt")
        assert (eve.room, eve.text) == (ada.room, "ab")
        eve.type("c")
        await until(lambda: ada.text == bob.text == file.read_text() == "abc")

    async def test_another_file_in_its_place(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file = here / "a.txt"
        file.write_text("old\n")
        peer = await join(jupyter, f"{here.name}/a.txt")
        file.unlink()
        await until(lambda: not file.exists())
        file.write_text("new\n")
        await until(lambda: peer.text == "new\n")


async def join_again(peer: Peer) -> Peer:
    """Let a client lose its connection, and come back."""
    await peer.close()
    peer.connect()
    return await peer.ready()


class TestMoved:
    async def test_a_file(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("a")
        ada, bob = await join(jupyter, f"{here.name}/a.txt"), await join(jupyter, f"{here.name}/a.txt", token="bob")
        ada.type("b")
        await jupyter.move(f"{here.name}/a.txt", f"{here.name}/b.txt")
        bob.type("c")
        for peer in (ada, bob):
            await until(lambda peer=peer: peer.state["path"] == f"{here.name}/b.txt")
        await until(lambda: (here / "b.txt").read_text() == ada.text)
        assert tokens(" ".join(ada.text)) == ["a", "b", "c"]
        assert not (here / "a.txt").exists()
        (here / "b.txt").write_text("outside")
        await until(lambda: ada.text == bob.text == "outside")
        again = await join(jupyter, f"{here.name}/b.txt")
        assert again.room == ada.room
        assert not ada.closes

    async def test_a_folder(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "one" / "two").mkdir(parents=True)
        (here / "one" / "two" / "a.txt").write_text("a")
        (here / "oneself.txt").write_text("other")
        peer = await join(jupyter, f"{here.name}/one/two/a.txt")
        other = await join(jupyter, f"{here.name}/oneself.txt")
        await jupyter.move(f"{here.name}/one", f"{here.name}/three")
        await until(lambda: peer.state["path"] == f"{here.name}/three/two/a.txt")
        peer.type("b")
        other.type("!")
        assert await peer.save() == "success"
        assert (here / "three" / "two" / "a.txt").read_text() == "ab"
        assert other.state["path"] == f"{here.name}/oneself.txt"
        assert not (here / "one").exists()
        assert (await join(jupyter, f"{here.name}/three/two/a.txt")).room == peer.room
        (here / "three" / "two" / "a.txt").write_text("outside")
        await until(lambda: peer.text == "outside")

    async def test_outside_where_the_ids_follow_the_file(self, start: Starter, join: Opener) -> None:
        server = start("c.FileIdExtension.file_id_manager_class = 'jupyter_server_fileid.manager.LocalFileIdManager'")
        (server.root / "folder").mkdir()
        (server.root / "a.txt").write_text("a")
        peer = await join(server, "a.txt")
        (server.root / "a.txt").rename(server.root / "folder" / "b.txt")
        peer.type("b")
        await until(lambda: peer.state["path"] == "folder/b.txt")
        await until(lambda: (server.root / "folder" / "b.txt").read_text() == "ab")
        assert os.listdir(server.root) == ["folder"]


class TestTwoViews:
    async def test_they_merge_each_others_saves(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file = here / "a.ipynb"
        file.write_text(as_nbformat(notebook(code("one"), code("two"))))
        note = await join(jupyter, f"{here.name}/a.ipynb")
        text = await join(jupyter, f"{here.name}/a.ipynb", "file", "text", "bob")
        note.type(" typed", 0)
        await until(lambda: "one typed" in text.text)
        text.source.insert(text.text.encode().index(b"two") + 3, " by hand")
        await until(lambda: note.sources == ["one typed", "two by hand"])
        note.type("!", 0)
        await until(lambda: text.text == file.read_text() and "one typed!" in text.text)
        assert text.text.count("by hand") == file.read_text().count("typed") == 1

    async def test_both_at_once(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file = here / "a.ipynb"
        file.write_text(as_nbformat(notebook(code("one"), code("two"))))
        note = await join(jupyter, f"{here.name}/a.ipynb")
        text = await join(jupyter, f"{here.name}/a.ipynb", "file", "text", "bob")
        for number in range(12):
            note.type(f" note{number}", 0)
            text.source.insert(text.text.encode().index(b"two") + 3, f" text{number}")
            await asyncio.sleep(0.1)
        expected = sorted(["one", "two", *(f"{who}{number}" for who in ("note", "text") for number in range(12))])
        shown = lambda: (note.sources, text.text, file.read_text())  # noqa: E731
        await until(lambda: tokens(joined(note)) == expected, shown, PATIENCE)
        await until(lambda: tokens(said(file)) == expected and text.text == file.read_text(), shown, PATIENCE)
