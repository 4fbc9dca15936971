"""When frames for whole rooms leave: in one write for each peer, the sooner the fewer peers there are."""

from __future__ import annotations

import asyncio
from time import monotonic

from ..machine import Pace
from .effects import Broadcast, Show
from .served import ServedRoom


class Outgoing:
    """Frames that wait to leave.

    A frame that comes after a pause leaves at once. One that comes soon after another waits for a moment, and leaves
    with all that came meanwhile: what a server pays for is the write to each socket, not what is in it. The moment
    grows with the number of peers (`ServedRoom.due`), and with it what is saved.
    """

    def __init__(self, pace: Pace) -> None:
        """Begin with nothing to send; awareness states leave at `pace`."""
        self._pace = pace
        self._fresh: list[ServedRoom] = []
        self._planned: dict[ServedRoom, asyncio.Handle] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, served: ServedRoom, effect: Broadcast | Show) -> None:
        """Take in a frame for all members of a room; `soon` or `at_once` must follow in this turn of the event loop."""
        if served.enqueue(effect):
            self._fresh.append(served)

    def soon(self, now: float) -> None:
        """Send the added frames when they are due, at the end of this turn or later; `now` is `monotonic()`."""
        for served in self._take():
            self._plan(served, served.due - now)

    def at_once(self, now: float) -> None:
        """Send the frames that were added when they are due: now, if nothing left the room lately."""
        for served in self._take():
            if served.due <= now:
                served.flush(now, self._pace)
            else:
                self._plan(served, served.due - now)

    def flush(self) -> None:
        """Write everything now."""
        for handle in self._planned.values():
            handle.cancel()
        waiting = [*self._planned, *self._take()]
        self._planned.clear()
        for served in waiting:
            served.flush(monotonic(), self._pace)

    def _take(self) -> list[ServedRoom]:
        fresh = self._fresh
        if fresh:
            self._fresh = []
        return fresh

    def _plan(self, served: ServedRoom, delay: float) -> None:
        # Kept: asking for it each time costs a system call.
        loop = self._loop = self._loop or asyncio.get_running_loop()
        self._planned[served] = (
            loop.call_later(delay, self._leave, served) if delay > 0 else loop.call_soon(self._leave, served)
        )

    def _leave(self, served: ServedRoom) -> None:
        del self._planned[served]
        served.flush(monotonic(), self._pace)
