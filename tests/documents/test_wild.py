"""Whatever a client writes into a notebook, or a program into its file: it is saved, and what is saved can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import nbformat
import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.sign import NotebookNotary
from pycrdt import Array, Map, Text, XmlFragment

from jupyter_rtc.documents.files.managed import trust
from jupyter_rtc.documents.formats.content import ContentError, encoded
from jupyter_rtc.documents.formats.editing import says_the_same
from jupyter_rtc.documents.formats.ipynb import Ipynb, parse, render
from jupyter_rtc.documents.formats.shape import Shape, is_whole, project
from jupyter_rtc.documents.merging.conflicts import merged
from jupyter_rtc.documents.merging.merge import outside

from .examples import (
    NOTEBOOK,
    PLAIN,
    TEXT,
    WRITERS,
    Doc,
    as_nbformat,
    built,
    calm,
    code,
    copied,
    markdown,
    notebook,
    read,
    stream,
)

SHOWN = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": ["a\n", "b"]}}
SMALL = notebook(
    code(["one\n", "two"], [stream(["1\n", "2"]), SHOWN], execution_count=1),
    markdown(["three"], attachments={"a.png": {"image/png": "iVBOR"}}),
    {"cell_type": "raw", "metadata": {}, "source": ["four"]},
    kernelspec={"name": "python3", "display_name": "Python 3"},
)


def deep(levels: int, inner: Any = "innermost") -> Any:
    """Return lists and objects in each other."""
    for level in range(levels):
        inner = [inner] if level % 2 else {"in": inner}
    return inner


# ------------------------------------------------------------------ what clients write

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(-(2**62), 2**62),
    st.text(st.sampled_from('ab\n"\\é😀\r'), max_size=6),
)
KEYS = st.sampled_from(["id", "cell_type", "output_type", "text", "data", "source", "trusted", "text/plain", "é", ""])
JSON = st.one_of(
    st.recursive(
        SCALARS, lambda part: st.lists(part, max_size=3) | st.dictionaries(KEYS, part, max_size=3), max_leaves=5
    ),
    st.just(deep(150)),
    st.just(deep(390)),
)
PLAINLY = st.tuples(st.just("plain"), JSON)
# What to make: pycrdt's types belong to one document, so that each example must make them anew.
SHARED = st.recursive(
    st.one_of(
        PLAINLY,
        st.tuples(st.just("text"), st.text(st.sampled_from('typed\n"'), max_size=8)),
        st.sampled_from([("bytes", b"\0\xff"), ("xml", None), ("document", None)]),
    ),
    lambda part: (
        st.tuples(st.just("array"), st.lists(part, max_size=3))
        | st.tuples(st.just("map"), st.dictionaries(KEYS, part, max_size=3))
    ),
    max_leaves=4,
)
KINDS = st.sampled_from([("plain", kind) for kind in ("code", "markdown", "raw", "heading")])
STREAMS = st.tuples(st.just("map"), st.just({"output_type": ("plain", "stream"), "text": ("text", "typed")}))
CELLS = st.fixed_dictionaries(
    {},
    optional={
        "id": SHARED | st.just(("plain", "cell-0")),
        "cell_type": KINDS | SHARED,
        "source": SHARED,
        "metadata": SHARED,
        "outputs": st.tuples(st.just("array"), st.lists(STREAMS | SHARED, max_size=3)) | SHARED,
        "attachments": SHARED,
        "execution_count": SHARED,
        "execution_state": SHARED,
        "more": SHARED,
    },
)
PLACES = st.integers(0, 2)
MEMBERS = st.sampled_from(["id", "cell_type", "source", "metadata", "outputs", "attachments", "execution_count", "x"])
VERSIONS = st.sampled_from([0.0, 3.0, 4.0, 5.0, 4.5, -1.0, 1e300, float("nan"), "4", "5", None, True, [4.0]])
WRITES = st.one_of(
    st.tuples(st.just("insert"), st.integers(0, 3), st.tuples(st.just("map"), CELLS) | SHARED),
    st.tuples(st.just("set"), st.tuples(PLACES, MEMBERS), SHARED),
    st.tuples(st.just("remove"), st.tuples(PLACES, MEMBERS), st.none()),
    st.tuples(st.just("show"), st.just(0), SHARED),
    st.tuples(st.just("describe"), st.tuples(PLACES, KEYS), SHARED),
    st.tuples(st.just("frame"), st.sampled_from(["nbformat", "nbformat_minor"]), st.tuples(st.just("plain"), VERSIONS)),
    st.tuples(st.just("frame"), st.sampled_from(["nbformat", "metadata", "é"]), SHARED),
    st.tuples(st.just("unframe"), st.sampled_from(["nbformat", "nbformat_minor", "metadata"]), st.none()),
)


def made(recipe: tuple[str, Any]) -> Any:
    """Make a shared type, or a plain value."""
    kind, what = recipe
    makers: dict[str, Callable[[], Any]] = {
        "plain": lambda: what,
        "bytes": lambda: what,
        "text": lambda: Text(what),
        "xml": lambda: XmlFragment(["typed"]),
        "document": pycrdt.Doc,
        "array": lambda: Array([made(item) for item in what]),
        "map": lambda: Map({key: made(item) for key, item in what.items()}),
    }
    return makers[kind]()


def drop(shared: Map[Any], key: str) -> None:
    """Remove a key, if it is there; `Map.pop` cannot where XML is under it."""
    if key in shared:
        del shared[key]


def write(doc: Doc, kind: str, where: Any, recipe: Any) -> None:
    """Do one of the `WRITES` to a document; nothing where there is no such place any more."""
    cells, meta = doc.get("cells", type=Array), doc.get("meta", type=Map)
    if kind == "insert":
        cells.insert(min(where, len(cells)), made(recipe))
    elif kind == "frame":
        meta[where] = made(recipe)
    elif kind == "unframe":
        drop(meta, where)
    else:
        cell = cells[where if kind == "show" else where[0]]
        if not isinstance(cell, Map):
            return
        if kind == "set":
            cell[where[1]] = made(recipe)
        elif kind == "remove":
            drop(cell, where[1])
        elif kind == "show" and isinstance(shown := cell.get("outputs"), Array):
            shown.append(made(recipe))
        elif kind == "describe" and isinstance(metadata := cell.get("metadata"), Map):
            metadata[where[1]] = made(recipe)


def written_by(original: Ipynb, writes: Any) -> Doc:
    """Return the document of a file after what clients wrote."""
    doc = built(NOTEBOOK, original)
    for one in writes:
        write(doc, *one)
    return doc


def type_into(doc: Doc, at: int, text: str) -> None:
    """Type at the end of a cell."""
    source = doc.get("cells", type=Array)[at]["source"]
    source += text


def without_ids(cells: Any) -> list[dict[str, Any]]:
    """Return cells without what an old version of the format does not keep."""
    return [{**cell, "id": None} for cell in cells]


@settings(calm, max_examples=150)
@given(st.lists(WRITES, min_size=1, max_size=4), st.sampled_from(sorted(WRITERS)), st.sampled_from([4, 5]))
def test_what_any_client_writes_is_saved_and_read_again(writes: Any, way: str, minor: int) -> None:
    original = parse(WRITERS[way]({**SMALL, "nbformat_minor": minor}))
    doc = written_by(original, writes)
    value = read(NOTEBOOK, doc)
    written = render(original, value)
    again = parse(written.body)
    assert without_ids(again.value.cells) == without_ids(value.cells)
    assert render(written, read(NOTEBOOK, doc)) is written
    nbformat.reader.reads(written.body.removeprefix("\ufeff"))  # by plain Jupyter, too
    assert NOTEBOOK.weight(value) >= 0
    assert b"".join(encoded(written)).decode() == written.body
    trust.signature(NotebookNotary(), again)


@settings(calm, max_examples=150)
@given(st.lists(WRITES, max_size=3), st.lists(WRITES, max_size=3), PLAIN.notebooks)
def test_an_outside_edit_meets_what_any_client_wrote(before: Any, meanwhile: Any, content: dict[str, Any]) -> None:
    doc = written_by(parse(as_nbformat(SMALL)), before)
    base = doc.get_update()
    changed = parse(as_nbformat(content))
    doc.apply_update(outside(base, NOTEBOOK, changed))
    cells = read(NOTEBOOK, doc).cells
    assert all(map(says_the_same, cells, changed.value.cells))
    assert len(cells) == len(changed.value.cells)
    live: Doc = pycrdt.Doc()
    live.apply_update(base)
    for one in meanwhile:
        write(live, *one)
    live.apply_update(merged(base, NOTEBOOK, changed, live.get_update()).update)
    written = render(changed, read(NOTEBOOK, live))
    assert without_ids(parse(written.body).value.cells) == without_ids(read(NOTEBOOK, live).cells)


@settings(calm, max_examples=50)
@given(st.lists(st.tuples(st.just("map"), CELLS) | SHARED, max_size=4))
def test_a_cell_has_one_text_as_an_id_that_no_other_cell_has(recipes: Any) -> None:
    doc = written_by(parse(as_nbformat(SMALL)), [("insert", 0, recipe) for recipe in recipes])
    ids = [cell["id"] for cell in read(NOTEBOOK, doc).cells]
    assert all(isinstance(id, str) and id for id in ids)
    assert len(set(ids)) == len(ids) == len(recipes) + 3


def test_cells_with_one_id_keep_their_ids_in_the_file_while_people_type_into_them() -> None:
    doc = built(NOTEBOOK, parse(as_nbformat(SMALL)))
    cells = doc.get("cells", type=Array)
    cells.append(Map({"id": "cell-0", "cell_type": "raw", "metadata": Map(), "source": Text("twin")}))
    before = [cell["id"] for cell in read(NOTEBOOK, doc).cells]
    type_into(doc, 3, " typed")
    assert [cell["id"] for cell in read(NOTEBOOK, doc).cells] == before
    assert json.loads(render(parse(as_nbformat(SMALL)), read(NOTEBOOK, doc)).body)["cells"][3]["source"] == [
        "twin typed"
    ]


@pytest.mark.parametrize(
    ("cell", "source"),
    [
        (lambda: Text("typed"), "typed"),
        (lambda: "typed", "typed"),
        (lambda: XmlFragment(["typed"]), "typed"),
        (lambda: {"cell_type": "markdown", "source": ["ty\n", "ped"]}, "ty\nped"),
        (lambda: Map({"cell_type": "code", "source": "typed"}), "typed"),
        (lambda: Map({"cell_type": "code", "source": Map({"a": Text("typed")})}), '{"a": "typed"}'),
        (lambda: Map({"cell_type": None, "source": Text("typed")}), "typed"),
        (lambda: Map({"cell_type": ["code"], "source": Array(["ty", "ped"])}), "typed"),
        (lambda: Map({"source": Text("typed"), "metadata": deep(390)}), "typed"),
        (lambda: None, ""),
    ],
)
def test_what_was_typed_in_the_place_of_a_cell_is_in_the_file(cell: Callable[[], Any], source: str) -> None:
    original = parse(as_nbformat(SMALL))
    doc = built(NOTEBOOK, original)
    doc.get("cells", type=Array).insert(1, cell())
    cells = parse(render(original, read(NOTEBOOK, doc)).body).value.cells
    assert [cell["source"] for cell in cells] == ["one\ntwo", source, "three", "four"]


@pytest.mark.parametrize("cell", [lambda: "typed", lambda: Text("typed")], ids=["plain", "text"])
def test_what_was_typed_in_the_place_of_a_cell_can_be_edited_outside(cell: Callable[[], Any]) -> None:
    original = parse(as_nbformat(SMALL))
    doc = built(NOTEBOOK, original)
    doc.get("cells", type=Array).insert(1, cell())
    content = json.loads(render(original, read(NOTEBOOK, doc)).body)
    content["cells"][1]["source"] = ["typed more"]
    doc.apply_update(outside(doc.get_update(), NOTEBOOK, parse(json.dumps(content))))
    assert [cell["source"] for cell in read(NOTEBOOK, doc).cells] == ["one\ntwo", "typed more", "three", "four"]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (lambda: "printed", "printed"),
        (lambda: Text("printed"), "printed"),
        (lambda: 4.5, "4.5"),
        (lambda: None, ""),
        (lambda: Map({"output_type": "stream", "text": Array(["prin", "ted"])}), "printed"),
        (lambda: {"output_type": ["stream"], "text": "x"}, '{"output_type": ["stream"], "text": "x"}'),
    ],
)
def test_what_stands_in_the_place_of_an_output_is_shown_as_text(output: Callable[[], Any], text: str) -> None:
    original = parse(as_nbformat(SMALL))
    doc = built(NOTEBOOK, original)
    doc.get("cells", type=Array)[0]["outputs"].append(output())
    *_, last = parse(render(original, read(NOTEBOOK, doc)).body).value.cells[0]["outputs"]
    assert (last["output_type"], last["text"]) == ("stream", text)


def test_a_file_keeps_its_frame_where_a_document_lost_its_own() -> None:
    original = parse(as_nbformat(SMALL))
    for broken in ({"nbformat": "four", "metadata": None}, {"nbformat": 5.0}, {"nbformat_minor": 1e300}):
        doc = built(NOTEBOOK, original)
        for key, value in broken.items():
            doc.get("meta", type=Map)[key] = value
        assert render(original, read(NOTEBOOK, doc)) is original


# ------------------------------------------------------------------ what programs write

ANY = st.recursive(
    SCALARS | st.sampled_from(["code", "raw", "stream", "display_data", "\ud800"]),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(KEYS | st.just("\udfff"), part, max_size=3),
    max_leaves=6,
)
KEPT = st.fixed_dictionaries(
    {"cell_type": st.sampled_from(["code", "markdown", "raw", "heading"]) | ANY},
    optional={
        "source": ANY,
        "metadata": ANY,
        "outputs": st.lists(ANY | st.fixed_dictionaries({"output_type": ANY}, optional={"data": ANY, "text": ANY}))
        | ANY,
        "attachments": ANY | st.dictionaries(KEYS, ANY, max_size=2),
        "id": ANY | st.just("same"),
        "execution_count": ANY,
    },
)
FILES = st.fixed_dictionaries(
    {"nbformat": st.just(4), "cells": st.lists(KEPT | ANY, max_size=3)},
    optional={"nbformat_minor": st.sampled_from([5, 4, 5.0, -1]) | ANY, "metadata": ANY},
)


@settings(calm, max_examples=200)
@given(FILES, st.booleans(), st.booleans())
def test_a_file_that_opens_can_be_edited_and_saved(content: dict[str, Any], as_dict: bool, trusted: bool) -> None:
    body = content if as_dict else json.dumps(content, indent=1)
    minor = content.get("nbformat_minor", 0)
    if isinstance(minor, bool) or not (isinstance(minor, int | float) and is_whole(float(minor))):
        with pytest.raises(ContentError, match=r"^nbformat_minor is "):
            NOTEBOOK.parse(body)
        return
    original = NOTEBOOK.parse(body, trusted=trusted)
    doc = built(NOTEBOOK, original)
    assert render(original, read(NOTEBOOK, doc)) is original
    assert NOTEBOOK.trusted(read(NOTEBOOK, doc)) in (True, False)
    trust.is_harmless(original)
    trust.signature(NotebookNotary(), original)
    if not as_dict:
        assert trust.as_read(body)
    for at in range(len(original.value.cells)):
        type_into(doc, at, " typed")
    value = read(NOTEBOOK, doc)
    assert all(cell["source"].endswith(" typed") for cell in value.cells)
    written = render(original, value)
    assert without_ids(parse(written.body).value.cells) == without_ids(value.cells) or has_lone(content)
    assert len(b"".join(encoded(written))) > 0


def has_lone(content: Any) -> bool:
    """Say whether a file has lone surrogates, which are U+FFFD in its document."""
    return "\\ud" in json.dumps(content)


@calm
@given(ANY | KEPT)
def test_what_is_in_shape_stays_as_it_is(raw: Any) -> None:
    shaped = project(Shape.CELL, raw)
    assert repr(project(Shape.CELL, shaped)) == repr(shaped)


@settings(calm, max_examples=200)
@given(st.sampled_from([1, 2, 3]), ANY, ANY, ANY)
def test_an_old_notebook_is_converted_or_refused(major: int, minor: Any, metadata: Any, cells: Any) -> None:
    sheets = [{"cells": cells}] if major == 3 else cells
    content = {"nbformat": major, "nbformat_minor": minor, "metadata": metadata, "worksheets": sheets, "cells": cells}
    try:
        original = parse(json.dumps(content))
    except ContentError:
        return
    assert render(original, read(NOTEBOOK, built(NOTEBOOK, original))) is original


@pytest.mark.parametrize("key", ["nbformat", "nbformat_minor"])
@pytest.mark.parametrize("version", ['"4"', "4.5", "null", "[]", "true", "NaN", "1e300"])
def test_a_version_that_is_none_is_refused_by_its_name(key: str, version: str) -> None:
    text = as_nbformat(SMALL)
    at = text.index(f'"{key}": ') + len(key) + 4
    with pytest.raises(ContentError, match=f"^{key} is"):
        parse(text[:at] + version + text[at + 1 :])


def test_an_empty_file_is_a_new_notebook() -> None:
    original = parse("")
    doc = built(NOTEBOOK, original)
    assert render(original, read(NOTEBOOK, doc)) is original
    assert original.body == ""
    type_into(doc, 0, "typed")
    written = render(original, read(NOTEBOOK, doc)).body
    nbformat.validate(nbformat.reads(written, 4))
    assert [cell["source"] for cell in json.loads(written)["cells"]] == [["typed"]]


# ------------------------------------------------------------------ texts


def test_what_is_no_text_in_a_text_does_not_put_an_outside_edit_in_the_wrong_place() -> None:
    doc = built(TEXT, TEXT.parse("héllo wörld\nsecond\n"))
    text = doc.get("source", type=Text)
    text.insert_embed(3, {"image": "x"})
    base = doc.get_update()
    live = copied(doc)
    live.get("source", type=Text).insert(0, "typed ")
    live.apply_update(outside(base, TEXT, TEXT.parse("héllo wörld\nsecond, changed\n"), live.get_update()))
    assert read(TEXT, live) == "typed héllo wörld\nsecond, changed\n"


def test_a_text_with_half_a_character_is_written_as_the_document_shows_it() -> None:
    original = TEXT.parse("a\ud800b\n")
    doc = built(TEXT, original)
    text = doc.get("source", type=Text)
    text += "typed"
    assert b"".join(encoded(TEXT.render(original, read(TEXT, doc)))).decode() == "a\ufffdb\ntyped"
