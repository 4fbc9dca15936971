"""The face of an open notebook: what it does is what a plain list of cells would say, whatever others do meanwhile."""

from __future__ import annotations

import json
from typing import Any

import nbformat
import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Map, Text

from jupyter_rtc.documents.compare.positions import Positions
from jupyter_rtc.documents.formats.shared_notebook import CellGone, Seen, SharedNotebook

from .examples import NOTEBOOK, Doc, as_nbformat, built, calm, code, copied, markdown, notebook, read, stream

parse, render = NOTEBOOK.parse, NOTEBOOK.render
SHOWN = {"output_type": "display_data", "data": {"text/plain": "one"}, "metadata": {}}
WORST = [2**63, -(2**70), 10**400, float("nan"), float("inf"), "\ud800", b"x", {1: {None: b"x"}}, {"\udfff": [()]}]


class Unspeakable:
    """An object that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError


def nested(depth: int) -> list[Any]:
    """Return lists in each other."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def opened(*cells: dict[str, Any]) -> Doc:
    """Return the document of a notebook with these cells."""
    return built(NOTEBOOK, parse(as_nbformat(notebook(*cells))))


def synced(one: Doc, other: Doc) -> None:
    """Bring two documents to the same state."""
    update = one.get_update(other.get_state())
    one.apply_update(other.get_update(one.get_state()))
    other.apply_update(update)


def outputs_in(doc: Doc, place: int = 0) -> Any:
    """Return the outputs of a cell as a front end has them."""
    return doc.get("cells", type=Array)[place]["outputs"]


def saved(doc: Doc) -> Any:
    """Return the file that would be saved, checked against the schema of the format."""
    body = render(NOTEBOOK.blank(), read(NOTEBOOK, doc)).body
    nbformat.validate(nbformat.reads(body, as_version=4))
    return json.loads(body)


# ------------------------------------------------------------------ cells are found by id


class Counted:
    """A list of keys that counts how often one of them is looked at."""

    def __init__(self, keys: list[str]) -> None:
        """Hold these keys."""
        self.held = keys
        self.looks = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.held)

    def key_at(self, place: int) -> str | None:
        """Return one."""
        assert 0 <= place < len(self.held)
        self.looks += 1
        return self.held[place]

    def keys(self) -> list[str | None]:
        """Return all."""
        self.looks += len(self.held)
        return [*self.held]

    def found(self, positions: Positions, key: str) -> int:
        """Return how many looks it takes to find a key that is there."""
        before = self.looks
        place = positions.find(key, self)
        assert place is not None
        assert self.held[place] == key
        return self.looks - before


def ten_thousand() -> tuple[Counted, Positions]:
    """Return ten thousand keys, all of them known."""
    keys, positions = Counted([f"c{number}" for number in range(10_000)]), Positions()
    positions.read(keys)
    return keys, positions


def test_a_cell_that_stayed_takes_one_look() -> None:
    keys, positions = ten_thousand()
    assert [keys.found(positions, f"c{number}") for number in (0, 5000, 9999)] == [1, 1, 1]


@pytest.mark.parametrize("at", [0, 1, 4321, 9999, 10_000])
def test_an_insertion_costs_a_few_looks_for_the_cells_after_it_and_for_itself(at: int) -> None:
    for sought in ("new", "c9999", f"c{min(at, 9999)}"):
        keys, positions = ten_thousand()
        keys.held.insert(at, "new")
        assert keys.found(positions, sought) < 60
        assert keys.found(positions, "c1234") < 10


@pytest.mark.parametrize("at", [0, 17, 6543, 9998])
def test_a_deletion_costs_a_few_looks(at: int) -> None:
    keys, positions = ten_thousand()
    del keys.held[at]
    assert keys.found(positions, "c9999") < 60


