"""How a notebook file is written, and how to write changes into it in its own way.

What is equal to what the file holds keeps its text, down to single members of single outputs; the rest is
written with the file's own indentation, separators, order of keys, escapes, and way with lines. For a file as
nbformat writes it, that is what nbformat would write (nbformat/v4/nbjson.py: JSONWriter).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from json import JSONDecoder
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any, NamedTuple

from ...wire import LONE_SURROGATE, clean
from ..compare.diff import hunks
from .decoding import raw_decode
from .shape import Shape, is_output, part, project, said, same
from .update import fingerprint

# All numbers are floats in a document; NaN and the infinities are null. Not strict: what is decoded here was
# parsed before.
_DECODER = JSONDecoder(parse_int=float, parse_constant=lambda _: None, strict=False)
_SAFE_INTEGER = (1 << 53) - 1
_AT_ONCE = 1000
"""So many items are written while no other thread runs: numbers take half a millisecond."""
_CONTAINERS = frozenset({dict, list, tuple})
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_SPACE = re.compile(r"[ \t\n\r]*")
# What nbformat splits into lines besides text/* (nbformat/v4/rwbase.py: _non_text_split_mimes).
_SPLIT = frozenset({"application/javascript", "image/svg+xml"})


class Span(NamedTuple):
    """A JSON value in a text: ``text[start:end]`` says it, `raw` is what that decodes to."""

    text: str
    start: int
    end: int
    raw: Any


class Piece(NamedTuple):
    """A member of an object, and its text in parts.

    Parts are put together once, at the end: a long text is not copied again for each level that is around it.
    """

    key: str
    parts: list[str]


@dataclass(frozen=True)
class Style:
    """The way a file is written."""

    newline: str = "\n"
    indent: str | None = " "
    """What one level is indented by; None where all stands on one line."""
    comma: str = ","
    colon: str = ": "
    ascii: bool | None = None
    """Whether everything but ASCII is escaped; None where nobody has looked yet."""
    sort: bool = True
    """Whether keys are sorted; else `order` says how those of a new cell are ordered."""
    order: Mapping[str, int] | None = None
    lines: bool = True
    """Whether texts are lists of lines; else they are strings."""

    def over(self, old: Span, value: Any, depth: int, shape: Shape) -> str:
        """Write `value` where the file holds `old`, and keep the text of all in it that is the same."""
        return "".join(self._over(old, value, depth, shape))

    def new(self, value: Any, depth: int, shape: Shape = Shape.JSON) -> str:
        """Write a value that the file did not hold before; `depth` levels are open around it."""
        return "".join(self._new(value, depth, shape))

    def string(self, text: str) -> str:
        """Write a string with the file's escapes."""
        if self.ascii or LONE_SURROGATE.search(text):
            return encode_basestring_ascii(text)
        return encode_basestring(text)

    def line(self, depth: int) -> str:
        """Return what stands before an item when `depth` levels are open: a line break and the indentation."""
        return "" if self.indent is None else self.newline + self.indent * depth

    def _over(self, old: Span, value: Any, depth: int, shape: Shape) -> list[str]:
        raw = old.raw
        if same(project(shape, raw), value):
            return [old.text[old.start : old.end]]
        if isinstance(value, str) and (shape is Shape.SOURCE or shape is Shape.LINES):
            return self._over_text(raw, value, depth, shape)
        if shape is Shape.OUTPUT and not is_output(raw):
            return self._new(value, depth, shape)
        if isinstance(raw, dict) and isinstance(value, dict):
            return self._over_object(old, value, depth, shape)
        if isinstance(raw, list) and isinstance(value, list):
            return self._over_array(old, value, depth, shape)
        return self._new(value, depth, shape)

    def _new(self, value: Any, depth: int, shape: Shape) -> list[str]:
        if isinstance(value, str):
            split = self.lines and (shape is Shape.SOURCE or shape is Shape.LINES)
            return self._lines(value, depth) if split else [self.string(value)]
        if isinstance(value, dict):
            members = [
                Piece(key, self._new(item, depth + 1, self._new_part(shape, key, value)))
                for key, item in self._ordered(shape, value)
            ]
            return self._object(members, depth)
        if isinstance(value, list | tuple):
            return self._new_array(value, depth, part(shape))
        return [_scalar(value)]

    def _new_array(self, value: Sequence[Any], depth: int, each: Shape) -> list[str]:
        """Write an array; many items without others in them are one part."""
        between = self.comma + self.line(depth + 1)
        items: list[list[str]] = []
        for at in range(0, len(value), _AT_ONCE):
            some = value[at : at + _AT_ONCE]
            types = set(map(type, some))
            if not _CONTAINERS.isdisjoint(types):
                items += [self._new(item, depth + 1, each) for item in some]
            elif str in types:
                items.append([between.join([self.new(item, depth + 1, each) for item in some])])
            else:
                items.append([between.join(_scalars(some, types))])
        return self._enclosed("[", items, "]", depth)

    def _lines(self, text: str, depth: int) -> list[str]:
        return self._enclosed("[", [[self.string(line)] for line in text.splitlines(keepends=True)], "]", depth)

    def _over_text(self, raw: Any, value: str, depth: int, shape: Shape) -> list[str]:
        if isinstance(raw, str | list):
            value = relined(said(raw), value)
        if isinstance(raw, str):
            return [self.string(value)]
        return self._lines(value, depth) if isinstance(raw, list) else self._new(value, depth, shape)

    def _over_object(self, old: Span, value: dict[str, Any], depth: int, shape: Shape) -> list[str]:
        members = list(_members(old))
        projected = project(shape, old.raw)
        pieces: list[Piece] = []
        for key, member in members:
            name = key if key in value else clean(key)
            hidden = key not in projected and name not in value and key != "trusted"
            if hidden or (key in projected and name in value and same(projected[key], value[name])):
                pieces.append(Piece(key, [member.text[member.start : member.end]]))
            elif name in value:
                pieces.append(Piece(key, self._over(member, value[name], depth + 1, part(shape, key))))
        if len(members) != len(old.raw):
            return self._new(value, depth, shape)  # a key stands twice: nobody can say which is meant
        known = {*old.raw, *map(clean, old.raw)}
        added = [
            Piece(key, self._new(item, depth + 1, self._new_part(shape, key, value)))
            for key, item in value.items()
            if key not in known and not (key in projected and same(projected[key], item))
        ]
        if not added and len(pieces) == len(members):
            return _refilled(old, [member for _, member in members], [parts for _, parts in pieces])
        pieces += added
        return self._object(sorted(pieces) if self.sort else pieces, depth)

    def _over_array(self, old: Span, value: list[Any], depth: int, shape: Shape) -> list[str]:
        spans, each = [span for _, span in _members(old)], part(shape)
        olds = [fingerprint(project(each, span.raw)) for span in spans]
        items: list[list[str]] = []
        at = 0
        for start, stop, begin, end in hunks(olds, [*map(fingerprint, value)]):
            items += [[span.text[span.start : span.end]] for span in spans[at:start]]
            for number, item in enumerate(value[begin:end], start):
                known = number < stop
                items.append(
                    self._over(spans[number], item, depth + 1, each) if known else self._new(item, depth + 1, each)
                )
            at = stop
        items += [[span.text[span.start : span.end]] for span in spans[at:]]
        return _refilled(old, spans, items) if len(items) == len(spans) else self._enclosed("[", items, "]", depth)

    def _ordered(self, shape: Shape, value: dict[str, Any]) -> list[tuple[str, Any]]:
        if self.sort:
            return sorted(value.items())
        if shape is Shape.CELL and self.order:
            order = self.order
            return sorted(value.items(), key=lambda item: order.get(item[0], len(order)))
        return list(value.items())

    def _new_part(self, shape: Shape, key: str, within: dict[str, Any]) -> Shape:
        """Return the shape of a new member: `LINES` only where nbformat would split the text into lines."""
        found = part(shape, key)
        if shape is Shape.BUNDLE:
            return Shape.LINES if key.startswith("text/") or key in _SPLIT else Shape.JSON
        if shape is Shape.OUTPUT:
            kind = within.get("output_type")
            split = kind == "stream" if key == "text" else kind in ("execute_result", "display_data")
            return found if split else Shape.JSON
        return found

    def _object(self, pieces: list[Piece], depth: int) -> list[str]:
        return self._enclosed("{", [[self.string(key) + self.colon, *parts] for key, parts in pieces], "}", depth)

    def _enclosed(self, opening: str, items: list[list[str]], closing: str, depth: int) -> list[str]:
        if not items:
            return [opening + closing]
        inner = self.line(depth + 1)
        parts = [opening + inner]
        for item in items:
            parts += item
            parts.append(self.comma + inner)
        parts[-1] = self.line(depth) + closing
        return parts


