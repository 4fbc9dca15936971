"""Outside edits: the smallest change of the document, and nothing of either side lost or doubled."""

from __future__ import annotations

import copy
import json
import re
import time
from collections import Counter
from typing import Any

import pycrdt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycrdt import Array, Map, Text

from jupyter_rtc.documents.compare.align import match
from jupyter_rtc.documents.compare.diff import hunks, text_hunks
from jupyter_rtc.documents.formats.texts import edit_text
from jupyter_rtc.documents.formats.update import NO_CHANGE
from jupyter_rtc.documents.merging.merge import outside

from .examples import (
    NOTEBOOK,
    PLAIN,
    TEXT,
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

SOURCES = ["import math\n", "for x in range(3):\n    print(x)\n", "# A title\n\nand a text\n", "print('end')\n"]
BASE = notebook(code(SOURCES[0]), code(SOURCES[1], [stream("0\n1\n2\n")]), markdown(SOURCES[2]), code(SOURCES[3]))


def merged(base: dict[str, Any], after: dict[str, Any], **options: Any) -> Doc:
    """Return the document of `base` after the outside edit that makes it `after`."""
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(base), **options))
    doc.apply_update(outside(doc.get_update(), NOTEBOOK, NOTEBOOK.parse(as_nbformat(after), **options)))
    return doc


def cells_of(doc: Doc) -> Any:
    """Return the array of cells of a document."""
    return doc.get("cells", type=Array)


def sources(doc: Doc) -> list[str]:
    """Return the sources of the cells of a document."""
    return [str(cell["source"]) for cell in cells_of(doc)]


# ------------------------------------------------------------------ differences

LETTERS = st.lists(st.sampled_from("abcde"), max_size=14)
WILD = st.text(st.sampled_from("ab \n\r€é😀👩‍🔬e\u0301\0"), max_size=30)


@calm
@given(LETTERS, LETTERS)
def test_hunks_turn_one_sequence_into_the_other(old: list[str], new: list[str]) -> None:
    made, at = [], 0
    for start, stop, begin, end in hunks(old, new):
        assert start >= at
        assert stop > start or end > begin
        made += old[at:start] + new[begin:end]
        at = stop
    assert made + old[at:] == new
    assert (hunks(old, new) == []) == (old == new)


@calm
@given(WILD, WILD)
def test_a_shared_text_becomes_what_is_wanted(old: str, new: str) -> None:
    doc: Doc = pycrdt.Doc()
    text = doc.get("source", type=Text)
    text += old
    edit_text(text, new)
    assert str(text) == new


@pytest.mark.parametrize(
    ("old", "new", "edits"),
    [
        ("a b c", "a b c", []),
        ("one two three", "one 2 three", [("two", "2")]),
        ("x = 1\ny = 2\nz = 3\n", "x = 1\nz = 3\n", [("y = 2\n", "")]),
        ("x = 1\nz = 3\n", "x = 1\ny = 2\nz = 3\n", [("", "y = 2\n")]),
        ("a 👩‍🔬 b", "a 👩‍🚀 b", [("🔬", "🚀")]),
        ("print(a)\nprint(b)\n", "print(A)\nprint(B)\n", [("a", "A"), ("b", "B")]),
        ("f(a), f(b)", "f(a), f(c), f(b)", [("", "f(c), ")]),
        ("f(a), f(c), f(b)", "f(a), f(b)", [("f(c), ", "")]),
        ("(a)", "(b) (a)", [("", "(b) ")]),
        ("[(a)]", "[(b)(a)]", [("", "(b)")]),
        ("[1] [a]\n[2][3] [4]\n", "[a]\n[2][3] [5] [4]\n", [("[1] ", ""), ("", "[5] ")]),
        ('"[a] [c]"', '"[b] [a] [c]"', [("", "[b] ")]),
        ("(a) (b) (c)\n", " (b) (d) (c)\n", [("(a)", ""), ("", "(d) ")]),
        ("(a) (b)\n", "(c)\n", [("(a) (b)", "(c)")]),
        ("f(a, b)\n", "f(c)\n", [("a, b", "c")]),
        ("f(a) + g(b)\n", "h(c) + k(d)\n", [("f(a) + g(b)", "h(c) + k(d)")]),
        ("f(a)\ng(b)\n", "h(c)\nk(d)\n", [("f(a)", "h(c)"), ("g(b)", "k(d)")]),
        ('"[b] [a] [c]"', '"[a] [c]"', [("[b] ", "")]),
        (
            "def f():\n    pass\n\ndef h():\n    pass\n",
            "def f():\n    pass\n\ndef g():\n    pass\n\ndef h():\n    pass\n",
            [("", "def g():\n    pass\n\n")],
        ),
    ],
)
def test_only_words_that_differ_are_touched(old: str, new: str, edits: list[tuple[str, str]]) -> None:
    assert [(old[a:b], new[c:d]) for a, b, c, d in text_hunks(old, new)] == edits


