"""Values as JSON, and as a shared document, can hold them. Pure."""

from __future__ import annotations

from math import isfinite
from typing import Any, TypeAlias

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

_EXACT = 1 << 53
_DEEPEST = 32


def json_safe(value: Any, depth: int = 0) -> JSON:
    """Return a value without what JSON, or a shared document, cannot hold; pycrdt panics on some of it.

    Integers that JavaScript would not keep exactly become floats, or text if they are too large for that; what is no
    number becomes null, half a surrogate pair a question mark, a key that is no text its text, and anything else,
    and what is nested more than 32 deep, the text that Python shows for it.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if depth < _DEEPEST:
        if isinstance(value, dict):
            return {_text(str(key)): json_safe(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [json_safe(item, depth + 1) for item in value]
    return _text(str(value))


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _integer(number: int) -> int | float | str:
    if -_EXACT <= number <= _EXACT:
        return number
    try:
        return float(number)
    except OverflowError:
        return hex(number)  # in decimal Python refuses to write the longest
