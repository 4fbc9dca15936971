"""Wait for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from awaiting import PATIENCE, pause

T = TypeVar("T")

OFTEN = 0.25
"""Seconds between two looks at what must not change."""


def eventually(read: Callable[[], T], accept: Callable[[T], object], what: str) -> T:
    """Call `read` until `accept` is true of its value, and return that value.

    Fails with `what` was awaited and the value last read when it takes too long.
    """
    begun = time.monotonic()
    while True:
        value = read()
        if accept(value):
            return value
        if (waited := time.monotonic() - begun) > PATIENCE:
            # In one line: all of it stands in the summary, which is the last that pytest prints.
            raise AssertionError(f"not within {PATIENCE} s: {what}; last seen: {value!r}")
        time.sleep(pause(waited))


def eventually_equal(read: Callable[[], T], expected: T) -> None:
    """Call `read` until it returns `expected`; fail with both values when it takes too long."""
    eventually(read, lambda value: value == expected, f"equal to {expected!r}")


def stays_equal(read: Callable[[], T], expected: T, seconds: float) -> None:
    """Fail as soon as `read` returns something else than `expected` within the next `seconds`.

    For what must not happen; there is no condition to await then, only a time in which it would have.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = read()
        assert value == expected, f"should have stayed {expected!r}, became {value!r}"
        time.sleep(OFTEN)
