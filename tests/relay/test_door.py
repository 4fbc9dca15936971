"""The door: who gets in, who may only watch, and what is no room at all."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from jupyter_server.utils import JupyterServerAuthWarning
from pycrdt import Map
from tornado.httpclient import HTTPClientError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from jupyter_rtc.relay import PRESENCE

from .peer import Peer, eventually
from .people import WITH_PEOPLE

Rooms = Callable[[], Awaitable[dict[str, Any]]]

NO_ROOMS = [
    "text:file:nobody-gave-out-this-id",
    "json:notebook:2c3a8ea6-0f5c-4c3a-bb7d-000000000000",
    "text:nosuchtype:id",
    "nosuchformat:file:id",
    "text:notebook:id",
    "a:b",
    "JupyterLab:somethingElse",
    "::",
    "with space",
    "ünïcode",
    "emoji🦀",
    "new\nline",
    "quote'",
    "x" * 256,
    "/starts/with/a/slash",
]


async def refused(opening: connect) -> int:
    """Try to connect; return the HTTP status with which the handshake was refused."""
    with pytest.raises(InvalidStatus) as answer:
        await opening
    return int(answer.value.response.status_code)


async def log_in(server: Any, http_server_client: Any) -> dict[str, Any]:
    """Log in as Ada with a browser; return what its sockets connect with: no token, and the cookie."""
    answer = await http_server_client.fetch(f"{server.base_url}api/me?token=ada-token")
    assert json.loads(answer.body)["identity"]["username"] == "ada"
    cookies = [header.split(";")[0] for header in answer.headers.get_list("Set-Cookie")]
    return {"token": "", "headers": {"Cookie": "; ".join(cookies)}}


@pytest.mark.traits(ServerApp=WITH_PEOPLE)
class TestIdentity:
    @pytest.mark.parametrize("token", ["", "wrong"])
    @pytest.mark.parametrize("name", ["room", PRESENCE, "text:file:id"])
    async def test_nobody_in_particular_is_refused(self, server: Any, rooms: Rooms, name: str, token: str) -> None:
        assert await refused(server.connect(name, token=token)) == 403
        assert await rooms() == {}

    async def test_a_cookie_lets_somebody_in(self, server: Any, http_server_client: Any) -> None:
        browser = await log_in(server, http_server_client)
        async with server.connect("room", **browser) as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            assert one.close_code is None

    async def test_a_cookie_from_a_page_of_this_server(self, server: Any, http_server_client: Any) -> None:
        browser = await log_in(server, http_server_client)
        origin = f"http://127.0.0.1:{server.port}"
        async with server.connect("room", origin=origin, **browser) as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            assert one.close_code is None

    @pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1.evil.example", "http://127.0.0.1:1"])
    async def test_a_cookie_from_a_foreign_page_is_refused(
        self, server: Any, rooms: Rooms, http_server_client: Any, origin: str
    ) -> None:
        browser = await log_in(server, http_server_client)
        for name, path in (("room", "api/rtc/room"), (PRESENCE, "api/rtc/room"), (PRESENCE, "api/collaboration/room")):
            assert await refused(server.connect(name, path=path, origin=origin, **browser)) == 403
        assert await rooms() == {}

    async def test_one_person_in_two_windows_is_one(self, server: Any, rooms: Rooms, http_server_client: Any) -> None:
        browser = await log_in(server, http_server_client)
        async with server.connect("room", **browser) as one, server.connect("room", **browser) as two, Peer(two) as ada:
            await ada.until(lambda: ada.synced)
            members = (await rooms())["room"]["members"]
            assert [member["username"] for member in members] == ["ada", "ada"]
            assert one.close_code is None


@pytest.mark.traits(ServerApp=WITH_PEOPLE)
class TestRights:
    async def test_who_may_not_read_is_refused(self, server: Any, rooms: Rooms) -> None:
        for name in ("room", PRESENCE):
            assert await refused(server.connect(name, token="nemo-token")) == 403
        assert await rooms() == {}

    async def test_who_may_not_read_sees_no_rooms(self, server: Any, http_server_client: Any) -> None:
        with pytest.raises(HTTPClientError) as answer:
            await http_server_client.fetch(
                f"{server.base_url}api/rtc/rooms", headers={"Authorization": "token nemo-token"}
            )
        assert answer.value.code == 403

    async def test_who_may_only_read_watches(self, server: Any, rooms: Rooms) -> None:
        async with (
            server.connect("room", token="ada-token") as one,
            server.connect("room", token="rita-token") as two,
            Peer(one) as ada,
            Peer(two) as rita,
        ):
            await ada.write("hello")
            await rita.until(lambda: rita.text == "hello")
            await rita.show(cursor=1)
            await ada.until(lambda: ada.others)
            writable = {member["username"]: member["writable"] for member in (await rooms())["room"]["members"]}
            assert writable == {"ada": True, "rita": False}

    async def test_the_edits_of_who_may_only_read_reach_nobody(self, server: Any, rooms: Rooms) -> None:
        async with (
            server.connect("room", token="ada-token") as one,
            server.connect("room", token="rita-token") as two,
            Peer(one) as ada,
            Peer(two) as rita,
        ):
            await rita.write("HA")
            await rita.show(cursor=1)  # arrives after the edit
            await ada.until(lambda: ada.others)
            await ada.write("hello")
            await rita.until(lambda: "hello" in rita.text)
            assert ada.text == "hello"
            assert (await rooms())["room"]["updates"] == 1
            assert rita.socket.close_code is None
            async with server.connect("room", token="bob-token") as three, Peer(three) as bob:
                await bob.until(lambda: bob.synced)
                assert bob.text == "hello"

    async def test_what_they_typed_offline_reaches_nobody(self, server: Any, rooms: Rooms) -> None:
        async def frames_in() -> int:
            return int((await rooms())["room"]["frames_in"])

        async with server.connect("room", token="ada-token"):
            pass  # for Rita cannot begin one
        async with server.connect("room", token="rita-token") as one, Peer(one) as rita:
            await rita.until(lambda: rita.synced)
        rita.doc["state"] = Map({"hacked": True})
        heard = await frames_in()
        async with server.connect("room", token="rita-token") as two, Peer(two, rita.doc) as again:
            await again.until(lambda: again.synced)
            await again.show(cursor=1)

            async def everything_arrived() -> bool:
                return await frames_in() == heard + 3

            await eventually(everything_arrived)
            assert (await rooms())["room"]["updates"] == 0


@pytest.mark.traits(Relay={"identity_check_interval": 0.05})
class TestAskedAgain:
    """With Jupyter Server's own provider; tests/documents/test_rights.py has others."""

    async def test_the_servers_token_is_changed(self, server: Any, rooms: Rooms) -> None:
        """Without a cookie each request is somebody else's; that is no reason to close."""
        provider = server.app.identity_provider
        anonymous, made = provider.generate_anonymous_user, []

        def generate(handler: Any) -> Any:
            made.append(anonymous(handler))
            return made[-1]

        provider.generate_anonymous_user = generate
        async with server.connect("room") as one, Peer(one) as ada:
            await eventually(lambda: len(made) > 5)
            await ada.write("hello")
            assert one.close_code is None
            provider.token = "changed"
            assert await ada.closed() == (1008, "not allowed any more")
        assert await refused(server.connect("room")) == 403
        assert len({user.username for user in made}) == len(made)

    async def test_cookies_become_worthless(self, server: Any, http_server_client: Any) -> None:
        answer = await http_server_client.fetch(f"{server.base_url}api/me?token={server.token}")
        cookie = "; ".join(header.split(";")[0] for header in answer.headers.get_list("Set-Cookie"))
        async with server.connect("room", token="", headers={"Cookie": cookie}) as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            server.app.web_app.settings["cookie_secret"] = b"another"
            assert await ada.closed() == (1008, "not allowed any more")


