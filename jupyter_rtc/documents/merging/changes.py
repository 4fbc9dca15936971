"""What differs between two versions of a document, for people to read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..compare.align import match
from ..compare.diff import Hunk, hunks, increasing, lines_of
from ..formats.content import Value
from ..formats.ipynb import Notebook
from ..formats.shape import same

_CONTEXT = 3


def difference(old: Value, new: Value, names: tuple[str, str]) -> dict[str, Any]:
    """Return what differs between two values of a document: the changed cells of a notebook, else a unified diff.

    `names` stand at the head of a unified diff. May run in any thread; takes time linear in the sizes.
    """
    if isinstance(old, Notebook) and isinstance(new, Notebook):
        return {"cells": list(_cells(old.cells, new.cells)), "metadata": not same(old.meta, new.meta)}
    return {"diff": unified(_text(old), _text(new), names)}


def unified(old: str, new: str, names: tuple[str, str]) -> str:
    """Return a unified diff of two texts, as ``patch`` reads it; empty where they are equal."""
    old_lines, new_lines = lines_of(old), lines_of(new)
    found = hunks(old_lines, new_lines)
    if not found:
        return ""
    out = [f"--- {names[0]}\n", f"+++ {names[1]}\n"]
    for group in _grouped(found):
        out.extend(_written(group, old_lines, new_lines))
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in out)


def _grouped(found: Sequence[Hunk]) -> Iterator[list[Hunk]]:
    """Yield the hunks that share their context."""
    group = [found[0]]
    for hunk in found[1:]:
        if hunk.start - group[-1].stop > 2 * _CONTEXT:
            yield group
            group = []
        group.append(hunk)
    yield group


def _written(group: Sequence[Hunk], old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    before = min(group[0].start, _CONTEXT)
    after = min(len(old) - group[-1].stop, _CONTEXT)
    start, begin = group[0].start - before, group[0].begin - before
    stop, end = group[-1].stop + after, group[-1].end + after
    yield f"@@ -{_range(start, stop)} +{_range(begin, end)} @@\n"
    at = start
    for hunk in group:
        yield from (f" {line}" for line in old[at : hunk.start])
        yield from (f"-{line}" for line in old[hunk.start : hunk.stop])
        yield from (f"+{line}" for line in new[hunk.begin : hunk.end])
        at = hunk.stop
    yield from (f" {line}" for line in old[at:stop])


def _range(start: int, stop: int) -> str:
    """Write a range of lines as the unified format has it: from 1, and an empty one by the line before it."""
    return f"{start + 1 if stop > start else start},{stop - start}"


def _text(value: Value) -> str:
    return value if isinstance(value, str) else repr(value)


def _cells(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a record for each cell that was removed, added, changed or moved."""
    found = match(old, new)
    kept = set(found)
    for gone, cell in enumerate(old):
        if gone not in kept:
            yield _record("removed", cell, gone, None, unified(_source(cell), "", ("", "")))
    pairs = [(at, place) for at, place in enumerate(found) if place is not None]
    stayed = {pairs[index] for index in increasing([place for _, place in pairs])}
    for at, (cell, place) in enumerate(zip(new, found, strict=True)):
        if place is None:
            yield _record("added", cell, None, at, unified("", _source(cell), ("", "")))
            continue
        before = old[place]
        if not same(before, cell):
            source = unified(_source(before), _source(cell), ("", ""))
            parts = {key: not same(before.get(key), cell.get(key)) for key in ("cell_type", "outputs", "metadata")}
            yield {**_record("changed", cell, place, at, source), "changed": [key for key in parts if parts[key]]}
        elif (at, place) not in stayed:
            yield _record("moved", cell, place, at, "")


def _record(change: str, cell: dict[str, Any], old: int | None, new: int | None, source: str) -> dict[str, Any]:
    return {"change": change, "id": cell.get("id"), "cell_type": cell.get("cell_type")} | {
        "from": old,
        "to": new,
        "source": source,
    }


def _source(cell: dict[str, Any]) -> str:
    return str(cell.get("source", ""))
