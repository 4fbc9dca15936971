"""A notebook as a shared document: how it is built, and read.

The schema is that of jupyter_ydoc's YNotebook 2.0.0 and of the front ends (@jupyter/ydoc): a map ``meta``
with ``nbformat``, ``nbformat_minor`` and a map ``metadata``; an array ``cells`` of maps with a text
``source``, a map ``metadata``, and, for code, an array ``outputs`` of maps, where a stream has a text
``text``. All else is plain.

A client may write anything else into these maps and arrays. What is read has the shape of a notebook in any case
(shape.py): whoever saves, compares or merges a notebook need not know of it.
"""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator
from typing import Any, TypeAlias

import pycrdt
from pycrdt import Array, Map, Text, XmlElement, XmlFragment, XmlText

from ...wire import clean
from ..compare.align import identified
from .decoding import decode
from .ipynb import Ipynb, Notebook
from .reading import observe
from .shape import DEEPEST, Shape, flatten, frame_of, project
from .update import ARRAY, MAP, TEXT, Draft

Doc: TypeAlias = "pycrdt.Doc[Any]"

_DECODER = json.JSONDecoder(parse_int=float, parse_constant=lambda _: None)
# A slice reads about this much, in characters of JSON: 1 or 2 ms. Each cell
# counts as many as it costs by itself.
_SLICE, _CELL = 600_000, 10_000
# What may be left for the last slice, which no pause can interrupt; and how often to go round to get there.
_LAST_SLICE, _ROUNDS = 20, 5
_KINDS = {"source": TEXT, "metadata": MAP}
_UNSAFE_OUTPUTS = frozenset({"execute_result", "display_data"})
_SAFE_KEYS = frozenset({"output_type", "execution_count", "metadata"})


Part: TypeAlias = "tuple[str, int | None, Any]"
"""A part of a shared cell or output: its key, its kind (`ARRAY`, `MAP`, `TEXT`, None for a plain value), its value."""


def cell_parts(cell: dict[str, Any], trusted: bool) -> Iterator[Part]:
    """Yield the parts of the shared cell that says what a cell of a file does (see `shape.project`)."""
    code = cell["cell_type"] == "code"
    for key, value in _items(cell):
        yield key, part_kind(key, cell), {**value, "trusted": trusted} if code and key == "metadata" else value
    if code:
        yield "execution_state", None, "idle"


def part_kind(key: str, cell: dict[str, Any]) -> int | None:
    """Return what kind of shared type a part of a cell is."""
    if key == "outputs" and cell["cell_type"] == "code":
        return ARRAY
    return _KINDS.get(key)


def output_parts(output: dict[str, Any]) -> Iterator[Part]:
    """Yield the parts of the shared output that says what an output of a file does."""
    printed = output.get("output_type") == "stream"
    for key, value in _items(output):
        yield key, TEXT if printed and key == "text" else None, value


def build(draft: Draft, original: Ipynb) -> None:
    """Write the document that equals `original` into an empty draft."""
    meta = original.value.meta
    draft.entry("meta", "nbformat", meta["nbformat"])
    draft.entry("meta", "nbformat_minor", meta["nbformat_minor"])
    _map(draft, draft.typed_entry("meta", "metadata", MAP), meta["metadata"])
    after = None
    for cell in original.value.cells:
        after = draft.append("cells", after, MAP)
        # The empty cell of a notebook that has none shows nothing that could do harm.
        _cell(draft, after, cell, original.trusted or not original.cells)
        draft.cut()


def _cell(draft: Draft, at: int, cell: dict[str, Any], trusted: bool) -> None:
    for key, kind, value in cell_parts(cell, trusted):
        if kind == TEXT:
            draft.write(draft.typed_entry(at, key, TEXT), value)
        elif kind == MAP:
            _map(draft, draft.typed_entry(at, key, MAP), value)
        elif kind == ARRAY:
            _outputs(draft, draft.typed_entry(at, key, ARRAY), value)
        else:
            draft.entry(at, key, value)


def _outputs(draft: Draft, at: int, outputs: list[dict[str, Any]]) -> None:
    after = None
    for output in outputs:
        after = draft.append(at, after, MAP)
        for key, kind, value in output_parts(output):
            if kind == TEXT:
                draft.write(draft.typed_entry(after, key, TEXT), value)
            else:
                draft.entry(after, key, value)


def _map(draft: Draft, at: int, values: dict[str, Any]) -> None:
    for key, value in _items(values):
        draft.entry(at, key, value)


def _items(values: dict[str, Any]) -> ItemsView[str, Any]:
    # Two keys may become one when they are cleaned; a key is written once only.
    return {clean(key): value for key, value in values.items()}.items()