class TestNames:
    @pytest.mark.parametrize("path", ["api/rtc/room", "api/collaboration/room"])
    @pytest.mark.parametrize("name", NO_ROOMS, ids=lambda name: ascii(name)[:30])
    async def test_what_can_be_no_room_is_refused_at_the_handshake(
        self, server: Any, rooms: Rooms, name: str, path: str
    ) -> None:
        assert await refused(server.connect(name, path=path)) == 404
        assert await rooms() == {}
        assert await server.extension.relay.store.load(name) is None

    async def test_the_front_ends_path_has_no_free_rooms(self, server: Any, rooms: Rooms) -> None:
        assert await refused(server.connect("free", path="api/collaboration/room")) == 404
        assert await rooms() == {}

    @pytest.mark.parametrize(
        "name", ["a", "a/b/c", "1", "..", "x" * 255, "2c3a8ea60f5c4c3abb7d000000000000", "a~b.c-d_e"]
    )
    async def test_free_rooms_have_names_of_many_kinds(self, server: Any, rooms: Rooms, name: str) -> None:
        async with server.connect(name) as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            assert list(await rooms()) == [name]

    @pytest.mark.parametrize("path", ["api/rtc/room", "api/collaboration/room"])
    async def test_the_presence_room_is_kept_in_memory_only(self, server: Any, path: str) -> None:
        async with server.connect(PRESENCE, path=path) as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            await ada.write("x")
            await ada.show(current="notebook:a.ipynb")
            await ada.until(lambda: any(frame[0] == 1 for frame in ada.frames))
            assert await server.extension.relay.store.load(PRESENCE) is None


