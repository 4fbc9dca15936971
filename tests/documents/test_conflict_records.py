"""Where an outside edit meets what people typed, both texts stay, and a record says where: for everybody, and once."""

from __future__ import annotations

import asyncio
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from .conftest import Opener, Starter
from .examples import as_nbformat, code, markdown, notebook
from .listening import heard, sentences
from .peer import Peer, until
from .process import Jupyter
from .test_outside import HOLDING

UNHURRIED = "c.Documents.save_delay = c.Documents.max_save_delay = 3\n"


def records(peer: Peer) -> dict[str, dict[str, Any]]:
    """Return the records that a client sees, by their ids."""
    return {key.split()[1]: value for key, value in peer.state.items() if key.startswith("conflict ")}


async def listed(server: Jupyter, path: str = "", more: str = "", token: str = "ada") -> list[dict[str, Any]]:
    """Return the conflicts that the server lists: those of a file, or of all documents."""
    query = f"?path={quote(path)}{more}" if path else ""
    status, answer = await server.ask("GET", f"api/rtc/conflicts{query}", token=token)
    assert status == 200, answer
    found: list[dict[str, Any]] = answer["conflicts"]
    return found


async def dismissed(server: Jupyter, id: str, path: str = "", token: str = "ada") -> int:
    """Dismiss a conflict; return the status of the answer."""
    query = f"?path={quote(path)}" if path else ""
    status, _ = await server.ask("DELETE", f"api/rtc/conflicts/{id}{query}", token=token)
    return status


async def agreed(file: Path, *peers: Peer) -> str:
    """Wait until a text file and all its clients say the same, and it is saved; return that."""
    await until(lambda: {peer.text for peer in peers} == {file.read_text()}, lambda: (file.read_text(), peers[0].text))
    return peers[0].text


async def test_everybody_sees_it_and_is_told(jupyter: Jupyter, here: Path, join: Opener) -> None:
    file, path = here / "a.txt", f"{here.name}/a.txt"
    file.write_text("one\ntwo\nthree\n")
    ada, bob = [await join(jupyter, path, token=token) for token in ("ada", "bob")]
    async with heard(jupyter) as events:
        ada.source.insert(7, " ada")
        file.write_text("zero\none\ntwo outside\nthree\n")
        await until(lambda: records(ada) and records(bob) == records(ada), lambda: (ada.text, ada.state))
        said = f"{path} was changed on both sides: line 3. What each wrote is listed at api/rtc/conflicts."
        await until(lambda: sentences(events, ada.room) == [said], lambda: events)
    ((id, record),) = records(bob).items()
    expected = {"part": "source", "cell": None, "lines": [3, 3], "typed_by": ["ada"], "outside_by": ""}
    expected |= {"base": "two\n", "typed": "two ada\n", "outside": "two outside\n", "time": record["time"]}
    assert record == expected
    assert sorted((await agreed(file, ada, bob)).split()) == ["ada", "one", "outside", "three", "two", "zero"]
    assert f"room {ada.room}: {path} was changed on both sides: line 3" in jupyter.log()
    assert (await asyncio.to_thread(jupyter.rooms))[ada.room]["conflicts"] == 1
    assert await listed(jupyter, path) == [{"id": id, "path": path, "room": ada.room, **record}]
    assert ada.state["dirty"] is False


async def test_a_notebook(jupyter: Jupyter, here: Path, join: Opener) -> None:
    file, path = here / "a.ipynb", f"{here.name}/a.ipynb"
    file.write_text(as_nbformat(notebook(code("one\n"), markdown("two\n"), code("three\n"))))
    ada, bob = [await join(jupyter, path, token=token) for token in ("ada", "bob")]
    ada.type("ada\n", 0)
    bob.type("bob\n", 1)
    await until(lambda: ada.sources[1] == "two\nbob\n")
    file.write_text(as_nbformat(notebook(code("one\noutside\n"), code("three outside\n", id="cell-2"))))
    await until(lambda: len(records(ada)) == 2, lambda: (ada.sources, ada.state))
    found = {record["cell"]: record for record in records(ada).values()}
    assert {cell: (record["part"], record["lines"]) for cell, record in found.items()} == {
        "cell-0": ("source", [2, 3]),
        "cell-1": ("cell", None),
    }
    assert found["cell-1"]["outside"] is None
    assert sorted(found["cell-0"]["typed_by"]) == ["ada", "bob"]
    assert ada.sources[1:] == ["two\nbob\n", "three outside\n"]


