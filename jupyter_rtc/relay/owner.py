"""Who gives the rooms of one kind their content and their rights, and the two kinds without a file."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from .anew import anew
from .checkpoints import Watch
from .member import Member
from .protocol import NO_CHANGE, CloseCode
from .readback import Read
from .room import Room
from .store import StoredRoom

PRESENCE = "JupyterLab:globalAwareness"
"""The room in which JupyterLab's front ends say who is here and which document they look at."""

_ANEW = "This room began anew. Reload it to go on."


class RoomError(Exception):
    """A room cannot be opened: `code` is a `CloseCode`, `reason` a text for the peer."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class RoomGone(RoomError):
    """A room is out of memory, whatever another of its name may be: what was to be done in it is not done."""

    def __init__(self, name: str) -> None:
        super().__init__(CloseCode.GOING_AWAY, f"the room {name} was closed")


@dataclass(frozen=True)
class Verdict:
    """What becomes of a member whose document has another history.

    Attributes:
        reason: why it may not come in, for the dialog of its front end: at most 60 bytes of UTF-8; empty where it may.
        state: all that it brought, as one update.
        settled: whether what it brought is safe; if not, nobody is told anything, and it is heard again.
    """

    reason: str = ""
    state: bytes = NO_CHANGE
    settled: bool = True


class RoomOwner(Protocol):
    """Gives the rooms of one kind their content and their rights.

    Attributes:
        resource: what Jupyter Server's Authorizer is asked about: ``read`` to come in, ``write`` to edit.
        writable: whether anybody may edit these rooms; where not, the Authorizer is not asked for ``write``.
        stored: whether these rooms are kept in the store.
        free: whether clients make up the names of these rooms.
        mapped: whether values of maps are content of these rooms, so that a reader who has others must reload. In other
            rooms only texts, lists and cells are: front ends set values of maps by themselves, in new documents too.
    """

    resource: str
    writable: bool
    stored: bool
    free: bool
    mapped: bool

    def owns(self, name: str) -> bool:
        """Say whether a room of this name is of this kind."""
        ...

    def paths(self, name: str) -> Collection[str]:
        """Return the API paths of the files that a room shows something of; empty where there can be no such room.

        The Authorizer is asked about each (see `rights`). Who changes them calls `Relay.ask_rights`.
        """
        ...

    def belongs_to(self, name: str, username: str) -> bool:
        """Say whether a user may come into a room, and see it in lists, as far as that is not the Authorizer's."""
        ...

    def lists(self, name: str) -> Collection[str]:
        """Return the names of those roots of a room's document that are read as arrays or maps, and hold no text."""
        ...

    async def admit(self, name: str) -> None:
        """Raise RoomError where no such room can be; asked before the WebSocket handshake is answered."""
        ...

    async def load(self, room: Room, stored: StoredRoom | None) -> StoredRoom | None:
        """Fill a room that is about to be served for the first time.

        `stored` is what the store has of it; that is in the room's document already. Return what the store
        should begin with where it has nothing (or nothing that is still true), else None. Raises RoomError
        where the room cannot be served; then nothing is stored.
        """
        ...

    def opened(self, room: Room) -> None:
        """Take note that a room is served from now on."""
        ...

    def changed(self, room: Room) -> None:
        """Take note that the document changed. On the hot path: called for every update."""
        ...

    def replaced(self, room: Room) -> None:
        """Take note that ``room.doc`` is another object now, with the same content."""
        ...

    def settled(self, room: Room) -> int:
        """Return the number of the last update that the owner never needs to tell from those before it."""
        ...

    def watch(self, room: Room) -> Watch | None:
        """Return what tells edits of a room's content from bookkeeping; None if no past versions of it are kept."""
        ...

    def reader(self, name: str) -> Read | None:
        """Return what tells the content of a room's document; None where only its members know what it is."""
        ...

    def describe(self, room: Room) -> dict[str, Any]:
        """Return what the list of rooms says of a room besides what the relay knows."""
        ...

    def told(self, room: Room, said: str) -> None:
        """Take note of a sentence for those in the room: about what becomes of it in the store."""
        ...

    def found(self, room: Room, updates: Sequence[bytes]) -> None:
        """Take in what was still found of a room that had to begin without it, for its record was damaged."""
        ...

    async def renew(self, room: Room, begin: Callable[[StoredRoom], None]) -> None:
        """Make a document anew that says what the room's does, which can be given to nobody, and `begin` with it.

        That must be called in the moment in which the two say the same. Those in the room are heard from then on.
        """
        ...

    def joined(self, room: Room, member: Member) -> None:
        """Take note that a member came in."""
        ...

    def left(self, room: Room, member: Member) -> None:
        """Take note that a member went."""
        ...

    def requested(self, room: Room, member: Member, name: str, number: int) -> None:
        """Serve a RAW request of a member, such as ``save``."""
        ...

    def refused(self, room: Room, member: Member, update: bytes) -> None:
        """Take note that the edit of a member that may only read was not taken."""
        ...

    async def foreign(self, room: Room, member: Member, updates: Sequence[bytes]) -> Verdict:
        """Say what becomes of a member whose document has another history, after seeing to what it brought.

        `updates` are the whole of its document. Called again, one call at a time, when the member has brought more;
        the first of the updates is then the `state` of the last verdict. Raises ProtocolError where they cannot be
        read.
        """
        ...

    def release(self, room: Room) -> AbstractAsyncContextManager[bool]:
        """Finish what is pending (a save); enter with whether the room may be dropped from memory now.

        Until the context is left nothing is begun that changes the document or what is stored of it: the room may be
        dropped in it.
        """
        ...

    def spare(self, room: Room) -> bool:
        """Say whether everything that a released room holds is elsewhere too, so that the store may drop it."""
        ...

    def closed(self, room: Room) -> None:
        """Take note that the room is out of memory."""
        ...


