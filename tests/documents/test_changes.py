"""What differs between two versions of a document, as people and ``patch`` read it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from jupyter_rtc.documents.merging.changes import difference, unified

from .examples import NOTEBOOK, as_nbformat, calm, code, notebook

LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n", "é\u2028x\n"]), max_size=30)
TEXTS = st.builds(lambda lines, end: "".join(lines) + end, LINES, st.sampled_from(["", "a", "\r"]))


def patched(old: str, diff: str) -> str:
    """Apply a unified diff, as strictly as can be."""
    lines, out, at = re.findall("[^\n]*\n|[^\n]+", old), [], 0
    rows = re.findall("[^\n]*\n", diff)[2:]
    for number, row in enumerate(rows):
        if found := re.fullmatch(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@\n", row):
            start, count, begin, added = map(int, found.groups())
            out += lines[at : start - (count > 0)]
            at = start - (count > 0)
            assert len(out) == begin - (added > 0)
            continue
        bare = number + 1 < len(rows) and rows[number + 1].startswith("\\")
        text = row[1:-1] if bare else row[1:]
        if row[0] in " -":
            assert lines[at] == text
            at += 1
        if row[0] in " +":
            out.append(text)
    return "".join(out + lines[at:])


@calm
@given(TEXTS, TEXTS)
def test_a_unified_diff_leads_from_one_text_to_the_other(old: str, new: str) -> None:
    assert patched(old, unified(old, new, ("a", "b"))) == new


def test_a_diff_shows_three_lines_around_a_change_and_says_where_the_last_line_has_no_end() -> None:
    old = "".join(f"{number}\n" for number in range(20))
    assert unified(old, old, ("a", "b")) == ""
    assert unified(old, old.replace("10\n", "ten\n"), ("a", "b")) == (
        "--- a\n+++ b\n@@ -8,7 +8,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n"
    )
    assert unified("a", "a\n", ("a", "b")) == "--- a\n+++ b\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n"
    assert unified("", "a\n", ("a", "b")) == "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+a\n"


def test_cells_are_followed_by_what_they_are() -> None:
    def value(*cells: dict) -> object:
        return NOTEBOOK.parse(as_nbformat(notebook(*cells))).value

    one, two, three = code("1", id="one"), code("2", id="two"), code("3", id="three")
    old = value(one, two, three)
    assert difference(old, old, ("", "")) == {"cells": [], "metadata": False}
    new = value(three, code("new", id="new"), one, {**two, "source": "2!", "metadata": {"tags": ["x"]}})
    found = difference(old, new, ("", ""))["cells"]
    assert [(cell["change"], cell["id"], cell["from"], cell["to"]) for cell in found] == [
        ("moved", "three", 2, 0),
        ("added", "new", None, 1),
        ("changed", "two", 1, 3),
    ]
    assert found[2]["changed"] == ["metadata"]
    assert "+2!" in found[2]["source"]
    gone = difference(new, old, ("", ""))["cells"]
    assert [cell["change"] for cell in gone if cell["id"] == "new"] == ["removed"]
