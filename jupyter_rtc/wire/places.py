"""Which items of a document stand in a text, and which in a list or under a key. Pure.

Characters, embedded objects and formats stand in texts, and nowhere else: every client puts the plain values, binaries,
documents and shared types of a list, or of a map, there as such. Characters in a list are therefore misplaced, and
reading the list with pycrdt never ends where one of them takes more than a byte.

An update does not say where its items are: most refer to a neighbour. So an index has, as runs of clocks, the items
that are *apart*, in a list or under a key: those of a notebook's cell are one run or two. Items whose place is not
known, such as collected ones, are not refused.

Source: what yjs puts where (`typeListInsertGenericsAfter`, `typeMapSet` and `insertText` in src/types), and how yrs
finds out where an item belongs (`Item::repair` in block.rs).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Collection, Mapping
from heapq import heappop, heappush
from typing import NamedTuple

from .merging import Runs
from .protocol import NO_CHANGE, read_uint
from .shapes import CONTENT, DELETED, EMBED, FORMAT, GC, HAS_KEY, HAS_LEFT, HAS_RIGHT, SKIP, STRING, TYPE, Block, Id
from .structure import blocks, neighbours

_OTHERS = (0, 1, 3, 4, 5)
"""The kinds of shared types that hold no text: `YArray`, `YMap`, `YXmlElement`, `YXmlFragment`, `YXmlHook`."""
_TEXT, _APART, _LISTED, _GONE = range(4)
"""Where an item is: in a text, as far as is known; in a list or under a key; in a root of which the name tells that;
or that is not known, for it was collected, or has not come.
"""
_PLACE = HAS_LEFT | HAS_RIGHT | HAS_KEY


class Ids:
    """A set of ids, as runs of clocks of each client: eight bytes for a run."""

    def __init__(self) -> None:
        """Begin with none."""
        self._bounds: dict[int, array[int]] = {}

    def __contains__(self, id: Id) -> bool:
        """Whether an id is among them."""
        bounds = self._bounds.get(id[0])
        return bounds is not None and bisect_right(bounds, id[1]) % 2 == 1

    def add(self, client: int, start: int, end: int) -> None:
        """Add a run: the first clock, and the one after the last."""
        bounds = self._bounds.setdefault(client, array("I"))
        if not bounds or bounds[-1] < start:
            bounds.extend((start, end))
        elif bounds[-1] == start:
            bounds[-1] = end
        else:
            first, last = bisect_left(bounds, start), bisect_right(bounds, end)
            bounds[first:last] = array("I", [start] * (1 - first % 2) + [end] * (1 - last % 2))

    def end(self, client: int) -> int:
        """Return the clock after the last of a client's ids among them."""
        bounds = self._bounds.get(client)
        return bounds[-1] if bounds else 0


class Found(NamedTuple):
    """What an update brings.

    Attributes:
        runs: for each place, the runs of items there: of which client, the first clock, and the one after the last.
        others: the shared types that hold no text.
        misplaced: the items that hold what only texts do, and are in none; and those between two places.
        unfit: those of which only the names of the lists tell that.
    """

    runs: dict[int, list[list[int]]]
    others: set[Id]
    misplaced: Runs
    unfit: Runs


class Places:
    """The items of one document that are in no text, and its shared types that hold none.

    Attributes:
        misplaced: what of the document, as it was at first, must not be where it is.
    """

    def __init__(self, lists: Collection[str] = (), state: bytes = NO_CHANGE) -> None:
        """Begin with a document of this state; `lists` are the names of its roots that hold no text."""
        self._ids = {place: Ids() for place in (_APART, _LISTED, _GONE)}
        self._others = Ids()
        self._lists = frozenset(name.encode() for name in lists)
        found = self.look(state)
        self.take(found)
        self.misplaced: Runs = {
            client: found.misplaced.get(client, []) + found.unfit.get(client, [])
            for client in found.misplaced.keys() | found.unfit.keys()
        }

    def look(self, update: bytes, known: Mapping[int, int] | None = None) -> Found:
        """Say what an update brings to a document that has so much of each client; what it has already is passed over.

        Without `known`, all that it builds on is in the document, and nothing of what it brings. Else it may build on
        what has not come, of which it is not known where it is.
        """
        return _Look(self, update, known).found()

    def take(self, found: Found) -> None:
        """Take note of what an update brought."""
        for place, ids in self._ids.items():
            for client, start, end in found.runs[place]:
                ids.add(client, start, end)
        for client, clock in found.others:
            self._others.add(client, clock, clock + 1)

    def note(self, update: bytes) -> None:
        """Take note of an update that brings nothing but what is new."""
        self.take(self.look(update))

    def of(self, id: Id) -> int:
        """Return the place of an item."""
        return next((place for place, ids in self._ids.items() if id in ids), _TEXT)

    def inside(self, parent: Id | bytes) -> int:
        """Return the place of what is inside a shared type, or the root of a name."""
        if isinstance(parent, bytes):
            return _LISTED if parent in self._lists else _TEXT
        return _APART if parent in self._others else _TEXT


