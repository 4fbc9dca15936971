"""Whatever is in a file, and whatever is done to it on both sides: each word that was put in stands there once."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Map, Text

from jupyter_rtc.documents.merging.merge import outside

from .examples import NOTEBOOK, PLAIN, TEXT, Doc, as_nbformat, built, calm, code, notebook, read, stream

WORD = re.compile(r"(?:in|out)side\d+x")
PLACES = st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(1, 9))
TEXTS = st.text(st.sampled_from('ab \n\t"\\é€😀e\u0301(,)'), max_size=40)
EDITS = st.lists(st.tuples(st.sampled_from(["type", "type", "erase"]), PLACES), max_size=8)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["type", "type", "erase", "insert", "delete", "output", "move", "id"]), PLACES),
    max_size=8,
)


def typed(text: str, at: int, word: str) -> tuple[int, str]:
    """Return where to type a word, and a text with it: not within another word of ours."""
    taken = {place for found in WORD.finditer(text) for place in range(found.start() + 1, found.end())}
    free = [place for place in range(len(text) + 1) if place not in taken]
    place = free[at % len(free)]
    return place, text[:place] + word + text[place:]


def erased(text: str, at: int, length: int) -> tuple[int, int]:
    """Return a stretch of a text that holds nothing of a word of ours."""
    taken = {place for found in WORD.finditer(text) for place in range(found.start(), found.end())}
    start = at % (len(text) + 1)
    stop = start
    while stop < min(len(text), start + length) and stop not in taken:
        stop += 1
    return start, stop


def edit_live(text: Text, kind: str, at: int, length: int, word: str) -> None:
    """Edit a shared text; pycrdt counts bytes of UTF-8."""
    said = str(text)
    if kind == "type":
        text.insert(len(said[: typed(said, at, word)[0]].encode()), word)
    else:
        start, stop = (len(said[:place].encode()) for place in erased(said, at, length))
        del text[start:stop]


def edit_outside(said: str, kind: str, at: int, length: int, word: str) -> str:
    """Edit a text as a program does."""
    if kind == "type":
        return typed(said, at, word)[1]
    start, stop = erased(said, at, length)
    return said[:start] + said[stop:]


@settings(calm, max_examples=200)
@given(TEXTS, EDITS, EDITS)
def test_in_a_text(before: str, mine: Any, theirs: Any) -> None:
    doc = built(TEXT, TEXT.parse(before))
    base, live, after = doc.get_update(), doc.get("source", type=Text), read(TEXT, doc)
    words: Counter[str] = Counter()
    for number, (kind, (at, _, length)) in enumerate(mine):
        edit_live(live, kind, at, length, f"inside{number}x")
        words[f"inside{number}x"] += kind == "type"
    for number, (kind, (at, _, length)) in enumerate(theirs):
        after = edit_outside(after, kind, at, length, f"outside{number}x")
        words[f"outside{number}x"] += kind == "type"
    doc.apply_update(outside(base, TEXT, TEXT.parse(after), doc.get_update()))
    assert Counter(WORD.findall(read(TEXT, doc))) == +words


@pytest.mark.slow
@settings(calm, max_examples=300)
@given(PLAIN.notebooks, CHANGES, CHANGES)
def test_in_a_notebook(before: dict[str, Any], mine: Any, theirs: Any) -> None:
    original = NOTEBOOK.parse(as_nbformat(before))
    doc = built(NOTEBOOK, original)
    base = doc.get_update()
    words: Counter[str] = Counter()
    for number, (kind, places) in enumerate(mine):
        words[f"inside{number}x"] += change_live(doc, kind, places, f"inside{number}x")
    after = copy.deepcopy(before)
    for number, (kind, places) in enumerate(theirs):
        words[f"outside{number}x"] += change_outside(after, kind, places, f"outside{number}x")
    outer = NOTEBOOK.parse(as_nbformat(after))
    doc.apply_update(outside(base, NOTEBOOK, outer, doc.get_update()))
    value = read(NOTEBOOK, doc)
    written = json.loads(NOTEBOOK.render(outer, value).body)
    nbformat.validate(written)
    shown = " ".join(json.dumps([cell["source"], cell.get("outputs")]) for cell in written["cells"])
    assert Counter(WORD.findall(shown)) == +words
    assert len({cell["id"] for cell in value.cells}) == len(value.cells)


def change_live(doc: Doc, kind: str, places: tuple[int, int, int], word: str) -> int:
    """Change a shared notebook, as people do; return how often the word was put in."""
    which, at, length = places
    cells: Array[Any] = doc.get("cells", type=Array)
    if kind == "insert" or (kind == "type" and not len(cells)):
        new = Map({**code(), "id": word, "source": Text(word), "metadata": Map(), "outputs": Array()})
        cells.insert(which % (len(cells) + 1), new)
        return 1
    if not len(cells):
        return 0
    cell = cells[which % len(cells)]
    if kind in ("type", "erase"):
        edit_live(cell["source"], kind, at, length, word)
        return kind == "type"
    if kind == "output" and cell["cell_type"] == "code":
        cell["outputs"].append(Map({**stream("", "stderr"), "text": Text(word)}))
        return 1
    if kind == "delete" and not WORD.search(str(cell)):
        del cells[which % len(cells)]
    return 0


def change_outside(content: dict[str, Any], kind: str, places: tuple[int, int, int], word: str) -> int:
    """Change a notebook, as programs do; return how often the word was put in."""
    which, at, length = places
    cells, with_ids = content["cells"], content["nbformat_minor"] >= 5
    if kind == "insert" or (kind == "type" and not cells):
        cells.insert(which % (len(cells) + 1), code(word, **({"id": word} if with_ids else {})))
        return 1
    if not cells:
        return 0
    cell = cells[which % len(cells)]
    if kind in ("type", "erase"):
        cell["source"] = edit_outside(cell["source"], kind, at, length, word)
        return kind == "type"
    if kind == "output" and cell["cell_type"] == "code":
        cell["outputs"].append(stream(word, "stderr"))
        return 1
    if kind == "delete" and not WORD.search(json.dumps(cell)):
        cells.remove(cell)
    elif kind == "move":
        cells.insert(0, cells.pop(which % len(cells)))
    elif kind == "id" and with_ids:
        cell["id"] = f"{word}-other"
    return 0


GROWTH = st.lists(st.tuples(st.sampled_from(["type", "type", "type", "insert", "move"]), PLACES), max_size=8)
TYPING = st.lists(st.tuples(st.sampled_from(["type", "type", "insert"]), PLACES), max_size=8)


@settings(calm, max_examples=300)
@given(st.integers(1, 4), TYPING, GROWTH)
def test_what_nobody_took_away_stands_once_in_a_notebook_without_ids(count: int, mine: Any, theirs: Any) -> None:
    words = Counter(f"inside{number}x" for number in range(100, 100 + count))
    before = {**notebook(*(code(f"{word}\n") for word in words), minor=4)}
    doc = built(NOTEBOOK, NOTEBOOK.parse(as_nbformat(before)))
    base = doc.get_update()
    for number, (kind, places) in enumerate(mine):
        words[f"inside{number}x"] += change_live(doc, kind, places, f"inside{number}x")
    after = copy.deepcopy(before)
    for number, (kind, places) in enumerate(theirs):
        words[f"outside{number}x"] += change_outside(after, kind, places, f"outside{number}x")
    doc.apply_update(outside(base, NOTEBOOK, NOTEBOOK.parse(as_nbformat(after)), doc.get_update()))
    shown = " ".join(json.dumps(cell["source"]) for cell in read(NOTEBOOK, doc).cells)
    assert Counter(WORD.findall(shown)) == words