def test_huge_texts_that_share_nothing_take_no_time() -> None:
    old = "".join(f"{n % 7} same {n % 5}\n" for n in range(60_000))
    new = "".join(f"{n % 5} other {n % 3}\n" for n in range(60_000))
    start = time.process_time()
    text_hunks(old, new)
    text_hunks("ab" * 500_000, "ba c" * 300_000)
    assert time.process_time() - start < 10


# ------------------------------------------------------------------ notebooks

CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["source", "insert", "delete", "move", "swap", "outputs", "metadata", "id", "type", "frame"]),
        st.integers(0, 9),
        PLAIN.cells,
    ),
    max_size=5,
)


def changed(content: dict[str, Any], changes: list[tuple[str, int, dict[str, Any]]]) -> dict[str, Any]:
    """Return the notebook after some changes, each made with what another cell has."""
    content = copy.deepcopy(content)
    cells = content["cells"]
    with_ids = content["nbformat_minor"] >= 5
    for number, (kind, at, other) in enumerate(changes):
        other = copy.deepcopy(other)
        if kind == "frame":
            content["metadata"] = copy.deepcopy(other["metadata"])
        elif kind == "insert":
            cells.insert(at, {**other, "id": f"new-{number}"} if with_ids else other)
        elif cells:
            at %= len(cells)
            if kind == "delete":
                del cells[at]
            elif kind == "move":
                cells.insert(0, cells.pop(at))
            elif kind == "swap":
                cells.reverse()
            elif kind == "id" and with_ids:
                cells[at]["id"] = f"other-{number}"
            elif kind == "type":
                cells[at] = {**other, "id": cells[at]["id"]} if with_ids else other
            elif kind == "outputs" and cells[at]["cell_type"] == other["cell_type"] == "code":
                cells[at]["outputs"] = other["outputs"]
            elif kind in ("source", "metadata"):
                cells[at][kind] = other[kind]
    return content


@settings(calm, max_examples=150)
@given(PLAIN.notebooks, CHANGES)
def test_the_document_becomes_what_the_file_holds(before: dict[str, Any], changes: Any) -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(before)))
    original = NOTEBOOK.parse(as_nbformat(changed(before, changes)))
    NOTEBOOK.edit(doc, original)
    assert NOTEBOOK.render(original, read(NOTEBOOK, doc)) is original
    assert outside(doc.get_update(), NOTEBOOK, original) == NO_CHANGE


@calm
@given(PLAIN.notebooks, PLAIN.notebooks)
def test_any_notebook_can_become_any_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(before)))
    original = NOTEBOOK.parse(as_nbformat(after))
    NOTEBOOK.edit(doc, original)
    assert NOTEBOOK.render(original, read(NOTEBOOK, doc)) is original


def test_cells_that_stay_keep_their_maps_and_texts() -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(BASE)))
    held = [cell["source"] for cell in cells_of(doc)]
    after = copy.deepcopy(BASE)
    after["cells"][1]["source"] = SOURCES[1].replace("print(x)", "print(x, x)")
    after["cells"][3]["metadata"] = {"tags": ["last"]}
    after["cells"].insert(2, {**code("new"), "id": "new"})
    doc.apply_update(outside(doc.get_update(), NOTEBOOK, NOTEBOOK.parse(as_nbformat(after))))
    for number, text in enumerate(held):
        text.insert(0, f"#{number}\n")
    assert [source.split("\n")[0] for source in sources(doc)] == ["#0", "#1", "new", "#2", "#3"]


