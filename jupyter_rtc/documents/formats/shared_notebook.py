"""The face of an open notebook: its cells, their sources, metadata and outputs, edited for the server itself. Pure.

What a shared cell looks like is known here and in notebook.py, which builds and reads whole documents. All edits of a
notebook in a room are made inside `OpenRoom.edit`, in one transaction of the document that it gives:

    seen = Seen()                                       # as long as one works in the room
    room.edit(lambda doc: SharedNotebook(doc, seen).outputs(id).stream("stdout", "1\\n"))

A `SharedCell` or `SharedOutputs` is good for that one edit: afterwards somebody may have moved the cell, which makes
it another Map, or deleted it. `Seen` is good for as long as one likes: it holds no part of the document.

Any value may be given: what a shared document cannot hold is made safe first (`wire.json_safe`), and what is no cell or
output becomes one (`shape.project`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import Any, TypeAlias
from uuid import uuid4

import pycrdt
from pycrdt import Array, Map, Text

from ...wire import clean, json_safe
from ..compare.positions import Positions
from .displays import Displays, Spot
from .notebook import cell_of, cell_parts, output_parts, part_kind, plain_of
from .shape import Shape, is_whole, project, said
from .texts import edit_text
from .update import ARRAY, MAP, TEXT

Doc: TypeAlias = "pycrdt.Doc[Any]"

Before: TypeAlias = "int | str | None"
"""A place for a cell: before the cell that has this index or this id now, or None for the end."""


_MANY = 3000
"""From so many cells on it is quicker to convert them all: an array counts from its beginning to find an index."""


class CellGone(LookupError):
    """There is no cell with this id, or none any more."""

    def __init__(self, id: str) -> None:
        super().__init__(f"no cell {id!r}")


class Seen:
    """Where cells and displays of one notebook were last. What has changed since is found out, so it is never wrong."""

    def __init__(self) -> None:
        """Know of nothing yet."""
        self.cells = Positions()
        self.displays = Displays()


class _Ids:
    """The ids of an array of cells (`Keyed`)."""

    def __init__(self, cells: Array[Any]) -> None:
        self._cells = cells

    def __len__(self) -> int:
        return len(self._cells)

    def key_at(self, place: int) -> str | None:
        item = self._cells[place]
        return _id_in(item) if isinstance(item, Map) else None

    def keys(self) -> list[str | None]:
        """Read all ids: one by one, or, where an array would take too long to count to each of so many, in one go."""
        size = len(self)
        return [*map(self.key_at, range(size))] if size < _MANY else [*map(_id_in, plain_of(self._cells))]


def _id_in(cell: Any) -> str | None:
    id = cell.get("id") if isinstance(cell, Map | dict) else None
    return id if isinstance(id, str) and id else None


class SharedNotebook:
    """A notebook in a shared document, to be read and edited by one caller at a time."""

    def __init__(self, doc: Doc, seen: Seen | None = None) -> None:
        """Look at the notebook in `doc`; `seen` is what an earlier look at the same notebook left."""
        self._doc = doc
        self._cells: Array[Any] = doc.get("cells", type=Array)
        self._frame: Map[Any] = doc.get("meta", type=Map)
        self._seen = seen or Seen()

    # ------------------------------------------------------------------ cells by id

    @property
    def ids(self) -> list[str]:
        """The ids of the cells, in order, without those that a client made and gave none. Looks at every cell."""
        with self._doc.transaction():
            return self._seen.cells.read(_Ids(self._cells))

    def position(self, id: str) -> int:
        """Return the index of a cell. Raises CellGone, after a look at every cell."""
        with self._doc.transaction():
            place = self._seen.cells.find(clean(id), _Ids(self._cells))
        if place is None:
            raise CellGone(id)
        return place

    def cell(self, id: str) -> SharedCell:
        """Return a cell. Raises CellGone."""
        with self._doc.transaction():
            return SharedCell(self._cells[self.position(id)], self._seen.displays)

    def set_source(self, id: str, text: str) -> None:
        """Make a cell's source this text, with the smallest edits. Raises CellGone."""
        self.cell(id).set_source(text)

    def outputs(self, id: str) -> SharedOutputs:
        """Return the outputs of a cell. Raises CellGone."""
        return self.cell(id).outputs

    def insert(self, before: Before, cell: dict[str, Any], *, trusted: bool | None = None) -> SharedCell:
        """Insert a cell, given as in a file (nbformat 4), and return it; without an id it gets a new one.

        `trusted` says whether its outputs may run scripts; by default if it has none.
        Raises ValueError where another cell has its id, CellGone where there is none to be before.
        """
        with self._doc.transaction():
            made = project(Shape.CELL, json_safe(cell))
            if not (isinstance(made.get("id"), str) and made["id"]):
                made["id"] = str(uuid4())
            elif made["id"] in self:
                raise ValueError(f"there is a cell {made['id']!r} already")
            return self._put(self._index(before), made, not made.get("outputs") if trusted is None else trusted)

    def remove(self, id: str) -> None:
        """Delete a cell. Raises CellGone."""
        with self._doc.transaction():
            del self._cells[self.position(id)]

    def move(self, id: str, before: Before) -> None:
        """Move a cell. Raises CellGone.

        An array cannot move: the cell is made anew, as front ends do it. What somebody types into it at this very
        moment goes to the one that is deleted.
        """
        with self._doc.transaction():
            old, new = self.position(id), self._index(before)
            if new in (old, old + 1):
                return
            cell = self.cell(id)
            value, trusted, state, shown = cell.value(), cell.trusted, cell.execution_state, cell.outputs.displays()
            del self._cells[old]
            made = self.put(new - (new > old), value, trusted)
            made.execution_state = state
            made.outputs.show(shown)

    def __contains__(self, id: object) -> bool:
        """Say whether there is a cell with this id. Looks at every cell if there is none."""
        with self._doc.transaction():
            return isinstance(id, str) and self._seen.cells.find(clean(id), _Ids(self._cells)) is not None

    def _index(self, before: Before) -> int:
        if isinstance(before, str):
            return self.position(before)
        size = len(self._cells)
        if before is not None and not 0 <= before <= size:
            raise IndexError(f"no place {before} among {size} cells")
        return size if before is None else before

    # ------------------------------------------------------------------ cells by index

    def __len__(self) -> int:
        """Return how many cells there are."""
        return len(self._cells)

    def cells(self) -> list[SharedCell]:
        """Return all cells."""
        with self._doc.transaction():
            return [SharedCell(self._cells[place], self._seen.displays) for place in range(len(self._cells))]

    def put(self, place: int, cell: dict[str, Any], trusted: bool) -> SharedCell:
        """Insert a cell that says what a cell of a file does, one that `project` has made and with an id of its own."""
        return self._put(place, json_safe(cell), trusted)

    def _put(self, place: int, cell: dict[str, Any], trusted: bool) -> SharedCell:
        with self._doc.transaction():
            self._cells.insert(place, Map({key: _new(kind, value) for key, kind, value in cell_parts(cell, trusted)}))
            return SharedCell(self._cells[place], self._seen.displays)

    def delete(self, start: int, stop: int) -> None:
        """Delete the cells from one index to another."""
        del self._cells[start:stop]

    # ------------------------------------------------------------------ what is about all of it

    @property
    def metadata(self) -> Metadata:
        """The metadata of the notebook."""
        return Metadata(self._frame)

    def set_frame(self, key: str, value: Any) -> None:
        """Set a member of the notebook that is neither its cells nor its metadata, such as ``nbformat``."""
        self._frame[key] = json_safe(value)

    def update_display(self, display_id: str, data: Any, metadata: Any) -> int:
        """Show something else in each output that was appended with this `display_id`; return how many there are.

        As with messages ``update_display_data``. Each is made anew, for front ends do not look into an output again.
        Those in cells that somebody else moved, and so made anew, are not known any more.
        """
        found = 0
        with self._doc.transaction():
            for spot in self._seen.displays.take(display_id):
                outputs = self.outputs(spot.cell) if spot.cell in self else None
                place = outputs.find(spot) if outputs else None
                if outputs and place is not None:
                    outputs.replace(place, place + 1, [outputs.frame(place) | {"data": data, "metadata": metadata}])
                    outputs.show([(display_id, place)])
                    found += 1
        return found


