"""What is kept of rooms: read when they are opened, folded when it grows, read again when a document is spoilt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from time import time
from typing import Any, NamedTuple, TypeVar

from pycrdt import Doc
from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from ..wire import (
    Places,
    ProtocolError,
    Read,
    UnfaithfulError,
    compare,
    decode_state_vector,
    delete_misplaced,
    guarded,
    read_again,
    whole_state,
)
from .effects import Persist
from .residents import Kind, where
from .room import Room
from .served import ServedRoom
from .storing.anew import anew
from .storing.checkpoints import Limits, Watch, fold, sealed, versions
from .storing.ledger import NEVER
from .storing.store import TAKEN, Checkpoint, DamagedError, Mark, Past, Store, StoredRoom, StoreError, Version, in_part

_DAY = 86_400.0
_SHARE = 8
"""A room over its limit is folded whenever its log is so many times smaller than its snapshot, or larger."""

_FLUSH_TIMEOUT = 5.0
_MISPLACED = "what is stored of it had items where no client puts them; it goes on without them"
_OUTRUN = "the file was saved while the store could not be written, so that what is stored is older than the file"


_Result = TypeVar("_Result")


class Loaded(NamedTuple):
    """What the store has of a room, as a document too.

    `unkept` says why the store may not keep the room from now on, in a sentence; it is empty where it may. `damage`
    says what became of a record that was damaged, and `remains` are the updates that it still held, where the room has
    to begin without it. `renewed` says that `stored` takes the place of such a record. `places` is what is where in the
    document, if that is known.
    """

    stored: StoredRoom | None
    doc: Doc[Any]
    unkept: str = ""
    damage: str = ""
    remains: Sequence[bytes] = ()
    renewed: bool = False
    places: Places | None = None


class Keeper(LoggingConfigurable):
    """Moves rooms between the store and memory. Trouble with the store is logged, and never raised."""

    max_checkpoints = Integer(
        200, min=1, help="How many past versions of a document are kept at most, besides those in its log."
    ).tag(config=True)
    max_checkpoint_bytes = Integer(
        32 << 20,
        min=0,
        help="How many bytes the past versions of a document take at most, the oldest, which is a whole document, not"
        " counted; and never more than half of what the document takes, or 256 KiB where that is more.",
    ).tag(config=True)
    max_checkpoint_age = Float(90.0, min=0, help="Days after which a past version of a document is let go.").tag(
        config=True
    )

    compact_updates = Integer(
        5000,
        min=1,
        help="How many updates a room's log may have before it is folded into its snapshot, however small they are.",
    ).tag(config=True)
    room_limit = Integer(
        256 << 20,
        min=1 << 10,
        help="How many bytes a room may take in the store, its past versions not counted. Above it the log is folded"
        " whenever that helps, at last with what is not saved to the file yet: nothing of it is lost, but when another"
        " program changes the file then, the two cannot be merged until the document has been saved again.",
    ).tag(config=True)

    def __init__(self, store: Store, **kwargs: Any) -> None:
        """Keep rooms in `store`."""
        super().__init__(**kwargs)
        self._store = store
        self._thinking = asyncio.Semaphore(1)

    @property
    def limits(self) -> Limits:
        """How much of a room's past is kept."""
        return Limits(self.max_checkpoints, self.max_checkpoint_bytes, self.max_checkpoint_age * _DAY)

    async def load(self, name: str, kind: Kind) -> Loaded:
        """Return what is stored of a room of `kind`, and whether the store may keep it from now on.

        Where it cannot be read, what it has must not be overwritten: the room is served without it.
        """
        try:
            stored = await self._store.load(name)
            if stored is None:
                return Loaded(None, Doc())
            if await self._store.is_outrun(name, stored):
                self.log.warning("room %s: %s; the document begins anew%s", name, _OUTRUN, where(kind, name))
                return Loaded(None, Doc(), damage=f"{_OUTRUN}; it began anew", remains=stored.updates())
            return await self._prove_record(name, kind, stored)
        except DamagedError as error:
            return await self._salvage(name, kind, error)
        except StoreError as error:
            told = "room %s: served without the store, which cannot be read: %s%s"
            self.log.error(told, name, error, where(kind, name))
            return Loaded(None, Doc(), unkept=f"what is stored of it cannot be read: {error}")

    async def _salvage(self, name: str, kind: Kind, damage: DamagedError) -> Loaded:
        """Set aside what is damaged of a room and go on with the rest; or without it, where that fits no file."""
        rest, seqs = damage.stored, damage.seqs
        while True:
            rest = rest.without(seqs)
            try:
                await asyncio.to_thread(rest.document)
                break
            except DamagedError as error:
                seqs |= error.seqs
        self.log.error("room %s: the store has a damaged record of it: %s%s", name, damage, where(kind, name))
        if damage.stored.misses(seqs):
            return Loaded(None, Doc(), damage=f"{damage}; it began anew", remains=rest.updates())
        self._store.set_aside(name, seqs)
        loaded = await self._prove_record(name, kind, rest)
        return loaded._replace(damage=loaded.damage or f"{damage}; it goes on with the rest")

    async def _prove_record(self, name: str, kind: Kind, stored: StoredRoom) -> Loaded:
        """Load a room from its record, if all can be given out again that is in it.

        Else it begins anew from its file, or, where it has none, from what is in it. Raises DamagedError.
        """
        cleared, places = await asyncio.to_thread(_cleared, stored, kind.lists(name))
        damage = "" if cleared is stored else _MISPLACED
        if damage:
            self.log.error("room %s: %s%s", name, damage, where(kind, name))
        stored = cleared
        try:
            doc, _ = await asyncio.to_thread(stored.proved, read=kind.reader(name))
            return Loaded(stored, doc, damage=damage, renewed=bool(damage), places=places)
        except UnfaithfulError as error:
            damage = f"what is stored of it cannot be given out: {error}; it began anew"
            self.log.error("room %s: %s%s", name, damage, where(kind, name))
        if not kind.free:
            return Loaded(None, Doc(), damage=damage, remains=stored.updates())
        renewed, doc = await asyncio.to_thread(_renewed, stored)
        return Loaded(renewed, doc, damage=damage, renewed=True)

    async def _think(self, work: Callable[[], _Result]) -> _Result:
        """Do something in a thread that takes a document or two more; one at a time, for documents may be large."""
        async with self._thinking:
            return await asyncio.to_thread(work)

    def begin(self, served: ServedRoom, loaded: Loaded, first: StoredRoom | None) -> bool:
        """Keep a room that was loaded from now on, beginning with `first` where that is given.

        Returns whether it gets another record than the one that was loaded; see `is_taken` then.
        """
        name = served.room.name
        first = first or (loaded.stored if loaded.renewed else None)
        if served.stored and first:
            if loaded.damage:  # only now that there is something to put in its place
                self._store.set_aside(name, None)
            self._store.create(name, first, served.begun_by)
        if loaded.stored:  # what was added since is looked at when somebody was sent it
            served.proved = loaded.stored.last
        if kept := first or loaded.stored:
            served.stores(kept.seq, len(kept.snapshot), sum(len(update) for _, update in kept.log))
        return served.stored and first is not None

    async def is_taken(self, name: str) -> bool:
        """Say whether another server has begun or loaded a room since it was loaded here, once that is known.

        While the store has trouble it is not, and nobody waits for long.
        """
        try:
            async with asyncio.timeout(_FLUSH_TIMEOUT):
                await self.has_all(name)
        except TimeoutError:
            return False
        return self._store.partial.get(name) == TAKEN

    def append(self, served: ServedRoom, effect: Persist) -> None:
        """Keep an update of a room. On the hot path."""
        served.logs(len(effect.update))
        if served.meanwhile is not None:
            served.meanwhile.append(effect.update)
        self._store.append(served.room.name, effect.seq, effect.update, effect.author)

    def record(self, served: ServedRoom, update: bytes) -> None:
        """Keep one more update of a room, which its document has already."""
        self._store.append(served.room.name, served.room.count(), update, "")

    def mark(self, served: ServedRoom, saved: Mark | None, intended: Mark | None) -> None:
        """Take note which update a room's file holds, or is about to."""
        self._store.mark(served.room.name, saved=saved, intended=intended)

    def replace(self, served: ServedRoom, seq: int, snapshot: bytes, checkpoints: Sequence[Checkpoint] | None) -> None:
        """Replace what is stored of a room up to the update `seq`, and its past, if `checkpoints` are given."""
        served.rebased += 1
        served.stores(seq, len(snapshot), served.log_bytes)
        self._store.compact(served.room.name, seq, snapshot, checkpoints)

    async def has_all(self, name: str) -> bool:
        """Return whether everything that was queued of a room is stored."""
        try:
            await self._store.flush()
        except StoreError as error:
            return bool(error.rooms) and name not in error.rooms
        return True

    async def checkpoints(self, served: ServedRoom) -> list[Checkpoint] | None:
        """Return what is to be kept of a room's past, sealed; None for what is."""
        name, watch = served.room.name, served.kind.watch(served.room.name)
        try:
            past = await self._store.past(name)
        except StoreError as error:
            self.log.warning("room %s: its latest versions are not kept: %s%s", name, error, served.where)
            return None
        return await asyncio.to_thread(sealed, past, watch, self.limits, time()) if past and watch else None

    async def secure(self, served: ServedRoom, seq: int) -> None:
        """Make a room's log durable up to update `seq`, with which its file is about to be written.

        Where that cannot be, what is stored is marked as older than the file (`Store.outrun`): after a crash it would
        be taken for the base of what the file has more, although that came from here.
        """
        name, kept = served.room.name, served.stored
        try:
            async with asyncio.timeout(_FLUSH_TIMEOUT):  # wait_for may swallow a cancellation until Python 3.12
                if kept and await self.has_all(name):
                    return
        except TimeoutError:
            pass
        self.log.warning("room %s: going on while the store has trouble%s", name, served.where)
        try:
            await self._store.outrun(name, seq if kept else NEVER)
        except StoreError as error:
            told = "room %s: after a crash, what is saved now may stand twice: %s%s"
            self.log.error(told, name, error, served.where)

    async def settle(self) -> None:
        """Wait until everything that was queued is stored; not for long, where the store has trouble."""
        try:
            async with asyncio.timeout(_FLUSH_TIMEOUT):
                await self._store.flush()
        except (TimeoutError, StoreError) as error:
            self.log.warning("going on while the store has trouble: %s", error)

    def report(self) -> dict[str, str | None]:
        """Say what is wrong with the store now, and what happened to it since the start; each None where nothing is."""
        partial = self._store.partial
        trouble = self._store.trouble or (in_part(partial) if partial else None)
        return {"trouble": trouble, "damage": self._store.damage}

    def trouble(self, served: ServedRoom) -> str:
        """Say why the changes of a room are not stored, in a sentence; it is empty where they are."""
        if served.unkept or not served.kind.stored:
            return served.unkept
        return self._store.partial.get(served.room.name) or self._store.trouble or ""

    def adopt(self, served: ServedRoom, stored: StoredRoom) -> bool:
        """Put another history in place of a room's, in the store too; return whether that was possible.

        The room's past stays where the other history began as the room's own did.
        """
        room = served.room
        kept = served.stored and self._store.partial.get(room.name) != TAKEN
        if not kept or served.meanwhile is not None or not all(member.quarantined for member in room.members):
            return False
        if stored.genesis == room.genesis:
            self._store.compact(room.name, stored.seq, stored.snapshot)
            self._store.mark(room.name, saved=stored.saved)
        else:
            self._store.create(room.name, stored, served.begun_by)
        self._go_on(served, stored)
        return True

    def renew(self, served: ServedRoom, stored: StoredRoom) -> None:
        """Put a history that begins now in place of a room's, whose record is set aside."""
        if served.stored:
            self._store.set_aside(served.room.name, None)
            self._store.create(served.room.name, stored, served.begun_by)
        self._go_on(served, stored)

    def _go_on(self, served: ServedRoom, stored: StoredRoom) -> None:
        room = served.room
        served.rebased += 1
        served.stores(stored.seq, len(stored.snapshot), 0)
        room.lineage = stored.lineage
        room.replace(doc := stored.document())
        room.begin(stored.last, stored.genesis, waiting=stored.waiting(doc))
        room.given = served.proved = stored.last

    def versions(self, past: Past, watch: Watch) -> list[Version]:
        """Return the versions that a room's past holds (see `checkpoints.versions`). May run in any thread."""
        return versions(past, watch, self.limits, time())

    def is_due(self, served: ServedRoom, least: int) -> bool:
        """Say whether a room's log should be folded: it is larger than `least` bytes and than the snapshot, or long.

        What somebody may still go back to is not folded, unless the room is over its limit.
        """
        if not served.stored or served.compacting:
            return False
        if served.room.name in self._store.partial:
            return True
        if self._is_over(served):
            return served.log_bytes > max(least, served.snapshot_bytes // _SHARE)
        long = served.room.seq - served.snapshot_seq > self.compact_updates
        large = served.log_bytes > max(least, served.snapshot_bytes)
        return (long or large) and _settled_of(served) > served.snapshot_seq

    def let_go(self, served: ServedRoom) -> None:
        """Take note that a room is not in memory any more."""
        if served.stored:
            self._store.release(served.room.name, served.resident.spare())

    def _is_over(self, served: ServedRoom) -> bool:
        return served.snapshot_bytes + served.log_bytes > self.room_limit

    async def compact(self, served: ServedRoom) -> None:
        """Fold the log into the snapshot, up to the update that somebody may still go back to."""
        served.compacting = True
        try:
            await self._compact(served)
        except StoreError as error:
            self.log.warning("room %s: the log cannot be folded: %s%s", served.room.name, error, served.where)
        finally:
            served.compacting = False

    async def prove(self, served: ServedRoom) -> None:
        """See whether the document of a room gives out what was put into it, by what is stored of that.

        Raises UnfaithfulError where not.
        """
        room, rebased = served.room, served.rebased
        seq, state, newest = room.seq, room.doc.get_state(), room.newest()
        try:
            stored = await self._store.load(room.name)
        except StoreError:  # which is said, and mended, elsewhere
            return
        if stored is None or served.rebased != rebased or stored.seq > seq or stored.last < seq:
            return
        read = served.kind.reader(room.name)
        try:
            await self._think(lambda: _prove(stored, seq, state, newest, read))
        except UnfaithfulError:
            if served.rebased == rebased:  # else another state is stored by now, which is looked at in its turn
                raise
        else:
            served.proved = max(served.proved, seq)

    async def _compact(self, served: ServedRoom) -> None:
        name, rebased = served.room.name, served.rebased
        if name in self._store.partial:  # only the whole state makes it whole again
            await self._store_whole(served)
            return
        try:
            past = await self._store.past(name)
        except DamagedError as damage:
            told = "room %s: stored anew, for the store has a damaged record of it: %s%s"
            self.log.error(told, name, damage, served.where)
            await self._store_whole(served, damage.seqs)
            return
        if past is None:
            return
        seq = min(_settled_of(served), past.stored.last)  # edits went on while this was read
        if seq <= past.stored.seq:
            if self._is_over(served):
                told = "room %s: over its limit in the store: what is not saved yet is folded too%s"
                self.log.warning(told, name, served.where)
                await self._store_whole(served)
            return
        watch, read = served.kind.watch(served.room.name), served.kind.reader(name)
        snapshot, checkpoints = await self._think(lambda: self._fold(past, seq, watch, read))
        if served.rebased == rebased:
            self._store.compact(name, seq, snapshot, checkpoints)
            folded = sum(len(update) for number, update in past.stored.log if number <= seq)
            served.stores(seq, len(snapshot), max(0, served.log_bytes - folded))

    async def _store_whole(self, served: ServedRoom, damaged: Collection[int] = ()) -> None:
        """Store a room's present state, in place of all that is stored of it and of what is `damaged`.

        What is stored is the state of the very moment; the one of a moment ago was read back. Raises UnfaithfulError.
        """
        rebased, vector = served.rebased, served.room.doc.get_state()
        state = _whole_state(served.room)
        await self._think(lambda: _read_back(state, vector))
        if served.rebased != rebased:
            return
        if damaged:
            self._store.set_aside(served.room.name, damaged)
        seq, state = served.room.seq, _whole_state(served.room)
        self._store.compact(served.room.name, seq, state)
        served.stores(seq, len(state), 0)

    def _fold(
        self, past: Past, seq: int, watch: Watch | None, read: Read | None
    ) -> tuple[bytes, list[Checkpoint] | None]:
        """Return the state after update `seq`, and what is to be kept of the way there. Raises UnfaithfulError."""
        if watch is None:
            return past.stored.proved(seq, read)[1], None
        return fold(past, seq, watch, self.limits, time(), read)

    async def restore(self, served: ServedRoom) -> None:
        """Build a document again that a bad update may have reached half-way. The room goes on meanwhile."""
        if not served.stored or served.meanwhile is not None:
            return
        served.meanwhile = []
        try:
            stored = await self._store.load(served.room.name)
            if stored is None:
                raise StoreError("nothing is stored")
            meanwhile = tuple(enumerate(served.meanwhile, stored.last + 1))
            served.room.replace(replace(stored, log=(*stored.log, *meanwhile)).document())
            served.resident.replaced()
        except StoreError as error:
            self.log.error("room %s: cannot be built again: %s%s", served.room.name, error, served.where)
        finally:
            served.meanwhile = None


def _settled_of(served: ServedRoom) -> int:
    """Return the number of the last update of a room that never needs to be told from those before it."""
    settled = served.resident.settled()
    return served.room.seq if settled is None else settled


def _whole_state(room: Room) -> bytes:
    try:
        return guarded(lambda _: room.whole_state(), b"")
    except ProtocolError:
        raise UnfaithfulError("it cannot be written") from None


def _read_back(state: bytes, vector: bytes) -> None:
    """Raise UnfaithfulError where a state cannot be read, or is not that of a document with this state vector."""
    if decode_state_vector(read_again(state).get_state()) != decode_state_vector(vector):
        raise UnfaithfulError("what is written of it has other lengths than what was typed")


def _cleared(stored: StoredRoom, lists: Collection[str]) -> tuple[StoredRoom, Places | None]:
    """Return what is stored of a room, and what in it is where; without what no client puts where it is, and None.

    Reading that might not end. What cannot be written is left as it is, too.
    """
    doc = stored.document()
    try:
        places = guarded(partial(delete_misplaced, doc), lists)
        if places:
            return stored, places
        return replace(stored, snapshot=whole_state(doc, stored.updates()), seq=stored.last, log=()), None
    except ProtocolError:
        return stored, None


def _renewed(stored: StoredRoom) -> tuple[StoredRoom, Doc[Any]]:
    renewed = anew(stored.document())
    return renewed, renewed.document()


def _prove(stored: StoredRoom, seq: int, state: bytes, newest: bytes | None, read: Read | None) -> None:
    """Raise UnfaithfulError where what is stored up to update `seq`, or `newest`, cannot be given out.

    The document in memory has the state vector `state`, and is written as `newest`, if that is given.
    """
    try:
        doc, written = stored.proved(seq, read)
        # An edit from outside is part of the record for a moment before it is one of the document.
        if newest is not None and decode_state_vector(state) == decode_state_vector(doc.get_state()):
            compare(doc, written, lambda: stored.document(seq), newest, read)
    except (DamagedError, ProtocolError) as error:
        raise UnfaithfulError(f"it cannot be read again: {error}") from None
