"""What is kept of rooms: read when they are opened, folded when it grows, read again when a document is spoilt."""

from __future__ import annotations

import asyncio
from logging import Logger, LoggerAdapter
from typing import Any

from .served import ServedRoom
from .store import Store, StoredRoom, StoreError


class Keeper:
    """Moves rooms between the store and memory. Trouble with the store is logged, and never raised."""

    def __init__(self, store: Store, log: Logger | LoggerAdapter[Any]) -> None:
        """Keep rooms in `store`."""
        self._store = store
        self._log = log

    async def load(self, name: str) -> tuple[StoredRoom | None, bool]:
        """Return what is stored of a room, and whether the store may keep it from now on.

        While it cannot be read, what it has must not be overwritten: the room is served without it.
        """
        try:
            return await self._store.load(name), True
        except StoreError as error:
            self._log.error("room %s: served without the store, which cannot be read: %s", name, error)
            return None, False

    async def has_all(self, name: str) -> bool:
        """Return whether everything that was queued of a room is stored."""
        try:
            await self._store.flush()
        except StoreError as error:
            return bool(error.rooms) and name not in error.rooms
        return True

    def is_due(self, served: ServedRoom, least: int) -> bool:
        """Say whether a room's log should be folded: it is larger than `least` bytes and than the snapshot."""
        if not served.stored or served.compacting:
            return False
        return served.log_bytes > max(least, served.snapshot_bytes) or served.room.name in self._store.partial

    async def compact(self, served: ServedRoom) -> None:
        """Fold the log into the snapshot, up to the update that the owner may still go back to."""
        served.compacting = True
        try:
            await self._compact(served)
        except StoreError as error:
            self._log.warning("room %s: the log cannot be folded: %s", served.room.name, error)
        finally:
            served.compacting = False

    async def _compact(self, served: ServedRoom) -> None:
        name, rebased = served.room.name, served.rebased
        if name in self._store.partial:  # only the whole state makes it whole again
            self._store.compact(name, served.room.seq, served.room.whole_state())
            served.log_bytes = 0
            return
        stored = await self._store.load(name)
        seq = served.owner.settled(served.room)
        if stored is None or seq <= stored.seq:
            return
        snapshot = await asyncio.to_thread(stored.state, seq)
        if served.rebased == rebased:
            self._store.compact(name, seq, snapshot)
            served.snapshot_bytes = len(snapshot)
            served.log_bytes = sum(len(update) for number, update in stored.log if number > seq)

    async def restore(self, served: ServedRoom) -> None:
        """Build a document again that a bad update may have reached half-way. The room goes on meanwhile."""
        if not served.stored or served.meanwhile is not None:
            return
        served.meanwhile = []
        try:
            stored = await self._store.load(served.room.name)
            if stored is None:
                raise StoreError("nothing is stored")
            doc = stored.document()
            for update in served.meanwhile:
                doc.apply_update(update)
            served.room.replace(doc)
            served.owner.replaced(served.room)
        except StoreError as error:
            self._log.error("room %s: cannot be built again: %s", served.room.name, error)
        finally:
            served.meanwhile = None
