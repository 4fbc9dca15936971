"""Two servers in one process and on one event loop, as in the tests of other extensions: nothing of them is mixed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningServer
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from .asking import Server
from .copying import Copies


def fetch(running: RunningServer) -> Callable[..., Any]:
    """Return what sends requests to a server, as pytest-jupyter's `jp_fetch` does to its own."""

    async def ask(*parts: str, **options: Any) -> HTTPResponse:
        headers = {"Authorization": f"token {running.token}"}
        return await AsyncHTTPClient().fetch(running.url("/".join(parts), "http"), headers=headers, **options)

    return ask


@pytest.fixture
def neighbour(
    home: Server,
    jp_configurable_serverapp: Callable[..., ServerApp],
    tmp_path: Path,
    jp_asyncio_loop: asyncio.AbstractEventLoop,
) -> Iterator[Server]:
    """Run a second server beside `home`, with a folder of its own."""
    root = tmp_path / "neighbour"
    root.mkdir()
    ServerApp.clear_instance()  # which is the first one
    app = jp_configurable_serverapp(root_dir=root)
    socket, port = bind_unused_port()
    running = RunningServer(app, port)
    supernode = running.extension.supernode
    assert supernode is not None

    async def begin() -> HTTPServer:
        listening = HTTPServer(app.web_app)
        listening.add_socket(socket)
        supernode.start()
        return listening

    async def end(listening: HTTPServer) -> None:
        listening.stop()
        await listening.close_all_connections()
        await app._cleanup()
        await home.running.extension.stop_extension()  # pytest-jupyter stops the last instance only

    listening = jp_asyncio_loop.run_until_complete(begin())
    yield Server(running, fetch(running), root)
    jp_asyncio_loop.run_until_complete(end(listening))


async def lists(server: Server) -> dict[str, Any]:
    """Return the records of what one server has and the other has not, freshly listed."""
    found = {}
    for table in ("kernels", "sessions", "terminals", "documents"):
        await server.supernode.refresh(table)
        found[table] = (await server.ask("GET", f"api/rtc/tables/{table}"))["records"]
    return found


NOTHING: dict[str, Any] = {"kernels": {}, "sessions": {}, "terminals": {}, "documents": {}}


async def both(home: Server, neighbour: Server, stack: AsyncExitStack) -> tuple[Copies, Copies]:
    """Return copies of the tables of both."""
    first, second = home.copies(), neighbour.copies()
    return await stack.enter_async_context(first), await stack.enter_async_context(second)


def paths(copies: Copies) -> set[str]:
    """Return the paths of the contents."""
    return {record["path"] for record in copies.records["contents"].values()}


async def test_what_one_has_the_other_has_not(home: Server, neighbour: Server) -> None:
    async with AsyncExitStack() as stack:
        ours, theirs = await both(home, neighbour, stack)
        (home.root / "a.txt").write_text("a")
        session = await home.ask("POST", "api/rtc/sessions", {"path": "a.txt", "type": "file"})
        await home.ask("POST", "api/rtc/terminals")
        await home.ask("PUT", "api/collaboration/session/a.txt", {"format": "text", "type": "file"})
        await ours.until(lambda: all(ours.records[table] for table in NOTHING))
        assert await lists(neighbour) == NOTHING
        assert all(not theirs.records[table] for table in NOTHING)
        assert await neighbour.refused("DELETE", f"api/rtc/kernels/{session['kernel_id']}") == 404
        assert await neighbour.refused("DELETE", f"api/rtc/sessions/{session['id']}") == 404
        assert await neighbour.refused("DELETE", "api/rtc/terminals/1") == 404
        kernel = await neighbour.ask("POST", "api/rtc/kernels")
        await theirs.until(lambda: theirs.records["kernels"].get(kernel["id"], {}).get("info"))
        await neighbour.ask("POST", f"api/rtc/kernels/{kernel['id']}/restart")
        await theirs.until(lambda: theirs.records["kernels"][kernel["id"]]["incarnation"] == 1)
        [only] = (await lists(home))["kernels"].values()
        assert only["incarnation"] == 0
        question = await neighbour.ask("POST", f"api/rtc/kernels/{kernel['id']}/is_complete", {"code": "1"})
        assert question == {"status": "complete"}


async def test_each_looks_at_its_own_folder(home: Server, neighbour: Server) -> None:
    async with AsyncExitStack() as stack:
        ours, theirs = await both(home, neighbour, stack)
        for server in (home, neighbour):
            await server.ask("POST", "api/rtc/tables/contents/refresh", {"path": ""})
        (home.root / "ours.txt").write_text("a")
        (neighbour.root / "theirs.txt").write_text("b")
        await ours.until(lambda: paths(ours) == {"", "ours.txt"})
        await theirs.until(lambda: paths(theirs) == {"", "theirs.txt"})
        await neighbour.ask("PATCH", "api/rtc/contents/theirs.txt", {"path": "ours.txt"})
        await theirs.until(lambda: paths(theirs) == {"", "ours.txt"})
        await neighbour.ask("DELETE", "api/rtc/contents/ours.txt")
        await theirs.until(lambda: paths(theirs) == {""})
        assert (home.root / "ours.txt").read_text() == "a"
        await home.supernode.refresh("contents")
        assert paths(ours) == {"", "ours.txt"}


async def test_one_goes_on_when_the_other_stops(home: Server, neighbour: Server) -> None:
    async with home.copies("kernels") as ours:
        await neighbour.ask("POST", "api/rtc/kernels")
        await neighbour.running.extension.stop_extension()
        kernel = await home.kernel()
        await ours.until(lambda: ours.records["kernels"].get(kernel, {}).get("info"))
        assert await home.ask("POST", f"api/rtc/kernels/{kernel}/is_complete", {"code": "1"}) == {"status": "complete"}
