"""What an update consists of, read without pycrdt and without recursion. Pure.

There are three questions: whether the update would cost the process its stack or its memory, or the document its life;
whether it holds anything that somebody may have typed; and where the shared types in it belong.

pycrdt reads nested arrays and maps by recursion and ends the whole process where the stack does: an update of
50 kB, twenty-five thousand arrays in each other, would take the server down, and would do so again at each start if
it got into the store. It also takes in values in the old form of JSON, and writes them so that nobody can read them,
itself included; and items of no length, after which it may fail to write the document at all. Such updates are not
given to pycrdt.

Source: the update format, version 1, of yjs (src/utils/encoding.js, src/structs) as yrs reads it (update.rs,
block.rs, any.rs), whose content types Move and WeakLink yjs does not have.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .protocol import ProtocolError, read_uint

DEEPEST = 400
"""How many arrays and maps may contain each other. The smallest stacks, of threads on macOS, hold twice that."""
_MOST_VALUES = 1 << 22
"""How many values are looked at; with more of them the update is refused, for looking takes a second."""

_GC, _SKIP = 0, 10
_HAS_LEFT, _HAS_RIGHT, _HAS_KEY, _CONTENT = 0x80, 0x40, 0x20, 0x0F
_DELETED, _JSON, _BINARY, _STRING, _EMBED, _FORMAT, _TYPE, _ANY, _DOC, _MOVE = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11)
_XML_ELEMENT, _WEAK_LINK = 3, 7
_FIXED_SIZES = {127: 0, 126: 0, 124: 4, 123: 8, 122: 8, 121: 0, 120: 0}
"""Undefined, null, float32, float64, bigint, false, true: how many bytes follow the tag."""
_INTEGER, _TEXT, _MAP, _ARRAY, _BUFFER = 125, 119, 118, 117, 116

_NUMBER = rb"[\x80-\xff]{0,8}[\x00-\x7f]"
_TYPED = re.compile(rb"\x01\x01(?:%b){2}(?:[\x44\x84](?:%b){2}|\xc4(?:%b){4})[\x01-\x7f]" % ((_NUMBER,) * 3))
"""The beginning of what people type: one author, one item, its neighbours, and the length of a short text."""

Id = tuple[int, int]
"""Names an item: the client that made it, and the clock."""


class Place(NamedTuple):
    """Where an item belongs: inside the type `id`, or next to the item `id`; None inside a type that has a name."""

    id: Id | None
    inside: bool


def refuse_hazards(update: bytes) -> None:
    """Raise ProtocolError for an update that is dangerous to read, or to have read, or in which that cannot be seen.

    Its values may be nested too deeply. It may hold what yrs takes in and cannot give again: then the document could
    never be loaded from the store any more, nor be sent to anybody.
    """
    shared_types(update)


def only_sets_values(update: bytes) -> bool:
    """Say whether an update only sets keys of maps to plain values: nobody typed text, or put in or took out a cell.

    A plain value that is replaced is deleted; what else is deleted, somebody took out. Raises ProtocolError.
    """
    reader = _Reader(update)
    reader.structs()
    return not reader.others and reader.deletions() <= reader.replaced


def without_deletions(update: bytes) -> bytes:
    """Return an update without its deletions. Raises ProtocolError."""
    reader = _Reader(update)
    return update[: reader.structs()] + b"\x00"


def shared_types(update: bytes) -> dict[Id, Place]:
    """Return where the shared types belong that an update makes. Raises ProtocolError as `refuse_hazards` does.

    On the hot path: nearly all updates are what somebody types after something else.
    """
    if (typed := _TYPED.match(update)) and len(update) == typed.end() + update[typed.end() - 1] + 1:
        return {}
    reader = _Reader(update)
    reader.structs()
    return reader.types


class _Reader:
    """Walks over an update, and counts what it meets.

    Attributes:
        replaced: how many items were deleted because a plain value came in their place.
        others: how many items hold something else than plain values.
        types: where each shared type belongs.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._left = _MOST_VALUES
        self.replaced = self.others = 0
        self.types: dict[Id, Place] = {}

    def structs(self) -> int:
        """Walk over all items; return where they end, and the deletions begin."""
        try:
            for _ in range(self.uint()):
                structs = self.uint()
                client, clock = self.id()
                for _ in range(structs):
                    clock += self.struct(client, clock)
        except IndexError:
            raise ProtocolError("not an update") from None
        return self._at

    def deletions(self) -> int:
        """Walk over the deletions, which come after the items; return how many items are deleted."""
        deleted = 0
        for _ in range(self.uint()):
            self.uint()
            for _ in range(self.uint()):
                self.uint()
                deleted += self.uint()
        return deleted

    def byte(self) -> int:
        """Take one byte."""
        self._at += 1
        return self._data[self._at - 1]

    def uint(self) -> int:
        """Take a number."""
        value, self._at = read_uint(self._data, self._at)
        return value

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        self._at += size
        if self._at > len(self._data):
            raise IndexError

    def length(self) -> int:
        """Take the length of an item, which is never zero."""
        if length := self.uint():
            return length
        raise ProtocolError("an item of no length")

    def text(self) -> None:
        """Pass over bytes that begin with their length."""
        self.skip(self.uint())

    def id(self) -> Id:
        """Take the id of an item: client and clock."""
        return self.uint(), self.uint()

    def struct(self, client: int, clock: int) -> int:
        """Pass over an item, or a gap between items; return how many clocks it takes."""
        info = self.byte()
        if info in (_GC, _SKIP):
            return self.length()
        place = Place(None, True)
        for side in (_HAS_LEFT, _HAS_RIGHT):
            if info & side:
                place = Place(self.id(), False)
        if not info & (_HAS_LEFT | _HAS_RIGHT):
            if self.uint() == 1:
                self.text()
            else:
                place = Place(self.id(), True)
            if info & _HAS_KEY:
                self.text()
        if info & _CONTENT == _TYPE:
            self.types[client, clock] = place
        return self.content(info & _CONTENT, after=bool(info & _HAS_LEFT))

    def content(self, kind: int, *, after: bool) -> int:
        """Pass over what an item holds, and return how many clocks that takes.

        `after` says whether it stands after another item, of a map in its place.
        """
        if kind == _DELETED:  # values that were replaced at once, each by the next
            length = self.length()
            self.replaced += length - (not after)
            return length
        if kind == _ANY:
            self.replaced += after
            length = self.length()
            self.walk(length)
            return length
        self.others += 1
        if kind == _STRING:
            return self.string()
        if kind == _JSON:  # yrs does not write it as it reads it; nobody else has written it for years
            raise ProtocolError("values of a kind that is out of use")
        self.single(kind)
        return 1

    def string(self) -> int:
        """Pass over a string; return its length as JavaScript counts it."""
        size = self.length()
        self.skip(size)
        text = self._data[self._at - size : self._at]
        return size if text.isascii() else len(text.decode(errors="replace").encode("utf-16-le")) // 2

    def single(self, kind: int) -> None:
        """Pass over what takes one clock."""
        if kind in (_BINARY, _EMBED):
            self.text()
        elif kind == _FORMAT:
            self.text()
            self.text()
        elif kind == _TYPE:
            self.type()
        elif kind == _DOC:
            self.text()
            self.walk(1)
        elif kind == _MOVE:
            self.range(alone=bool(self.uint() & 1))
        else:
            raise IndexError

    def type(self) -> None:
        """Pass over what is said of a shared type."""
        kind = self.byte()
        if kind == _XML_ELEMENT:
            self.text()
        elif kind == _WEAK_LINK:
            self.range(alone=not self.byte() & 1)

    def range(self, *, alone: bool) -> None:
        """Pass over the first item of a range, and the last one if it is not `alone`."""
        self.id()
        if not alone:
            self.id()

    def walk(self, count: int) -> None:
        """Walk over plain values, keeping for each array and map around how many are left in it."""
        around = [(count, False)]
        while around:
            left, keyed = around.pop()
            if not left:
                continue
            around.append((left - 1, keyed))
            if keyed:
                self.text()
            if inside := self.value():
                around.append(inside)
            if len(around) > DEEPEST:
                raise ProtocolError("values nested too deeply")

    def value(self) -> tuple[int, bool] | None:
        """Walk over one value; return what is still to come of an array or a map: how many values, and if keyed."""
        self._left -= 1
        if self._left < 0:
            raise ProtocolError("too many values in one update")
        tag = self.byte()
        if tag in (_TEXT, _BUFFER):
            self.text()
        elif tag in (_ARRAY, _MAP):
            return self.uint(), tag == _MAP
        elif tag == _INTEGER:
            while self.byte() > 127:
                pass
        elif tag in _FIXED_SIZES:
            self.skip(_FIXED_SIZES[tag])
        else:
            raise IndexError
        return None
