"""Several updates as one, and one with its blocks joined. Pure, and linear in the bytes.

pycrdt's own `merge_updates` sorts all updates again for each block, which is quadratic. And where an update holds many
short blocks of one author, as those have that were merged from what a person typed, yrs takes the square of their
number in memory to join them; so they are joined here before.

Source: `mergeUpdates` of yjs (src/utils/updates.js), and how its structs are cut and joined (src/structs).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from sys import maxsize
from typing import TypeAlias

from .protocol import NO_CHANGE, read_uint, write_uint
from .shapes import ANY, CONTENT, DELETED, GC, HAS_KEY, HAS_LEFT, SKIP, STRING, Block, Id
from .structure import blocks, deletions, neighbours
from .values import after_values

_Piece: TypeAlias = tuple[Block, bytes]
"""A block, and the update that it is in."""
Runs: TypeAlias = "dict[int, list[tuple[int, int]]]"
"""What is deleted, by client: the first clock, and the one after the last."""

_REPLACEMENT = "\ufffd"


def merged(updates: Sequence[bytes]) -> bytes:
    """Return what several updates hold as one update; its blocks are joined.

    All of them were let through by `examine`, or made here. Where two hold different items with one id, as no client
    writes them, the one that begins first is taken, and of those the first that is given.
    """
    pieces: dict[int, list[_Piece]] = {}
    runs: Runs = {}
    for update in updates:
        if update == NO_CHANGE:
            continue
        for block in blocks(update):
            if block.info != SKIP:
                pieces.setdefault(block.client, []).append((block, update))
        for client, start, end in deletions(update):
            runs.setdefault(client, []).append((start, end))
    clients = [_client(client, pieces[client]) for client in sorted(pieces, reverse=True)]
    return b"".join([write_uint(len(clients)), *clients, _written(runs)])


def cut(update: bytes, block: Block, offset: int) -> bytes:
    """Return a block of an update without its first ids."""
    return _Item(block, update, offset).encode()


def collected(update: bytes, runs: Mapping[int, Iterable[tuple[int, int]]]) -> bytes:
    """Return an update with nothing in the place of those of its blocks that have ids in `runs`."""
    parts, at = [], 0
    for block in blocks(update):
        if any(start < block.clock + block.length and block.clock < end for start, end in runs.get(block.client, ())):
            parts += [update[at : block.start], bytes([GC]), write_uint(block.length)]
            at = block.end
    return b"".join([*parts, update[at:]])


def _client(client: int, pieces: list[_Piece]) -> bytes:
    """Return the blocks of one client, each clock once, with gaps where some are missing."""
    pieces.sort(key=lambda piece: piece[0].clock)
    items: list[_Item] = []
    first = end = pieces[0][0].clock
    for block, update in pieces:
        if block.clock + block.length <= end:
            continue
        if block.clock > end:
            items.append(_Item.gap(block.clock - end))
            end = block.clock
        item = _Item(block, update, end - block.clock)
        end = block.clock + block.length
        if not (items and items[-1].join(item)):
            items.append(item)
    return b"".join([*map(write_uint, (len(items), client, first)), *map(_Item.encode, items)])


class _Item:
    """A block that is written, from the ids of which the first `offset` are left out; others may be joined to it."""

    __slots__ = ("_id", "_info", "_left", "_length", "_parts", "_place", "_right", "_size")

    def __init__(self, block: Block, update: bytes, offset: int) -> None:
        self._info = block.info
        self._length = block.length - offset
        self._id = block.client, block.clock + offset
        self._left: Id | None = None
        self._right = self._place = b""
        if block.info != GC:
            self._read_place(block, update, offset)
        self._size, content = _content(block, update, offset)
        self._parts = [content]

    @classmethod
    def gap(cls, length: int) -> _Item:
        """Return what stands for blocks that are missing."""
        return cls(Block(0, 0, length, SKIP, 0, 0, 0), b"", 0)

    def _read_place(self, block: Block, update: bytes, offset: int) -> None:
        self._left, right, at = neighbours(update, block)
        if right:
            self._right = b"".join(map(write_uint, right))
        self._place = update[at : block.content]
        if at > block.start + 1:  # what it says of a key there is not read
            self._info &= ~HAS_KEY
        if offset:
            client, clock = self._id
            self._info = self._info & ~HAS_KEY | HAS_LEFT
            self._left, self._place = (client, clock - 1), b""

    def join(self, other: _Item) -> bool:
        """Take in the block that comes next, where yjs and yrs would do so; return whether that is done."""
        client, clock = self._id
        same = self._info == GC == other._info
        if not same and other._info & CONTENT in (STRING, ANY, DELETED):
            follows = other._left == (client, clock + self._length - 1) and other._right == self._right
            same = follows and (self._info & ~HAS_KEY | HAS_LEFT) == other._info
        if same:
            self._length += other._length
            self._size += other._size
            self._parts += other._parts
        return same

    def encode(self) -> bytes:
        """Return it as it stands in an update."""
        parts = [bytes([self._info])]
        if self._left:
            parts += map(write_uint, self._left)
        parts += (self._right, self._place)
        if self._info in (GC, SKIP) or self._info & CONTENT in (STRING, ANY, DELETED):
            parts.append(write_uint(self._size))
        return b"".join([*parts, *self._parts])


def _content(block: Block, update: bytes, offset: int) -> tuple[int, bytes]:
    """Return what a block holds after the first `offset` ids: the number that stands before it, and what follows."""
    if block.info in (GC, SKIP) or block.kind == DELETED:
        return block.length - offset, b""
    if block.kind not in (STRING, ANY):
        return 0, update[block.content : block.end]
    size, at = read_uint(update, block.content)
    if block.kind == ANY:
        if offset:
            at, _ = after_values(update, at, offset, maxsize)
        return size - offset, update[at : block.end]
    text = update[at : block.end]
    if offset:
        text = _without(text, offset)
    return len(text), text


def _without(text: bytes, offset: int) -> bytes:
    """Return a text without its first UTF-16 units; half a character that is left is replaced, as yjs does it."""
    rest = text.decode(errors="replace").encode("utf-16-le")[2 * offset :].decode("utf-16-le", errors="surrogatepass")
    return (_REPLACEMENT + rest[1:] if "\udc00" <= rest[0] <= "\udfff" else rest).encode()


def deletion(runs: Runs) -> bytes:
    """Return an update that deletes items and does nothing else."""
    return b"\x00" + _written(runs)


def _written(runs: Runs) -> bytes:
    """Return deletions as they end an update, each once."""
    parts = [write_uint(len(runs))]
    for client in sorted(runs, reverse=True):
        union = list(_union(runs[client]))
        parts += map(write_uint, (client, len(union)))
        parts += [write_uint(start) + write_uint(end - start) for start, end in union]
    return b"".join(parts)


def _union(runs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield runs without overlap, in ascending order."""
    first, last = -1, -1
    for start, end in sorted(runs, key=itemgetter(0)):
        if first >= 0 and start <= last:
            last = max(last, end)
            continue
        if first >= 0:
            yield first, last
        first, last = start, end
    if first >= 0:
        yield first, last
