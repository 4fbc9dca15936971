"""The past of a document: who changed what and when, what it was, and the way back; and the front end's timeline."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from pycrdt import Map, Text
from traitlets.config import Config

from jupyter_rtc.documents.formats.content import TextContent
from jupyter_rtc.documents.past.restore import set_to
from jupyter_rtc.relay import FreeRooms, MemoryStore, Relay

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter

Pauses = Callable[[], Any]

QUICK = "c.Relay.eviction_delay = 0.3\nc.Relay.compact_bytes = 1024\nc.Timelines.timeline_timeout = 1.0\n"


async def versions(server: Jupyter, path: str, token: str = "ada") -> list[dict[str, Any]]:
    """Ask for the versions of a document."""
    status, answer = await server.ask("GET", f"api/rtc/history/{quote(path)}", token=token)
    assert status == 200, answer
    return answer["versions"]


async def version(server: Jupyter, path: str, id: int) -> Any:
    """Ask for what a version held."""
    status, answer = await server.ask("GET", f"api/rtc/history/{quote(path)}?version={id}")
    assert status == 200, answer
    assert answer["version"]["id"] == id
    return answer["content"]


def said(file: Path) -> list[str]:
    """Return the sources of a notebook's cells on disk; nothing while it is being written."""
    try:
        return ["".join(cell["source"]) for cell in json.loads(file.read_text())["cells"]]
    except ValueError:
        return []


async def type_in_turns(server: Jupyter, path: str, *edits: Callable[[], Any]) -> None:
    """Let people edit one after the other, each in a version of its own."""
    for edit in edits:
        before = len(await versions(server, path))
        await asyncio.sleep(2.2)  # a pause ends a version: that is what is tested here
        edit()
        await until(lambda before=before: grown(server, path, before))


async def grown(server: Jupyter, path: str, before: int) -> bool:
    """Say whether a document has more than so many versions."""
    return len(await versions(server, path)) > before


async def test_versions_say_who_changed_what_and_when(jupyter: Jupyter, here: Path, join: Opener) -> None:
    path = f"{here.name}/tale.txt"
    (here / "tale.txt").write_text("Once\n")
    begun = time.time()
    ada, bob = await join(jupyter, path), await join(jupyter, path, token="bob")
    await type_in_turns(jupyter, path, lambda: ada.type("upon\n"), lambda: bob.type("a time\n"))
    found = await versions(jupyter, path)
    assert [one["authors"] for one in found] == [[], ["ada"], ["bob"]]
    assert begun - 1 <= found[1]["begun"] <= found[1]["ended"] < found[2]["begun"] <= time.time()
    contents = [await version(jupyter, path, one["id"]) for one in found]
    assert contents == ["Once\n", "Once\nupon\n", "Once\nupon\na time\n"]
    first, second, last = (one["id"] for one in found)
    _, answer = await jupyter.ask("GET", f"api/rtc/history/{path}?from={first}&to={last}")
    assert answer["diff"] == (f"--- version {first}\n+++ version {last}\n@@ -1,1 +1,3 @@\n Once\n+upon\n+a time\n")
    _, same = await jupyter.ask("GET", f"api/rtc/history/{path}?from={second}&to={second}")
    assert same["diff"] == ""


async def test_the_past_survives_folding_eviction_and_restart(start: Starter, join: Opener) -> None:
    server = start(QUICK)
    (server.root / "a.txt").write_text("0\n")
    ada = await join(server, "a.txt")
    await type_in_turns(server, "a.txt", lambda: ada.type("1\n" * 2000), lambda: ada.type("2\n" * 6000))
    await until(lambda: server.rooms()[ada.room]["log_bytes"] < 1024, lambda: server.rooms())
    found = await versions(server, "a.txt")
    await ada.close()
    await until(lambda: ada.room not in server.rooms())
    (server.root / "a.txt").write_text("0\n" + "1\n" * 2000 + "2\n" * 6000 + "git\n")
    bob = await join(server, "a.txt", token="bob")
    await until(lambda: "git" in bob.text)
    await bob.close()
    server.kill()
    server.start()
    assert await versions(server, "a.txt") != []
    after = await versions(server, "a.txt")
    assert [one["authors"] for one in after] == [[], ["ada"], ["ada"], [""]]
    assert [one["begun"] for one in after[:3]] == [one["begun"] for one in found]
    contents = [await version(server, "a.txt", one["id"]) for one in after]
    assert contents == ["0\n", "0\n" + "1\n" * 2000, "0\n" + "1\n" * 2000 + "2\n" * 6000, contents[2] + "git\n"]
    assert ada.room not in server.rooms()


