"""A table: records by id in a shared map, changed with the fewest writes. Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from pycrdt import Doc, Map

from .json_safe import JSON, json_safe

RECORDS = "records"
"""The root of a table's document: a map of records by id, each a map of plain JSON."""

Fields: TypeAlias = dict[str, JSON]
Records: TypeAlias = Mapping[str, Mapping[str, Any]]

_SLICE = 250
_PER_REMOVED = 16


class Change:
    """A part of what is to be written: the fields of each record that differ, None for a record that goes."""

    def __init__(self, parts: dict[str, Fields | None], known: dict[str, bool]) -> None:
        """Describe what differs; `known` says of each record whether it is in the document already."""
        self.parts = parts
        self._known = known

    def write(self, doc: Doc[Any]) -> None:
        """Write it into the document of the table; to be called in a transaction."""
        records = doc.get(RECORDS, type=Map)
        for name, fields in self.parts.items():
            if fields is None:
                del records[name]
            elif not self._known[name]:
                records[name] = Map(fields)
            else:
                record = records[name]
                for field, value in fields.items():
                    record[field] = value


class Table:
    """Records by id, as they are in the table's document, and what it takes to bring both up to date.

    All records of a table have the same fields, so that none ever goes from a record.

    Attributes:
        records: the records, each a dictionary that JSON can hold; not to be changed.
        garbage: about how many bytes of the document are left over from records that went. An id is never forgotten
            by a shared document; what a field held before is.
    """

    def __init__(self) -> None:
        """Make an empty table."""
        self.records: dict[str, Fields] = {}
        self.garbage = 0

    def reconcile(self, records: Records) -> Iterator[Change]:
        """Yield what is to be written so that the table has just these `records`; nothing where nothing differs.

        Each part is for one transaction, and is in `records` when it is yielded; mostly there is only one. What is
        large comes in parts, between which others may have their turn; it is to be exhausted before the next call.
        """
        records = {name if name.isascii() else str(json_safe(name)): fields for name, fields in records.items()}
        gone = [name for name in self.records if name not in records]
        for some in _sliced(iter(gone)):
            for name in some:
                del self.records[name]
                self.garbage += len(name) + _PER_REMOVED
            yield Change(dict.fromkeys(some), {})
        looked = iter(records.items())
        while some_records := list(islice(looked, _SLICE)):
            if change := self._differing(some_records):
                yield change

    def fill(self) -> Iterator[Change]:
        """Yield what is to be written into an empty document, in parts; the garbage begins anew."""
        self.garbage = 0
        for some in _sliced(iter(list(self.records))):
            yield Change({name: self.records[name] for name in some}, dict.fromkeys(some, False))

    def _differing(self, records: list[tuple[str, Mapping[str, Any]]]) -> Change | None:
        parts: dict[str, Fields | None] = {}
        known: dict[str, bool] = {}
        for name, raw in records:
            old = self.records.get(name)
            if old == raw:
                continue
            new = {str(field): json_safe(value) for field, value in raw.items()}
            changed = new if old is None else {key: new[key] for key in new if key not in old or old[key] != new[key]}
            if changed or old is None:
                self.records[name] = new
                parts[name], known[name] = changed, old is not None
        return Change(parts, known) if parts else None


def _sliced(names: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(names, _SLICE)):
        yield some
