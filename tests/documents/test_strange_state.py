"""What clients put into a document's ``state`` in the place of what stands there: read as nothing, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text

from jupyter_rtc.documents.merging.conflicts import place_of
from jupyter_rtc.documents.merging.conflicts import recorded as conflicts_in
from jupyter_rtc.documents.merging.lineage import recorded, taken

KEYS = ["taken", "merged 5", f"conflict {'a' * 32}"]

PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=5)
ANY = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
RECORD = st.dictionaries(st.sampled_from(["time", "part", "cell", "lines", "base", "typed_by", "outside_by"]), ANY)


def read(value: Any) -> None:
    """Read a document that has a value in the place of each record."""
    doc: Doc[Any] = Doc()
    state: Map[Any] = doc.get("state", type=Map)
    for key in KEYS:
        state[key] = value
    assert all(clocks for _, clocks in taken(doc))
    assert recorded(doc, {5: 1}) in (None, True, False)
    assert all(isinstance(place_of(record), str) for record in conflicts_in(doc).values())


@given(ANY | RECORD)
def test_any_value(value: Any) -> None:
    read(value)


@given(ANY)
def test_any_json(value: Any) -> None:
    read(json.dumps(value))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[[Infinity, 1]]", '[["hash", [[-Infinity, 1]]]]', "9" * 10_000, '["ab"]', '{"ab": 1}']
)
def test_what_looks_like_json(text: str) -> None:
    read(text)


@pytest.mark.parametrize("value", [Text("text"), Array([1]), Map({"time": 1})])
def test_a_shared_type(value: Any) -> None:
    doc: Doc[Any] = Doc()
    doc.get("state", type=Map)[KEYS[0]] = value
    assert taken(doc) == []
