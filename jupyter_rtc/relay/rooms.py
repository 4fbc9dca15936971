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

from .allowances import Allowances, ExhaustedError
from .charges import Charge, Charges
from .delivery import Delivery
from .keeper import Keeper, Loaded
from .owner import RoomError, RoomGone, RoomOwner
from .protocol import CloseCode
from .room import Room
from .served import ServedRoom
from .store import StoredRoom, StoreError

_LAST_SAVE = 1.5


class Rooms:
    """The rooms in memory.

    A room is opened once, however many ask for it, and is here as soon as it is fully loaded. It is evicted when
    nobody needs it, and only when what it holds is kept elsewhere.

    Attributes:
        owners: whose rooms they are; the first that owns a name has it.
    """

    def __init__(
        self,
        owners: Iterable[RoomOwner],
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
        self.owners = list(owners)
        self._allowances = allowances
        self._charges = charges
        self._keeper = keeper
        self._delivery = delivery
        self._log = log
        self._served: dict[str, ServedRoom] = {}
        self._loading: dict[str, ServedRoom] = {}
        self._opening: dict[str, asyncio.Future[ServedRoom]] = {}
        self._closing = False

    def __iter__(self) -> Iterator[ServedRoom]:
        """Go over those that are here now, whatever comes and goes meanwhile."""
        return iter(list(self._served.values()))

    def owner(self, name: str) -> RoomOwner | None:
        """Return who owns the rooms of this name, or None where no such room can be."""
        return next((owner for owner in self.owners if owner.owns(name)), None)

    def get(self, name: str) -> ServedRoom | None:
        """Return a room, or None if it is not in memory."""
        return self._served.get(name)

    def served(self, room: Room) -> ServedRoom:
        """Return a room as it is served, or is about to be. Raises RoomGone where it is not in memory any more."""
        for rooms in (self._served, self._loading):
            if (served := rooms.get(room.name)) and served.room is room:  # not another of its name
                return served
        raise RoomGone(room.name)

    async def open(self, name: str, user: str) -> ServedRoom:
        """Return a room that is fully loaded, opening it where it is not in memory.

        It is there as one that `user` brought, which is counted; the name is empty where the server itself needs it.

        Raises:
            RoomError: it cannot be served; the error's code says why.
            ExhaustedError: the user, or all of them, have as many rooms in memory as they may.
        """
        while (served := self._served.get(name)) is None:  # evicted again, perhaps, before its opener's turn came
            opening = self._opening.get(name)
            if opening is None:
                place = ExitStack()
                if user:
                    place.enter_context(self._allowances.rooms.taken(user))
                opening = self._opening[name] = asyncio.ensure_future(self._open(name, user, place))
                opening.add_done_callback(lambda done: (self._opening.pop(name, None), done.exception()))
            await asyncio.shield(opening)
        return served

    async def evict(self, served: ServedRoom) -> bool:
        """Save, store and drop a room that nobody has used for a while; return whether it is gone.

        It stays where somebody comes back meanwhile, and where it is not saved and stored in the end.
        """
        name, room, where = served.room.name, served.room, served.where
        async with served.owner.release(room) as released:
            if not released or not self._is_idle(served):
                return False
            seq = room.seq
            # The room goes only when the store has it; while the store has trouble, memory is what there is.
            if served.stored and not await self._keeper.has_all(name):
                return False
            if not self._is_idle(served) or room.seq != seq:  # edited: not in its file yet
                return False
            self._leave(served)
        self._log.info("room %s: evicted%s", name, where)
        return True

    async def drop(self, name: str) -> RoomOwner | None:
        """Take a room out of memory as it is, and close whoever is in it with 1001; return who owns it."""
        if opening := self._opening.get(name):
            await asyncio.wait([opening])
        owner = self.owner(name)
        if served := self._served.get(name):
            self._send_off(served, "the room was deleted")
            self._remove(served)
            served.owner.closed(served.room)
        return owner

    async def close(self) -> None:
        """Close whoever is in a room with 1001, and save and drop all rooms; none is opened any more."""
        self._closing = True
        for served in self:
            self._send_off(served, "server stops")
        self._delivery.flush()
        for error in await asyncio.gather(*map(self._finish, self), return_exceptions=True):
            if error:  # one room that fails must not keep the others out of the store
                self._log.error("a room could not be finished: %s", error, exc_info=error)

    async def _open(self, name: str, user: str, place: ExitStack) -> ServedRoom:
        """Bring a room into memory for a user; it takes a `place` there until it leaves."""
        try:
            return await self._bring(name, user, place)
        except BaseException:  # whatever it is: nobody else gives it back
            place.close()
            raise

    async def _bring(self, name: str, user: str, place: ExitStack) -> ServedRoom:
        self._refuse_if_closing()
        owner = self.owner(name)
        if owner is None:
            raise RoomError(CloseCode.NOT_FOUND, f"no such room: {name}")
        served, loaded, anew = await self._filled(name, user, owner, place)
        if anew and await self._keeper.is_taken(name):
            # Two servers with one store opened it in the same moment: this one goes on with the other's history.
            self._log.info("room %s: another server has begun it in the same moment%s", name, served.where)
            self._give_up(served)
            served, loaded, _ = await self._filled(name, user, owner, place)
        self._refuse_if_closing()
        served.place = place
        room, served.idle_since = served.room, monotonic()
        self._served[name] = served
        try:
            owner.opened(room)
        except BaseException:  # nobody shall find it half open
            self._leave(served)
            raise
        self._delivery.opened(room)
        if loaded.damage:
            owner.told(room, loaded.damage)
            owner.found(room, loaded.remains)
        self._log.info("room %s: open, update %d%s", name, room.seq, served.where)
        return served

    async def _filled(
        self, name: str, user: str, owner: RoomOwner, place: ExitStack
    ) -> tuple[ServedRoom, Loaded, bool]:
        """Return a room that can be served, what was stored of it, and whether it is stored anew."""
        loaded = await self._keeper.load(name, owner) if owner.stored else Loaded(None, Doc())
        if owner.free:
            with suppress(StoreError):
                await self._charges.read()
        room = await self._begun(name, user, owner, loaded)
        place.callback(room.end)
        served = ServedRoom(room, owner, loaded.unkept, monotonic())
        first = await self._load(served, loaded.stored)
        await asyncio.to_thread(room.survey)
        self._refuse_if_closing()
        if owner.free and served.stored:
            served.charge = self._charge(name, user, begins=first is not None)
        return served, loaded, self._keeper.begin(served, loaded, first)

    def _give_up(self, served: ServedRoom) -> None:
        """Let go of a room that was never served."""
        if served.charge:
            self._charges.forget(served.room.name)
        self._keeper.let_go(served)
        served.owner.closed(served.room)

    async def _begun(self, name: str, user: str, owner: RoomOwner, loaded: Loaded) -> Room:
        """Return a room that holds what was stored of it, brought by a user."""
        presence, waits = self._allowances.presence(), self._allowances.waits()
        room = Room(name, uuid4().hex, presence, waits, mapped=owner.mapped, lists=owner.lists(name))
        room.opener = user
        if stored := loaded.stored:
            room.lineage = stored.lineage
            room.replace(loaded.doc)
            waiting = await asyncio.to_thread(stored.waiting, loaded.doc)
            room.begin(stored.last, stored.genesis, waiting=waiting, places=loaded.places)
        return room

    def _charge(self, name: str, user: str, begins: bool) -> Charge:
        """Return what counts the bytes of a room; raises RoomError where a user begins it who may begin no more."""
        if not begins:  # one that is not known was begun by another server with this store
            return self._charges.get(name) or self._charges.begin(name, "")
        try:
            self._charges.refuse_more(user)
        except ExhaustedError as error:  # whoever asked at the door before was told so there
            raise RoomError(CloseCode.NOT_ALLOWED, str(error)) from None
        return self._charges.begin(name, user)

    async def _load(self, served: ServedRoom, stored: StoredRoom | None) -> StoredRoom | None:
        """Let the owner of a room fill it. Raises RoomError, whatever the owner raises."""
        room = served.room
        self._loading[room.name] = served
        try:
            return await served.owner.load(room, stored)
        except RoomError:
            raise
        except Exception as error:  # whatever an owner raises: it concerns nobody but who wants to come in
            self._log.exception("room %s: cannot be opened%s", room.name, served.where)
            raise RoomError(CloseCode.LOAD_FAILED, f"the room cannot be opened: {error}") from error
        finally:
            del self._loading[room.name]

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise RoomError(CloseCode.GOING_AWAY, "the server stops")

    def _is_idle(self, served: ServedRoom) -> bool:
        """Say whether a room is still here, and nobody needs it."""
        return not served.in_use and self._served.get(served.room.name) is served

    async def _finish(self, served: ServedRoom) -> None:
        """Save a room because the server stops; what does not get saved in time is in the store."""
        try:
            async with asyncio.timeout(_LAST_SAVE), served.owner.release(served.room):
                pass
        except TimeoutError:
            self._log.warning("room %s: not saved within %g s%s", served.room.name, _LAST_SAVE, served.where)
        finally:
            self._leave(served)

    def _leave(self, served: ServedRoom) -> None:
        """Take a room out of memory, and note that everywhere."""
        self._remove(served)
        self._keeper.let_go(served)
        served.owner.closed(served.room)

    def _remove(self, served: ServedRoom) -> None:
        del self._served[served.room.name]
        served.place.close()

    def _send_off(self, served: ServedRoom, reason: str) -> None:
        """Close everybody in a room."""
        for member in list(served.connections):
            self._delivery.drop(served, member, CloseCode.GOING_AWAY, reason)
