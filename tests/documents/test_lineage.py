"""The store is lost, or was never this server's: open pages have another history, and nothing in them is lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from .conftest import Opener, Starter
from .lost import NAMES, Loser, Lost, copies, known, on_disk, refused, said, saved, wipe, words, write, write_files
from .peer import Peer, until
from .process import Jupyter

Preparer = Callable[..., Peer]


@pytest.fixture(params=NAMES)
def lose(request: pytest.FixtureRequest, start: Starter, join: Opener) -> Loser:
    """Return what makes a server that was killed and has lost its store, with clients that have what was saved."""

    async def prepare() -> Lost:
        server = start()
        write_files(server.root)
        ada, bob = await join(server, request.param), await join(server, request.param, token="bob")
        write(ada, "saved")
        await saved(server, request.param, "begin", "end", "saved")
        await known(server, request.param, ada, bob)
        assert words(said(bob)) == ["begin", "end", "saved"]
        await ada.close()
        await bob.close()
        server.kill()
        wipe(server)
        return Lost(server, request.param, ada, bob, join)

    return prepare


async def typed_too_late(lost: Lost) -> str:
    """Let a client come back that types another word when it has been closed, and does not know it yet.

    What its user reads is returned.
    """
    ada = lost.ada
    ada.deaf = True
    write(ada, "ada")
    await lost.back(ada)
    await until(lambda: "ada brought another history" in lost.server.log(), lost.server.log)
    write(ada, "late")
    ada.listen()
    return await refused(ada)


class TestAdopted:
    async def test_the_history_of_open_pages_goes_on(self, lose: Loser, join: Opener) -> None:
        """No reload and no dialog; what they typed offline arrives once; a second one just syncs."""
        lost = await lose()
        server, ada, bob = lost.server, lost.ada, lost.bob
        write(ada, "ada", first=True)
        write(bob, "bob")
        await lost.again()
        await lost.back(ada, bob)
        everything = ["ada", "begin", "bob", "end", "saved"]
        await until(lambda: words(said(ada)) == words(said(bob)) == everything, lambda: (said(ada), said(bob)))
        await saved(server, lost.name, *everything)
        assert not [close for peer in (ada, bob) for close in peer.closes if close[0] == 1003]
        carol = await join(server, lost.name)
        assert words(said(carol)) == everything
        assert carol.session == ada.session
        assert not copies(server)

    async def test_outside_edits_are_merged_after_it(self, lose: Loser) -> None:
        lost = await lose()
        server, ada = lost.server, lost.ada
        write(ada, "ada", first=True)
        await lost.again()
        await lost.back(ada)
        await saved(server, lost.name, "ada", "begin", "end", "saved")
        file = server.root / lost.name
        file.write_text(file.read_text().replace("begin", "begin outside"))
        write(ada, "more")
        everything = ["ada", "begin", "end", "more", "outside", "saved"]
        await saved(server, lost.name, *everything)
        assert words(said(ada)) == everything

    async def test_a_reader_of_the_old_history_only_reads(self, lose: Loser, prepare: Preparer) -> None:
        lost = await lose()
        server = lost.server
        rita = prepare(server, lost.name, token="rita")
        rita.room, rita.session = lost.ada.room, lost.ada.session
        rita.doc.apply_update(lost.ada.doc.get_update())
        write(rita, "rita")
        await lost.again()
        await lost.back(rita)
        await refused(rita)
        await lost.back(lost.ada)
        await lost.ada.ready()
        await saved(server, lost.name, "begin", "end", "saved")
        assert words(said(lost.ada)) == ["begin", "end", "saved"]
        assert not copies(server)


class TestMerged:
    async def test_what_was_typed_offline_comes_in_once(self, lose: Loser) -> None:
        lost = await lose()
        carol = await lost.carol()
        server, ada, bob = lost.server, lost.ada, lost.bob
        write(ada, "ada", first=True)
        bob.doc.apply_update(ada.doc.get_update())  # they synchronised just before the end
        write(bob, "bob")
        await lost.back(ada, bob)
        assert "merged" in await refused(ada)
        assert "merged" in await refused(bob)
        everything = ["ada", "begin", "bob", "carol", "end", "saved"]
        await until(lambda: words(said(carol)) == everything, lambda: said(carol))
        await saved(server, lost.name, *everything)
        assert not copies(server)

    async def test_long_after_it_was_saved(self, lose: Loser) -> None:
        lost = await lose()
        carol = await lost.carol()
        await saved(lost.server, lost.name, "begin", "carol", "end", "saved")
        write(carol, "more")
        await saved(lost.server, lost.name, "begin", "carol", "end", "more", "saved")
        write(lost.ada, "ada")
        await lost.back(lost.ada)
        assert "merged" in await refused(lost.ada)
        await saved(lost.server, lost.name, "ada", "begin", "carol", "end", "more", "saved")

    async def test_who_has_nothing_new_is_told_so(self, lose: Loser) -> None:
        lost = await lose()
        await lost.carol()
        await lost.back(lost.ada)
        assert "Nothing was lost" in await refused(lost.ada)
        await saved(lost.server, lost.name, "begin", "carol", "end", "saved")
        assert not copies(lost.server)

    async def test_what_is_typed_behind_the_dialog_comes_in_too(self, lose: Loser) -> None:
        lost = await lose()
        carol = await lost.carol()
        ada = lost.ada
        ada.patient = True
        write(ada, "ada0")
        await lost.back(ada)
        await refused(ada)
        for number in range(1, 6):
            write(ada, f"ada{number}", first=number % 2 == 0)
            await asyncio.sleep(0.1)
        everything = ["begin", "carol", "end", "saved", *(f"ada{number}" for number in range(6))]
        await saved(lost.server, lost.name, *everything)
        assert words(said(carol)) == sorted(everything)
        assert len([close for close in ada.closes if close[0] == 1003]) == 1

    async def test_what_is_on_its_way_as_the_page_is_closed_comes_in_too(self, lose: Loser) -> None:
        lost = await lose()
        carol = await lost.carol()
        assert "merged" in await typed_too_late(lost)
        everything = ["ada", "begin", "carol", "end", "late", "saved"]
        await saved(lost.server, lost.name, *everything)
        assert words(said(carol)) == everything

    async def test_a_kill_in_between_does_not_double_it(self, lose: Loser) -> None:
        """Afterwards ada comes back with the same, and bob with the same and more: what is more is kept beside."""
        lost = await lose()
        carol = await lost.carol()
        server, ada, bob = lost.server, lost.ada, lost.bob
        ada.patient = True
        write(ada, "ada")
        bob.doc.apply_update(ada.doc.get_update())
        await lost.back(ada)
        await until(lambda: "ada" in said(carol))
        server.kill()
        write(bob, "bob")
        await lost.again()
        await lost.back(bob)
        assert "merged" in await refused(ada)
        id = (await refused(bob)).split()[-1]
        everything = ["ada", "begin", "carol", "end", "saved"]
        await saved(server, lost.name, *everything)
        assert words(said(carol)) == everything
        kept = copies(server)
        assert words(kept[id]) == ["ada", "begin", "bob", "end", "saved"]
        assert len(kept) == 1


class TestKept:
    async def changed(self, lost: Lost) -> None:
        """Change the file outside, and start the server again."""
        file = lost.server.root / lost.name
        file.write_text(file.read_text().replace("saved", "outside"))
        await lost.again()

    async def test_what_cannot_be_merged_is_kept(self, lose: Loser, join: Opener) -> None:
        lost = await lose()
        await self.changed(lost)
        write(lost.ada, "ada")
        await lost.back(lost.ada)
        id = (await refused(lost.ada)).split()[-1]
        kept = copies(lost.server)
        assert words(kept[id]) == ["ada", "begin", "end", "saved"]
        assert words(on_disk(lost.server.root / lost.name)) == ["begin", "end", "outside"]
        assert words(said(await join(lost.server, lost.name))) == ["begin", "end", "outside"]

    async def test_what_is_typed_behind_the_dialog_is_kept_too(self, lose: Loser) -> None:
        """However often the client comes back, there are two copies at most."""
        lost = await lose()
        await self.changed(lost)
        ada = lost.ada
        ada.patient = True
        await lost.back(ada)
        id = (await refused(ada)).split()[-1]
        typed = [f"ada{number}" for number in range(12)]
        for number, word in enumerate(typed):
            write(ada, word)
            await asyncio.sleep(0.2)
            if number % 4 == 3:
                await ada.close()
                ada.connect()
        everything = ["begin", "end", "saved", *typed]

        await until(lambda: sorted(everything) in map(words, copies(lost.server).values()))
        await until(lambda: len(copies(lost.server)) == 2)  # the last one replaces the one before
        found = copies(lost.server)
        assert sorted(everything) in map(words, found.values())
        assert words(found[id]) == ["begin", "end", "saved"]
        assert len([close for close in ada.closes if close[0] == 1003]) == 1

    @pytest.mark.parametrize("name", NAMES)
    async def test_what_a_page_has_that_was_not_told_of_the_last_save_is_kept(
        self, start: Starter, join: Opener, name: str
    ) -> None:
        """Nobody can tell from which file its document goes on, once the store is lost, too."""
        server = start()
        write_files(server.root)
        ada = await join(server, name)
        write(ada, "saved")
        ada.read_no_more()
        await saved(server, name, "begin", "end", "saved")
        ada.drop()
        await ada.close()
        server.kill()
        wipe(server)
        write(ada, "ada")
        lost = Lost(server, name, ada, ada, join)
        carol = await lost.carol()
        await lost.back(ada)
        id = (await refused(ada)).split()[-1]
        assert words(copies(server)[id]) == ["ada", "begin", "end", "saved"]
        await saved(server, name, "begin", "carol", "end", "saved")
        assert words(said(carol)) == ["begin", "carol", "end", "saved"]

    async def test_what_is_on_its_way_as_the_page_is_closed_is_kept_too(self, lose: Loser, join: Opener) -> None:
        lost = await lose()
        await self.changed(lost)
        await typed_too_late(lost)
        everything = ["ada", "begin", "end", "late", "saved"]
        await until(lambda: everything in map(words, copies(lost.server).values()), lambda: copies(lost.server))
        assert words(said(await join(lost.server, lost.name))) == ["begin", "end", "outside"]

    async def test_a_second_page_adds_to_the_copy(self, lose: Loser) -> None:
        lost = await lose()
        await self.changed(lost)
        write(lost.ada, "ada")
        lost.bob.doc.apply_update(lost.ada.doc.get_update())
        write(lost.bob, "bob")
        await lost.back(lost.ada, lost.bob)
        assert await refused(lost.ada) == await refused(lost.bob)
        assert ["ada", "begin", "bob", "end", "saved"] in [words(text) for text in (copies(lost.server)).values()]

    async def test_a_kill_in_between_makes_no_other_copy(self, lose: Loser) -> None:
        lost = await lose()
        await self.changed(lost)
        ada = lost.ada
        ada.patient = True
        write(ada, "ada")
        await lost.back(ada)
        await refused(ada)
        before = copies(lost.server)
        lost.server.kill()
        await lost.again()
        await until(lambda: len([close for close in ada.closes if close[0] == 1003]) == 2)
        assert copies(lost.server) == before

    async def test_who_has_nothing_that_the_document_lacks_is_told_so(self, lose: Loser) -> None:
        lost = await lose()
        file = lost.server.root / lost.name
        more = "begin\\nmore" if file.suffix == ".ipynb" else "begin\nmore"
        file.write_text(file.read_text().replace("begin", more))
        await lost.again()
        await lost.back(lost.ada)
        assert "Nothing was lost" in await refused(lost.ada)
        assert not copies(lost.server)


UNREADABLE = """
import os
from jupyter_rtc.relay import MemoryStore, StoreError


