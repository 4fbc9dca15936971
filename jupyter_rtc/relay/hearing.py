"""Peers whose document has another history: they stay aside while the room's resident sees to what they brought."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from logging import Logger, LoggerAdapter
from typing import Any

from ..wire import EMPTY_STATE, CloseCode, decode_state_vector
from .effects import Effect
from .member import Member
from .served import ServedRoom

_PAUSE = 1.0
_RETRY = 5.0
_MOST_ROUNDS = 3
_REMEMBERED = 100


class Hearings:
    """Hears the peers that have another history.

    A peer is told once how it stands, by a close. The front end then comes back with the same document, many times a
    second, until its user has answered a dialog: it stays aside in silence, and what is typed into it meanwhile is
    heard, too. So is what it sent before the close reached it: it is a member until it has answered that.
    """

    def __init__(self, carry_out: Callable[[ServedRoom, list[Effect]], None], log: Logger | LoggerAdapter[Any]) -> None:
        """Let what follows from a hearing be done by `carry_out`."""
        self._log = log
        self._carry_out = carry_out

    async def hear(self, served: ServedRoom, member: Member) -> None:
        """Hear a member, until all is heard that it brought; one that is being heard already is heard to the end.

        Raises ProtocolError where what it brought cannot be read.
        """
        if member in served.heard:
            return
        served.heard.add(member)
        try:
            await self._hear(served, member)
        finally:
            served.heard.discard(member)

    async def _hear(self, served: ServedRoom, member: Member) -> None:
        rounds = 0
        while member.aside:
            number = len(member.held)
            verdict = await served.resident.foreign(member, tuple(member.held))
            if verdict.settled and not verdict.reason:
                self._carry_out(served, served.room.welcome(member))
                return
            member.replace_held(number, verdict.state)
            if not verdict.settled:
                await asyncio.sleep(_RETRY)
                if member not in served.connections:
                    return
                continue
            rounds += 1
            # What came meanwhile is part of what it is told about; but not for ever.
            if len(member.held) > 1 and rounds % _MOST_ROUNDS:
                continue
            self._tell(served, member, verdict.reason)
            if len(member.held) == 1 and served.can_reach(member):
                await asyncio.sleep(_PAUSE)
            if len(member.held) == 1:
                return

    def _tell(self, served: ServedRoom, member: Member, text: str) -> None:
        """Close a member with a reason, if it was not told the same before."""
        tab = member.identity.username, self._clients(served, member)
        if not served.can_reach(member) or served.told.get(tab) == text:
            return
        served.told[tab] = text
        name, (username, _) = served.room.name, tab
        self._log.warning(
            "room %s: %s brought another history of the document: %s%s", name, username, text, served.where
        )
        if len(served.told) > _REMEMBERED:
            del served.told[next(iter(served.told))]
        reason = {"reason": "unknown_session", "reloadable": True, "errorReason": text}
        text = json.dumps(reason, separators=(",", ":"), ensure_ascii=False)
        served.connections[member].close(CloseCode.SESSION, text)

    def _clients(self, served: ServedRoom, member: Member) -> frozenset[int]:
        """Return what tells one window of a user from another: the clients it announced, else those it knows."""
        announced = served.room.awareness.clients(member)
        return frozenset(announced or decode_state_vector(member.state_vector or EMPTY_STATE))
