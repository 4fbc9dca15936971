"""One after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """A lock for each key, as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, *keys: str) -> AsyncIterator[None]:
        """Hold the locks of these keys."""
        async with AsyncExitStack() as held:
            for key in sorted(set(keys)):  # in one order for all: nobody waits for somebody who waits for him
                await held.enter_async_context(self._locks.setdefault(key, asyncio.Lock()))
            yield