def test_an_edit_is_no_bigger_than_it_must_be() -> None:
    long = "".join(f"line {n}\n" for n in range(3000))
    base = notebook(*(code(long, [stream(long)]) for _ in range(3)))
    sizes = {}
    for name, edit in {
        "nothing": lambda cells: None,
        "a word": lambda cells: cells[1].update(source=long.replace("line 1500\n", "line fifteen\n")),
        "a grown stream": lambda cells: cells[1]["outputs"][0].update(text=long + "more\n"),
        "a count": lambda cells: cells[1].update(execution_count=7),
        "a key": lambda cells: cells[1]["metadata"].update(collapsed=True),
        "a new cell": lambda cells: cells.insert(1, {**code("x"), "id": "x"}),
        "a cell less": lambda cells: cells.pop(1),
    }.items():
        after = copy.deepcopy(base)
        edit(after["cells"])
        update = outside(
            built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(base))).get_update(),
            NOTEBOOK,
            NOTEBOOK.parse(as_nbformat(after)),
        )
        sizes[name] = len(update)
    assert sizes.pop("nothing") == len(NO_CHANGE)
    assert max(sizes.values()) < 250, sizes


def test_only_outputs_that_differ_are_replaced() -> None:
    shown = [{"output_type": "display_data", "data": {"text/plain": f"{n}"}, "metadata": {}} for n in range(5)]
    base = notebook(code("x", shown))
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(base)))
    held = list(cells_of(doc)[0]["outputs"])
    after = copy.deepcopy(base)
    after["cells"][0]["outputs"][2]["data"] = {"text/plain": "two"}
    after["cells"][0]["outputs"].insert(0, stream("first\n"))
    doc.apply_update(outside(doc.get_update(), NOTEBOOK, NOTEBOOK.parse(as_nbformat(after))))
    for number in (0, 1, 3, 4):
        held[number]["mark"] = number
    assert [output.get("mark") for output in cells_of(doc)[0]["outputs"]] == [None, 0, 1, None, 3, 4]


@pytest.mark.parametrize("ids", ["dropped", "made anew"])
def test_cells_are_recognised_without_their_ids(ids: str) -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(BASE)))
    held = [cell["source"] for cell in cells_of(doc)]
    after = copy.deepcopy(BASE)
    for number, cell in enumerate(after["cells"]):
        cell["id"] = f"made-anew-{number}"
        if ids == "dropped":
            del cell["id"]
    after["nbformat_minor"] = 4 if ids == "dropped" else 5
    after["cells"][1]["source"] = SOURCES[1].replace("range(3)", "range(30)")
    after["cells"].insert(0, {**markdown("something new"), **({} if ids == "dropped" else {"id": "new"})})
    original = NOTEBOOK.parse(as_nbformat(after))
    doc.apply_update(outside(doc.get_update(), NOTEBOOK, original))
    assert NOTEBOOK.render(original, read(NOTEBOOK, doc)) is original
    for number, text in enumerate(held):
        text.insert(0, f"#{number}\n")
    assert [source.split("\n")[0] for source in sources(doc)] == ["something new", "#0", "#1", "#2", "#3"]
    if ids == "dropped":
        assert [cell["id"] for cell in cells_of(doc)][1:] == [f"cell-{number}" for number in range(4)]


CELLS = st.lists(st.tuples(st.sampled_from([None, None, "a", "b", "c", "d"]), st.sampled_from(SOURCES)), max_size=9)


@calm
@given(CELLS, CELLS)
@example([("a", "1"), (None, SOURCES[0]), ("b", "2")], [(None, SOURCES[0]), ("b", "2"), ("a", "1"), (None, SOURCES[0])])
def test_no_cell_is_two_cells(old: Any, new: Any) -> None:
    olds, news = ([{**code(text * 2), "id": id} for id, text in cells] for cells in (old, new))
    found = [
        place for place in match(olds, [{**cell, "source": cell["source"] + "x"} for cell in news]) if place is not None
    ]
    assert len(set(found)) == len(found)


def test_a_program_that_reformats_every_cell_and_adds_one_makes_none_anew() -> None:
    before = [f"result_{number} = compute( {number},[1,2] )\n" for number in range(60)]
    after = ["import this\n", *(text.replace("( ", "(").replace(",", ", ").replace(" )", ")") for text in before)]
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(notebook(*map(code, before), minor=4))))
    held = [cell["source"] for cell in cells_of(doc)]
    original = NOTEBOOK.parse(as_nbformat(notebook(*map(code, after), minor=4)))
    doc.apply_update(outside(doc.get_update(), NOTEBOOK, original))
    assert [str(text) for text in held] == after[1:]
    assert sources(doc) == after


