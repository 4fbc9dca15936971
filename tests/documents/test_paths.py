"""An Authorizer that decides by path keeps a user out of a folder on every route and in every room."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import websockets
from pycrdt import Doc, Map, handle_sync_message

from .conftest import Opener, Starter
from .peer import Peer, until
from .process import Jupyter
from .test_conflict_records import records
from .test_forks import fork
from .test_recovery import wiped

# Three ways to find the path, each of which guards the contents API. Bob may not see `secret`, nor write in `fixed`.
AUTHORIZERS = {
    "the request": """
from urllib.parse import unquote

class ByPath(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        path = unquote(handler.request.path)
        kept_out = path.startswith("/api/contents/secret")
        return not (user.username == "bob" and (kept_out or action == "write" and "/api/contents/fixed" in path))
""",
    "the arguments": """
class ByPath(Authorizer):
    async def is_authorized(self, handler, user, action, resource):
        assert handler.current_user == user
        folder = str(handler.path_kwargs.get("path")).strip("/").split("/")[0]
        kept_out = folder == "secret" or folder == "fixed" and action == "write"
        return not (user.username == "bob" and kept_out)
""",
    "the handler": """
from jupyter_server.services.contents.handlers import ContentsHandler

class ByPath(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        if user.username != "bob" or not isinstance(handler, ContentsHandler):
            return True
        folder = handler.path_kwargs["path"].strip("/").split("/")[0]
        return folder != "secret" and (folder != "fixed" or handler.request.method == "GET")
""",
}
CONFIG = "\nc.ServerApp.authorizer_class = ByPath\nc.Relay.identity_check_interval = 0\n"


@pytest.fixture
def server(start: Starter, request: pytest.FixtureRequest) -> Jupyter:
    """Return a server with three folders, of which one is closed to Bob, and he may not write in another."""
    server = start(AUTHORIZERS[getattr(request, "param", "the request")] + CONFIG)
    for folder in ("secret", "fixed", "public"):
        (server.root / folder).mkdir()
        (server.root / folder / "plan.txt").write_text("one\ntwo\nthree\n")
    return server


async def door(server: Jupyter, room: str, token: str) -> int:
    """Try to come into a room; return the status of the handshake."""
    free = "rtc" if room.startswith("table:") else "collaboration"
    url = server.url(f"api/{free}/room/{quote(room, safe=':')}?token={token}", "ws")
    try:
        async with websockets.connect(url, proxy=None):
            return 101
    except websockets.InvalidStatus as refused:
        return refused.response.status_code


class Request(NamedTuple):
    """A request that concerns a file in the folder."""

    method: str
    path: str
    body: Any = None


async def requests(server: Jupyter, ada: Peer) -> tuple[list[Request], list[str]]:
    """Have Ada leave everything that there can be of a document; return how it can be asked for, and its rooms."""
    copy = await wiped(server, ada)
    ada.type("one\ntwo\nthree\n")
    assert await ada.save() == "success"
    ada.source.insert(7, " ada")
    (server.root / "secret/plan.txt").write_text("zero\none\ntwo outside\nthree\n")
    (conflict,) = await until(lambda: list(records(ada)), lambda: ada.text)
    made = (await fork(server, ada.room))["fork_roomid"]
    status, line = await server.ask("GET", "api/collaboration/timeline/secret/plan.txt?format=text&type=file")
    assert status == 200, line
    timeline = line["forkRoom"]
    session, into = {"format": "text", "type": "file"}, {"into": "document"}
    return [
        Request("PUT", "api/collaboration/session/secret/plan.txt", session),
        Request("PUT", "api/collaboration/session/secret%2Fplan.txt", session),
        Request("PUT", "api/collaboration/session/public/..%2Fsecret//plan.txt", session),
        Request("GET", f"api/rtc/recovery/{copy}"),
        Request("POST", f"api/rtc/recovery/{copy}/restore", into),
        Request("POST", f"api/rtc/recovery/{copy}/restore", {"into": "file"}),
        Request("DELETE", f"api/rtc/recovery/{copy}"),
        Request("DELETE", f"api/rtc/conflicts/{conflict}"),
        Request("GET", "api/rtc/history/secret/plan.txt"),
        Request("POST", "api/rtc/history/secret/plan.txt", {"version": 1}),
        Request("GET", "api/collaboration/timeline/secret/plan.txt?format=text&type=file"),
        Request("PUT", f"api/collaboration/undo_redo/{ada.room}?action=undo&steps=1&forkRoom={timeline}"),
        Request("PUT", f"api/collaboration/undo_redo/{ada.room}?action=restore&forkRoom={timeline}"),
        Request("GET", f"api/collaboration/fork/{ada.room}"),
        Request("PUT", f"api/collaboration/fork/{ada.room}"),
        Request("DELETE", f"api/collaboration/fork/{made}?merge=true"),
        Request("POST", "api/rtc/tables/contents/refresh", {"path": "secret"}),
        Request("POST", "api/rtc/tables/contents/refresh", {"path": "secret/plan.txt", "content": True}),
        Request("POST", "api/rtc/contents/secret", {"type": "file"}),
        Request("POST", "api/rtc/contents/public", {"copy_from": "secret/plan.txt"}),
        Request("PATCH", "api/rtc/contents/public/plan.txt", {"path": "secret/new.txt"}),
        Request("PATCH", "api/rtc/contents/secret/plan.txt", {"path": "public/new.txt"}),
        Request("DELETE", "api/rtc/contents/secret/plan.txt"),
        Request("POST", "api/rtc/kernels", {"name": "none", "path": "secret"}),
        Request("POST", "api/rtc/sessions", {"kernel_name": "none", "path": "secret/plan.txt", "type": "file"}),
        Request("POST", "api/rtc/terminals", {"path": "secret"}),
    ], [ada.room, made, timeline]


@pytest.mark.parametrize("server", AUTHORIZERS, indirect=True)
async def test_a_folder_is_closed_on_every_route(server: Jupyter, join: Opener) -> None:
    ada, bob = await join(server, "secret/plan.txt"), await join(server, "public/plan.txt", token="bob")
    asked, rooms = await requests(server, ada)
    for folder in ("secret", "public", ""):
        assert (await server.ask("POST", "api/rtc/tables/contents/refresh", {"path": folder}))[0] == 204
    for request in asked:
        status, answer = await server.ask(*request, token="bob")
        assert status == 403, (request, status, answer)
    for room in (*rooms, "table:contents", "table:folders", "table:documents"):
        assert await door(server, room, "bob") == 403
        assert await door(server, room, "ada") == 101
    assert await door(server, bob.room, "bob") == 101
    seen = ["rooms", "recovery", "conflicts", *(f"tables/{name}" for name in ("contents", "documents", "sessions"))]
    for path in seen:
        for_ada, for_bob = [(await server.ask("GET", f"api/rtc/{path}", token=token))[1] for token in ("ada", "bob")]
        assert "secret/plan.txt" not in json.dumps(for_bob)
        assert path.endswith("sessions") or "secret/plan.txt" in json.dumps(for_ada)
    _, for_bob = await server.ask("GET", "api/rtc/tables/contents", token="bob")
    assert "public/plan.txt" in json.dumps(for_bob)
    assert for_bob["number"] == len(for_bob["records"])
    assert {room["name"] for room in (await server.ask("GET", "api/rtc/rooms", token="bob"))[1]["rooms"]} == {bob.room}
    # All of it is there for Ada, until she takes it away.
    for request in asked:
        assert (await server.ask(*request))[0] != 403, request


async def test_a_file_moved_into_a_closed_folder_closes_its_room_to_whom_it_keeps_out(
    server: Jupyter, join: Opener
) -> None:
    ada, bob = [await join(server, "public/plan.txt", token=token) for token in ("ada", "bob")]
    await server.move("public/plan.txt", "secret/moved.txt")
    await until(lambda: bob.closes == [(1008, "not allowed any more")], lambda: bob.closes)
    bob.type("bob ")
    ada.type("ada ")
    assert await ada.save() == "success"
    assert "bob" not in (server.root / "secret/moved.txt").read_text()
    await server.move("secret/moved.txt", "public/back.txt")
    await until(lambda: "ada" in bob.text and "bob" in ada.text)
    assert ada.closes == []


async def test_a_folder_moved_below_a_closed_one_closes_the_rooms_in_it(server: Jupyter, join: Opener) -> None:
    ada, bob = [await join(server, "public/plan.txt", token=token) for token in ("ada", "bob")]
    await server.move("public", "secret/public")
    await until(lambda: bob.closes == [(1008, "not allowed any more")], lambda: bob.closes)
    assert ada.closes == []


async def test_a_file_moved_where_somebody_may_only_read(server: Jupyter, join: Opener) -> None:
    ada, bob = [await join(server, "public/plan.txt", token=token) for token in ("ada", "bob")]
    await server.move("public/plan.txt", "fixed/moved.txt")

    def writable() -> dict[str, bool]:
        return {member["username"]: member["writable"] for member in server.rooms()[ada.room]["members"]}

    await until(lambda: writable() == {"ada": True, "bob": False}, writable)
    bob.type("bob ")
    await until(lambda: bob.told == [{"type": "conflict"}])
    assert "bob" not in ada.text
    assert bob.closes == ada.closes == []


async def test_a_table_grows_beyond_what_a_reader_may_see(server: Jupyter) -> None:
    """The reader is closed before what they may not see is written down."""
    assert (await server.ask("POST", "api/rtc/tables/contents/refresh", {"path": "public"}, "bob"))[0] == 204
    doc: Doc[Any] = Doc()
    rows = doc.get("records", type=Map)
    url = server.url("api/rtc/room/table:contents?token=bob", "ws")
    async with websockets.connect(url, proxy=None) as socket:
        await socket.send(b"\x00\x00\x01\x00")  # step 1, with nothing known
        async for frame in socket:
            assert isinstance(frame, bytes)
            if frame[:2] in (b"\x00\x01", b"\x00\x02"):
                handle_sync_message(frame[1:], doc)
            if any(row["path"] == "public/plan.txt" for row in rows.to_py().values()):
                break
        assert (await server.ask("POST", "api/rtc/tables/contents/refresh", {"path": "secret"}))[0] == 204
        with suppress(websockets.ConnectionClosedError):
            while True:
                assert b"secret" not in await socket.recv(decode=False)
        assert socket.close_code == 1008
    assert await door(server, "table:contents", "bob") == 403
