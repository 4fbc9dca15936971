"""Whether a file was written from what is stored, or from what was saved before: told by the words in it."""

from __future__ import annotations

import random
from itertools import groupby

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jupyter_rtc.documents.formats.content import Value
from jupyter_rtc.documents.merging.likeness import is_later

from .examples import NOTEBOOK, TEXT, as_nbformat, calm, code, notebook

SAVED = ["one two three", "", "four five", "six"]


def made(lines: list[str], kind: str) -> Value:
    """Return a text with these lines, or a notebook with a cell for each; in the older one, cells have no ids."""
    if kind == "file":
        return TEXT.parse("\n".join(lines)).value
    if kind == "notebook":
        cells = [code(line, id=f"cell-{at}") for at, line in enumerate(lines)]
        return NOTEBOOK.parse(as_nbformat(notebook(*cells))).value
    return NOTEBOOK.parse(as_nbformat(notebook(*map(code, lines), minor=4))).value


def typed(lines: list[str], count: int, name: str, rng: random.Random) -> list[str]:
    """Return the lines with so many new words in them."""
    lines = list(lines)
    for number in range(count):
        at = rng.randrange(len(lines))
        words = lines[at].split()
        words.insert(rng.randint(0, len(words)), f"{name}{number:02}")
        lines[at] = " ".join(words)
    return lines


def without(lines: list[str], words: set[str]) -> list[str]:
    """Return the lines without some words."""
    return [" ".join(word for word in line.split() if word not in words) for line in lines]


def left_alone(lines: list[str], gone: set[str]) -> bool:
    """Say whether words were typed somewhere of which none is gone, side by side."""
    runs = [set(run) for line in lines for new, run in groupby(line.split(), lambda word: "stored" in word) if new]
    return any(run.isdisjoint(gone) for run in runs)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9), st.randoms())
@calm
def test_what_was_typed_since_tells(count: int, more: int, deleted: int, rng: random.Random) -> None:
    stored = typed(SAVED, count, "stored", rng)
    gone = {f"stored{number:02}" for number in rng.sample(range(count), min(deleted, (3 * count - 1) // 4))} | {"two"}
    assume(left_alone(stored, gone) or len(gone) - 1 < count / 2)
    later = typed(without(stored, gone), more, "later", rng)
    other = typed(without(SAVED, {"two"}), more, "other", rng)
    for kind in ("file", "notebook"):
        saved, now = made(SAVED, kind), made(stored, kind)
        assert is_later(saved, now, made(later, kind))
        assert not is_later(saved, now, made(other, kind))


@pytest.mark.parametrize("kind", ["file", "notebook", "old notebook"])
def test_words_count_where_they_stand(kind: str) -> None:
    """That somebody else wrote the same words elsewhere says nothing: they are in every program."""
    stored = [*SAVED, "x = 1"]
    assert is_later(made(SAVED, kind), made(stored, kind), made([*stored, "x = 2"], kind))
    assert not is_later(made(SAVED, kind), made(stored, kind), made(["y = 1", "x = y", *SAVED], kind))


@pytest.mark.parametrize("kind", ["file", "notebook", "old notebook"])
def test_much_of_it_may_have_been_deleted_since(kind: str) -> None:
    """With what was typed around it; what is left need not stand on a line of its own any more."""
    stored = ["<w1>", "one two three", "<w2>", "<w3>", "four five <w4>", "six <w5>"]
    later = ["<w6> <w1>", "one <w7> two three", "<w8>", "four five", "<w9> six <wa> <w5>"]
    assert is_later(made(SAVED, kind), made(stored, kind), made(later, kind))


@pytest.mark.parametrize("kind", ["file", "notebook", "old notebook"])
def test_a_part_of_a_line_may_be_anybodys(kind: str) -> None:
    for mine, theirs in (
        ("import os", "import sys"),
        ("import numpy as np", "import pandas as pd"),
        ("x = f(1)", "y = f(2)"),
    ):
        assert not is_later(made(SAVED, kind), made([*SAVED, mine], kind), made([*SAVED, theirs], kind))
    long = "many words that somebody typed"
    assert is_later(made(SAVED, kind), made([*SAVED, long], kind), made([*SAVED, long.replace("typed", "wrote")], kind))


@pytest.mark.parametrize("kind", ["file", "notebook", "old notebook"])
def test_one_of_two_words_that_were_typed_at_different_places_tells(kind: str) -> None:
    stored = ["<a14> one two three", "", "four five", "six <b13>"]
    assert is_later(made(SAVED, kind), made(stored, kind), made(["<a14> one two three", "", "five", "six <c1>"], kind))
    assert not is_later(made(SAVED, kind), made(stored, kind), made(["one two three", "", "five", "six <c1>"], kind))


@pytest.mark.parametrize("kind", ["file", "notebook", "old notebook"])
def test_a_word_that_is_half_typed_may_be_written_on(kind: str) -> None:
    stored = ["one two three", "", "four five compu", "six"]
    assert is_later(made(SAVED, kind), made(stored, kind), made([*stored[:2], "four five computer", "six"], kind))
    assert not is_later(made(SAVED, kind), made(stored, kind), made([*stored[:2], "four five mouse", "six"], kind))


@pytest.mark.parametrize("kind", ["file", "notebook", "old notebook"])
def test_where_nothing_was_typed_nothing_tells(kind: str) -> None:
    stored = without(SAVED, {"five"})
    assert not is_later(made(SAVED, kind), made(stored, kind), made([*stored, "seven"], kind))


def test_the_order_of_keys_in_an_output_tells_nothing() -> None:
    """A shared document gives them in another order at each read."""
    shown = {"output_type": "stream", "name": "stdout", "text": "four five computer\n"}
    cells = [code("one", [shown]), code("one", [dict(reversed(shown.items()))])]
    saved, stored = (NOTEBOOK.parse(notebook(cell)).value for cell in cells)
    assert not is_later(saved, stored, NOTEBOOK.parse(notebook(code("two"))).value)