def test_a_cell_that_has_nothing_in_common_is_another_cell() -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(BASE)))
    held = cells_of(doc)[1]["source"]
    after = copy.deepcopy(BASE)
    after["cells"][1] = {**code("§§§§"), "id": "another"}
    doc.apply_update(outside(doc.get_update(), NOTEBOOK, NOTEBOOK.parse(as_nbformat(after))))
    held.insert(0, "to nobody")
    assert sources(doc) == [SOURCES[0], "§§§§", *SOURCES[2:]]


def test_a_thousand_cells_may_be_turned_round() -> None:
    base = notebook(*(code(f"x = {n}", [stream(f"{n}\n" * 50)]) for n in range(1000)))
    after = {**base, "cells": base["cells"][::-1]}
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(base)))
    original = NOTEBOOK.parse(as_nbformat(after))
    state = doc.get_update()
    start = time.process_time()
    update = outside(state, NOTEBOOK, original)
    assert time.process_time() - start < 5
    doc.apply_update(update)
    assert NOTEBOOK.render(original, read(NOTEBOOK, doc)) is original


def test_values_that_engines_choke_on_are_merged() -> None:
    rough = '{"big": 1180591620717411303424, "huge": 1e999, "nan": NaN, "lone": "\\ud800", "\\udfff": [true, 1]}'
    text = as_nbformat(BASE).replace('"metadata": {}', f'"metadata": {{"x": {rough}}}')
    original = NOTEBOOK.parse(text.replace('"0\\n"', '"\\ud800 0\\n"').replace('"import math', '"\\udfff import math'))
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(BASE)))
    NOTEBOOK.edit(doc, original)
    assert NOTEBOOK.render(original, read(NOTEBOOK, doc)) is original


# ------------------------------------------------------------------ trust


def trusts(doc: Doc) -> list[Any]:
    """Return the marks of trust of the cells of a document."""
    return [cell["metadata"].get("trusted") for cell in cells_of(doc)]


@pytest.mark.parametrize(("trusted", "new"), [(True, True), (False, False)])
def test_new_cells_are_trusted_as_the_file_is(trusted: bool, new: bool) -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(BASE), trusted=True))
    after = copy.deepcopy(BASE)
    after["cells"][0]["source"] = "import maths\n"
    after["cells"].append({**code("new"), "id": "new"})
    after["cells"].insert(0, after["cells"].pop(3))
    NOTEBOOK.edit(doc, NOTEBOOK.parse(as_nbformat(after), trusted=trusted))
    assert trusts(doc) == [True, True, True, None, new]


def test_outputs_that_nobody_vouches_for_end_the_trust_of_their_cell() -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(BASE), trusted=True))
    after = copy.deepcopy(BASE)
    page = {"output_type": "display_data", "data": {"text/html": "<script>alert(1)</script>"}, "metadata": {}}
    after["cells"][1]["outputs"] = [page]
    NOTEBOOK.edit(doc, NOTEBOOK.parse(as_nbformat(after), trusted=False))
    assert trusts(doc) == [True, False, None, True]


# ------------------------------------------------------------------ three ways

TOKEN = re.compile(r"(?:in|out)side\d+")


@settings(calm, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8),
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8),
)
def test_every_word_of_both_sides_stands_once_in_a_text(
    mine: list[tuple[int, bool]], theirs: list[tuple[int, bool]]
) -> None:
    lines = [f"line {n} of the text\n" for n in range(20)]
    doc = built(TEXT, TEXT.parse("".join(lines)))
    base = doc.get_update()
    after = list(lines)
    for number, (at, within) in enumerate(theirs):
        if within:
            after[at % 20] = after[at % 20].replace(" of", f" outside{number} of")
        else:
            after[at % 20] += f"outside{number}\n"
    live = doc.get("source", type=Text)
    for number, (at, within) in enumerate(mine):
        word = f"inside{number} " if within else f"inside{number}\n"
        live.insert(str(live).index(f"line {at % 20} ") + (len(f"line {at % 20} ") if within else 0), word)
    doc.apply_update(outside(base, TEXT, TEXT.parse("".join(after))))
    words = Counter(TOKEN.findall(str(live)))
    assert words == Counter([f"outside{n}" for n in range(len(theirs))] + [f"inside{n}" for n in range(len(mine))])


