"""A shared document made to say what a file says, with the smallest edits.

What is equal is not touched: cells keep their Map and texts their characters, so that cursors and handles stay where
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import pycrdt
from pycrdt import Array, Map, Text

from ...wire import clean, json_safe
from ..compare.align import match
from ..compare.diff import hunks, increasing, text_hunks
from .ipynb import Ipynb
from .notebook import cells_of, meta_of
from .shape import same
from .update import fingerprint

Doc: TypeAlias = "pycrdt.Doc[Any]"


def edit_text(text: Text, new: str, live: str | None = None) -> None:
    """Make a shared text say `new`: lines that are equal are not touched, nor words within the others.

    What was changed in the same way in `live` already, the text that this will be merged into, is left out: it would
    stand there twice.
    """
    old, new = str(text), clean(new)
    hunks = text_hunks(old, new)
    if live is not None and hunks:
        done = {(start, stop, live[begin:end]) for start, stop, begin, end in text_hunks(old, live)}
        hunks = [hunk for hunk in hunks if (hunk.start, hunk.stop, new[hunk.begin : hunk.end]) not in done]
    if not hunks:
        return
    if len(text) != len(old.encode()):  # it holds what is no text, and hides where: nothing can be put between
        with text.doc.transaction():
            text.clear()
            text += new
        return
    # pycrdt counts bytes of UTF-8.
    places = [place for hunk in hunks for place in (hunk.start, hunk.stop)]
    offsets = list(accumulate(len(old[a:b].encode()) for a, b in zip([0, *places], places, strict=False)))
    with text.doc.transaction():
        # From the end, so that what is still to come stays where it is.
        for number in range(len(hunks) - 1, -1, -1):
            hunk = hunks[number]
            text[offsets[2 * number] : offsets[2 * number + 1]] = new[hunk.begin : hunk.end]


def edit_notebook(doc: Doc, original: Ipynb, live: Doc | None = None) -> None:
    """Make a notebook equal `original`, in one transaction (see `content.Content.edit`).

    Cells are recognised as `align.match` has it. A cell that is new, moved, or of another type now is created
    anew: Yjs cannot move, and front ends do not look at the type again.
    """
    cells: Array[Any] = doc.get("cells", type=Array)
    with doc.transaction():
        _edit_frame(doc.get("meta", type=Map), original.value.meta)
        shared = [cells[at] for at in range(len(cells))]
        olds, news = cells_of(doc), original.value.cells
        now = _Now(olds, live)
        found = match(olds, news)
        # A cell that was deleted by people and changed outside comes back as it is there.
        back = [
            place in now.gone and not says_the_same(olds[place], new) for place, new in zip(found, news, strict=True)
        ]
        stay = _staying([None if back[at] else place for at, place in enumerate(found)], olds, news)
        for at, place in enumerate(found):
            if place is not None and (at in stay or place in now.held):
                own = not original.cells or original.cells[at].own
                _edit_cell(shared[place], olds[place], news[at], own, original.trusted, now.cell(olds[place]))
        made = {
            at: _new_cell(news[at], _trust(original, news[at], None if place is None else (shared[place], olds[place])))
            for at, place in enumerate(found)
            if at not in stay and place not in now.held and not (place is None and now.has(news[at]))
        }
        kept = sorted(now.held.union(stay.values()))
        for low, high in reversed(list(pairwise([-1, *kept, len(shared)]))):
            del cells[low + 1 : high]
        position = {place: number for number, place in enumerate(kept)}
        _fill(cells, made, {at: position[place] for at, place in stay.items()})


def _fill(cells: Array[Any], made: dict[int, Map[Any]], stay: dict[int, int]) -> None:
    """Put the cells that are `made` between those that `stay`: by where they are in the file; the latter say where now.

    From the end, so that what is still to come stays where it is; and an array finds its beginning fastest.
    """
    before = len(cells)
    for at in sorted(made.keys() | stay.keys(), reverse=True):
        if at in stay:
            before = stay[at]
        else:
            cells.insert(before, made[at])


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


def _edit_frame(meta: Map[Any], new: dict[str, Any]) -> None:
    old = meta_of(meta)
    for key in ("nbformat", "nbformat_minor"):
        if not same(new[key], old.get(key)):
            meta[key] = new[key]
    metadata = meta.get("metadata")
    if isinstance(metadata, Map):
        _edit_map(metadata, old["metadata"], new["metadata"])
    else:
        meta["metadata"] = Map(json_safe(new["metadata"]))


def _edit_map(shared: Map[Any], old: dict[str, Any], new: dict[str, Any]) -> None:
    """Make a map that says `old` say `new`: only keys that differ are written. The key ``trusted`` is left
    alone."""
    fresh = {clean(key): value for key, value in new.items()}
    for name in old.keys() - fresh.keys() - {"trusted"}:
        del shared[name]
    for name, value in fresh.items():
        if name not in old or not same(value, old[name]):
            shared[name] = json_safe(value)


def _edit_cell(
    shared: Map[Any], old: dict[str, Any], new: dict[str, Any], own: bool, trusted: bool, live: dict[str, Any] | None
) -> None:
    """Make the cell that says `old` say `new`; `own` says whether the file knows the id in `new`.

    What it says in the living document already, `live`, is left out.
    """
    fresh = {clean(key): value for key, value in new.items() if own or key != "id"}
    for key in old.keys() - fresh.keys() - {"id"}:
        if key in shared:
            del shared[key]
    for key, value in fresh.items():
        if any(said is not None and key in said and same(value, said[key]) for said in (old, live)):
            continue
        part = shared.get(key)
        if key == "source" and isinstance(part, Text):
            edit_text(part, value, live["source"] if live and isinstance(live.get("source"), str) else None)
        elif key == "metadata" and isinstance(part, Map):
            _edit_map(part, old[key], value)
        elif key == "outputs" and isinstance(part, Array):
            _edit_outputs(part, old[key], value)
            if not trusted and _is_trusted(shared):
                shared["metadata"]["trusted"] = False  # nobody vouches for what came from outside
        else:
            shared[key] = _new_part(key, value, new)


def _edit_outputs(shared: Array[Any], old: list[Any], new: list[Any]) -> None:
    """Replace the outputs that differ; a stream at the end that only grew is added to.

    That is the one change inside an output that front ends follow.
    """
    for start, stop, begin, end in reversed(hunks(list(map(fingerprint, old)), list(map(fingerprint, new)))):
        is_last = (start + 1, begin + 1) == (stop, end) == (len(old), len(new))
        if is_last and _grown(shared[start], old[start], new[begin]):
            edit_text(shared[start]["text"], new[begin]["text"])
            continue
        if start < stop:
            del shared[start:stop]
        for output in reversed(new[begin:end]):
            shared.insert(start, _new_output(output))


def _grown(shared: Any, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether a stream output says what it said, and more."""
    if not isinstance(shared, Map) or not isinstance(shared.get("text"), Text) or "output_type" not in shared:
        return False
    grown = {**old, "text": new.get("text")} if new.get("output_type") == "stream" else None
    return grown == new and clean(new["text"]).startswith(old["text"])