def where(owner: RoomOwner, name: str) -> str:
    """Return what ends a line of the log: the path of the file, in brackets, where the room is that of one."""
    paths = owner.paths(name)
    return f" ({next(iter(paths))})" if len(paths) == 1 else ""


class PlainOwner:
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

    async def admit(self, name: str) -> None:
        """Let everybody in whom the Authorizer lets in."""

    async def load(self, room: Room, stored: StoredRoom | None) -> StoredRoom | None:
        """Begin with what is stored, else with an empty document."""
        if stored or not self.stored:
            return None
        return StoredRoom(room.lineage, 0, NO_CHANGE, 0, (), None, None)

    def opened(self, room: Room) -> None:
        """Have nothing to do."""

    def changed(self, room: Room) -> None:
        """Have nothing to do."""

    def replaced(self, room: Room) -> None:
        """Have nothing to do."""

    def settled(self, room: Room) -> int:
        """Need no update by itself."""
        return room.seq

    def watch(self, room: Room) -> Watch | None:
        """Keep no past versions."""
        return None

    def reader(self, name: str) -> Read | None:
        """Do not know what is in it."""
        return None

    def describe(self, room: Room) -> dict[str, Any]:
        """Know nothing more."""
        return {}

    def told(self, room: Room, said: str) -> None:
        """Tell nobody: a plain Yjs client has no way to be told."""

    async def renew(self, room: Room, begin: Callable[[StoredRoom], None]) -> None:
        """Leave it as it is."""

    def found(self, room: Room, updates: Sequence[bytes]) -> None:
        """Have nothing to do: where nothing is saved, no room has to begin without its record."""

    def joined(self, room: Room, member: Member) -> None:
        """Have nothing to do."""

    def left(self, room: Room, member: Member) -> None:
        """Have nothing to do."""

    def requested(self, room: Room, member: Member, name: str, number: int) -> None:
        """Know no requests."""

    def refused(self, room: Room, member: Member, update: bytes) -> None:
        """Say nothing: a plain Yjs client has no way to be told."""

    async def foreign(self, room: Room, member: Member, updates: Sequence[bytes]) -> Verdict:
        """Welcome every history."""
        return Verdict()

    @asynccontextmanager
    async def release(self, room: Room) -> AsyncIterator[bool]:
        """Let the room go."""
        yield True

    def spare(self, room: Room) -> bool:
        """Keep it: there is no other place."""
        return False

    def closed(self, room: Room) -> None:
        """Have nothing to do."""


class Presence(PlainOwner):
    """The one room in which front ends show who is here; in memory only."""

    def owns(self, name: str) -> bool:
        """Own the presence room."""
        return name == PRESENCE


class FreeRooms(PlainOwner):
    """Rooms for any Yjs client, under any name of letters, digits and ``-_.~/``; stored like any other."""

    stored = True
    free = True
    _name = re.compile(r"[\w\-.~][\w\-.~/]{0,254}", re.ASCII)

    def owns(self, name: str) -> bool:
        """Own every name without a colon."""
        return self._name.fullmatch(name) is not None

    async def renew(self, room: Room, begin: Callable[[StoredRoom], None]) -> None:
        """Begin with a copy of what is in it."""
        begin(anew(room.doc))

    async def foreign(self, room: Room, member: Member, updates: Sequence[bytes]) -> Verdict:
        """Keep out the history of a room that began anew: with it, everything would stand twice."""
        return Verdict(_ANEW)
