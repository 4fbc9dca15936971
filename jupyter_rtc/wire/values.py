"""Plain values in an update, passed over at the speed of a compiled pattern and without recursion. Pure.

Outputs are plain values: a plot has a million numbers, a table a hundred thousand short texts. Runs of them are matched
by one pattern, 1,024 at a time, which takes no longer than yrs takes to read them; only what contains other values, or
is a long text, is looked at by itself.

Source: the encoding ``any`` of lib0 (encoding.js), as yrs reads it (any.rs).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .protocol import ProtocolError, read_uint

DEEPEST = 400
"""How many arrays and maps may contain each other. The smallest stacks, of threads on macOS, hold twice that."""

_TEXT, _MAP, _ARRAY, _BUFFER = 119, 118, 117, 116


def _texts(sizes: range) -> bytes:
    """Return what matches texts of these sizes, each after its length."""
    return b"|".join(re.escape(bytes([size])) + b".{%d}" % size for size in sizes)


_LONG = 48
SHORT = b"|".join(
    rb"(?=[\x%02x-\x%02x])(?:%b)" % (first, first + 7, _texts(range(first, first + 8))) for first in range(0, _LONG, 8)
)
"""A pattern for bytes that begin with their length, up to 47 of them."""
SIMPLE = rb"[\x7e\x7f\x78\x79]|\x7d[\x80-\xff]{0,9}+[\x00-\x7f]|[\x7a\x7b].{8}|\x7c.{4}|\x77(?:%b)" % SHORT
"""A pattern for undefined, null, false, true; an integer; a bigint or float64; a float32; a short text."""


class _Run(NamedTuple):
    """A number of values, and what matches exactly so many of them."""

    size: int
    pattern: re.Pattern[bytes]


_PLAIN = [_Run(size, re.compile(rb"(?s:%b){%d}+" % (SIMPLE, size))) for size in (1024, 32, 1)]
_KEYED = [_Run(size, re.compile(rb"(?s:(?:%b)(?:%b)){%d}+" % (SHORT, SIMPLE, size))) for size in (32, 1)]


def after_values(data: bytes, at: int, count: int, most: int) -> tuple[int, int]:
    """Pass over `count` plain values at `at`; return where they end, and how many there were with those inside.

    Raises ProtocolError where they are nested too deeply, or more than `most`; IndexError where they end too early.
    """
    met = count
    around = [(count, False)]
    while around:
        if met > most:
            raise ProtocolError("too many values in one update")
        left, keyed = around.pop()
        at, left = _after_run(data, at, left, _KEYED if keyed else _PLAIN)
        if not left:
            continue
        around.append((left - 1, keyed))
        at, inside = _after_value(data, after_text(data, at) if keyed else at)
        if inside:
            met += inside[0]
            around.append(inside)
        if len(around) > DEEPEST:
            raise ProtocolError("values nested too deeply")
    if at > len(data):
        raise IndexError
    return at, met


def after_text(data: bytes, at: int) -> int:
    """Pass over bytes that begin with their length."""
    size, at = read_uint(data, at)
    return at + size


def _after_run(data: bytes, at: int, left: int, runs: list[_Run]) -> tuple[int, int]:
    """Pass over as many simple values as stand there, `left` at most; return how many are left."""
    if left and data[at] == _TEXT and data[at + 1] >= _LONG:
        return at, left
    for size, pattern in runs:
        while left >= size and (run := pattern.match(data, at)):
            at = run.end()
            left -= size
    return at, left


def _after_value(data: bytes, at: int) -> tuple[int, tuple[int, bool] | None]:
    """Pass over a value that is not simple; return what is to come of an array or a map: how many, and if keyed."""
    tag = data[at]
    if tag in (_TEXT, _BUFFER):
        return after_text(data, at + 1), None
    if tag not in (_ARRAY, _MAP):
        run = _PLAIN[-1].pattern.match(data, at)  # after a long key
        if run is None:
            raise IndexError
        return run.end(), None
    size, at = read_uint(data, at + 1)
    return at, (size, tag == _MAP)
