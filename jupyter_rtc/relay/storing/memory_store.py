"""MemoryStore: rooms in memory, for tests and for servers that may forget everything when they stop."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traitlets.config import LoggingConfigurable

from ...wire import NO_CHANGE
from .store import Begun, Checkpoint, Mark, Past, Record, StoredRoom, StoreError

__all__ = ["MemoryStore"]


@dataclass
class _Room:
    """Hold one room of a MemoryStore: a StoredRoom whose parts can be replaced."""

    lineage: str
    genesis: int
    snapshot: bytes
    seq: int
    log: list[tuple[int, bytes]]
    made: list[tuple[str, float]]
    checkpoints: tuple[Checkpoint, ...]
    intended: Mark | None
    saved: Mark | None
    begun_by: str | None


class MemoryStore(LoggingConfigurable):
    """Keep rooms in memory, for tests and for servers that may forget everything when they stop."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._rooms: dict[str, _Room] = {}
        self._records: dict[tuple[str, str], Record] = {}
        self._closed = False

    @property
    def trouble(self) -> str | None:
        """Return None: memory has no trouble that a process survives."""
        return None

    @property
    def damage(self) -> str | None:
        """Return None: memory is not damaged."""
        return None

    @property
    def partial(self) -> Mapping[str, str]:
        """Return nothing: memory refuses no change."""
        return {}

    async def load(self, room: str) -> StoredRoom | None:
        """Return what is stored of a room; None if nothing is. Raises StoreError on a closed store."""
        self._require_open()
        kept = self._rooms.get(room)
        if kept is None:
            return None
        return StoredRoom(
            lineage=kept.lineage,
            genesis=kept.genesis,
            snapshot=kept.snapshot,
            seq=kept.seq,
            log=tuple(kept.log),
            intended=kept.intended,
            saved=kept.saved,
        )

    async def past(self, room: str) -> Past | None:
        """Return a room's history; None if nothing is stored of it. Raises StoreError on a closed store."""
        stored = await self.load(room)
        if stored is None:
            return None
        kept = self._rooms[room]
        return Past(stored, tuple(kept.made), kept.checkpoints)

    async def begun(self) -> Sequence[Begun]:
        """Return the rooms whose names clients made up. Raises StoreError on a closed store."""
        self._require_open()
        return [
            Begun(name, room.begun_by, len(room.snapshot) + sum(len(update) for _, update in room.log))
            for name, room in self._rooms.items()
            if room.begun_by is not None
        ]

    def create(self, room: str, stored: StoredRoom, begun_by: str | None = None) -> None:
        """Begin a room's history with `stored`, in place of whatever stood under that name; a user may have."""
        if not self._closed:
            self._rooms[room] = _Room(
                lineage=stored.lineage,
                genesis=stored.genesis,
                snapshot=stored.snapshot,
                seq=stored.seq,
                log=list(stored.log),
                made=[("", time.time())] * len(stored.log),
                checkpoints=(),
                intended=stored.intended,
                saved=stored.saved,
                begun_by=begun_by,
            )

    def append(self, room: str, seq: int, update: bytes, author: str) -> None:
        """Add update number `seq` to a room's log."""
        kept = self._rooms.get(room)
        if kept is not None:
            kept.log.append((seq, update))
            kept.made.append((author, time.time()))

    def compact(self, room: str, seq: int, snapshot: bytes, checkpoints: Sequence[Checkpoint] | None = None) -> None:
        """Replace a room's snapshot by its state after update `seq`, and drop the log up to there."""
        kept = self._rooms.get(room)
        if kept is not None and seq >= kept.seq:
            kept.seq, kept.snapshot = seq, snapshot
            folded = sum(number <= seq for number, _ in kept.log)
            del kept.log[:folded], kept.made[:folded]
            kept.checkpoints = kept.checkpoints if checkpoints is None else tuple(checkpoints)

    def mark(self, room: str, *, intended: Mark | None = None, saved: Mark | None = None) -> None:
        """Note a save that is about to be written, or one that was; None leaves a mark as it is."""
        kept = self._rooms.get(room)
        if kept is not None:
            kept.intended = intended or kept.intended
            kept.saved = saved or kept.saved

    async def outrun(self, room: str, seq: int) -> None:
        """Have nothing to note: memory can always be written, and ends with the process."""

    async def is_outrun(self, room: str, stored: StoredRoom) -> bool:
        """Say no."""
        return False

    def set_aside(self, room: str, seqs: Collection[int] | None) -> None:
        """Empty the updates of these numbers, or drop the whole room: memory keeps nothing beside the rooms."""
        if seqs is None:
            self.forget(room)
        elif kept := self._rooms.get(room):
            kept.snapshot = NO_CHANGE if kept.seq in seqs else kept.snapshot
            kept.log = [(number, NO_CHANGE if number in seqs else update) for number, update in kept.log]

    def release(self, room: str, spare: bool) -> None:
        """Have nothing to do: there is no limit."""

    def forget(self, room: str) -> None:
        """Delete everything that is stored of a room."""
        self._rooms.pop(room, None)

    async def records(self, kind: str) -> Sequence[Record]:
        """Return the durable records of a kind. Raises StoreError on a closed store."""
        self._require_open()
        return [record for (one, _), record in self._records.items() if one == kind]

    def put_record(self, kind: str, record: Record) -> None:
        """Put a durable record, in place of the one of this kind with its id."""
        self._records[kind, record.id] = record

    def remove_record(self, kind: str, id: str) -> None:
        """Remove a durable record, if there is one."""
        self._records.pop((kind, id), None)

    async def flush(self) -> None:
        """Return: memory is as durable as it gets. Raises StoreError on a closed store."""
        self._require_open()

    async def close(self) -> None:
        """Let go of everything."""
        self._closed = True
        self._rooms.clear()
        self._records.clear()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
