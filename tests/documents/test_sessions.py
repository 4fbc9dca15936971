"""The door to a document: what a session may be asked for, and whose document may come in."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter

TEXT = {"format": "text", "type": "file"}


def put(jupyter: Jupyter, path: str, body: Any, token: str = "ada") -> tuple[int, Any]:
    """Ask for a session, with any path and any body."""
    return jupyter.request("PUT", f"api/collaboration/session/{path}", body, token)


class TestAnswers:
    def test_what_it_says(self, jupyter: Jupyter, here: Path) -> None:
        (here / "a.txt").write_text("a")
        first = put(jupyter, quote(f"{here.name}/a.txt", safe=""), TEXT)
        assert first[0] == 201
        assert first[1].keys() == {"format", "type", "fileId", "sessionId"}
        assert (first[1]["format"], first[1]["type"]) == ("text", "file")
        # Slashes may be encoded or not, at the ends they do not matter, and the same file is the same document.
        for path in (f"{here.name}%2Fa.txt", f"{here.name}/a.txt", f"/{here.name}//./a.txt", f"{here.name}/a.txt/"):
            assert put(jupyter, path, TEXT) == (200, first[1])
        assert put(jupyter, f"{here.name}/a.txt", TEXT, "rita") == (200, first[1])

    def test_two_views_of_a_file_share_its_id(self, jupyter: Jupyter, here: Path) -> None:
        (here / "a.ipynb").write_text(as_nbformat(notebook(code("x"))))
        note = put(jupyter, f"{here.name}/a.ipynb", {"format": "json", "type": "notebook"})[1]
        text = put(jupyter, f"{here.name}/a.ipynb", TEXT)[1]
        assert note["fileId"] == text["fileId"]
        assert note["sessionId"] != text["sessionId"]

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            (b"", "object"),
            (b"{", "JSON"),
            (b"\xff\xfe", "JSON"),
            (b"[" * 100_000, "JSON"),
            ([], "object"),
            ("text", "object"),
            (None, "object"),
            ({}, "format"),
            ({"format": "text"}, "type"),
            ({"type": "file"}, "format"),
            ({"format": 1, "type": "file"}, "format"),
            ({"format": "text", "type": None}, "type"),
            ({"format": "text", "type": ["file"]}, "type"),
            ({"format": "", "type": "file"}, "format"),
            ({"format": "text", "type": ""}, "type"),
            ({"format": "text", "type": "\ud800"}, "type"),
        ],
    )
    def test_a_bad_body_is_refused_with_the_field_and_the_reason(
        self, jupyter: Jupyter, here: Path, body: Any, word: str
    ) -> None:
        (here / "a.txt").write_text("a")
        status, answer = put(jupyter, f"{here.name}/a.txt", body if body is not None else b"null")
        assert status == 400
        assert word in answer["message"]

    @pytest.mark.parametrize(
        "path",
        [
            "none.txt",
            "..%2F..%2Fetc%2Fpasswd",
            "../../etc/passwd",
            "%2Fetc%2Fpasswd",
            "a%00b.txt",
            "%2F",
            ".",
            "..",
            "x" * 300,
            "/".join(["x" * 200] * 30),
            "%F0%9F%98%80",
            "%ED%A0%80",
            "%FF",
            "a.txt%2Fb.txt",
            ".hidden.txt",
        ],
    )
    def test_a_path_without_a_file_is_not_found_or_no_file(self, jupyter: Jupyter, here: Path, path: str) -> None:
        (here / "a.txt").write_text("a")
        (here / ".hidden.txt").write_text("a")
        for tried in (path, f"{here.name}/{path}"):
            status, answer = put(jupyter, tried, TEXT)
            assert status in (400, 404), answer
        assert sorted(os.listdir(here)) == [".hidden.txt", "a.txt"]

    def test_other_methods(self, jupyter: Jupyter, here: Path) -> None:
        (here / "a.txt").write_text("a")
        for method in ("GET", "POST", "DELETE", "PATCH"):
            assert jupyter.request(method, f"api/collaboration/session/{here.name}/a.txt", TEXT)[0] == 405

    def test_without_a_name_nothing_is_said(self, jupyter: Jupyter, here: Path) -> None:
        (here / "a.txt").write_text("a")
        before = jupyter.rooms().keys()
        assert [put(jupyter, f"{here.name}/{name}", TEXT, "mallory")[0] for name in ("a.txt", "none")] == [403, 403]
        assert jupyter.rooms().keys() <= before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=8), part, max_size=3),
    max_leaves=5,
)
FIELD = st.one_of(JSON, st.sampled_from(["text", "json", "base64", "file", "notebook", "unicode", "blob"]))
BODIES = st.one_of(
    st.binary(max_size=20), JSON, st.fixed_dictionaries({}, optional={"format": FIELD, "type": FIELD, "x": JSON})
)
PATHS = st.one_of(
    st.text(max_size=20).map(lambda text: quote(text.encode(errors="surrogatepass"), safe="/")),
    st.binary(max_size=12).map(lambda data: quote(data, safe="/.")),
    st.sampled_from(["fuzz.txt", "fuzz.ipynb", "./fuzz.txt", "x/../fuzz.txt", "fuzz.txt/", "~", "fuzz.txt%00"]),
).filter(bool)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=PATHS, body=BODIES)
def test_no_request_is_the_servers_fault(jupyter: Jupyter, path: str, body: Any) -> None:
    (jupyter.root / "fuzz.txt").write_text("a")
    (jupyter.root / "fuzz.ipynb").write_text("no notebook")
    status, answer = put(jupyter, path, body)
    assert status in (200, 201, 400, 404, 405), answer
    if status < 300:
        assert set(answer) == {"format", "type", "fileId", "sessionId"}
    elif isinstance(answer, dict):
        assert answer["message"]


# ---------------------------------------------------------------------- whose document may come in


async def ours(jupyter: Jupyter, here: Path, prepare: Callable[..., Peer], name: str) -> Peer:
    """Return a client that has asked for a document, but not connected yet."""
    (here / "a.txt").write_text("ours\n")
    (here / "a.ipynb").write_text(as_nbformat(notebook(code("ours"), code("too"))))
    peer = prepare(jupyter, f"{here.name}/{name}")
    await peer.ask()
    return peer


def fill(doc: Doc[Any], text: str) -> None:
    """Write a text and a cell into a document, as somebody who knows nothing of ours."""
    doc.get("source", type=Text).insert(0, f"{text}\n")
    doc.get("cells", type=Array).append(Map({"cell_type": "raw", "source": Text(text), "metadata": Map()}))


class TestForeign:
    @pytest.mark.parametrize("name", ["a.txt", "a.ipynb"])
    async def test_another_history_with_content_is_refused(
        self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer], join: Opener, name: str
    ) -> None:
        stranger = await ours(jupyter, here, prepare, name)
        friend = await join(jupyter, f"{here.name}/{name}", token="bob")
        before = friend.text, friend.sources, (here / name).read_bytes()
        fill(stranger.doc, "foreign")
        stranger.connect()
        await until(lambda: stranger.disposed)
        code, reason = stranger.closes[0]
        assert code == 1003
        said = json.loads(reason)
        assert said["reason"] == "unknown_session"
        assert said["reloadable"] is True
        assert said["errorReason"]
        assert not stranger.steps
        assert await friend.save() == "success"
        assert (friend.text, friend.sources, (here / name).read_bytes()) == before

    async def test_it_may_type_on_while_it_is_refused(
        self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer], join: Opener
    ) -> None:
        """Frames that are in flight reach nobody, nor do those of a client that comes again and again."""
        stranger = await ours(jupyter, here, prepare, "a.txt")
        friend = await join(jupyter, f"{here.name}/a.txt", token="bob")
        fill(stranger.doc, "foreign")
        for number in range(5):
            stranger.connect()
            for _ in range(20):
                stranger.type(f"more {number}\n")
                await asyncio.sleep(0.005)
            await stranger.close()
            stranger.disposed = False
        assert await friend.save() == "success"
        assert friend.text == (here / "a.txt").read_text() == "ours\n"

    async def test_an_invented_session_alone_does_no_harm(
        self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer]
    ) -> None:
        peer = await ours(jupyter, here, prepare, "a.txt")
        peer.session = "invented"
        peer.connect()
        assert (await peer.ready()).text == "ours\n"

    async def test_a_document_with_nothing_but_bookkeeping_is_a_new_one(
        self, jupyter: Jupyter, here: Path, prepare: Callable[..., Peer], join: Opener
    ) -> None:
        """What `YNotebook.create()` of @jupyter/ydoc makes: five operations, no cells."""
        peer = await ours(jupyter, here, prepare, "a.ipynb")
        meta, state = peer.doc.get("meta", type=Map), peer.state_map
        meta["metadata"] = Map({})
        meta["nbformat"], meta["nbformat_minor"] = 4, 5
        state["dirty"], state["path"] = False, "a.ipynb"
        peer.connect()
        await peer.ready()
        friend = await join(jupyter, f"{here.name}/a.ipynb", token="bob")
        assert peer.sources == friend.sources == ["ours", "too"]
        peer.type("!", 0)
        assert await peer.save() == "success"
        assert friend.sources == ["ours!", "too"]

    async def test_where_the_store_is_lost_the_file_decides(self, start: Starter, join: Opener) -> None:
        """The history of a file that is as it was is the same, and nobody notices; another one's is another."""
        server = start("c.Relay.store_class = 'jupyter_rtc.relay.MemoryStore'")
        (server.root / "same.ipynb").write_text(as_nbformat(notebook(code("x"), code("y"))))
        (server.root / "other.txt").write_text("old\n")
        same, other = await join(server, "same.ipynb"), await join(server, "other.txt")
        server.kill()
        (server.root / "other.txt").write_text("new\n")
        same.type(" offline", 0)
        other.type("offline\n")
        await asyncio.to_thread(server.start)
        await until(lambda: other.disposed)
        assert other.closes[-1][0] == 1003
        fresh = await join(server, "other.txt")
        assert fresh.text == (server.root / "other.txt").read_text() == "new\n"
        await until(lambda: same.online and "offline" in (server.root / "same.ipynb").read_text())
        assert (await join(server, "same.ipynb")).sources == same.sources == ["x offline", "y"]
