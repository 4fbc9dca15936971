"""What an update consists of, read without pycrdt and without recursion. Pure.

There are four questions: whether the update would cost the process its stack, its memory or its time, or the document
its life; whether it holds anything that somebody may have typed; where the shared types in it belong; and where its
blocks begin and end.

pycrdt takes in much that it cannot give again, or that ends the process: values nested by the ten thousand, values in
the old form of JSON, items of no length, clocks beyond 31 bits, one client twice. Such updates are not given to
pycrdt; docs/topics/engine-faults.md shows what each does to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from sys import maxsize

from .blocks import Reader
from .protocol import ProtocolError, read_uint
from .shapes import HAS_LEFT, HAS_RIGHT, TYPED, Block, Id, Outline

_MOST_VALUES = 1 << 22
_LEAST_SIZE = 4
"""So many plain values may be in any update, or one for so many bytes: each takes 24 bytes of memory at least."""


def refuse_hazards(update: bytes) -> None:
    """Raise ProtocolError for an update that is dangerous to read, or to have read, or in which that cannot be seen.

    Its values may be nested too deeply. It may hold what yrs takes in and cannot give again: then the document could
    never be loaded from the store any more, nor be sent to anybody.
    """
    examine(update)


def only_sets_values(update: bytes) -> bool:
    """Say whether an update only sets keys of maps to plain values: nobody typed text, or put in or took out a cell.

    A plain value that is replaced is deleted; what else is deleted, somebody took out. Raises ProtocolError.
    """
    reader = examine(update)
    return not reader.others and reader.deleted <= reader.replaced


def without_deletions(update: bytes) -> bytes:
    """Return an update without its deletions. Raises ProtocolError."""
    return update[: examine(update).structs] + b"\x00"


_ONE_TEXT = Outline()
_ONE_TEXT.others, _ONE_TEXT.listed, _ONE_TEXT.structs = 1, True, -1


def examine(update: bytes) -> Outline:
    """Walk over an update; raises ProtocolError as `refuse_hazards` does."""
    return _ONE_TEXT if typed(update) else outline(update)


def typed(update: bytes) -> re.Match[bytes] | None:
    """Return how an update is written that nearly all are like: one short text, next to what is older; else None.

    It has no characters of two ids. The groups are those of `TYPED`. On the hot path.
    """
    found = TYPED.match(update)
    if found is None or len(update) != found.end() + update[found.end() - 1] + 1 or update[-1]:
        return None
    own = int.from_bytes(found[2], "little")  # of numbers that are written so, the larger is the larger
    for clock in found.group(3, 5, 7):
        if clock and int.from_bytes(clock, "little") >= own:
            return None
    text = update[found.end() : -1]
    return found if text.isascii() or max(text) < 0xF0 else None


def outline(update: bytes) -> Outline:
    """Walk over an update as `examine` does, and leave nothing out: that knows no ids of what was typed."""
    if isinstance(update, Examined):
        return update.outline
    reader = Reader(update, max(_MOST_VALUES, len(update) // _LEAST_SIZE))
    held = reader.outline()
    reader.refuse_parents()
    return held


def made_here(update: bytes) -> Outline:
    """Walk over an update as `outline` does, but one that was let through before, or was made here: of any size."""
    if isinstance(update, Examined):
        return update.outline
    return Reader(update, maxsize).outline()


class Examined(bytes):
    """An update that was walked over before, where that takes long; who does it again gets what came of it."""

    _found: Outline | ProtocolError
    _blocks: Sequence[Block] = ()

    @property
    def outline(self) -> Outline:
        """What it holds. Raises ProtocolError as the function `outline` did."""
        if isinstance(self._found, ProtocolError):
            raise self._found
        return self._found

    @classmethod
    def of(cls, update: bytes) -> Examined:
        """Walk over an update."""
        examined = cls(update)
        try:
            examined._found = outline(update)
            examined._blocks = tuple(blocks(update))
        except ProtocolError as error:
            examined._found = error
        return examined


def blocks(update: bytes) -> Iterator[Block]:
    """Yield the blocks of an update that `examine` let through, or that was made here and may be of any size."""
    if isinstance(update, Examined) and update._blocks:
        return iter(update._blocks)
    return Reader(update, maxsize).blocks()


def neighbours(update: bytes, block: Block) -> tuple[Id | None, Id | None, int]:
    """Return the ids that a block, which is no gap, names on its left and right, and where what comes then begins."""
    at, left, right = block.start + 1, None, None
    if block.info & HAS_LEFT:
        left, at = _id(update, at)
    if block.info & HAS_RIGHT:
        right, at = _id(update, at)
    return left, right, at


def deletions(update: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield of each run of deleted items that ends an update their author, the first clock, and the one after.

    Raises ProtocolError. Source: the delete set of yjs (src/utils/DeleteSet.js).
    """
    authors, at = read_uint(update, made_here(update).structs)
    for _ in range(authors):
        client, at = read_uint(update, at)
        runs, at = read_uint(update, at)
        for _ in range(runs):
            start, at = read_uint(update, at)
            length, at = read_uint(update, at)
            yield client, start, start + length


def _id(update: bytes, at: int) -> tuple[Id, int]:
    client, at = read_uint(update, at)
    clock, at = read_uint(update, at)
    return (client, clock), at
