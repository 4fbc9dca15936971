"""Which save a file descends from, and that nothing typed since is taken away by whoever read an old one."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Map, Text

from jupyter_rtc.documents.formats.content import Content, value_of
from jupyter_rtc.documents.merging.merge import document, outside
from jupyter_rtc.documents.merging.saves import Base, base_of

from .examples import NOTEBOOK, TEXT, as_nbformat, built, calm, code, notebook, stream

WORD = re.compile(r"(?:typed|outside)\d+x")


def text_base(saves: list[str], file: str) -> Base:
    """Return the base of a text among its saves."""
    return base_of(len(saves), saves.__getitem__, file, lambda said: said == file)


@pytest.mark.parametrize(
    ("file", "base"),
    [
        ("begin, outside\nend\n", Base(0, takes=False)),
        ("begin, outside\none\nend\n", Base(1, takes=False)),
        ("begin, outside\none tw\nend\n", Base(2, takes=False)),
        ("begin, outside\none two\nend\n", Base(3, takes=False)),
        ("begin, outside\none two three\nend\n", Base(4, takes=False)),
        ("begin\none\nend\n", Base(4, takes=True)),  # it was set back
        ("begin\nother\nend\n", Base(4, takes=True)),  # nobody can tell
        ("begin\none other three\nend\n", Base(4, takes=True)),
    ],
)
def test_the_base_is_the_newest_save_of_which_the_file_has_something(file: str, base: Base) -> None:
    lines = ["", "one\n", "one tw\n", "one two\n", "one two three\n"]
    assert text_base([f"begin\n{line}end\n" for line in lines], file) == base


def test_a_single_save_is_the_base() -> None:
    assert text_base(["begin\n"], "other\n") == Base(0, takes=False)


def test_what_is_no_text_has_its_last_save_for_a_base() -> None:
    assert base_of(3, lambda at: {"count": at}, {"count": 0}, lambda said: False) == Base(2, takes=False)


def test_a_deletion_that_a_file_does_not_know_stands() -> None:
    assert text_base(["a\nb\nc\n", "a\nc\n"], "a, outside\nb\nc\n").at == 0
    assert text_base(["a\nb\nc\n", "a\nc\n"], "a, outside\nc\n").at == 1


def types(doc: Any, kind: str, rng: random.Random, number: int) -> None:
    """Type a part of a word into a document: its end is missing, as when a save comes in the middle of it."""
    if kind == "file":
        insert(doc.get("source", type=Text), rng, f" typed{number} ")
        return
    cells: Array[Any] = doc.get("cells", type=Array)
    if rng.random() < 0.2:
        new = {**code(), "id": f"new-{number}", "source": Text(f"typed{number}"), "metadata": Map(), "outputs": Array()}
        cells.insert(rng.randrange(len(cells) + 1), Map(new))
    else:
        insert(cells[rng.randrange(len(cells))]["source"], rng, f" typed{number} ")


def ends(doc: Any, kind: str, number: int) -> None:
    """Type the end of a word."""
    texts = (
        [doc.get("source", type=Text)] if kind == "file" else [cell["source"] for cell in doc.get("cells", type=Array)]
    )
    for text in texts:
        if found := re.search(rf"typed{number}\b", str(text)):
            text.insert(found.end(), "x")


def insert(text: Text, rng: random.Random, word: str) -> None:
    """Put a word into a text, at the beginning or the end of a line: not into another word."""
    said = str(text)
    places = [0, len(said), *(at for at, sign in enumerate(said) if sign in "\n ")]
    text.insert(rng.choice(places), word)


def writes(value: Any, content: Content, rng: random.Random, words: list[str]) -> Any:
    """Return the file that a program makes of what it read: with these words, none of them at the end of another."""
    if content is TEXT:
        lines = value.split("\n")
        for word in words:
            at = rng.randrange(len(lines))
            lines[at] = f"{word} {lines[at]}"
        return TEXT.parse("\n".join(lines))
    cells = [code(cell["source"], id=cell["id"]) for cell in value.cells]
    for word in words:
        if rng.random() < 0.3:
            cells.insert(rng.randrange(len(cells) + 1), code(word, id=word))
        else:
            cell = rng.choice(cells)
            cell["source"] = f"{word} {cell['source']}"
    return NOTEBOOK.parse(as_nbformat(notebook(*cells)))


@settings(calm, max_examples=300)
@given(st.sampled_from(["file", "notebook"]), st.integers(1, 12), st.integers(0, 3), st.randoms(use_true_random=False))
def test_what_was_typed_stands_once_whatever_save_a_program_read(
    kind: str, count: int, put: int, rng: random.Random
) -> None:
    content: Content = TEXT if kind == "file" else NOTEBOOK
    if kind == "file":
        doc = built(content, TEXT.parse("one\ntwo\nthree\nfour\n"))
    else:
        doc = built(content, NOTEBOOK.parse(as_nbformat(notebook(*map(code, ["one", "two", "three"])))))
    states = [doc.get_update()]
    for number in range(count):
        types(doc, kind, rng, number)
        if rng.random() < 0.5:
            states.append(doc.get_update())
        ends(doc, kind, number)
        states.append(doc.get_update())
    saves = states[: rng.randrange(len(states)) + 1]  # what came after the last one is not saved
    read = rng.randrange(len(saves))
    words = [f"outside{number}x" for number in range(put)]
    file = writes(value_of(content, document(saves[read])), content, rng, words)

    def value(at: int) -> Any:
        return value_of(content, document(saves[at]))

    base = base_of(len(saves), value, file.value, lambda said: content.render(file, said) is file)
    doc.apply_update(outside(saves[base.at], content, file, doc.get_update()))
    said = value_of(content, doc)
    text = said if kind == "file" else "\n".join(cell["source"] for cell in said.cells)
    found = Counter(WORD.findall(text))
    typed = [f"typed{number}x" for number in range(count)]
    assert max(found.values(), default=1) == 1, found
    assert all(found[word] for word in words)
    parts = Counter(re.findall(r"typed\d+", text))
    assert max(parts.values(), default=1) == 1, parts  # of no word the first part stands once more
    if not base.takes:
        assert all(found[word] for word in typed)


def test_outputs_tell_which_save_a_notebook_descends_from() -> None:
    def notebooks(*shown: str, more: str = "") -> Any:
        """Return a notebook of two cells with these outputs; the first cell says something more."""
        cells = [code(f"{at}{more if at == 0 else ''}", [stream(text)]) for at, text in enumerate(shown)]
        return NOTEBOOK.parse(as_nbformat(notebook(*cells))).value

    saves = [notebooks("a", "b"), notebooks("a", "b, and more")]
    for read, shown in enumerate(("b", "b, and more")):
        file = notebooks("a", shown, more=" outside")
        assert base_of(2, saves.__getitem__, file, lambda said: False) == Base(read, takes=False)
