"""Characters that JavaScript counts as two, such as emoji, and updates that cut one in half. Pure.

Yjs counts a text in units of UTF-16, so that such a character has two ids, a client may delete one of them, or put
something between the two: a replacement with a regular expression that has no `u` flag does it, or an editor that
exchanges one emoji for another by the shortest difference. Yjs then shows both halves as U+FFFD. yrs rounds the place
of the cut, but not the ids: from then on all that it writes of the document is wrong by one.

So no character is cut here. In a room, one more update deletes both halves for all members first: half a character is
none, and a tombstone can be cut without harm. Where stored updates are applied again, the halves are replaced in the
bytes, as Yjs replaces them in a document.

Source: `ContentString.splice` of yjs (src/structs/ContentString.js).
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from .protocol import read_uint, write_uint
from .shapes import SKIP, STRING, Block, Id
from .structure import Examined, blocks, deletions, neighbours

_IN_BYTES = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")
_IN_TEXT = re.compile("[\U00010000-\U0010ffff]")
_SLICE = 1 << 20
"""So much is looked at with Python's lock held."""
_HALVES = "\ufffd\ufffd"


def has_pairs(update: bytes) -> bool:
    """Say whether an update may hold a character of two ids. False for nearly all, at the speed of a search."""
    if isinstance(update, Examined):
        return update.outline.paired
    return any(_IN_BYTES.search(update, at, at + _SLICE + 3) for at in range(0, len(update), _SLICE))


def pairs(update: bytes) -> Iterator[Id]:
    """Yield the id of the second half of each character that has two."""
    for block, text in _texts(update):
        for number, found in enumerate(_IN_TEXT.finditer(text)):
            yield block.client, block.clock + found.start() + number + 1


def cuts(update: bytes) -> Iterator[Id]:
    """Yield the ids before which an update cuts other blocks, or would cut them were they one."""
    for block in blocks(update):
        if block.info == SKIP:
            continue
        left, right, _ = neighbours(update, block)
        if left:
            yield left[0], left[1] + 1
        if right:
            yield right
    for client, start, end in deletions(update):
        yield client, start
        yield client, end


def halved(update: bytes, cut: set[Id]) -> bytes:
    """Return an update as yjs has it after cuts before some second halves: with each half as a character of its own."""
    parts, at = [], 0
    for block, text in _texts(update):
        pieces, done = [], 0
        for number, found in enumerate(_IN_TEXT.finditer(text)):
            if (block.client, block.clock + found.start() + number + 1) in cut:
                pieces += [text[done : found.start()], _HALVES]
                done = found.end()
        if pieces:
            content = "".join([*pieces, text[done:]]).encode()
            parts += [update[at : block.content], write_uint(len(content)), content]
            at = block.end
    return b"".join([*parts, update[at:]])


def cut_in(read: Callable[[], Iterable[bytes]]) -> set[Id]:
    """Return the second halves of the characters that are cut when updates are applied to an empty document.

    `read` gives the updates, and is called twice where one of them may hold such a character.
    """
    found = {id for update in read() if has_pairs(update) for id in pairs(update)}
    return {id for update in read() for id in cuts(update) if id in found} if found else set()


def whole(updates: Sequence[bytes]) -> Sequence[bytes]:
    """Return updates that are to be applied to an empty document, with each character that one of them cuts halved."""
    cut = cut_in(lambda: updates)
    return [halved(update, cut) for update in updates] if cut else updates


class Pairs:
    """The characters of two ids that a document was given: the clocks of their second halves, four bytes for each."""

    def __init__(self, *updates: bytes) -> None:
        """Know those of `updates`."""
        self._clocks: dict[int, array[int]] = {}
        for update in updates:
            self.note(update)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._clocks)

    def note(self, update: bytes) -> None:
        """Take note of those that an update brings."""
        for client, clock in pairs(update) if has_pairs(update) else ():
            clocks = self._clocks.setdefault(client, array("I"))
            at = bisect_left(clocks, clock) if clocks and clock <= clocks[-1] else len(clocks)
            if at == len(clocks) or clocks[at] != clock:
                clocks.insert(at, clock)

    def cut_by(self, update: bytes) -> set[Id]:
        """Return the second halves of those that an update cuts."""
        return {id for id in cuts(update) if id in self}

    def __contains__(self, id: Id) -> bool:
        """Whether an id is that of a second half."""
        clocks = self._clocks.get(id[0])
        if not clocks:
            return False
        at = bisect_left(clocks, id[1])
        return at < len(clocks) and clocks[at] == id[1]

    def forget(self, runs: Mapping[int, Iterable[tuple[int, int]]]) -> None:
        """Take note that characters are deleted: the clocks of their first halves, and those after the second."""
        for client, ends in runs.items():
            clocks = self._clocks[client]
            for _, end in ends:
                clocks.pop(bisect_left(clocks, end - 1))


def _texts(update: bytes) -> Iterator[tuple[Block, str]]:
    """Yield the texts of an update that have such characters."""
    for block in blocks(update):
        if block.kind == STRING and block.info != SKIP and _IN_BYTES.search(update, block.content, block.end):
            _, at = read_uint(update, block.content)
            yield block, update[at : block.end].decode(errors="replace")
