"""A store in which things go wrong when a test says so."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyter_rtc.relay import MemoryStore, Past, StoredRoom, StoreError


class Faulty(MemoryStore):
    """A store in memory that lets nobody read while it is `shut`, and fails while it is `broken`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.loads = 0
        self.broken = False
        self.slow: asyncio.Event | None = None
        self.flushing = False
        self.complaint: str | None = None

    @property
    def trouble(self) -> str | None:
        """What it says is wrong."""
        return self.complaint

    async def load(self, room: str) -> StoredRoom | None:
        """Return what was stored of a room when asked, once the store is open."""
        self.loads += 1
        self.asked.set()
        found = await super().load(room)
        await self.open.wait()
        if self.broken:
            raise StoreError("the disk is on fire")
        return found

    async def past(self, room: str) -> Past | None:
        """Return a room's history as it was when asked, once the store is open."""
        self.asked.set()
        stored = await MemoryStore.load(self, room)
        kept = None if stored is None else Past(stored, (("", 0.0),) * len(stored.log), ())
        await self.open.wait()
        return kept

    async def flush(self) -> None:
        """Return if nothing is wrong; where it is slow, once the test says so."""
        if self.slow:
            self.flushing = True
            await self.slow.wait()
        if self.broken:
            raise StoreError("the disk is on fire")
