"""Servers to test against, clients to do it with, and a folder for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from .peer import Peer
from .process import Jupyter

Opener = Callable[..., Coroutine[Any, Any, Peer]]
Starter = Callable[..., Jupyter]

FORMS = {"notebook": "json"}

LINES = '''
import json
from uuid import uuid4

from jupyter_ydoc.ybasedoc import YBaseDoc
from pycrdt import Array, Map


class Lines(YBaseDoc):
    """A document that is an array of lines."""

    version = "1.0.0"

    def __init__(self, ydoc=None, awareness=None):
        super().__init__(ydoc, awareness)
        self.lines = self._ydoc.get("lines", type=Array)

    def get(self):
        return "\\n".join(self.lines)

    def set(self, value):
        if value == "!":
            raise ValueError("not lines")
        if list(self.lines) != value.split("\\n"):
            self.lines.clear()
            self.lines.extend(value.split("\\n"))

    def observe(self, callback):
        pass


class Diary(YBaseDoc):
    """A document whose class writes by itself: when it is made, when it is read, and into the state."""

    version = "1.0.0"

    def __init__(self, ydoc=None, awareness=None):
        super().__init__(ydoc, awareness)
        self.dirty = True
        self.pages = self._ydoc.get("pages", type=Array)
        self.about = self._ydoc.get("about", type=Map)

    def get(self):
        if "id" not in self.about:
            self.about["id"] = uuid4().hex
        return json.dumps({"pages": list(self.pages), "about": self.about.to_py()})

    def set(self, value):
        if value == "!":
            raise RuntimeError("no diary")
        value = json.loads(value)
        with self._ydoc.transaction():
            for key in list(self._ystate):
                del self._ystate[key]
            self.pages.clear()
            self.pages.extend(value["pages"])
            self.about.clear()
            self.about.update(value["about"])

    def observe(self, callback):
        pass
'''


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an installed package that registers types of documents."""
    folder = tmp_path_factory.mktemp("packages")
    metadata = folder / "lines-1.0.dist-info"
    metadata.mkdir()
    (folder / "lines.py").write_text(LINES)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lines\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[jupyter_ydoc]\nlines = lines:Lines\ndiary = lines:Diary\n")
    return folder


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Iterator[Jupyter]:
    """Return the server that all tests share which neither end nor configure theirs."""
    server = Jupyter(tmp_path_factory.mktemp("jupyter") / "home", packages=packages)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Return a function that starts a server for this test alone."""
    servers: list[Jupyter] = []

    def begin(config: str = "", packages: Path | None = None) -> Jupyter:
        server = Jupyter(tmp_path / f"server{len(servers)}", config, packages)
        servers.append(server)
        server.start()
        return server

    yield begin
    for server in servers:
        server.kill()


@pytest.fixture
def here(jupyter: Jupyter, request: pytest.FixtureRequest) -> Path:
    """Return a folder in the shared server's root for this test alone; its name is the folder's API path."""
    number = len(list(jupyter.root.iterdir()))
    folder = jupyter.root / f"{number}-{request.node.originalname}"
    folder.mkdir()
    return folder


@pytest.fixture
def prepare(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Peer]]:
    """Return a function that makes a client which asks and connects when it is told to, and is closed at the end."""
    peers: list[Peer] = []

    def make(server: Jupyter, path: str, kind: str = "", form: str = "", token: str = "ada") -> Peer:
        kind = kind or ("notebook" if path.endswith(".ipynb") else "file")
        peer = Peer(server, path, kind, form or FORMS.get(kind, "text"), token)
        peers.append(peer)
        return peer

    yield make

    async def close() -> None:
        await asyncio.gather(*(peer.close() for peer in peers))

    jp_asyncio_loop.run_until_complete(close())


@pytest.fixture
def join(prepare: Callable[..., Peer]) -> Opener:
    """Return a coroutine function that opens a document as a front end does, and waits until it is shown."""

    async def open_document(server: Jupyter, path: str, kind: str = "", form: str = "", token: str = "ada") -> Peer:
        peer = prepare(server, path, kind, form, token)
        await peer.ask()
        peer.connect()
        return await peer.ready()

    return open_document
