"""The configurations of "Run behind a proxy", in real proxies in front of a real server."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from subprocess import Popen
from urllib.parse import quote

import pytest
from awaiting import until
from jupyter_ydoc import YUnicode
from ports import HOST, reserved
from pycrdt import Provider
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from websockets.asyncio.client import connect

from .pages import DOCS, blocks

PAGE = DOCS / "how-to" / "run-behind-a-proxy.md"
APACHE = Path("/usr/lib/apache2/modules")
MODULES = ("mpm_event", "authz_core", "proxy", "proxy_http", "proxy_wstunnel")
USER = "User www-data\nGroup www-data\n" if os.geteuid() == 0 else ""


@pytest.fixture
def jp_base_url() -> str:
    """Put the server where the page puts it."""
    return "/jupyter/"


def nginx(block: str, folder: Path) -> tuple[str, list[str]]:
    """Return a whole configuration of nginx around that of the page, and the command."""
    places = "".join(f"{kind}_temp_path {folder};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = f"daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{block}}}\n"
    return text, ["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/proxy.conf"]


def apache(block: str, folder: Path) -> tuple[str, list[str]]:
    """Return a whole configuration of Apache around that of the page, and the command."""
    modules = "".join(f"LoadModule {name}_module {APACHE}/mod_{name}.so\n" for name in MODULES)
    places = f"ServerRoot {folder}\nPidFile {folder}/pid\nErrorLog {folder}/error.log\nMutex file:{folder}\n"
    listen = block[block.index("*:") + 2 : block.index(">")]
    text = f"{modules}{places}ServerName localhost\n{USER}Listen {HOST}:{listen}\n{block}"
    return text, ["apache2", "-X", "-f", f"{folder}/proxy.conf"]


@pytest.fixture(params=[nginx, apache])
def proxy(request: pytest.FixtureRequest, tmp_path: Path, server) -> Iterator[str]:
    """Start a proxy with the configuration of the page; the address that it listens at."""
    whole: Callable[[str, Path], tuple[str, list[str]]] = request.param
    (block,) = (block.code for block in blocks(PAGE) if block.language == whole.__name__)
    port = reserved(request)
    block = block.replace("listen 80;", f"listen {HOST}:{port};").replace("*:80>", f"*:{port}>")
    text, command = whole(block.replace(":8888", f":{server.port}"), tmp_path)
    if shutil.which(command[0]) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{command[0]} is not installed")
    tmp_path.chmod(0o777)
    (tmp_path / "proxy.conf").write_text(text)
    process = Popen(command)
    yield f"{HOST}:{port}"
    process.terminate()
    process.wait()


def listens(address: str) -> bool:
    """Say whether somebody listens at an address."""
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


class Channel:
    """A WebSocket, as pycrdt.Provider wants it."""

    path = ""

    def __init__(self, socket):
        """Wrap an open WebSocket."""
        self.send = socket.send
        self.socket = socket

    def __aiter__(self):
        """Yield what comes."""
        return aiter(self.socket)


async def test_a_page_edits_a_file_in_a_folder(server, proxy: str, jp_root_dir: Path) -> None:
    """With the cookie and the origin that a browser sends, and a path with a slash in it."""
    file = jp_root_dir / "my thesis" / "notes.txt"
    file.parent.mkdir()
    file.write_text("begun, ")
    await until(lambda: listens(proxy))
    client = AsyncHTTPClient()
    answer = await client.fetch(f"http://{proxy}/jupyter/api/rtc/rooms?token={server.token}")
    jar = SimpleCookie()
    for header in answer.headers.get_list("Set-Cookie"):
        jar.load(header)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())
    path = f"jupyter/api/collaboration/session/{quote('my thesis/notes.txt', safe='')}"
    headers = {"Authorization": f"token {server.token}"}
    body = json.dumps({"format": "text", "type": "file"})
    session = json.loads((await client.fetch(HTTPRequest(f"http://{proxy}/{path}", "PUT", headers, body))).body)
    room = f"ws://{proxy}/jupyter/api/collaboration/room/text:file:{session['fileId']}?sessionId={session['sessionId']}"
    document = YUnicode()
    dialled = connect(room, origin=f"http://{proxy}", additional_headers={"Cookie": cookies})
    async with dialled as socket, Provider(document.ydoc, Channel(socket)) as provider:
        await provider.synced.wait()
        document.source += "and done"
        await until(lambda: file.read_text() == "begun, and done", file.read_text)
