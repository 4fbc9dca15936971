"""A table: records by id in a shared map, changed with the fewest writes. Sans-I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple, TypeAlias

from pycrdt import Doc, Map

from ..wire import JSON, json_safe

RECORDS = "records"
"""The root of a table's document: a map of records by id, each a map of plain JSON."""

Fields: TypeAlias = dict[str, Any]
Records: TypeAlias = Mapping[str, Mapping[str, Any]]

_AT_ONCE = 2000
_PER_REMOVED = 16


class _Mark(Enum):
    """What is written in place of a value: a new, empty map, or nothing any more."""

    EMPTY = 0
    GONE = 1


class Write(NamedTuple):
    """One write: into a record, one of its fields, or one entry of a field that is a map itself."""

    record: str
    field: str | None
    entry: str | None
    value: JSON | _Mark


class Change(NamedTuple):
    """Writes that are made in one transaction."""

    writes: tuple[Write, ...]

    def write(self, doc: Doc[Any]) -> None:
        """Make them in the document of the table; to be called in a transaction."""
        records = doc.get(RECORDS, type=Map)
        last: tuple[str, str | None] | None = None
        place: Map[Any] = records
        for record, field, entry, value in self.writes:
            path = (record, field if entry is not None else None)
            if field is None:
                _put(records, record, value)
            else:
                if path != last:
                    place = records[record] if entry is None else records[record][field]
                _put(place, field if entry is None else entry, value)
            last = None if field is None else path


class Table:
    """Records by id, as they are in the table's document, and what it takes to bring both up to date.

    All records of a table have the same fields, so that none ever goes from a record.

    Attributes:
        records: the records, each a dictionary that JSON can hold; not to be changed.
        garbage: about how many bytes of the document are left over from records that went. An id is never forgotten
            by a shared document; what a field held before is.
    """

    def __init__(self, maps: Collection[str] = ()) -> None:
        """Make an empty table, whose fields named in `maps` are maps themselves, that change entry by entry."""
        self.records: dict[str, Fields] = {}
        self.garbage = 0
        self._maps = maps

    def reconcile(self, records: Records) -> Iterator[Change]:
        """Yield what is to be written so that the table has just these `records`; nothing where nothing differs.

        Each change is for one transaction, and is in `records` when it is yielded; mostly there is only one. What is
        large comes in several, between which others may have their turn; all are to be taken before the next call.

        A record that cannot be written stays as it is. When the others are through, what it raises is raised.
        """
        named = {_text(name): fields for name, fields in records.items()}
        return _bundled(self._writes(named))

    def take_back(self, change: Change) -> None:
        """Have the records of a change no more, for they could not be written."""
        for write in change.writes:
            self.records.pop(write.record, None)

    def fill(self) -> Iterator[Change]:
        """Yield what is to be written into an empty document, in parts; the garbage begins anew."""
        self.garbage = 0
        return _bundled(self._record(name, None, fields) for name, fields in list(self.records.items()))

    def _writes(self, records: Records) -> Iterator[list[Write]]:
        for name in [name for name in self.records if name not in records]:
            del self.records[name]
            yield self._gone(name, None, None)
        failed: Exception | None = None
        for name, raw in records.items():
            old = self.records.get(name)
            try:
                if old == raw:
                    continue
                new = {field: json_safe(value) for field, value in raw.items()}
                writes = self._record(name, old, new)
            except Exception as error:  # whatever a value of somebody else's, or a record of other fields, makes of it
                failed = failed or error
                continue
            self.records[name] = new
            yield writes
        if failed:
            raise failed

    def _record(self, name: str, old: Fields | None, new: Fields) -> list[Write]:
        """Return what makes the record `new` of what it was."""
        writes = [Write(name, None, None, _Mark.EMPTY)] if old is None else []
        for field, value in new.items():
            if field in self._maps:
                writes += self._entries(name, field, old and old[field], value)
            elif old is None or old[field] != value or type(old[field]) is not type(value):
                writes.append(Write(name, field, None, value))
        return writes

    def _entries(self, name: str, field: str, old: Fields | None, new: Fields) -> Iterator[Write]:
        if old is None:
            yield Write(name, field, None, _Mark.EMPTY)
            old = {}
        for entry in old.keys() - new.keys():
            yield from self._gone(name, field, entry)
        for entry, value in new.items():
            if entry not in old or old[entry] != value:
                yield Write(name, field, entry, value)

    def _gone(self, record: str, field: str | None, entry: str | None) -> list[Write]:
        self.garbage += len(entry if entry is not None else record) + _PER_REMOVED
        return [Write(record, field, entry, _Mark.GONE)]


def _text(name: Any) -> str:
    return name if isinstance(name, str) and name.isascii() else str(json_safe(name))


def _put(place: Map[Any], key: str, value: JSON | _Mark) -> None:
    if value is _Mark.GONE:
        del place[key]
    else:
        place[key] = Map() if value is _Mark.EMPTY else value


def _bundled(writes: Iterable[list[Write]]) -> Iterator[Change]:
    """Put writes together for a transaction each; those of a record are in one, unless there are too many."""
    bundle: list[Write] = []
    failed: Exception | None = None
    try:
        for some in writes:
            bundle += some
            while len(bundle) >= _AT_ONCE:
                yield Change(tuple(bundle[:_AT_ONCE] if len(some) > _AT_ONCE else bundle))
                bundle = bundle[_AT_ONCE:] if len(some) > _AT_ONCE else []
    except Exception as error:  # what was put together until then is to be written nevertheless
        failed = error
    if bundle:
        yield Change(tuple(bundle))
    if failed:
        raise failed
