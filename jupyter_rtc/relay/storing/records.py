"""Records: the durable records of one kind, as JSON objects by id, within bounds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .store import Record, Store

__all__ = ["Bounds", "Records"]


class Bounds(NamedTuple):
    """How much there may be of one kind: so many records, whose values take so many bytes as JSON."""

    records: int
    size: int


class Records:
    """The durable records of one kind that this server has, in the order in which they were first put.

    All of them are in memory, too. Where there are more than the bounds allow, those that were put first go, but none
    that is `kept`: of these there may be any number.
    """

    def __init__(self, store: Store, kind: str, bounds: Bounds) -> None:
        self._store = store
        self._kind = kind
        self._bounds = bounds
        self._records: dict[str, Record] = {}
        self._size = 0

    async def load(self) -> None:
        """Take in what is stored: what this server put, and what servers left that have ended; once, at the start.

        What was put here meanwhile stays. Raises StoreError where the store cannot be read.
        """
        stored = {record.id: record for record in await self._store.records(self._kind)}
        self._records = stored | self._records
        self._size = sum(len(record.value) for record in self._records.values())
        self._shrink()

    def get(self, id: str) -> dict[str, Any] | None:
        """Return the value of a record; None if there is none."""
        record = self._records.get(id)
        value: dict[str, Any] | None = json.loads(record.value) if record else None
        return value

    def put(self, id: str, value: Mapping[str, Any], kept: bool = False) -> None:
        """Put a record, in place of the one with its id. `flush` of the store says when it is durable.

        It is encoded here and now: a value of megabytes takes tens of milliseconds. Raises ValueError for a value that
        JSON cannot hold or that alone is larger than all may be, and for an id that is not text; nothing is put then.
        """
        id.encode()
        try:
            encoded = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, RecursionError) as error:
            raise ValueError(f"the value of {id!r} is none that JSON can hold: {error}") from None
        if len(encoded) > self._bounds.size:
            raise ValueError(f"the value of {id!r} has {len(encoded)} bytes, and {self._bounds.size} are allowed")
        before = self._records.get(id)
        self._size += len(encoded) - (len(before.value) if before else 0)
        record = self._records[id] = Record(id, encoded, kept, time.time())
        self._store.put_record(self._kind, record)
        self._shrink(id)

    def remove(self, id: str) -> None:
        """Remove a record, if there is one."""
        record = self._records.pop(id, None)
        if record:
            self._size -= len(record.value)
            self._store.remove_record(self._kind, id)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids, in order."""
        return iter(self._records)

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self._records)

    def _shrink(self, newest: str | None = None) -> None:
        """Keep within the bounds, with the `newest` record in any case."""
        while len(self._records) > self._bounds.records or self._size > self._bounds.size:
            oldest = next((id for id, record in self._records.items() if not record.kept and id != newest), None)
            if oldest is None:
                return
            self.remove(oldest)
