"""What outlasts a connection: who sent faulty frames waits for the next one, rights are asked for again, warnings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from logging import Logger, LoggerAdapter
from time import monotonic
from typing import Any

from .member import Member

_FORGOTTEN = 60.0
_MOST_KNOWN = 10_000
_LONGEST_ANSWER = 30.0

Ask = Callable[[], Awaitable[bool | None]]
"""Asks whether somebody may come in, and whether their edits count: None for neither."""


class Faults:
    """Makes those wait at the door of a room whose last frames were wrong: 0.1 s, doubled with each, up to 5 s."""

    def __init__(self) -> None:
        """Know of no faults."""
        self._known: dict[tuple[str, str], tuple[int, float]] = {}

    def blame(self, room: str, username: str) -> None:
        """Take note of a faulty frame; after a minute without another one it is forgotten."""
        count, _ = self._known.get((room, username), (0, 0.0))
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known[room, username] = (min(count + 1, 10), monotonic() + _FORGOTTEN)

    async def wait(self, room: str, username: str) -> None:
        """Return when somebody has waited as long as they have to."""
        count, until = self._known.get((room, username), (0, 0.0))
        if monotonic() > until:
            self._known.pop((room, username), None)
        elif count:
            await asyncio.sleep(min(5.0, 0.05 * 2**count))


class Warnings:
    """Warns of each thing once, however often it comes up again: a page that comes back brings it along."""

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


class Rights:
    """Asks again and again what members may do, as long as they are here: a token may have been revoked.

    Each is asked for by itself and in its own time, so that one answer that takes long delays no other.
    """

    def __init__(self, log: Logger | LoggerAdapter[Any]) -> None:
        """Ask for nobody yet."""
        self._log = log
        self._asking: dict[Member, asyncio.Task[None]] = {}

    def begin(self, member: Member, interval: float, ask: Ask, settle: Callable[[bool | None], None]) -> None:
        """Call `settle` with what is answered for a member that came in, every `interval` seconds."""
        self._asking[member] = asyncio.ensure_future(self._keep_asking(member, interval, ask, settle))

    def end(self, member: Member) -> None:
        """Ask no longer: the member left."""
        if asking := self._asking.pop(member, None):
            asking.cancel()

    async def _keep_asking(
        self, member: Member, interval: float, ask: Ask, settle: Callable[[bool | None], None]
    ) -> None:
        while member in self._asking:
            await asyncio.sleep(interval)
            try:
                async with asyncio.timeout(_LONGEST_ANSWER):
                    answer = await ask()
            except Exception as error:  # whatever an identity provider raises: it does not know, so nothing changes
                self._log.warning("cannot ask again what %s may do: %r", member.identity.username, error)
            else:
                settle(answer)