METHODS = {"GET", "PUT", "POST", "PATCH", "DELETE"}


class TestRoutes:
    def routes(self, server: Any) -> list[tuple[str, set[str]]]:
        """Return the path, with something filled in, and the methods of every handler of the extension's."""
        routes = []
        for pattern, handler, options in server.extension.handlers:
            path = re.sub(r"\([^)]*\)", "x", pattern.replace("(?:/(.*))?", "/x")).lstrip("/")
            methods = options["actions"].keys() if "actions" in options else vars(handler).keys()
            routes.append((path, METHODS & {method.upper() for method in methods}))
        return routes

    def test_there_are_some(self, server: Any) -> None:
        assert {path for path, _ in self.routes(server)} >= {
            "api/collaboration/session/x",
            "api/collaboration/room/x",
            "api/rtc/room/x",
            "api/rtc/rooms",
        }

    async def test_none_answers_without_an_identity(self, server: Any, http_server_client: Any) -> None:
        for path, methods in self.routes(server):
            for method in METHODS:
                with pytest.raises(HTTPClientError) as answer:
                    await http_server_client.fetch(
                        server.base_url + path, method=method, allow_nonstandard_methods=True, raise_error=True
                    )
                assert answer.value.code in ({403} if method in methods else {403, 405}), (path, method)

    @pytest.mark.traits(ServerApp=WITH_PEOPLE)
    async def test_none_answers_who_may_not_even_read(self, server: Any, http_server_client: Any) -> None:
        headers = {"Authorization": "token nemo-token"}
        for path, methods in self.routes(server):
            for method in methods:
                with pytest.raises(HTTPClientError) as answer:
                    await http_server_client.fetch(
                        server.base_url + path, method=method, headers=headers, allow_nonstandard_methods=True
                    )
                expected = {403, 404} if path.endswith("room/x") else {403}
                assert answer.value.code in expected, (path, method)

    @pytest.mark.traits(ServerApp=WITH_PEOPLE)
    async def test_none_changes_anything_for_who_may_only_read(self, server: Any, http_server_client: Any) -> None:
        """But for two, which change no content: a session lets somebody watch, a timeline is a copy."""
        refused = set()
        for path, methods in self.routes(server):
            if not re.match(r"api/(collaboration/(timeline|fork)|rtc/(history|recovery|conflicts))", path):
                continue
            for method in methods - {"GET"}:
                with pytest.raises(HTTPClientError) as answer:
                    await http_server_client.fetch(
                        server.base_url + path,
                        method=method,
                        headers={"Authorization": "token rita-token"},
                        allow_nonstandard_methods=True,
                    )
                assert answer.value.code == 403, (path, method)
                refused.add(f"{method} {path}")
        assert refused >= {
            "PUT api/collaboration/fork/x",
            "DELETE api/collaboration/fork/x",
            "POST api/rtc/history/x",
            "DELETE api/rtc/recovery/x",
            "POST api/rtc/recovery/x/restore",
            "DELETE api/rtc/conflicts/x",
        }

    @pytest.mark.traits(ServerApp={"allow_unauthenticated_access": False})
    def test_a_server_that_lets_nobody_in_unknown_has_nothing_to_warn_of(self, jp_configurable_serverapp: Any) -> None:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            app = jp_configurable_serverapp()
        assert app.extension_manager.extension_apps["jupyter_rtc"]
        assert [str(one.message) for one in seen if issubclass(one.category, JupyterServerAuthWarning)] == []

    @pytest.mark.traits(ServerApp={"allow_unauthenticated_access": False})
    async def test_it_serves_who_is_known(self, server: Any, rooms: Rooms) -> None:
        async with server.connect("room") as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            assert list(await rooms()) == ["room"]
        assert await refused(server.connect("room", token="")) == 403
