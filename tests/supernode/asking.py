"""A Jupyter Server with the supernode in it, and what its REST API says: what the tables are compared with."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from conftest import RunningServer
from jupyter_client.asynchronous.client import AsyncKernelClient
from tornado.httpclient import HTTPClientError

from jupyter_rtc.supernode import Supernode

from .copying import Copies

ALL = ("kernelspecs", "status", "terminals", "kernels", "sessions", "contents", "folders", "documents")


class Server:
    """A running server.

    Attributes:
        running: the server.
        root: the folder that it serves.
        supernode: its supernode.
    """

    def __init__(self, running: RunningServer, fetch: Any, root: Path) -> None:
        """Ask `running` by `fetch`."""
        self.running = running
        self.root = root
        self._fetch = fetch
        self._clients: list[AsyncKernelClient] = []
        assert running.extension.supernode is not None
        self.supernode: Supernode = running.extension.supernode

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a REST request, which must succeed; return the decoded JSON."""
        data = None if body is None else json.dumps(body)
        answer = await self._fetch(
            *map(quote, path.split("/")), method=method, body=data, allow_nonstandard_methods=True
        )
        return json.loads(answer.body) if answer.body else None

    async def refused(self, method: str, path: str, **options: Any) -> int:
        """Send a REST request that must be refused; return the status."""
        try:
            await self._fetch(*path.split("/"), method=method, allow_nonstandard_methods=True, **options)
        except HTTPClientError as error:
            return error.code
        raise AssertionError(f"{method} {path} was not refused")

    def copies(self, *tables: str) -> AbstractAsyncContextManager[Copies]:
        """Return copies of `tables`, of all where none is named, in another process; to be entered."""
        return Copies(self.running.url("api/rtc/room"), self.running.token, *(tables or ALL))

    async def kernel(self) -> str:
        """Start a kernel; return its id."""
        model = await self.ask("POST", "api/kernels", {"name": "python3"})
        return str(model["id"])

    def run(self, kernel: str, code: str) -> None:
        """Have a kernel run code, by a client with a session of its own; returns at once."""
        manager = self.running.app.kernel_manager.get_kernel(kernel)
        client = AsyncKernelClient(parent=manager)
        client.load_connection_info(manager.get_connection_info(session=False))
        client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)
        client.execute(code)
        self._clients.append(client)

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            client.stop_channels()