class SharedCell:
    """A cell of a notebook, for one edit.

    Attributes:
        valid: whether it is one. What a client put in the place of a cell has a `value` as one, and cannot be edited.
    """

    def __init__(self, shared: Map[Any], displays: Displays) -> None:
        """Take the cell `shared` of a notebook in which these `displays` are known."""
        self.valid = isinstance(shared, Map)
        self._shared = shared
        self._displays = displays

    @property
    def id(self) -> str:
        """The id; empty if it has none."""
        return _id_in(self._shared) or ""

    def value(self) -> dict[str, Any]:
        """Return the cell as it is in a file."""
        return cell_of(self._shared)

    @property
    def source(self) -> str:
        """The source."""
        text: str = project(Shape.SOURCE, plain_of(self._shared.get("source")))
        return text

    def set_source(self, text: str, live: str | None = None) -> None:
        """Make the source this text, with the smallest edits; `live` as `edit_text` has it."""
        shared, new = self._shared.get("source"), project(Shape.SOURCE, json_safe(text))
        if isinstance(shared, Text):
            edit_text(shared, new, live)
        else:
            self._shared["source"] = _new(TEXT, new)

    @property
    def metadata(self) -> Metadata:
        """The metadata."""
        return Metadata(self._shared)

    @property
    def trusted(self) -> bool:
        """Whether the outputs may run scripts in a browser."""
        return bool(self.metadata.get("trusted"))

    @trusted.setter
    def trusted(self, trusted: bool) -> None:
        self.metadata["trusted"] = trusted

    @property
    def outputs(self) -> SharedOutputs:
        """The outputs."""
        return SharedOutputs(self._shared, self.id, self._displays)

    @property
    def has_outputs(self) -> bool:
        """Whether it has an array for outputs, as code cells do."""
        return isinstance(self._shared.get("outputs"), Array)

    @property
    def execution_count(self) -> int | None:
        """The number that the kernel gave the last run; None if there was none."""
        count: Any = self._shared.get("execution_count")
        return int(count) if is_whole(count) else None

    @execution_count.setter
    def execution_count(self, count: int | None) -> None:
        self._shared["execution_count"] = json_safe(count)

    @property
    def execution_state(self) -> str:
        """``idle``, ``running``, or another word that front ends show."""
        state = self._shared.get("execution_state")
        return state if isinstance(state, str) else "idle"

    @execution_state.setter
    def execution_state(self, state: str) -> None:
        if self.execution_state != state:
            self._shared["execution_state"] = json_safe(state)

    def set(self, key: str, value: Any, cell: dict[str, Any]) -> None:
        """Replace a part of the cell by that of a cell of a file."""
        self._shared[key] = _new(part_kind(key, cell), json_safe(value))

    def discard(self, key: str) -> None:
        """Delete a part of the cell, if it is there."""
        if key in self._shared:
            del self._shared[key]


