"""One trial: a room, three peers, frames of which some were changed; and what must hold after each of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycrdt import Array, Doc, Map, Text
from relay.by_hand import GENESIS, append

from jupyter_rtc.relay import Member, Room, StoredRoom
from jupyter_rtc.relay.effects import Effect, Judge, Persist
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.awareness import Identity
from jupyter_rtc.wire.merging import merged
from jupyter_rtc.wire.protocol import NO_CHANGE, ProtocolError, read_uint
from jupyter_rtc.wire.shapes import ANY, DELETED, DOC, GC, HAS_KEY, HAS_LEFT, HAS_RIGHT, SKIP, STRING, Block, Id
from jupyter_rtc.wire.structure import blocks, deletions, neighbours
from jupyter_rtc.wire.updates import TaintedError

from .mutations import mutated

SEEDS = Path(__file__).parent / "seeds.txt"
_FRAMES = 20
LISTS = ("cells", "meta", "state")
COUNTS = ("taken", "refused", "tainted", "known")

Step = tuple[int, bytes]
"""Which of the peers sends which frame."""


class KnownError(Exception):
    """What broke is known: a fault of yrs that cannot be told from what people do."""


class BrokenError(AssertionError):
    """Something does not hold that must; the message says what."""


def sessions(text: str) -> list[list[bytes]]:
    """Return recorded sessions: frames in hexadecimal, a line each, and "-" after each session."""
    return [[bytes.fromhex(line) for line in part.split()] for part in text.split("\n-\n") if part.strip()]


def steps(recorded: Sequence[list[bytes]], number: int) -> list[Step]:
    """Return the frames of trial `number`, which is the same at each call."""
    chance = random.Random(number)
    session = chance.choice(recorded)
    others = chance.choice(recorded)
    begun = chance.randrange(len(session))
    frames = session[begun:] if chance.random() < 0.3 else session
    chosen: list[Step] = []
    for frame in frames[:_FRAMES]:
        peer = chance.choice((0, 0, 0, 0, 0, 1, 2))
        if chance.random() < 0.5:
            changed = [mutated(frame, others + session, chance) for _ in range(chance.choice((1, 1, 2)))]
            chosen += [(peer, frame) for frame in changed]
        if chance.random() < 0.9:
            chosen.append((0, frame))
    if chance.random() < 0.2:
        chance.shuffle(chosen)
    return chosen


class Trial:
    """A room with somebody who may write, somebody who may only read, and somebody who is not known yet.

    Attributes:
        room: the room.
        counts: how many frames were taken, refused, and refused after they may have changed the document; and how many
            trials ended at a fault of yrs that is known.
    """

    def __init__(self) -> None:
        built: Doc[Any] = Doc(client_id=GENESIS)
        append("hello w\u00f6rld \U0001f602")(built)
        self.room = Room("room", "lineage", lists=LISTS)
        self._first = built.get_update()
        self.room.doc.apply_update(self._first)
        self.room.begin(1, GENESIS, self._first)
        self._log: list[tuple[int, bytes]] = []
        self._members = [Member(Identity(name, {}), name != "reader") for name in ("writer", "reader", "unknown")]
        self.counts = dict.fromkeys(COUNTS, 0)
        for member in self._members:
            self.room.join(member)
        for member in self._members[:2]:
            self._send(member, protocol.step1(protocol.EMPTY_STATE))

    def step(self, peer: int, frame: bytes) -> None:
        """Let a peer send a frame; raises BrokenError, or what the room did not foresee."""
        before = self._state()
        try:
            self._send(self._members[peer], frame)
        except TaintedError:
            self.counts["tainted"] += 1
            self._restore()
        except ProtocolError:
            self.counts["refused"] += 1
            if self._state() != before:
                raise BrokenError("a refused frame changed the room") from None
        else:
            self.counts["taken"] += 1
            if peer == 1 and self._state()[:2] != before[:2]:
                raise BrokenError("a reader changed the document")

    def restart(self) -> None:
        """Go on with what would be stored of the room now."""
        stored = StoredRoom("lineage", GENESIS, self.room.whole_state(), self.room.seq, (), None, None)
        self.room.replace(doc := stored.document())
        self.room.begin(stored.seq, GENESIS, waiting=stored.waiting(doc))

    def check(self) -> None:
        """Raise BrokenError where a newcomer, or a restart, would have another document than the room."""
        try:
            self._compare()
        except (BrokenError, ProtocolError):
            log = [data for _, data in self._log]
            if not (uses_an_id_twice(log) or stands_before_a_key(log) or is_unsteady(self.room.doc.get_update())):
                raise
            raise KnownError from None

    def _compare(self) -> None:
        read(self.room.doc.get("cells", type=Array))  # which must come to an end
        live, waits = shown(self.room.doc), self._waits()
        newcomer: Doc[Any] = Doc()
        newcomer.apply_update(self.room.doc.get_update())
        if shown(newcomer) != live:
            raise BrokenError("a newcomer has another document")
        whole = StoredRoom("lineage", GENESIS, self.room.whole_state(), 1, (), None, None)
        logged = StoredRoom("lineage", GENESIS, self._first, 1, tuple(self._log), None, None)
        folded = StoredRoom("lineage", GENESIS, logged.state(logged.last), 1, (), None, None)
        for name, stored in {"its state": whole, "its log": logged, "its folded log": folded}.items():
            doc = stored.document()
            if shown(doc) != live:
                raise BrokenError(f"{name} makes another document")
            if ids(stored.waiting(doc), live[0]) != ids(waits, live[0]):
                raise BrokenError(f"something else waits in {name}")

    def _waits(self) -> bytes:
        frames = self.room._waits()
        return merged([protocol.decode(frame).payload for frame in frames])

    def _send(self, member: Member, frame: bytes) -> None:
        effects = self.room.receive(member, frame, 0.0)
        self._keep(effects)
        for effect in effects:
            if isinstance(effect, Judge) and member.held:
                self._keep(self.room.welcome(member))

    def _keep(self, effects: list[Effect]) -> None:
        self._log += [(effect.seq, effect.update) for effect in effects if isinstance(effect, Persist)]

    def _state(self) -> tuple[Any, ...]:
        room = self.room
        return contents(room.doc.get_update()), room.seq, room.awareness.entries()

    def _restore(self) -> None:
        """Build the document again, as the keeper of rooms does."""
        self.room.replace(StoredRoom("lineage", GENESIS, self._first, 1, tuple(self._log), None, None).document())


def read(value: object) -> None:
    """Go over all that is in an array."""
    if isinstance(value, Array):
        for item in value:
            read(item)
    elif isinstance(value, Map):
        for item in value.values():
            read(item)


def shown(doc: Doc[Any]) -> tuple[Any, ...]:
    """Return what a document holds, however its blocks are cut."""
    clocks = protocol.decode_state_vector(doc.get_state())
    return clocks, str(doc.get("source", type=Text)), contents(merged([doc.get_update(), NO_CHANGE]))


def contents(update: bytes) -> list[object]:
    """Return the blocks and deletions of an update; yrs writes the keys of a plain value in any order."""
    found: list[object] = []
    for block in blocks(update):
        before, within = update[block.start : block.content], update[block.content : block.end]
        found.append((block.client, block.clock, before, sorted(within) if block.kind in (ANY, DOC) else within))
    return [*found, *deletions(update)]


def ids(update: bytes, clocks: dict[int, int]) -> list[tuple[int, int, int]]:
    """Return which items are in an update that a document with these clocks lacks: runs of them, by client."""
    runs: list[tuple[int, int, int]] = []
    for block in blocks(merged([update])):
        start, end = max(block.clock, clocks.get(block.client, 0)), block.clock + block.length
        if block.info == SKIP or start >= end:
            continue
        if runs and runs[-1][0] == block.client and runs[-1][2] == start:
            start = runs.pop()[1]
        runs.append((block.client, start, end))
    return runs


def is_unsteady(state: bytes) -> bool:
    """Say whether an item of a document stands where yrs does not keep it, as only the document tells.

    It names what was collected on one side, and on the other something; or it has nothing on its left, and on its right
    what had something there from the beginning; or it stands between two of one author in the other order, as Yjs puts
    what it redoes. yrs puts such an item somewhere else than after a restart (see
    docs/topics/engine-faults.md): what saves the document is that snapshots are read back.
    """
    found = list(blocks(state))

    def at(id: Id) -> Block | None:
        """Return the block that has an id."""
        return next((one for one in found if one.client == id[0] and 0 <= id[1] - one.clock < one.length), None)

    for block in found:
        if block.info in (GC, SKIP):
            continue
        left, right, _ = neighbours(state, block)
        before, after = at(left) if left else None, at(right) if right else None
        if before and after and (before.info == GC) != (after.info == GC):
            return True
        if left and right and left[0] == right[0] and right[1] <= left[1]:
            return True
        begun = right and after and not left and after.info != GC
        if begun and (after.clock < right[1] or after.info & HAS_LEFT):
            return True
    return False


def uses_an_id_twice(updates: Sequence[bytes]) -> bool:
    """Say whether updates have different items under one id: which of them counts, only the order of updates says."""
    seen: dict[Id, object] = {}
    for update in updates:
        for block in blocks(update):
            if block.info not in (GC, SKIP) and block.kind != DELETED:
                for offset, unit in enumerate(_units(update, block)):
                    if seen.setdefault((block.client, block.clock + offset), unit) != unit:
                        return True
    return False


def stands_before_a_key(updates: Sequence[bytes]) -> bool:
    """Say whether updates have an item whose neighbour on the right is the value of a key, as no client writes it.

    Where yrs puts it depends on the order of updates; reading back finds it.
    """
    keys = {
        (block.client, block.clock)
        for update in updates
        for block in blocks(update)
        if block.info & (HAS_LEFT | HAS_RIGHT | HAS_KEY) == HAS_KEY
    }
    return any(
        neighbours(update, block)[1] in keys
        for update in updates
        for block in blocks(update)
        if block.info not in (GC, SKIP) and block.info & HAS_RIGHT
    )


def _units(update: bytes, block: Block) -> list[object]:
    """Return what a block holds for each of its clocks, and what is left of that, as far as it has to be compared."""
    first, _, _ = neighbours(update, block)
    lefts = [first, *((block.client, block.clock + offset) for offset in range(block.length - 1))]
    if block.kind != STRING:
        return [(block.kind, left) for left in lefts]
    _, at = read_uint(update, block.content)
    data = update[at : block.end].decode().encode("utf-16-le")
    return [(data[2 * offset : 2 * offset + 2], left) for offset, left in enumerate(lefts)]


def run(chosen: Sequence[Step]) -> dict[str, int]:
    """Carry out a trial; return what became of its frames. Raises BrokenError, or whatever the room did not foresee."""
    trial = Trial()
    try:
        for number, (peer, frame) in enumerate(chosen):
            trial.step(peer, frame)
            if number % 8 == 7:
                trial.check()
        trial.check()
    except KnownError:
        trial.counts["known"] += 1
    return trial.counts
