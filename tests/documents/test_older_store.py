"""The store is older than the files, and open pages have what it lacks: it all stands once, or is kept."""

from __future__ import annotations

import asyncio
import json

import pytest
from pycrdt import Text

from .conftest import Opener, Starter
from .examples import as_nbformat, code
from .lost import (
    NAMES,
    Loser,
    Lost,
    back_up,
    copies,
    is_logged,
    known,
    on_disk,
    refused,
    said,
    saved,
    words,
    write,
    write_files,
)
from .peer import Peer, until
from .process import Jupyter


@pytest.fixture(params=NAMES)
def fall_back(request: pytest.FixtureRequest, start: Starter, join: Opener) -> Loser:
    """Return what makes a server whose store is from before the last save, which open pages know of."""

    async def prepare() -> Lost:
        server = start()
        write_files(server.root)
        ada, bob = await join(server, request.param), await join(server, request.param, token="bob")
        write(ada, "early")
        await saved(server, request.param, "begin", "end", "early")
        assert await ada.save() == "success"
        server.kill()
        put_back = back_up(server)
        await asyncio.to_thread(server.start)
        await until(lambda: ada.online and bob.online)
        write(ada, "saved")
        write(bob, "too", first=True)
        await saved(server, request.param, "begin", "end", "early", "saved", "too")
        assert await ada.save() == "success"
        await known(server, request.param, ada, bob)
        await ada.close()
        await bob.close()
        server.kill()
        put_back()
        return Lost(server, request.param, ada, bob, join)

    return prepare


class TestOlder:
    """The store is older than the file: it was brought back from a backup, or could not be written at the end."""

    EXPECTED = ("begin", "end", "early", "saved", "too", "offline")

    async def test_a_page_brings_back_what_the_store_lacks(self, fall_back: Loser, join: Opener) -> None:
        lost = await fall_back()
        write(lost.ada, "offline")
        await lost.again()
        await lost.back(lost.ada, lost.bob)
        await saved(lost.server, lost.name, *self.EXPECTED)
        for page in (lost.ada, lost.bob, await join(lost.server, lost.name)):
            await until(lambda page=page: words(said(page)) == sorted(self.EXPECTED))
        assert not [code for page in (lost.ada, lost.bob) for code, _ in page.closes if code == 1003]
        assert copies(lost.server) == {}

    async def test_it_has_it_for_good(self, fall_back: Loser, join: Opener) -> None:
        lost = await fall_back()
        write(lost.ada, "offline")
        await lost.again()
        await lost.back(lost.ada)
        await saved(lost.server, lost.name, *self.EXPECTED)
        await lost.ada.close()
        lost.server.kill()
        await lost.again()
        await lost.back(lost.bob)
        await until(lambda: words(said(lost.bob)) == sorted(self.EXPECTED), lambda: said(lost.bob))
        assert words(said(await join(lost.server, lost.name))) == sorted(self.EXPECTED)
        assert copies(lost.server) == {}

    @pytest.mark.parametrize("name", NAMES)
    async def test_what_it_has_and_was_saved_later_stands_once(self, start: Starter, join: Opener, name: str) -> None:
        server, ada = await self.stored(start, join, name, "early")
        write(ada, "saved")
        await self.saved_and_put_back(server, ada)
        assert words(said(await join(server, name))) == ["begin", "early", "end", "saved"]

    @pytest.mark.parametrize("name", NAMES)
    async def test_what_it_has_and_was_written_on_stands_once(self, start: Starter, join: Opener, name: str) -> None:
        server, ada = await self.stored(start, join, name, "ear")
        last_text(ada).insert(str(last_text(ada)).index("ear") + len("ear"), "ly more")
        await self.saved_and_put_back(server, ada)
        assert words(said(await join(server, name))) == ["begin", "early", "end", "more"]
        assert [words(copy) for copy in copies(server).values()] == [["begin", "ear", "end"]]

    @pytest.mark.parametrize("name", NAMES)
    async def test_what_it_has_and_was_deleted_since_is_kept(self, start: Starter, join: Opener, name: str) -> None:
        server, ada = await self.stored(start, join, name, "early", "gone", "late")
        at = str(last_text(ada)).index("gone")
        del last_text(ada)[at : at + len("gone\n")]
        write(ada, "saved")
        await self.saved_and_put_back(server, ada)
        again = await join(server, name)
        assert words(said(again)) == ["begin", "early", "end", "late", "saved"]
        ((id, copy),) = copies(server).items()
        assert words(copy) == ["begin", "early", "end", "gone", "late"]
        assert again.state["recovery"] == [id]

    async def stored(self, start: Starter, join: Opener, name: str, *typed: str) -> tuple[Jupyter, Peer]:
        """Return a server that stores words which are not saved, and who types on; a backup of the store is made."""
        server = start("c.Documents.save_delay = c.Documents.max_save_delay = 3600.0")
        write_files(server.root)
        ada = await join(server, name)
        for word in typed:
            write(ada, word)
        await until(lambda: is_logged(server, typed[-1]))
        server.kill()
        self.put_back = back_up(server)
        await asyncio.to_thread(server.start)
        await until(lambda: ada.online)
        return server, ada

    async def saved_and_put_back(self, server: Jupyter, ada: Peer) -> None:
        """Save, kill the server, put the backup back, and start the server again; nobody is there then."""
        assert await ada.save() == "success"
        await ada.close()
        server.kill()
        self.put_back()
        await asyncio.to_thread(server.start)

    async def test_where_somebody_reads_already_it_is_merged(self, fall_back: Loser, join: Opener) -> None:
        lost = await fall_back()
        write(lost.ada, "offline")
        await lost.again()
        reader = await join(lost.server, lost.name)
        await lost.back(lost.ada, lost.bob)
        assert await refused(lost.ada) == "Your changes were merged. Reload to see them."
        assert await refused(lost.bob) in ("Nothing was lost. Reload to go on.", await refused(lost.ada))
        await saved(lost.server, lost.name, *self.EXPECTED)
        again = await join(lost.server, lost.name)
        assert words(said(again)) == words(said(reader)) == sorted(self.EXPECTED)

    async def test_a_kill_after_that_does_not_double_it(self, fall_back: Loser, join: Opener) -> None:
        lost = await fall_back()
        lost.ada.patient = True
        write(lost.ada, "offline")
        await lost.again()
        await (await join(lost.server, lost.name)).close()
        await lost.back(lost.ada)
        await refused(lost.ada)
        await saved(lost.server, lost.name, *self.EXPECTED)
        lost.server.kill()
        await lost.again()
        await lost.back(lost.bob)
        await refused(lost.bob)
        await until(lambda: len([code for code, _ in lost.ada.closes if code == 1003]) > 1)
        assert words(said(await join(lost.server, lost.name))) == sorted(self.EXPECTED)


