"""What a document with another history says of itself, and whether another one holds everything it does."""

from __future__ import annotations

from typing import Any

import pytest
from pycrdt import Doc, Map, Text

from jupyter_rtc.documents.formats.content import Original
from jupyter_rtc.documents.formats.update import NO_CHANGE
from jupyter_rtc.documents.merging.conflicts import Note
from jupyter_rtc.documents.merging.likeness import holds
from jupyter_rtc.documents.merging.lineage import Brought, examine, may_double, reconcile, recorded, weigh
from jupyter_rtc.wire.protocol import ProtocolError

from .examples import NOTEBOOK, TEXT, as_nbformat, built, code, copied, notebook, read, stream

TEXTS = [
    ("a\nb\n", "a\nb\n", True),
    ("a\nmore\nb\n", "a\nb\n", True),
    ("a\n", "", True),
    ("a\nb\n", "a\nmore\nb\n", False),
    ("a\nc\n", "a\nb\n", False),
    ("b\na\n", "a\nb\n", False),
]

NOTE = Note("room", "2026-11-25T12:00:00.000+00:00", (), "bob")


@pytest.mark.parametrize(("text", "other", "held"), TEXTS)
def test_a_text_holds_another_one_line_by_line(text: str, other: str, held: bool) -> None:
    assert holds(text, other) is held


NOTEBOOKS = [
    (notebook(code("a")), notebook(code("a")), True),
    (notebook(code("a\nb"), code("c")), notebook(code("a")), True),
    (notebook(code("a")), notebook(code("a"), code("")), True),
    (notebook(code("a")), notebook(code("a"), code("typed")), False),
    (notebook(code("a")), notebook(code("a\nb")), False),
    (notebook(code("a", [stream("out")])), notebook(code("a")), True),
    (notebook(code("a")), notebook(code("a", [stream("out")])), False),
    (notebook(code("a"), kernel="x"), notebook(code("a")), False),
]


@pytest.mark.parametrize(("one", "other", "held"), NOTEBOOKS)
def test_a_notebook_holds_another_one_cell_by_cell(one: object, other: object, held: bool) -> None:
    values = [NOTEBOOK.parse(as_nbformat(each)).value for each in (one, other)]  # type: ignore[arg-type]
    assert holds(*values) is held


def brought(doc: Doc, original: Original) -> Brought:
    """Return what is read of a document."""
    return examine(TEXT, original, [doc.get_update()])


class TestExamine:
    original = TEXT.parse("begin\n")

    def test_what_it_says_of_itself(self) -> None:
        doc = Doc(client_id=7)
        doc.get("source", type=Text).insert(0, "begin\n")
        said = {"hash": "h", "saving": "s", "lineage": "0" * 32, "genesis": "7"}
        doc.get("state", type=Map).update(said)
        found = brought(doc, self.original)
        assert (found.hashes, found.lineage, found.genesis) == (("s", "h"), "0" * 32, 7)
        assert found.original is self.original
        assert not found.empty

    @pytest.mark.parametrize("genesis", ["8", "x", "", "-7", "\u0667", "7" * 30, 7.0, None])
    def test_a_genesis_that_cannot_be_right_is_none(self, genesis: object) -> None:
        doc = Doc(client_id=7)
        doc.get("source", type=Text).insert(0, "begin\n")
        doc.get("state", type=Map).update({"genesis": genesis, "lineage": 3.0, "hash": None})
        found = brought(doc, self.original)
        assert (found.genesis, found.lineage, found.hashes) == (0, "", ("", ""))

    def test_what_cannot_be_read_is_the_peers_fault(self) -> None:
        with pytest.raises(ProtocolError):
            examine(TEXT, self.original, [b"garbage"])


class TestWeigh:
    def test_what_was_merged_is_on_record_in_the_same_update(self) -> None:
        original = TEXT.parse("begin\n")
        base = built(TEXT, original)
        live, other = copied(base), Doc(client_id=5)
        live.get("source", type=Text).insert(0, "live\n")
        other.get("source", type=Text).insert(0, "begin\nother\n")
        found = brought(other, original)
        assert recorded(live, found.clocks) is None
        weighed = weigh(TEXT, found, base.get_update(), live.get_update(), NOTE)
        assert weighed.update is not None
        live.apply_update(weighed.update)
        assert read(TEXT, live) == "live\nbegin\nother\n"
        assert recorded(live, found.clocks) is True
        other.get("source", type=Text).insert(0, "more\n")
        assert recorded(live, brought(other, original).clocks) is False

    def test_the_same_content_is_no_edit(self) -> None:
        original = TEXT.parse("begin\n")
        base, other = built(TEXT, original), Doc()
        other.get("source", type=Text).insert(0, "begin\n")
        weighed = weigh(TEXT, brought(other, original), base.get_update(), base.get_update(), NOTE)
        assert weighed.update == NO_CHANGE
        assert weighed.contained


MET = [
    ("a\n", "a\nbob\n", "a\n", False),
    ("a\n", "a\nbob\n", "a\nbob\n", True),
    ("a\n", "a\nbob\n", "a\nbob\nmore\n", True),
    ("a\n", "a\nhel\n", "a\nhello\n", True),
    ("a c\n", "a bob c\n", "a bob more c\n", True),
    ("a\n", "a\n}\n", "a\n}\n", True),
    ("a\n", "a\noutside\n", "a\ntyped\n", False),
    ("a\nb\nc\n", "bob\na\nb\nc\n", "a\nb\nc\nbob\n", False),
    (notebook(code("a")), notebook(code("a"), code("bob")), notebook(code("a"), code("bob\nmore")), True),
    (notebook(code("a")), notebook(code("a"), code("bob", id="x")), notebook(code("a"), code("bob")), True),
    (notebook(code("a")), notebook(code("a"), code("", id="x")), notebook(code("a"), code("", id="x")), True),
    (notebook(code("a")), notebook(code("a"), code("one", id="x")), notebook(code("a"), code("two", id="y")), False),
    (notebook(code("a"), code("b")), notebook(code("a1"), code("b")), notebook(code("a"), code("b1")), False),
    (notebook(code("a")), notebook(code("a", [stream("1")])), notebook(code("a", [stream("1")])), True),
]


@pytest.mark.parametrize(("before", "live", "typed", "result"), MET)
def test_what_may_have_been_written_twice(before: object, live: object, typed: object, result: bool) -> None:
    content: Any = TEXT if isinstance(before, str) else NOTEBOOK
    files = [file if isinstance(file, str) else as_nbformat(file) for file in (before, live, typed)]  # type: ignore[arg-type]
    base, now, other = (built(content, content.parse(file)).get_update() for file in files)
    assert may_double(content, base, now, examine(content, content.blank(), [other])) is result


class TestReconcile:
    @pytest.mark.parametrize(
        ("typed", "file", "result"),
        [
            ("", "other\n", "other\n"),
            ("typed\n", "begin\ntyped\nmore\n", "begin\ntyped\nmore\n"),
            ("typed\n", "begin\n", "begin\ntyped\n"),
            ("typed\n", "begin\nother\n", None),
        ],
    )
    def test_a_file_of_which_nobody_knows_what_it_was(self, typed: str, file: str, result: str | None) -> None:
        doc = built(TEXT, TEXT.parse("begin\n"))
        doc.get("source", type=Text).insert(6, typed)
        update = reconcile(TEXT, TEXT.parse(file), doc.get_update(), edited=bool(typed))
        if update:
            doc.apply_update(update)
        assert (read(TEXT, doc) if update else None) == result
