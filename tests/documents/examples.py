"""Notebooks and ways to write them, for the tests of documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Any

import nbformat
import pycrdt
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from jupyter_rtc.documents.formats.content import Content, Original, content_of

REGISTERED = {entry.name: entry.load() for entry in entry_points(group="jupyter_ydoc")}
NOTEBOOK = content_of("notebook", REGISTERED)
TEXT = content_of("file", REGISTERED)

Doc = pycrdt.Doc[Any]

# A loaded machine is no fault of the code.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# ------------------------------------------------------------------ documents


def built(content: Content, original: Original) -> Doc:
    """Return the document of an original, as a room gets it: update by update."""
    doc: Doc = pycrdt.Doc()
    for update in content.build(original).updates:
        doc.apply_update(update)
    return doc


def copied(doc: Doc) -> Doc:
    """Return another replica of a document."""
    copy: Doc = pycrdt.Doc()
    copy.apply_update(doc.get_update())
    return copy


def read(content: Content, doc: Doc) -> Any:
    """Return what a document holds."""
    with content.read(doc) as reading:
        for _ in reading:
            pass
    return reading.value()


# ------------------------------------------------------------------ files

Writer = Callable[[dict[str, Any]], str]


def dumped(**options: Any) -> Writer:
    """Return a way to write a notebook: with these options of json.dumps."""
    return lambda notebook: json.dumps(notebook, **options)


def as_nbformat(notebook: dict[str, Any]) -> str:
    """Write a notebook as nbformat does, with the line break that it ends files with."""
    written: str = nbformat.v4.nbjson.writes(nbformat.from_dict(notebook))
    return written + "\n"


WRITERS: dict[str, Writer] = {
    "nbformat": as_nbformat,
    "no line break at the end": lambda notebook: as_nbformat(notebook)[:-1],
    "four spaces": dumped(indent=4),
    "tabs": dumped(indent="\t", ensure_ascii=False),
    "one line": dumped(),
    "as short as can be": dumped(separators=(",", ":"), ensure_ascii=False),
    "no indentation": dumped(indent=0),
    "Windows": lambda notebook: as_nbformat(notebook).replace("\n", "\r\n"),
    "spaces before colons": dumped(indent=2, separators=(",", " : ")),
    "spaces all over": lambda notebook: "\n " + json.dumps(notebook, indent=2).replace("{\n", "{ \n\n") + "\n\n",
    "byte order mark": lambda notebook: "\ufeff" + as_nbformat(notebook),
}


def code(source: str | list[str] = "", outputs: Iterable[Any] = (), **more: Any) -> dict[str, Any]:
    """Return a code cell."""
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [*outputs], "source": source}
    return {**cell, **more}


def markdown(source: str | list[str] = "", **more: Any) -> dict[str, Any]:
    """Return a markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": source, **more}


def stream(text: str | list[str], name: str = "stdout") -> dict[str, Any]:
    """Return a stream output."""
    return {"name": name, "output_type": "stream", "text": text}


def notebook(*cells: dict[str, Any], minor: int = 5, **metadata: Any) -> dict[str, Any]:
    """Return a notebook; cells without an id get one, where its version has ids."""
    if minor >= 5:
        cells = tuple({"id": f"cell-{number}", **cell} for number, cell in enumerate(cells))
    return {"cells": [*cells], "metadata": metadata, "nbformat": 4, "nbformat_minor": minor}


# ------------------------------------------------------------------ strategies

TEXTS = st.text(st.sampled_from('ab \n\t"\\é€😀e\u0301\x1b\u2028'), max_size=12)
KEYS = st.text(st.sampled_from("abé_"), min_size=1, max_size=3)


class Strategies:
    """Notebooks with certain numbers in them."""

    def __init__(self, numbers: st.SearchStrategy[Any]) -> None:
        """Make the strategies."""
        scalars = st.one_of(st.none(), st.booleans(), numbers, TEXTS)
        self.json = st.recursive(
            scalars, lambda part: st.lists(part, max_size=3) | st.dictionaries(KEYS, part, max_size=3), max_leaves=5
        )
        self.metadata = st.dictionaries(KEYS, self.json, max_size=2)
        self.bundles = st.fixed_dictionaries(
            {},
            optional={
                "text/plain": TEXTS,
                "image/png": st.just("iVBOR\n"),
                "image/svg+xml": TEXTS,
                "application/json": self.json,
                "application/x-mine": TEXTS,
            },
        )
        self.outputs = st.lists(self._output(), max_size=3)
        self.cells = st.one_of(
            st.builds(
                lambda source, outputs, metadata, count: code(
                    source, outputs, metadata=metadata, execution_count=count
                ),
                TEXTS,
                self.outputs,
                self.metadata,
                st.none() | st.integers(1, 9),
            ),
            st.builds(lambda source, metadata: markdown(source, metadata=metadata), TEXTS, self.metadata),
            st.builds(
                lambda source, data: markdown(source, attachments={"a.png": data}), TEXTS, self.bundles.filter(bool)
            ),
        )
        lists = st.lists(self.cells, max_size=4)
        self.with_ids = st.builds(lambda cells, metadata: notebook(*cells, **metadata), lists, self.metadata)
        self.without_ids = st.builds(
            lambda cells, metadata: notebook(*cells, minor=4, **metadata), lists, self.metadata
        )
        self.notebooks = self.with_ids | self.without_ids

    def _output(self) -> st.SearchStrategy[dict[str, Any]]:
        shown = {"data": self.bundles, "metadata": self.metadata}
        return st.one_of(
            st.builds(stream, TEXTS, st.sampled_from(["stdout", "stderr"])),
            st.fixed_dictionaries({"output_type": st.just("display_data"), **shown}),
            st.fixed_dictionaries(
                {"output_type": st.just("execute_result"), "execution_count": st.integers(1, 9), **shown}
            ),
            st.fixed_dictionaries(
                {
                    "output_type": st.just("error"),
                    "ename": TEXTS,
                    "evalue": TEXTS,
                    "traceback": st.lists(TEXTS, max_size=2),
                }
            ),
        )


# Numbers that a document can hold: there, 1.0 is 1, and 2**70 a float.
PLAIN = Strategies(st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e6, 1e6).filter(lambda x: x != int(x)))
# Any that a file can hold.
RICH = Strategies(st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.just(2**70))
