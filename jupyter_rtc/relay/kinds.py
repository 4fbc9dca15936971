"""Kinds of rooms: what one must be able to do, and the two kinds without a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from ..wire import NO_CHANGE, Read
from .member import Member
from .open_room import OpenRoom
from .residents import PRESENCE, Kind, Resident, Verdict
from .storing.anew import anew
from .storing.checkpoints import Watch
from .storing.store import StoredRoom

_ANEW = "This room began anew. Reload it to go on."


class RoomKind(Kind, Protocol):
    """One kind of rooms, and how one of them is opened."""

    async def load(self, room: OpenRoom, stored: StoredRoom | None) -> tuple[Resident, StoredRoom | None]:
        """Fill a room that is about to be served for the first time, and return who looks after it from then on.

        `stored` is what the store has of it; that is in the room's document already. The second that is returned is
        what the store should begin with where it has nothing, or nothing that is still true; else None. Raises
        RoomError where the room cannot be served; then nothing is stored.
        """
        ...


class PlainKind:
    """Rooms that belong to nothing but their members: no file, no requests, any history welcome."""

    resource = "contents"
    writable = True
    stored = False
    free = False
    mapped = False

    def owns(self, name: str) -> bool:
        """Own no room; for a subclass to say."""
        raise NotImplementedError

    def paths(self, name: str) -> Collection[str]:
        """Show no files."""
        return ()

    def belongs_to(self, name: str, username: str) -> bool:
        """Keep rooms for nobody."""
        return True

    def lists(self, name: str) -> Collection[str]:
        """Know no roots: nobody here reads them."""
        return ()

    def reader(self, name: str) -> Read | None:
        """Do not know what is in it."""
        return None

    def watch(self, name: str) -> Watch | None:
        """Keep no past versions."""
        return None

    async def admit(self, name: str) -> None:
        """Let everybody in whom the Authorizer lets in."""

    async def load(self, room: OpenRoom, stored: StoredRoom | None) -> tuple[Resident, StoredRoom | None]:
        """Begin with what is stored, else with an empty document."""
        first = None if stored or not self.stored else StoredRoom(room.lineage, 0, NO_CHANGE, 0, (), None, None)
        return self.resident(room), first

    def resident(self, room: OpenRoom) -> Resident:
        """Return who looks after a room that was filled in this way: nobody."""
        return Resident()


class Presence(PlainKind):
    """The one room in which front ends show who is here; in memory only."""

    def owns(self, name: str) -> bool:
        """Own the presence room."""
        return name == PRESENCE


class FreeRooms(PlainKind):
    """Rooms for any Yjs client, under any name of letters, digits and ``-_.~/``; stored like any other."""

    stored = True
    free = True
    _name = re.compile(r"[\w\-.~][\w\-.~/]{0,254}", re.ASCII)

    def owns(self, name: str) -> bool:
        """Own every name without a colon."""
        return self._name.fullmatch(name) is not None

    def resident(self, room: OpenRoom) -> Resident:
        """Return who looks after a free room."""
        return FreeRoom(room)


class FreeRoom(Resident):
    """Looks after a room of which nobody here knows what is in it."""

    def __init__(self, room: OpenRoom) -> None:
        """Look after `room`."""
        self._room = room

    async def renew(self, begin: Callable[[StoredRoom], None]) -> None:
        """Begin with a copy of what is in it."""
        begin(anew(self._room.doc))

    async def foreign(self, member: Member, updates: Sequence[bytes]) -> Verdict:
        """Keep out the history of a room that began anew: with it, everything would stand twice."""
        return Verdict(_ANEW)
