"""The channels to all kernels, each shared by those who hold it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Self

import zmq
from jupyter_client.manager import KernelManager

from .channel import KernelChannel, Told
from .gateway import GatewayLink
from .link import Buffers, Link, Machine, Receiver
from .lives import is_remote
from .local import LocalLink
from .request import Request


class Channels:
    """Opens a channel to each kernel that somebody uses, and closes it when nobody does any more."""

    def __init__(self, machine: Machine) -> None:
        """Open none yet; what goes on beside is done by `machine`."""
        self._machine = machine
        self._context: zmq.Context[Any] | None = None
        self._channels: dict[str, KernelChannel] = {}

    def hold(self, id: str, kernel: KernelManager, *, listening: bool = False, told: Told | None = None) -> Hold:
        """Use the channel of a kernel, until the hold is closed; nothing is connected before the first request.

        Who is `listening` gets with each request what it brings about on iopub, and on stdin. `told` is called with
        all that is on iopub, and with what happens to the kernel.
        """
        channel = self._channels.get(id)
        if channel is None or channel.kernel is not kernel:  # another kernel, which was given the same id
            channel = self._channels[id] = KernelChannel(
                kernel, lambda receiver: self._link(id, kernel, receiver), self._machine
            )
        return Hold(self, id, channel, listening, told or Told())

    def close(self) -> None:
        """Let go of all kernels."""
        for channel in list(self._channels.values()):
            channel.close()
        self._channels = {}
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None

    def drop(self, id: str, channel: KernelChannel) -> None:
        """Forget a channel that nobody holds."""
        if self._channels.get(id) is channel:
            del self._channels[id]

    def _link(self, id: str, kernel: KernelManager, receiver: Receiver) -> Link:
        if is_remote(kernel):
            return GatewayLink(id, receiver, self._machine)
        if self._context is None:
            self._context = zmq.Context()
        return LocalLink(kernel, self._context, receiver, self._machine)


class Hold:
    """The use of a kernel's channel by somebody: closed, nothing more is heard, and what is asked is answered in vain.

    It is a context manager, which closes it.
    """

    def __init__(self, channels: Channels, id: str, channel: KernelChannel, listening: bool, told: Told) -> None:
        """Hold a channel of `channels`; see `Channels.hold`."""
        self._channels = channels
        self._id = id
        self._channel = channel
        channel.held(self, listening, told)

    def __enter__(self) -> Self:
        """Give the hold."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the channel. Does nothing the second time."""
        if self._channel.let_go(self):
            self._channels.drop(self._id, self._channel)

    @property
    def state(self) -> str:
        """What the kernel says on iopub that it is; `unknown` as long as nobody listens to it."""
        return self._channel.state

    @property
    def incarnation(self) -> int:
        """How many processes of the kernel have ended since its channel was opened."""
        return self._channel.incarnation

    @property
    def waiting(self) -> int:
        """How many requests the kernel has not replied to yet, also those for whose reply nobody waits any more."""
        return self._channel.waiting(self)

    async def request(
        self, kind: str, content: Mapping[str, Any], *, on: str = "shell", buffers: Buffers = ()
    ) -> Request:
        """Send a message on shell or control. It goes on until it is closed.

        Raises:
            KernelGone: the kernel does not start, or ends before the message is sent.
            Unreachable: it cannot be sent for now.
            NoChannel: there is no way to kernels of this kind.
        """
        return await self._channel.request(self, kind, content, on, buffers)

    async def ask(self, kind: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the kernel on shell until it answers, and return the content of its reply. May be cancelled.

        Raises what `request` does, and KernelGone and Unreachable also when that happens before there is a reply.
        """
        while True:
            request = await self.request(kind, content)
            try:
                reply = (await asyncio.shield(request.reply)).content
            finally:
                request.close()
            # After an error a kernel throws away what waits for it; this is meant for what is to be run.
            if reply.get("status") != "aborted":
                return reply
