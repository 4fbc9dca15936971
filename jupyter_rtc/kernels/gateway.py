"""A line to a kernel that runs behind a gateway.

Jupyter Server's own client for these (``GatewayKernelClient``) connects without the event loop having a turn, sends no
credentials, and spins while it waits; so this speaks the kernel's WebSocket protocol itself, with Tornado's client, as
Jupyter Server does for browsers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.utils import url_escape, url_path_join
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from .line import GONE, LineBroken, Replies, Unreachable

_ENDS = ("restarting", "dead")


class GatewayLine:
    """A line over the WebSocket of a gateway."""

    def __init__(self, id: str, closed: Callable[[], object]) -> None:
        """Connect to the kernel `id`; `closed` is called when the line is of no more use."""
        self._session = Session()
        self._closed = closed
        self._replies = Replies()
        self._open = True
        self._connecting = asyncio.ensure_future(self._connect(id))
        self._listening = asyncio.ensure_future(self._listen())
        self._listening.add_done_callback(self._ended)

    @property
    def waiting(self) -> int:
        """How many requests are unanswered."""
        return len(self._replies)

    async def ask(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the content of its reply."""
        message = self._session.msg(kind, content)
        try:
            socket = await asyncio.shield(self._connecting)
            reply = self._replies.expect(message)
            await socket.write_message(json.dumps({**message, "channel": "shell"}, default=json_default))
        except Exception as error:  # it is not there, says no, or goes away: Tornado has many for it
            raise Unreachable(f"the gateway cannot be reached: {error}") from error
        if not self._open:
            raise LineBroken(GONE)
        return await reply

    def close(self) -> None:
        """Disconnect."""
        if self._open:
            self._open = False
            self._listening.cancel()
            self._connecting.add_done_callback(_close)
            self._replies.break_off()
            self._closed()

    def _ended(self, listening: asyncio.Task[None]) -> None:
        if not listening.cancelled():
            listening.exception()  # whoever asks is told of it
        self.close()

    async def _connect(self, id: str) -> WebSocketClientConnection:
        gateway = GatewayClient.instance()
        url = url_path_join(gateway.ws_url or "", gateway.kernels_endpoint, url_escape(id), "channels")
        arguments = gateway.load_connection_args()
        return await websocket_connect(HTTPRequest(f"{url}?session_id={self._session.session}", **arguments))

    async def _listen(self) -> None:
        """Take replies until the kernel, or the gateway, goes away."""
        socket = await asyncio.shield(self._connecting)
        while (text := await socket.read_message()) is not None:
            message = json.loads(text)
            if message["channel"] == "shell":
                self._replies.take(message)
            elif _is_the_last(message):
                return


def _is_the_last(message: dict[str, Any]) -> bool:
    """Say whether a message tells of the kernel's end."""
    return message["header"]["msg_type"] == "shutdown_reply" or message["content"].get("execution_state") in _ENDS


def _close(connecting: asyncio.Task[WebSocketClientConnection]) -> None:
    if not connecting.cancelled() and not connecting.exception():
        connecting.result().close()
