"""A room and its peers with nobody between them: frames are carried from one to the other by the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycrdt import Doc, Map, Text, TransactionEvent

from jupyter_rtc.relay import OpenRoom, Relay
from jupyter_rtc.relay.effects import Broadcast, Effect, Persist, Send, Show
from jupyter_rtc.relay.member import Member
from jupyter_rtc.relay.room import Room
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.awareness import Identity
from jupyter_rtc.wire.protocol import Kind

GENESIS = 77


async def in_memory(relay: Relay, name: str, user: str = "") -> OpenRoom:
    """Bring a room into memory, where it stays as long as somebody is in it, and a moment longer."""
    async with relay.hold(name, user) as room:
        return room


def text_of(doc: Doc[Any]) -> str:
    """Return the text that the tests share."""
    return str(doc.get("source", type=Text))


def clocks(doc: Doc[Any]) -> dict[int, int]:
    """Return what a document knows of each client; its state vector has no order of its own."""
    return protocol.decode_state_vector(doc.get_state())


def append(text: str) -> Callable[[Doc[Any]], None]:
    """Return an edit: `text` at the end of the shared text."""

    def edit(doc: Doc[Any]) -> None:
        source = doc.get("source", type=Text)
        source.insert(len(source), text)

    return edit


def delete(start: int, end: int) -> Callable[[Doc[Any]], None]:
    """Return an edit: the shared text without the characters from `start` to `end`."""

    def edit(doc: Doc[Any]) -> None:
        del doc.get("source", type=Text)[start:end]

    return edit


def observed(doc: Doc[Any], edit: Callable[[Doc[Any]], object]) -> list[bytes]:
    """Make an edit; return the updates a client sends for it."""
    updates: list[bytes] = []

    def note(event: TransactionEvent) -> None:
        updates.append(event.update)

    subscription = doc.observe(note)
    with doc.transaction():
        edit(doc)
    doc.unobserve(subscription)
    return updates


def replayed(effects: list[Effect], doc: Doc[Any] | None = None) -> Doc[Any]:
    """Return a document to which everything that was to be stored is applied in order."""
    doc = doc or Doc()
    for effect in effects:
        if isinstance(effect, Persist):
            doc.apply_update(effect.update)
    return doc


def frames(effects: list[Effect], kind: type[Send | Broadcast] = Send) -> list[Any]:
    """Return the frames of the effects of one kind; some may come in parts."""
    return [effect.frame for effect in effects if isinstance(effect, kind)]


def shown(room: Room, effects: list[Effect]) -> list[bytes]:
    """Return the awareness frames that follow from effects, to one member or to all."""
    return [room.presence(effect.clients) for effect in effects if isinstance(effect, Show)]


def whole(frame: bytes | tuple[bytes, ...]) -> bytes:
    """Return a frame that may come in parts."""
    return frame if isinstance(frame, bytes) else b"".join(frame)


def room_with(text: str, name: str = "room") -> Room:
    """Return a room that was built from a file which holds `text`."""
    built = Doc(client_id=GENESIS)
    append(text)(built)
    room = Room(name, "lineage")
    room.doc.apply_update(built.get_update())
    room.begin(1, GENESIS, built.get_update())
    return room


def created_notebook() -> Doc[Any]:
    """Return what a front end's ``YNotebook.create()`` begins with: five operations, no cells."""
    doc: Doc[Any] = Doc()
    with doc.transaction():
        meta, state = doc.get("meta", type=Map), doc.get("state", type=Map)
        meta["nbformat"] = 4
        meta["nbformat_minor"] = 5
        meta["metadata"] = Map({"language_info": {}})
        state["dirty"] = False
    return doc


class Peer:
    """A client with a document; what it sends is taken in by the room at once, what it is sent at once by it.

    Attributes:
        doc: its document.
        member: what the room knows of it.
        effects: everything the room wanted because of this peer.
    """

    def __init__(self, room: Room, *, doc: Doc[Any] | None = None, name: str = "ada", writable: bool = True) -> None:
        self.room = room
        self.doc = doc if doc is not None else Doc()
        self.member = Member(Identity(name, {"username": name}), writable)
        self.effects: list[Effect] = []

    @property
    def text(self) -> str:
        """The shared text as this peer has it."""
        return text_of(self.doc)

    def join(self) -> list[Effect]:
        """Join, then synchronise both ways; return what followed from this peer's offline edits."""
        begun = len(self.effects)
        joined = self.carry(self.room.join(self.member))
        self.send(protocol.step1(self.doc.get_state()))
        for frame in frames(joined):
            kind, payload = protocol.decode(frame)
            if kind is Kind.STEP1:
                self.send(protocol.step2(self.doc.get_update(payload)))
        return self.effects[begun + len(joined) :]

    def send(self, frame: bytes, now: float = 0.0) -> list[Effect]:
        """Give the room a frame; return the effects."""
        return self.carry(self.room.receive(self.member, frame, now))

    def edit(self, change: Callable[[Doc[Any]], object]) -> list[Effect]:
        """Make an edit and send it; return the effects."""
        effects = []
        for update in observed(self.doc, change):
            effects += self.send(protocol.update(update))
        return effects

    def carry(self, effects: list[Effect]) -> list[Effect]:
        """Take in what is meant for this peer; return all effects."""
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Send) and effect.member is self.member:
                self.hear(whole(effect.frame))
        return effects

    def hear(self, frame: bytes) -> None:
        """Take in a frame of the room's."""
        kind, payload = protocol.decode(frame)
        if kind in (Kind.STEP2, Kind.UPDATE):
            self.doc.apply_update(payload)
