"""What an update is made of: kinds of blocks, patterns for those that are frequent, and what is told of them. Pure.

Source: the update format, version 1, of yjs (src/utils/encoding.js, src/structs) as yrs reads it (update.rs,
block.rs), whose content type Move yjs does not have.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .values import SHORT, SIMPLE

GC, DELETED, JSON, BINARY, STRING, EMBED, FORMAT, TYPE, ANY, DOC, SKIP, MOVE = range(12)
HAS_LEFT, HAS_RIGHT = 0x80, 0x40
HAS_KEY, UNUSED, CONTENT = 0x20, 0x10, 0x0F

_CLIENT = rb"(?:[\x00-\x7f]|[\x80-\xff]{1,6}[\x01-\x7f]|[\x80-\xff]{7}[\x01-\x0f])"
_CLOCK = rb"(?:[\x00-\x7f]|[\x80-\xff]{1,3}[\x01-\x7f])"
_ID = _CLIENT + _CLOCK
"""The id of an item, of ordinary size, in its shortest form."""


def _item(kind: int, content: bytes) -> bytes:
    """Return what matches an item of a kind, with names of ordinary size, up to where it holds `content`."""
    side, both, root, keyed = (
        re.escape(bytes([kind | flags])) for flags in (HAS_LEFT, HAS_LEFT | HAS_RIGHT, 0, HAS_KEY)
    )
    side += re.escape(bytes([kind | HAS_RIGHT, kind | HAS_LEFT | HAS_KEY]))
    parent = rb"(?:\x01(?:%b)|\x00%b)" % (SHORT, _ID)
    places = (rb"[%b]%b" % (side, _ID), both + _ID + rb"()" + _ID, root + parent, keyed + parent + rb"(?:%b)" % SHORT)
    return rb"(?:%b)()(?:%b)" % (b"|".join(places), content)


ITEM = re.compile(
    rb"(?s:%b|%b|%b)" % (_item(STRING, rb"[\x01-\x7f]"), _item(ANY, rb"\x01(?:%b)" % SIMPLE), _item(TYPE, rb"[\0-\2]"))
)
"""Most items of most documents: a short text, a simple value, a shared type.

Each has two groups, which catch nothing: one before its second neighbour, and one before what it holds.
"""
HOLDS_VALUE, HOLDS_TYPE = 4, 6
_NEIGHBOUR = rb"(?:\1(%b)|(%b))" % (_CLOCK, _ID)
"""The same after a first group that is the author: two groups, for the clock of one of that author, or another id."""
TYPED = re.compile(rb"\x01\x01(%b)(%b)(?:[\x44\x84]%b|\xc4%b%b)[\x01-\x7f]" % (_CLIENT, _CLOCK, *(_NEIGHBOUR,) * 3))
"""The beginning of what people type: one author, one item, its neighbours, and the length of a short text."""

Id = tuple[int, int]
"""Names an item: the client that made it, and the clock."""


class Place(NamedTuple):
    """Where an item belongs: inside the type `id`, or next to the item `id`; None inside a type that has a name."""

    id: Id | None
    inside: bool


class Block(NamedTuple):
    """One block of an update: an item, a gap, or what was collected.

    Attributes:
        client, clock, length: it has the ids from `clock` up to `clock + length` of `client`.
        info: its kind, and which neighbours are named.
        start, content, end: where in the update it begins, what it holds begins, and it ends.
    """

    client: int
    clock: int
    length: int
    info: int
    start: int
    content: int
    end: int

    @property
    def kind(self) -> int:
        """What it holds: one of the constants of this module."""
        return self.info & CONTENT


class Outline:
    """What an update holds.

    Attributes:
        begins, ends: the clock of the first block of each client, and the one after the last.
        needs: the last clock of each client that must be known before all of it can be taken in, besides those in it.
        gaps: whether blocks are missing between others.
        types: where each shared type belongs.
        structs: where its blocks end, and its deletions begin; negative where it is counted from the end.
        deleted: how many items it deletes.
        replaced: how many items were deleted because a plain value came in their place.
        others: how many items hold something else than plain values.
        listed: whether anything in it stands in a text or a list, and not under a key.
        scattered: whether its blocks are to be joined before yrs does it.
        paired: whether a text in it has characters that JavaScript counts as two.
    """

    __slots__ = (
        "begins",
        "deleted",
        "ends",
        "gaps",
        "listed",
        "needs",
        "others",
        "paired",
        "replaced",
        "scattered",
        "structs",
        "types",
    )

    def __init__(self) -> None:
        """Know of nothing in it yet."""
        self.begins: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self.needs: dict[int, int] = {}
        self.types: dict[Id, Place] = {}
        self.structs = self.deleted = self.replaced = self.others = 0
        self.gaps = self.listed = self.scattered = self.paired = False
