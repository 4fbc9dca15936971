"""Where both sides changed the same: found in three versions of a document, and written down in it.

A merge keeps what both wrote, but not where they met. A record of each such place stands in the shared ``state`` map,
under ``conflict <id>``, in the same update as the merge: wherever the merge is, it is, too, whenever the server is
killed. Pure. See docs/topics/merging.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import pycrdt
from pycrdt import Map

from ...wire import clean, json_safe
from ..compare.align import match
from ..compare.diff import Hunk, hunks, lines_of
from ..formats.content import Content, Original, Value, value_of
from ..formats.editing import says_the_same
from ..formats.ipynb import Notebook
from ..formats.shape import same
from .merge import document, edits

Doc: TypeAlias = "pycrdt.Doc[Any]"
Texts: TypeAlias = "tuple[str | None, str | None, str | None]"
_Cell: TypeAlias = "dict[str, Any]"

MOST = 50
"""How many records a document keeps; a merge adds no more than that."""

_LONGEST = 2000  # characters of each text in a record
_KEY = "conflict "
_ID = re.compile(r"[0-9a-f]{32}")
# What nobody types: it comes with the kernel, or with a run.
_CELL_DERIVED, _DERIVED = frozenset({"id", "execution_count"}), frozenset({"language_info", "trusted"})


class Conflict(NamedTuple):
    """A place that both sides changed, and not in the same way.

    Attributes:
        part: what of the document: ``source`` of a text or a cell, ``cell`` for the whole of one that one side deleted,
            ``metadata.<key>``, or the name of another part of a cell, such as ``outputs``.
        cell: the id of the cell in the merged notebook; None where it is not in a cell.
        lines: of a source, the first and the last line of the merged text that the place has, counted from 1.
        texts: what stood there before, what was typed, and what the outside edit says; JSON for what is no text, None
            for what is not there. Those that are too long are cut, and end with an ellipsis.
    """

    part: str
    cell: str | None
    lines: tuple[int, int] | None
    texts: Texts


class Note(NamedTuple):
    """In which room two sides were merged, when (ISO 8601), who typed, and whose the outside edit is: "" for a program.

    The names are usernames.
    """

    room: str
    time: str
    typed_by: Sequence[str]
    outside_by: str


class Merge(NamedTuple):
    """The update of an outside edit (see `merge.outside`), and where it meets what was typed since the base."""

    update: bytes
    conflicts: list[Conflict]


class _Place(NamedTuple):
    """A conflict before the merge: the ids that its cell may have, and its range of lines in what was typed."""

    part: str
    ids: tuple[str, ...]
    lines: tuple[int, int] | None
    texts: Texts


def merged(base: bytes, content: Content, original: Original, live: bytes | None) -> Merge:
    """Do what `merge.outside` does, and find out where both sides changed the same. May run in any thread."""
    fork = document(base)
    if live is None:
        return Merge(edits(fork, content, original), [])
    other = document(live)
    typed = value_of(content, other)
    places = list(islice(places_of(value_of(content, fork), typed, original.value), MOST))
    update = edits(fork, content, original, other)
    if places:
        other.apply_update(update)
    return Merge(update, list(_located(places, typed, value_of(content, other))) if places else [])


# ------------------------------------------------------------------ finding


def places_of(base: Value, typed: Value, outside: Value) -> Iterator[_Place]:
    """Yield where two versions of a document say something else than `base`, and than each other.

    Lines count as git's merge counts them: what touches is one place, and two insertions between the same two lines
    are. Whole new cells are none, nor what only comes with a run (`execution_count`). Of registered types only texts
    can be told apart.
    """
    if isinstance(base, Notebook) and isinstance(typed, Notebook) and isinstance(outside, Notebook):
        yield from _in_map((), *(value.meta.get("metadata") for value in (base, typed, outside)))
        now = {str(cell.get("id")): cell for cell in typed.cells}
        theirs = dict(zip(match(base.cells, outside.cells), outside.cells, strict=True))
        for at, cell in enumerate(base.cells):
            yield from _in_cell(cell, now.get(str(cell.get("id"))), theirs.get(at))
    elif isinstance(base, str) and isinstance(typed, str) and isinstance(outside, str):
        yield from _in_text((), base, typed, clean(outside))


def _in_cell(base: _Cell, typed: _Cell | None, outside: _Cell | None) -> Iterator[_Place]:
    ids = tuple(clean(str(cell.get("id"))) for cell in (outside, typed) if cell)
    if typed is None or outside is None:
        left = outside if typed is None else typed
        if left is not None and not says_the_same(base, left):
            yield _Place("cell", ids, None, _texts(*(cell and cell.get("source") for cell in (base, typed, outside))))
        return
    for key in sorted((base.keys() | typed.keys() | outside.keys()) - _CELL_DERIVED):
        before, mine, theirs = base.get(key), typed.get(key), outside.get(key)
        if key == "source" and isinstance(before, str) and isinstance(mine, str):
            yield from _in_text(ids, before, mine, clean(outside["source"]))
        elif key == "metadata":
            yield from _in_map(ids, before, mine, theirs)
        elif _differ(before, mine, theirs):
            yield _Place(key, ids, None, _texts(before, mine, theirs))


def _in_map(ids: tuple[str, ...], *parts: Any) -> Iterator[_Place]:
    maps = (part if isinstance(part, dict) else {} for part in parts)
    base, typed, outside = ({clean(key): value for key, value in part.items()} for part in maps)
    for key in sorted((base.keys() | typed.keys() | outside.keys()) - _DERIVED):
        values = base.get(key), typed.get(key), outside.get(key)
        if _differ(*values):
            yield _Place(f"metadata.{key}", ids, None, _texts(*values))


def _differ(base: Any, typed: Any, outside: Any) -> bool:
    return not (same(outside, base) or same(outside, typed) or same(base, typed))


def _in_text(ids: tuple[str, ...], base: str, typed: str, outside: str) -> Iterator[_Place]:
    if base in (typed, outside) or typed == outside:
        return
    before, mine, theirs = lines_of(base), lines_of(typed), lines_of(outside)
    for was, now, new in regions(hunks(before, mine), hunks(before, theirs)):
        if mine[now] != theirs[new]:
            texts = _texts(*map("".join, (before[was], mine[now], theirs[new])))
            yield _Place("source", ids, (now.start, now.stop), texts)


def regions(mine: Sequence[Hunk], theirs: Sequence[Hunk]) -> Iterator[tuple[slice, slice, slice]]:
    """Yield the stretches of three texts in which hunks of both sides touch: of the base, mine, and theirs.

    Between two of them, and before and after each, there is a line that neither side changed (as in xdl_do_merge of
    git, xdiff/xmerge.c), or an end.
    """
    grown = [0, 0]
    for group in _groups(mine, theirs):
        start, stop = group[0][1].start, max(hunk.stop for _, hunk in group)
        first = [start + by for by in grown]
        for side, hunk in group:
            grown[side] += _growth(hunk)
        if {side for side, _ in group} == {0, 1}:
            yield slice(start, stop), slice(first[0], stop + grown[0]), slice(first[1], stop + grown[1])


def _groups(mine: Sequence[Hunk], theirs: Sequence[Hunk]) -> Iterator[list[tuple[int, Hunk]]]:
    """Yield the runs of hunks of both sides, 0 for mine and 1 for theirs, that touch each other in the base."""
    group: list[tuple[int, Hunk]] = []
    stop = -1
    for side, hunk in sorted([(0, hunk) for hunk in mine] + [(1, hunk) for hunk in theirs], key=lambda one: one[1][:2]):
        if group and hunk.start > stop:
            yield group
            group = []
        stop = max(stop, hunk.stop) if group else hunk.stop
        group.append((side, hunk))
    if group:
        yield group


def _growth(hunk: Hunk) -> int:
    return (hunk.end - hunk.begin) - (hunk.stop - hunk.start)


def _texts(base: Any, typed: Any, outside: Any) -> Texts:
    return _written(base), _written(typed), _written(outside)


def _written(value: Any) -> str | None:
    """Return a part of a document as text, not more of it than a record has room for."""
    if value is None or isinstance(value, str):
        return value if value is None else _cut(value)
    text = ""
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(value):  # outputs may be huge
        text += piece
        if len(text) > _LONGEST:
            break
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


# ------------------------------------------------------------------ where it is after the merge


def _located(places: Sequence[_Place], typed: Value, merged: Value) -> Iterator[Conflict]:
    before, after = _sources(typed), _sources(merged)
    moves: dict[str, list[Hunk]] = {}
    for part, ids, lines, texts in places:
        cell, was = next((id for id in ids if id in after), None), ids[-1] if ids else ""
        now = cell or ""
        if lines and was in before and now in after and was not in moves:
            moves[was] = hunks(lines_of(before[was]), lines_of(after[now]))
        yield Conflict(part, cell, _moved(*lines, moves[was]) if lines and was in moves else None, texts)


def _sources(value: Value) -> dict[str, str]:
    """Return the texts of a document by the ids of the cells; the one that has no cells under ""."""
    if isinstance(value, Notebook):
        return {str(cell.get("id")): str(cell.get("source")) for cell in value.cells}
    return {"": value}


def _moved(start: int, stop: int, found: Sequence[Hunk]) -> tuple[int, int]:
    """Return the first and the last line, from 1, that the range of lines has after the changes `found`."""
    first, last = start, stop
    for hunk in found:
        first += _growth(hunk) if hunk.start < start and hunk.stop <= start else 0
        last += _growth(hunk) if hunk.start < stop or hunk.start == hunk.stop == stop else 0
    return first + 1, max(first + 1, last)


# ------------------------------------------------------------------ records


def records(found: Iterable[Conflict], note: Note) -> dict[str, Any]:
    """Return the records of conflicts, by their ids: the same conflict has the same id, whenever it is found."""
    made = {}
    about = {"time": note.time, "typed_by": list(note.typed_by), "outside_by": note.outside_by}
    for part, cell, lines, texts in found:
        what = json.dumps([note.room, note.outside_by, part, cell, lines, *texts])
        id = sha256(what.encode()).hexdigest()[:32]
        where = {"part": part, "cell": cell, "lines": lines and list(lines)}
        made[id] = about | where | dict(zip(("base", "typed", "outside"), texts, strict=True))
    return made


def write(doc: Doc, made: Mapping[str, Any]) -> bytes:
    """Write records into a document; return that as an update."""
    before = doc.get_state()
    state: Map[Any] = doc.get("state", type=Map)
    with doc.transaction():
        for id, record in made.items():
            state[_KEY + id] = json_safe(record)
    return doc.get_update(before)


def recorded(doc: Doc) -> dict[str, dict[str, Any]]:
    """Return the records in a document by their ids, the oldest first; what a client put there that is none, is not."""
    state: Map[Any] = doc.get("state", type=Map)
    found = {key.removeprefix(_KEY): state[key] for key in state.keys() if key.startswith(_KEY)}  # noqa: SIM118
    sane = {id: _sane(record) for id, record in found.items() if _ID.fullmatch(id) and isinstance(record, dict)}
    return dict(sorted(sane.items(), key=lambda item: (item[1]["time"], item[0])))


def forget(doc: Doc, ids: Iterable[str]) -> None:
    """Take records out of a document, those of them that are there."""
    state: Map[Any] = doc.get("state", type=Map)
    for id in ids:
        if _KEY + id in state:
            del state[_KEY + id]


def place_of(record: Mapping[str, Any]) -> str:
    """Say in a few words where a conflict is, or was when it was recorded."""
    lines, part = record["lines"], record["part"]
    where = [f"cell {record['cell']}"] if record["cell"] is not None else []
    if lines:
        where.append(f"line {lines[0]}" if lines[0] == lines[1] else f"lines {lines[0]} to {lines[1]}")
    elif part != "cell" or not where:
        where.append(part)
    return ", ".join(where)


def _sane(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the types that it should have, whatever a client wrote."""
    texts = {key: value if isinstance(value := record.get(key), str) else None for key in ("base", "typed", "outside")}
    named = {key: value if isinstance(value := record.get(key), str) else "" for key in ("time", "outside_by", "part")}
    people, lines, cell = record.get("typed_by"), record.get("lines"), record.get("cell")
    return {
        **named,
        "typed_by": [one for one in people if isinstance(one, str)] if isinstance(people, list) else [],
        "cell": cell if isinstance(cell, str) else None,
        "lines": _range(lines),
        **texts,
    }


def _range(lines: Any) -> list[int] | None:
    if isinstance(lines, list) and len(lines) == 2 and all(isinstance(n, int | float) and 0 < n < 1e9 for n in lines):
        return [int(number) for number in lines]
    return None
