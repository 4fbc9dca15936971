"""Values and texts as JSON, and as a shared document, can hold them. Pure.

pycrdt raises PanicException, which is no Exception, for integers beyond 64 bits, keys that are no texts and lone
surrogates; and a value that JavaScript cannot turn into JSON again breaks a front end.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_EXACT = 1 << 53
_DEEPEST = 200


def clean(text: str) -> str:
    """Return `text` as a document holds it: with U+FFFD for every lone surrogate, which UTF-8 cannot carry."""
    return text if text.isascii() else LONE_SURROGATE.sub("\ufffd", text)


def json_safe(value: Any, depth: int = 0) -> Any:
    """Return a value as `JSON`, without what it, or a shared document, cannot hold.

    Integers that JavaScript would not keep exactly become floats, or text if they are too large for that; what is no
    number becomes null, a lone surrogate U+FFFD, a key that is no text its text, and anything else, and what is nested
    more than 200 deep, the text that Python shows for it.
    """
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if isinstance(value, int):
        return _integer(int(value))
    if depth < _DEEPEST:
        if isinstance(value, dict):
            return {
                clean(key) if isinstance(key, str) else _shown(key): json_safe(item, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [json_safe(item, depth + 1) for item in value]
    return _shown(value)


def _shown(value: Any) -> str:
    """Return the text that Python shows for a value; only its type where there is none, or it is nested too deeply."""
    try:
        return clean(str(value))
    except Exception:  # whatever the value's own class raises
        return f"<{type(value).__name__}>"


def _integer(number: int) -> int | float | str:
    if -_EXACT < number < _EXACT:  # beyond that, pycrdt makes a bigint of it
        return number
    try:
        return float(number)
    except OverflowError:
        return hex(number)  # in decimal Python refuses to write the longest
