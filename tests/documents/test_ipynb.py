"""The notebook file format: what nobody edited stays as it was, and what was edited is written in the file's way."""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_rtc.documents.formats.ipynb import ContentError, Ipynb, Notebook, parse, render

from . import examples
from .examples import (
    PLAIN,
    RICH,
    TEXTS,
    WRITERS,
    as_nbformat,
    calm,
    code,
    dumped,
    markdown,
    notebook,
    stream,
)

SMALL = notebook(
    code(["import math\n", "math.pi"], [stream(["a\n", "é"])], execution_count=3),
    markdown(["# Ünder\n", "text"]),
    code(["2 + 2"]),
    language_info={"name": "python"},
)


def edited(original: Ipynb, edit: Callable[[list[dict[str, Any]], dict[str, Any]], None]) -> Ipynb:
    """Return the file after an edit of a copy of its cells and metadata."""
    cells, meta = copy.deepcopy(list(original.value.cells)), copy.deepcopy(original.value.meta)
    edit(cells, meta)
    return render(original, Notebook(cells, meta))


def set_source(number: int, source: str) -> Callable[[list[dict[str, Any]], dict[str, Any]], None]:
    """Return the edit that gives a cell another source."""
    return lambda cells, _: cells[number].update(source=source)


# ------------------------------------------------------------------ what nobody edited


@calm
@given(RICH.notebooks, st.sampled_from(sorted(WRITERS)))
def test_a_notebook_that_nobody_edits_is_written_as_it_was(content: dict[str, Any], way: str) -> None:
    text = WRITERS[way](content)
    original = parse(text)
    assert original.body == text
    assert render(original, copy.deepcopy(original.value)) is original


@calm
@given(RICH.notebooks, st.sampled_from(sorted(WRITERS)), st.data())
def test_an_edit_of_one_cell_leaves_the_text_of_all_others(content: dict[str, Any], way: str, data: Any) -> None:
    original = parse(WRITERS[way](content))
    if not original.cells:
        return
    number = data.draw(st.integers(0, len(original.cells) - 1))
    written = edited(original, set_source(number, "edited"))
    kept = [cell.text for at, cell in enumerate(original.cells) if at != number]
    assert [cell.text for at, cell in enumerate(written.cells) if at != number] == kept
    assert written.frame == original.frame
    assert [cell.spacing for cell in written.cells] == [cell.spacing for cell in original.cells]
    assert parse(written.body).value == written.value if content["nbformat_minor"] > 4 else True


@pytest.mark.parametrize("way", sorted(WRITERS))
def test_an_edit_of_a_source_changes_only_its_lines(way: str) -> None:
    text = WRITERS[way](SMALL)
    written = edited(parse(text), set_source(1, "# Ünder\nanother text\nend")).body
    line = re.search(r'(\s*)"text"(?! ?:)', text)
    assert line is not None
    between = f",{line[1]}"
    assert written == text[: line.end() - 6] + f'"another text\\n"{between}"end"' + text[line.end() :]


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("1.0", "1.0"),
        ("-0.0", "-0.0"),
        ("1.50", "1.50"),
        ("1E400", "1E400"),
        (str(2**70), str(2**70)),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ('"\\ud800 alone"', '"\\ud800 alone"'),
        ('"\\u00e9\\/"', '"\\u00e9\\/"'),
        ("[1,2,   3]", "[1,2,   3]"),
        ('{"b":1, "a":{"\\udfff": 2}}', '{"b":1, "a":{"\\udfff": 2}}'),
    ],
)
def test_values_keep_their_text_within_a_cell_that_was_edited(number: str, kept: str) -> None:
    output = {"output_type": "display_data", "metadata": {}, "data": {"application/json": "HERE"}}
    text = as_nbformat(notebook(code(["old"], [output], surprise="HERE", metadata={"x": "HERE"})))
    text = text.replace('"HERE"', number)
    original = parse(text)
    doc = examples.built(examples.NOTEBOOK, original)
    assert render(original, examples.read(examples.NOTEBOOK, doc)) is original
    written = edited(original, set_source(0, "b")).body
    assert written == text.replace('"old"', '"b"')
    assert written.count(kept) == 3


