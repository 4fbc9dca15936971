"""What a file does not keep of its document: outputs, tags, ids. That is no deletion by anybody.

A contents manager, or a hook, may write less than the document says: a text notebook of Jupytext has no outputs, and
the hook in Jupyter's own documentation strips them. What somebody else then writes into the file is what has changed
against what the file held; all that it never held stays as it is in the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pycrdt
from pycrdt import Text

from ..compare.align import match
from .ipynb import Notebook
from .shape import same
from .texts import edit_text

_PARTS: dict[str, Any] = {"outputs": [], "execution_count": None}
"""The parts of a cell that every code cell must have, with what they are where there is nothing."""
_OF_METADATA = "metadata."
_NEVER = ("cell_type", "source", "metadata", "id")


def unkept(full: Notebook, kept: Notebook) -> list[str]:
    """Return which parts of cells a file has in no cell, though its document has them: ``outputs``, ``metadata.tags``.

    `full` is what the document says, `kept` what a read of the file gives.
    """
    found = {name for cell in full.cells for name in _parts(cell)}
    return sorted(found - {name for cell in kept.cells for name in _parts(cell)})


def without(full: Notebook, parts: Sequence[str]) -> Notebook:
    """Return what a file held of a notebook that keeps all but these parts of it."""
    return Notebook([_without(cell, parts) for cell in full.cells], full.meta, full.trusted)


def carried(full: Notebook, kept: Notebook, now: Notebook) -> Notebook:
    """Return what a file would hold now if it kept all of its document.

    Args:
        full: what the document said when it was saved last.
        kept: what a read of the file gave then.
        now: what it gives now that somebody else has written it.
    """
    of_full, of_kept = match(full.cells, kept.cells), match(kept.cells, now.cells)
    places = [None if place is None else of_full[place] for place in of_kept]
    cells: list[dict[str, Any]] = []
    for cell, was, place in zip(now.cells, of_kept, places, strict=True):
        if was is None or place is None:
            cells.append(cell)
        else:
            cells.append(_members(full.cells[place], kept.cells[was], cell))
    _put_back(cells, places, full.cells, set(range(len(full.cells))).difference(of_full))
    return Notebook(cells, _members(full.meta, kept.meta, now.meta), now.trusted)


def carried_text(full: str, kept: str, now: str) -> str:
    """Return the text that a file would hold now if it kept all of its document: see `carried`."""
    if now == kept or full == kept:
        return full if now == kept else now
    mine = _document(kept)
    theirs = _document(mine.get_update())
    edit_text(mine.get("text", type=Text), full)
    edit_text(theirs.get("text", type=Text), now, full)
    mine.apply_update(theirs.get_update())
    return str(mine.get("text", type=Text))


def _document(begin: str | bytes) -> pycrdt.Doc[Any]:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    if isinstance(begin, bytes):
        doc.apply_update(begin)
    else:
        doc.get("text", type=Text).insert(0, begin)
    return doc


def _parts(cell: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the parts that a cell has something in."""
    for name, value in cell.items():
        if name not in _NEVER and (name not in _PARTS or value != _PARTS[name]):
            yield name
    for name in cell.get("metadata") or ():
        yield _OF_METADATA + name


def _without(cell: Mapping[str, Any], parts: Sequence[str]) -> dict[str, Any]:
    left = {name: value for name, value in cell.items() if name not in parts or name in _PARTS}
    left |= {name: empty for name, empty in _PARTS.items() if name in parts and name in cell}
    metadata = cell.get("metadata") or {}
    return {**left, "metadata": {key: value for key, value in metadata.items() if _OF_METADATA + key not in parts}}


def _put_back(
    cells: list[dict[str, Any]], places: list[int | None], full: Sequence[dict[str, Any]], lost: set[int]
) -> None:
    """Put the cells that the file never had after those that they come after in the document."""
    for place in sorted(lost):
        before = next((at for at in range(place - 1, -1, -1) if at in places), None)
        at = 0 if before is None else places.index(before) + 1
        cells.insert(at, full[place])
        places.insert(at, place)


def _members(full: Mapping[str, Any], kept: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with what is new in `now` against `kept`, and else what is in `full`."""
    found = {}
    for name in {**full, **now}:
        if (name in now) == (name in kept) and (name not in now or same(now[name], kept[name])):
            if name in full:
                found[name] = full[name]
        elif name in now:
            found[name] = _member(name, full.get(name), kept.get(name), now[name])
    return found


def _member(name: str, full: Any, kept: Any, now: Any) -> Any:
    if name == "metadata" and isinstance(full, dict) and isinstance(kept, dict) and isinstance(now, dict):
        return _members(full, kept, now)
    if name == "source" and isinstance(full, str) and isinstance(kept, str) and isinstance(now, str):
        return carried_text(full, kept, now)
    return full if name == "id" and full else now