def _is_trusted(shared: Map[Any]) -> bool:
    metadata = shared.get("metadata")
    return isinstance(metadata, Map) and bool(metadata.get("trusted"))


def _trust(original: Ipynb, new: dict[str, Any], known: tuple[Any, dict[str, Any]] | None) -> bool:
    """Return whether a cell that is created is trusted: as it was, if it is `known` and shows the same."""
    if known is not None and same(new.get("outputs"), known[1].get("outputs")):
        return _is_trusted(known[0])
    return original.trusted or not original.cells


def _new_cell(cell: dict[str, Any], trusted: bool) -> Map[Any]:
    parts = {clean(key): _new_part(key, value, cell) for key, value in cell.items()}
    if cell["cell_type"] == "code":
        parts["metadata"] = Map({**json_safe(cell["metadata"]), "trusted": trusted})
        parts["execution_state"] = "idle"
    return Map(parts)


def _new_part(key: str, value: Any, cell: dict[str, Any]) -> Any:
    if key == "source":
        return Text(clean(value))
    if key == "metadata":
        return Map(json_safe(value))
    if key == "outputs" and cell["cell_type"] == "code":
        return Array([_new_output(output) for output in value])
    return json_safe(value)


def _new_output(output: dict[str, Any]) -> Map[Any]:
    parts = json_safe(output)
    if output.get("output_type") == "stream":
        parts["text"] = Text(parts["text"])
    return Map(parts)
