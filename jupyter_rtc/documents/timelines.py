"""The timeline of JupyterLab's front end: a copy of a document that goes back and forth through its versions.

The front end connects its own document to the copy's room, asks for steps back and forth, and to restore connects
the same document to the root room again: what the steps did arrives there as ordinary edits. So the copy has the
history of its root, and a step is a real edit: the smallest one that sets it to what the version held.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from uuid import uuid4

from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from ..relay import Member, Room, RoomGone, StoredRoom
from .branches import BranchOwner, branch_off
from .content import Content
from .documents import Documents
from .history import Chronicle, History, HistoryError, opened
from .restore import set_to

__all__ = ["Timeline", "Timelines"]


@dataclass
class Timeline:
    """One copy of a document, and where in the past it is.

    Attributes:
        room: the name of the copy's room.
        root: the name of the document's room.
        user: the name of the user whose timeline it is.
        chronicle: the versions that it goes through.
        wanted: the index of the version that was asked for; `shown`: of the one that it holds.
        used: when somebody last needed it, in seconds of the monotonic clock.
    """

    room: str
    root: str
    user: str
    content: Content
    chronicle: Chronicle
    wanted: int
    shown: int
    used: float
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Timelines(BranchOwner, LoggingConfigurable):
    """Owns the rooms of timelines. They are in memory only, a bounded number of them."""

    max_timelines = Integer(
        32,
        min=1,
        help="How many timelines may be open at once; the one that was idle longest goes for a new one. Where none is"
        " idle, the new one is refused with 503.",
    ).tag(config=True)
    max_timelines_per_user = Integer(
        4,
        min=1,
        help="How many timelines a user may have open at once; the one that was idle longest goes for a new one. Where"
        " none is idle, the new one is refused with 429.",
    ).tag(config=True)
    timeline_timeout = Float(
        300.0, min=0.0, help="Seconds that a timeline is kept after its last front end has left it."
    ).tag(config=True)

    def __init__(self, documents: Documents, history: History, **kwargs: Any) -> None:
        """Go through the past of `documents`, which `history` knows."""
        super().__init__(**kwargs)
        self._documents = documents
        self._history = history
        self._timelines: dict[str, Timeline] = {}

    async def begin(self, path: str, form: str, kind: str, user: str) -> Timeline:
        """Make a timeline of a document for a user, which shows its last version.

        Raises BadRequest, FileError, HistoryError, ExhaustedError.
        """
        subject = await self._history.subject(path, form, kind)
        if subject.name is None:
            raise HistoryError(404, f"nothing is stored of {path}")
        root = str(subject.name)
        await opened(self._documents, root, user)
        chronicle = await self._history.chronicle(subject)
        if chronicle is None:
            raise HistoryError(404, f"nothing is stored of {path}")
        await self._make_place(user)
        last = len(chronicle.versions) - 1
        content = self._history.content(subject)
        timeline = Timeline(uuid4().hex, root, user, content, chronicle, last, last, monotonic())
        self._timelines[timeline.room] = timeline
        try:
            await self._documents.relay.open(timeline.room, user)
        except BaseException:
            self._timelines.pop(timeline.room, None)
            raise
        return timeline

    async def step(self, name: str, user: str, steps: int) -> bool:
        """Go so many steps back (negative) or forth; return False where there is no way further.

        Raises HistoryError where the user has no such timeline.
        """
        timeline = self._timeline(name, user)
        wanted = min(max(timeline.wanted + steps, 0), len(timeline.chronicle.versions) - 1)
        if wanted == timeline.wanted:
            return False
        timeline.wanted = wanted
        async with timeline.turn:
            if timeline.shown != timeline.wanted:  # else somebody who came later took this step too
                await self._show(timeline, timeline.wanted)
        return True

    def end(self, name: str, user: str) -> None:
        """Keep a timeline no longer than the user is connected to it. Raises HistoryError where the user has none."""
        self._timeline(name, user).used = 0.0

    async def _show(self, timeline: Timeline, at: int) -> None:
        version = timeline.chronicle.versions[at]
        original = await self._documents.relay.asked.run(timeline.chronicle.original, timeline.content, version.seq)
        room = self._documents.relay.get(timeline.room)
        try:
            if room is None:
                raise RoomGone(timeline.room)
            await set_to(self._documents.relay, room, timeline.content, original, "")
        except RoomGone:
            raise HistoryError(404, "the timeline was closed") from None
        timeline.shown = at

    def _timeline(self, name: str, user: str) -> Timeline:
        timeline = self._timelines.get(name)
        if timeline is None or timeline.user != user:
            raise HistoryError(404, "Fork document not found")
        timeline.used = monotonic()
        return timeline

    async def _make_place(self, user: str) -> None:
        own = [line for line in self._timelines.values() if line.user == user]
        if not await self._free(own, self.max_timelines_per_user):
            raise HistoryError(429, f"{user} has {self.max_timelines_per_user} timelines open already")
        if not await self._free(list(self._timelines.values()), self.max_timelines):
            raise HistoryError(503, f"{self.max_timelines} timelines are open already")

    async def _free(self, lines: Sequence[Timeline], most: int) -> bool:
        """Throw idle timelines away until there are less than `most` of these; return whether there are."""
        idle = sorted((line for line in lines if not self._members(line)), key=lambda line: line.used)
        surplus = max(0, len(lines) - most + 1)
        for line in idle[:surplus]:
            await self._documents.relay.discard(line.room)
        return len(idle) >= surplus

    def _members(self, timeline: Timeline) -> int:
        room = self._documents.relay.get(timeline.room)
        return len(room.members) if room else 0

    # ------------------------------------------------------------------ RoomOwner

    def owns(self, name: str) -> bool:
        """Own the timelines that are open."""
        return name in self._timelines

    def root(self, name: str) -> str:
        """Return the name of the document's room."""
        return self._timelines[name].root if name in self._timelines else name

    def belongs_to(self, name: str, username: str) -> bool:
        """Keep each for whose it is: what another did in it would be restored."""
        return name not in self._timelines or self._timelines[name].user == username

    async def load(self, room: Room, stored: StoredRoom | None) -> StoredRoom | None:
        """Begin with the present, and the history of the root."""
        root = self._timelines[room.name].chronicle.past.stored
        await branch_off(room, root, await self._documents.relay.asked.run(root.state, root.last))
        return None

    def left(self, room: Room, member: Member) -> None:
        """Count the time from now on."""
        if timeline := self._timelines.get(room.name):
            timeline.used = timeline.used and monotonic()

    @asynccontextmanager
    async def release(self, room: Room) -> AsyncIterator[bool]:
        """Let the room go when it was idle for long enough."""
        yield monotonic() - self._timelines[room.name].used >= self.timeline_timeout

    def closed(self, room: Room) -> None:
        """Forget the timeline."""
        del self._timelines[room.name]
