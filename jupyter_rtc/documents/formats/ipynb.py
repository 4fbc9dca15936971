"""The notebook file format, parsed and written so that what nobody edited stays byte for byte as it was.

A file is taken apart into the text of each cell and the text around the cells (the frame). Only what was
edited is written anew, in the file's own style (style.py). A notebook that comes as a dict is written down as
text first, cell by cell, and read back when it goes out: one way for both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import nbformat

from ..compare.align import derived, identified, match
from .scan import HOLE, beginning, split
from .shape import DEEPEST, MAJOR, ContentError, Shape, is_deep, is_whole, project, same
from .style import Span, Style, decode

__all__ = ["Cell", "ContentError", "Ipynb", "Notebook", "parse", "render"]

_FIRST_WITH_IDS = 5
_OPENING = re.compile(r'\{(?:\s*?(\r\n|\n)([ \t]*)|[ \t]*)"(?:[^"\\]|\\.)*"([ \t]*:[ \t]*)')
NEW = '{\n "cells": [],\n "metadata": {},\n "nbformat": 4,\n "nbformat_minor": 5\n}\n'
"""A notebook without cells, as nbformat writes it."""
# What nbformat raises where the parts of an old notebook are of other kinds than it thinks.
_UNCONVERTIBLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError, nbformat.ValidationError)
_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\u(?!00[0-7])")


@dataclass(frozen=True, slots=True)
class Notebook:
    """What a document holds, as plain Python: numbers are floats, texts have ``\\n`` for line ends.

    Neither the trust of cells nor their execution state is part of the cells. Not to be changed.
    """

    cells: Sequence[dict[str, Any]]
    meta: dict[str, Any]
    """``nbformat``, ``nbformat_minor`` and the ``metadata`` of the notebook."""
    trusted: bool = field(default=True, compare=False)
    """Whether every code cell is trusted, or shows nothing that needs trust (NotebookNotary.check_cells)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a file: its text, and what a document says of it."""

    text: str
    value: dict[str, Any]
    spacing: str
    """What stands between the cell before it, or the opening bracket, and this one."""
    own: bool
    """Whether the id in `value` is the one in the file; else it was derived."""


@dataclass(frozen=True)
class Ipynb:
    """A notebook file, parsed."""

    frame: str
    """The text of the file with a hole in place of all that is between the brackets of ``cells``."""
    cells: tuple[Cell, ...]
    closing: str
    """What stands between the last cell and the closing bracket."""
    style: Style
    value: Notebook
    """What a document built from this holds: one empty cell where the file has none."""
    trusted: bool
    """Whether code cells are to be trusted when the document is built."""
    as_dict: bool = False
    given: str | dict[str, Any] | None = None
    """The body as it was given, where `cells` and `frame` do not tell it exactly: a dict, or an old
    format."""

    @cached_property
    def written(self) -> Style:
        """The style to write with: looks once through all of the text for how it escapes."""
        if self.style.ascii is not None:
            return self.style
        texts = list(self.texts())
        escapes = all(map(str.isascii, texts)) and any("\\u" in t and _ESCAPED.search(t) for t in texts)
        return replace(self.style, ascii=escapes)

    @property
    def body(self) -> str | dict[str, Any]:
        """The text of the file, or the notebook as a dict if it came as one."""
        if self.given is not None:
            return self.given
        if self.as_dict:
            notebook: dict[str, Any] = json.loads(self.frame, strict=False)
            notebook["cells"] = [json.loads(cell.text) for cell in self.cells]
            return notebook
        return "".join(self.texts())

    def texts(self) -> Iterator[str]:
        """Yield the text of the file in pieces."""
        head, tail = self.frame.split(HOLE)
        yield head
        for cell in self.cells:
            yield cell.spacing
            yield cell.text
        yield self.closing
        yield tail


def parse(body: str | dict[str, Any], *, trusted: bool = False) -> Ipynb:
    """Parse a notebook file of nbformat 4; older ones are converted, and count as edited in full once edited.

    Cell ids that are missing, invalid or doubled are derived, and whatever stands in the place of a cell is shown as
    one; the file keeps what it has until the cell is edited. An empty file is a new notebook. Raises ContentError
    where `body` cannot be a notebook.
    """
    if body == "":
        return replace(_parse(NEW, trusted), given=body)
    if isinstance(body, dict):
        made = _parse(_written(body), trusted, compact=True)
        # Some managers make ids up at each read: of a dict, none is taken for the file's own.
        cells = tuple(replace(cell, own=False) for cell in made.cells)
        return replace(made, cells=cells, as_dict=True, given=body)
    return _parse(body, trusted)


def render(original: Ipynb, value: Notebook) -> Ipynb:
    """Return the file that holds `value`, unedited parts as in `original`; `original` itself if all is."""
    meta = {**original.value.meta, **value.meta}
    frame = original.frame
    if not same(original.value.meta, meta):
        span = decode(frame, beginning(frame))
        new = original.written.over(span, meta, 0, Shape.NOTEBOOK)
        frame = frame[: span.start] + new + frame[span.end :]
    if not original.cells and _all_same(original.value.cells, value.cells):
        cells: tuple[Cell, ...] = ()
        value = replace(value, cells=original.value.cells, meta=meta)
    else:
        cells = tuple(_rendered(original, value.cells, meta))
        value = replace(value, cells=[cell.value for cell in cells], meta=meta)
    if frame == original.frame and _as_it_was(original.cells, cells):
        return original
    closing = original.closing if original.cells else original.style.line(1)
    return replace(original, frame=frame, cells=cells, closing=closing if cells else "", value=value, given=None)


def _rendered(original: Ipynb, values: Sequence[dict[str, Any]], meta: dict[str, Any]) -> Iterator[Cell]:
    """Yield the cells of the file for the cells of a document."""
    with_ids = meta["nbformat_minor"] >= _FIRST_WITH_IDS
    style, cells = original.style, original.cells
    first = cells[0].spacing if cells else style.line(2)
    between = cells[1].spacing if len(cells) > 1 else style.comma + style.line(2)
    before = -1
    for at, (value, place) in enumerate(zip(values, match([c.value for c in cells], values), strict=True)):
        old = None if place is None else cells[place]
        cell = _unedited(old, value) or _edited(original, old, value, with_ids)
        follows = old is not None and place == before + 1
        spacing = cell.spacing if follows else between if at else first
        yield cell if cell.spacing == spacing else replace(cell, spacing=spacing)
        before = len(cells) if place is None else place


def _unedited(old: Cell | None, value: dict[str, Any]) -> Cell | None:
    if old is None:
        return None
    said = old.value if old.own else {**old.value, "id": value["id"]}
    return old if same(said, value) else None


def _edited(original: Ipynb, old: Cell | None, value: dict[str, Any], with_ids: bool) -> Cell:
    """Write a cell that was edited (`old`: how it is in the file) or is new."""
    wanted = value if old else _complete(value)
    span = decode(old.text, 0) if old else None
    if not with_ids and not (span and isinstance(span.raw, dict) and "id" in span.raw):
        wanted = {key: item for key, item in wanted.items() if key != "id"}
    style = original.written
    text = style.over(span, wanted, 2, Shape.CELL) if span else style.new(wanted, 2, Shape.CELL)
    return Cell(text, value, old.spacing if old else "", "id" in wanted)


def _complete(value: dict[str, Any]) -> dict[str, Any]:
    """Return a new cell with all that its type must have in a file."""
    code: dict[str, Any] = {"outputs": [], "execution_count": None} if value.get("cell_type") == "code" else {}
    return {"cell_type": "raw", "metadata": {}, "source": "", **code, **value}


def _as_it_was(old: tuple[Cell, ...], new: tuple[Cell, ...]) -> bool:
    return len(old) == len(new) and all(
        a is b or (a.text == b.text and a.spacing == b.spacing) for a, b in zip(old, new, strict=True)
    )


def _all_same(projected: Sequence[dict[str, Any]], values: Sequence[dict[str, Any]]) -> bool:
    return len(projected) == len(values) and all(map(same, projected, values))


def _parse(text: str, trusted: bool, compact: bool = False) -> Ipynb:
    frame, spans, gaps = split(text)
    meta = project(Shape.NOTEBOOK, decode(frame, beginning(frame)).raw)
    for key in ("nbformat", "nbformat_minor"):
        if not is_whole(meta[key]):
            raise ContentError(f"{key} is {json.dumps(meta[key])[:40]}, not a whole number")
    if meta["nbformat"] < MAJOR:
        return replace(_parse(_converted(text), trusted), given=text)
    if meta["nbformat"] > MAJOR:
        raise ContentError(f"nbformat is {meta['nbformat']:.0f}; this server reads notebooks up to nbformat {MAJOR}")
    if spans is None:
        raise ContentError("there is no list of cells")
    for text, start, end, raw in [decode(frame, beginning(frame)), *spans]:
        if text.count("[", start, end) + text.count("{", start, end) > DEEPEST and is_deep(raw):
            raise ContentError(f"nested deeper than {DEEPEST}")
    style = _style(frame, spans, compact)
    values = [project(Shape.CELL, span.raw) for span in spans]
    own = identified(values)
    parts = zip(spans, values, gaps, own, strict=False)
    cells = tuple(Cell(span.text[span.start : span.end], v, gap, o) for span, v, gap, o in parts)
    shown = [cell.value for cell in cells] or [_empty_cell()]
    return Ipynb(frame, cells, gaps[-1] if cells else "", style, Notebook(shown, meta), trusted)


def _style(frame: str, spans: list[Span], compact: bool) -> Style:
    """Find out how the file is written; where it does not show, as nbformat writes."""
    opening = _OPENING.search(frame)
    newline, indent, colon = opening.groups() if opening else (None, None, ": ")
    indent = None if newline is None else indent
    raws = [span.raw for span in spans if isinstance(span.raw, dict)]
    sources = [raw["source"] for raw in raws if raw.get("source")]
    fullest = max(raws, key=len, default={})
    return Style(
        newline=newline or "\n",
        indent=indent,
        comma="," if indent is not None or ": " not in colon else ", ",
        colon=colon,
        sort=not compact and all(list(raw) == sorted(raw) for raw in raws),
        order={key: place for place, key in enumerate(fullest)},
        lines=not compact and (not sources or any(isinstance(source, list) for source in sources)),
    )


def _empty_cell() -> dict[str, Any]:
    """Return what a document has for a file without cells: each front end would add one, with an id of its own."""
    cell = _complete({"cell_type": "code"})
    return {**cell, "id": derived(cell, set())}


def _written(notebook: dict[str, Any]) -> str:
    """Write a notebook down that came as a dict, cell by cell: one call for all would hold the GIL for long."""
    try:
        members = [f"{json.dumps(key)}: {_member(key, value)}" for key, value in notebook.items()]
    except (TypeError, ValueError, RecursionError) as error:
        raise ContentError(f"not JSON: {error}") from error
    return "{" + ", ".join(members) + "}"


def _member(key: str, value: Any) -> str:
    if key == "cells" and isinstance(value, list):
        return "[" + ", ".join([json.dumps(cell) for cell in value]) + "]"
    return json.dumps(value)


def _converted(text: str) -> str:
    """Convert an older format to nbformat 4, as text in nbformat's style."""
    try:
        notebook = nbformat.convert(nbformat.reader.reads(text), MAJOR)
        taken: set[str] = set()
        for cell in notebook.cells:
            if cell.pop("id", None) is not None:  # a random one
                cell["id"] = derived(cell, taken)
        converted: str = nbformat.v4.nbjson.writes(notebook)
    except _UNCONVERTIBLE as error:
        raise ContentError(f"cannot be converted to nbformat 4: {error}") from error
    return converted + "\n"
