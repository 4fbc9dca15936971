"""When a document is saved: a moment after an edit, and again and again while people type without a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from ...machine import Backoff

_LONGEST_RETRY = 60.0
_SHARE = 3.0


class Pace(Protocol):
    """How often documents are saved, in seconds."""

    save_delay: float
    max_save_delay: float


class Autosave:
    """Watches one document for edits, and calls back when it is time to save it.

    A trip-wire in the document finds the first edit since the last save; then it is taken away, for it costs
    every edit a little, and edits only move the time of the save. A save that took long is not repeated at once:
    saving takes a quarter of the time at most.

    Attributes:
        edited: whether the document was edited since it was last read for a save.
    """

    def __init__(
        self,
        pace: Pace,
        watch: Callable[[Callable[[], None]], Callable[[], None]],
        save: Callable[[], None],
        first_retry: float = 1.0,
    ) -> None:
        """Call `save` when it is time. `watch` sets a trip-wire that calls back once, and returns what removes it.

        A save that failed is tried again after `first_retry` seconds, then after twice as many, and so on.
        """
        self.edited = False
        self._pace = pace
        self._watch = watch
        self._save = save
        self._unwatch: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_edit = self._due = 0.0
        self._pause = 0.0
        self._retry = Backoff(first_retry, _LONGEST_RETRY)
        self._wish = True

    def arm(self) -> None:
        """Wait for the next edit: the document as it is now is, or is about to be, saved."""
        self.disarm()
        self.edited = False
        self._unwatch = self._watch(self._trip)

    def rewatch(self) -> None:
        """Watch another document object in place of the one before, if an edit is still waited for."""
        self.disarm()
        if not self.edited:
            self.arm()

    def disarm(self) -> None:
        """Take the trip-wire away."""
        if self._unwatch:
            self._unwatch()
            self._unwatch = None

    def touched(self) -> bool:
        """Take note of an update, and plan a save if it was an edit. On the hot path: called for every update.

        Returns whether a save was planned that was not before.
        """
        if not self.edited:
            return False
        self._last_edit = monotonic()
        if self._timer is not None:
            return False
        self.disarm()
        self._due = self._last_edit + max(self._pace.max_save_delay, self._pause)
        self._plan(max(self._pace.save_delay, self._pause, self._retry.pause))
        return True

    def force(self) -> None:
        """Plan a save as if the document had just been edited."""
        self.edited = True
        self.touched()

    def resume(self) -> None:
        """Plan a save of what is still to be saved: what made the last ones fail may be over.

        A save that is planned in time stays as it is, with its longest delay.
        """
        if self.edited and (self._retry.pause or self._timer is None):
            self.cancel()
            self._retry.reset()
            self.touched()

    def wanted(self, wishes: list[bool]) -> bool:
        """Say whether anybody wants it, given the wishes of those who have one.

        What the last ones wished goes on when they have left.
        """
        if wishes:
            self._wish = any(wishes)
        return self._wish

    def cancel(self) -> None:
        """Forget the planned save: it is made now, or not at all."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def succeeded(self, seconds: float) -> None:
        """Take note that a save went well, and how long it took."""
        self._pause = _SHARE * seconds
        self._retry.reset()

    def failed(self) -> None:
        """Take note that a save failed: the edits are still to be saved, and later tries come less often."""
        self.edited = True
        self.disarm()
        self.cancel()
        self._retry.next()

    def _trip(self) -> None:
        self.edited = True

    def _plan(self, delay: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        """Save now, unless people are still typing and the longest delay is not over."""
        self._timer = None
        now = monotonic()
        quiet = min(self._last_edit + self._pace.save_delay, self._due)
        if now < quiet:
            self._plan(quiet - now)
        else:
            self._save()