def test_unknown_members_stay_at_every_level() -> None:
    content = {**notebook(code(["a"], [{**stream(["x"]), "more": 1}], extra=[1.0])), "zzz": {"q": 1.0}, "aaa": 2}
    text = as_nbformat(content)
    written = edited(parse(text), lambda cells, meta: (set_source(0, "b")(cells, meta), meta["metadata"].update(k=1.0)))
    expected = {**content, "metadata": {"k": 1}, "cells": [{**content["cells"][0], "source": ["b"]}]}
    assert written.body == as_nbformat(expected)


def test_windows_line_ends_in_a_source_come_back() -> None:
    text = as_nbformat(notebook(code(["one\r\n", "two\r\n", "three"])))
    original = parse(text)
    assert original.value.cells[0]["source"] == "one\ntwo\nthree"
    written = edited(original, set_source(0, "one\nnew\nthree")).body
    assert written == text.replace("two", "new")


def test_the_space_between_cells_stays_where_the_same_cells_meet() -> None:
    cells = [json.dumps({**code([name]), "id": name}) for name in "abcd"]
    spaces = ["[ ", " ,", ",\n\n", " , ", "\n]"]
    text = "".join(space + cell for space, cell in zip(spaces, [*cells, ""], strict=True))
    text = '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": ' + text + "}"
    written = edited(parse(text), set_source(0, "x"))
    assert written.body == text.replace('"a"', '"x"', 1)
    without = edited(parse(text), lambda cells, _: cells.pop(0))
    assert without.body == text.replace(f"[ {cells[0]} ,", "[ ")
    turned = edited(parse(text), lambda cells, _: cells.insert(0, cells.pop()))
    assert [cell["id"] for cell in json.loads(turned.body)["cells"]] == ["d", "a", "b", "c"]


def test_a_cell_of_an_unknown_type_keeps_it() -> None:
    text = as_nbformat(notebook(markdown(["a"]))).replace('"markdown"', '"heading"')
    original = parse(text)
    assert original.value.cells[0]["cell_type"] == "raw"
    assert edited(original, set_source(0, "b")).body == text.replace('"a"', '"b"')


# ------------------------------------------------------------------ what was edited

EDITS = st.one_of(
    st.tuples(st.just("source"), TEXTS),
    st.tuples(st.just("metadata"), PLAIN.metadata),
    st.tuples(st.just("insert"), PLAIN.cells),
    st.tuples(st.just("delete"), st.none()),
    st.tuples(st.just("move"), st.none()),
    st.tuples(st.just("outputs"), PLAIN.outputs),
    st.tuples(st.just("count"), st.none() | st.integers(1, 500)),
    st.tuples(st.just("frame"), PLAIN.json),
)


def changed(content: dict[str, Any], kind: str, value: Any, at: int, number: int) -> None:
    """Edit a notebook as nbformat has it."""
    cells = content["cells"]
    if kind == "frame":
        content["metadata"]["edited"] = value
    elif kind == "insert":
        cells.insert(at, {**value, "id": f"new-{number}"})
    elif cells:
        cell = cells[at % len(cells)]
        if kind == "delete":
            del cells[at % len(cells)]
        elif kind == "move":
            del cells[at % len(cells)]
            cells.insert(0, cell)
        elif kind in ("source", "metadata"):
            cell[kind] = value
        elif cell["cell_type"] == "code":
            cell["execution_count" if kind == "count" else "outputs"] = value


@settings(calm, max_examples=100)
@given(RICH.with_ids, st.lists(st.tuples(EDITS, st.integers(0, 5)), min_size=1, max_size=4))
def test_an_edited_notebook_is_what_nbformat_would_write(
    content: dict[str, Any], edits: list[tuple[tuple[str, Any], int]]
) -> None:
    original = parse(as_nbformat(content))
    if not original.cells:
        return
    after = copy.deepcopy(content)
    for number, ((kind, value), at) in enumerate(edits):
        changed(after, kind, value, at, number)
    wanted = as_nbformat(after)
    value = parse(wanted).value
    if after["cells"]:
        assert render(original, value).body == wanted
    else:
        assert render(original, replace(value, cells=[])).body == wanted


