"""Pauses that grow from attempt to attempt."""

from __future__ import annotations

from random import Random


class Backoff:
    """How long to wait before something is tried again: longer each time, until it succeeds.

    >>> backoff = Backoff(1, 5)
    >>> [backoff.next(), backoff.next(), backoff.next(), backoff.next()]
    [1, 2, 4, 5]
    >>> backoff.reset()
    >>> backoff.next()
    1
    """

    def __init__(self, first: float, longest: float, *, factor: float = 2, jitter: Random | None = None) -> None:
        """Begin with a pause of `first` seconds; each is `factor` times the one before, and `longest` at most.

        With a source of `jitter`, each is shortened by up to a half at random: for many that try the same at once.
        """
        self._first = first
        self._longest = longest
        self._factor = factor
        self._jitter = jitter
        self._pause = 0.0

    @property
    def pause(self) -> float:
        """The pause before the attempt that is due, without jitter; 0 where nothing has failed."""
        return self._pause

    def next(self) -> float:
        """Take note that an attempt failed, and return how many seconds to wait before the next one."""
        self._pause = min(self._pause * self._factor or self._first, self._longest)
        return self._pause * self._jitter.uniform(0.5, 1) if self._jitter else self._pause

    def reset(self) -> None:
        """Take note that an attempt succeeded: the next pause is the first."""
        self._pause = 0.0
