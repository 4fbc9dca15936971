"""An own connection to the shell of a kernel: requests out, their replies back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import zmq
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import KernelManager
from zmq.asyncio import Context, Socket
from zmq.utils.monitor import recv_monitor_message

GONE = "the kernel died, was restarted or was shut down before it answered"


class LineBroken(Exception):
    """The kernel at the other end is gone; the text says how."""


class Unreachable(Exception):
    """There is no getting through to the kernel for now; the text says why."""


class Line(Protocol):
    """A connection to one incarnation of a kernel."""

    @property
    def waiting(self) -> int:
        """How many requests the kernel has not replied to yet, also those for whose reply nobody waits any more."""
        ...

    async def ask(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Send a request of the message type `kind`, and return the content of its reply.

        Raises LineBroken, at once when it breaks; Unreachable where nothing can be sent. May be cancelled.
        """
        ...

    def close(self) -> None:
        """Let go of the kernel. Who still waits gets LineBroken."""
        ...


class Replies:
    """What was asked, and is not replied to."""

    def __init__(self) -> None:
        self._expected: dict[str, asyncio.Future[dict[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._expected)

    def expect(self, request: Mapping[str, Any]) -> asyncio.Future[dict[str, Any]]:
        """Return what will hold the content of the reply to a message."""
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._expected[request["header"]["msg_id"]] = reply
        return reply

    def take(self, message: Mapping[str, Any]) -> None:
        """Hand a reply to whoever asked for it."""
        reply = self._expected.pop(message["parent_header"].get("msg_id", ""), None)
        if reply is not None and not reply.done():
            reply.set_result(message["content"])

    def break_off(self) -> None:
        """Tell who waits that no reply will come."""
        for reply in self._expected.values():
            if not reply.done():
                reply.set_exception(LineBroken(GONE))
        self._expected.clear()


class ShellLine:
    """A line over ZeroMQ.

    It has a session id of its own: two clients with the same one get each other's replies. It needs no heartbeat, and
    nobody to tell it of a restart or a death: the kernel's process holds the other end of the connection, so its end is
    seen the moment it comes, whatever the reason. A request that is sent before the kernel listens waits for it.
    """

    def __init__(self, manager: KernelManager, context: Context, closed: Callable[[], object]) -> None:
        """Connect to the kernel of `manager`; `closed` is called when the line is of no more use."""
        client: AsyncKernelClient = manager.client_factory(context=context)
        client.load_connection_info(manager.get_connection_info())
        self._session = client.session
        self._socket: Socket = client.shell_channel.socket
        self._closed = closed
        self._replies = Replies()
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._watch())]
        for task in self._tasks:
            task.add_done_callback(lambda _: self.close())

    @property
    def waiting(self) -> int:
        """How many requests are unanswered."""
        return len(self._replies)

    async def ask(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the content of its reply."""
        if not self._tasks:
            raise LineBroken(GONE)
        message = self._session.msg(kind, content)
        reply = self._replies.expect(message)
        # Not Session.send: that goes past the socket's own wait for replies, which may then never hear of them.
        await self._socket.send_multipart(self._session.serialize(message))
        return await reply

    def close(self) -> None:
        """Disconnect."""
        if not self._tasks:
            return
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)
        self._replies.break_off()
        self._closed()

    async def _listen(self) -> None:
        while True:
            parts = await self._socket.recv_multipart()
            with suppress(ValueError):  # not signed with the kernel's key: from somebody else
                self._replies.take(self._session.deserialize(self._session.feed_identities(parts)[1]))

    async def _watch(self) -> None:
        await recv_monitor_message(self._monitor)