async def test_a_notebook_goes_back_cell_by_cell(jupyter: Jupyter, here: Path, join: Opener) -> None:
    path = f"{here.name}/n.ipynb"
    cells = [code(f"x = {number}", id=f"c{number}") for number in range(4)]
    (here / "n.ipynb").write_text(as_nbformat(notebook(*cells)))
    ada, bob = await join(jupyter, path), await join(jupyter, path, token="bob")

    def change() -> None:
        with ada.doc.transaction():
            del ada.cells[1:2]
            ada.type("  # changed", 0)

    await type_in_turns(jupyter, path, change)
    first, last = (one["id"] for one in await versions(jupyter, path))
    content = await version(jupyter, path, first)
    nbformat.validate(nbformat.from_dict(content))
    assert [cell["source"] for cell in content["cells"]] == [f"x = {number}" for number in range(4)]
    _, answer = await jupyter.ask("GET", f"api/rtc/history/{path}?from={first}&to={last}")
    assert [(cell["change"], cell["id"]) for cell in answer["cells"]] == [("removed", "c1"), ("changed", "c0")]
    assert "+x = 0  # changed" in answer["cells"][1]["source"]
    assert answer["metadata"] is False

    untouched = bob.cells[2]["source"]
    status, answer = await jupyter.ask("POST", f"api/rtc/history/{path}", {"version": first}, token="bob")
    assert (status, answer["restored"]) == (200, first)
    for peer in (ada, bob):
        await until(lambda peer=peer: peer.sources == [f"x = {number}" for number in range(4)])
    bob.type("!", 3)
    assert str(untouched) == "x = 3!", "the cells that are the same were not touched"
    await until(lambda: said(here / "n.ipynb") == ["x = 0", "x = 1", "x = 2", "x = 3!"])
    assert "bob" in (await versions(jupyter, path))[-1]["authors"]


async def test_outputs_are_as_trusted_as_they_were(jupyter: Jupyter, here: Path, join: Opener) -> None:
    path = f"{here.name}/n.ipynb"
    (here / "n.ipynb").write_text(as_nbformat(notebook(code("x", id="c0"))))
    ada = await join(jupyter, path)

    def run(text: str) -> None:
        with ada.doc.transaction():
            ada.cells[0]["metadata"]["trusted"] = True
            ada.cells[0]["outputs"].clear()
            output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": text}}
            ada.cells[0]["outputs"].append(Map(output))

    await type_in_turns(jupyter, path, lambda: run("one"), lambda: run("two"))
    first = (await versions(jupyter, path))[-2]["id"]
    assert (await jupyter.ask("POST", f"api/rtc/history/{path}", {"version": first}))[0] == 200
    await until(lambda: ada.cells[0]["outputs"][0]["data"] == {"text/html": "one"})
    assert ada.cells[0]["metadata"]["trusted"] is True


async def test_a_notebook_of_two_thousand_cells_goes_back_with_nobody_there(start: Starter, join: Opener) -> None:
    server = start(QUICK)
    sources = [f"value_{number} = {number}" for number in range(2000)]
    cells = [code(source, id=f"c{number}") for number, source in enumerate(sources)]
    (server.root / "n.ipynb").write_text(as_nbformat(notebook(*cells)))
    ada = await join(server, "n.ipynb")

    def change() -> None:
        with ada.doc.transaction():
            del ada.cells[100:1900]

    await type_in_turns(server, "n.ipynb", change, lambda: ada.type("!", 0))
    await ada.close()
    await until(lambda: ada.room not in server.rooms())
    server.kill()
    server.start()
    first, middle, last = (one["id"] for one in await versions(server, "n.ipynb"))
    assert len((await version(server, "n.ipynb", middle))["cells"]) == 200
    _, answer = await server.ask("GET", f"api/rtc/history/n.ipynb?from={first}&to={last}")
    assert [cell["change"] for cell in answer["cells"]] == ["removed"] * 1800 + ["changed"]
    assert (await server.ask("POST", "api/rtc/history/n.ipynb", {"version": first}))[0] == 200

    await until(lambda: said(server.root / "n.ipynb") == sources)