@calm
@given(RICH.notebooks, PLAIN.notebooks, st.sampled_from(sorted(WRITERS)))
def test_what_is_written_says_what_the_document_said(before: dict[str, Any], after: dict[str, Any], way: str) -> None:
    after = {**after, "nbformat_minor": 5}
    value = parse(as_nbformat(after)).value
    written = render(parse(WRITERS[way](before)), value)
    again = parse(written.body)
    assert [{**cell, "id": ""} for cell in again.value.cells] == [{**cell, "id": ""} for cell in value.cells]
    assert again.value.meta == value.meta
    assert render(written, value) is written


@pytest.mark.parametrize("way", sorted(WRITERS))
def test_a_new_cell_is_written_in_the_way_of_the_file(way: str) -> None:
    original = parse(WRITERS[way](SMALL))
    new = code("x = 'ß'\ny", [stream("1\n2\n")], id="new")
    written = edited(original, lambda cells, _: cells.insert(1, {**new, "execution_count": 4.0}))
    content = copy.deepcopy(SMALL)
    wanted = {**new, "source": ["x = 'ß'\n", "y"], "outputs": [stream(["1\n", "2\n"])], "execution_count": 4}
    order = list(content["cells"][0])
    content["cells"].insert(1, {key: wanted[key] for key in order})
    if way == "spaces all over":
        assert json.loads(written.body) == content
    else:
        assert written.body == WRITERS[way](content)


def test_a_string_stays_a_string_and_a_list_a_list() -> None:
    content = notebook(code("a\nb", [stream("1\n2\n")]), markdown(["c\n", "d"]))
    written = edited(
        parse(json.dumps(content)),
        lambda cells, _: (
            cells[0].update(source="a\nB"),
            cells[0]["outputs"][0].update(text="1\n3\n"),
            cells[1].update(source="c\nD"),
        ),
    )
    content["cells"][0].update(source="a\nB", outputs=[stream("1\n3\n")])
    content["cells"][1].update(source=["c\n", "D"])
    assert json.loads(written.body) == content


def test_keys_are_sorted_only_where_the_file_sorts_them() -> None:
    content = notebook(
        {"source": ["a"], "cell_type": "code", "outputs": [], "metadata": {"z": 1}, "execution_count": 1}
    )
    written = edited(parse(json.dumps(content, indent=1)), lambda cells, _: cells[0]["metadata"].update(b=1.0))
    assert list(json.loads(written.body)["cells"][0]["metadata"]) == ["z", "b"]
    ordered = edited(parse(as_nbformat(content)), lambda cells, _: cells[0]["metadata"].update(b=1.0))
    assert list(json.loads(ordered.body)["cells"][0]["metadata"]) == ["b", "z"]


def test_what_json_lacks_is_written_as_null() -> None:
    written = edited(parse(as_nbformat(SMALL)), lambda cells, _: cells[2]["metadata"].update(a=float("nan"), b=1e300))
    assert json.loads(written.body)["cells"][2]["metadata"] == {"a": None, "b": 1e300}


# ------------------------------------------------------------------ ids


def test_notebooks_older_than_ids_get_none() -> None:
    content = notebook(code(["a"]), code(["a"]), markdown(["b"]), minor=4)
    original = parse(as_nbformat(content))
    ids = [cell["id"] for cell in original.value.cells]
    assert len(set(ids)) == 3
    assert ids == [cell["id"] for cell in parse(as_nbformat(content)).value.cells]
    new = {**code("new"), "id": "given"}
    written = edited(original, lambda cells, _: (cells[1].update(source="c"), cells.append(new)))
    content["cells"][1]["source"] = ["c"]
    content["cells"].append(code(["new"]))
    assert written.body == as_nbformat(content)