@pytest.fixture(params=NAMES)
def tear(request: pytest.FixtureRequest, start: Starter, join: Opener) -> Loser:
    """Return what makes a server whose store is from before the last save, of which one page does not know.

    It is Bob's, whose connection was lost after he typed something, and before that was saved.
    """

    async def prepare() -> Lost:
        server = start("c.Documents.save_delay = c.Documents.max_save_delay = 3600.0")
        write_files(server.root)
        ada, bob = await join(server, request.param), await join(server, request.param, token="bob")
        write(ada, "early")
        assert await ada.save() == "success"
        await until(lambda: "early" in said(bob))
        await bob.close()
        await ada.close()
        server.kill()
        put_back = back_up(server)
        await asyncio.to_thread(server.start)
        bob.connect()
        ada.connect()
        await until(lambda: ada.online and bob.online)
        write(bob, "bob")
        await until(lambda: "bob" in said(ada), lambda: said(ada))
        await bob.close()
        write(ada, "ada", first=True)
        assert await ada.save() == "success"
        await known(server, request.param, ada)
        await ada.close()
        server.kill()
        put_back()
        return Lost(server, request.param, ada, bob, join)

    return prepare


class TestTorn:
    """The store is older than the file, and a page has what it lacks, but was away when the file was saved."""

    EXPECTED = ("begin", "end", "early", "bob", "ada")

    async def test_what_the_file_holds_stands_once(self, tear: Loser, join: Opener) -> None:
        lost = await tear()
        await lost.again()
        await lost.back(lost.bob)
        assert await refused(lost.bob) == "Nothing was lost. Reload to go on."
        assert words(said(await join(lost.server, lost.name))) == sorted(self.EXPECTED)
        assert words(on_disk(lost.server.root / lost.name)) == sorted(self.EXPECTED)

    async def test_what_was_written_on_offline_is_kept(self, tear: Loser, join: Opener) -> None:
        lost = await tear()
        write(lost.bob, "offline")
        await lost.again()
        await lost.back(lost.bob)
        told = await refused(lost.bob)
        ((id, copy),) = copies(lost.server).items()
        assert told == f"Kept as recovery copy {id}"
        assert words(copy) == sorted({"begin", "end", "early", "bob", "offline"})
        assert words(said(await join(lost.server, lost.name))) == sorted(self.EXPECTED)

    async def test_where_somebody_types_already_it_is_merged(self, tear: Loser, join: Opener) -> None:
        lost = await tear()
        write(lost.ada, "later", first=True)
        write(lost.bob, "offline")
        carol = await lost.carol()
        for page in (lost.ada, lost.bob):
            await lost.back(page)
            assert await refused(page) == "Your changes were merged. Reload to see them."
        expected = sorted([*self.EXPECTED, "offline", "later", "carol"])
        await until(lambda: words(said(carol)) == expected, lambda: said(carol))
        assert words(said(await join(lost.server, lost.name))) == expected
        assert copies(lost.server) == {}

    async def test_where_somebody_types_already_who_was_away_is_kept(self, tear: Loser, join: Opener) -> None:
        lost = await tear()
        write(lost.ada, "later", first=True)
        write(lost.bob, "offline")
        carol = await lost.carol()
        for page in (lost.bob, lost.ada):
            await lost.back(page)
            assert (await refused(page)).startswith("Kept as recovery copy ")
        both = [*self.EXPECTED, "offline", "later"]
        assert sorted(both) in [words(copy) for copy in copies(lost.server).values()]
        expected = sorted([*self.EXPECTED, "carol"])
        assert words(said(carol)) == words(said(await join(lost.server, lost.name))) == expected

    @pytest.mark.parametrize("name", NAMES)
    async def test_who_has_nothing_of_it_comes_in(self, start: Starter, join: Opener, name: str) -> None:
        """The file was changed by somebody else while the server was down, and not in the same place."""
        server = start()
        write_files(server.root)
        bob = await join(server, name)
        write(bob, "early")
        assert await bob.save() == "success"
        await bob.close()
        server.kill()
        file = server.root / name
        file.write_text(file.read_text().replace("begin", "outside", 1))
        write(bob, "offline")
        await asyncio.to_thread(server.start)
        bob.connect()
        await saved(server, name, "outside", "end", "early", "offline")
        assert words(said(bob)) == ["early", "end", "offline", "outside"]
        assert not [code for code, _ in bob.closes if code == 1003]
        assert copies(server) == {}