async def test_restoring_opens_a_document_that_nobody_has_open_and_saves_it(start: Starter, join: Opener) -> None:
    server = start(QUICK)
    (server.root / "a.txt").write_text("good\n")
    ada = await join(server, "a.txt")
    await type_in_turns(server, "a.txt", lambda: ada.source.clear(), lambda: ada.type("bad\n"))
    await ada.save()
    await ada.close()
    await until(lambda: ada.room not in server.rooms())
    first = (await versions(server, "a.txt"))[0]["id"]
    status, _ = await server.ask("POST", "api/rtc/history/a.txt", {"version": first})
    assert status == 200
    await until(lambda: (server.root / "a.txt").read_text() == "good\n")
    await until(lambda: ada.room not in server.rooms())
    ada.connect()
    await until(lambda: ada.text == "good\n", lambda: ada.text)


async def test_what_people_type_while_a_version_is_restored_survives_once(
    jupyter: Jupyter, here: Path, join: Opener
) -> None:
    path = f"{here.name}/a.txt"
    (here / "a.txt").write_text("".join(f"line {number}\n" for number in range(2000)))
    ada, bob = await join(jupyter, path), await join(jupyter, path, token="bob")
    await type_in_turns(jupyter, path, lambda: ada.type("a line to be gone\n"))
    first = (await versions(jupyter, path))[0]["id"]
    asking = asyncio.ensure_future(jupyter.ask("POST", f"api/rtc/history/{path}", {"version": first}))
    number, last = 0, 0
    while not asking.done() or number < last:
        if not asking.done():
            last = number + 50  # so many come after it in any case
        bob.source.insert(0, f"<{number}>")
        number += 1
        await asyncio.sleep(0.002)
    assert (await asking)[0] == 200
    await until(lambda: ada.text == bob.text and "to be gone" not in ada.text)
    kept = sorted(map(int, re.findall(r"<(\d+)>", ada.text)))
    assert kept == list(range(number))[-len(kept) :], "all but what was typed before the version was restored"
    assert len(kept) > 40


async def test_what_several_bring_back_at_once_stands_once_whatever_is_typed_between_them() -> None:
    content, relay = TextContent(), Relay([FreeRooms()], config=Config({"Relay": {"store_class": MemoryStore}}))
    words = [f"word{number}" for number in range(500)]
    version = content.parse(" ".join(words))

    async with relay.hold("room") as room:

        def type_into_it(update: bytes | None, author: str) -> None:
            """Type as soon as somebody has brought the version back, in the midst of it."""
            if author:
                room.edit(lambda doc: doc.get("source", type=Text).insert(1000, "<typed>"))

        room.edit(lambda doc: doc.get("source", type=Text).insert(0, "what it said after that"))
        room.follow(type_into_it)
        await asyncio.gather(*(set_to(room, content, version, who, relay.asked) for who in ("ada", "bob", "eve")))
        assert str(room.doc.get("source", type=Text)).replace("<typed>", "").split() == words
    await relay.close()