@settings(calm, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["type", "insert", "output"]), st.integers(0, 9)), max_size=6),
    st.lists(st.tuples(st.sampled_from(["type", "insert", "delete", "move", "output"]), st.integers(0, 9)), max_size=6),
)
def test_every_word_of_both_sides_stands_once_in_a_notebook(
    mine: list[tuple[str, int]], theirs: list[tuple[str, int]]
) -> None:
    base = notebook(*(code(f"first\nsecond {n}\n", [stream("out\n")]) for n in range(6)))
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(base)))
    state = doc.get_update()
    after = copy.deepcopy(base)["cells"]
    words = []
    for number, (kind, at) in enumerate(theirs):
        at %= len(after)
        word = f"outside{number}"
        if kind == "type":
            after[at]["source"] += word + "\n"
        elif kind == "insert":
            after.insert(at, {**code(word), "id": word})
        elif kind == "output":
            after[at]["outputs"].append(stream(word, "stderr"))
        elif kind == "move":
            after.insert(0, after.pop(at))
        elif len(after) > 1 and not TOKEN.search(json.dumps(after[at])):
            del after[at]
        words += [word] if kind in ("type", "insert", "output") else []
    cells = cells_of(doc)
    for number, (kind, at) in enumerate(mine):
        at %= len(cells)
        word = f"inside{number}"
        words.append(word)
        if kind == "type":
            cells[at]["source"].insert(0, word + "\n")
        elif kind == "insert":
            cells.insert(at, Map({**code(), "id": word, "source": Text(word), "metadata": Map(), "outputs": Array()}))
        else:
            cells[at]["outputs"].append(Map({**stream("", "stderr"), "text": Text(word)}))
    update = outside(state, NOTEBOOK, NOTEBOOK.parse(as_nbformat({**base, "cells": after})), doc.get_update())
    doc.apply_update(update)
    value = read(NOTEBOOK, doc)
    found = TOKEN.findall(" ".join(json.dumps([cell["source"], cell["outputs"]]) for cell in value.cells))
    assert Counter(found) == Counter(words)
    assert len({cell["id"] for cell in value.cells}) == len(value.cells)


def test_a_cell_that_was_deleted_outside_stays_while_somebody_types_into_it() -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(BASE)))
    base = doc.get_update()
    cells_of(doc)[1]["source"].insert(0, "# mine\n")
    after = {**BASE, "cells": [BASE["cells"][0], BASE["cells"][3]]}
    original = NOTEBOOK.parse(as_nbformat(after))
    careless = copied(doc)
    careless.apply_update(outside(base, NOTEBOOK, original))
    assert sources(careless) == [SOURCES[0], SOURCES[3]]
    doc.apply_update(outside(base, NOTEBOOK, original, doc.get_update()))
    assert sources(doc) == [SOURCES[0], "# mine\n" + SOURCES[1], SOURCES[3]]


def test_a_cell_that_was_changed_outside_comes_back_though_somebody_deleted_it() -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(BASE)))
    base = doc.get_update()
    del cells_of(doc)[1:3]
    after = copy.deepcopy(BASE)
    after["cells"][1]["source"] = "# theirs\n" + SOURCES[1]
    doc.apply_update(outside(base, NOTEBOOK, NOTEBOOK.parse(as_nbformat(after)), doc.get_update()))
    assert sources(doc) == [SOURCES[0], "# theirs\n" + SOURCES[1], SOURCES[3]]


@pytest.mark.parametrize("way", ["grown", "cut down"])
def test_a_cell_without_an_id_that_both_sides_change_stands_once(way: str) -> None:
    texts = [
        "a word\n",
        "a first word, and before the last one: a word\n, then much more, line by line,\nby a program\n",
    ]
    before, after = texts if way == "grown" else reversed(texts)
    first, last = code("x = 1\n"), code("y = 2\n")
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(notebook(first, code(before), last, minor=4))))
    base = doc.get_update()
    cells_of(doc)[1]["source"].insert(0, "# mine\n")
    original = NOTEBOOK.parse(as_nbformat(notebook(first, code(after), last, minor=4)))
    doc.apply_update(outside(base, NOTEBOOK, original, doc.get_update()))
    assert sources(doc) == ["x = 1\n", "# mine\n" + after, "y = 2\n"]