class _Look:
    """Finds out of each item of an update whether it is apart.

    The blocks of a client come in the order in which they were made, and the clients in any order: what stands next to
    an item that comes later is parked until that is placed.
    """

    def __init__(self, places: Places, update: bytes, known: Mapping[int, int] | None) -> None:
        self._places = places
        self._update = update
        self._whole, self._known = known is None, known or {}
        self._fresh = {place: Ids() for place in (_APART, _LISTED, _GONE)}
        self._first: dict[int, int] = {}
        self._placed: dict[int, int] = {}
        self._parked: dict[int, deque[Block]] = {}
        self._reading = read_uint(update, 0)[0] > 1
        self._found = Found({_APART: [], _LISTED: [], _GONE: []}, set(), {}, {})

    def found(self) -> Found:
        """Look at all blocks."""
        for block in blocks(self._update):
            self._first.setdefault(block.client, block.clock)
            self._placed.setdefault(block.client, block.clock)  # what was before has not to be waited for
            if queue := self._parked.get(block.client):
                queue.append(block)
            elif self._place(block):
                self._parked[block.client] = deque([block])
        self._reading = False
        self._place_parked()
        return self._found

    def _place_parked(self) -> None:
        blocked: dict[int, list[Id]] = {}
        turn = list(self._parked)
        while turn:
            client = turn.pop()
            if lacks := self._advance(self._parked[client]):
                heappush(blocked.setdefault(lacks[0], []), (lacks[1], client))
            others = blocked.get(client, [])
            while others and others[0][0] < self._placed.get(client, 0):
                turn.append(heappop(others)[1])

    def _advance(self, queue: deque[Block]) -> Id | None:
        """Place what can be placed; return the id that the next block waits for, None at the end."""
        while queue:
            if lacks := self._place(queue[0]):
                return lacks
            queue.popleft()
        return None

    def _place(self, block: Block) -> Id | None:
        """Take note of where a block is; return the id of an item that has to be placed before, if there is one."""
        client, clock, length, info, _, content, _ = block
        end, known = clock + length, self._known.get(client, 0)
        if known < end and info == GC:
            self._note(_GONE, client, max(clock, known), end)
        elif known < end and info != SKIP:
            if info & _PLACE == HAS_KEY:
                place: int | Id = _APART
            else:
                place = self._of((client, known - 1)) if known > clock else self._stands(block)
                if not isinstance(place, int):
                    return place
            if isinstance(place, int) and place in (_APART, _LISTED):
                self._note(place, client, max(clock, known), end)
                if info & CONTENT in (STRING, EMBED, FORMAT):
                    self._misplace(block, certain=place == _APART)
            if info & CONTENT == TYPE and self._update[content] in _OTHERS:
                self._found.others.add((client, clock))
        self._placed[client] = end
        return None

    def _note(self, place: int, client: int, start: int, end: int) -> None:
        runs = self._found.runs[place]
        if runs and runs[-1][2] == start and runs[-1][0] == client:
            runs[-1][2] = end
        else:
            runs.append([client, start, end])
        self._fresh[place].add(client, start, end)

    def _misplace(self, block: Block, *, certain: bool) -> None:
        if block.kind == DELETED and not certain:  # then that is done
            return
        runs = self._found.misplaced if certain else self._found.unfit
        start = max(block.clock, self._known.get(block.client, 0))
        runs.setdefault(block.client, []).append((start, block.clock + block.length))

    def _stands(self, block: Block) -> int | Id:
        """Return the place of an item, by what it says of it; or the id of an item on which that depends."""
        if not block.info & (HAS_LEFT | HAS_RIGHT):
            return self._begins(block)
        left, right, _ = neighbours(self._update, block)
        if not (left and right):
            return self._of(left or right or (0, 0))
        one, other = self._of(left), self._of(right)
        if not isinstance(one, int) or not isinstance(other, int):
            return other if isinstance(one, int) else one
        if _GONE in (one, other):
            return other if one == _GONE else one
        if one != other:
            self._misplace(block, certain=_APART in (one, other))
        return one

    def _begins(self, block: Block) -> int | Id:
        """Do what `_stands` does, for an item that names neither a neighbour nor a key."""
        number, at = read_uint(self._update, block.start + 2)
        if self._update[block.start + 1]:
            return self._places.inside(self._update[at : at + number])
        parent = number, read_uint(self._update, at)[0]
        if parent in self._found.others:
            return _APART
        return self._places.inside(parent) if self._is_here(parent) else parent

    def _of(self, id: Id) -> int | Id:
        """Return the place of an item; or its id, if that has to be placed first."""
        if not self._is_here(id):
            return id
        fresh = (place for place, ids in self._fresh.items() if id in ids)
        return self._places.of(id) or next(fresh, _TEXT if self._has(id) else _GONE)

    def _has(self, id: Id) -> bool:
        """Say whether an item is in the document, or in the update."""
        client, clock = id
        if self._whole or clock < self._known.get(client, 0):
            return True
        return self._first.get(client, 0) <= clock < self._placed.get(client, 0)

    def _is_here(self, id: Id) -> bool:
        """Say whether an item is in the document, or placed, or never will be."""
        client, clock = id
        here = clock < self._known.get(client, 0) or clock < self._placed.get(client, 0)
        return here or not (self._reading or self._parked.get(client))
