"""Durable records in a SQLiteStore: what is done to them, as values that can be queued, and its meaning in the table.

A record belongs to the server that put it; once that has ended, to the first other one that asks for its kind. What a
server has is in its ledger, too, so that it can be written again where the file is lost. Nothing here opens, commits or
closes anything; database.py does.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

from .ledger import Ledger
from .schema import is_time, keep_record_beside
from .servers import Servers
from .store import Record

__all__ = ["ClaimRecords", "PutRecord", "RecordOperation", "RemoveRecord", "Rows", "newest"]


class PutRecord(NamedTuple):
    """Put a record, in place of the one with its id."""

    kind: str
    record: Record


class RemoveRecord(NamedTuple):
    """Remove a record."""

    kind: str
    id: str


class ClaimRecords(NamedTuple):
    """Take over the records of a kind whose servers have ended."""

    kind: str


RecordOperation: TypeAlias = PutRecord | RemoveRecord | ClaimRecords


def newest(operations: Iterable[RecordOperation]) -> list[RecordOperation]:
    """Leave out what is put in vain; what is put last of a record takes the place of what was put first."""
    kept: dict[object, RecordOperation] = {}
    for number, operation in enumerate(operations):
        match operation:
            case PutRecord(kind, record):
                kept[kind, record.id] = operation
            case RemoveRecord(kind, id):
                kept.pop((kind, id), None)
                kept[number] = operation
            case _:
                kept[number] = operation
    return list(kept.values())


class Rows:
    """The table of the records, on a connection that has begun a transaction.

    Attributes:
        aside: the records that were damaged and set aside, as ``kind:id``.
    """

    def __init__(self, connection: sqlite3.Connection, owner: str, ledger: Ledger, servers: Servers) -> None:
        self.aside: list[str] = []
        self._connection = connection
        self._owner = owner
        self._ledger = ledger
        self._servers = servers

    def carry_out(self, operation: RecordOperation) -> None:
        """Carry out an operation; doing so twice does no harm."""
        self._servers.enter()  # before anything here is this server's
        match operation:
            case PutRecord(kind, record):
                self._put(kind, record)
            case RemoveRecord(kind, id):
                number, _ = self._ledger.records.pop((kind, id), (None, None))
                self._connection.execute(
                    "DELETE FROM records WHERE number = ? AND (owner, kind, id) = (?, ?, ?)",
                    (number, self._owner, kind, id),
                )
            case ClaimRecords(kind):
                self._claim(kind)

    def put_all(self) -> None:
        """Write every record that this server has into a file that may have none of them, or what they were once."""
        self._connection.execute("DELETE FROM records WHERE owner = ?", (self._owner,))
        for (kind, _), (_, record) in list(self._ledger.records.items()):
            self._put(kind, record)

    def _put(self, kind: str, record: Record) -> None:
        """Write a record in its place, or as the last one if it has none."""
        number, _ = self._ledger.records.get((kind, record.id), (None, None))
        values = (self._owner, record.kept, record.time, record.value, _checksum(kind, record))
        cursor = self._connection.execute(
            "UPDATE records SET (owner, kept, time, value, sum) = (?, ?, ?, ?, ?)"
            " WHERE number = ? AND (kind, id) = (?, ?)",
            (*values, number, kind, record.id),
        )
        if not cursor.rowcount:
            cursor = self._connection.execute(
                "INSERT INTO records (owner, kept, time, value, sum, kind, id) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*values, kind, record.id),
            )
            number = cursor.lastrowid
        self._ledger.records[kind, record.id] = number or 0, record

    def _claim(self, kind: str) -> None:
        owners = [owner for (owner,) in self._connection.execute("SELECT DISTINCT owner FROM records").fetchall()]
        mine = [owner for owner in owners if owner == self._owner or self._servers.is_gone(owner)]
        found: dict[tuple[str, str], tuple[int, Record]] = {}
        for number, *columns in self._rows(mine):
            row = _Row(*columns)
            record = row.read()
            if record is None:  # of whatever kind it was: that may be what is damaged
                self._set_aside(number, row)
            elif row.kind == kind:
                found[kind, record.id] = number, record
        numbers = ((self._owner, number) for number, _ in found.values())
        self._connection.executemany("UPDATE records SET owner = ? WHERE number = ?", numbers)
        self._take_in(kind, found)

    def _take_in(self, kind: str, found: dict[tuple[str, str], tuple[int, Record]]) -> None:
        """Note what was found of a kind; what was known here before is newer, and written again where it is missing."""
        records = self._ledger.records
        known = {key: records.pop(key) for key in list(records) if key[0] == kind}
        records.update(sorted((found | known).items(), key=lambda item: item[1][0]))
        for key in known.keys() - found.keys():
            self._put(kind, known[key][1])

    def _rows(self, owners: Iterable[Any]) -> list[tuple[Any, ...]]:
        """Return the records of some servers, in order."""
        select = "SELECT number, kind, id, kept, time, value, sum FROM records WHERE owner IS ?"
        return sorted(row for owner in owners for row in self._connection.execute(select, (owner,)).fetchall())

    def _set_aside(self, number: int, row: _Row) -> None:
        self.aside.append(f"{row.kind}:{row.id}")
        keep_record_beside(self._connection, self.aside[-1], (number, row.value, row.sum))
        self._connection.execute("DELETE FROM records WHERE number = ?", (number,))


class _Row(NamedTuple):
    """What stands in a row beside its number and owner; damaged, each may be anything."""

    kind: Any
    id: Any
    kept: Any
    time: Any
    value: Any
    sum: Any

    def read(self) -> Record | None:
        """Return the record; None where the row is not what was written."""
        kind, id, kept, time, value, sum = self
        sound = isinstance(kind, str) and isinstance(id, str) and isinstance(value, bytes) and is_time(time)
        if not sound or kept not in (0, 1):
            return None
        record = Record(id, value, bool(kept), time)
        return record if sum == _checksum(kind, record) else None


def _checksum(kind: str, record: Record) -> int:
    return crc32(record.value, crc32(json.dumps([kind, record.id, record.kept, record.time]).encode()))
