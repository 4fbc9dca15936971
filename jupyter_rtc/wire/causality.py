"""Pending updates: which blocks of an update can be integrated, and which miss a block that they build on. Pure.

yrs keeps pending blocks inside a document. Where there is a gap between them, it takes the gap for integrated, and the
blocks that belong there are lost when they come. So yrs is given no pending block. An update that is stored or sent as
one although a part of it is pending is marked: the number of its clients takes a byte more than it needs, which every
reader of the format accepts.

Source: how yjs integrates structs (src/utils/encoding.js, `integrateStructs`), and what each needs
(`getMissing` in src/structs/Item.js).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from .merging import Runs, cut, deletion, merged
from .protocol import NO_CHANGE, read_uint, write_uint
from .shapes import DELETED, GC, HAS_LEFT, HAS_RIGHT, SKIP, TYPE, Block, Id, Outline
from .structure import blocks, deletions, neighbours


class Parts(NamedTuple):
    """An update, divided into the blocks that can be integrated and the pending ones.

    Attributes:
        ready: an update of the blocks that can be integrated.
        rest: an update of the pending blocks; NO_CHANGE where there are none.
        missing: by client, the clock of a missing block without which no more of `rest` can be integrated.
        clocks: the document's state vector with `ready`, of the clients in `ready`.
    """

    ready: bytes
    rest: bytes
    missing: dict[int, int]
    clocks: dict[int, int]

    def lacks_less(self, known: Mapping[int, int]) -> bool:
        """Say whether a missing block is in a document with the state vector `known`."""
        return any(known.get(client, 0) > clock for client, clock in self.missing.items())


class Plan(NamedTuple):
    """What becomes of an update.

    Attributes:
        steps: the part of the update that can be integrated now.
        released: earlier pending updates that can be integrated after the steps, in this order.
        waits: whether a part of the update is pending.
        clocks: the state vector after that, at least of the clients in the steps.
        waiting: all pending updates after that.
    """

    steps: Sequence[bytes]
    released: Sequence[bytes]
    waits: bool
    clocks: Mapping[int, int]
    waiting: Sequence[Parts]

    @property
    def size(self) -> int:
        """The size of all pending updates after that, in bytes."""
        return sum(len(parts.rest) for parts in self.waiting)


class Order:
    """Puts updates into an order in which none is pending.

    Attributes:
        clocks: the document's state vector.
        waiting: the pending updates.
    """

    def __init__(self, clocks: dict[int, int]) -> None:
        """Begin with a document of this state vector."""
        self.clocks = clocks
        self.waiting: Sequence[Parts] = ()

    @property
    def rest(self) -> bytes:
        """All pending updates as one; NO_CHANGE if there are none."""
        if not self.waiting:
            return NO_CHANGE
        return parted(merged([parts.rest for parts in self.waiting]), self.clocks).rest  # without what others brought

    def plan(self, update: bytes, held: Outline) -> Plan:
        """Say what becomes of an update; `held` is its outline."""
        if not self.waiting and self._has(held):
            return Plan((update,), (), False, held.ends, ())
        parts = parted(update, self.clocks)
        waits = parts.rest != NO_CHANGE
        released: list[bytes] = []
        known = {**self.clocks, **parts.clocks}
        waiting = [*self.waiting, parts] if waits else list(self.waiting)
        while met := [one for one in waiting if one.lacks_less(known)]:
            waiting = [one for one in waiting if one not in met]
            again = parted(merged([one.rest for one in met]), known)
            released.append(again.ready)
            known |= again.clocks
            if again.rest != NO_CHANGE:
                waiting.append(again)
        steps = [] if parts.ready == NO_CHANGE else [parts.ready]
        return Plan(steps, [step for step in released if step != NO_CHANGE], waits, known, waiting)

    def follow(self, plan: Plan) -> None:
        """Take note that the steps of a plan were integrated."""
        self.waiting = plan.waiting
        for client, clock in plan.clocks.items():
            self.clocks[client] = max(clock, self.clocks.get(client, 0))

    def _has(self, held: Outline) -> bool:
        """Say whether the document has all blocks that an update builds on, and none of its own."""
        known = self.clocks.get
        begun = all(known(client, 0) == clock for client, clock in held.begins.items())
        return begun and not held.gaps and all(known(client, 0) > clock for client, clock in held.needs.items())


def marked(update: bytes) -> bytes:
    """Return an update with the mark that a part of it is pending."""
    clients, at = read_uint(update, 0)
    number = write_uint(clients)
    return number[:-1] + bytes([number[-1] | 0x80, 0]) + update[at:]


def is_marked(update: bytes) -> bool:
    """Say whether an update has the mark that a part of it is pending."""
    _, at = read_uint(update, 0)
    return at > 1 and update[at - 1] == 0


def parted(update: bytes, known: Mapping[int, int]) -> Parts:
    """Divide an update into the blocks that a document of the state vector `known` can integrate, and the rest."""
    queues: dict[int, deque[Block]] = {}
    for block in blocks(update):
        queues.setdefault(block.client, deque()).append(block)
    taken: dict[int, list[bytes]] = {client: [] for client in queues}
    begins = {client: known.get(client, 0) for client in queues}
    clocks = {client: known.get(client, 0) for client in queues}
    blocked: dict[int, list[tuple[int, int]]] = {}
    turn = list(queues)
    while turn:
        client = turn.pop()
        if lacks := _advance(update, queues[client], taken[client], clocks, known):
            heappush(blocked.setdefault(lacks[0], []), (lacks[1], client))
        others = blocked.get(client, [])
        while others and others[0][0] < clocks[client]:
            turn.append(heappop(others)[1])
    missing = {client: others[0][0] for client, others in blocked.items() if others}
    for client, queue in queues.items():
        if queue:  # somebody else may bring what is next, and then it does not matter what this one lacks
            missing[client] = min(queue[0].clock, missing.get(client, queue[0].clock))
    done, later = _deletions(update, {**known, **clocks}, missing)
    ready = [(client, begins[client], some) for client, some in taken.items()]
    rest = [(client, *_remaining(update, queue, clocks[client])) for client, queue in queues.items()]
    return Parts(_written(ready, done), _written(rest, later), missing, clocks)


def _advance(
    update: bytes, queue: deque[Block], taken: list[bytes], clocks: dict[int, int], known: Mapping[int, int]
) -> Id | None:
    """Take from a queue as many blocks as can be taken in; return what the next one lacks, None at the end."""
    while queue:
        block = queue[0]
        if block.clock + block.length <= clocks[block.client]:
            queue.popleft()
            continue
        if block.info == SKIP:
            queue.popleft()
            continue
        if lacks := _lacks(update, block, clocks, known):
            return lacks
        queue.popleft()
        taken.append(_unknown(update, block, clocks[block.client]))
        clocks[block.client] = block.clock + block.length
    return None


def _unknown(update: bytes, block: Block, clock: int) -> bytes:
    """Return a block without the ids before `clock`."""
    return update[block.start : block.end] if block.clock >= clock else cut(update, block, clock - block.clock)


def _remaining(update: bytes, queue: deque[Block], clock: int) -> tuple[int, list[bytes]]:
    """Return the blocks of a queue that are not known at `clock`, and the first clock."""
    some = [block for block in queue if block.info == SKIP or block.clock + block.length > clock]
    return max(some[0].clock, clock) if some else 0, [_unknown(update, block, clock) for block in some]


def _lacks(update: bytes, block: Block, clocks: Mapping[int, int], known: Mapping[int, int]) -> Id | None:
    """Return what a block needs and the document has not; None if nothing."""
    if block.clock > clocks[block.client]:
        return block.client, block.clock - 1
    for id in _needs(update, block, known_begin=block.clock < clocks[block.client]):
        if id[0] != block.client and id[1] >= clocks.get(id[0], known.get(id[0], 0)):
            return id
    return None


def _needs(update: bytes, block: Block, *, known_begin: bool) -> list[Id]:
    """Return the ids of the items that a block stands beside or inside; on its right only, if its begin is known."""
    if block.info == GC:
        return []
    left, right, _ = neighbours(update, block)
    if known_begin:
        return [right] if right else []
    beside = [id for id in (left, right) if id]
    parent = None if beside else _parent(update, block)
    return [parent] if parent else beside


def _parent(update: bytes, block: Block) -> Id | None:
    """Return the id of the type that a block without neighbours is in; None where that has a name."""
    if block.info in (GC, SKIP) or block.info & (HAS_LEFT | HAS_RIGHT) or update[block.start + 1] == 1:
        return None
    client, at = read_uint(update, block.start + 2)
    return client, read_uint(update, at)[0]


def foreign_parents(update: bytes) -> dict[Id, Runs]:
    """Return the ids of the types that items of an update are in and that it does not bring, with those items."""
    own = {(block.client, block.clock) for block in blocks(update) if block.kind == TYPE}
    found: dict[Id, Runs] = {}
    for block in blocks(update):
        if (parent := _parent(update, block)) and parent not in own:
            _add_block(found.setdefault(parent, {}), block)
    return found


def _add_block(runs: Runs, block: Block) -> None:
    """Add the ids of a block to some runs."""
    runs.setdefault(block.client, []).append((block.clock, block.clock + block.length))


def no_types(state: bytes, ids: Collection[Id]) -> set[Id]:
    """Return those of some ids under which a document, as `state` says, has neither a type nor what was deleted."""
    found: set[Id] = set()
    for block in blocks(state):
        if block.info != GC and block.kind not in (TYPE, DELETED, SKIP):
            found |= {id for id in ids if id[0] == block.client and 0 <= id[1] - block.clock < block.length}
    return found


def _deletions(update: bytes, known: Mapping[int, int], missing: dict[int, int]) -> tuple[Runs, Runs]:
    """Divide the deletions; take note in `missing` of what they need."""
    done: Runs = {}
    later: Runs = {}
    for client, start, end in deletions(update):
        clock = known.get(client, 0)
        if start < clock:
            done.setdefault(client, []).append((start, min(end, clock)))
        if end > clock:
            later.setdefault(client, []).append((max(start, clock), end))
            first = max(start, clock)
            missing[client] = min(first, missing.get(client, first))
    return done, later


def _written(chosen: Sequence[tuple[int, int, list[bytes]]], runs: Runs) -> bytes:
    """Return blocks, of each client with the first clock, and deletions, as an update."""
    sections = [
        b"".join([*map(write_uint, (len(some), client, clock)), *some]) for client, clock, some in chosen if some
    ]
    return b"".join([write_uint(len(sections)), *sections, deletion(runs)[1:]])
