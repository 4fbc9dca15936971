"""What is said of an open document: in its ``state`` map, in events, in the log, and in the list of rooms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from pycrdt import Doc, Map

from ...relay import Member, OpenRoom, Relay
from ..merging.conflicts import MOST, forget, place_of, recorded

_MOST_NAMED = 3


class Listeners(Protocol):
    """Who wants to know of every change."""

    def noted(self, name: str) -> None:
        """Take note that there is something new of the document in the room of this name."""


class Speaker(Protocol):
    """What carries the words on; `relay` is where the room is served."""

    relay: Relay

    @property
    def overview(self) -> Listeners:
        """Who is told of every change."""

    def report(self, room: str, path: str, action: str = "", said: str = "") -> None:
        """Emit an event of a document's life: an action, such as ``save``, or a sentence."""


class Status:
    """Says of one document whether its file is up to date, and what was kept of it besides.

    Attributes:
        trouble: why the file is not up to date, in a sentence; None while all is well.
        warning: what went wrong when the file was saved last, though all of it was written; empty while nothing did.
        copies: the ids of the file's recovery copies, the oldest first.
        last_saved: when the file was last written, ISO 8601 in UTC; None if it was not since the document was opened.
    """

    def __init__(self, speaker: Speaker, room: OpenRoom) -> None:
        """Say things of the document of `room`."""
        self.trouble: str | None = None
        self.warning = ""
        self.copies: Sequence[str] = ()
        self.last_saved: str | None = None
        self._told: set[str] = set()
        self._old: set[str] = set()
        self._gone: str | None = None
        self._speaker = speaker
        self._room = room

    def set(self, **values: Any) -> None:
        """Set the keys of the ``state`` map that differ; None takes a key away."""
        state: Map[Any] = self._room.doc.get("state", type=Map)
        new = {key: value for key, value in values.items() if state.get(key) != value}
        if new:
            self._room.edit(lambda doc: _update(doc.get("state", type=Map), new))
            self._speaker.overview.noted(self._room.name)

    def recall(self) -> None:
        """Take the conflicts that are recorded in the document for old: they were found in an earlier life of it."""
        self._old = set(recorded(self._room.doc))

    def begin(self, path: str, **values: Any) -> None:
        """Set what is known when the room is opened; what an earlier life of it said is over."""
        self.set(
            path=path, **values, trouble=self.trouble, warning=self.warning or None, recovery=list(self.copies) or None
        )
        self.tell(path)

    def saved(self) -> None:
        """Take note that the file was written just now."""
        self.last_saved = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def noted(self) -> None:
        """Take note that there may be something to save that was not before, or the other way round."""
        self._speaker.overview.noted(self._room.name)

    def say(self, path: str, trouble: str) -> None:
        """Say why the file at `path` is not up to date; the same again is not repeated."""
        if trouble != self.trouble:
            self.trouble = trouble
            self._speaker.relay.log.warning(
                "room %s: the file is not up to date: %s (%s)", self._room.name, trouble, path
            )
            self._speaker.report(self._room.name, path, said=f"{path} is not up to date: {trouble}")
            self.set(trouble=trouble)

    def well(self, path: str) -> None:
        """Say that what was wrong is over, if anything was."""
        if self.trouble is not None:
            self.trouble = None
            self._speaker.report(self._room.name, path, said=f"{path} is up to date again.")
            self.set(trouble=None)

    def gone(self, path: str | None) -> None:
        """Say that the file, which was at `path`, was deleted; None says that it was not, or is there again."""
        if path != self._gone:
            self._gone = path
            for member in list(self._room.members):
                self._room.tell(member, _external_change(path))

    def welcome(self, member: Member) -> None:
        """Tell somebody who has just come what everybody else was told of the file."""
        if self._gone is not None:
            self._room.tell(member, _external_change(self._gone))

    def warn(self, path: str, warning: str) -> None:
        """Say what went wrong when the file at `path` was saved, all the same; empty says that nothing did."""
        if warning != self.warning:
            self.warning = warning
            self.set(warning=warning or None)
            if warning:
                self._speaker.relay.log.warning("room %s: %s is saved, but %s", self._room.name, path, warning)
                self._speaker.report(self._room.name, path, said=f"{path} is saved, but {warning}")

    def keeps(self, copies: Sequence[str]) -> None:
        """Say which recovery copies there are."""
        self.copies = copies
        self.set(recovery=list(copies) or None)

    @property
    def conflicts(self) -> int:
        """How many conflicts are recorded in the document."""
        return len(recorded(self._room.doc))

    def tell(self, path: str) -> None:
        """Tell people of the conflicts that they were not told of yet; the oldest records beyond the bound go."""
        found = recorded(self._room.doc)
        if beyond := list(found)[:-MOST]:
            self._room.edit(lambda doc: forget(doc, beyond))
        untold = {id: record for id, record in found.items() if id not in self._told and id not in beyond}
        self._told = set(found)
        if untold:
            places = [place_of(record) for record in untold.values()]
            more = f"; and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
            where = "; ".join(places[:_MOST_NAMED]) + more
            when = " before, and nobody has settled it" if untold.keys() <= self._old else ""
            self._speaker.relay.log.info(
                "room %s: %s was changed on both sides%s: %s", self._room.name, path, when, where
            )
            said = f"{path} was changed on both sides: {where}. What each wrote is listed at api/rtc/conflicts."
            self._speaker.report(self._room.name, path, said=said)


def _external_change(deleted: str | None) -> dict[str, Any]:
    """Return the RAW message by which front ends show a notice. Source: jupyter-docprovider 3.1; 3.0 passes it over."""
    change = None if deleted is None else {"originalPath": deleted, "reason": "deleted"}
    return {"type": "external-change", "change": change}


def _update(state: Map[Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if value is not None:
            state[key] = value
        elif key in state:
            del state[key]


def unkept_of(doc: Doc[Any]) -> list[str]:
    """Return what a document says of the parts that its file does not keep."""
    parts = doc.get("state", type=Map).get("unkept")
    return [part for part in parts if isinstance(part, str)] if isinstance(parts, list) else []
