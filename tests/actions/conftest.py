"""A client of the actions, and of Jupyter's own REST API beside them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from awaiting import until
from jupyter_client.session import Session
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from jupyter_rtc.supernode import Patience
from jupyter_rtc.supernode.actions import Questions


class Answer(NamedTuple):
    """What a server answered: the status, the decoded body (None where there is none), and the headers."""

    status: int
    body: Any
    headers: Any


class Client:
    """Sends requests to a server, as somebody with its token.

    Attributes:
        app: the server.
        port: where it listens.
        questions: those who ask its kernels.
        patience: how long it waits for its managers.
        running: what keeps kernels busy.
    """

    def __init__(self, server: Any, folder: Path) -> None:
        """Send to `server`; there is a `folder` for our own use."""
        self.app: Any = server.app
        self.port: int = server.port
        self.questions: Questions = server.extension.questions
        self.patience: Patience = server.extension.patience
        self._server = server
        self._folder = folder
        self.running: list[asyncio.Task[Any]] = []

    async def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send one request: `body` as JSON, bytes as they are; `path` is relative to the base URL, and encoded."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        answer: HTTPResponse = await AsyncHTTPClient().fetch(
            self._server.url(path, "http"),
            method=method,
            body=data,
            headers={"Authorization": f"token {self._server.token}"} if headers is None else headers,
            allow_nonstandard_methods=True,
            raise_error=False,
            request_timeout=60,
        )
        return Answer(answer.code, json.loads(answer.body) if answer.body else None, answer.headers)

    async def act(self, method: str, path: str, body: Any = None) -> Answer:
        """Send one request to an action."""
        return await self.ask(method, f"api/rtc/{path}", body)

    async def jupyter(self, path: str) -> Any:
        """Return what Jupyter's own REST API says."""
        answer = await self.ask("GET", f"api/{path}")
        assert answer.status == 200, answer
        return answer.body

    async def kernel(self, **body: Any) -> str:
        """Start a kernel and return its id."""
        answer = await self.act("POST", "kernels", body)
        assert answer.status == 201, answer
        id: str = answer.body["id"]
        return id

    def process(self, kernel: str) -> int:
        """Return the process id of a kernel."""
        manager = self.app.kernel_manager.get_kernel(kernel)
        pid: int = manager.provisioner.pid
        return pid

    async def execute(self, kernel: str, *codes: str) -> list[dict[str, Any]]:
        """Send a kernel several pieces of code at once, from another client; return the replies when all are there."""
        manager = self.app.kernel_manager.get_kernel(kernel)
        stream = manager.connect_shell()
        session = Session(key=manager.session.key)
        replies: list[dict[str, Any]] = []
        stream.on_recv(lambda parts: replies.append(session.deserialize(session.feed_identities(parts)[1])["content"]))
        for code in codes:
            content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
            session.send(stream, "execute_request", {**content, "allow_stdin": False, "stop_on_error": True})
        await until(lambda: len(replies) == len(codes))
        stream.close()
        return replies

    async def busy(self, kernel: str) -> asyncio.Task[list[dict[str, Any]]]:
        """Keep a kernel busy for a minute; return when it is, with what waits for the end."""
        mark = self._folder / f"busy{len(self.running)}"
        code = f"import time; open({str(mark)!r}, 'w').close()\nfor _ in range(6000): time.sleep(0.01)"
        running = asyncio.ensure_future(self.execute(kernel, code))
        self.running.append(running)
        await until(mark.exists)
        return running


@pytest.fixture
def client(server: Any, tmp_path: Path, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Client]:
    """Return a client; the kernels and terminals that it leaves are ended."""
    client = Client(server, tmp_path)

    async def begin() -> None:
        server.extension.supernode.start()  # which a server does when it begins to serve

    async def end() -> None:
        for running in client.running:
            running.cancel()
        await server.end_kernels()
        if terminals := server.app.web_app.settings.get("terminal_manager"):
            await terminals.terminate_all()

    jp_asyncio_loop.run_until_complete(begin())
    yield client
    jp_asyncio_loop.run_until_complete(end())


def works_in(process: int, folder: Path) -> bool:
    """Say whether a process works in a folder."""
    return Path(f"/proc/{process}/cwd").samefile(folder)


def refused(answer: Answer, status: int, field: str = "") -> str:
    """Assert that a request was refused in the form of Jupyter's own API; return the reason."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body.get("field", "") == field, answer.body
    message: str = answer.body["message"]
    assert message
    return message
