"""JSON of any size is decoded as Python decodes it, in pieces."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from json import JSONDecodeError, JSONDecoder
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_rtc.documents.formats import decoding
from jupyter_rtc.documents.formats.decoding import decode, raw_decode

DECODER = JSONDecoder(parse_int=float)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=60,
)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_PIECE", 12)


@given(VALUES, st.sampled_from([None, 0, 2]), st.booleans())
def test_any_value_is_what_python_makes_of_it(value: Any, indent: int | None, ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    assert decode(DECODER, text) == json.loads(text, parse_int=float)
    assert raw_decode(DECODER, f"--{text} ,", 2) == (DECODER.decode(text), 2 + len(text))


@given(VALUES, st.data())
def test_what_is_no_json_is_refused_where_python_refuses_it(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text)))
    broken = text[:at] + data.draw(st.sampled_from(["", ",", "]", "}", '"', "[", "{", ":", "x", "1", "\\"])) + text[at:]
    broken = broken[: data.draw(st.integers(0, len(broken)))]
    assert outcome(lambda: decode(DECODER, broken)) == outcome(lambda: DECODER.decode(broken))


def outcome(work: Callable[[], Any]) -> Any:
    """Return what something returns; of JSON that cannot be decoded, that it cannot."""
    try:
        return repr(work())
    except JSONDecodeError:
        return JSONDecodeError


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(RecursionError):
        decode(DECODER, "[" * 100_000)


@pytest.mark.parametrize(
    "value",
    [
        [number / 7 for number in range(1_000_000)],
        [f"text {number}" for number in range(300_000)],
        [[number, {"of": "two"}] for number in range(100_000)],
    ],
)
def test_others_have_their_turn_while_a_long_value_is_decoded(monkeypatch: pytest.MonkeyPatch, value: Any) -> None:
    """Another thread runs again and again, not only before and after."""
    monkeypatch.undo()
    text = json.dumps({"data": [{"y": value}]})
    turns, through = 0, threading.Event()

    def others() -> None:
        nonlocal turns
        while not through.wait(0.0001):
            turns += 1

    pause = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    thread = threading.Thread(target=others)
    thread.start()
    try:
        before = turns
        assert decode(DECODER, text)["data"][0]["y"][-1] == value[-1]
        during = turns - before
    finally:
        through.set()
        thread.join()
        sys.setswitchinterval(pause)
    assert during > 10
