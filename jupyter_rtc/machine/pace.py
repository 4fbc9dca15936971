"""How fast somebody may go on average. Pure."""

from __future__ import annotations

_BURST = 4.0
_FEWEST_SWEPT = 1000


class Pace:
    """Lets each user have so many bytes a second, on average over some seconds.

    Whoever had nothing for a while may have some at once. Who asks for a lot gets it, too, and waits the longer
    afterwards: nothing is too large for ever.
    """

    def __init__(self, rate: float) -> None:
        """Let each have `rate` bytes a second."""
        self._rate = rate
        self._free: dict[str, float] = {}
        self._sweep_at = _FEWEST_SWEPT

    def take(self, user: str, size: int, now: float) -> bool:
        """Say whether a user may have so many bytes at the time `now` (seconds), and count them; 0 bytes always."""
        free = max(self._free.get(user, 0.0), now - _BURST)
        if free > now and size:
            return False
        self._free[user] = free + size / self._rate
        if len(self._free) > self._sweep_at:
            self._free = {user: free for user, free in self._free.items() if free > now - _BURST}
            self._sweep_at = max(_FEWEST_SWEPT, 2 * len(self._free))
        return True