async def test_a_rewrite_while_two_type_into_the_same_line(start: Starter, join: Opener) -> None:
    """As git checks out another branch, again and again. A line of numbers that neither touches is in no record."""
    server = start(UNHURRIED)

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *who, *arguments], cwd=server.root, check=True, capture_output=True)

    file = server.root / "a.txt"
    file.write_text("first\n-\ntitle\n-\nlast\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "1")
    git("checkout", "-b", "other")
    file.write_text("first here\n-\ntitle other\n-\nlast\n")
    git("commit", "-am", "2")
    git("checkout", "main")
    ada, bob = [await join(server, "a.txt", token=token) for token in ("ada", "bob")]
    words = ["ada0", "bob0"]
    for peer in (ada, bob):
        peer.source.insert(peer.text.index("title"), f"{peer.token}0 ")
    git("checkout", "other")
    for number in range(1, 15):
        for peer in (ada, bob):
            words.append(f"{peer.token}{number}")
            peer.source.insert(peer.text.index("title"), f"{words[-1]} ")
        await asyncio.sleep(0.03)
    await until(lambda: records(bob), lambda: bob.text)
    assert await ada.save() == "success"
    text = await agreed(file, ada, bob)
    assert sorted(text.split()) == sorted(["first", "here", "-", "title", "other", "-", "last", *words])
    found = list(records(ada).values())
    assert [record["lines"] for record in found] == [[3, 3]]
    assert "title other\n" in found[0]["outside"]
    assert "ada0 " in found[0]["typed"]


@pytest.mark.parametrize("times", [1, 9])
async def test_who_types_while_it_is_being_stored(start: Starter, join: Opener, tmp_path: Path, times: int) -> None:
    """Again and again, until the edit is merged in one go: there is one record, and it has what was typed till then."""
    held = tmp_path / "held"
    held.mkdir()
    server = start(f"HELD = {str(held)!r}\n{UNHURRIED}{HOLDING}")
    file = server.root / "a.txt"
    file.write_text("one\ntwo\n")
    ada, bob = [await join(server, "a.txt", token=token) for token in ("ada", "bob")]
    (held / "on").touch()
    file.write_text("one\ntwo outside\n")
    words = []
    for number in range(1, times + 1):
        await until(lambda number=number: (held / str(number)).exists() or "outside" in ada.text)
        words.append(f"bob{number}")
        bob.source.insert(4, f"{words[-1]} ")
        await until(lambda word=words[-1]: word in ada.text)
        (held / str(number)).unlink(missing_ok=True)
    (held / "on").unlink()
    await until(lambda: records(ada) and "outside" in ada.text, lambda: ada.text)
    assert sorted((await agreed(file, ada, bob)).split()) == sorted(["one", "two", "outside", *words])
    (record,) = records(ada).values()
    assert "bob1 two\n" in record["typed"]
    assert (record["outside"], record["typed_by"]) == ("two outside\n", ["bob"])


async def test_two_views_of_one_file(jupyter: Jupyter, here: Path, join: Opener) -> None:
    file, path = here / "a.ipynb", f"{here.name}/a.ipynb"
    file.write_text(as_nbformat(notebook(code("one"), code("two"))))
    note = await join(jupyter, path)
    text = await join(jupyter, path, "file", "text", "bob")
    note.show(autosave=False)  # so that both have something that the file has not
    note.type(" note", 0)
    note.type(" alone", 1)
    text.source.insert(text.text.encode().index(b'"one') + 4, " text")
    await until(lambda: records(note), lambda: (note.sources, file.read_text()))
    (record,) = records(note).values()
    assert (record["cell"], record["typed"], record["outside"]) == ("cell-0", "one note", "one text")
    assert await note.save() == "success"
    await until(lambda: text.text == file.read_text() and "note" in text.text, lambda: text.text)
    found = await listed(jupyter, path)
    assert note.room in [conflict["room"] for conflict in found]
    assert len(found) == len(records(note)) + len(records(text))


async def test_edits_that_do_not_meet_leave_no_record(jupyter: Jupyter, here: Path, join: Opener) -> None:
    """Nor those that both sides made alike, which stand once."""
    file, path = here / "a.txt", f"{here.name}/a.txt"
    file.write_text("one\n-\ntwo\n-\nthree\n")
    ada = await join(jupyter, path)
    ada.source.insert(0, "ada\n")
    ada.source.insert(ada.text.index("two"), "alike ")
    file.write_text("one\n-\nalike two\n-\nthree\noutside\n")
    expected = "ada\none\n-\nalike two\n-\nthree\noutside\n"
    await until(lambda: ada.text == expected, lambda: ada.text)
    await agreed(file, ada)
    assert records(ada) == {}
    assert await listed(jupyter, path) == []


async def test_a_document_of_another_history_that_is_merged(start: Starter, join: Opener) -> None:
    """The store was lost while bob was away with edits; ada typed into the same line meanwhile."""
    server = start()
    file = server.root / "a.txt"
    file.write_text("one\ntwo\n")
    bob = await join(server, "a.txt", token="bob")
    bob.type("three\n")
    await agreed(file, bob)
    await until(lambda: bob.state["dirty"] is False)
    await bob.close()
    server.kill()
    for part in server.database.parent.glob("rooms.db*"):
        part.unlink()
    await asyncio.to_thread(server.start)
    ada = await join(server, "a.txt")
    ada.source.insert(7, " ada")
    bob.source.insert(7, " bob")
    bob.connect()
    await until(lambda: records(ada), lambda: (ada.text, bob.closes))
    (record,) = records(ada).values()
    assert (record["outside_by"], record["typed"], record["outside"]) == ("bob", "two ada\n", "two bob\n")
    await until(lambda: "merged" in bob.closes[-1][1], lambda: bob.closes)
    assert sorted((await agreed(file, ada)).split()) == ["ada", "bob", "one", "three", "two"]


DYING = '''
import os, signal
from jupyter_rtc.relay import SQLiteStore


class DyingStore(SQLiteStore):
    """Ends the server, as the power would, right after it has stored what it was given, if a file says so."""

    async def flush(self):
        await super().flush()
        if os.path.exists(DEATH):
            os.kill(os.getpid(), signal.SIGKILL)


c.Relay.store_class = DyingStore
'''


@pytest.mark.parametrize("moment", ["before anybody sees it", "when it is seen", "while the server is down"])
async def test_through_a_kill(start: Starter, join: Opener, tmp_path: Path, moment: str) -> None:
    """The record is where the merge is, and there is one."""
    death = tmp_path / "death"
    server = start(f"DEATH = {str(death)!r}\n{UNHURRIED}{DYING}")
    file = server.root / "a.txt"
    file.write_text("one\ntwo\n")
    ada, bob = [await join(server, "a.txt", token=token) for token in ("ada", "bob")]
    ada.source.insert(7, " ada")
    await until(lambda: "ada" in bob.text)
    if moment == "while the server is down":
        death.touch()
        with suppress(ConnectionError):
            await ada.save()
        await until(lambda: not server.alive())
        file.write_text("one\ntwo outside\n")
    elif moment == "before anybody sees it":
        death.touch()
        file.write_text("one\ntwo outside\n")
        await until(lambda: not server.alive())
        assert records(bob) == {}
    else:
        file.write_text("one\ntwo outside\n")
        await until(lambda: records(bob))
        server.kill()
    death.unlink(missing_ok=True)
    await asyncio.to_thread(server.start)
    await until(lambda: len(records(ada)) == 1 and records(bob) == records(ada), lambda: (ada.text, ada.state))
    assert sorted((await agreed(file, ada, bob)).split()) == ["ada", "one", "outside", "two"]
    ((id, record),) = records(bob).items()
    assert (record["typed"], record["outside"]) == ("two ada\n", "two outside\n")
    assert [conflict["id"] for conflict in await listed(server)] == [id]
    assert re.search(rf"room {ada.room}: a.txt was changed on both sides(.*)?: line 2", server.log())
    # Dismissed is dismissed, whatever comes.
    assert await dismissed(server, id) == 204
    await until(lambda: not records(ada) and not records(bob))
    server.kill()
    await asyncio.to_thread(server.start)
    await until(lambda: ada.online and bob.online)
    assert await listed(server) == await listed(server, "a.txt") == []
    assert sorted(file.read_text().split()) == ["ada", "one", "outside", "two"]


class TestListed:
    async def conflict(self, server: Jupyter, path: str, join: Opener) -> Peer:
        """Bring a conflict about in a new file; return a client that has it open."""
        file = server.root / path
        file.write_text("one\n")
        peer = await join(server, path)
        peer.type(" ada")
        file.write_text("one outside\n")
        await until(lambda: records(peer), lambda: (peer.text, file.read_text()))
        await agreed(file, peer)
        return peer

    async def test_of_a_document_that_is_not_open(self, start: Starter, join: Opener) -> None:
        server = start("c.Relay.eviction_delay = 0.2")
        peer = await self.conflict(server, "a.txt", join)
        (id,) = records(peer)
        await peer.close()
        await until(lambda: not server.rooms())
        assert await listed(server) == []
        (found,) = await listed(server, "a.txt")
        assert (found["id"], found["path"], found["room"]) == (id, "a.txt", peer.room)
        assert server.rooms() == {}
        assert await dismissed(server, id) == 404
        assert await dismissed(server, id, "a.txt") == 204
        assert await listed(server, "a.txt") == []
        await until(lambda: not server.rooms())
        assert await listed(server, "a.txt") == []

    async def test_who_opens_the_document_later_is_told_too(self, start: Starter, join: Opener) -> None:
        server = start("c.Relay.eviction_delay = 0.2")
        peer = await self.conflict(server, "a.txt", join)
        await peer.close()
        await until(lambda: not server.rooms())
        async with heard(server) as events:
            again = await join(server, "a.txt")
            await until(lambda: len(sentences(events, peer.room)) == 1, lambda: events)
        assert records(again) == records(peer)
        # It is edited and merged as any other; and the record goes when a client takes it away, too.
        (server.root / "a.txt").write_text(f"{again.text}more\n")
        await until(lambda: again.text.endswith("more\n"))
        assert len(records(again)) == 1
        (id,) = records(again)
        again.state_map.pop(f"conflict {id}")
        await until(lambda: server.rooms()[peer.room]["conflicts"] == 0)

    async def test_a_reader_may_list_and_not_dismiss(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        path = f"{here.name}/a.txt"
        peer = await self.conflict(jupyter, path, join)
        (found,) = await listed(jupyter, path, token="rita")
        assert await dismissed(jupyter, found["id"], path, token="rita") == 403
        for method in ("GET", "DELETE"):
            status, _ = await jupyter.ask(method, f"api/rtc/conflicts/{found['id']}", token="nobody")
            assert status in (403, 405)
        assert await dismissed(jupyter, found["id"], path) == 204
        assert await dismissed(jupyter, found["id"], path) == 404
        await until(lambda: not records(peer))

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("?path=none.txt", 404),
            ("?path=..%2F..%2Fetc%2Fpasswd", 404),
            ("?path=a%00b", 404),
            ("?path=%ff", 400),
            ("?path=none.txt&type=nonsense", 400),
            ("?path=none.txt&type=file&format=json", 400),
        ],
    )
    async def test_what_is_not_there(self, jupyter: Jupyter, query: str, status: int) -> None:
        assert (await jupyter.ask("GET", f"api/rtc/conflicts{query}"))[0] == status
        assert (await jupyter.ask("DELETE", f"api/rtc/conflicts/{'0' * 32}{query}"))[0] == status

    async def test_a_file_that_nobody_opened_has_none(self, jupyter: Jupyter, here: Path) -> None:
        (here / "a.txt").write_text("a")
        assert await listed(jupyter, f"{here.name}/a.txt") == []
        assert await listed(jupyter, f"{here.name}/a.txt", "&type=file&format=text") == []
        for id in ("0" * 32, "none", "%2F", "%00"):
            assert await dismissed(jupyter, id, f"{here.name}/a.txt") == 404


