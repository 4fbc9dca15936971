"""When frames for whole rooms leave: those of one turn of the event loop together, in one write for each peer."""

from __future__ import annotations

import asyncio
from time import monotonic

from .room import Broadcast
from .served import ServedRoom

_PAUSE = 0.002


class Outgoing:
    """Frames that wait for the end of the turn.

    While much is going on, frames of many peers so leave in one write. After a pause of `_PAUSE` seconds there is
    nothing to gather, and waiting for another turn costs as much as five deliveries.
    """

    def __init__(self) -> None:
        """Begin with nothing to send."""
        self._dirty: list[ServedRoom] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._planned = False
        self._flushed = 0.0

    def add(self, served: ServedRoom, effect: Broadcast) -> None:
        """Take in a frame for all members of a room; `soon` or `at_once_or_soon` must follow in this turn."""
        if served.enqueue(effect):
            self._dirty.append(served)

    def soon(self) -> None:
        """Have everything leave at the end of the turn."""
        if self._dirty and not self._planned:
            # Kept: asking for it each time costs a system call.
            self._loop = self._loop or asyncio.get_running_loop()
            self._planned = True
            self._loop.call_soon(self._end_of_turn)

    def at_once_or_soon(self, now: float) -> None:
        """Have everything leave: at once if nothing left lately, at the time `now` of the monotonic clock."""
        if self._dirty and not self._planned and now - self._flushed > _PAUSE:
            self.flush()
        else:
            self.soon()

    def flush(self) -> None:
        """Write everything."""
        dirty, self._dirty = self._dirty, []
        now = self._flushed = monotonic()
        for served in dirty:
            served.flush(now)

    def _end_of_turn(self) -> None:
        self._planned = False
        self.flush()
