"""Where both sides changed the same: found wherever it is so, and nowhere else; written down once, within bounds."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Map, Text

from jupyter_rtc.documents.formats.texts import edit_text
from jupyter_rtc.documents.merging.conflicts import (
    MOST,
    Conflict,
    Merge,
    Note,
    forget,
    merged,
    place_of,
    recorded,
    records,
    write,
)
from jupyter_rtc.documents.merging.merge import edits, outside

from .examples import NOTEBOOK, PLAIN, TEXT, Doc, as_nbformat, built, calm, code, copied, markdown, notebook, stream

NOTE = Note("text:file:1", "2026-11-25T12:00:00+00:00", ["ada"], "")
BASE = notebook(
    code("one\ntwo\nthree\n", metadata={"tags": ["a"]}), markdown("text\n"), code("end\n", [stream("0\n")]), title="old"
)


# ------------------------------------------------------------------ texts


def in_text(base: str, typed: str, after: str) -> tuple[Merge, str]:
    """Merge an outside edit of a text into one that was edited; return that, and what the text says then."""
    doc = built(TEXT, TEXT.parse(base))
    state = doc.get_update()
    doc.apply_update(outside(state, TEXT, TEXT.parse(typed)))
    merge = merged(state, TEXT, TEXT.parse(after), doc.get_update())
    doc.apply_update(merge.update)
    return merge, str(doc.get("source", type=Text))


@pytest.mark.parametrize(
    ("base", "typed", "after", "lines", "texts"),
    [
        ("line\n", "line ada\n", "line outside\n", (1, 1), None),
        (
            "1\n2\n3\n4\n",
            "1\n2 ada\n3\n4\n",
            "1\n2\n3 outside\n4\n",
            (2, 3),
            ("2\n3\n", "2 ada\n3\n", "2\n3 outside\n"),
        ),
        ("1\n2\n", "1\nada\n2\n", "1\noutside\n2\n", (2, 3), ("", "ada\n", "outside\n")),
        ("1\n2\n", "1\n2\nada\n", "1\n2\noutside\n", (3, 4), ("", "ada\n", "outside\n")),
        ("1\n2\n3\n", "1\n3\n", "1\ntwo\n3\n", (2, 2), ("2\n", "", "two\n")),
        ("1\n2\n3\n", "1\n2 ada\n3\n", "1\n3\n", (2, 2), ("2\n", "2 ada\n", "")),
        ("1\n2\n3\n", "new\n1\n2\n3 ada\n", "1\n2\n3 outside\n", (4, 4), ("3\n", "3 ada\n", "3 outside\n")),
        ("1\n2\n3\n", "1\n2\n3 ada\n", "new\n1\n2\n3 outside\n", (4, 4), ("3\n", "3 ada\n", "3 outside\n")),
    ],
)
def test_lines_that_both_changed(
    base: str, typed: str, after: str, lines: tuple[int, int], texts: tuple[str, str, str] | None
) -> None:
    merge, now = in_text(base, typed, after)
    (found,) = merge.conflicts
    assert (found.part, found.cell, found.lines) == ("source", None, lines)
    assert found.texts == (texts or (base, typed, after))
    shown = "".join(now.splitlines(keepends=True)[lines[0] - 1 : lines[1]])
    assert ("ada" in shown) == ("ada" in typed)
    assert ("outside" in shown) == ("outside" in after)


@pytest.mark.parametrize(
    ("base", "typed", "after"),
    [
        ("1\n2\n3\n", "1 ada\n2\n3\n", "1\n2\n3 outside\n"),
        ("1\n2\n3\n", "1\n2\n3\n", "new\n1\n2\n"),
        ("1\n2\n3\n", "1\nboth\n2\n3\n", "1\nboth\n2\n3\n4\n"),
        ("1\n2\n3\n", "1\n3\n", "1\n3\n"),
        ("1\n2\n3\n", "ada\n1\n2\n3\n", "1\n2\n3\noutside\n"),
    ],
)
def test_lines_that_only_one_changed_or_both_alike(base: str, typed: str, after: str) -> None:
    merge, _ = in_text(base, typed, after)
    assert merge.conflicts == []


LINES = st.lists(st.sampled_from(["keep", "keep", "keep", "change", "drop", "add"]), min_size=10, max_size=10)


def changed(changes: list[str], who: str) -> str:
    """Return ten lines after changes to them; each line stands once, so that there is one way to read them."""
    said = {"keep": "{n}\n", "change": "{n} {who}\n", "drop": "", "add": "{n}\nnew {n} {who}\n"}
    return "".join(said[change].format(n=number, who=who) for number, change in enumerate(changes))


@calm
@given(LINES, LINES, st.booleans())
def test_it_is_a_conflict_where_it_is_one_for_git(
    tmp_path_factory: pytest.TempPathFactory, mine: list[str], theirs: list[str], alike: bool
) -> None:
    base, typed, after = changed(["keep"] * 10, ""), changed(mine, "a"), changed(theirs, "a" if alike else "b")
    merge, _ = in_text(base, typed, after)
    assert bool(merge.conflicts) == conflicts_for_git(tmp_path_factory.mktemp("git"), typed, base, after)


def conflicts_for_git(folder: Path, *texts: str) -> bool:
    """Say whether git cannot merge three texts: mine, the base, and theirs."""
    names = ("mine", "base", "theirs")
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_text(text)
    return subprocess.run(["git", "merge-file", "-p", *names], cwd=folder, capture_output=True).returncode != 0


# ------------------------------------------------------------------ notebooks


def in_notebook(change: Any, after: dict[str, Any], base: dict[str, Any] = BASE) -> tuple[list[Conflict], Doc]:
    """Merge an outside edit of a notebook into one that `change` edits; return the conflicts, and the document."""
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(base)))
    state = doc.get_update()
    change(doc.get("cells", type=Array), doc.get("meta", type=Map)["metadata"])
    merge = merged(state, NOTEBOOK, NOTEBOOK.parse(as_nbformat(after)), doc.get_update())
    doc.apply_update(merge.update)
    return merge.conflicts, doc


def append(cell: Any, text: str) -> None:
    """Type at the end of a cell."""
    source = cell["source"]
    source += text


def other(at: int, **parts: Any) -> dict[str, Any]:
    """Return the notebook with one cell changed."""
    after = copy.deepcopy(BASE)
    after["cells"][at].update(parts)
    return after


def test_lines_of_a_cell() -> None:
    def typed(cells: Any, _: Any) -> None:
        cells[0]["source"].insert(0, "# ada\n")
        append(cells[0], "# ada\n")

    ((part, cell, lines, texts),), doc = in_notebook(typed, other(0, source="one\ntwo\nthree\n# outside\n"))
    assert (part, cell, texts) == ("source", "cell-0", ("", "# ada\n", "# outside\n"))
    assert lines == (5, 6)
    assert "".join(str(doc.get("cells", type=Array)[0]["source"]).splitlines(keepends=True)[4:6]).count("#") == 2


def test_other_cells_and_other_parts_of_a_cell_are_no_conflict() -> None:
    def typed(cells: Any, metadata: Any) -> None:
        append(cells[0], "# ada\n")
        cells[2]["metadata"]["mine"] = 1.0
        cells[0]["execution_count"] = 1.0
        cells.insert(1, Map({**code("new", id="new"), "source": Text("new"), "metadata": Map(), "outputs": Array()}))
        metadata["language_info"] = {"name": "python"}
        metadata["mine"] = True

    after = other(1, source="outside\n")
    after["cells"][2].update(outputs=[stream("1\n")], metadata={"theirs": 2})
    after["cells"][0].update(execution_count=2)
    after["cells"].insert(1, code("new too", id="new-too"))
    after["metadata"].update(language_info={"name": "julia"}, theirs=True)
    assert in_notebook(typed, after)[0] == []


def test_metadata_and_outputs() -> None:
    def typed(cells: Any, metadata: Any) -> None:
        cells[0]["metadata"]["tags"] = ["ada"]
        cells[2]["outputs"].append(Map({**stream("", "stderr"), "text": Text("ada\n")}))
        metadata["title"] = "ada"

    after = other(0, metadata={"tags": ["outside"]})
    after["cells"][2]["outputs"] = [stream("1\n")]
    after["metadata"]["title"] = "outside"
    (title, tags, outputs), _ = in_notebook(typed, after)
    assert title == Conflict("metadata.title", None, None, ("old", "ada", "outside"))
    assert tags == Conflict("metadata.tags", "cell-0", None, ('["a"]', '["ada"]', '["outside"]'))
    assert (outputs.part, outputs.cell) == ("outputs", "cell-2")
    assert [len(json.loads(text or "")) for text in outputs.texts] == [1, 2, 1]


@pytest.mark.parametrize("fate", ["deleted here", "deleted outside"])
def test_a_cell_that_one_side_deleted_and_the_other_changed(fate: str) -> None:
    def typed(cells: Any, _: Any) -> None:
        if fate == "deleted here":
            del cells[1]
        else:
            append(cells[1], "ada\n")

    after = other(1, source="text\noutside\n")
    if fate == "deleted outside":
        del after["cells"][1]
    (found,), doc = in_notebook(typed, after)
    here = fate == "deleted here"
    texts = ("text\n", None if here else "text\nada\n", "text\noutside\n" if here else None)
    assert found == Conflict("cell", "cell-1", None, texts)
    assert "cell-1" in [cell["id"] for cell in doc.get("cells", type=Array)]


def test_a_cell_whose_id_a_tool_made_anew() -> None:
    def typed(cells: Any, _: Any) -> None:
        append(cells[1], "ada\n")

    (found,), doc = in_notebook(typed, other(1, source="text\noutside\n", id="other"))
    assert (found.cell, found.lines) == ("other", (2, 3))
    assert doc.get("cells", type=Array)[1]["id"] == "other"


def test_a_cell_both_deleted_and_one_nobody_touched() -> None:
    def typed(cells: Any, _: Any) -> None:
        del cells[1]

    after = other(0)
    del after["cells"][1]
    assert in_notebook(typed, after)[0] == []


@calm
@given(PLAIN.notebooks, PLAIN.notebooks)
def test_there_is_none_where_one_side_changed_nothing(before: dict[str, Any], after: dict[str, Any]) -> None:
    original, changed = NOTEBOOK.parse(as_nbformat(before)), NOTEBOOK.parse(as_nbformat(after))
    doc = built(NOTEBOOK, original)
    state = doc.get_update()
    assert merged(state, NOTEBOOK, changed, state).conflicts == []
    doc.apply_update(edits(copied(doc), NOTEBOOK, changed))
    assert merged(state, NOTEBOOK, original, doc.get_update()).conflicts == []


SPOTS = st.sets(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=6)


@calm
@given(SPOTS, SPOTS)
def test_lines_that_touch_are_one_place_and_others_are_none(mine: set[Any], theirs: set[Any]) -> None:
    """Three cells of ten lines: each side adds a word to some of them, and both words of a conflict are in a record."""
    lines = [[f"{cell} {line}" for line in range(10)] for cell in range(3)]

    def said(spots: set[Any], word: str) -> list[str]:
        return [
            "".join(f"{line}{f' {word}{at}' if (cell, at) in spots else ''}\n" for at, line in enumerate(lines[cell]))
            for cell in range(3)
        ]

    def typed(cells: Any, _: Any) -> None:
        for cell, source in zip(cells, said(mine, "mine"), strict=True):
            edit_text(cell["source"], source)

    base, after = (notebook(*map(code, said(spots, "theirs"))) for spots in (set(), theirs))
    found, _ = in_notebook(typed, after, base)
    touching = {(one, two) for one in mine for two in theirs if one[0] == two[0] and abs(one[1] - two[1]) < 2}
    assert {place.cell for place in found} == {f"cell-{cell}" for (cell, _), _ in touching}
    shown = {place.cell: "".join(str(one.texts) for one in found if one.cell == place.cell) for place in found}
    assert all(f"mine{at} " in shown[f"cell-{cell}"].replace("\\n", " ") for (cell, at), _ in touching)
    assert all(f"theirs{at} " in shown[f"cell-{cell}"].replace("\\n", " ") for _, (cell, at) in touching)


def test_a_document_that_is_no_notebook_is_merged_nevertheless() -> None:
    """Whatever a client put where a notebook has cells, metadata or ids."""

    def typed(cells: Any, metadata: Any) -> None:
        cells[0]["metadata"] = [1.0]
        cells[1]["source"] = 5.0
        cells[2]["id"] = {"no": "id"}
        cells.append("no cell")
        metadata["title"] = [None]

    after = other(0, source="outside", metadata={"tags": 1})
    after["cells"][1]["source"] = "outside"
    after["cells"][2]["source"] = "outside"
    after["metadata"]["title"] = "outside"
    found, _ = in_notebook(typed, after)
    assert {one.part for one in found} >= {"metadata.title", "source"}


# ------------------------------------------------------------------ records


def conflicts(number: int, text: str = "text") -> list[Conflict]:
    """Return so many conflicts."""
    return [Conflict("source", None, (at + 1, at + 1), ("", text, f"other {at}")) for at in range(number)]


def test_a_record_says_all_and_the_same_is_written_once() -> None:
    doc: Doc = pycrdt.Doc()
    peer = copied(doc)
    for time in ("2026-11-25T12:00:00+00:00", "2026-11-25T13:00:00+00:00"):
        peer.apply_update(write(doc, records(conflicts(1), NOTE._replace(time=time))))
    assert list(recorded(peer).values()) == [
        {
            "time": "2026-11-25T13:00:00+00:00",
            "typed_by": ["ada"],
            "outside_by": "",
            "part": "source",
            "cell": None,
            "lines": [1, 1],
            "base": "",
            "typed": "text",
            "outside": "other 0",
        }
    ]
    forget(peer, [*recorded(peer), "none"])
    assert recorded(peer) == {}


def test_a_merge_adds_a_bounded_number_and_long_texts_are_cut() -> None:
    base = "".join(f"{number}\nkept {number}\n" for number in range(3 * MOST))
    typed, after = base.replace("\nkept", " ada\nkept"), base.replace("\nkept", f" {'x' * 5000}\nkept")
    merge, _ = in_text(base, typed, after)
    assert len(merge.conflicts) == MOST
    for found in merge.conflicts:
        assert [len(text or "") < 2001 for text in found.texts] == [True, True, True]
        assert (found.texts[2] or "").endswith("x…")
    made = records(merge.conflicts, NOTE)
    assert len(made) == MOST


def test_what_clients_write_in_place_of_records_does_no_harm() -> None:
    doc: Doc = pycrdt.Doc()
    state: Map[Any] = doc.get("state", type=Map)
    state["conflict none"] = "no id"
    state["conflict " + "0" * 32] = "no record"
    state["conflict " + "1" * 32] = {"time": 1.0, "lines": ["a", None], "typed_by": [3.0, "ada"], "cell": True}
    state["conflict " + "2" * 32] = Map({"time": "a shared map"})
    state["conflict " + "3" * 32] = {"lines": [float("nan"), 1e300]}
    found = recorded(doc)
    assert list(found) == ["1" * 32, "3" * 32]
    assert found["1" * 32]["typed_by"] == ["ada"]
    assert [one["lines"] for one in found.values()] == [None, None]
    assert all(isinstance(place_of(one), str) for one in found.values())


@pytest.mark.parametrize(
    ("conflict", "place"),
    [
        (Conflict("source", None, (3, 3), ("", "", "")), "line 3"),
        (Conflict("source", "a", (3, 5), ("", "", "")), "cell a, lines 3 to 5"),
        (Conflict("cell", "a", None, ("", None, "")), "cell a"),
        (Conflict("cell", None, None, ("", None, "")), "cell"),
        (Conflict("metadata.title", None, None, ("", "", "")), "metadata.title"),
        (Conflict("outputs", "a", None, ("", "", "")), "cell a, outputs"),
    ],
)
def test_where_it_is_in_words(conflict: Conflict, place: str) -> None:
    (record,) = records([conflict], NOTE).values()
    assert place_of(record) == place
