"""What outlasts one connection: delays after faulty frames, rights that are asked for again, warnings given once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from logging import Logger, LoggerAdapter
from time import monotonic
from typing import Any

from ..machine import Tasks
from .member import Member

_FORGOTTEN = 60.0
_MOST_KNOWN = 10_000
_LONGEST_ANSWER = 30.0

Ask = Callable[[bool], Awaitable[bool | None]]
"""Asks whether somebody may come in, and whether their edits count: None for neither.

Called with True, it asks for everything again, who they are too; with False, only for what was not asked for yet.
"""


class Faults:
    """Delays the next handshake of a user who sent faulty frames: by 0.1 s, doubled with each, up to 5 s."""

    def __init__(self) -> None:
        """Know of no faults."""
        self._known: dict[tuple[str, str], tuple[int, float]] = {}

    def blame(self, room: str, username: str) -> None:
        """Take note of a faulty frame; after a minute without another one it is forgotten."""
        count, _ = self._known.get((room, username), (0, 0.0))
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known[room, username] = (min(count + 1, 10), monotonic() + _FORGOTTEN)

    def delay(self, room: str, username: str) -> float:
        """Return how many seconds somebody has to wait."""
        count, until = self._known.get((room, username), (0, 0.0))
        if monotonic() > until:
            self._known.pop((room, username), None)
            count = 0
        return min(5.0, 0.05 * 2.0**count) if count else 0.0

    async def wait(self, room: str, username: str) -> None:
        """Return when somebody has waited for the `delay`."""
        if delay := self.delay(room, username):
            await asyncio.sleep(delay)


class Warnings:
    """Logs each warning once: a page that reconnects causes the same one again."""

    def __init__(self, log: Logger | LoggerAdapter[Any]) -> None:
        """Have warned of nothing yet."""
        self._log = log
        self._known: set[Hashable] = set()

    def warn(self, about: Hashable, text: str, *arguments: object) -> None:
        """Log a warning, unless there was one `about` the same."""
        if about not in self._known:
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
            self._known.add(about)
            self._log.warning(text, *arguments)


@dataclass
class _Asked:
    """A member's question to the authorizer, what is done with the answer, and the task that repeats it."""

    ask: Ask
    settle: Callable[[bool | None], None]
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    again: asyncio.Task[None] | None = None


class Rights:
    """Asks for the rights of connected members again and again: a token may have been revoked.

    Each is asked for by itself and in its own time, so that one answer that takes long delays no other.
    """

    def __init__(self, log: Logger | LoggerAdapter[Any]) -> None:
        """Ask for nobody yet."""
        self._log = log
        self._tasks = Tasks(log, "rights")
        self._asking: dict[Member, _Asked] = {}

    def begin(self, member: Member, interval: float, ask: Ask, settle: Callable[[bool | None], None]) -> None:
        """Call `settle` with the rights of a new member, every `interval` seconds, if that is not 0."""
        asked = self._asking[member] = _Asked(ask, settle)
        if interval:
            asked.again = self._tasks.spawn(self._keep_asking(member, asked, interval))

    def end(self, member: Member) -> None:
        """Ask no longer: the member left."""
        asked = self._asking.pop(member, None)
        if asked and asked.again:
            asked.again.cancel()

    async def ask_now(self) -> None:
        """Ask for the rights to files that rooms show since the last time; return when all is settled."""
        await asyncio.gather(*(self._ask(member, asked, False) for member, asked in list(self._asking.items())))

    async def _keep_asking(self, member: Member, asked: _Asked, interval: float) -> None:
        while member in self._asking:
            await asyncio.sleep(interval)
            await self._ask(member, asked, True)

    async def _ask(self, member: Member, asked: _Asked, afresh: bool) -> None:
        async with asked.turn:  # one after the other: of two answers the later one counts
            try:
                async with asyncio.timeout(_LONGEST_ANSWER):
                    answer = await asked.ask(afresh)
            except Exception as error:  # whatever an identity provider raises: it does not know, so nothing changes
                told = "cannot ask again what %s may do: %r"
                self._log.warning(told, member.identity.username, error, exc_info=error)
            else:
                if member in self._asking:
                    asked.settle(answer)