NOT_YET = """
import os

if not os.path.exists("root/now"):
    c.Documents.save_delay = c.Documents.max_save_delay = 3600.0
"""
"""Nothing is saved that nobody saves, until the server is started when a certain file is there."""


@pytest.mark.parametrize("asleep", [False, True], ids=["awake", "asleep"])
@pytest.mark.parametrize("name", NAMES)
class TestPutBack:
    """The store is not older: somebody put the file back as it was when it was saved, while the server was down."""

    async def test_what_was_put_back_stays(self, start: Starter, join: Opener, name: str, asleep: bool) -> None:
        server, ada = await self.put_back(start, join, name, asleep)
        write(ada, "offline")
        ada.connect()
        expected = ["begin", "end", "offline", "typed", "unsaved"]
        await until(lambda: words(on_disk(server.root / name)) == expected, lambda: on_disk(server.root / name))
        assert words(said(await join(server, name))) == expected

    async def test_and_nothing_else_changes(self, start: Starter, join: Opener, name: str, asleep: bool) -> None:
        server, ada = await self.put_back(start, join, name, asleep)
        ada.connect()
        await until(lambda: ada.online)
        expected = ["begin", "end", "typed", "unsaved"]
        await until(lambda: words(on_disk(server.root / name)) == expected, lambda: on_disk(server.root / name))
        assert words(said(await join(server, name))) == expected

    async def put_back(self, start: Starter, join: Opener, name: str, asleep: bool) -> tuple[Jupyter, Peer]:
        """Return a server, and a client that is offline, since the file changed or since the server was killed."""
        server = start(NOT_YET)
        write_files(server.root)
        file = server.root / name
        ada, bob = await join(server, name), await join(server, name, token="bob")
        write(ada, "typed")
        assert await ada.save() == "success"
        before = file.read_text()
        if asleep:
            await ada.close()
        file.write_text(before.replace("begin", "different", 1))
        await until(lambda: words(said(bob)) == ["different", "end", "typed"], lambda: said(bob))
        await until(lambda: asleep or words(said(ada)) == words(said(bob)))
        write(bob, "unsaved")
        await until(lambda: is_logged(server, "unsaved") and (asleep or "unsaved" in said(ada)))
        await ada.close()
        await bob.close()
        server.kill()
        file.write_text(before)
        (server.root / "now").touch()
        await asyncio.to_thread(server.start)
        return server, ada


def last_text(peer: Peer) -> Text:
    """Return where `write` writes: the text, or that of the last cell."""
    return peer.source if peer.kind == "file" else peer.cells[len(peer.cells) - 1]["source"]


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("name", NAMES)
async def test_who_typed_elsewhere_while_a_program_wrote_comes_in(
    start: Starter, join: Opener, name: str, at: int
) -> None:
    """The server is killed; a program adds to the file, two people type offline, each in another place."""
    server = start()
    write_files(server.root)
    ada, bob = await join(server, name), await join(server, name, token="bob")
    write(ada, "early")
    await saved(server, name, "begin", "end", "early")
    assert await ada.save() == "success"
    await known(server, name, ada, bob)
    server.kill()
    await until(lambda: not ada.online and not bob.online)
    file = server.root / name
    if name == "a.txt":
        file.write_text(f"outside\n{file.read_text()}")
    else:
        content = json.loads(file.read_text())
        content["cells"][at:at] = [code("early outside\n"), code("outside\n")]
        file.write_text(as_nbformat(content))
    write(ada, "early_ada", first=at > 0)
    write(bob, "begins_bob", first=at > 0)
    await asyncio.to_thread(server.start)
    put = ["outside"] if name == "a.txt" else ["early", "outside", "outside"]
    await saved(server, name, "begin", "end", "early", "early_ada", "begins_bob", *put)
    for page in (ada, bob, await join(server, name)):
        await until(lambda page=page: words(said(page)) == words(on_disk(file)), lambda page=page: said(page))
    assert not [code for page in (ada, bob) for code, _ in page.closes if code == 1003]
    assert copies(server) == {}
