"""One request to a kernel, and all that the kernel says to it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from .message import Message

Answer: TypeAlias = Callable[[Message, str], Awaitable[None]]
"""Sends the kernel what it has asked for by an input request."""
Over: TypeAlias = Callable[[str], object]
"""Called with the id of a request from which nobody takes anything any more, and to which no reply is expected."""

MOST_KEPT = 64 << 20
"""Bytes of output of one request that wait to be taken."""
_NEVER_DROPPED = ("status", "input_request", "execute_input", "clear_output")
_OVERHEAD = 1 << 10  # a message takes more memory than its JSON has bytes


class Request:
    """A request that was sent: its reply, and what comes on iopub and stdin with it as the parent, in order.

    Nothing is taken from it before it is asked for, but of output that nobody takes only so much is kept: what is
    more is dropped, and `dropped` says how much.

    Attributes:
        id: the id of the message.
        header: its header.
        channel: where it was sent.
        reply: the reply, when there is one. KernelGone or Unreachable if there will be none.
        dropped: how many messages of output were dropped, because they were not taken.
    """

    def __init__(self, header: Mapping[str, Any], channel: str, heard: bool, answer: Answer, over: Over) -> None:
        """Expect the reply to a request, if its kind has one, and where it is `heard`, what is on iopub and stdin.

        `answer` sends an answer to an input request; `over` is called when all is over.
        """
        self.id: str = header["msg_id"]
        self.header = header
        self.channel = channel
        self.reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.reply.add_done_callback(_retrieved)
        self.dropped = 0
        self._replies = header["msg_type"].endswith("_request")
        self._heard = heard
        self._idle = not heard
        self._answer = answer
        self._over = over
        self._kept: deque[Message] = deque()
        self._size = 0
        self._error: Exception | None = None
        self._closed = self._ended = False
        self._arrived = asyncio.Event()

    @property
    def is_answered(self) -> bool:
        """Whether the kernel is through with it, as far as replies tell: a kind without a reply is not waited for."""
        return self.reply.done() or not self._replies

    @property
    def is_done(self) -> bool:
        """Whether the reply and the idle status came, or will not come."""
        return self._error is not None or (self._idle and self.is_answered)

    async def more(self, *, late: bool = False) -> list[Message]:
        """Return the messages that came since the last call, and wait for one if there are none.

        When the request is done, and all was returned, returns an empty list; with `late`, waits on for what a thread
        of the kernel may still print. Raises KernelGone or Unreachable, after what came before that.
        """
        while not self._kept:
            if self._error:
                raise self._error
            if self._closed or self._ended or (self.is_done and not late):
                return []
            self._arrived.clear()
            await self._arrived.wait()
        messages, self._size = list(self._kept), 0
        self._kept.clear()
        return messages

    async def answer(self, asked: Message, value: str) -> None:
        """Answer an input request of the kernel. Raises KernelGone or Unreachable where it cannot be sent."""
        if self._error:
            raise self._error
        await self._answer(asked, value)

    def close(self) -> None:
        """Take nothing any more. The kernel goes on; an interrupt ends that."""
        self._closed = True
        self._kept.clear()
        self._changed()

    def take(self, message: Message) -> None:
        """Take a message that belongs to it."""
        if message.channel in ("shell", "control"):
            if not self.reply.done():
                self.reply.set_result(message)
        elif self._heard and not self._closed:
            if message.kind == "status" and message.content.get("execution_state") == "idle":
                self._idle = True
            self._keep(message)
        self._changed()

    def end(self, error: Exception) -> None:
        """Say that nothing will come any more."""
        if not self.is_done:
            self._error = error
        self._ended = True
        if not self.reply.done():
            self.reply.set_exception(error)
        self._changed()

    def _changed(self) -> None:
        self._arrived.set()
        if self._ended or (self._closed and self.is_answered):
            self._over(self.id)

    def _keep(self, message: Message) -> None:
        if self._size > MOST_KEPT and message.kind not in _NEVER_DROPPED:
            self.dropped += 1
            return
        self._size += message.size + _OVERHEAD
        self._kept.append(message)


def _retrieved(reply: asyncio.Future[Message]) -> None:
    """Take note of an error, which nobody waits for who has given up."""
    if not reply.cancelled():
        reply.exception()
