"""The text of a notebook file taken apart: each cell, and all that stands around the cells."""

from __future__ import annotations

import json
from json import JSONDecoder
from typing import NamedTuple

from .decoding import raw_decode
from .shape import ContentError
from .style import Span, skip

_DECODER = JSONDecoder(parse_int=float, parse_constant=lambda _: None)

HOLE = '"\0"'
"""What stands in the frame in place of the cells: no valid file has a NUL in it."""


class Parts(NamedTuple):
    """A file that was taken apart.

    Attributes:
        frame: the text of the file with `HOLE` in place of all that is between the brackets of ``cells``.
        spans: the cells; None where there is no list of them.
        gaps: what stands before each cell, and at last what stands behind the last one.
    """

    frame: str
    spans: list[Span] | None
    gaps: list[str]


def split(text: str) -> Parts:
    """Take a file apart. Raises ContentError where it is not one JSON object."""
    try:
        return _split(text)
    except IndexError as error:
        raise ContentError("it ends too early") from error
    except RecursionError as error:
        raise ContentError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ContentError(f"not JSON: {error}") from error


def beginning(text: str) -> int:
    """Return where the JSON of a file begins: behind the byte order mark, if there is one."""
    return 1 if text.startswith("\ufeff") else 0


def _split(text: str) -> Parts:
    spans: list[Span] | None = None
    gaps: list[str] = []
    hole = 0, 0
    at = skip(text, beginning(text))
    if text[at] != "{":
        raise ContentError("not a JSON object")
    at = skip(text, at + 1)
    while text[at] != "}":
        key, end = _DECODER.raw_decode(text, at)
        at = skip(text, end)
        if not isinstance(key, str) or text[at] != ":":
            raise ContentError(f"no key and colon before {at}")
        start = skip(text, at + 1)
        if key == "cells" and text[start] == "[":
            if spans is not None:
                raise ContentError("cells stands twice")
            spans, gaps, end = _cells(text, start + 1)
            hole = start + 1, end - 1
        else:
            end = raw_decode(_DECODER, text, start)[1]
        at = _next(text, end, "}")
    if skip(text, at + 1) != len(text):
        raise ContentError(f"there is more after the end, at {at + 1}")
    return Parts(text if spans is None else text[: hole[0]] + HOLE + text[hole[1] :], spans, gaps)


def _next(text: str, at: int, closing: str) -> int:
    """Return where the next item begins after one that ended at `at`, or where the `closing` bracket stands."""
    at = skip(text, at)
    if text[at] == closing:
        return at
    if text[at] != ",":
        raise ContentError(f"no comma at {at}")
    at = skip(text, at + 1)
    if text[at] == closing:
        raise ContentError(f"nothing after the comma before {at}")
    return at


def _cells(text: str, start: int) -> tuple[list[Span], list[str], int]:
    """Decode the cells one by one; return them, what stands around each, and where the array ends."""
    spans: list[Span] = []
    gaps: list[str] = []
    end, at = start, skip(text, start)
    while text[at] != "]":
        gaps.append(text[end:at])
        raw, end = raw_decode(_DECODER, text, at)
        spans.append(Span(text, at, end, raw))
        at = _next(text, end, "]")
    gaps.append(text[end:at])
    return spans, gaps, at + 1
