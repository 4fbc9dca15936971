"""The blocks of an update: read one after the other, by patterns where they are of a common kind. Pure.

Source: the update format, version 1, of yjs (src/utils/encoding.js, src/structs) as yrs reads it (update.rs,
block.rs), whose content types Move and WeakLink yjs does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from sys import maxsize

from .protocol import MAX_CLIENT_ID, MAX_CLOCK, ProtocolError, read_uint, write_uint
from .shapes import (
    ANY,
    BINARY,
    CONTENT,
    DELETED,
    DOC,
    EMBED,
    FORMAT,
    GC,
    HAS_KEY,
    HAS_LEFT,
    HAS_RIGHT,
    HOLDS_TYPE,
    HOLDS_VALUE,
    ITEM,
    JSON,
    MOVE,
    SKIP,
    STRING,
    TYPE,
    UNUSED,
    Block,
    Id,
    Outline,
    Place,
)
from .values import after_values

_MOST_COPIED = 1 << 22
"""How many bytes yrs may copy to join the blocks of one update, which costs it the square of their number."""
_SIZE_OF_VALUE = 32
_BEYOND = "a number that no client counts to"
_LATER = "an item that builds on a later one"

_XML_ELEMENT, _WEAK_LINK = 3, 7


class Reader:
    """Walks over an update that has so many plain `values` at most.

    Attributes:
        found: what it met.
    """

    def __init__(self, data: bytes, values: int) -> None:
        self._data = data
        self._at = 0
        self._left = values
        self._own, self._before = b"", -1
        self._parents: set[Id] = set()
        self._several = False
        self.found = Outline()

    def outline(self) -> Outline:
        """Walk over all of it."""
        try:
            clients = self.uint()
            self._several = clients > 1
            for _ in range(clients):
                self.client_blocks()
            self.found.structs = self._at
            self.deletions()
        except IndexError:
            raise ProtocolError("not an update") from None
        if self._at != len(self._data):
            raise ProtocolError("bytes after the update")
        return self.found

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks."""
        for _ in range(self.uint()):
            structs, client, clock = self.uint(), self.client(), self.clock()
            self._own = write_uint(client)
            for _ in range(structs):
                start = self._at
                length, content = self.struct(client, clock)
                yield Block(client, clock, length, self._data[start], start, content, self._at)
                clock += length

    def client_blocks(self) -> None:
        """Walk over the blocks of one client; see to it that it is the only time, and to what they cost to join."""
        structs, client, clock = self.uint(), self.client(), self.clock()
        if client in self.found.ends:
            raise ProtocolError("a client that is named twice")
        self._own, data, begin = write_uint(client), self._data, clock
        kind = joined = copied = 0
        for _ in range(structs):
            start, before, values = self._at, kind, self._left
            length, _ = self.struct(client, clock)
            kind = data[start] & CONTENT
            size = self._at - start + (values - self._left) * _SIZE_OF_VALUE
            if kind == before and kind in (STRING, ANY) and self._before == clock - 1:
                copied += joined
                joined += size
            else:
                joined = size
            clock += length
        if clock > MAX_CLOCK:
            raise ProtocolError(_BEYOND)
        self.found.begins[client], self.found.ends[client] = begin, clock
        self.found.scattered |= copied > _MOST_COPIED

    def deletions(self) -> None:
        """Walk over the deletions, which come after the blocks."""
        for _ in range(self.uint()):
            client = self.client()
            for _ in range(self.uint()):
                start, length = self.clock(), self.length()
                if start + length > MAX_CLOCK:
                    raise ProtocolError(_BEYOND)
                self.found.deleted += length
                self.need(client, start + length - 1)

    def refuse_parents(self) -> None:
        """Raise ProtocolError where an item is inside something that is no shared type, as the update itself shows."""
        known = self.found.types
        if parents := {id for id in self._parents if id not in known and id[1] < self.found.ends.get(id[0], 0)}:
            for block in Reader(self._data, maxsize).blocks():
                if block.kind in (GC, DELETED, SKIP, TYPE):
                    continue
                if any((block.client, clock) in parents for clock in range(block.clock, block.clock + block.length)):
                    raise ProtocolError("an item inside something that holds no items")

    def byte(self) -> int:
        """Take a byte."""
        self._at += 1
        return self._data[self._at - 1]

    def uint(self) -> int:
        """Take a number."""
        value, self._at = read_uint(self._data, self._at)
        return value

    def client(self) -> int:
        """Take the number of a client."""
        if (client := self.uint()) > MAX_CLIENT_ID:
            raise ProtocolError(_BEYOND)
        return client

    def clock(self) -> int:
        """Take a clock, or a length."""
        if (clock := self.uint()) > MAX_CLOCK:
            raise ProtocolError(_BEYOND)
        return clock

    def length(self) -> int:
        """Take the length of an item, which is never zero."""
        if length := self.clock():
            return length
        raise ProtocolError("an item of no length")

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        self._at += size
        if self._at > len(self._data):
            raise IndexError

    def text(self) -> None:
        """Pass over bytes that begin with their length."""
        self.skip(self.uint())

    def id(self, client: int = -1, clock: int = 0) -> Id:
        """Take the id of an item, which the one with this `client` and `clock` builds on."""
        other, at = read_uint(self._data, self._at)
        before, self._at = read_uint(self._data, at)
        if other > MAX_CLIENT_ID or before > MAX_CLOCK:
            raise ProtocolError(_BEYOND)
        if other != client:
            self.need(other, before)
        elif before >= clock:
            raise ProtocolError(_LATER)
        return other, before

    def struct(self, client: int, clock: int) -> tuple[int, int]:
        """Pass over a block; return how many clocks it takes, and where what it holds begins."""
        if item := ITEM.match(self._data, self._at):
            return self.ordinary(client, clock, item)
        found = self.found
        info = self._data[self._at]
        self._at += 1
        if info in (GC, SKIP):
            self.found.gaps |= info == SKIP
            content = self._at
            return self.length(), content
        if info & UNUSED:  # yrs passes over it, and no Yjs client can read on
            raise ProtocolError("an item of an unknown kind")
        place = self.place(info, client, clock)
        found.listed = found.listed or not (info & HAS_KEY or info & CONTENT == DELETED)
        if info & CONTENT == TYPE:
            found.types[client, clock] = place
        content = self._at
        return self.content(info & CONTENT, after=bool(info & HAS_LEFT)), content

    def ordinary(self, client: int, clock: int, item: re.Match[bytes]) -> tuple[int, int]:
        """Pass over an item that is as most are."""
        found, start, at, shape = self.found, item.start(), item.end(), item.lastindex or 0
        info, content = self._data[start], item.start(shape)
        if not info & HAS_KEY:
            found.listed = True
        if shape == HOLDS_TYPE:
            found.others += 1
            self._at = start + 1
            found.types[client, clock] = self.place(info, client, clock)
            self._at = at
            return 1, content
        self.beside(client, clock, info, start, item.start(shape - 1))
        self._at = at
        if shape == HOLDS_VALUE:
            found.replaced += info >> 7
            self._left -= 1
            return 1, content
        found.others += 1
        self.skip(self._data[content])
        return self.units(at), content

    def beside(self, client: int, clock: int, info: int, start: int, second: int) -> None:
        """Do what `place` does, without the place, for an ordinary item: what it builds on is older."""
        self._before = -1
        if info & (HAS_LEFT | HAS_RIGHT):
            first = self.own_clock(start + 1, clock)
            if second > 0:
                self.own_clock(second, clock)
            if info & HAS_LEFT:
                self._before = first
        elif not self._data[start + 1]:
            parent = self.own_clock(start + 2, clock)
            if parent >= 0:
                self._parents.add((client, parent))
            elif self._several:
                self._at = start + 2
                self._parents.add(self.id(client, clock))

    def own_clock(self, at: int, clock: int) -> int:
        """Return the clock of the id at `at` where it has the author of the item with the clock `clock`; else -1."""
        if not self._data.startswith(self._own, at):
            other, at = read_uint(self._data, at)
            self.need(other, read_uint(self._data, at)[0])
            return -1
        before, _ = read_uint(self._data, at + len(self._own))
        if before >= clock:
            raise ProtocolError(_LATER)
        return before

    def need(self, client: int, clock: int) -> None:
        """Take note that an item must be known."""
        if clock > self.found.needs.get(client, -1):
            self.found.needs[client] = clock

    def place(self, info: int, client: int, clock: int) -> Place:
        """Take where an item belongs."""
        self._before = -1
        left = right = None
        if info & HAS_LEFT:
            left = self.id(client, clock)
            if left[0] == client:
                self._before = left[1]
        if info & HAS_RIGHT:
            right = self.id(client, clock)
        if left or right:
            return Place(right or left, False)
        parent = None
        if named := self.byte():
            if named > 1:
                raise ProtocolError("an item of an unknown kind")
            self.text()
        else:
            parent = self.id(client, clock)
            self._parents.add(parent)
        if info & HAS_KEY:
            self.text()
        return Place(parent, True)

    def content(self, kind: int, *, after: bool) -> int:
        """Pass over what an item holds, and return how many clocks that takes.

        `after` says whether it stands after another item, of a map in its place.
        """
        if kind == DELETED:  # values that were replaced at once, each by the next
            length = self.length()
            self.found.replaced += length - (not after)
            return length
        if kind == ANY:
            self.found.replaced += after
            length = self.length()
            self.values(length)
            return length
        self.found.others += 1
        if kind == STRING:
            size = self.length()
            self.skip(size)
            return self.units(self._at - size)
        if kind == JSON:  # yrs does not write it as it reads it; nobody else has written it for years
            raise ProtocolError("values of a kind that is out of use")
        self.single(kind)
        return 1

    def units(self, start: int) -> int:
        """Return the length of the text that ends here, as JavaScript counts it."""
        data = self._data[start : self._at]
        if data.isascii():
            return len(data)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise ProtocolError("text that is not UTF-8") from None
        units = len(text.encode("utf-16-le")) // 2
        self.found.paired |= units > len(text)
        return units

    def values(self, count: int) -> None:
        """Pass over plain values."""
        self._at, met = after_values(self._data, self._at, count, self._left)
        self._left -= met

    def single(self, kind: int) -> None:
        """Pass over what takes one clock."""
        if kind in (BINARY, EMBED):
            self.text()
        elif kind == FORMAT:
            self.text()
            self.text()
        elif kind == TYPE:
            self.type()
        elif kind == DOC:
            self.text()
            self.values(1)
        elif kind == MOVE:
            self.range(alone=bool(self.uint() & 1))
        else:
            raise IndexError

    def type(self) -> None:
        """Pass over what is said of a shared type."""
        kind = self.uint()
        if kind == _XML_ELEMENT:
            self.text()
        elif kind == _WEAK_LINK:
            self.skip(1)
            self.range(alone=not self._data[self._at - 1] & 1)

    def range(self, *, alone: bool) -> None:
        """Pass over the first item of a range, and the last one if it is not `alone`."""
        self.id()
        if not alone:
            self.id()
