"""The server ends and begins again, a room is dropped and loaded again: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .lost import copies, is_logged
from .peer import Peer, until
from .process import Jupyter

NAMES = ("a.txt", "a.ipynb", "old.ipynb")


def write_files(root: Path) -> None:
    """Write a text, a notebook, and a notebook of a version that knows no cell ids."""
    (root / "a.txt").write_text("begin\n")
    (root / "a.ipynb").write_text(as_nbformat(notebook(code("begin\n"), code(""))))
    (root / "old.ipynb").write_text(as_nbformat(notebook(code("begin\n"), code(""), minor=4)))


def on_disk(file: Path) -> str:
    """Return what a file says: of a notebook, the sources of its cells; nothing while it is being written."""
    if file.suffix != ".ipynb":
        return file.read_text()
    try:
        return "\n".join("".join(cell["source"]) for cell in json.loads(file.read_text())["cells"])
    except json.JSONDecodeError:
        return ""


def said(peer: Peer, name: str) -> str:
    """Return what a client's document says."""
    return "\n".join(peer.sources) if name.endswith(".ipynb") else peer.text


class Crowd:
    """Two people in each of the three files, who type numbered words and write down which."""

    def __init__(self, jupyter: Jupyter) -> None:
        self.jupyter = jupyter
        self.peers: dict[str, list[Peer]] = {}
        self.words: dict[str, list[str]] = {name: ["begin"] for name in NAMES}
        self._number = 0

    async def join(self, join: Opener) -> None:
        """Open the three files."""
        for name in NAMES:
            self.peers[name] = [await join(self.jupyter, name, token=token) for token in ("ada", "bob")]

    async def type(self, rounds: int) -> None:
        """Type a word each, and again."""
        for _ in range(rounds):
            self._number += 1
            for name, peers in self.peers.items():
                for at, peer in enumerate(peers):
                    word = f"{peer.token}{self._number}"
                    # Both type in both cells; at the end, or (every third word) at the beginning.
                    cell = (at + self._number) % 2 if name.endswith(".ipynb") else None
                    source = peer.source if cell is None else peer.cells[cell]["source"]
                    source.insert(0 if self._number % 3 == 0 else len(source), f"{word}\n")
                    self.words[name].append(word)
            await asyncio.sleep(0.02)

    def outside(self) -> None:
        """Add a word to each file that is whole, as a program would while the server is down."""
        for name in NAMES:
            file = self.jupyter.root / name
            text = file.read_text()
            new = text.replace("begin\\n", "begin\\noutside\\n").replace("begin\n", "begin\noutside\n")
            if new != text:  # else the server was killed while it wrote this file, and there is no such line in it
                file.write_text(new)
                self.words[name].append("outside")

    async def agrees(self) -> None:
        """Wait until everybody, and every file, has each word once."""
        await until(lambda: all(peer.online for peers in self.peers.values() for peer in peers))
        await until(lambda: not self.differences(), self.differences)

    def differences(self) -> list[str]:
        """Return what is missing and what there is too much of, for each client and each file."""
        found = []
        for name, peers in self.peers.items():
            texts = [(peer.token, said(peer, name)) for peer in peers]
            texts.append(("disk", on_disk(self.jupyter.root / name)))
            for who, text in texts:
                words = text.split()
                lost = set(self.words[name]) - set(words)
                twice = {word for word in words if words.count(word) > 1}
                if lost or twice or len({said(peer, name) for peer in peers}) > 1:
                    found.append(f"{name}, {who}: lost {sorted(lost)}, twice {sorted(twice)}")
        return found


