"""The rooms in memory: how they come there, and how they leave it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from logging import Logger, LoggerAdapter
from time import monotonic
from typing import Any
from uuid import uuid4

from pycrdt import Doc

from ..wire import CloseCode
from .admission.allowances import Allowances, ExhaustedError
from .admission.charges import Charge, Charges
from .delivery import Delivery
from .keeper import Keeper, Loaded
from .kinds import RoomKind
from .open_room import OpenRoom
from .residents import Resident, RoomError, RoomGone
from .room import Room
from .served import ServedRoom
from .storing.store import StoredRoom, StoreError

_LAST_SAVE = 1.5


class Rooms:
    """The rooms in memory.

    A room is opened once, however many ask for it, and is here as soon as it is fully loaded. It is evicted when
    nobody needs it, and only when what it holds is kept elsewhere.

    Attributes:
        kinds: the kinds of rooms that there are; the first that owns a name has it.
    """

    def __init__(
        self,
        kinds: Iterable[RoomKind],
        keeper: Keeper,
        delivery: Delivery,
        allowances: Allowances,
        charges: Charges,
        log: Logger | LoggerAdapter[Any],
    ) -> None:
        """Begin with none; `keeper` has what is stored of them, `delivery` sees their members off.

        `allowances` say how many each user may have brought here, and what may be shown in each; `charges` count those
        that are stored under names that clients made up.
        """
        self.kinds = list(kinds)
        self._allowances = allowances
        self._charges = charges
        self._keeper = keeper
        self._delivery = delivery
        self._log = log
        self._open: dict[str, OpenRoom] = {}
        self._opening: dict[str, asyncio.Future[OpenRoom]] = {}
        self._closing = False

    def __iter__(self) -> Iterator[OpenRoom]:
        """Iterate over the rooms that are in memory now; opening and dropping others meanwhile does no harm."""
        return iter(list(self._open.values()))

    def kind(self, name: str) -> RoomKind | None:
        """Return the kind of the rooms of this name, or None where no such room can be."""
        return next((kind for kind in self.kinds if kind.owns(name)), None)

    def get(self, name: str) -> OpenRoom | None:
        """Return a room, or None if it is not in memory."""
        return self._open.get(name)

    async def open(self, name: str, user: str) -> OpenRoom:
        """Return a room that is fully loaded, opening it where it is not in memory.

        It is there as one that `user` brought, which is counted; the name is empty where the server itself needs it.

        Raises:
            RoomError: it cannot be served; the error's code says why.
            ExhaustedError: the user, or all of them, have as many rooms in memory as they may.
        """
        kind = self.kind(name)
        while (room := self._open.get(name)) is None:  # evicted again, perhaps, before its opener's turn came
            if self.kind(name) is not kind:  # deleted while it was opened: its name may be that of a free room now
                raise RoomError(CloseCode.NOT_FOUND, f"no such room any more: {name}")
            opening = self._opening.get(name)
            if opening is None:
                place = ExitStack()
                if user:
                    place.enter_context(self._allowances.rooms.taken(user))
                opening = self._opening[name] = asyncio.ensure_future(self._bring(name, user, place))
                opening.add_done_callback(lambda done: (self._opening.pop(name, None), done.exception()))
            await asyncio.shield(opening)
        return room

    async def evict(self, room: OpenRoom) -> bool:
        """Save, store and drop a room that nobody has used for a while; return whether it is gone.

        It stays where somebody comes back meanwhile, and where it is not saved and stored in the end.
        """
        name, served, where = room.name, room.served, room.served.where
        async with served.resident.release() as released:
            if not released or not _is_idle(served):
                return False
            seq = room.seq
            # The room goes only when the store has it; while the store has trouble, memory is what there is.
            if served.stored and not await self._keeper.has_all(name):
                return False
            if not _is_idle(served) or room.seq != seq:  # edited: not in its file yet
                return False
            self._leave(room)
        self._log.info("room %s: evicted%s", name, where)
        return True

    async def drop(self, name: str) -> RoomKind | None:
        """Drop a room from memory as it is, and close its members with 1001; return its kind."""
        if opening := self._opening.get(name):
            await asyncio.wait([opening])
        kind = self.kind(name)
        if room := self._open.get(name):
            self._send_off(room.served, "the room was deleted")
            self._remove(room)
            room.served.resident.closed()
        return kind

    async def close(self) -> None:
        """Close all members with 1001, and save and drop all rooms; none is opened any more."""
        self._closing = True
        for room in self:
            self._send_off(room.served, "server stops")
        self._delivery.flush()
        for error in await asyncio.gather(*map(self._finish, self), return_exceptions=True):
            if error:  # one room that fails must not keep the others out of the store
                self._log.error("a room could not be finished: %s", error, exc_info=error)

    async def _bring(self, name: str, user: str, place: ExitStack) -> OpenRoom:
        """Bring a room into memory for a user; it takes a `place` there until it leaves."""
        try:
            self._refuse_if_closing()
            kind = self.kind(name)
            if kind is None:
                raise RoomError(CloseCode.NOT_FOUND, f"no such room: {name}")
            room, loaded, anew = await self._filled(name, user, kind, place)
            if anew and await self._keeper.is_taken(name):
                # Two servers with one store opened it in the same moment: this one goes on with the other's history.
                self._log.info("room %s: another server has begun it in the same moment%s", name, room.served.where)
                self._give_up(room)
                room, loaded, _ = await self._filled(name, user, kind, place)
            self._serve(room, loaded, place)
            return room
        except BaseException:  # whatever it is: nobody else gives it back
            place.close()
            raise

    async def _filled(self, name: str, user: str, kind: RoomKind, place: ExitStack) -> tuple[OpenRoom, Loaded, bool]:
        """Return a room that can be served, what was stored of it, and whether it is stored anew. Raises RoomError."""
        loaded = await self._keeper.load(name, kind) if kind.stored else Loaded(None, Doc())
        if kind.free:
            with suppress(StoreError):
                await self._charges.read()
        begun = await self._begun(name, user, kind, loaded)
        place.callback(begun.end)
        served = ServedRoom(begun, kind, loaded.unkept, monotonic())
        room = OpenRoom(begun, served, self._delivery, self._keeper)
        try:
            served.resident, first = await self._load(room, kind, loaded.stored)
            await asyncio.to_thread((survey := begun.survey()).found)
            begun.surveyed(survey)
            self._refuse_if_closing()
            if kind.free and served.stored:
                served.charge = self._charge(name, user, begins=first is not None)
        except BaseException:  # who was to look after it may have it, and shall not go on
            served.gone = True
            served.resident.closed()
            raise
        return room, loaded, self._keeper.begin(served, loaded, first)

    def _give_up(self, room: OpenRoom) -> None:
        """Let go of a room that was never served."""
        if room.served.charge:
            self._charges.forget(room.name)
        room.served.gone = True
        self._keeper.let_go(room.served)
        room.served.resident.closed()

    def _serve(self, room: OpenRoom, loaded: Loaded, place: ExitStack) -> None:
        """Serve a room from now on. Raises what `Resident.opened` raises; RoomError where the server stops."""
        served = room.served
        served.place, served.idle_since = place, monotonic()
        self._open[room.name] = room
        try:
            self._refuse_if_closing()
            served.resident.opened()
        except BaseException:  # nobody shall find it half open
            self._leave(room)
            raise
        if loaded.damage:
            served.resident.told(loaded.damage)
            served.resident.found(loaded.remains)
        self._log.info("room %s: open, update %d%s", room.name, room.seq, served.where)

    async def _begun(self, name: str, user: str, kind: RoomKind, loaded: Loaded) -> Room:
        """Return a room that holds what was stored of it, brought by a user."""
        presence, waits = self._allowances.presence(), self._allowances.waits()
        room = Room(name, uuid4().hex, presence, waits, mapped=kind.mapped, lists=kind.lists(name))
        room.opener = user
        if stored := loaded.stored:
            room.lineage = stored.lineage
            room.replace(loaded.doc)
            waiting = await asyncio.to_thread(stored.waiting, loaded.doc)
            room.begin(stored.last, stored.genesis, waiting=waiting, places=loaded.places)
        return room

    def _charge(self, name: str, user: str, begins: bool) -> Charge:
        """Return the charge that counts a free room's bytes; raises RoomError where its user may begin no more."""
        if not begins:  # one that is not known was begun by another server with this store
            return self._charges.get(name) or self._charges.begin(name, "")
        try:
            self._charges.refuse_more(user)
        except ExhaustedError as error:  # whoever asked at the door before was told so there
            raise RoomError(CloseCode.NOT_ALLOWED, str(error)) from None
        return self._charges.begin(name, user)

    async def _load(
        self, room: OpenRoom, kind: RoomKind, stored: StoredRoom | None
    ) -> tuple[Resident, StoredRoom | None]:
        """Let a room be filled as its kind has it. Raises RoomError, whatever that raises."""
        try:
            return await kind.load(room, stored)
        except RoomError:
            raise
        except Exception as error:  # whatever it raises: it concerns nobody but who wants to come in
            self._log.exception("room %s: cannot be opened%s", room.name, room.served.where)
            raise RoomError(CloseCode.LOAD_FAILED, f"the room cannot be opened: {error}") from error

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise RoomError(CloseCode.GOING_AWAY, "the server stops")

    async def _finish(self, room: OpenRoom) -> None:
        """Save a room because the server stops; edits that are not saved in time are in the store."""
        try:
            with suppress(RoomGone):  # it was being evicted
                async with asyncio.timeout(_LAST_SAVE), room.served.resident.release():
                    pass
        except TimeoutError:
            self._log.warning("room %s: not saved within %g s%s", room.name, _LAST_SAVE, room.served.where)
        finally:
            if not room.served.gone:
                self._leave(room)

    def _leave(self, room: OpenRoom) -> None:
        """Take a room out of memory, and note that everywhere."""
        self._remove(room)
        self._keeper.let_go(room.served)
        room.served.resident.closed()

    def _remove(self, room: OpenRoom) -> None:
        del self._open[room.name]
        room.served.gone = True
        room.served.place.close()

    def _send_off(self, served: ServedRoom, reason: str) -> None:
        """Close everybody in a room."""
        for member in list(served.connections):
            self._delivery.drop(served, member, CloseCode.GOING_AWAY, reason)


def _is_idle(served: ServedRoom) -> bool:
    """Say whether a room is still here, and nobody needs it."""
    return not served.in_use and not served.gone
