"""Answers that hold all of a document, of its past or a recovery copy: how many there may be, and that they end."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from relay.peer import PATIENCE, Peer, eventually
from tornado.httpclient import HTTPClientError, HTTPResponse

from jupyter_rtc.documents.files.names import DocumentName
from jupyter_rtc.documents.formats.content import TextContent

TEXT = "a line of the document\n" * 500_000
"""More than the buffers of a connection hold."""


@asynccontextmanager
async def a_large_document(server: Any, jp_fetch: Any, jp_root_dir: Any) -> AsyncIterator[str]:
    """Have a document with a past; enter with the route to a version."""
    (jp_root_dir / "a.txt").write_text(TEXT)
    body = json.dumps({"format": "text", "type": "file"})
    session = json.loads((await jp_fetch("api/collaboration/session/a.txt", method="PUT", body=body)).body)
    async with server.connect(f"text:file:{session['fileId']}") as one, Peer(one) as ada:
        await ada.until(lambda: ada.synced, 60)
        await ada.write("more")
        versions: list[Any] = []

        async def known() -> bool:
            versions[:] = json.loads((await jp_fetch("api/rtc/history/a.txt")).body)["versions"]
            return bool(versions)

        await eventually(known, 60)
        yield f"history/a.txt?version={versions[-1]['id']}"


async def a_large_copy(server: Any) -> str:
    """Have a recovery copy that is written in more than one part; return the route to it."""
    name, original = DocumentName("text", "file", "none"), TextContent().parse(TEXT * 2)
    copy = await server.extension.documents.recovery.keep(name, "a.txt", original, author="ada", reason="It was typed.")
    return f"recovery/{copy.id}"


def ask(server: Any, route: str, cookie: str = "") -> socket.socket:
    """Ask for something, as a client does that reads none of the answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    path = f"{server.base_url}api/rtc/{route}{'&' if '?' in route else '?'}token={server.token}"
    lines = f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Cookie: {cookie}"
    client.sendall("\r\n".join([*lines, "", ""]).encode())
    return client


async def fetch(server: Any, http_client: Any, route: str, cookie: str = "", **options: Any) -> HTTPResponse:
    """Ask for something, and read it."""
    url = f"{server.base_url}api/rtc/{route}{'&' if '?' in route else '?'}token={server.token}"
    return await http_client.fetch(url, headers={"Cookie": cookie}, request_timeout=60, **options)


async def a_cookie(server: Any) -> str:
    """Return the cookie of a browser that has come in with the token."""
    async with server.connect("elsewhere") as one:
        return "; ".join(header.split(";")[0] for header in one.response.headers.get_all("Set-Cookie"))


def under_way(server: Any) -> int:
    """Return how many answers are in memory."""
    return server.extension.relay.allowances.answers.in_total


@pytest.mark.traits(Allowances={"max_answers": 1})
async def test_a_user_waits_for_one_at_a_time_and_others_for_theirs(
    server: Any, jp_fetch: Any, jp_root_dir: Any, http_server_client: Any
) -> None:
    async with a_large_document(server, jp_fetch, jp_root_dir) as version:
        cookie = await a_cookie(server)
        client = ask(server, version, cookie)
        await eventually(lambda: under_way(server) == 1)
        with pytest.raises(HTTPClientError) as refused:
            await fetch(server, http_server_client, version, cookie)
        assert refused.value.code == 429
        answer = await fetch(server, http_server_client, version)
        assert json.loads(answer.body)["content"].startswith(TEXT)
        client.close()
        await eventually(lambda: under_way(server) == 0)
        assert (await fetch(server, http_server_client, version, cookie)).code == 200


@pytest.mark.traits(Allowances={"max_answers_in_total": 2})
async def test_all_wait_for_so_many(server: Any, jp_fetch: Any, jp_root_dir: Any, http_server_client: Any) -> None:
    async with a_large_document(server, jp_fetch, jp_root_dir) as version:
        clients = [ask(server, version) for _ in range(2)]
        await eventually(lambda: under_way(server) == 2)
        with pytest.raises(HTTPClientError) as refused:
            await fetch(server, http_server_client, version)
        assert refused.value.code == 429
        for client in clients:
            client.close()
        await eventually(lambda: under_way(server) == 0)


@pytest.mark.traits(Allowances={"max_answers": 1})
async def test_a_recovery_copy_is_such_an_answer_and_comes_whole(server: Any, http_server_client: Any) -> None:
    route, cookie = await a_large_copy(server), await a_cookie(server)
    client = ask(server, f"{route}?download=1", cookie)
    await eventually(lambda: under_way(server) == 1)
    for again, options in (
        (route, {}),
        (f"{route}?download=1", {}),
        (f"{route}/restore", {"method": "POST", "body": '{"into": "file"}'}),
    ):
        with pytest.raises(HTTPClientError) as refused:
            await fetch(server, http_server_client, again, cookie, **options)
        assert refused.value.code == 429
    client.close()
    await eventually(lambda: under_way(server) == 0)
    assert (await fetch(server, http_server_client, f"{route}?download=1", cookie)).body == (TEXT * 2).encode()
    answer = await fetch(server, http_server_client, route, cookie)
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.body)["content"] == TEXT * 2
    assert under_way(server) == 0


@pytest.mark.traits(Allowances={"answer_timeout": 1.0})
async def test_who_never_reads_one_is_cut_off(server: Any, jp_fetch: Any, jp_root_dir: Any) -> None:
    async with a_large_document(server, jp_fetch, jp_root_dir) as version:
        for route in (version, await a_large_copy(server)):
            client = ask(server, route)
            await eventually(lambda: under_way(server) == 1)
            await eventually(lambda: under_way(server) == 0)
            client.settimeout(PATIENCE)
            read = await asyncio.to_thread(read_all, client)
            assert len(read) < len(TEXT)


def read_all(client: socket.socket) -> bytes:
    """Read until the other side has closed."""
    data = b""
    try:
        while part := client.recv(1 << 20):
            data += part
    except ConnectionResetError:
        pass
    return data