def decode(text: str, at: int) -> Span:
    """Decode the JSON value that begins at ``text[at]``, after white space. Raises ValueError where none does."""
    start = skip(text, at)
    raw, end = raw_decode(_DECODER, text, start)
    return Span(text, start, end, raw)


def skip(text: str, at: int) -> int:
    """Return where the white space at ``text[at]`` ends."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


def relined(raw: str, value: str) -> str:
    r"""Return `value`, an edited copy of `raw` with ``\n`` for all line ends, with those that `raw` has.

    Lines that nobody edited come back exactly as they are in `raw`; new ones end as most of `raw` does.
    """
    pairs = raw.count("\r\n")
    damaged = not raw.isascii() and LONE_SURROGATE.search(raw)
    if not pairs and not damaged:
        return value
    breaks = raw.count("\n")
    end = "\r\n" if 2 * pairs > breaks else "\n"
    if pairs in (0, breaks) and not damaged:
        return value.replace("\r\n", "\n").replace("\n", end)
    old, new = _LINE.findall(raw), _LINE.findall(value.replace("\r\n", "\n"))
    out: list[str] = []
    at = 0
    for hunk in hunks([clean(line).replace("\r\n", "\n") for line in old], new):
        out += old[at : hunk.start]
        out += [line.replace("\n", end) for line in new[hunk.begin : hunk.end]]
        at = hunk.stop
    return "".join(out + old[at:])


def _members(old: Span) -> Iterable[tuple[str, Span]]:
    """Yield the members of an object with their keys, or the items of an array with an empty key."""
    text, at = old.text, skip(old.text, old.start + 1)
    keyed = isinstance(old.raw, dict)
    while text[at] not in "]}":
        key = ""
        if keyed:
            key, at = _DECODER.raw_decode(text, at)
            at = skip(text, at) + 1
        span = decode(text, at)
        yield key, span
        at = skip(text, span.end)
        if text[at] == ",":
            at = skip(text, at + 1)


def _refilled(old: Span, spans: list[Span], items: list[list[str]]) -> list[str]:
    """Return the text of `old` with other values, and all between them as it was."""
    parts, at = [], old.start
    for span, item in zip(spans, items, strict=True):
        parts += [old.text[at : span.start], *item]
        at = span.end
    return [*parts, old.text[at : old.end]]


def _scalars(values: Sequence[Any], types: set[type]) -> Iterable[str]:
    """Write values of these types, none of which is a text or contains others."""
    if types == {float} and math.isfinite(sum(values)) and not any(map(float.is_integer, values)):
        return map(repr, values)  # what `_scalar` comes to, without a step of Python for each
    return map(_scalar, values)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        if value - value != 0:
            return "null"  # JSON has no NaN and no infinity
        if value.is_integer() and -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
            return str(int(value))
    return repr(value)
