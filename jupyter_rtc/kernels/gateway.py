"""A link to a kernel that runs behind a gateway, over a WebSocket.

Jupyter Server's own client for these (``GatewayKernelClient``) connects without the event loop having a turn, sends no
credentials, and spins while it waits; so this speaks the kernel's WebSocket protocol itself, with Tornado's client, as
Jupyter Server does for browsers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from jupyter_client.session import Session
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.utils import url_escape, url_path_join
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect
from traitlets.log import get_logger

from .framing import V1, from_json, from_v1, to_json, to_v1
from .link import Buffers, Machine, Receiver
from .message import Message, Unreachable

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_PING = 30.0
_LARGEST = 1 << 30
_NOT_FOUND = 404


class GatewayLink:
    """The WebSocket of a kernel at a gateway.

    A connection that is lost is sought again, with the same session id: a gateway that is a Jupyter Server keeps
    what the kernel says meanwhile, and sends it then.
    """

    hears_all = True

    def __init__(self, id: str, receiver: Receiver, machine: Machine) -> None:
        """Link to the kernel `id`, and tell `receiver` what comes."""
        self._id = id
        self._receiver = receiver
        self._machine = machine
        self._session = Session()
        self._socket: WebSocketClientConnection | None = None
        self._running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect."""
        try:
            self._socket = socket = await self._connect()
        except Exception as error:  # it is not there, says no, or goes away: Tornado has many for it
            raise Unreachable(f"the gateway cannot be reached: {error}") from error
        self._running = self._machine.spawn(self._run(socket))

    def listen(self, listening: bool) -> None:
        """Do nothing: a gateway sends everything."""

    def message(self, kind: str, content: Mapping[str, Any], parent: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a new message of this link's session."""
        message: dict[str, Any] = self._session.msg(kind, dict(content), parent=dict(parent) if parent else None)
        return message

    async def send(self, channel: str, message: Mapping[str, Any], buffers: Buffers) -> None:
        """Send a message, if there is a connection at this moment."""
        if self._socket is None:
            raise Unreachable("the connection to the gateway is lost")
        if self._socket.selected_subprotocol == V1:
            headers = (message[name] for name in ("header", "parent_header", "metadata", "content"))
            frame: str | bytes = to_v1(channel, [*map(self._session.pack, headers), *buffers])
        else:
            frame = to_json(channel, message, buffers)
        try:
            await self._socket.write_message(frame, binary=isinstance(frame, bytes))
        except WebSocketClosedError as error:
            raise Unreachable(f"the connection to the gateway is lost: {error}") from error

    def close(self) -> None:
        """Disconnect."""
        if self._running:
            self._running.cancel()
        if self._socket:
            self._socket.close()
            self._socket = None

    async def _connect(self) -> WebSocketClientConnection:
        gateway = GatewayClient.instance()
        url = url_path_join(gateway.ws_url or "", gateway.kernels_endpoint, url_escape(self._id), "channels")
        request = HTTPRequest(f"{url}?session_id={self._session.session}", **gateway.load_connection_args())
        return await websocket_connect(
            request, subprotocols=[V1], ping_interval=_PING, ping_timeout=_PING, max_message_size=_LARGEST
        )

    async def _run(self, socket: WebSocketClientConnection) -> None:
        """Take what comes until the kernel has ended; connect again whenever the gateway goes away."""
        while not (how := await self._listen(socket)):
            self._socket = None
            self._receiver.lost("the connection to the gateway is lost")
            again = await self._again()
            if again is None:
                how = "is not at the gateway any more"
                break
            self._socket = socket = again
            self._receiver.back()
        self._receiver.ended(how)

    async def _listen(self, socket: WebSocketClientConnection) -> str:
        """Take what comes; return how the kernel has ended, nothing if the connection was lost."""
        is_v1 = socket.selected_subprotocol == V1
        while (frame := await socket.read_message()) is not None:
            try:
                message = from_v1(frame) if is_v1 and isinstance(frame, bytes) else from_json(frame)
                how = _ending(message)
            except Exception as error:  # malformed
                get_logger().debug("a message of the gateway is passed over: %r", error)
                continue
            self._receiver.take(message)
            if how:
                return how
        return ""

    async def _again(self) -> WebSocketClientConnection | None:
        """Return another connection as soon as there is one; None if the gateway does not have the kernel any more."""
        pauses = self._machine.pauses(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            await asyncio.sleep(pauses.next())
            try:
                return await self._connect()
            except HTTPClientError as error:
                if error.code == _NOT_FOUND:
                    return None
            except Exception as error:  # it is not there
                get_logger().debug("the gateway cannot be reached: %s", error)


def _ending(message: Message) -> str:
    """Return how the kernel has ended, if a message tells of its end."""
    if message.kind == "shutdown_reply":
        return "was restarted" if message.content.get("restart") else "was shut down"
    if message.kind == "status" and message.content.get("execution_state") in ("restarting", "dead"):
        return "died"
    return ""