class TestKilled:
    async def test_while_two_people_type(self, start: Starter, join: Opener) -> None:
        server = start()
        write_files(server.root)
        crowd = Crowd(server)
        await crowd.join(join)
        sessions = {name: peers[0].session for name, peers in crowd.peers.items()}
        for outside in (False, True):
            await crowd.type(random.randrange(30, 60))
            server.kill()
            if outside:
                crowd.outside()
            await crowd.type(10)
            await asyncio.gather(crowd.type(10), asyncio.to_thread(server.start))
        await crowd.type(10)
        await crowd.agrees()
        for name, peers in crowd.peers.items():
            assert not any(code == 1003 for peer in peers for code, _ in peer.closes)
            _, answer = await server.session(name, "json" if name.endswith("b") else "text", peers[0].kind)
            assert answer["sessionId"] == sessions[name]

    @pytest.mark.parametrize("when", ["before", "half-way", "half-way, in place", "after"])
    async def test_in_the_middle_of_a_save(self, start: Starter, join: Opener, when: str) -> None:
        """The store knows of a save that never was, or does not know of one that was; or only a half is on disk."""
        server = start(SUICIDE + DEATHS[when])
        write_files(server.root)
        crowd = Crowd(server)
        await crowd.join(join)
        await crowd.type(5)
        await crowd.agrees()
        for name in NAMES:
            (server.root / f"{name}.kill").touch()
        await crowd.type(5)
        await until(lambda: not server.alive())
        for name in NAMES:
            (server.root / f"{name}.kill").unlink()
        if "half-way" not in when:
            crowd.outside()
        await asyncio.to_thread(server.start)
        await crowd.agrees()
        if "half-way" in when:  # then all of it was our own, and met nobody's
            assert (await server.ask("GET", "api/rtc/conflicts"))[1] == {"conflicts": []}

    async def test_in_the_middle_of_a_save_that_a_program_then_changed(self, start: Starter, join: Opener) -> None:
        """Of what the last save brought, which nobody knows of, the program takes a part away, and adds to the rest."""
        server = start(SUICIDE + DEATHS["after"])
        file = server.root / "a.txt"
        file.write_text("begin\n")
        peer = await join(server, "a.txt")
        peer.type("saved\n")
        assert await peer.save() == "success"  # nothing is being saved any more
        (server.root / "a.txt.kill").touch()
        peer.type("one of many lines\ntwo of many lines\nthree of many lines\n")
        await until(lambda: not server.alive())
        (server.root / "a.txt.kill").unlink()
        assert file.read_text() == peer.text
        expected = peer.text.replace("two of many lines\n", "outside\n")
        file.write_text(expected)
        await asyncio.to_thread(server.start)
        await until(lambda: peer.online and peer.text == expected, lambda: peer.text)
        await until(lambda: file.read_text() == expected)

    async def test_in_the_middle_of_a_save_while_somebody_types_on(self, start: Starter, join: Opener) -> None:
        """The file has most of what was typed since the last save that the store knows of, and not what came then."""
        server = start(SUICIDE + DEATHS["long after"])
        file = server.root / "a.txt"
        file.write_text("begin\n")
        peer = await join(server, "a.txt")
        (server.root / "a.txt.kill").touch()
        peer.type("one\ntwo\nthree\n")
        await until(lambda: "three" in file.read_text())
        peer.type("late\n")
        await until(lambda: is_logged(server, "late"))
        (server.root / "a.txt.kill").unlink()
        await until(lambda: not server.alive())
        await asyncio.to_thread(server.start)
        expected = "begin\none\ntwo\nthree\nlate\n"
        await until(lambda: file.read_text() == expected, file.read_text)
        await until(lambda: peer.online and peer.text == expected, lambda: peer.text)
        assert copies(server) == {}

    async def test_after_one_save_and_before_the_next(self, start: Starter, join: Opener) -> None:
        """That the first one reached the file is known after the second crash, too, which nothing of the next did."""
        server = start(SUICIDE + DEATHS["before or after"])
        file = server.root / "a.txt"
        file.write_text("begin\n")
        peer = await join(server, "a.txt")
        for death, text in (("a.txt.kill", "one\ntwo\n"), ("a.txt.soon.kill", "three\nfour\nfive\n")):
            await until(lambda: peer.online)
            (server.root / death).touch()
            peer.type(text)
            await until(lambda: not server.alive())
            (server.root / death).unlink()
            assert file.read_text() == "begin\none\ntwo\n"
            if "five" in text:
                file.write_text("begin\noutside\none\ntwo\n")
            await asyncio.to_thread(server.start)
        expected = "begin\noutside\none\ntwo\nthree\nfour\nfive\n"
        await until(lambda: file.read_text() == expected, file.read_text)
        await until(lambda: peer.online and peer.text == expected, lambda: peer.text)
        assert copies(server) == {}

    async def test_in_the_middle_of_a_save_that_a_program_then_took_a_part_of(
        self, start: Starter, join: Opener
    ) -> None:
        """What is left of it is in the document already, but nobody else has written it: it says where they began."""
        server = start(SUICIDE + DEATHS["after"])
        file = server.root / "a.txt"
        file.write_text("begin\n")
        peer = await join(server, "a.txt")
        (server.root / "a.txt.kill").touch()
        peer.source.insert(0, "a long line before all others\n")
        peer.type("end\n")
        await until(lambda: not server.alive())
        (server.root / "a.txt.kill").unlink()
        assert file.read_text() == peer.text
        expected = "a long line before all others\nbegin\n"
        file.write_text(expected)
        await asyncio.to_thread(server.start)
        await until(lambda: peer.online and peer.text == expected, lambda: peer.text)
        await until(lambda: file.read_text() == expected)


