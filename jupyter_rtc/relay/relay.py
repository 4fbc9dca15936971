"""The relay: all rooms of one server process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import takewhile
from math import inf
from time import monotonic
from typing import Any, cast

from traitlets import Float, Integer, Type
from traitlets.config import LoggingConfigurable

from ..machine import Pool, Tasks, give_back, logged
from ..wire import ProtocolError, is_long, prepared
from .admission.allowances import Allowances
from .admission.charges import Charges
from .connection import Connection, Transport
from .delivery import Delivery
from .door import Ask, Warnings
from .keeper import Keeper
from .kinds import RoomKind
from .member import Member
from .open_room import OpenRoom
from .proving import Proving
from .residents import RoomGone
from .rooms import Rooms
from .storing.sqlite import SQLiteStore
from .storing.store import Store, StoreError

_GIVING_BACK = 10.0
_LAST_FRAMES = 5.0
"""Seconds for which a stop waits for the frames of peers that are gone."""

AGAIN = 0.005
"""Seconds after which frames are brought again that had to wait."""

_TURN = 0.001
"""Seconds for which the last frames of a peer that is gone are applied, before other peers have their turn."""


class Relay(LoggingConfigurable):
    """All rooms of one server process.

    Attributes:
        asked: threads for what users ask for; however much it is, rooms are loaded and saved meanwhile.
    """

    store_class = Type(
        SQLiteStore,
        klass=LoggingConfigurable,
        help="Where rooms are kept: `SQLiteStore` (the default), or `MemoryStore` for a throw-away server.",
    ).tag(config=True)
    max_frame_size = Integer(
        256 << 20, min=1 << 10, help="The largest frame a peer may send, in bytes; a larger one closes it with 1009."
    ).tag(config=True)
    max_outbox = Integer(
        16 << 20,
        min=1 << 10,
        help="How many bytes may wait for a peer that reads slowly, besides the write under way; then it is closed"
        " with 1013 and comes back up to date.",
    ).tag(config=True)
    frame_timeout = Float(
        300.0, min=1, help="Seconds within which a frame must have come whole, once it has begun; then 1008."
    ).tag(config=True)
    eviction_delay = Float(
        60.0, min=0, help="Seconds that a room stays in memory after its last member has left it."
    ).tag(config=True)
    awareness_timeout = Float(
        30.0, min=1, help="Seconds after which somebody who does not renew their presence is taken to be gone."
    ).tag(config=True)
    keepalive_interval = Float(
        15.0,
        min=0.1,
        help="Seconds of silence after which a peer is sent an empty message. Yjs clients reconnect after 30 s of"
        " silence, for which WebSocket pings do not count.",
    ).tag(config=True)
    identity_check_interval = Float(
        60.0,
        min=0,
        help="Seconds after which the identity provider and the authorizer are asked again about somebody who is"
        " connected: who would not be let in any more is closed with 1008. 0 turns it off.",
    ).tag(config=True)
    max_share = Float(
        0.5,
        min=0.01,
        max=1,
        help="The largest share of the server's time that the messages of one peer may take, while it sends more than"
        " can be worked off; nothing is lost, it is only read more slowly.",
    ).tag(config=True)
    compact_bytes = Integer(
        1 << 20,
        min=1 << 10,
        help="How large a room's log may grow, in bytes, before it is folded into its snapshot; a room whose"
        " document is larger than this waits until the log is as large as the document.",
    ).tag(config=True)

    def __init__(
        self,
        kinds: Iterable[RoomKind] = (),
        announce: Callable[[dict[str, str | None]], None] = lambda report: None,
        **kwargs: Any,
    ) -> None:
        """Make a relay that serves `kinds` of rooms; the first that owns a name has it.

        `announce` is told what is wrong with the store (see `Keeper.report`) whenever that changes.
        """
        super().__init__(**kwargs)
        self._tasks = Tasks(self.log, "relay")
        self._watching: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._evicted = False
        self._announce = announce
        self.store = cast(Store, self.store_class(parent=self))
        self.keeper = Keeper(self.store, parent=self)
        self.allowances = Allowances(parent=self)
        self.charges = Charges(self.store, self.allowances)
        self._reported = self.keeper.report()
        self._preparing = Pool()
        self._leaving: set[asyncio.Task[None]] = set()
        self.asked = Pool()
        self._delivery = Delivery(self.keeper, self._tasks, self.allowances, self.log)
        self._proving = Proving(self.keeper, self._delivery, self._tasks, self.log)
        self._rooms = Rooms(kinds, self.keeper, self._delivery, self.allowances, self.charges, self.log)
        self.faults = self._delivery.faults
        self.warnings = Warnings(self.log)

    def add_kind(self, kind: RoomKind) -> None:
        """Serve the rooms of one more kind. Where two kinds own a name, the one that was added first has it."""
        self._rooms.kinds.append(kind)

    def kind(self, name: str) -> RoomKind | None:
        """Return the kind of the rooms of this name, or None where no such room can be."""
        return self._rooms.kind(name)

    @asynccontextmanager
    async def hold(self, name: str, user: str = "") -> AsyncIterator[OpenRoom]:
        """Have a room in memory in the context, opening it where it is not there: for a user, if that is given.

        Raises:
            RoomError: it cannot be served; the error's code says why.
            ExhaustedError: the user, or all of them, have as many rooms in memory as they may.
        """
        with (await self._open(name, user)).held() as room:
            yield room

    async def _open(self, name: str, user: str) -> OpenRoom:
        if self._watching is None and self._closing is None:
            self._watching = self._tasks.spawn(self._watch())
        room = await self._rooms.open(name, user)
        room.served.idle_since = monotonic()
        return room

    async def is_begun(self, name: str) -> bool:
        """Say whether there is a room already, in memory or in the store; if that cannot be read, there may be one."""
        try:
            return self._rooms.get(name) is not None or await self.store.load(name) is not None
        except StoreError:
            return True

    def get(self, name: str) -> OpenRoom | None:
        """Return a room that is in memory, or None. It is not held: it may be gone at the next await."""
        return self._rooms.get(name)

    # ------------------------------------------------------------------ peers

    def join(self, room: OpenRoom, member: Member, transport: Transport, ask: Ask | None = None) -> Connection:
        """Let a peer in, whose rights `ask` is asked for again later; returns its sending side. Raises RoomGone."""
        with room.held():
            served = room.served
            give_up = partial(self._delivery.give_up, served, member)
            connection = Connection(transport, self.max_outbox, give_up, served.presence)
            self._delivery.join(served, member, connection, ask, self.identity_check_interval)
            return connection

    def leave(self, room: OpenRoom, member: Member, rest: Sequence[bytes] = ()) -> None:
        """Let a peer go whose socket is closed, once the `rest` of its frames is applied: it may never send them again.

        Does nothing the second time, nor where the room went first.
        """
        if rest:
            leaving = self._tasks.spawn(self._leave_after(room, member, list(rest)))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            return
        self._delivery.leave(room.served, member)

    async def _leave_after(self, room: OpenRoom, member: Member, rest: list[bytes]) -> None:
        try:
            while rest:
                if is_long(rest[0]):
                    rest[0] = await self.prepare(rest[0])
                begun = monotonic()
                ready = takewhile(lambda frame: not is_long(frame), rest)
                taken = self.receive(room, member, *ready, deadline=begun + _TURN)
                del rest[:taken]
                await asyncio.sleep(self.pause(monotonic() - begun) if taken else AGAIN)
        finally:
            self.leave(room, member)

    def receive(self, room: OpenRoom, member: Member, *frames: bytes, deadline: float = inf) -> int:
        """Take in frames of a peer that came together. A faulty frame closes this peer, and no other.

        Others get their turn at `deadline`, a time of the monotonic clock: return how many were taken in until then;
        none while they have to wait, for about `AGAIN` seconds.
        Where the room is gone, the peer was closed with it, and brings them again.
        """
        if room.served.gone:
            return len(frames)
        return self._delivery.receive(room.served, member, frames, deadline)

    async def prepare(self, frame: bytes) -> bytes:
        """Return a long frame, decoded and examined in a thread, for `receive`."""
        return await self._preparing.run(prepared, frame)

    def pause(self, spent: float) -> float:
        """Return for how many seconds a peer is not read after its messages took `spent` seconds."""
        return spent * (1 / self.max_share - 1)

    def refuse(self, room: OpenRoom, member: Member, error: ProtocolError) -> None:
        """Close a peer that sent a text message, or bytes that are no WebSocket message."""
        if not room.served.gone:
            self._delivery.fault(room.served, member, error)

    # ------------------------------------------------------------------ all rooms

    async def discard(self, name: str) -> None:
        """Delete a room and its record in the store; its members are closed with 1001."""
        kind = await self._rooms.drop(name)
        if kind and kind.stored:
            self.store.forget(name)
            self.charges.forget(name)
        self.log.info("room %s: deleted", name)

    async def ask_rights(self) -> None:
        """Ask for the rights of all members to those files that their rooms did not show before; return when done.

        To be called when the paths of a room change (see `Kind.paths`): those who may not read one of them are closed.
        """
        await self._delivery.ask_now()

    def overview(self) -> list[dict[str, Any]]:
        """Return, of each open room, its name, lineage, members, sizes in bytes, and counters since it was opened."""
        return [room.served.overview() for room in self._rooms]

    async def close(self) -> None:
        """Save and store everything, close every peer with 1001, and stop. A second call waits for the first."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._watching:
            self._watching.cancel()  # and nothing else: what is under way may be half done
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_LAST_FRAMES)
        await self._rooms.close()
        try:
            await self.store.close()
        except StoreError as error:
            self.log.error("not everything is stored: %s", error)

    # ------------------------------------------------------------------ time

    async def _watch(self) -> None:
        given_back = -_GIVING_BACK
        while True:
            await asyncio.sleep(min(1.0, self.eviction_delay or 1.0, self.keepalive_interval))
            now = monotonic()
            if (report := self.keeper.report()) != self._reported:
                self._reported = report
                with logged(self.log, "store"):
                    self._announce(report)
            for room in self._rooms:
                with logged(self.log, f"room {room.name}"):  # whatever is wrong with one, others go on
                    self._attend(room, now)
            if self._evicted and now - given_back >= _GIVING_BACK:
                self._evicted, given_back = False, now
                await asyncio.to_thread(give_back)

    def _attend(self, room: OpenRoom, now: float) -> None:
        served = room.served
        self._delivery.carry_out(served, served.room.expire(now - self.awareness_timeout))
        self._delivery.show_withheld(served)
        served.keep_alive(now, self.keepalive_interval)
        served.forget_state(now)
        if self.keeper.is_due(served, self.compact_bytes):
            self._tasks.spawn(self._proving.fold(served))
        self._proving.attend(served, now)
        if (trouble := self.keeper.trouble(served)) != served.trouble:
            served.trouble = trouble
            told = (
                f"What is typed here is not being stored: {trouble}"
                if trouble
                else "What is typed here is stored again"
            )
            served.resident.told(told)
        if not served.in_use and now - served.idle_since >= self.eviction_delay:
            served.idle_since = now
            self._tasks.spawn(self._evict(room))

    async def _evict(self, room: OpenRoom) -> None:
        with suppress(RoomGone):  # where saving took longer than `eviction_delay`, another eviction came first
            if await self._rooms.evict(room):
                self._evicted = True