class NotebookReading:
    """A notebook being read in slices, while it is edited (`content.Reading`).

    The cells have a slot each for their JSON, empty until the cell is read. An edit empties the slots of the cells it
    touches, and moves slots as it moves cells; the last slice fills what is empty and can be interrupted by
    none. The JSON is decoded when all of it is there, which takes several times as long.
    """

    _read: tuple[str, list[str]]

    def __init__(self, doc: Doc) -> None:
        """Begin to read `doc`, in the thread that edits it."""
        self._doc = doc
        self._cells: Array[Any] = doc.get("cells", type=Array)
        self._meta: Map[Any] = doc.get("meta", type=Map)
        self._read_meta: str | None = None
        self._slots: list[str | None] = [None] * len(self._cells)
        self._end = observe([(self._cells, self._cells_changed), (self._meta, self._meta_changed)])

    def __iter__(self) -> Iterator[None]:
        """Read the document, a slice at each step."""
        try:
            for _ in range(_ROUNDS):
                if self._slots.count(None) <= _LAST_SLICE and self._read_meta is not None:
                    break
                yield from self._round()
            self._read = self._finished()
        finally:
            self.close()

    def value(self) -> Notebook:
        """Return the notebook that was read."""
        meta, texts = self._read
        self._read = meta, []
        slots = []
        for at, text in enumerate(texts):
            texts[at] = ""  # not all of it in memory twice
            slots.append(_slot(text))
        cells = [cell for cell, _ in slots]
        identified(cells)
        return Notebook(cells, frame_of(_decoded(meta)), trusted=all(trusted for _, trusted in slots))

    def __enter__(self) -> NotebookReading:
        """Return the reading itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the reading."""
        self.close()

    def close(self) -> None:
        """Stop observing the document."""
        self._end()

    def _round(self) -> Iterator[None]:
        """Read what is not read yet, once through the notebook."""
        if self._read_meta is None:
            self._read_meta = _json(self._meta)
            yield
        at = 0
        while at < len(self._slots):
            weight = 0
            with self._doc.transaction():
                while at < len(self._slots) and weight < _SLICE:
                    if self._slots[at] is None:
                        text = self._slots[at] = _json(self._cells[at])
                        weight += len(text) + _CELL
                    at += 1
            yield

    def _finished(self) -> tuple[str, list[str]]:
        with self._doc.transaction():
            meta = _json(self._meta) if self._read_meta is None else self._read_meta
            return meta, [slot or _json(self._cells[at]) for at, slot in enumerate(self._slots)]

    def _cells_changed(self, events: list[Any]) -> None:
        # First what moved the cells: the paths of the other events are those after it.
        for event in events:
            if not event.path:
                self._move(event.delta)
        for event in events:
            if event.path:
                self._slots[int(event.path[0])] = None

    def _meta_changed(self, _: list[Any]) -> None:
        self._read_meta = None

    def _move(self, delta: list[dict[str, Any]]) -> None:
        at = 0
        for step in delta:
            if "retain" in step:
                at += int(step["retain"])
            elif "delete" in step:
                del self._slots[at : at + int(step["delete"])]
            else:
                new: list[str | None] = [None] * len(step["insert"])
                self._slots[at:at] = new
                at += len(new)


def cell_of(shared: Any) -> dict[str, Any]:
    """Return an item of a document's array of cells as a cell of a file, which may have no id."""
    return _slot(_json(shared))[0]


def plain_of(part: Any) -> Any:
    """Return a part of a document as plain values."""
    return _decoded(_json(part))


def meta_of(meta: Map[Any]) -> dict[str, Any]:
    """Return the frame of a notebook as a document has it, without members that cannot stand in a file."""
    return frame_of(_decoded(_json(meta)))


def cells_of(doc: Doc) -> list[dict[str, Any]]:
    """Return the cells of a document, one for each item of its array, without what is not part of a file."""
    shared: Array[Any] = doc.get("cells", type=Array)
    cells = [cell_of(shared[at]) for at in range(len(shared))]
    identified(cells)
    return cells


def _json(shared: Any) -> str:
    """Return an item of a document as JSON; what JSON does not have is null.

    pycrdt's own JSON of shared types is twice as fast as `Map.to_py`.
    """
    if isinstance(shared, Map | Array):
        return str(shared)
    if isinstance(shared, Text | XmlText | XmlElement | XmlFragment):
        return json.dumps(str(shared))
    return json.dumps(shared, default=lambda _: None)  # bytes, or a document in a document


def _decoded(text: str) -> Any:
    """Decode JSON from a document; what is nested too deeply for a file is text in it."""
    try:
        value = decode(_DECODER, text)
    except RecursionError:
        return text
    if text.count("[") + text.count("{") > DEEPEST:
        flatten(value)
    return value


def _slot(text: str) -> tuple[dict[str, Any], bool]:
    """Return a cell, from JSON, and whether it is trusted."""
    value = _decoded(text)
    metadata = value.get("metadata") if isinstance(value, dict) else None
    marked = isinstance(metadata, dict) and bool(metadata.get("trusted"))
    cell = project(Shape.CELL, value)
    return cell, marked or cell["cell_type"] != "code" or _is_harmless(cell["outputs"])


def _is_harmless(outputs: list[dict[str, Any]]) -> bool:
    """Return whether outputs need no trust (nbformat/sign.py: _check_cell)."""
    return all(output["output_type"] not in _UNSAFE_OUTPUTS or output.keys() <= _SAFE_KEYS for output in outputs)
