"""Wait for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE = 60.0
"""Seconds after which a test gives up waiting: only a test that fails waits so long, and the machine may be busy."""


def pause(waited: float) -> float:
    """Return how many seconds to wait before the next look, where one has waited for `waited` seconds so far.

    A look may cost a request or the reading of a file, for which what is waited for has to wait in turn: the longer it
    takes, the fewer there are.
    """
    return min(max(0.01, waited / 16), 0.25)


async def until(condition: Callable[[], Any], what: Callable[[], object] = str, timeout: float = PATIENCE) -> Any:
    """Wait until `condition`, asynchronous or not, returns something true, and return that.

    Raises AssertionError, with what `what` returns then, if it takes too long.
    """
    begun = time.monotonic()
    while not (met := await answer if isinstance(answer := condition(), Awaitable) else answer):
        waited = time.monotonic() - begun
        assert waited < timeout, f"waited in vain: {what()}"
        await asyncio.sleep(pause(waited))
    return met
