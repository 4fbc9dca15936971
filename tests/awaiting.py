"""Wait for a condition instead of for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE = 60.0
"""Seconds after which a test gives up waiting: only a test that fails waits so long, and the machine may be busy."""


async def until(condition: Callable[[], Any], what: Callable[[], object] = str, timeout: float = PATIENCE) -> Any:
    """Wait until `condition`, asynchronous or not, returns something true, and return that.

    Raises AssertionError, with what `what` returns then, if it takes too long.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    while not (met := await answer if isinstance(answer := condition(), Awaitable) else answer):
        assert asyncio.get_running_loop().time() < deadline, f"waited in vain: {what()}"
        await asyncio.sleep(0.01)
    return met
