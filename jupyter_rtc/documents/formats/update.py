"""Write a new shared document as Yjs updates, without a CRDT engine: same content, same bytes.

pycrdt would do it too, but keeps plain JSON in hash maps of random order, so that its bytes differ each time;
it needs the event loop's thread for as long as the building lasts; and it panics on values that JSON allows.
The format is that of lib0 and of Yjs's update encoding, version 1 (yjs: src/utils/UpdateEncoder.js,
src/structs).
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from ...wire import clean

# Kinds of content (yjs: readItemContent) and of shared types (yjs: ContentType.js).
_STRING, _TYPE, _ANY = 4, 7, 8
ARRAY, MAP, TEXT = 0, 1, 2
# Bits of an item's first byte: it has a left neighbour; it is the value of a key of its parent.
_AFTER, _KEYED = 0x80, 0x20
_FLOAT = 123
_MOST_CHARACTERS = 1 << 19
_MOST_BYTES, _MOST_ITEMS = 1 << 18, 1 << 10
_AT_ONCE = 10_000
"""So many numbers are encoded while no other thread runs."""

NO_CHANGE = b"\0\0"
"""The update that changes nothing."""

# The way documents are built: see `genesis`.
_BUILD = 2

Parent = str | int
"""Where an item belongs: the name of a root type, or the clock of the item that is its parent type."""


@dataclass(frozen=True)
class Built:
    """A shared document made from an `Original`, as updates of the Yjs protocol (v1).

    Equal originals give an equal `genesis` and byte-identical updates, in every process and at every time
    (for registered types: as far as the type's own code does). No random id or time is in them.
    """

    genesis: int
    """The client id that authored all of it, derived from the content: 1 <= genesis < 2**53."""
    updates: tuple[bytes, ...]
    """To be applied in this order to an empty document; each takes about a millisecond."""
    snapshot: Callable[[], bytes] = field(repr=False, compare=False)
    """Returns one update that holds the whole document: what a store keeps as the first snapshot."""


class Draft:
    """A document that is being written by one author, item by item, as a chain of updates.

    Every method that adds an item returns its clock: how that type is named as the parent of other items.
    """

    def __init__(self, client: int) -> None:
        """Begin an empty document, all of it by the client id `client` (0 <= client < 2**53)."""
        self.client = client
        self._client = varuint(client)
        self._clock = 0
        self._start = 0
        self._items: list[bytes] = []
        self._size = 0
        self._chunks: list[tuple[int, int, bytes]] = []

    def entry(self, parent: Parent, key: str, value: Any) -> None:
        """Set `key` of the map `parent` to a plain JSON value."""
        self._add(_keyed(_ANY), self._place(parent) + _string(key), b"\x01" + encode(value), 1)

    def typed_entry(self, parent: Parent, key: str, kind: int) -> int:
        """Set `key` of the map `parent` to a new shared type: `ARRAY`, `MAP` or `TEXT`."""
        return self._add(_keyed(_TYPE), self._place(parent) + _string(key), varuint(kind), 1)

    def append(self, parent: Parent, after: int | None, kind: int) -> int:
        """Add a new shared type to the array `parent`, behind its last item, `after` (None: it is the
        first)."""
        if after is None:
            return self._add(bytes([_TYPE]), self._place(parent), varuint(kind), 1)
        return self._add(bytes([_TYPE | _AFTER]), self._client + varuint(after), varuint(kind), 1)

    def write(self, parent: Parent, text: str) -> None:
        """Fill the empty text `parent`.

        Long texts become several items with a unit of nothing between them. Engines melt neighbouring items
        of one author into one, which copies all of the text for each piece, and again for every edit inside
        it.
        """
        place, kind = self._place(parent), bytes([_STRING])
        text = clean(text)
        for at in range(0, len(text), _MOST_CHARACTERS):
            piece = text[at : at + _MOST_CHARACTERS]
            length = len(piece) if piece.isascii() else len(piece.encode("utf-16-le")) // 2
            if at:
                self.cut()
                self.nothing()
            last = self._add(kind, place, _string(piece), length) + length - 1
            place, kind = self._client + varuint(last), bytes([_STRING | _AFTER])

    def nothing(self) -> None:
        """Add one unit of nothing, so that an empty document, too, can be told by its author."""
        self._add(b"\x00", b"", b"\x01", 1)

    def cut(self) -> None:
        """End the current update here if it is big enough."""
        if self._size >= _MOST_BYTES or len(self._items) >= _MOST_ITEMS:
            self._end()

    def updates(self) -> tuple[bytes, ...]:
        """Return all that was written, as updates to be applied in this order."""
        self._end()
        return tuple(self._update(start, count, items) for start, count, items in self._chunks)

    def snapshot(self) -> bytes:
        """Return all that was written, as one update."""
        self._end()
        total = sum(count for _, count, _ in self._chunks)
        return self._update(0, total, *(items for _, _, items in self._chunks))

    def built(self) -> Built:
        """Return what was written."""
        return Built(self.client, self.updates(), self.snapshot)

    def _add(self, info: bytes, place: bytes, content: bytes, length: int) -> int:
        clock = self._clock
        item = info + place + content
        self._items.append(item)
        self._size += len(item)
        self._clock += length
        return clock

    def _place(self, parent: Parent) -> bytes:
        if isinstance(parent, str):
            return b"\x01" + _string(parent)
        return b"\x00" + self._client + varuint(parent)

    def _end(self) -> None:
        if self._items:
            self._chunks.append((self._start, len(self._items), b"".join(self._items)))
            self._items = []
            self._start, self._size = self._clock, 0

    def _update(self, start: int, count: int, *items: bytes) -> bytes:
        # One author, no deletions.
        return b"".join([b"\x01", varuint(count), self._client, varuint(start), *items, b"\x00"])


def genesis(kind: str, version: str, pieces: Iterable[str]) -> int:
    """Return the client id for a document that is built from `pieces`: 1 <= genesis < 2**53.

    The same pieces must always give the same document: `_BUILD` is part of it, and is to be raised whenever
    the way documents are built changes. Otherwise two histories would use the same ids for different things.
    """
    digest = sha256(f"{_BUILD}\0{kind}\0{version}\0".encode())
    for piece in pieces:
        digest.update(piece.encode(errors="surrogatepass"))
    return (int.from_bytes(digest.digest()[:8], "big") >> 11) or 1


def encode(value: Any) -> bytes:
    """Encode a JSON value, as Python's json decodes it to floats, as lib0's `any`.

    So a JavaScript client has what JSON.parse would give it: numbers are floats (lib0 has big integers too, which
    JavaScript cannot turn into JSON again). NaN and the infinities, which JSON lacks, become null, as JSON.stringify
    has it; lone surrogates become U+FFFD.
    """
    out = bytearray()
    _encode(out, value)
    return bytes(out)


def fingerprint(value: Any) -> bytes:
    """Return bytes that are the same for all JSON values that are the same in a document.

    Not JSON: to write that is one call of C, and nobody else's turn comes before a million numbers are written.
    """
    return encode(_sorted(value))


def _sorted(value: Any) -> Any:
    """Return a JSON value with the keys of all objects in order."""
    if isinstance(value, dict):
        return {clean(key): _sorted(value[key]) for key in sorted(value, key=clean)}
    if isinstance(value, list) and not {dict, list}.isdisjoint(map(type, value)):
        return [_sorted(item) for item in value]
    return value


def varuint(number: int) -> bytes:
    """Encode a number as lib0 does: seven bits a byte, the lowest first."""
    if number < 128:
        return bytes([number])
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _keyed(kind: int) -> bytes:
    return bytes([kind | _KEYED])


def _string(text: str) -> bytes:
    data = clean(text).encode()
    return varuint(len(data)) + data


def _encode(out: bytearray, value: Any) -> None:
    if isinstance(value, str):
        out += b"\x77" + _string(value)
    elif value is None:
        out.append(126)
    elif isinstance(value, bool):
        out.append(120 if value else 121)
    elif isinstance(value, int | float):
        out += struct.pack(">Bd", _FLOAT, value) if math.isfinite(value) else b"\x7e"
    elif isinstance(value, dict):
        out += b"\x76" + varuint(len(value))
        for key, item in value.items():
            out += _string(str(key))
            _encode(out, item)
    elif isinstance(value, list | tuple):
        out += b"\x75" + varuint(len(value))
        _encode_items(out, value)
    else:
        raise TypeError(f"not a JSON value: {type(value).__name__}")


def _encode_items(out: bytearray, items: Sequence[Any]) -> None:
    for at in range(0, len(items), _AT_ONCE):
        some = items[at : at + _AT_ONCE]
        if set(map(type, some)) == {float} and math.isfinite(sum(some)):
            out += _floats(some)
            continue
        for item in some:
            _encode(out, item)


def _floats(numbers: Sequence[float]) -> bytes:
    """Encode numbers, all of them in a few steps: plots have long lists of them."""
    words = array("d", numbers)
    if sys.byteorder == "little":
        words.byteswap()
    data = words.tobytes()
    out = bytearray(9 * len(words))
    out[0::9] = bytes([_FLOAT]) * len(words)
    for place in range(8):
        out[place + 1 :: 9] = data[place::8]
    return bytes(out)
