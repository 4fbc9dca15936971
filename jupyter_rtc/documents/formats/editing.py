"""A shared notebook made to say what a file says, with the smallest edits.

What is equal is not touched: cells keep their Map and texts their characters, so that cursors and handles stay where
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import pycrdt
from pycrdt import Map

from ...wire import clean
from ..compare.align import identified, match
from ..compare.diff import hunks, increasing
from .ipynb import Ipynb
from .notebook import cells_of, meta_of
from .shape import same
from .shared_notebook import Metadata, SharedCell, SharedNotebook, SharedOutputs
from .texts import edit_text
from .update import fingerprint

Doc: TypeAlias = "pycrdt.Doc[Any]"


def edit_notebook(doc: Doc, original: Ipynb, live: Doc | None = None) -> None:
    """Make a notebook equal `original`, in one transaction (see `content.Content.edit`).

    Cells are recognised as `align.match` has it. A cell that is new, moved, or of another type now is created
    anew: Yjs cannot move, and front ends do not look at the type again.
    """
    notebook = SharedNotebook(doc)
    with doc.transaction():
        _edit_frame(notebook, meta_of(doc.get("meta", type=Map)), original.value.meta)
        shared = notebook.cells()
        olds, news = [cell.value() for cell in shared], original.value.cells
        identified(olds)
        now = _Now(olds, live)
        found = match(olds, news)
        # A cell that was deleted by people and changed outside comes back as it is there; and what a client put in the
        # place of a cell, and is none, cannot be edited to be one.
        anew = [
            place is not None and (place in now.gone or not shared[place].valid) and not says_the_same(olds[place], new)
            for place, new in zip(found, news, strict=True)
        ]
        stay = _staying([None if anew[at] else place for at, place in enumerate(found)], olds, news)
        for at, place in enumerate(found):
            if place is not None and shared[place].valid and (at in stay or place in now.held):
                own = not original.cells or original.cells[at].own
                _edit_cell(shared[place], olds[place], news[at], own, original.trusted, now.cell(olds[place]))
        made = {
            at: _trust(original, news[at], None if place is None else (shared[place], olds[place]))
            for at, place in enumerate(found)
            if at not in stay and place not in now.held and not (place is None and now.has(news[at]))
        }
        kept = sorted(now.held.union(stay.values()))
        for low, high in reversed(list(pairwise([-1, *kept, len(shared)]))):
            notebook.delete(low + 1, high)
        position = {place: number for number, place in enumerate(kept)}
        _fill(notebook, news, made, {at: position[place] for at, place in stay.items()})


def _fill(
    notebook: SharedNotebook, news: Sequence[dict[str, Any]], made: dict[int, bool], stay: dict[int, int]
) -> None:
    """Put the cells that are `made` between those that `stay`: by where they are in the file.

    Of the former it is known whether they are trusted, of the latter where they are now.
    From the end, so that what is still to come stays where it is; and an array finds its beginning fastest.
    """
    before = len(notebook)
    for at in sorted(made.keys() | stay.keys(), reverse=True):
        if at in stay:
            before = stay[at]
        else:
            notebook.put(before, news[at], made[at])


class _Now:
    """What became of the cells of a notebook in the living document, if there is one.

    Attributes:
        held: the indices of the cells that somebody edited there.
        gone: the indices of those that somebody deleted there.
    """

    def __init__(self, olds: list[dict[str, Any]], live: Doc | None) -> None:
        self._cells = {} if live is None else {cell["id"]: cell for cell in cells_of(live)}
        known = [(at, old, self.cell(old)) for at, old in enumerate(olds) if live is not None]
        self.held = {at for at, old, cell in known if cell is not None and cell != old}
        self.gone = {at for at, _, cell in known if cell is None}

    def cell(self, old: dict[str, Any]) -> dict[str, Any] | None:
        """Return what a cell is there; None where it is not."""
        return self._cells.get(old["id"])

    def has(self, new: dict[str, Any]) -> bool:
        """Say whether somebody made the same cell there."""
        cell = self.cell(new)
        return cell is not None and says_the_same(cell, new)


def says_the_same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Say whether a cell of a file, `new`, is like one of a document, whatever their ids."""
    return same({**old, "id": None}, {**{clean(key): value for key, value in new.items()}, "id": None})


def _staying(found: list[int | None], olds: Sequence[dict[str, Any]], news: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Return the pairs (new, old) of the most cells that can stay where they are, in ascending order."""
    pairs = [
        (at, place)
        for at, place in enumerate(found)
        if place is not None and olds[place].get("cell_type") == news[at]["cell_type"]
    ]
    return dict(pairs[index] for index in increasing([place for _, place in pairs]))


def _edit_frame(notebook: SharedNotebook, old: dict[str, Any], new: dict[str, Any]) -> None:
    for key in ("nbformat", "nbformat_minor"):
        if not same(new[key], old.get(key)):
            notebook.set_frame(key, new[key])
    _edit_metadata(notebook.metadata, old.get("metadata", {}), new["metadata"])


def _edit_metadata(shared: Metadata, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Make metadata that says `old` say `new`: only keys that differ are written. The key ``trusted`` is left
    alone."""
    fresh = {clean(key): value for key, value in new.items()}
    for name in old.keys() - fresh.keys() - {"trusted"}:
        del shared[name]
    for name, value in fresh.items():
        if name not in old or not same(value, old[name]):
            shared[name] = value


def _edit_cell(
    cell: SharedCell, old: dict[str, Any], new: dict[str, Any], own: bool, trusted: bool, live: dict[str, Any] | None
) -> None:
    """Make the cell that says `old` say `new`; `own` says whether the file knows the id in `new`.

    What it says in the living document already, `live`, is left out.
    """
    fresh = {clean(key): value for key, value in new.items() if own or key != "id"}
    for key in old.keys() - fresh.keys() - {"id"}:
        cell.discard(key)
    for key, value in fresh.items():
        if any(said is not None and key in said and same(value, said[key]) for said in (old, live)):
            continue
        if key == "source":
            cell.set_source(value, live["source"] if live and isinstance(live.get("source"), str) else None)
        elif key == "metadata":
            _edit_metadata(cell.metadata, old[key], value)
        elif key == "outputs" and cell.has_outputs:
            _edit_outputs(cell.outputs, old[key], value)
            if not trusted and cell.trusted:
                cell.trusted = False  # nobody vouches for what came from outside
        else:
            cell.set(key, value, new)


def _edit_outputs(shared: SharedOutputs, old: list[Any], new: list[Any]) -> None:
    """Replace the outputs that differ; a stream at the end that only grew is added to.

    That is the one change inside an output that front ends follow.
    """
    for start, stop, begin, end in reversed(hunks(list(map(fingerprint, old)), list(map(fingerprint, new)))):
        is_last = (start + 1, begin + 1) == (stop, end) == (len(old), len(new))
        printed = shared.printed(start) if is_last and _grown(old[start], new[begin]) else None
        if printed is None:
            shared.replace(start, stop, new[begin:end])
        else:
            edit_text(printed, new[begin]["text"])


def _grown(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether a stream output says what it said, and more."""
    grown = {**old, "text": new.get("text")} if new.get("output_type") == "stream" else None
    return grown == new and clean(new["text"]).startswith(old["text"])


def _trust(original: Ipynb, new: dict[str, Any], known: tuple[SharedCell, dict[str, Any]] | None) -> bool:
    """Return whether a cell that is created is trusted: as it was, if it is `known` and shows the same."""
    if known is not None and same(new.get("outputs"), known[1].get("outputs")):
        return known[0].valid and known[0].trusted
    return original.trusted or not original.cells
