"""What goes on between rooms and their members: frames in, effects carried out, members who come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from logging import Logger, LoggerAdapter
from time import monotonic
from typing import Any

from ..machine import Pace, Tasks
from ..wire import CloseCode, ProtocolError, TaintedError, UnfaithfulError, protocol, stirring
from .admission.allowances import Allowances, ExhaustedError, Holding
from .connection import Connection, TooSlowError
from .door import Ask, Faults, Rights
from .effects import Broadcast, Effect, Judge, Persist, Refuse, Request, Send, Show
from .keeper import Keeper
from .member import Member
from .outgoing import Outgoing
from .quarantine import Quarantine
from .residents import PRESENCE, RoomGone
from .room import Room
from .served import ServedRoom

_STEP1 = b"\x00\x00"
"""What a frame begins with that asks for the document."""

_AWARENESS = b"\x01"

_STIRRED_AFTER = (1.0, 2.0, 5.0, 12.0)
"""Seconds from when somebody comes in, and then from each time to the next, until a page has its panels."""


class _Share:
    """What one member holds of what users may take: updates that are held in quarantine, and presence.

    Attributes:
        holds: whether it held updates when that was last looked at.
    """

    __slots__ = ("_held", "_shown", "holds")

    def __init__(self, allowances: Allowances, member: Member) -> None:
        self._held = Holding(allowances.held, member.identity.username)
        self._shown = Holding(allowances.awareness, member.identity.username)
        self.holds = False

    def weigh(self, room: Room, member: Member) -> None:
        """Look at what it holds now. Raises ProtocolError where that is more than it may."""
        self.holds = bool(member.held)
        try:
            self._held.hold(member.held_size if self.holds else 0)
            self._shown.hold(room.awareness.size_of(member))
        except ExhaustedError as error:
            raise ProtocolError(f"too much at once: {error}", CloseCode.NOT_ALLOWED) from None

    def give_back(self) -> None:
        """Hold nothing any more."""
        self._held.hold(0)
        self._shown.hold(0)


class Delivery:
    """Gives members' frames to their rooms, and carries out the effects.

    Attributes:
        faults: who sent faulty frames lately.
    """

    def __init__(self, keeper: Keeper, tasks: Tasks, allowances: Allowances, log: Logger | LoggerAdapter[Any]) -> None:
        """Have `keeper` keep updates, and restore what a bad one spoilt, as one of `tasks`.

        `allowances` say how much members may take.
        """
        self.faults = Faults()
        self._keeper = keeper
        self._tasks = tasks
        self._log = log
        self._outgoing = Outgoing(Pace(allowances.max_awareness_rate))
        self._rights = Rights(log)
        self._quarantine = Quarantine(self.carry_out, log)
        self._allowances = allowances
        self._shares: dict[Member, _Share] = {}

    # ------------------------------------------------------------------ members

    def join(
        self, served: ServedRoom, member: Member, connection: Connection, ask: Ask | None, interval: float
    ) -> None:
        """Let a member in, and `ask` about it again: every `interval` seconds, if that is not 0, and in `ask_now`."""
        connection.last_sent = monotonic()
        served.connections[member] = connection
        self._shares[member] = _Share(self._allowances, member)
        try:
            served.resident.joined(member)
            self.carry_out(served, served.room.join(member))
        except BaseException:  # whoever is not in cannot leave: they would stay for ever
            self.leave(served, member)
            raise
        if served.room.name == PRESENCE:
            self._stir_later(served, member, 0)
        if ask and member in served.connections:
            self._rights.begin(member, interval, ask, lambda writable: self._allow(served, member, writable))

    def receive(self, served: ServedRoom, member: Member, frames: Sequence[bytes], deadline: float) -> int:
        """Take in frames of a member that came together, until a time; return how many: none while they have to wait.

        What is wrong with one closes this member, and no other. A step 1 that was just answered is not answered again.
        """
        if served.is_quiet:
            return 0
        now, taken = monotonic(), 0
        asked: bytes | None = None
        for frame in frames:
            taken += 1
            if frame == asked and not member.quarantined:
                continue
            if frame.startswith(_STEP1):
                asked = frame
            if member in served.connections:
                self._take(served, member, frame, now)
            if monotonic() > deadline:
                break
        self._outgoing.at_once(now)
        return taken

    async def ask_now(self) -> None:
        """Ask what members may do whose rooms show other files now; return when that is settled."""
        await self._rights.ask_now()

    def drop(self, served: ServedRoom, member: Member, code: int, reason: str) -> None:
        """Close a member, if it is still there, and see it off."""
        if connection := served.connections.get(member):
            connection.close(code, reason)
            self._forget(served, member)

    def give_up(self, served: ServedRoom, member: Member, error: Exception) -> None:
        """Close a member that can be sent nothing any more."""
        if isinstance(error, TooSlowError):
            self.drop(served, member, CloseCode.TOO_SLOW, "reads too slowly")
            return
        name, username = served.room.name, member.identity.username
        self._log.error("room %s: writing to %s failed%s", name, username, served.where, exc_info=error)
        self.drop(served, member, CloseCode.GOING_AWAY, "could not be written to")

    def fault(self, served: ServedRoom, member: Member, error: ProtocolError) -> None:
        """Close a member that broke the protocol; it will wait at the door."""
        name, username = served.room.name, member.identity.username
        self._log.warning("room %s: closing %s: %s%s", name, username, error.reason, served.where)
        self.faults.blame(name, username)
        if error.code is CloseCode.TOO_BIG and username not in served.lost_from:
            served.lost_from.add(username)
            said = f"A change that {username} made is not in the document, for it is too large: {error.reason}"
            self._tell(served.room, served.resident.told, said)
        self.drop(served, member, error.code, error.reason)

    def leave(self, served: ServedRoom, member: Member) -> None:
        """See off a member whose socket is closed. Does nothing the second time."""
        if connection := served.connections.get(member):
            connection.detach()
            self._forget(served, member)

    def _forget(self, served: ServedRoom, member: Member) -> None:
        del served.connections[member]
        served.idle_since = monotonic()
        self._rights.end(member)
        self.carry_out(served, served.room.leave(member))
        if member not in served.judging:
            self._let_go(member)
        self._tell(served.room, served.resident.left, member)

    def _allow(self, served: ServedRoom, member: Member, writable: bool | None) -> None:
        """Take note of what a member may do now: edit, only watch, or (None) not even that."""
        if writable is None:
            username, where = member.identity.username, served.where
            self._log.info("room %s: %s is not allowed here any more%s", served.room.name, username, where)
            self.drop(served, member, CloseCode.NOT_ALLOWED, "not allowed any more")
        elif member.writable != writable:
            member.writable, member.told = writable, False
            if writable:  # greeted again, so that it is asked for what was not taken from it meanwhile
                member.ask_again()
                self.carry_out(served, served.room.join(member))

    def _take(self, served: ServedRoom, member: Member, frame: bytes, now: float) -> None:
        served.count(frame)
        if served.charge:
            served.room.full = served.charge.refusal(len(frame))
        try:
            effects = served.room.receive(member, frame, now)
            share = self._shares[member]
            if member.quarantined or share.holds or frame.startswith(_AWARENESS):
                share.weigh(served.room, member)
        except UnfaithfulError:
            self._put_off(served, member)
        except ProtocolError as error:
            self.fault(served, member, error)
            if isinstance(error, TaintedError):
                self.rebuild(served)
        else:
            self._apply(served, effects)

    def _put_off(self, served: ServedRoom, member: Member) -> None:
        """Close a member that cannot be sent the document: it comes back, and finds one that was made anew."""
        self.drop(served, member, CloseCode.TOO_SLOW, "the document is being made anew")

    def rebuild(self, served: ServedRoom) -> None:
        """Have a document built again from what is stored, for something failed half-way in it."""
        if served.rebuilding is None or served.rebuilding.done():
            served.rebuilding = self._tasks.spawn(self._keeper.restore(served))

    # ------------------------------------------------------------------ effects

    def carry_out(self, served: ServedRoom, effects: list[Effect]) -> None:
        """Do what a room asks for; frames for everybody leave at the end of the turn, or a moment later."""
        self._apply(served, effects)
        self._outgoing.soon(monotonic())

    def show_withheld(self, served: ServedRoom) -> None:
        """Show what was withheld of those who show too much, in its newest state, as far as that may be now."""
        if served.withholds:
            self.carry_out(served, [Show((), None)])

    def flush(self) -> None:
        """Send now what waits to leave."""
        self._outgoing.flush()

    def began_anew(self, served: ServedRoom) -> None:
        """Tell a room's followers that its document is another one now."""
        for follower in list(served.followers):
            self._tell(served.room, follower, None, "")

    def _apply(self, served: ServedRoom, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Broadcast):
                self._outgoing.add(served, effect)
            elif isinstance(effect, Persist):
                self._persist(served, effect)
            elif isinstance(effect, Show):
                self._show(served, effect)
            elif isinstance(effect, Send):
                served.send(effect, monotonic())
            elif isinstance(effect, Request):
                self._tell(served.room, served.resident.requested, effect.member, effect.name, effect.number)
            elif isinstance(effect, Judge):
                self._tasks.spawn(self._judge(served, effect.member))
            elif isinstance(effect, Refuse):
                self._tell(served.room, served.resident.refused, effect.member, effect.update)

    def _show(self, served: ServedRoom, effect: Show) -> None:
        if effect.member is None:
            self._outgoing.add(served, effect)
        else:
            served.show(effect)

    def _stir(self, served: ServedRoom, member: Member, number: int) -> None:
        """Have a page look again at who is here, once it has its panels: JupyterLab's lists nobody before a change."""
        if member not in served.connections:
            return
        if len(served.room.awareness):
            self.carry_out(served, [Send(member, protocol.awareness(stirring(2 * number + 1)))])
        self._stir_later(served, member, number + 1)

    def _stir_later(self, served: ServedRoom, member: Member, number: int) -> None:
        if number < len(_STIRRED_AFTER):
            asyncio.get_running_loop().call_later(_STIRRED_AFTER[number], self._stir, served, member, number)

    def _persist(self, served: ServedRoom, effect: Persist) -> None:
        if served.stored:
            self._keeper.append(served, effect)
        self._tell(served.room, served.resident.changed)
        for follower in list(served.followers):
            self._tell(served.room, follower, effect.update, effect.author)

    def _tell(self, room: Room, told: Callable[..., None], *about: Any) -> None:
        """Tell who looks after a room, or a follower, of something that happened. On the hot path.

        What it raises is logged and concerns nobody else: not those who are to be sent the edit, nor its author.
        """
        try:
            told(*about)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the PanicException of pycrdt, which a follower may run into, is no Exception
            self._log.error("room %s: somebody who was told of a change failed: %r", room.name, error, exc_info=error)

    async def _judge(self, served: ServedRoom, member: Member) -> None:
        try:
            with suppress(RoomGone):
                await self._quarantine.judge(served, member)
        except UnfaithfulError:
            self._put_off(served, member)
        except ProtocolError as error:
            self.fault(served, member, error)
        finally:
            if member not in served.connections and member not in served.judging:
                self._let_go(member)

    def _let_go(self, member: Member) -> None:
        """Give back what a member that left held."""
        member.held = []
        if share := self._shares.pop(member, None):
            share.give_back()
