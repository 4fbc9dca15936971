"""What a channel needs of a connection to one process of a kernel, here or behind a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from .message import Message

Buffers: TypeAlias = Sequence[bytes | memoryview]


class Pauses(Protocol):
    """How long to wait between attempts, in seconds."""

    def next(self) -> float:
        """Return how long to wait before the next attempt."""
        ...

    def reset(self) -> None:
        """Begin again with the first pause."""
        ...


class Machine(NamedTuple):
    """What is used of the machine: given from outside, for this floor imports nothing of ours.

    Attributes:
        spawn: begins with some work, holds it until it is through, and logs its error.
        pauses: returns growing pauses, given the first and the longest.
    """

    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    pauses: Callable[[float, float], Pauses]


class Receiver(Protocol):
    """Whoever a link tells what it hears.

    Attributes:
        incarnation: how many processes of the kernel have ended.
    """

    incarnation: int

    def take(self, message: Message) -> None:
        """Take a message."""
        ...

    def ended(self, how: str) -> None:
        """The process of the kernel has ended; `how` goes on from "the kernel": "died", "was restarted", ..."""
        ...

    def lost(self, why: str) -> None:
        """The connection was lost, and is sought again."""
        ...

    def back(self) -> None:
        """The connection that was lost is there again; what was under way may be lost."""
        ...


class Link(Protocol):
    """A connection to one process of a kernel: it ends with that."""

    hears_all: bool
    """Whether iopub is always heard, whatever `listen` says."""

    async def open(self) -> None:
        """Connect. Raises Unreachable or NoChannel."""
        ...

    def listen(self, listening: bool) -> None:
        """Hear what is on iopub, or do not any more."""
        ...

    def message(self, kind: str, content: Mapping[str, Any], parent: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a new message of this link's session, as a child of the message with the header `parent`."""
        ...

    async def send(self, channel: str, message: Mapping[str, Any], buffers: Buffers) -> None:
        """Send a message. Raises Unreachable where that cannot be done for now, ValueError if it cannot be encoded."""
        ...

    def close(self) -> None:
        """Let go of the kernel."""
        ...


Connect: TypeAlias = Callable[[Receiver], Link]
"""Makes a link that tells what it hears."""
