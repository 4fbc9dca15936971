"""Kinds and residents: what is true of all rooms of one kind, and the object that looks after one open room."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from ..wire import NO_CHANGE, CloseCode, Read
from .member import Member
from .storing.checkpoints import Watch
from .storing.store import StoredRoom

PRESENCE = "JupyterLab:globalAwareness"
"""The room in which JupyterLab's front ends say who is here and which document they look at."""


class RoomError(Exception):
    """A room cannot be opened: `code` is a `CloseCode`, `reason` a text for the peer."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class RoomGone(RoomError):
    """A room was dropped from memory, even if another of its name is open since; nothing was done."""

    def __init__(self, name: str) -> None:
        super().__init__(CloseCode.GOING_AWAY, f"the room {name} was closed")


@dataclass(frozen=True)
class Verdict:
    """What becomes of a quarantined member.

    Attributes:
        reason: why it may not sync, for the dialog of its front end: at most 60 bytes of UTF-8; empty where it may.
        state: the member's whole document, as one update.
        settled: whether its edits are safe; if not, it is told nothing, and judged again later.
    """

    reason: str = ""
    state: bytes = NO_CHANGE
    settled: bool = True


class Kind(Protocol):
    """What is true of all rooms of one kind, whether they are open or not.

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

    def reader(self, name: str) -> Read | None:
        """Return what tells the content of a room's document; None where only its members know what it is."""
        ...

    def watch(self, name: str) -> Watch | None:
        """Return what tells edits of a room's content from bookkeeping; None if no past versions of it are kept."""
        ...

    async def admit(self, name: str) -> None:
        """Raise RoomError where no such room can be; asked before the WebSocket handshake is answered."""
        ...


class Resident:
    """Looks after one room while it is open. A method that a resident has no use for does nothing."""

    def opened(self) -> None:
        """Take note that the room is served from now on."""

    def changed(self) -> None:
        """Take note that the document changed. On the hot path: called for every update."""

    def replaced(self) -> None:
        """Take note that the room's document is another object now, with the same content."""

    def settled(self) -> int | None:
        """Return the number of the last update that never needs to be told from those before it; None for the last."""
        return None

    def describe(self) -> dict[str, Any]:
        """Return what the list of rooms says of the room besides what the relay knows."""
        return {}

    def told(self, said: str) -> None:
        """Take note of a sentence for those in the room: about what becomes of it in the store."""

    def found(self, updates: Sequence[bytes]) -> None:
        """Take in what was still found of the room, which had to begin without it, for its record was damaged."""

    async def renew(self, begin: Callable[[StoredRoom], None]) -> None:
        """Make a document anew that says what the room's does, which can be given to nobody, and `begin` with it.

        That must be called in the moment in which the two say the same. All members are quarantined from then on.
        """

    def joined(self, member: Member) -> None:
        """Take note that a member came in."""

    def left(self, member: Member) -> None:
        """Take note that a member went."""

    def requested(self, member: Member, name: str, number: int) -> None:
        """Serve a RAW request of a member, such as ``save``."""

    def refused(self, member: Member, update: bytes) -> None:
        """Take note that the edit of a member that may only read was not taken."""

    async def foreign(self, member: Member, updates: Sequence[bytes]) -> Verdict:
        """Judge the document of a quarantined member: merge its edits, keep them, or find nothing new in it.

        `updates` are the whole of its document. Called again, one call at a time, when the member has sent more;
        the first of the updates is then the `state` of the last verdict. Raises ProtocolError where they cannot be
        read. By default any history is welcome.
        """
        return Verdict()

    def release(self) -> AbstractAsyncContextManager[bool]:
        """Finish what is pending (a save); enter with whether the room may be dropped from memory now.

        Until the context is left nothing is begun that changes the document or what is stored of it: the room may be
        dropped in it.
        """
        return _let_go()

    def spare(self) -> bool:
        """Say whether everything that a released room holds is elsewhere too, so that the store may drop it."""
        return False

    def closed(self) -> None:
        """Take note that the room is out of memory."""


@asynccontextmanager
async def _let_go() -> AsyncIterator[bool]:
    yield True


def where(kind: Kind, name: str) -> str:
    """Return what ends a line of the log: the path of the file, in brackets, where the room is that of one."""
    paths = kind.paths(name)
    return f" ({next(iter(paths))})" if len(paths) == 1 else ""
