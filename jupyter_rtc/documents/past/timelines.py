"""The timeline of JupyterLab's front end: a copy of a document that goes back and forth through its versions.

The front end connects its own document to the copy's room, asks for steps back and forth, and to restore connects
the same document to the root room again: what the steps did arrives there as ordinary edits. So the copy has the
history of its root, and a step is a real edit: the smallest one that sets it to what the version held.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any
from uuid import uuid4

from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from ...relay import Member, OpenRoom, Resident, RoomGone, StoredRoom
from ..formats.content import Content
from ..opened.documents import Documents
from .branches import Branch, BranchKind, branch_off
from .history import Chronicle, History, HistoryError, opened
from .restore import set_to

__all__ = ["Timeline", "Timelines"]


class Timeline(Branch):
    """One copy of a document, and where in the past it is.

    Attributes:
        name: the name of the copy's room.
        root: the name of the document's room.
        user: the name of the user whose timeline it is.
        chronicle: the versions that it goes through.
        wanted: the index of the version that was asked for; `shown`: of the one that it holds.
        used: when somebody last needed it, in seconds of the monotonic clock.
        room: the copy's room, once it is open.
    """

    def __init__(self, owner: Timelines, root: str, user: str, content: Content, chronicle: Chronicle) -> None:
        """Begin at the last version of what `chronicle` knows."""
        self.name = uuid4().hex
        self.root = root
        self.user = user
        self.content = content
        self.chronicle = chronicle
        self.wanted = self.shown = len(chronicle.versions) - 1
        self.used = monotonic()
        self.turn = asyncio.Lock()
        self.room: OpenRoom | None = None
        self._owner = owner

    @property
    def idle(self) -> bool:
        """Whether nobody is in it."""
        return not (self.room and self.room.members)

    def left(self, member: Member) -> None:
        """Count the time from now on."""
        self.used = self.used and monotonic()

    @asynccontextmanager
    async def release(self) -> AsyncIterator[bool]:
        """Let the room go when it was idle for long enough."""
        yield monotonic() - self.used >= self._owner.timeline_timeout

    def closed(self) -> None:
        """Be forgotten."""
        self._owner.forget(self)


class Timelines(BranchKind, LoggingConfigurable):
    """The rooms of timelines. They are in memory only, a bounded number of them."""

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
        async with opened(self._documents, root, user):
            chronicle = await self._history.chronicle(subject)
        if chronicle is None:
            raise HistoryError(404, f"nothing is stored of {path}")
        await self._make_place(user)
        timeline = Timeline(self, root, user, self._history.content(subject), chronicle)
        self._timelines[timeline.name] = timeline
        try:
            async with self._documents.relay.hold(timeline.name, user):
                return timeline
        except BaseException:
            self.forget(timeline)
            raise

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
        try:
            if timeline.room is None:
                raise RoomGone(timeline.name)
            await set_to(timeline.room, timeline.content, original, "", self._documents.relay.asked)
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
        idle = sorted((line for line in lines if line.idle), key=lambda line: line.used)
        surplus = max(0, len(lines) - most + 1)
        for line in idle[:surplus]:
            await self._documents.relay.discard(line.name)
        return len(idle) >= surplus

    def forget(self, timeline: Timeline) -> None:
        """Keep a timeline no longer."""
        self._timelines.pop(timeline.name, None)

    # ------------------------------------------------------------------ RoomKind

    def owns(self, name: str) -> bool:
        """Own those that are open."""
        return name in self._timelines

    def root(self, name: str) -> str:
        """Return the name of the document's room."""
        return self._timelines[name].root if name in self._timelines else name

    def belongs_to(self, name: str, username: str) -> bool:
        """Keep each for whose it is: what another did in it would be restored."""
        return name not in self._timelines or self._timelines[name].user == username

    async def load(self, room: OpenRoom, stored: StoredRoom | None) -> tuple[Resident, StoredRoom | None]:
        """Begin with the present, and the history of the root."""
        timeline = self._timelines[room.name]
        root = timeline.chronicle.past.stored
        await branch_off(room, root, await self._documents.relay.asked.run(root.state, root.last))
        timeline.room = room
        return timeline, None