async def test_bad_requests_are_told_what_is_wrong(jupyter: Jupyter, here: Path, join: Opener) -> None:
    path = f"{here.name}/a.txt"
    (here / "a.txt").write_text("a")
    (here / "closed.txt").write_text("a")
    (here / "loop").symlink_to("loop")
    await join(jupyter, path)
    api = f"api/rtc/history/{path}"
    for method, url, body, expected, words in (
        ("GET", f"api/rtc/history/{here.name}/no.txt", None, 404, "no.txt"),
        ("GET", f"{api}?version=99999", None, 404, "no version 99999"),
        ("GET", f"{api}?version=x", None, 400, "version"),
        ("GET", f"{api}?version=-1", None, 400, "version"),
        ("GET", f"{api}?from=1", None, 400, "to"),
        ("GET", f"{api}?from=1&to=77777", None, 404, "77777"),
        ("GET", f"{api}?type=nonsense", None, 400, "nonsense"),
        ("GET", f"{api}?format=nonsense", None, 400, "nonsense"),
        ("POST", api, None, 400, "version"),
        ("POST", api, {}, 400, "version"),
        ("POST", api, {"version": "1"}, 400, "version"),
        ("POST", api, {"version": True}, 400, "version"),
        ("POST", api, [1], 400, "object"),
        ("POST", api, b"\xff", 400, "UTF-8"),
        ("POST", api, {"version": 77777}, 404, "77777"),
        ("GET", f"api/collaboration/timeline/{here.name}/no.txt?format=text&&type=file", None, 404, "no.txt"),
        ("GET", f"api/collaboration/timeline/{here.name}/closed.txt?format=text&&type=file", None, 404, "closed.txt"),
        ("GET", f"api/rtc/history/{here.name}/loop", None, 404, "loop"),
        ("GET", f"api/collaboration/timeline/{path}?format=json&&type=file", None, 400, "format"),
        ("PUT", "api/collaboration/undo_redo/x?action=undo&&steps=1&&forkRoom=no", None, 404, "not found"),
        ("PUT", "api/collaboration/undo_redo/x?action=jump&&steps=1&&forkRoom=no", None, 400, "action"),
        ("PUT", "api/collaboration/undo_redo/x?action=undo&&steps=one&&forkRoom=no", None, 400, "steps"),
    ):
        status, answer = await jupyter.ask(method, url, body)
        assert (status, words in answer["message"]) == (expected, True), (url, answer)
    assert await versions(jupyter, f"{here.name}/closed.txt") == []
    status, answer = await jupyter.ask("GET", f"api/rtc/history/{here.name}/closed.txt?version=1")
    assert status == 404
    assert (await jupyter.ask("GET", api, token="nobody"))[0] == 403


# The front end's timeline


class Timeline:
    """The slider of a front end: the same document, connected to the timeline's room and back again."""

    def __init__(self, server: Jupyter, peer: Peer, path: str) -> None:
        self.server, self.peer, self.path = server, peer, path
        self.root = peer.room

    async def open(self) -> list[float]:
        """Ask for the timeline, as the front end does, and connect the document to its room."""
        form = "json" if self.peer.kind == "notebook" else "text"
        url = f"api/collaboration/timeline/{self.path}?format={form}&&type={self.peer.kind}"
        status, answer = await self.server.ask("GET", url, token=self.peer.token)
        assert status == 200, answer
        assert answer["roomId"] == self.root
        assert answer["sessionId"] == self.peer.session
        self.fork = answer["forkRoom"]
        assert re.fullmatch("[0-9a-f]{32}", self.fork)
        await self.connect(self.fork)
        self.at = len(answer["timestamps"]) - 1
        return answer["timestamps"]

    async def connect(self, room: str) -> None:
        """Let the provider go and make a new one, for another room and the same document."""
        await self.peer.close()
        self.peer.room = room
        self.peer.connect()
        await until(lambda: self.peer.online, lambda: self.peer.closes)

    async def slide(self, to: int) -> Any:
        """Move the slider."""
        action, steps = ("undo" if to < self.at else "redo"), abs(to - self.at)
        self.at = to
        return await self.step(action, steps)

    async def step(self, action: str, steps: int = 0) -> Any:
        """Ask for steps, or for the end."""
        room = quote(self.root, safe="")
        url = f"api/collaboration/undo_redo/{room}?action={action}&&steps={steps}&&forkRoom={self.fork}"
        return await self.server.ask("PUT", url, token=self.peer.token)

    async def restore(self) -> None:
        """Press the button."""
        status, answer = await self.step("restore")
        assert (status, answer) == (200, {"code": 200, "status": "Document restored successfully"})
        await self.peer.ask()
        await self.connect(self.root)