def test_a_missing_id_is_written_when_its_cell_is_edited() -> None:
    content = {**notebook(code(["a"]), code(["b"]), minor=4), "nbformat_minor": 5}
    original = parse(as_nbformat(content))
    written = edited(original, set_source(1, "c"))
    content["cells"][1].update(source=["c"], id=original.value.cells[1]["id"])
    assert written.body == as_nbformat(content)


def test_a_doubled_id_stays_until_its_cell_is_edited() -> None:
    content = notebook(code(["a"], id="same"), code(["b"], id="same"), code(["c"], id="same"))
    original = parse(as_nbformat(content))
    ids = [cell["id"] for cell in original.value.cells]
    assert ids[0] == "same"
    assert len(set(ids)) == 3
    written = edited(original, set_source(2, "d"))
    content["cells"][2].update(source=["d"], id=ids[2])
    assert written.body == as_nbformat(content)
    assert parse(written.body).value.cells[2]["id"] == ids[2]


@pytest.mark.parametrize("minor", [4, 5])
def test_cells_keep_their_text_where_only_the_document_has_ids(minor: int) -> None:
    content = {**notebook(code(["a = 1"]), code(["b = 2"]), minor=4), "nbformat_minor": minor}
    text = dumped(indent=3)(content)
    original = parse(text)
    cells = [{**cell, "id": f"other-{at}"} for at, cell in enumerate(original.value.cells)]
    assert render(original, replace(original.value, cells=cells)) is original


# ------------------------------------------------------------------ the frame


def test_a_notebook_without_cells_stays_so_until_somebody_writes_into_it() -> None:
    text = as_nbformat(notebook())
    original = parse(text)
    (cell,) = original.value.cells
    assert cell["cell_type"] == "code"
    assert parse(text).value.cells[0]["id"] == cell["id"]
    assert render(original, copy.deepcopy(original.value)) is original
    wanted = notebook({**code(["1"]), "id": cell["id"]})
    assert edited(original, set_source(0, "1")).body == as_nbformat(wanted)
    named = edited(original, lambda _, meta: meta["metadata"].update(name="x"))
    assert named.body == as_nbformat(notebook(name="x"))


def test_all_cells_may_go_and_come_back() -> None:
    text = as_nbformat(SMALL)
    original = parse(text)
    emptied = render(original, replace(original.value, cells=[]))
    assert emptied.body == as_nbformat({**SMALL, "cells": []})
    assert render(emptied, original.value).body == text


def test_the_defaults_of_front_ends_are_in_the_document_but_not_in_the_file() -> None:
    text = as_nbformat(notebook(code(["a"])))
    original = parse(text)
    assert original.value.meta["metadata"] == {
        "kernelspec": {"name": "", "display_name": ""},
        "language_info": {"name": ""},
    }
    assert edited(original, set_source(0, "b")).body == text.replace('"a"', '"b"')
    kernel = {"name": "python3", "display_name": "Python 3"}
    named = edited(original, lambda _, meta: meta["metadata"].update(kernelspec=kernel))
    assert named.body == as_nbformat(notebook(code(["a"]), kernelspec=kernel))


def test_trust_is_not_part_of_what_is_read_or_written() -> None:
    text = as_nbformat(SMALL).replace('"metadata": {}', '"metadata": {"trusted": true}')
    original = parse(text, trusted=True)
    assert all("trusted" not in cell["metadata"] for cell in original.value.cells)
    assert original.body == text
    written = edited(original, lambda cells, _: cells[0]["metadata"].update(a=1.0))
    assert "trusted" not in json.loads(written.body)["cells"][0]["metadata"]


# ------------------------------------------------------------------ bodies that are no text, or no notebook


@calm
@given(RICH.notebooks)
def test_a_notebook_may_come_and_go_as_a_dict(content: dict[str, Any]) -> None:
    given_body = copy.deepcopy(content)
    original = parse(given_body)
    assert original.body is given_body
    assert render(original, copy.deepcopy(original.value)) is original
    if not original.cells:
        return
    written = edited(original, set_source(0, "one\ntwo"))
    content["cells"][0]["source"] = "one\ntwo"
    assert written.body == content
    assert json.dumps(written.body) == json.dumps(content)  # 1.0 is not 1, and keys keep their order