class Unreadable(MemoryStore):
    async def load(self, room):
        if os.path.exists("root/unreadable"):
            raise StoreError("the disk is broken")
        return await super().load(room)


c.Relay.store_class = Unreadable
c.Documents.save_delay = c.Documents.max_save_delay = 3.0
"""


class TestBaseLost:
    """Somebody else changes the file, and what it was before cannot be had from the store."""

    async def test_where_nobody_has_typed_it_is_merged(self, start: Starter, join: Opener) -> None:
        server, ada = await self.opened(start, join)
        (server.root / "a.txt").write_text("begin outside\nend\n")
        await until(lambda: ada.text == "begin outside\nend\n", lambda: ada.text)
        ada.type("ada\n")
        assert await ada.save() == "success"
        assert (server.root / "a.txt").read_text() == ada.text == "begin outside\nend\nada\n"
        assert not copies(server)

    async def test_what_holds_all_that_was_typed_is_merged(self, start: Starter, join: Opener) -> None:
        server, ada = await self.opened(start, join)
        ada.type("ada\n")
        (server.root / "a.txt").write_text("begin\nend\nada\noutside\n")
        await saved(server, "a.txt", "ada", "begin", "end", "outside")
        await until(lambda: words(ada.text) == ["ada", "begin", "end", "outside"], lambda: ada.text)
        assert not copies(server)

    async def test_else_the_file_is_kept_and_the_document_goes_on(self, start: Starter, join: Opener) -> None:
        server, ada = await self.opened(start, join)
        ada.type("ada\n")
        (server.root / "a.txt").write_text("begin\noutside\nend\n")
        await until(lambda: [words(text) for text in copies(server).values()] == [["begin", "end", "outside"]])
        await saved(server, "a.txt", "ada", "begin", "end")
        assert ada.text == "begin\nend\nada\n"
        await until(lambda: ada.state.get("recovery") == [*copies(server)])
        ada.type("more\n")
        assert await ada.save() == "success"

    async def opened(self, start: Starter, join: Opener) -> tuple[Jupyter, Peer]:
        """Return a server whose store can be written and not read, and a client of a text."""
        server = start(UNREADABLE)
        write_files(server.root)
        ada = await join(server, "a.txt")
        (server.root / "unreadable").touch()
        return server, ada


async def test_a_crash_between_the_adoption_and_the_first_save(start: Starter, join: Opener) -> None:
    """It is not known then which part of the history the file held, which somebody else has changed besides."""
    server = start("c.Documents.save_delay = c.Documents.max_save_delay = 60.0")
    write_files(server.root)
    ada = await join(server, "a.txt")
    write(ada, "saved")
    assert await ada.save() == "success"
    await until(lambda: ada.state.get("hash") == ada.state.get("saving"))
    await ada.close()
    server.kill()
    wipe(server)
    write(ada, "ada")
    await asyncio.to_thread(server.start)
    ada.connect()
    await ada.ready()
    await until(lambda: ada.state["lineage"] in stored(server))
    server.kill()
    (server.root / "a.txt").write_text("begin\noutside\nend\nsaved\n")
    await asyncio.to_thread(server.start)
    await ada.ready()
    await until(lambda: list(map(words, copies(server).values())) == [["begin", "end", "outside", "saved"]])
    assert await ada.save() == "success"
    assert words(on_disk(server.root / "a.txt")) == words(ada.text) == ["ada", "begin", "end", "saved"]


def stored(server: Jupyter) -> list[str]:
    """Return the lineages of the rooms in the store."""
    database = server.root.parent / "data" / "jupyter_rtc" / "rooms.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [lineage for (lineage,) in connection.execute("SELECT lineage FROM rooms")]
