"""Decode JSON of any size without holding Python's lock for long. Pure.

Python's decoder is one call of C for the whole value, and no other thread runs before that is through: 0.2 s for a plot
of a million numbers, in which nobody's edits are delivered. Here a long value is decoded in pieces.
"""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder
from typing import Any

_PIECE = 1 << 16
"""So many characters take less than a millisecond."""
_SPACE = re.compile(r"[ \t\n\r]*")
_TEXT = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT = rf'[\[{{](?:[^\[\]{{}}"]++|{_TEXT})*+[\]}}]'
_NUMBERS = re.compile(r'[^\[\]{}"]*,')
_ITEMS = re.compile(rf'(?s:\s*(?:{_TEXT}|{_FLAT}|[^\[\]{{}}",\s]++)\s*,)+')
"""Items with their commas: numbers and the like; and these, texts, and what has only such in it."""


def raw_decode(decoder: JSONDecoder, text: str, at: int) -> tuple[Any, int]:
    """Do what ``decoder.raw_decode(text, at)`` does.

    Raises JSONDecodeError as that does, though not always with the same words, and RecursionError.
    """
    if text[at : at + 1] not in ("[", "{") or len(text) - at <= _PIECE:
        return decoder.raw_decode(text, at)
    try:
        value, size = decoder.raw_decode(text[at : at + _PIECE])
    except JSONDecodeError:  # it is longer than that; or none, which will be found again
        return (_object if text[at] == "{" else _array)(decoder, text, at)
    return value, at + size


def decode(decoder: JSONDecoder, text: str) -> Any:
    """Do what ``decoder.decode(text)`` does, and raise as `raw_decode` does."""
    value, end = raw_decode(decoder, text, _skip(text, 0))
    if _skip(text, end) != len(text):
        raise JSONDecodeError("Extra data", text, end)
    return value


def _object(decoder: JSONDecoder, text: str, at: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    at = _skip(text, at + 1)
    if text[at : at + 1] == "}":
        return found, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        key, at = decoder.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise JSONDecodeError("Expecting ':' delimiter", text, at)
        found[key], at = raw_decode(decoder, text, _skip(text, at + 1))
        at, ended = _next(text, at, "}")
        if ended:
            return found, at


def _array(decoder: JSONDecoder, text: str, at: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        return found, at + 1
    while True:
        while run := _NUMBERS.match(text, at, at + _PIECE) or _ITEMS.match(text, at, at + _PIECE):
            found += decoder.decode(f"[{text[at : run.end() - 1]}]")
            at = _skip(text, run.end())
        value, at = raw_decode(decoder, text, at)
        found.append(value)
        at, ended = _next(text, at, "]")
        if ended:
            return found, at


def _next(text: str, at: int, closing: str) -> tuple[int, bool]:
    """Return where the next item begins after one that ended at `at`, or the end of all, and whether it is that."""
    at = _skip(text, at)
    if text[at : at + 1] == closing:
        return at + 1, True
    if text[at : at + 1] != ",":
        raise JSONDecodeError("Expecting ',' delimiter", text, at)
    return _skip(text, at + 1), False


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
