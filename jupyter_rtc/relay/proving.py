"""Documents read back: what a room sends is what it applied, and a document that cannot be encoded begins anew."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from logging import Logger, LoggerAdapter
from time import monotonic
from typing import Any

from ..machine import Tasks
from ..wire import UnfaithfulError
from .delivery import Delivery
from .keeper import Keeper
from .residents import RoomGone
from .served import ServedRoom
from .storing.store import StoredRoom

_SHARE = 0.02
"""The most of its time that a document is looked at, while people come and go and others type."""

_PAUSE = 60.0
"""Seconds after which a log is looked at again that could not be folded, of a document that could not be made anew."""


class Proving:
    """Sees to it that a document and its encoded state stay the same, for faults of the engine make them differ.

    A document is read back from its record in the store when its state was sent to a peer since its last change, and
    whenever its log is folded. One that cannot be encoded is made anew with the same content. It has another history
    then, and its members are quarantined, for they have the old one.
    """

    def __init__(self, keeper: Keeper, delivery: Delivery, tasks: Tasks, log: Logger | LoggerAdapter[Any]) -> None:
        """Have `keeper` look at documents and `delivery` tell those who are in a room."""
        self._keeper = keeper
        self._delivery = delivery
        self._tasks = tasks
        self._log = log

    def attend(self, served: ServedRoom, now: float) -> None:
        """Look at a room soon, if it gave out what was not looked at yet."""
        if served.stored and not served.proving and served.room.given > served.proved and now >= served.prove_after:
            self._tasks.spawn(self._prove(served))

    async def fold(self, served: ServedRoom) -> None:
        """Fold a room's log; begin the room anew where that is not possible."""
        if monotonic() < served.fold_after:
            return
        try:
            await self._keeper.compact(served)
        except UnfaithfulError as error:
            await self._renew(served, error)

    async def _prove(self, served: ServedRoom) -> None:
        begun = monotonic()
        served.proving = True
        try:
            await self._keeper.prove(served)
        except UnfaithfulError as error:
            await self._renew(served, error)
        finally:
            served.proving = False
            served.prove_after = monotonic() + (monotonic() - begun) / _SHARE

    async def _renew(self, served: ServedRoom, error: UnfaithfulError) -> None:
        room, rebased = served.room, served.rebased
        self._log.error("room %s: the document cannot be given out: %s%s", room.name, error, served.where)
        try:
            with suppress(RoomGone):
                await served.resident.renew(partial(self._begin, served))
        finally:
            if served.rebased == rebased:  # it stays as it is, with its log
                served.proved, served.fold_after = room.seq, monotonic() + _PAUSE

    def _begin(self, served: ServedRoom, stored: StoredRoom) -> None:
        room = served.room
        self._keeper.renew(served, stored)
        told = "room %s: began anew with what the document says, as history %s%s"
        self._log.warning(told, room.name, room.lineage, served.where)
        self._delivery.carry_out(served, room.quarantine_all())
        self._delivery.began_anew(served)
        served.resident.told("The document could not be sent to others any more, and began anew with what it says.")