async def test_the_oldest_go_when_there_are_too_many(start: Starter, join: Opener) -> None:
    server = start(UNHURRIED)
    file = server.root / "a.txt"
    file.write_text("".join(f"{number}\n-{number}\n" for number in range(30)))
    peer = await join(server, "a.txt")
    for turn in range(3):
        written = file.read_text()
        for at in range(30):
            peer.source.insert(peer.text.index(f"\n-{at}\n"), f" ada{turn}")
            written = written.replace(f"\n-{at}\n", f" outside{turn}\n-{at}\n")
        file.write_text(written)
        await until(lambda turn=turn: peer.text.count(f"outside{turn}") == 30, lambda: peer.text)
        assert await peer.save() == "success"
    await until(lambda: len(records(peer)) == 50, lambda: len(records(peer)))
    turns = [re.findall(r"outside(\d)\n", record["outside"])[0] for record in records(peer).values()]
    assert sorted(turns) == ["1"] * 20 + ["2"] * 30


async def test_it_is_told_once_through_all_restarts(start: Starter, join: Opener) -> None:
    server = start(UNHURRIED)
    file = server.root / "a.txt"
    file.write_text("one\n")
    ada = await join(server, "a.txt")
    ada.source.insert(3, " ada")
    file.write_text("one outside\n")
    await until(lambda: records(ada), lambda: ada.text)
    told = "a.txt was changed on both sides: "
    assert server.log().count(told) == 1
    for number in range(2):
        await ada.close()
        server.kill()
        server.start()
        ada = await join(server, "a.txt")
        assert len(records(ada)) == 1
        assert server.log().count(told) == 1, number