def test_a_notebook_of_an_old_format_is_converted() -> None:
    text = nbformat.v3.writes_json(
        nbformat.v3.new_notebook(
            worksheets=[
                nbformat.v3.new_worksheet(
                    cells=[nbformat.v3.new_code_cell(input="a = 1"), nbformat.v3.new_text_cell("markdown", source="hi")]
                )
            ]
        )
    )
    original = parse(text)
    assert [cell["source"] for cell in original.value.cells] == ["a = 1", "hi"]
    assert original.body == text
    assert render(original, copy.deepcopy(original.value)) is original
    assert [cell["id"] for cell in parse(text).value.cells] == [cell["id"] for cell in original.value.cells]
    written = edited(original, set_source(0, "a = 2"))
    nbformat.validate(json.loads(written.body))
    assert json.loads(written.body)["cells"][0]["source"] == ["a = 2"]


BROKEN = {
    "white space": " \n",
    "not JSON": "print('hello')",
    "a list": "[]",
    "a number": "4",
    "half a notebook": as_nbformat(SMALL)[:400],
    "too much": as_nbformat(SMALL) + "}",
    "merge markers": as_nbformat(SMALL).replace(' "nbformat":', '<<<<<<< HEAD\n "nbformat":'),
    "no cells": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "cells are no list": '{"cells": {}, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "cells twice": '{"cells": [], "cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "no version": '{"cells": [], "metadata": {}}',
    "a version that is no number": '{"cells": [], "metadata": {}, "nbformat": "4", "nbformat_minor": []}',
    "an endless version": '{"cells": [], "metadata": {}, "nbformat": 1e999}',
    "a version to come": '{"cells": [], "metadata": {}, "nbformat": 5, "nbformat_minor": 0}',
    "an old one without worksheets": '{"nbformat": 3, "nbformat_minor": 0}',
    "a comma too much": '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5,}',
    "a comma too few": '{"cells": [] "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "a bare key": '{"cells": [], 1: 2, "nbformat": 4, "nbformat_minor": 5}',
    "too deep": '{"cells": [], "metadata": ' + "[" * 100_000 + "]" * 100_000 + ', "nbformat": 4}',
    "metadata too deep to walk through": as_nbformat(SMALL).replace('"python"', "[" * 600 + "]" * 600),
    "a cell too deep to walk through": as_nbformat(SMALL).replace('"math.pi"', "[" * 201 + "]" * 201),
    "a dict that is no JSON": {**SMALL, "metadata": {"x": object()}},
    "a dict without cells": {"nbformat": 4},
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_what_cannot_be_a_notebook_is_refused(body: Any) -> None:
    with pytest.raises(ContentError):
        parse(body)


@settings(calm, max_examples=300)
@given(st.integers(0, 2000), st.integers(0, 40), st.text(st.sampled_from('{}[]",:\\01aé\0'), max_size=6))
def test_a_damaged_file_is_refused_or_read_never_a_crash(start: int, length: int, rubbish: str) -> None:
    text = as_nbformat(SMALL)
    damaged = text[:start] + rubbish + text[start + length :]
    try:
        original = parse(damaged)
    except ContentError:
        return
    assert original.body == damaged
    assert render(original, copy.deepcopy(original.value)) is original
    json.loads(edited(original, set_source(0, "x")).body)


# ------------------------------------------------------------------ time


def test_a_big_notebook_takes_little_more_than_its_decoding() -> None:
    cells = [code([f"print({n})"], [stream([f"line {n} {k}\n" for k in range(200)])]) for n in range(600)]
    text = as_nbformat(notebook(*cells))
    decoding = min(timed(lambda: json.loads(text)) for _ in range(3))
    original = parse(text)
    assert min(timed(lambda: parse(text)) for _ in range(3)) < 6 * decoding
    assert min(timed(lambda: render(original, original.value)) for _ in range(3)) < 3 * decoding


def timed(act: Callable[[], object]) -> float:
    """Return the processor time that a call takes, in seconds."""
    start = time.process_time()
    act()
    return time.process_time() - start
