"""The quarantine of a room: peers with a foreign history stay in it while the resident judges their documents."""

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


class Quarantine:
    """Has the documents of foreign peers judged by the resident of their room.

    A peer is told the verdict once, by a close. Its front end then connects again with the same document, many times a
    second, until the user has answered a dialog: the peer stays in quarantine without being closed again, and edits
    that come in meanwhile are judged, too. So are those that were sent before the close arrived: the peer remains a
    member until it has answered the close.
    """

    def __init__(self, carry_out: Callable[[ServedRoom, list[Effect]], None], log: Logger | LoggerAdapter[Any]) -> None:
        """Have the effects of a verdict carried out by `carry_out`."""
        self._log = log
        self._carry_out = carry_out

    async def judge(self, served: ServedRoom, member: Member) -> None:
        """Have a member's document judged, until none of its updates is left; return at once where that is under way.

        Raises ProtocolError where the updates cannot be read.
        """
        if member in served.judging:
            return
        served.judging.add(member)
        try:
            await self._judge(served, member)
        finally:
            served.judging.discard(member)

    async def _judge(self, served: ServedRoom, member: Member) -> None:
        rounds = 0
        while member.quarantined:
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
            # The verdict covers the updates that came meanwhile; but a peer that never rests is told, too.
            if len(member.held) > 1 and rounds % _MOST_ROUNDS:
                continue
            self._tell(served, member, verdict.reason)
            if len(member.held) == 1 and served.can_reach(member):
                await asyncio.sleep(_PAUSE)
            if len(member.held) == 1:
                return

    def _tell(self, served: ServedRoom, member: Member, text: str) -> None:
        """Close a member with the reason of its verdict, unless it was told the same before."""
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
