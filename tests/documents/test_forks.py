"""Forks of a document over the front end's HTTP contract, with and without synchronisation, until they are merged."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from pathlib import Path
from typing import Any

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .listening import FORK, heard
from .peer import Peer, until
from .process import Jupyter

QUICK = "c.Relay.eviction_delay = 0.3\n"


async def fork(server: Jupyter, root: str, token: str = "ada", **about: Any) -> dict[str, Any]:
    """Make a fork, as the front end does."""
    status, answer = await server.ask("PUT", f"api/collaboration/fork/{root}", about, token)
    assert status == 201, answer
    assert re.fullmatch("[0-9a-f]{32}", answer["fork_roomid"])
    return answer


async def end(server: Jupyter, name: str, merge: bool, token: str = "ada") -> None:
    """Merge a fork, or throw it away."""
    status, answer = await server.ask(
        "DELETE", f"api/collaboration/fork/{name}?merge={str(merge).lower()}", None, token
    )
    assert (status, answer) == (200, None)


async def enter(server: Jupyter, made: dict[str, Any], like: Peer, token: str = "ada") -> Peer:
    """Open a fork in a tab of its own."""
    peer = Peer(server, "", like.kind, "", token)
    peer.room, peer.session = made["fork_roomid"], made["sessionId"]
    peer.connect()
    return await peer.ready()


async def test_a_fork_is_worked_in_beside_the_document_and_merged(jupyter: Jupyter, here: Path, join: Opener) -> None:
    path = f"{here.name}/n.ipynb"
    (here / "n.ipynb").write_text(as_nbformat(notebook(code("a", id="c0"), code("b", id="c1"))))
    ada, bob = await join(jupyter, path), await join(jupyter, path, token="bob")
    made = await fork(jupyter, ada.room, title="Idea", description="What if")
    about = {"root_roomid": ada.room, "synchronize": False, "title": "Idea", "description": "What if"}
    assert made["fork_info"] == about
    assert made["sessionId"] == ada.session
    url = f"api/collaboration/fork/{ada.room}"
    assert await jupyter.ask("GET", url) == (200, {made["fork_roomid"]: about})

    beside = await enter(jupyter, made, ada)
    assert beside.sources == ["a", "b"]
    beside.type(" forked", 0)
    del beside.cells[1:2]
    ada.type(" meanwhile", 0)
    bob.type(" edited", 1)
    await until(lambda: ada.sources == bob.sources == ["a meanwhile", "b edited"])
    assert beside.sources == ["a forked"]
    other = await enter(jupyter, made, ada, "bob")
    await until(lambda: other.sources == ["a forked"])
    await other.close()
    state = ada.state
    await end(jupyter, made["fork_roomid"], merge=True)
    for peer in (ada, bob):
        await until(lambda peer=peer: sorted(peer.sources[0].split()) == ["a", "forked", "meanwhile"])
        assert len(peer.sources) == 1
    assert ada.state["document_id"] == state["document_id"] == ada.room
    assert ada.state["path"] == path
    assert await jupyter.ask("GET", url) == (200, {})
    await until(lambda: beside.closes and not beside.online)
    assert beside.closes[0][0] == 1001
    await until(lambda: "forked" in (here / "n.ipynb").read_text())
    await beside.close()
    _, answer = await jupyter.ask("GET", f"api/rtc/history/{path}")
    assert "ada" in answer["versions"][-1]["authors"]


async def test_a_synchronised_fork_follows_its_document(jupyter: Jupyter, here: Path, join: Opener) -> None:
    path = f"{here.name}/a.txt"
    (here / "a.txt").write_text("begin\n")
    ada = await join(jupyter, path)
    made = await fork(jupyter, ada.room, synchronize=True)
    beside = await enter(jupyter, made, ada, "bob")
    beside.type("mine\n")
    for number in range(20):
        ada.source.insert(0, f"<{number}>")
    await until(lambda: "<19>" in beside.text and "mine" in beside.text, lambda: beside.text)
    assert "mine" not in ada.text
    other = await enter(jupyter, made, ada)
    await until(lambda: "mine" in other.text)
    await other.close()
    await end(jupyter, made["fork_roomid"], merge=True, token="bob")
    await until(lambda: "mine" in ada.text)
    assert ada.text == "".join(f"<{number}>" for number in reversed(range(20))) + "begin\nmine\n"
    await beside.close()


async def test_a_fork_that_is_thrown_away_changes_nothing(jupyter: Jupyter, here: Path, join: Opener) -> None:
    (here / "a.txt").write_text("a")
    ada = await join(jupyter, f"{here.name}/a.txt")
    made = await fork(jupyter, ada.room)
    beside = await enter(jupyter, made, ada)
    beside.type("b")
    await end(jupyter, made["fork_roomid"], merge=False)
    await until(lambda: not beside.online)
    await beside.close()
    ada.type("c")
    await ada.save()
    assert (here / "a.txt").read_text() == "ac"
    status, _ = await jupyter.ask("DELETE", f"api/collaboration/fork/{made['fork_roomid']}?merge=false")
    assert status == 404
    assert made["fork_roomid"] not in jupyter.rooms()


async def test_a_fork_follows_its_document_as_soon_as_that_can_be_opened(start: Starter, join: Opener) -> None:
    server = start(QUICK)
    file = server.root / "a.ipynb"
    file.write_text(whole := as_nbformat(notebook(code("begin\n"))))
    ada = await join(server, "a.ipynb")
    made = await fork(server, ada.room, synchronize=True)
    await ada.close()
    await until(lambda: not server.rooms())
    file.write_text("<<<<<<< HEAD")  # as a program leaves it for a moment
    beside = await enter(server, made, ada)
    file.write_text(whole)
    ada = await join(server, "a.ipynb")
    ada.cells[0]["source"].insert(0, "typed ")
    await until(lambda: "typed begin" in str(beside.cells[0]["source"]), lambda: str(beside.cells[0]["source"]))


async def test_forks_survive_eviction_and_kill_and_are_brought_up_to_date(start: Starter, join: Opener) -> None:
    server = start(QUICK)
    (server.root / "a.txt").write_text("begin\n")
    ada = await join(server, "a.txt")
    plain = await fork(server, ada.room, title="plain")
    following = await fork(server, ada.room, title="following", synchronize=True)
    for made in (plain, following):
        beside = await enter(server, made, ada)
        beside.type("beside\n")
        await until(lambda made=made: server.rooms()[made["fork_roomid"]]["updates"] >= 3)
        await beside.close()
        await until(lambda made=made: made["fork_roomid"] not in server.rooms())
    ada.type("later\n")
    await ada.save()
    server.kill()
    server.start()
    (server.root / "a.txt").write_text("begin\nlater\noutside\n")
    _, known = await server.ask("GET", f"api/collaboration/fork/{ada.room}")
    assert {about["title"] for about in known.values()} == {"plain", "following"}
    first, second = await enter(server, plain, ada), await enter(server, following, ada)
    assert first.text == "begin\nbeside\n"
    await until(lambda: "outside" in second.text, lambda: second.text)
    assert sorted(second.text.split()) == ["begin", "beside", "later", "outside"]
    for peer in (first, second):
        await peer.close()
    for made in (plain, following):
        await end(server, made["fork_roomid"], merge=True)
    await until(lambda: ada.online and ada.text.count("beside") == 2, lambda: ada.text)
    await until(lambda: (server.root / "a.txt").read_text() == ada.text)
    assert sorted(ada.text.split()) == ["begin", "beside", "beside", "later", "outside"]


async def test_forks_are_announced_as_events(jupyter: Jupyter, here: Path, join: Opener) -> None:
    (here / "a.txt").write_text("a")
    ada = await join(jupyter, f"{here.name}/a.txt")
    async with heard(jupyter, FORK) as events:
        made = await fork(jupyter, ada.room, token="bob", title="t")
        await end(jupyter, made["fork_roomid"], merge=False)

        def seen() -> list[dict[str, Any]]:
            return [event for event in events if event["fork_roomid"] == made["fork_roomid"]]

        await until(lambda: len(seen()) == 2)
        assert [(event["action"], event["username"]) for event in seen()] == [("create", "bob"), ("delete", "ada")]
        assert seen()[0]["fork_info"] == seen()[1]["fork_info"] == made["fork_info"]


async def test_a_user_and_all_have_so_many_forks_after_a_restart_too(start: Starter, join: Opener) -> None:
    server = start("c.Forks.max_forks_per_user = 2\nc.Forks.max_forks_in_total = 3\n")
    rooms = []
    for name in ("a.txt", "b.txt"):
        (server.root / name).write_text(name)
        rooms.append((await join(server, name)).room)
    made = [await fork(server, room) for room in rooms]
    server.terminate()
    await asyncio.to_thread(server.wait)
    await asyncio.to_thread(server.start)
    url = f"api/collaboration/fork/{rooms[1]}"
    status, answer = await server.ask("PUT", url, {}, "ada")
    assert (status, answer["message"]) == (429, "ada has 2 forks; merge or delete one")
    await fork(server, rooms[1], token="bob")
    status, answer = await server.ask("PUT", url, {}, "bob")
    assert (status, answer["message"]) == (429, "there are 3 forks; merge or delete one")
    await end(server, made[0]["fork_roomid"], merge=False)
    await fork(server, rooms[1])


async def test_what_cannot_be_is_refused_with_a_word(start: Starter, join: Opener) -> None:
    server = start("c.Forks.max_forks = 2\n")
    (server.root / "a.txt").write_text("a")
    ada = await join(server, "a.txt")
    url = "api/collaboration/fork"
    made = await fork(server, ada.room)
    for method, path, body, token, expected, words in (
        ("PUT", f"{url}/{made['fork_roomid']}", {}, "ada", 400, "fork the document"),
        ("PUT", f"{url}/text:file:nobody-knows", {}, "ada", 404, "nobody-knows"),
        ("PUT", f"{url}/JupyterLab:globalAwareness", {}, "ada", 404, "no document"),
        ("PUT", f"{url}/{ada.room}", {"title": 3}, "ada", 400, "title"),
        ("PUT", f"{url}/{ada.room}", {"synchronize": "yes"}, "ada", 400, "synchronize"),
        ("PUT", f"{url}/{ada.room}", b"[]", "ada", 400, "object"),
        ("DELETE", f"{url}/{made['fork_roomid']}", None, "ada", 400, "merge"),
        ("DELETE", f"{url}/{made['fork_roomid']}?merge=1", None, "ada", 400, "merge"),
        ("DELETE", f"{url}/{ada.room}?merge=true", None, "ada", 404, "no such fork"),
        ("PUT", f"{url}/{ada.room}", {}, "rita", 403, ""),
        ("DELETE", f"{url}/{made['fork_roomid']}?merge=true", None, "rita", 403, ""),
        ("GET", f"{url}/{ada.room}", None, "nobody", 403, ""),
    ):
        status, answer = await server.ask(method, path, body, token)
        assert (status, words in answer["message"]) == (expected, True), (path, answer)
    await fork(server, ada.room)
    status, answer = await server.ask("PUT", f"{url}/{ada.room}", {})
    assert (status, "2 forks" in answer["message"]) == (409, True)
    assert await server.ask("GET", f"{url}/nonsense") == (200, {})


async def test_a_reader_sees_a_fork_and_does_not_change_it(jupyter: Jupyter, here: Path, join: Opener) -> None:
    (here / "a.txt").write_text("a")
    ada = await join(jupyter, f"{here.name}/a.txt")
    made = await fork(jupyter, ada.room)
    rita, bob = await enter(jupyter, made, ada, "rita"), await enter(jupyter, made, ada, "bob")
    rita.type("no")
    bob.type("b")
    await until(lambda: "b" in rita.text)
    assert bob.text == "ab"
    for peer in (rita, bob):
        await peer.close()


async def test_forks_that_nobody_uses_are_thrown_away(start: Starter, join: Opener) -> None:
    server = start(QUICK + "c.Forks.max_fork_age = 1.0\n")
    (server.root / "a.txt").write_text("a")
    ada = await join(server, "a.txt")
    old, new = await fork(server, ada.room), await fork(server, ada.room)
    await until(lambda: server.rooms().keys() == {ada.room})
    described = server.data / "jupyter_rtc" / "forks" / f"{old['fork_roomid']}.json"
    assert json.loads(described.read_text()) == old["fork_info"] | {"author": "ada"}
    assert described.parent.stat().st_mode & 0o077 == 0
    os.utime(described, (time.time() - 2 * 86_400,) * 2)
    _, known = await server.ask("GET", f"api/collaboration/fork/{ada.room}")
    assert known.keys() == {new["fork_roomid"]}
    assert not described.exists()


async def test_a_fork_of_a_history_that_was_lost_is_kept_and_not_merged(start: Starter, join: Opener) -> None:
    """The store is wiped and the file edited: what is rebuilt has another history, and all would stand twice."""
    server = start(QUICK)
    (server.root / "a.txt").write_text("begin\n")
    ada = await join(server, "a.txt")
    made = await fork(server, ada.room)
    await ada.close()
    await asyncio.to_thread(server.kill)
    (server.data / "jupyter_rtc" / "rooms.db").unlink()
    for rest in (server.data / "jupyter_rtc").glob("rooms.db-*"):
        rest.unlink()
    (server.root / "a.txt").write_text("other\n")
    server.start()
    status, answer = await server.ask("DELETE", f"api/collaboration/fork/{made['fork_roomid']}?merge=true")
    assert (status, "lost" in answer["message"]) == (409, True)
    assert (server.root / "a.txt").read_text() == "other\n"
    await end(server, made["fork_roomid"], merge=False)


async def test_a_document_of_another_history_does_not_come_into_a_fork(
    jupyter: Jupyter, here: Path, join: Opener
) -> None:
    (here / "a.txt").write_text("a")
    (here / "b.txt").write_text("b")
    ada, bob = await join(jupyter, f"{here.name}/a.txt"), await join(jupyter, f"{here.name}/b.txt", token="bob")
    made = await fork(jupyter, ada.room)
    beside = await enter(jupyter, made, ada)
    await bob.close()
    bob.room = made["fork_roomid"]
    bob.connect()
    await until(lambda: bob.disposed, lambda: bob.closes)
    assert bob.closes[-1][0] == 1003
    beside.type("!")
    again = await enter(jupyter, made, ada)
    await until(lambda: again.text == "a!")
    for peer in (beside, again):
        await peer.close()
