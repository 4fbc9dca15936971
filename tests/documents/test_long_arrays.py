"""Arrays of any length are written in pieces, as nbformat writes them in one."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_rtc.documents.formats import style
from jupyter_rtc.documents.formats.shape import Shape
from jupyter_rtc.documents.formats.style import Style, decode

from .examples import calm

NUMBERS = st.floats() | st.integers(-(2**60), 2**60).map(float)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.lists(NUMBERS) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def plain(value: Any) -> Any:
    """Return a value as a notebook file has it: whole numbers without a fraction, and null for what is no number."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@calm
@given(VALUES, VALUES)
def test_any_value_is_written_as_nbformat_writes_it(value: Any, before: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "_AT_ONCE", 2)
        written = json.dumps(plain(value), indent=1, sort_keys=True, ensure_ascii=False)
        assert Style().new(value, 0) == written
        old = json.dumps(plain(before), indent=1, sort_keys=True, ensure_ascii=False)
        over = Style().over(decode(old, 0), value, 0, Shape.JSON)
        assert json.loads(over) == plain(value)
