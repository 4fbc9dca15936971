"""A file that is not up to date: everybody is told why, saving is tried again, and what was typed is written."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

from jupyter_rtc.documents.opened.autosave import Autosave

from .conftest import Opener, Starter
from .disks import read_only
from .examples import as_nbformat, code, notebook
from .listening import heard, sentences
from .peer import Peer, until
from .process import Jupyter


async def wrong(server: Jupyter, peer: Peer, word: str) -> str:
    """Wait until the document says that something is wrong; return what. The list of rooms says the same."""
    await until(lambda: word in peer.state.get("trouble", ""), lambda: peer.state)
    rooms = await asyncio.to_thread(server.rooms)
    trouble = peer.state["trouble"]
    assert rooms[peer.room]["trouble"] == trouble
    return str(trouble)


async def well(server: Jupyter, peer: Peer) -> None:
    """Wait until the document says that nothing is wrong any more."""
    await until(lambda: "trouble" not in peer.state, lambda: peer.state)
    assert (await asyncio.to_thread(server.rooms))[peer.room]["trouble"] is None


class TestSaid:
    async def test_a_read_only_file(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file, path = here / "a.txt", f"{here.name}/a.txt"
        file.write_text("a")
        ada, bob = await join(jupyter, path), await join(jupyter, path, token="bob")
        assert "trouble" not in ada.state
        async with heard(jupyter) as events:
            with read_only(file):
                ada.type("b")
                assert await wrong(jupyter, bob, "read-only") == f"{path} is read-only"
                assert await ada.save() == "failed"
            # Nobody has to ask, for nothing is lost.
            await until(lambda: file.read_text() == "ab")
            await well(jupyter, bob)
            said = [f"{path} is not up to date: {path} is read-only", f"{path} is up to date again."]
            await until(lambda: sentences(events, ada.room) == said, lambda: events)

    async def test_a_file_that_was_deleted(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file, path = here / "a.txt", f"{here.name}/a.txt"
        file.write_text("a")
        ada, bob = await join(jupyter, path), await join(jupyter, path, token="bob")
        async with heard(jupyter) as events:
            file.unlink()
            assert await wrong(jupyter, bob, "any more") == f"{path} does not exist any more; Ctrl+S writes it again"
            ada.type("b")
            await until(lambda: bob.text == "ab")
            assert await bob.save() == "success"
            assert file.read_text() == "ab"
            await well(jupyter, ada)
            await until(lambda: sentences(events, ada.room)[1:] == [f"{path} is up to date again."], lambda: events)

    async def test_a_front_end_that_shows_a_notice_is_told_that_the_file_is_gone(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        file, path = here / "a.txt", f"{here.name}/a.txt"
        file.write_text("a")
        ada, bob = await join(jupyter, path), await join(jupyter, path, token="bob")
        file.unlink()
        gone = {"type": "external-change", "change": {"originalPath": path, "reason": "deleted"}}
        await until(lambda: ada.told == bob.told == [gone], lambda: (ada.told, bob.told))
        ada.drop()
        await until(lambda: ada.told == [gone, gone], lambda: ada.told)  # who comes back is told, too
        assert await bob.save() == "success"
        back = {"type": "external-change", "change": None}
        await until(lambda: (ada.told, bob.told) == ([gone, gone, back], [gone, back]), lambda: (ada.told, bob.told))
        assert (await join(jupyter, path)).told == []

    async def test_a_file_that_somebody_broke(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file = here / "a.ipynb"
        whole = as_nbformat(notebook(code("one")))
        file.write_text(whole)
        ada = await join(jupyter, f"{here.name}/a.ipynb")
        file.write_text("<<<<<<< HEAD\n" + whole)
        await wrong(jupyter, ada, "cannot be read")
        file.write_text(whole)
        await well(jupyter, ada)

    async def test_what_an_earlier_life_said_is_over(self, start: Starter, join: Opener) -> None:
        server = start()
        file = server.root / "a.txt"
        file.write_text("a")
        ada = await join(server, "a.txt")
        file.unlink()
        await wrong(server, ada, "any more")
        server.kill()
        await ada.close()
        file.write_text("a")
        server.start()
        assert "trouble" not in (await join(server, "a.txt")).state


class Failing:
    """A document whose saves all fail, and which is edited again and again.

    Attributes:
        tries: when it was tried to save it, in the time of the event loop.
    """

    def __init__(self, first_retry: float) -> None:
        """Save it for the first time at once."""
        self.tries: list[float] = []
        pace = SimpleNamespace(save_delay=0.0, max_save_delay=0.0)
        self.autosave = Autosave(pace, lambda trip: lambda: None, self._save, first_retry)
        self.autosave.force()

    def _save(self) -> None:
        self.tries.append(asyncio.get_running_loop().time())
        self.autosave.failed()
        self.autosave.touched()


async def test_the_tries_become_rarer() -> None:
    failing = Failing(first_retry=0.02)
    await until(lambda: len(failing.tries) > 5)
    failing.autosave.cancel()
    for number, (one, next_one) in enumerate(pairwise(failing.tries)):
        assert next_one - one >= 0.02 * 2**number


async def test_a_save_is_tried_at_once_when_its_trouble_may_be_over() -> None:
    failing = Failing(first_retry=1e6)
    await until(lambda: len(failing.tries) == 1)
    failing.autosave.resume()
    await until(lambda: len(failing.tries) == 2)
    failing.autosave.cancel()


class TestDeletedForGood:
    async def test_what_was_edited_since_outlives_the_room(self, start: Starter, join: Opener) -> None:
        server = start("c.Relay.eviction_delay = 0.2")
        (server.root / "a.txt").write_text("one\r\ntwo\r\n")
        peer = await join(server, "a.txt")
        (server.root / "a.txt").unlink()
        peer.type("three")
        await until(lambda: "trouble" in peer.state)
        await peer.close()
        await until(lambda: f"room {peer.room}: evicted" in server.log(), server.log)
        assert kept(server) == ["one\r\ntwo\r\nthree"]

    async def test_it_outlives_the_server(self, start: Starter, join: Opener) -> None:
        server = start()
        (server.root / "a.txt").write_text("one\n")
        peer = await join(server, "a.txt")
        (server.root / "a.txt").unlink()
        peer.type("two")
        await until(lambda: "trouble" in peer.state)
        server.terminate()
        await asyncio.to_thread(server.wait)
        assert kept(server) == ["one\ntwo"]

    async def test_a_page_comes_back_into_it_after_a_kill(self, start: Starter, join: Opener) -> None:
        """Be it deleted before the kill or while the server was down; Ctrl+S writes it again."""
        server = start()
        (server.root / "a.txt").write_text("one\n")
        peer = await join(server, "a.txt")
        peer.type("two\n")
        assert await peer.save() == "success"
        (server.root / "a.txt").unlink()
        server.kill()
        await until(lambda: not peer.online)
        peer.type("three")
        server.start()
        await peer.ready()
        assert await wrong(server, peer, "any more")
        assert peer.text == "one\ntwo\nthree"
        assert not (server.root / "a.txt").exists()
        assert await peer.save() == "success"
        assert (server.root / "a.txt").read_text() == "one\ntwo\nthree"
        await well(server, peer)

    async def test_one_that_comes_back_is_merged_with_what_was_typed(self, start: Starter, join: Opener) -> None:
        server = start("c.Relay.eviction_delay = 0.2")
        (server.root / "a.txt").write_text("one\n")
        peer = await join(server, "a.txt")
        peer.type("two\n")
        assert await peer.save() == "success"
        (server.root / "a.txt").unlink()
        server.kill()
        await until(lambda: not peer.online)
        peer.type("three\n")
        server.start()
        await peer.ready()
        (server.root / "a.txt").write_text("zero\none\ntwo\n")
        await until(lambda: peer.text == "zero\none\ntwo\nthree\n", lambda: peer.text)
        await until(lambda: (server.root / "a.txt").read_text() == peer.text)
        assert kept(server) == []

    async def test_what_was_saved_before_needs_no_copy(self, start: Starter, join: Opener) -> None:
        server = start("c.Relay.eviction_delay = 0.2")
        (server.root / "a.txt").write_text("one\n")
        peer = await join(server, "a.txt")
        peer.type("two\n")
        assert await peer.save() == "success"
        (server.root / "a.txt").unlink()
        await until(lambda: "trouble" in peer.state)
        await peer.close()
        await until(lambda: f"room {peer.room}: evicted" in server.log(), server.log)
        assert kept(server) == []


def kept(server: Jupyter) -> list[str]:
    """Return what the text files in the recovery folder hold, with the line ends that they have."""
    folder = server.data / "jupyter_rtc" / "recovery"
    return [file.read_bytes().decode() for file in sorted(folder.glob("*/content.txt"))]
