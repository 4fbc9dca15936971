"""A link to a kernel on this machine, or in reach of its ports, over ZeroMQ."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

import zmq
from jupyter_client.client import KernelClient
from jupyter_client.manager import KernelManager
from jupyter_client.session import DELIM, Session
from traitlets.log import get_logger
from zmq.utils.monitor import recv_monitor_message

from .link import Buffers, Machine, Receiver
from .message import Message, NoChannel, Unreachable

_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
_TURN = 0.005  # seconds of reading, after which others have theirs
_LARGE = 1 << 20  # bytes of a message whose signature is checked in a thread
_CONTENT = 4  # which part of a message is its content
_CHANNELS = ("iopub", "stdin", "control", "shell")


class LocalLink:
    """The four sockets of a kernel, and a session of their own: two clients with the same get each other's replies.

    It needs no heartbeat, and nobody to tell it of a restart or a death: the process of the kernel holds the other end
    of the connection, so its end is seen the moment it comes, whatever the reason. What is sent before the kernel
    listens waits for it. One task reads all sockets; as long as iopub is not listened to, the kernel's ZeroMQ sends
    nothing of it.
    """

    hears_all = False

    def __init__(self, kernel: KernelManager, context: zmq.Context[Any], receiver: Receiver, machine: Machine) -> None:
        """Link to the kernel of a manager, and tell `receiver` what comes."""
        self._kernel = kernel
        self._context = context
        self._receiver = receiver
        self._machine = machine
        self._session = Session()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._monitor: zmq.Socket[bytes] | None = None
        self._greeted = receiver.incarnation == 0  # the first one is to a process that lives
        self._ready = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect the sockets; that the kernel listens is not waited for."""
        if not self._kernel.shell_port:
            raise NoChannel("this kernel is not reached over ZeroMQ, nor through a gateway")
        client = KernelClient(context=self._context)
        client.load_connection_info(self._kernel.get_connection_info())
        self._session = client.session
        for channel in _CHANNELS:
            connect = getattr(client, f"connect_{channel}")
            self._sockets[channel] = connect(identity=None if channel == "iopub" else self._session.bsession)
        self._sockets["iopub"].unsubscribe(b"")  # as jupyter_client has subscribed it to everything
        self._monitor = self._sockets["shell"].get_monitor_socket(_EVENTS)
        for socket in self._all():
            asyncio.get_running_loop().add_reader(socket.FD, self._ready.set)
        self._ready.set()
        self._reading = self._machine.spawn(self._read())

    def listen(self, listening: bool) -> None:
        """Subscribe to iopub, or do not any more."""
        if listening:
            self._sockets["iopub"].subscribe(b"")
        else:
            self._sockets["iopub"].unsubscribe(b"")
        self._ready.set()

    def message(self, kind: str, content: Mapping[str, Any], parent: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a new message of this link's session."""
        message: dict[str, Any] = self._session.msg(kind, dict(content), parent=dict(parent) if parent else None)
        return message

    async def send(self, channel: str, message: Mapping[str, Any], buffers: Buffers) -> None:
        """Hand a message to ZeroMQ."""
        if channel not in self._sockets:
            raise Unreachable("the connection to the kernel is closed")
        parts = self._session.serialize(dict(message))
        try:
            self._sockets[channel].send_multipart([*parts, *buffers], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            raise Unreachable(f"the kernel takes no more messages: {error}") from error
        self._ready.set()  # sending may take notice of what came in, of which the descriptor tells once

    def close(self) -> None:
        """Close the sockets."""
        if self._reading:
            self._reading.cancel()
        sockets = list(self._all())
        for socket in sockets:
            asyncio.get_running_loop().remove_reader(socket.FD)
        if self._monitor:
            self._sockets["shell"].disable_monitor()
        for socket in sockets:
            socket.close(linger=0)
        self._sockets, self._monitor = {}, None

    def _all(self) -> Iterator[zmq.Socket[bytes]]:
        yield from self._sockets.values()
        if self._monitor:
            yield self._monitor

    async def _read(self) -> None:
        """Take what comes, until the kernel has ended."""
        ended = False
        while not ended:
            await self._ready.wait()
            self._ready.clear()
            ended = self._has_ended()
            while await self._drain() and ended:  # what the kernel has said last
                pass
        # The manager of a kernel knows that it was told to end it; whether for a restart, the kernel may have said.
        self._receiver.ended("was restarted or shut down" if self._kernel.shutting_down else "died")

    def _has_ended(self) -> bool:
        """Say whether the connection to a process of the kernel has ended.

        One that dies may take the connection that is meant for the next one, but greets nobody: ZeroMQ connects again.
        """
        assert self._monitor is not None
        with suppress(zmq.Again):
            while True:
                event = recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"]
                if event == zmq.EVENT_DISCONNECTED and self._greeted:
                    return True
                self._greeted = self._greeted or event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return False

    async def _drain(self) -> bool:
        """Take what the sockets have, of each for no longer than a turn; return whether there may be more."""
        more = False
        for channel, socket in list(self._sockets.items()):
            until = monotonic() + _TURN
            while (parts := _received(socket)) is not None:
                await self._take(channel, parts)
                if monotonic() > until:
                    more = True
                    self._ready.set()
                    break
            await asyncio.sleep(0)
        return more

    async def _take(self, channel: str, received: list[bytes]) -> None:
        try:
            parts = received[received.index(DELIM) + 1 :]
            if len(parts) > _CONTENT and len(parts[_CONTENT]) > _LARGE:
                message = await asyncio.to_thread(self._session.deserialize, parts, False)
            else:
                message = self._session.deserialize(parts, content=False)
            headers = [message[name] for name in ("header", "parent_header", "metadata")]
            found = Message(channel, headers, message["content"], message["buffers"])
        except Exception as error:  # malformed, or not signed with the kernel's key: from somebody else
            get_logger().debug("a message on %s is passed over: %r", channel, error)
        else:
            self._receiver.take(found)


def _received(socket: zmq.Socket[bytes]) -> list[bytes] | None:
    """Return a message that a socket has; None if it has none, or is closed."""
    with suppress(zmq.Again):
        return None if socket.closed else socket.recv_multipart(zmq.NOBLOCK)
    return None