@pytest.mark.parametrize(("start", "to"), [(100, 5000), (5000, 100), (41, 42), (0, 9999), (9999, 0)])
def test_a_moved_cell_and_those_that_made_way_cost_a_few_looks(start: int, to: int) -> None:
    for sought in (start, (start + to) // 2, to):
        keys, positions = ten_thousand()
        keys.held.insert(to, keys.held.pop(start))
        assert keys.found(positions, f"c{sought}") < 80


def test_edits_far_from_each_other_cost_a_few_looks_each() -> None:
    keys, positions = ten_thousand()
    for at in (9000, 7003, 5011, 2500, 77):
        keys.held.insert(at, f"new{at}")
    assert keys.found(positions, "c8000") < 200
    assert [keys.found(positions, f"new{at}") < 10 for at in (9000, 7003, 5011, 2500, 77)] == [True] * 5


CHANGES = st.lists(
    st.tuples(st.sampled_from(["insert", "delete", "move", "swap", "look"]), st.integers(0, 99), st.integers(0, 99)),
    max_size=40,
)


@calm
@given(st.integers(0, 40), CHANGES)
def test_every_key_is_found_whatever_was_done_to_the_sequence(size: int, changes: list[tuple[str, int, int]]) -> None:
    keys, positions = Counted([str(number) for number in range(size)]), Positions()
    for number, (kind, one, other) in enumerate(changes):
        if kind == "insert":
            keys.held.insert(one % (len(keys) + 1), f"new{number}")
        elif kind == "delete" and len(keys):
            del keys.held[one % len(keys)]
        elif kind == "move" and len(keys):
            moved = keys.held.pop(one % len(keys))
            keys.held.insert(other % (len(keys) + 1), moved)
        elif kind == "swap" and len(keys):
            a, b = one % len(keys), other % len(keys)
            keys.held[a], keys.held[b] = keys.held[b], keys.held[a]
        elif len(keys):
            keys.found(positions, keys.held[one % len(keys)])
        assert positions.find("none of them", keys) is None
    assert positions.read(keys) == keys.held


@pytest.mark.parametrize("size", [3, 3500])
def test_the_ids_of_small_and_of_huge_notebooks(size: int) -> None:
    doc = opened(*(markdown(id=f"m{number}") for number in range(size)))
    doc.get("cells", type=Array).insert(1, "no cell")
    face = SharedNotebook(doc)
    assert face.ids == [f"m{number}" for number in range(size)]
    assert face.position(f"m{size - 1}") == size
    with pytest.raises(CellGone, match="no cell 'nope'"):
        face.cell("nope")


# ------------------------------------------------------------------ edits, with others editing in between

PLACE = st.integers(0, 9)
EDITS = st.one_of(
    st.tuples(st.just("insert"), PLACE, st.sampled_from(["code", "markdown", "raw"])),
    st.tuples(st.just("remove"), PLACE, st.none()),
    st.tuples(st.just("move"), PLACE, PLACE),
    st.tuples(st.just("source"), PLACE, st.text("ab\né😀", max_size=9)),
    st.tuples(st.just("tag"), PLACE, st.integers(-5, 5)),
    st.tuples(st.just("untag"), PLACE, st.none()),
    st.tuples(
        st.just("print"), PLACE, st.tuples(st.sampled_from(["stdout", "stderr"]), st.text("x\r\b\n", max_size=5))
    ),
    st.tuples(st.just("show"), PLACE, st.sampled_from(["d1", "d2"])),
    st.tuples(st.just("update"), st.sampled_from(["d1", "d2"]), st.text("uv", max_size=3)),
    st.tuples(st.just("clear"), PLACE, st.none()),
    st.tuples(st.just("count"), PLACE, st.integers(1, 99)),
)


class Model:
    """What the face is held against: cells as dicts in a list. Each edit is done by the method of its name."""

    def __init__(self, cells: list[dict[str, Any]]) -> None:
        """Begin with these cells."""
        self.cells = cells

    def cell(self, id: str) -> dict[str, Any]:
        """Return a cell."""
        return next(cell for cell in self.cells if cell["id"] == id)

    def edit(self, kind: str, id: str, what: Any) -> None:
        """Do one of the `EDITS` to the cell with this id."""
        cell = self.cell(id)
        if kind == "remove":
            self.cells.remove(cell)
        elif kind == "source":
            cell["source"] = what
        elif kind == "tag":
            cell["metadata"]["tag"] = what
        elif kind == "untag":
            cell["metadata"].pop("tag", None)
        elif kind == "count" and cell["cell_type"] == "code":
            cell["execution_count"] = what
        elif cell["cell_type"] == "code":
            self.output(kind, cell["outputs"], what)

    def output(self, kind: str, outputs: list[dict[str, Any]], what: Any) -> None:
        """Do what concerns the outputs of a cell."""
        if kind == "clear":
            outputs.clear()
        elif kind == "show":
            outputs.append({**SHOWN, "data": {"text/plain": what}, "shown as": what})
        elif kind == "print" and outputs and outputs[-1].get("name") == what[0]:
            outputs[-1]["text"] += what[1]
        elif kind == "print":
            outputs.append(stream(what[1], what[0]))

    def update(self, display_id: str, text: str) -> int:
        """Show something else under a display id; return how often."""
        shown = [one for cell in self.cells for one in cell.get("outputs", []) if one.get("shown as") == display_id]
        for one in shown:
            one["data"] = {"text/plain": text}
        return len(shown)


def edit(face: SharedNotebook, kind: str, id: str, what: Any) -> None:
    """Do one of the `EDITS` to the cell with this id, with the face."""
    cell = face.cell(id)
    if kind == "remove":
        face.remove(id)
    elif kind == "source":
        face.set_source(id, what)
    elif kind == "tag":
        cell.metadata["tag"] = what
    elif kind == "untag":
        cell.metadata.pop("tag", None)
    elif kind == "count" and cell.has_outputs:
        cell.execution_count = what
    elif cell.has_outputs:
        outputs = face.outputs(id)
        if kind == "clear":
            outputs.clear()
        elif kind == "show":
            outputs.append({**SHOWN, "data": {"text/plain": what}, "shown as": what}, display_id=what)
        elif kind == "print":
            outputs.stream(*what)


def both(face: SharedNotebook, model: Model, number: int, step: tuple[str, Any, Any]) -> None:
    """Do a step to the face and to the model."""
    kind, place, what = step
    if kind == "update":
        new = {"text/plain": what}
        assert face.update_display(place, new, {}) == model.update(place, what)
        return
    ids = [cell["id"] for cell in model.cells]
    id = ids[place % len(ids)] if ids else None
    if kind == "insert":
        cell = {"cell_type": what, "id": f"new{number}", "source": "", "metadata": {}}
        cell |= {"outputs": [], "execution_count": None} if what == "code" else {}
        assert face.insert(id, cell).id == cell["id"]
        model.cells.insert(ids.index(id) if id else 0, cell)
    elif kind == "move" and id:
        to = what % (len(ids) + 1)
        face.move(id, ids[to] if to < len(ids) else None)
        moved = model.cell(id)
        rest = [cell for cell in model.cells if cell is not moved]
        rest.insert(to - (to > ids.index(id)), moved)
        model.cells = rest
    elif id:
        edit(face, kind, id, what)
        model.edit(kind, id, what)


def others_edit(theirs: Doc, model: Model, number: int, place: int) -> None:
    """Do what another person does in a browser: a new cell above, words in the one after it, outputs cleared."""
    cells = theirs.get("cells", type=Array)
    at = place % (len(cells) + 1)
    new = {**markdown("theirs"), "id": f"theirs{number}"}
    cells.insert(at, Map({**new, "source": Text("theirs"), "metadata": Map()}))
    model.cells.insert(at, new)
    if at + 1 < len(cells):
        cells[at + 1]["source"].insert(0, "typed ")
        model.cells[at + 1]["source"] = "typed " + model.cells[at + 1]["source"]
        if place % 3 == 0 and "outputs" in cells[at + 1]:
            cells[at + 1]["outputs"].clear()
            model.cells[at + 1]["outputs"].clear()


@settings(calm, max_examples=100)
@given(st.lists(st.tuples(EDITS, st.none() | PLACE), max_size=25))
def test_the_face_does_what_a_list_of_cells_would_with_somebody_else_in_it(steps: Any) -> None:
    cells = [code("one", [stream("1\n")]), markdown("# two"), code("three")]
    doc = opened(*cells)
    theirs, seen = copied(doc), Seen()
    model = Model([{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)])
    model.cells = json.loads(json.dumps(model.cells))
    for number, (step, place) in enumerate(steps):
        both(SharedNotebook(doc, seen), model, number, step)
        if place is not None:
            synced(doc, theirs)
            others_edit(theirs, model, number, place)
            synced(doc, theirs)
    assert read(NOTEBOOK, doc).cells == model.cells
    assert SharedNotebook(doc, seen).ids == [cell["id"] for cell in model.cells]
    synced(doc, theirs)
    assert read(NOTEBOOK, theirs).cells == model.cells


def test_what_was_seen_holds_for_the_document_that_takes_the_place_of_another() -> None:
    doc, seen = opened(code("a"), code("b")), Seen()
    SharedNotebook(doc, seen).outputs("cell-1").append(SHOWN, display_id="d")
    again = copied(doc)
    assert SharedNotebook(again, seen).update_display("d", {"text/plain": "two"}, {}) == 1
    assert outputs_in(again, 1)[0]["data"] == {"text/plain": "two"}


# ------------------------------------------------------------------ single cells


def test_a_source_is_changed_where_it_differs() -> None:
    doc = opened(code("for x in range(3):\n    print(x)\n"))
    theirs = copied(doc)
    theirs.get("cells", type=Array)[0]["source"].insert(0, "# typed\n")
    SharedNotebook(doc).set_source("cell-0", "for x in range(5):\n    print(x)\n")
    synced(doc, theirs)
    assert str(theirs.get("cells", type=Array)[0]["source"]) == "# typed\nfor x in range(5):\n    print(x)\n"


def test_a_new_cell_gets_an_id_and_one_that_is_taken_is_refused() -> None:
    doc = opened(code("a"))
    face = SharedNotebook(doc)
    made = face.insert(None, {"cell_type": "markdown", "source": ["# a\n", "b"]})
    assert face.cell(made.id).source == "# a\nb"
    assert face.ids == ["cell-0", made.id]
    with pytest.raises(ValueError, match="a cell 'cell-0' already"):
        face.insert(0, code("b", id="cell-0"))
    with pytest.raises(CellGone):
        face.insert("nope", code("b"))
    with pytest.raises(IndexError):
        face.move(made.id, 3)
    saved(doc)


def test_a_moved_cell_keeps_what_it_is() -> None:
    doc = opened(code("a", [stream("1\n")], execution_count=3, metadata={"tags": ["x"]}), code("b"))
    seen = Seen()
    face = SharedNotebook(doc, seen)
    cell = face.cell("cell-0")
    cell.trusted, cell.execution_state = True, "running"
    cell.outputs.append(SHOWN, display_id="d")
    before = cell.value()
    face.move("cell-0", None)
    moved = face.cell("cell-0")
    assert (face.ids, moved.value()) == (["cell-1", "cell-0"], before)
    assert (moved.trusted, moved.execution_state, moved.execution_count) == (True, "running", 3)
    assert face.update_display("d", {"text/plain": "two"}, {}) == 1
    assert outputs_in(doc, 1)[1]["data"] == {"text/plain": "two"}


def test_metadata_of_the_notebook_and_of_a_cell() -> None:
    doc = opened(code("a", metadata={"tags": ["x"]}))
    face = SharedNotebook(doc)
    face.metadata["kernelspec"] = {"name": "python3", "display_name": "Python"}
    face.cell("cell-0").metadata.update(collapsed=True, name="n")
    del face.cell("cell-0").metadata["tags"]
    with pytest.raises(KeyError):
        del face.metadata["nope"]
    body = saved(doc)
    assert body["metadata"]["kernelspec"]["name"] == "python3"
    assert body["cells"][0]["metadata"] == {"collapsed": True, "name": "n"}


# ------------------------------------------------------------------ outputs


def test_prints_grow_the_text_that_front_ends_follow() -> None:
    doc = opened(code("a"))
    face = SharedNotebook(doc)
    face.outputs("cell-0").stream("stdout", "10%\r")
    text = outputs_in(doc)[0]["text"]
    deltas: list[Any] = []
    text.observe(lambda event: deltas.extend(event.delta))
    face.outputs("cell-0").stream("stdout", "20%\b")
    assert (str(text), deltas) == ("10%\r20%\b", [{"retain": 4}, {"insert": "20%\b"}])
    face.outputs("cell-0").stream("stderr", "x")
    face.outputs("cell-0").append(SHOWN)
    face.outputs("cell-0").stream("stderr", "y")
    assert [one.get("text", "") for one in outputs_in(doc).to_py()] == ["10%\r20%\b", "x", "", "y"]
    saved(doc)


def test_two_displays_with_one_id_in_two_cells_and_one_that_was_cleared() -> None:
    doc, seen = opened(code("a"), code("b"), code("c")), Seen()
    theirs = copied(doc)
    face = SharedNotebook(doc, seen)
    face.outputs("cell-0").append({**SHOWN, "output_type": "execute_result", "execution_count": 1}, display_id="d")
    face.outputs("cell-1").append(SHOWN)
    for id in ("cell-1", "cell-1", "cell-2"):
        face.outputs(id).append(SHOWN, display_id="d")
    face.outputs("cell-2").append(SHOWN, display_id="other")
    synced(doc, theirs)
    outputs_in(theirs, 2).clear()
    del outputs_in(theirs, 1)[0]
    synced(doc, theirs)
    face.outputs("cell-2").append(SHOWN)
    assert face.update_display("d", {"text/plain": "two"}, {"a": 1}) == 3
    assert [one["data"]["text/plain"] for place in range(3) for one in outputs_in(doc, place).to_py()] == [
        *("two", "two", "two", "one"),
    ]
    assert outputs_in(doc)[0]["output_type"] == "execute_result"
    assert face.update_display("other", {}, {}) == face.update_display("never shown", {}, {}) == 0
    face.remove("cell-0")
    assert face.update_display("d", {"text/plain": "three"}, {}) == 2
    saved(doc)


def test_of_outputs_with_display_ids_only_the_last_are_remembered() -> None:
    doc, seen = opened(code("a")), Seen()
    outputs = SharedNotebook(doc, seen).outputs("cell-0")
    outputs.append(SHOWN)
    for number in range(25_000):
        outputs.show([(f"d{number % 3}" if number < 20_000 else f"e{number}", 0)])
        if number % 10 == 0:
            outputs.replace(0, 1, [SHOWN])
    assert len(seen.displays.in_cell("cell-0")) <= 10_000


@pytest.mark.parametrize("wild", [None, 5, "text", Text("text"), [stream("a"), 4]])
def test_outputs_of_any_shape_can_be_added_to(wild: Any) -> None:
    doc = opened(code("a"))
    doc.get("cells", type=Array)[0]["outputs"] = wild
    outputs = SharedNotebook(doc).outputs("cell-0")
    size = len(outputs)
    outputs.append(SHOWN)
    outputs.stream("stdout", "x")
    assert len(outputs) == size + 2 == len(saved(doc)["cells"][0]["outputs"])


# ------------------------------------------------------------------ values that no document can hold


@pytest.mark.parametrize("odd", [*WORST, nested(150), nested(900), Unspeakable()], ids=lambda odd: type(odd).__name__)
def test_no_value_panics_the_engine(odd: Any) -> None:
    doc = opened(code("a"))
    face = SharedNotebook(doc)
    cell, outputs = face.cell("cell-0"), face.outputs("cell-0")
    face.metadata["odd"] = cell.metadata["odd"] = odd
    outputs.append(
        {"output_type": "display_data", "data": {"application/json": odd, "text/plain": odd}, "metadata": {}}
    )
    outputs.append(odd, display_id="d")
    outputs.stream("stdout", odd)
    outputs.stream(odd, odd)
    cell.execution_count = cell.execution_state = odd
    face.update_display("d", odd, odd)
    cell.set_source(odd)
    face.insert(None, {"cell_type": odd, "source": odd, "metadata": odd, "outputs": odd, "id": odd, "more": odd})
    face.move("cell-0", None)
    other: Doc = pycrdt.Doc()
    other.apply_update(doc.get_update())
    assert read(NOTEBOOK, other).cells == read(NOTEBOOK, doc).cells
    json.dumps([read(NOTEBOOK, doc).cells, dict(face.metadata)], allow_nan=False)
    assert parse(render(NOTEBOOK.blank(), read(NOTEBOOK, doc)).body).value.cells == read(NOTEBOOK, doc).cells