SUICIDE = '''
import asyncio, os, signal
from contextlib import contextmanager
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager


def die(path):
    """End the server as the power would, if there is a file that says so."""
    if os.path.exists(path + ".kill"):
        os.kill(os.getpid(), signal.SIGKILL)


class HalfWriter:
    """A file that takes a half of what is written to it, and then the server is dead."""

    def __init__(self, file, path):
        self.file, self.path = file, path

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        die(self.path)
        self.file.write(data[len(data) // 2 :])

    def __getattr__(self, name):
        return getattr(self.file, name)


class HalfManager(AsyncLargeFileManager):
    @contextmanager
    def atomic_writing(self, os_path, *args, **options):
        with super().atomic_writing(os_path, *args, **options) as file:
            yield HalfWriter(file, os_path)


class SlowManager(AsyncLargeFileManager):
    async def save(self, model, path=""):
        """Save a file; if there is one that says so, wait until it is gone, and be ended then."""
        answer = await super().save(model, path)
        file = os.path.join(self.root_dir, path) + ".kill"
        if os.path.exists(file):
            while os.path.exists(file):
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


def before(path, contents_manager, **_):
    die(os.path.join(contents_manager.root_dir, path))


def after(os_path, **_):
    die(os_path)


def sooner(path, contents_manager, **_):
    die(os.path.join(contents_manager.root_dir, path + ".soon"))


'''

DEATHS = {
    "before": "c.FileContentsManager.pre_save_hook = before",
    "half-way": "c.ServerApp.contents_manager_class = HalfManager",
    "half-way, in place": "c.ServerApp.contents_manager_class = HalfManager; c.HalfManager.use_atomic_writing = False",
    "after": "c.FileContentsManager.post_save_hook = after",
    "before or after": "c.FileContentsManager.pre_save_hook, c.FileContentsManager.post_save_hook = sooner, after",
    "long after": "c.ServerApp.contents_manager_class = SlowManager",
}


class TestTerminated:
    async def test_right_after_a_keystroke(self, start: Starter, join: Opener) -> None:
        server = start()
        write_files(server.root)
        crowd = Crowd(server)
        await crowd.join(join)
        await crowd.type(3)
        # What reached the server is what another client sees; then the signal.
        await until(lambda: all(said(a, name) == said(b, name) for name, (a, b) in crowd.peers.items()))
        server.terminate()
        assert await asyncio.to_thread(server.wait) == 0
        assert {peer.closes[0][0] for peers in crowd.peers.values() for peer in peers} == {1001}
        for name, peers in crowd.peers.items():
            assert sorted(on_disk(server.root / name).split()) == sorted(crowd.words[name])
            for peer in peers:
                await peer.close()
        await asyncio.to_thread(server.start)
        for name in NAMES:
            fresh = await join(server, name)
            assert sorted(said(fresh, name).split()) == sorted(crowd.words[name])

    async def test_where_the_file_cannot_be_written_the_store_has_it(self, start: Starter, join: Opener) -> None:
        server = start(FAILING)
        (server.root / "a.txt").write_text("begin\n")
        (server.root / "fail").touch()
        peer = await join(server, "a.txt")
        peer.type("typed\n")
        assert await peer.save() == "failed"
        peer.type("more\n")
        other = await join(server, "a.txt", token="bob")
        await until(lambda: other.text == peer.text)
        server.terminate()
        assert await asyncio.to_thread(server.wait) == 0
        await peer.close()
        await other.close()
        assert (server.root / "a.txt").read_text() == "begin\n"
        (server.root / "fail").unlink()
        await asyncio.to_thread(server.start)
        fresh = await join(server, "a.txt")
        assert fresh.text == "begin\ntyped\nmore\n"
        await until(lambda: (server.root / "a.txt").read_text() == fresh.text)


