"""The handle on a room in memory, for whoever works in it: a file, a table, a fork, an edit of the server's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pycrdt import Doc

from ..wire import Awareness, protocol
from .delivery import Delivery
from .effects import Broadcast, Effect, Send
from .keeper import Keeper
from .member import Member
from .residents import RoomGone
from .room import EditError, Room
from .served import Follower, ServedRoom
from .storing.checkpoints import SEAL
from .storing.store import Checkpoint, Mark, StoredRoom


class OpenRoom:
    """A room in memory, and all that may be done to it there.

    Whoever got it from `Relay.hold` keeps it in memory until they let go. Once it is out of memory, whatever another
    room of its name may be, what would change it or its record raises RoomGone, and does nothing.

    Attributes:
        inside: what is in it. For whoever fills it, in `RoomKind.load`; after that it changes by what is done here.
        served: the room with its connections, for the relay.
    """

    def __init__(self, room: Room, served: ServedRoom, delivery: Delivery, keeper: Keeper) -> None:
        """Make the handle on a room: `delivery` carries out what is done to it, `keeper` keeps it."""
        self.inside = room
        self.served = served
        self._delivery = delivery
        self._keeper = keeper

    # ------------------------------------------------------------------ what it is

    @property
    def name(self) -> str:
        """The room's name, as in its URL."""
        return self.inside.name

    @property
    def doc(self) -> Doc[Any]:
        """The shared document, to be read; it is another object when it was built again."""
        return self.inside.doc

    @property
    def seq(self) -> int:
        """The number of the last update of the document."""
        return self.inside.seq

    @property
    def lineage(self) -> str:
        """The identity of the document's history."""
        return self.inside.lineage

    @property
    def genesis(self) -> int:
        """The client id that built the document first; 0 where any history is welcome."""
        return self.inside.genesis

    @property
    def members(self) -> set[Member]:
        """The peers in the room."""
        return self.inside.members

    @property
    def awareness(self) -> Awareness:
        """Who is there."""
        return self.inside.awareness

    @property
    def logged(self) -> int:
        """How many bytes of updates were stored since the room was opened."""
        return self.served.logged

    @property
    def stored_bytes(self) -> int:
        """How many bytes the snapshot takes that is stored."""
        return self.served.snapshot_bytes

    @property
    def turn(self) -> asyncio.Lock:
        """What is held by whoever sets the document to something: one at a time, from what it says to the edit."""
        return self.served.turn

    def whole_state(self) -> bytes:
        """Return the document's state as one update, with what it could not take in yet."""
        return self.inside.whole_state()

    # ------------------------------------------------------------------ edits

    def edit(self, change: Callable[[Doc[Any]], object]) -> None:
        """Make an edit of the server's own, in one transaction; everybody sees it.

        Where `change` raises, what it did before that is seen and stored too; then the error is raised.
        Raises RoomGone.
        """
        served = self._alive()
        try:
            self._delivery.carry_out(served, self.inside.edit(change))
        except EditError as half:
            self._delivery.carry_out(served, half.effects)
            raise half.error from None

    def merge(self, update: bytes, origin: str) -> None:
        """Apply an update that was made on a fork of the document, for the user `origin`; empty for the server itself.

        Raises RoomGone; and what the merge raises: then the document is built again without it (see `whole`).
        """
        self._delivery.carry_out(self._alive(), self._merged(update, origin))

    async def merge_durably(self, update: bytes, origin: str) -> None:
        """Apply an update as `merge` does; nobody is shown it before it is stored, or the store has trouble."""
        served = self._alive()
        effects = self._merged(update, origin)
        self._delivery.carry_out(served, [effect for effect in effects if not isinstance(effect, Broadcast)])
        await self._keeper.settle()
        self._delivery.carry_out(served, [effect for effect in effects if isinstance(effect, Broadcast)])

    def _merged(self, update: bytes, origin: str) -> list[Effect]:
        try:
            return self.inside.merge(update, origin)
        except BaseException:  # nobody knows how much of it is in the document
            self._delivery.rebuild(self.served)
            raise

    async def whole(self) -> None:
        """Return when nothing that failed half-way is in the document any more. Raises RoomGone."""
        if rebuilding := self._alive().rebuilding:
            await asyncio.wait([rebuilding])

    def adopt(self, stored: StoredRoom) -> bool:
        """Go on with another history of the document; return whether that is so now.

        It is not where somebody is in the room who has the present history, and where the store cannot keep it.
        Raises RoomGone.
        """
        return self._keeper.adopt(self._alive(), stored)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Call `follower` with each update from now on, and with None when the document began anew.

        Returns what ends that. Raises RoomGone.
        """
        followers = self._alive().followers
        followers.append(follower)
        return lambda: followers.remove(follower)

    def tell(self, member: Member, message: dict[str, Any]) -> None:
        """Send a RAW message to one member, if both are still here."""
        with suppress(RoomGone):
            self._delivery.carry_out(self._alive(), [Send(member, protocol.raw(message))])

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Have what members type wait in the context, while something is worked out from the document in a thread.

        That is for a tenth of a second at most, and for half of the time at most: whoever works on must look whether
        `seq` is what it was, which it may also not be because of the server's own edits. Raises RoomGone.
        """
        with self._alive().quiet():
            yield

    # ------------------------------------------------------------------ its record

    def seal(self) -> None:
        """Let what the document says now be a version of its past, whatever comes next. Raises RoomGone."""
        if self._alive().stored:
            self.record(SEAL)

    async def secure(self, seq: int) -> None:
        """Have everything stored up to update `seq` before a file is written; trouble with the store stops nobody.

        Raises RoomGone.
        """
        await self._keeper.secure(self._alive(), seq)

    def mark(self, saved: Mark | None = None, intended: Mark | None = None) -> None:
        """Let the store know which update the room's file holds, or is about to. Raises RoomGone."""
        self._keeper.mark(self._alive(), saved, intended)

    def record(self, update: bytes) -> None:
        """Store one more update, which the document has already. Raises RoomGone."""
        self._keeper.record(self._alive(), update)

    async def rebase(self, seq: int, snapshot: bytes) -> None:
        """Replace what is stored up to the update `seq` by a state that holds more, such as an outside edit.

        The past stays, with what it is now as the last version. Raises RoomGone.
        """
        checkpoints = await self._keeper.checkpoints(self._alive())
        self.replace(seq, snapshot, checkpoints)

    def replace(self, seq: int, snapshot: bytes, checkpoints: Sequence[Checkpoint] | None = None) -> None:
        """Replace what is stored up to the update `seq`, and the past, if `checkpoints` are given. Raises RoomGone."""
        self._keeper.replace(self._alive(), seq, snapshot, checkpoints)

    # ------------------------------------------------------------------ being held

    @contextmanager
    def held(self) -> Iterator[OpenRoom]:
        """Keep the room in memory in the context. Raises RoomGone."""
        served = self._alive()
        served.holds += 1
        try:
            yield self
        finally:
            served.let_go()

    def _alive(self) -> ServedRoom:
        if self.served.gone:
            raise RoomGone(self.name)
        return self.served
