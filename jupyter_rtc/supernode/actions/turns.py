"""One after the other, but nobody for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from ..patience import Patience
from .definition import ActionError


class _Turn:
    """A lock, what is done by who holds it, and since when."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.doing = ""
        self.since = 0.0


class Turns:
    """A lock for each key, as long as somebody holds it or waits for it.

    A manager behind Jupyter Server may never answer: a turn that takes too long is ended, and nobody waits for one
    without end.
    """

    def __init__(self, patience: Patience) -> None:
        """Begin with no lock; `patience` says how long one is waited for, and held."""
        self._patience = patience
        self._turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
        self._waiting: dict[asyncio.Task[Any] | None, asyncio.Timeout] = {}
        self._abandoned: WeakSet[asyncio.Task[Any]] = WeakSet()

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Take note that nobody waits any more for what a task does: it gets no further turn, and awaits none."""
        self._abandoned.add(task)
        if limit := self._waiting.get(task):
            limit.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def of(self, doing: str, *keys: str) -> AsyncIterator[None]:
        """Hold the locks of these keys while something is done; `doing` says what, such as "the start of a kernel".

        Raises ActionError with status 504 where it takes longer than `Patience.action`, and is cancelled then; and
        where others have held one of the locks for `Patience.turn` since this was called, or it was abandoned.
        """
        async with AsyncExitStack() as held:
            for key in sorted(set(keys)):  # in one order for all: nobody waits for somebody who waits for him
                turn = self._turns.setdefault(key, _Turn())
                await self._take(turn, key)
                held.callback(turn.lock.release)
                self._refuse_abandoned()
                turn.doing, turn.since = doing, monotonic()
            longest = self._patience.action
            try:
                async with asyncio.timeout(longest) as limit:
                    yield
            except TimeoutError:
                if not limit.expired():
                    raise
                raise ActionError(504, f"{doing} has not come to an end in {longest:g} s, and is given up") from None

    async def _take(self, turn: _Turn, key: str) -> None:
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(self._patience.turn) as limit:
                self._waiting[task] = limit
                await turn.lock.acquire()
        except TimeoutError:
            self._refuse_abandoned()
            since = monotonic() - turn.since
            raise ActionError(
                504, f"{key}: {turn.doing} has been under way for {since:.0f} s, and does not end"
            ) from None
        finally:
            self._waiting.pop(task, None)

    def _refuse_abandoned(self) -> None:
        if asyncio.current_task() in self._abandoned:
            raise ActionError(504, "the client has gone before it was its turn") from None