FAILING = '''
import os
from tornado.web import HTTPError


def before(path, contents_manager, **_):
    """Refuse every save as long as there is a file that says so."""
    if os.path.exists(os.path.join(contents_manager.root_dir, "fail")):
        raise HTTPError(507, "no space")


c.FileContentsManager.pre_save_hook = before
'''


SLOW = '''
import asyncio
from pathlib import Path
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager


class SlowManager(AsyncLargeFileManager):
    """Takes as long as a slow disk does, if there is a file that says so."""

    async def save(self, model, path=""):
        slow = Path(self.root_dir, "slow")
        if slow.exists():
            slow.rename(slow.with_name("slow-now"))
            await asyncio.sleep(1.0)
        return await super().save(model, path)


c.ServerApp.contents_manager_class = SlowManager
c.Relay.eviction_delay = 0.1
'''

SLEPT = ["ada1", "asleep1", "begin", "fresh1", "outside"]


class TestEvicted:
    async def test_not_while_it_is_being_saved(self, start: Starter, join: Opener) -> None:
        server = start(SLOW)
        (server.root / "a.txt").write_text("a")
        ada = await join(server, "a.txt")
        (server.root / "slow").touch()
        ada.type("b")
        await until(lambda: (server.root / "slow-now").exists())
        await ada.close()
        await until(lambda: not server.rooms())
        assert (server.root / "a.txt").read_text() == "ab"
        assert "not up to date" not in server.log()

    async def test_whoever_slept_comes_back_with_what_was_typed(
        self, start: Starter, join: Opener, prepare: Callable[..., Peer]
    ) -> None:
        server = start("c.Relay.eviction_delay = 0.2")
        write_files(server.root)
        for name in NAMES:
            ada, bob = await join(server, name), await join(server, name, token="bob")
            session = ada.session
            edit(ada, name, "ada1\n")
            await until(lambda ada=ada, bob=bob, name=name: said(ada, name) == said(bob, name))
            await bob.close()
            edit(bob, name, "asleep1\n")
            await ada.close()
            await evicted(server, ada)
            text = (server.root / name).read_text()
            (server.root / name).write_text(text.replace("begin", "begin outside"))
            fresh = await join(server, name)
            assert fresh.session == session
            edit(fresh, name, "fresh1\n")
            await until(lambda name=name: "fresh1" in on_disk(server.root / name))
            await fresh.close()
            await evicted(server, ada)
            bob.connect()
            await bob.ready()
            await until(lambda bob=bob, name=name: sorted(said(bob, name).split()) == SLEPT)
            await until(lambda name=name: sorted(on_disk(server.root / name).split()) == SLEPT)
            await bob.close()

    async def test_again_and_again(self, start: Starter, join: Opener) -> None:
        """A document that is opened and dropped many times does not change, nor does its file."""
        server = start("c.Relay.eviction_delay = 0.1")
        write_files(server.root)
        before = {name: (server.root / name).stat().st_mtime_ns for name in NAMES}
        seen = set()
        for _ in range(3):
            peers = {name: await join(server, name) for name in NAMES}
            seen.add(tuple((peer.session, said(peer, name)) for name, peer in peers.items()))
            for peer in peers.values():
                await peer.close()
                await evicted(server, peer)
        assert len(seen) == 1
        assert {name: (server.root / name).stat().st_mtime_ns for name in NAMES} == before


def edit(peer: Peer, name: str, text: str) -> None:
    """Type at the end of a text file, or of the first cell."""
    peer.type(text, 0 if name.endswith(".ipynb") else None)


async def evicted(server: Jupyter, peer: Peer) -> None:
    """Wait until a room is out of memory; the clients wait, too."""
    await until(lambda: peer.room not in server.rooms())