class Metadata(MutableMapping[str, Any]):
    """The metadata of a notebook or of a cell, as plain values; each is shared by itself."""

    def __init__(self, owner: Map[Any]) -> None:
        """Take the metadata of the map `owner`."""
        self._owner = owner

    def __getitem__(self, key: str) -> Any:
        """Return a value. Raises KeyError."""
        return plain_of(self._values()[clean(key)])

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value."""
        self._map()[clean(key)] = json_safe(value)

    def __delitem__(self, key: str) -> None:
        """Delete a value. Raises KeyError."""
        del self._map()[clean(key)]

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        return iter(list(self._values().keys()))

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self._values())

    def _values(self) -> Any:
        """Return the shared map, or what else a client has put there that has members."""
        shared = self._owner.get("metadata")
        return shared if isinstance(shared, Map | dict) else {}

    def _map(self) -> Map[Any]:
        values = self._values()
        if not isinstance(values, Map):
            self._owner["metadata"] = values = Map(json_safe(values))
        return values


class SharedOutputs:
    """The outputs of a cell, for one edit."""

    def __init__(self, cell: Map[Any], id: str, displays: Displays) -> None:
        """Take the outputs of the cell that has this id, in a notebook in which these `displays` are known."""
        self._cell = cell
        self._id = id
        self._displays = displays

    def __len__(self) -> int:
        """Return how many there are."""
        shared = self._cell.get("outputs")
        return len(shared if isinstance(shared, Array) else project(Shape.OUTPUTS, plain_of(shared)))

    def append(self, output: dict[str, Any], display_id: str | None = None) -> None:
        """Append an output, given as in a file; `display_id` is for `SharedNotebook.update_display`."""
        place = len(self)
        self.replace(place, place, [output])
        if display_id is not None:
            self.show([(display_id, place)])

    def stream(self, name: str, text: str) -> None:
        """Append what was printed: to the last output, if it is of the same stream, else as a new one.

        Carriage returns and backspaces are left to the front ends, which carry them out.
        """
        last = len(self) - 1
        printed = self.printed(last, name) if last >= 0 else None
        if printed is None:
            self.append({"output_type": "stream", "name": name, "text": text})
        else:
            printed += said(json_safe(text))

    def clear(self) -> None:
        """Delete all outputs."""
        self.replace(0, len(self), [])

    def replace(self, start: int, stop: int, outputs: Sequence[Any]) -> None:
        """Put outputs, given as in a file, in the place of those from one index to another."""
        shared = self._array()
        with shared.doc.transaction():
            if start < stop:
                del shared[start:stop]
            for output in reversed(outputs):
                shared.insert(start, _new_output(project(Shape.OUTPUT, json_safe(output))))

    def printed(self, place: int, name: str | None = None) -> Text | None:
        """Return the text of a stream output, of any stream or the one of this name; None if it is none that grows."""
        output = self._array()[place]
        if not isinstance(output, Map) or output.get("output_type") != "stream":
            return None
        text = output.get("text") if name is None or output.get("name") == json_safe(name) else None
        return text if isinstance(text, Text) else None

    # ------------------------------------------------------------------ displays

    def show(self, displays: Iterable[tuple[str, int]]) -> None:
        """Remember these display ids, for the outputs that have these indices now."""
        for display_id, place in displays:
            self._displays.add(Spot(display_id, self._id, self._item(place), place))

    def displays(self) -> list[tuple[str, int]]:
        """Return the display ids that are remembered for outputs of this cell, and the indices of those."""
        known = ((spot.display_id, self.find(spot)) for spot in self._displays.in_cell(self._id))
        return [(display_id, place) for display_id, place in known if place is not None]

    def find(self, spot: Spot) -> int | None:
        """Return the index of an output that was seen in this cell; None if it is gone."""
        size = len(self)
        places = [spot.place, *range(size)] if spot.place < size else range(size)
        return next((place for place in places if self._item(place) == spot.item), None)

    def frame(self, place: int) -> dict[str, Any]:
        """Return an output without what it shows."""
        output = self._array()[place]
        return {key: plain_of(output[key]) for key in list(output.keys()) if key not in ("data", "metadata")}

    def _item(self, place: int) -> bytes:
        """Return the identity of an output: it keeps it wherever it stands, and no other ever has it."""
        return self._array().sticky_index(place).encode()

    def _array(self) -> Array[Any]:
        if not isinstance(self._cell.get("outputs"), Array):
            self._cell["outputs"] = _new(ARRAY, project(Shape.OUTPUTS, plain_of(self._cell.get("outputs"))))
        array: Array[Any] = self._cell["outputs"]
        return array


def _new(kind: int | None, value: Any) -> Any:
    """Return a part of a cell, for a document, from a value that is safe."""
    if kind == TEXT:
        return Text(value)
    if kind == MAP:
        return Map(value)
    if kind == ARRAY:
        return Array(list(map(_new_output, value)))
    return value


def _new_output(output: dict[str, Any]) -> Map[Any]:
    return Map({key: Text(value) if kind == TEXT else value for key, kind, value in output_parts(output)})