async def test_the_timeline_goes_back_and_what_it_showed_is_restored(
    jupyter: Jupyter, here: Path, join: Opener
) -> None:
    path, begun = f"{here.name}/n.ipynb", time.time()
    (here / "n.ipynb").write_text(as_nbformat(notebook(code("a", id="c0"), code("b", id="c1"))))
    ada, bob = await join(jupyter, path), await join(jupyter, path, token="bob")
    await type_in_turns(jupyter, path, lambda: ada.type(" 1", 0), lambda: ada.type(" 2", 0), lambda: bob.cells.pop(1))
    await until(lambda: len(ada.cells) == 1)
    timeline = Timeline(jupyter, ada, path)
    stamps = await timeline.open()
    assert len(stamps) == 4
    assert stamps == sorted(stamps)
    assert all(isinstance(stamp, float) and begun - 1 <= stamp <= time.time() for stamp in stamps)
    assert await timeline.slide(2) == (200, {"status": "undone"})
    await until(lambda: ada.sources == ["a 1 2", "b"], lambda: ada.sources)
    assert await timeline.slide(0) == (200, {"status": "undone"})
    await until(lambda: ada.sources == ["a", "b"], lambda: ada.sources)
    status, answer = await timeline.step("undo", 1)
    assert status == 200
    assert answer["error"].startswith("No more")
    bob.type(" and bob", 0)
    assert await timeline.slide(1) == (200, {"status": "redone"})
    await until(lambda: ada.sources == ["a 1", "b"], lambda: ada.sources)
    assert bob.sources == ["a 1 2 and bob"], "nothing of it is in the document yet"
    await timeline.restore()
    for peer in (ada, bob):
        await until(lambda peer=peer: sorted(peer.sources[0].split()) == ["1", "a", "and", "bob"])
        await until(lambda peer=peer: peer.sources[1:] == ["b"], lambda peer=peer: peer.sources)
    await until(lambda: said(here / "n.ipynb") == ada.sources)
    bob.type(" goes on", 1)
    await until(lambda: ada.sources == bob.sources and ada.sources[1] == "b goes on")


async def test_a_dragged_slider_asks_many_times_at_once(jupyter: Jupyter, here: Path, join: Opener) -> None:
    path = f"{here.name}/a.txt"
    (here / "a.txt").write_text("0")
    ada = await join(jupyter, path)
    await type_in_turns(jupyter, path, *(lambda: ada.type("x") for _ in range(4)))
    timeline = Timeline(jupyter, ada, path)
    assert len(await timeline.open()) == 5
    # Which of them comes first is open: one step at a time, each is done whole or, at an end, not at all.
    answers = await asyncio.gather(*(timeline.step("undo", 1) for _ in range(4)), timeline.step("redo", 1))
    assert {status for status, _ in answers} == {200}
    moved = sum({"undone": -1, "redone": 1}.get(answer.get("status", ""), 0) for _, answer in answers)
    await until(lambda: len(ada.text) == 5 + moved, lambda: (moved, ada.text))
    await timeline.slide(0)


async def test_a_reader_may_look_and_not_restore(jupyter: Jupyter, here: Path, join: Opener) -> None:
    path = f"{here.name}/a.txt"
    (here / "a.txt").write_text("first\n")
    ada, rita = await join(jupyter, path), await join(jupyter, path, token="rita")
    await type_in_turns(jupyter, path, lambda: ada.type("second\n"))
    await until(lambda: "second" in rita.text)
    found = await versions(jupyter, path, token="rita")
    body = {"version": found[0]["id"]}
    assert (await jupyter.ask("POST", f"api/rtc/history/{path}", body, token="rita"))[0] == 403
    timeline = Timeline(jupyter, rita, path)
    await timeline.open()
    assert await timeline.slide(0) == (200, {"status": "undone"})
    await until(lambda: rita.text == "first\n")
    assert (await timeline.step("restore"))[0] == 403
    await timeline.connect(timeline.root)
    ada.type("third\n")
    await until(lambda: "third" in rita.text)
    assert ada.text == "first\nsecond\nthird\n"
    await until(lambda: (here / "a.txt").read_text() == ada.text)


async def test_timelines_are_bounded_and_go_when_nobody_looks(start: Starter, join: Opener) -> None:
    server = start(QUICK + "c.Timelines.max_timelines = 2\n")
    (server.root / "a.txt").write_text("a")
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    await type_in_turns(server, "a.txt", lambda: ada.type("b"))
    root = ada.room
    first, second = Timeline(server, ada, "a.txt"), Timeline(server, bob, "a.txt")
    await first.open()
    await second.open()
    assert {root, first.fork} >= server.rooms().keys() >= {first.fork}
    assert {root, second.fork} >= server.rooms("bob").keys() >= {second.fork}
    status, answer = await server.ask("GET", "api/collaboration/timeline/a.txt?format=text&&type=file")
    assert status == 503, answer
    await second.restore()
    await until(lambda: second.fork not in server.rooms("bob"))
    status, answer = await server.ask("GET", "api/collaboration/timeline/a.txt?format=text&&type=file")
    assert status == 200
    await until(lambda: answer["forkRoom"] not in server.rooms())
    assert (await first.slide(0))[0] == 200
    assert (await second.step("undo", 1))[0] == 404