def test_a_cell_that_was_moved_outside_stays_where_somebody_types_into_it() -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(BASE)))
    base = doc.get_update()
    cells_of(doc)[3]["source"].insert(0, "# mine\n")
    after = copy.deepcopy(BASE)
    after["cells"].insert(0, after["cells"].pop())
    after["cells"][0]["source"] += "# theirs\n"
    after["cells"].append({**code("new"), "id": "new"})
    doc.apply_update(outside(base, NOTEBOOK, NOTEBOOK.parse(as_nbformat(after)), doc.get_update()))
    assert sources(doc) == [*SOURCES[:3], "# mine\n" + SOURCES[3] + "# theirs\n", "new"]


def test_both_texts_stay_where_both_sides_changed_one_line() -> None:
    doc = built(TEXT, TEXT.parse("a line\n"))
    base = doc.get_update()
    source = doc.get("source", type=Text)
    source[2:6] = "word"
    doc.apply_update(outside(base, TEXT, TEXT.parse("a phrase\n")))
    assert "word" in str(source)
    assert "phrase" in str(source)
    assert "line" not in str(source)


def test_a_phrase_that_was_put_in_stays_whole_though_its_neighbour_is_deleted() -> None:
    doc = built(TEXT, TEXT.parse("one\n[a] two [b]\n"))
    base = doc.get_update()
    source = doc.get("source", type=Text)
    del source[12:15]
    del source[4:7]
    doc.apply_update(outside(base, TEXT, TEXT.parse("one\n[c] [a] two [d] [b]\n")))
    assert read(TEXT, doc) == "one\n[c]  two [d] \n"


def test_the_same_outside_edit_by_two_servers_is_merged_by_no_engine() -> None:
    """Why a server looks at the hash of a file before it takes it for somebody's edit."""
    doc = built(TEXT, TEXT.parse("a\n"))
    base = doc.get_update()
    for _ in range(2):
        doc.apply_update(outside(base, TEXT, TEXT.parse("a\nb\n")))
    assert read(TEXT, doc) == "a\nb\nb\n"


def test_what_both_sides_changed_alike_stands_once_in_a_text() -> None:
    doc = built(TEXT, TEXT.parse("one\ntwo\nthree\nfour\nfive\n"))
    base = doc.get_update()
    source = doc.get("source", type=Text)
    source[8:13] = "3"
    source.insert(4, "new\n")
    after = TEXT.parse("one\nnew\ntwo\n3\nfour\nFIVE\n")
    doc.apply_update(outside(base, TEXT, after, doc.get_update()))
    assert read(TEXT, doc) == after.value


def test_what_both_sides_changed_alike_stands_once_in_a_notebook() -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(BASE)))
    base = doc.get_update()
    new, shown = code("new", id="new"), stream("shown\n")
    after = copy.deepcopy(BASE)
    after["cells"][0].update(source="# both\n" + SOURCES[0] + "# theirs\n", outputs=[shown])
    after["cells"].insert(1, new)
    cells_of(doc)[0]["source"].insert(0, "# both\n")
    cells_of(doc)[0]["outputs"].append(Map({**shown, "text": Text("shown\n")}))
    cells_of(doc).insert(1, Map({**new, "source": Text("new"), "metadata": Map(), "outputs": Array()}))
    doc.apply_update(outside(base, NOTEBOOK, NOTEBOOK.parse(as_nbformat(after)), doc.get_update()))
    value = read(NOTEBOOK, doc)
    assert [cell["source"] for cell in value.cells] == [cell["source"] for cell in after["cells"]]
    assert value.cells[0]["outputs"] == [shown]


@settings(calm, max_examples=100)
@given(PLAIN.with_ids.filter(lambda before: before["cells"]), PLAIN.with_ids)
def test_the_same_edit_on_both_sides_is_no_edit(before: dict[str, Any], after: dict[str, Any]) -> None:
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(before)))
    base, outer = doc.get_update(), NOTEBOOK.parse(as_nbformat(after))
    doc.apply_update(outside(base, NOTEBOOK, outer))
    doc.apply_update(outside(base, NOTEBOOK, outer, doc.get_update()))
    value = read(NOTEBOOK, doc)
    assert [cell["source"] for cell in value.cells] == [cell["source"] for cell in outer.value.cells]
    assert NOTEBOOK.render(outer, value) is outer
