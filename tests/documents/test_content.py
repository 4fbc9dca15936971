"""Files as shared documents: built the same every time, read while they are edited, written back as they were."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_ydoc import YBlob, YNotebook, YUnicode
from nbformat.sign import NotebookNotary
from pycrdt import Array, Map, Text

import jupyter_rtc
from jupyter_rtc.documents.formats.content import Content, ContentError, content_of
from jupyter_rtc.documents.formats.ipynb import Notebook

from .examples import (
    NOTEBOOK,
    PLAIN,
    REGISTERED,
    RICH,
    TEXT,
    TEXTS,
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
from .process import LIGHT

PICTURE = {
    "output_type": "display_data",
    "data": {"image/png": "iVBOR", "application/json": {"a": [1, None]}},
    "metadata": {},
}
SMALL = as_nbformat(
    notebook(
        code(
            ["import math\n", "math.pi"], [stream(["é\n", "😀"]), PICTURE], execution_count=3, metadata={"tags": ["x"]}
        ),
        markdown(["# title"], attachments={"a.png": {"image/png": "iVBOR"}}),
        kernelspec={"name": "python3", "display_name": "Python 3", "language": "python"},
    )
)

# ------------------------------------------------------------------ building


@calm
@given(RICH.notebooks, st.sampled_from(sorted(WRITERS)), st.booleans())
def test_a_notebook_comes_back_from_its_document_as_it_was(content: dict[str, Any], way: str, trusted: bool) -> None:
    original = NOTEBOOK.parse(WRITERS[way](content), trusted=trusted)
    doc = built(NOTEBOOK, original)
    value = read(NOTEBOOK, doc)
    assert value == original.value
    assert NOTEBOOK.render(original, value) is original


@calm
@given(st.text(st.sampled_from("ab\r\n\ufeffé😀\ud800\0"), max_size=20))
def test_a_text_comes_back_from_its_document_as_it_was(body: str) -> None:
    original = TEXT.parse(body)
    value = read(TEXT, built(TEXT, original))
    assert value == original.value
    assert TEXT.render(original, value) is original
    assert original.body == body


@calm
@given(RICH.notebooks)
def test_equal_content_is_built_from_equal_bytes(content: dict[str, Any]) -> None:
    body = as_nbformat(content)
    first, second = (NOTEBOOK.build(NOTEBOOK.parse(body)) for _ in range(2))
    assert first == second
    assert first.snapshot() == second.snapshot()
    assert 1 <= first.genesis < 2**53
    one, other = copied(built(NOTEBOOK, NOTEBOOK.parse(body))), pycrdt.Doc()
    other.apply_update(first.snapshot())
    assert one.get_state() == other.get_state()
    one.apply_update(first.snapshot())  # the same history: nothing is doubled
    assert read(NOTEBOOK, one) == read(NOTEBOOK, other)


ROOT = Path(jupyter_rtc.__file__).parent.parent
PROGRAM = f"""{LIGHT}
from hashlib import sha256
from jupyter_rtc.documents.formats.content import NotebookContent
content = NotebookContent()
built = content.build(content.parse(sys.stdin.buffer.read().decode()))
print(built.genesis, sha256(built.snapshot()).hexdigest())
"""


def test_another_process_builds_the_same() -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=SMALL.encode(),
        capture_output=True,
        check=True,
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)},
    )
    mine = NOTEBOOK.build(NOTEBOOK.parse(SMALL))
    assert outcome.stdout.decode().split() == [str(mine.genesis), sha256(mine.snapshot()).hexdigest()]


def test_documents_are_built_as_they_were_in_the_last_release() -> None:
    """Raise `update._BUILD` with the two values here: rooms of both ways must not take each other for the same."""
    made = NOTEBOOK.build(NOTEBOOK.parse(SMALL))
    assert made.genesis == 8292101118117740
    assert sha256(made.snapshot()).hexdigest() == "1053c96c5fb335c64c029a9897893e0a398da8c3a929dd18a5d52d2e929de122"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((SMALL, {}), (SMALL, {"trusted": True})),
        ((SMALL, {}), (SMALL.replace("title", "titles"), {})),
    ],
    ids=["trust", "content"],
)
def test_different_documents_have_different_genesis(one: Any, other: Any) -> None:
    assert len({NOTEBOOK.build(NOTEBOOK.parse(body, **more)).genesis for body, more in (one, other)}) == 2


def test_texts_that_make_one_document_have_one_genesis() -> None:
    assert len({TEXT.build(TEXT.parse(body)).genesis for body in ("a\nb", "a\r\nb", "\ufeffa\nb")}) == 1


@pytest.mark.parametrize(
    ("content", "body"), [(TEXT, ""), (content_of("blob", REGISTERED), b""), (NOTEBOOK, as_nbformat(notebook()))]
)
def test_even_an_empty_document_knows_its_genesis(content: Content, body: Any) -> None:
    made = content.build(content.parse(body))
    doc: Doc = pycrdt.Doc()
    doc.apply_update(made.snapshot())
    author: Doc = pycrdt.Doc(client_id=made.genesis)
    author["it"] = Text("x")
    assert doc.get_state()[1:].startswith(author.get_state()[1:-1])


def test_the_document_has_the_schema_of_the_front_ends() -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(SMALL))
    cells, meta = doc.get("cells", type=Array), doc.get("meta", type=Map)
    assert (meta["nbformat"], meta["nbformat_minor"]) == (4.0, 5.0)
    assert isinstance(meta["metadata"], Map)
    first, second = cells[0], cells[1]
    assert {key: type(first[key]) for key in first} == {
        "id": str,
        "cell_type": str,
        "source": Text,
        "metadata": Map,
        "outputs": Array,
        "execution_count": float,
        "execution_state": str,
    }
    assert first["execution_state"] == "idle"
    assert first["metadata"].to_py() == {"tags": ["x"], "trusted": False}
    assert [type(output) for output in first["outputs"]] == [Map, Map]
    assert isinstance(first["outputs"][0]["text"], Text)
    assert isinstance(first["outputs"][1]["data"], dict)
    assert set(second) == {"id", "cell_type", "source", "metadata", "attachments"}
    assert second["metadata"].to_py() == {}


@calm
@given(PLAIN.notebooks)
def test_jupyter_ydoc_reads_what_nbformat_does(content: dict[str, Any]) -> None:
    body = as_nbformat(content)
    shared = YNotebook(built(NOTEBOOK, NOTEBOOK.parse(body)))
    found = shared.get()
    for cell in found["cells"]:
        cell["metadata"].pop("trusted", None)
        cell.setdefault("id", "")
    found["metadata"] = {k: v for k, v in found["metadata"].items() if k not in ("kernelspec", "language_info")}
    wanted = json.loads(json.dumps(nbformat.reads(body, 4)))
    for cell in wanted["cells"]:
        cell.setdefault("id", "")
    if wanted["cells"]:
        assert found == wanted


def test_a_document_of_jupyter_ydoc_is_read_like_our_own() -> None:
    shared = YNotebook()
    shared.set(json.loads(json.dumps(nbformat.reads(SMALL, 4))))
    original = NOTEBOOK.parse(SMALL)
    value = read(NOTEBOOK, shared.ydoc)
    assert NOTEBOOK.render(original, value) is original
    text = YUnicode()
    text.set("a\nb")
    assert TEXT.render(TEXT.parse("a\r\nb"), read(TEXT, text.ydoc)).body == "a\r\nb"


def test_values_that_engines_choke_on_become_what_javascript_makes_of_them() -> None:
    rough = '{"big": 1180591620717411303424, "huge": 1e999, "nan": NaN, "lone": "\\ud800", "\\udfff": [true, 1]}'
    text = SMALL.replace('"x"', rough)
    doc = built(NOTEBOOK, NOTEBOOK.parse(text))
    (tags,) = doc.get("cells", type=Array)[0]["metadata"]["tags"]
    assert tags == {"big": 2.0**70, "huge": None, "nan": None, "lone": "\ufffd", "\ufffd": [True, 1.0]}
    json.dumps(tags, allow_nan=False)


def test_updates_are_small_and_a_long_text_stays_in_pieces() -> None:
    original = NOTEBOOK.parse(as_nbformat(notebook(*(code(["x"], [stream("y" * 3000)]) for _ in range(500)))))
    assert max(map(len, NOTEBOOK.build(original).updates)) < 400_000
    made = TEXT.build(TEXT.parse("😀" * 1_500_000))
    assert max(map(len, made.updates)) < 2_200_000
    doc: Doc = pycrdt.Doc()
    doc.apply_update(made.snapshot())
    assert read(TEXT, doc) == "😀" * 1_500_000


# ------------------------------------------------------------------ trust


@pytest.mark.parametrize("trusted", [True, False])
def test_code_cells_are_marked_as_the_notary_marks_them(trusted: bool) -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(SMALL, trusted=trusted))
    marked = nbformat.reads(SMALL, 4)
    NotebookNotary(db_file=":memory:").mark_cells(marked, trusted)
    found = [cell["metadata"].to_py().get("trusted") for cell in doc.get("cells", type=Array)]
    assert found == [cell.metadata.get("trusted") for cell in marked.cells]


@calm
@given(RICH.with_ids, st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_notebook_is_trusted_when_the_notary_says_so(content: dict[str, Any], marks: list[bool]) -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(content)))
    for cell, mark in zip(content["cells"], marks, strict=False):
        cell["metadata"]["trusted"] = mark
    for cell, mark in zip(doc.get("cells", type=Array), marks, strict=False):
        cell["metadata"]["trusted"] = mark
    notary = NotebookNotary(db_file=":memory:")
    assert NOTEBOOK.trusted(read(NOTEBOOK, doc)) == notary.check_cells(nbformat.from_dict(content))
    notary.store.close()


def test_the_trust_of_a_cell_is_no_edit_of_the_file() -> None:
    original = NOTEBOOK.parse(SMALL)
    doc = built(NOTEBOOK, original)
    doc.get("cells", type=Array)[0]["metadata"]["trusted"] = True
    doc.get("cells", type=Array)[0]["execution_state"] = "running"
    assert NOTEBOOK.render(original, read(NOTEBOOK, doc)) is original


# ------------------------------------------------------------------ texts


@pytest.mark.parametrize(
    ("body", "value", "written"),
    [
        ("a\nb\n", "a\nc\n", "a\nc\n"),
        ("a\r\nb\r\n", "a\nc\nd\n", "a\r\nc\r\nd\r\n"),
        ("a\r\nb", "a\nb\n", "a\r\nb\r\n"),
        ("a\r\nb\r\nc\n", "a\nnew\nb\nc\n", "a\r\nnew\r\nb\r\nc\n"),
        ("a\r\nb\nc\n", "a\nb\nc\nnew", "a\r\nb\nc\nnew"),
        ("a\r\nb\r\nc\nlast", "a\nb\nc\nlast\nnew", "a\r\nb\r\nc\nlast\r\nnew"),
        ("\ufeffa\r\n", "b\n", "\ufeffb\r\n"),
        ("\ufeffa", "", "\ufeff"),
        ("a\rb\n", "a\rb\nc\n", "a\rb\nc\n"),
        ("", "a\n", "a\n"),
        ("a\r\n", "a\nb\r\nc\n", "a\r\nb\r\nc\r\n"),
    ],
)
def test_line_ends_are_kept(body: str, value: str, written: str) -> None:
    original = TEXT.parse(body)
    rendered = TEXT.render(original, value)
    assert rendered.body == written
    assert TEXT.render(rendered, value) is rendered


@calm
@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["\n", "\r\n"])), max_size=12),
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["insert", "delete"])), max_size=4),
)
def test_unedited_lines_keep_their_own_ends(lines: list[tuple[str, str]], edits: list[tuple[int, str]]) -> None:
    numbered = [(f"{name}{number}", end) for number, (name, end) in enumerate(lines)]
    original = TEXT.parse("".join(name + end for name, end in numbered))
    after = [name for name, _ in numbered]
    for at, kind in edits:
        if kind == "insert":
            after.insert(at, f"new{len(after)}")
        elif after:
            del after[at % len(after)]
    written = TEXT.render(original, "".join(f"{name}\n" for name in after)).body
    ends = dict(numbered)
    pairs = sum(end == "\r\n" for _, end in lines)
    usual = "\r\n" if 2 * pairs > len(lines) else "\n"
    assert written == "".join(name + ends.get(name, usual) for name in after)


@pytest.mark.parametrize("body", [b"bytes", {"a": "dict"}, None])
def test_what_is_no_text_is_refused(body: Any) -> None:
    with pytest.raises(ContentError):
        TEXT.parse(body)


# ------------------------------------------------------------------ reading while people edit

Edit = Callable[[Doc], None]


def cells_of(doc: Doc) -> Any:
    """Return the array of cells of a document."""
    return doc.get("cells", type=Array)


def apply_edit(doc: Doc, kind: str, at: int, text: str) -> None:
    """Edit a document as a peer would."""
    cells = cells_of(doc)
    if kind == "meta":
        doc.get("meta", type=Map)["metadata"]["edited"] = text
        return
    if kind == "insert":
        cells.insert(
            at % (len(cells) + 1), Map({"id": text, "cell_type": "raw", "source": Text(text), "metadata": Map()})
        )
        return
    if not len(cells):
        return
    at %= len(cells)
    if kind == "type":
        source = cells[at]["source"]
        source += text
    elif kind == "delete":
        del cells[at]
    elif kind == "delete many":
        del cells[at:]
    elif kind == "mark":
        cells[at]["metadata"]["mark"] = text
    elif kind == "swap":
        with doc.transaction():
            source = cells[at]["source"]
            source.insert(0, text)
            del cells[(at + 1) % len(cells)]
            cells.insert(0, Map({"id": text, "cell_type": "raw", "source": Text(text), "metadata": Map()}))
            last = cells[len(cells) - 1]["metadata"]
            last["end"] = text


KINDS = ["meta", "insert", "type", "delete", "delete many", "mark", "swap"]


@settings(calm, max_examples=60)
@given(
    st.integers(0, 60),
    st.lists(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 99), TEXTS), max_size=4), max_size=6),
    st.booleans(),
)
def test_a_reading_ends_with_the_document_as_it_is_at_that_moment(
    count: int, edits: list[list[tuple[str, int, str]]], remote: bool
) -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(notebook(*(code(["x" * 40_000]) for _ in range(count))))))
    peer = copied(doc) if remote else doc
    waiting = list(edits)
    with NOTEBOOK.read(doc) as reading:
        for _ in reading:
            for kind, at, text in waiting.pop() if waiting else ():
                apply_edit(peer, kind, at, text)
            if remote:
                doc.apply_update(peer.get_update(doc.get_state()))
        expected, sources = read(NOTEBOOK, doc), [str(cell["source"]) for cell in cells_of(doc)]
    del cells_of(doc)[:]
    value = reading.value()
    assert value == expected
    assert [cell["source"] for cell in value.cells] == sources


def test_a_reading_takes_slices_and_leaves_nothing_behind() -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(notebook(*(code(["x" * 50_000]) for _ in range(100))))))
    before = doc.get_update()
    state = doc.get_state()
    reading = NOTEBOOK.read(doc)
    assert sum(1 for _ in reading) > 10
    assert doc.get_state() == state
    assert len(doc.get_update()) == len(before)
    cells_of(doc)[0]["source"].insert(0, "later")
    value = reading.value()
    assert not value.cells[0]["source"].startswith("later")
    reading.close()


def test_a_reading_can_be_given_up() -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(notebook(*(code(["x" * 50_000]) for _ in range(50))))))
    with NOTEBOOK.read(doc) as reading:
        next(iter(reading))
    del cells_of(doc)[3:]  # nobody looks any more
    with pytest.raises(AttributeError):
        reading.value()
    assert len(read(NOTEBOOK, doc).cells) == 3


def test_rubbish_among_the_cells_does_not_stop_a_save() -> None:
    original = NOTEBOOK.parse(SMALL)
    doc = built(NOTEBOOK, original)
    cells = cells_of(doc)
    cells.append("no cell")
    cells.append(Map({"source": "neither id nor type"}))
    cells[0]["metadata"]["number"] = float("inf")
    written = json.loads(NOTEBOOK.render(original, read(NOTEBOOK, doc)).body)
    assert [cell["source"] for cell in written["cells"]] == [
        ["import math\n", "math.pi"],
        ["# title"],
        ["no cell"],
        ["neither id nor type"],
    ]
    nbformat.validate(written)


def test_what_front_ends_add_is_no_edit() -> None:
    original = NOTEBOOK.parse(SMALL.replace(',\n   "attachments": {', ',\n   "other": {'))
    doc = built(NOTEBOOK, original)
    doc.get("state", type=Map)["dirty"] = True
    cells_of(doc)[1]["attachments"] = {}
    value = read(NOTEBOOK, doc)
    assert "attachments" not in value.cells[1] or value.cells[1]["attachments"]


# ------------------------------------------------------------------ watching


def edit_source(doc: Doc) -> None:
    """Type into the text of a document."""
    source = doc.get("source", type=Text)
    source += "x"


@pytest.mark.parametrize(
    ("content", "body", "edit"),
    [
        (NOTEBOOK, SMALL, lambda doc: cells_of(doc)[0]["source"].insert(0, "x")),
        (NOTEBOOK, SMALL, lambda doc: cells_of(doc)[0]["outputs"][0]["text"].insert(0, "x")),
        (NOTEBOOK, SMALL, lambda doc: doc.get("meta", type=Map)["metadata"].update({"x": 1})),
        (NOTEBOOK, SMALL, lambda doc: cells_of(doc).pop(0)),
        (TEXT, "a", edit_source),
        (content_of("blob", REGISTERED), b"a", lambda doc: doc.get("source", type=Map).update({"bytes": b"b"})),
    ],
    ids=["source", "output", "metadata", "cell", "text", "registered"],
)
def test_the_first_edit_is_noticed_and_no_other(content: Content, body: Any, edit: Edit) -> None:
    doc = built(content, content.parse(body))
    noticed: list[str] = []
    end = content.watch(doc, lambda: noticed.append("edit"))
    doc.get("state", type=Map)["dirty"] = True
    assert noticed == []
    edit(doc)
    assert noticed == ["edit"]
    edit(doc)
    assert noticed == ["edit"]
    end()
    end()


def test_nothing_is_noticed_after_the_end() -> None:
    doc = built(TEXT, TEXT.parse("a"))
    noticed: list[str] = []
    TEXT.watch(doc, lambda: noticed.append("edit"))()
    edit_source(doc)
    assert noticed == []


# ------------------------------------------------------------------ types


def test_types_are_known_by_what_is_registered_for_them() -> None:
    kinds = {kind: type(content_of(kind, REGISTERED)).__name__ for kind in REGISTERED}
    assert kinds == {
        "notebook": "NotebookContent",
        "file": "TextContent",
        "unicode": "TextContent",
        "blob": "RegisteredContent",
    }
    for kind in REGISTERED:
        assert content_of(kind, REGISTERED).kind == kind
        assert content_of(kind, REGISTERED).version == REGISTERED[kind]().version
    with pytest.raises(KeyError):
        content_of("drawing", REGISTERED)


def test_a_registered_type_does_its_own_work() -> None:
    content = content_of("blob", REGISTERED)
    original = content.parse(b"one")
    doc = built(content, original)
    value = read(content, doc)
    assert content.render(original, value) is original
    content.edit(doc, content.parse(b"two"))
    rendered = content.render(original, read(content, doc))
    assert (bytes(rendered.body), content.trusted(rendered.value)) == (b"two", False)
    assert content.build(content.parse(b"one")).genesis == content.build(original).genesis
    assert content.build(content.parse(b"two")).genesis != content.build(original).genesis


class Chancy(YBlob):
    """A class that makes up a part of what it is filled with."""

    def set(self, value: bytes) -> None:
        """Set the content of the document."""
        super().set(value + uuid4().bytes)


def test_what_a_registered_type_makes_up_is_nobody_elses_history() -> None:
    content = content_of("chancy", {"chancy": Chancy})
    one, other = content.build(content.parse(b"one")), content.build(content.parse(b"one"))
    assert one.updates != other.updates
    assert one.genesis != other.genesis


def test_values_of_notebooks_are_compared_without_trust() -> None:
    original = NOTEBOOK.parse(SMALL)
    value = copy.deepcopy(original.value)
    assert value == original.value
    assert Notebook(value.cells, value.meta, trusted=False) == Notebook(value.cells, value.meta, trusted=True)
