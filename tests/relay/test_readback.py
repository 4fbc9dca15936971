"""What a room takes in it gives out: where the CRDT engine does not, the room begins anew, and nothing is lost.

Updates of which the engine is known to give out something else are refused at the door. Here they get into the document
below it, as one would that nobody knows yet.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText
from traitlets.config import Config

from jupyter_rtc.relay import FreeRooms, Member, OpenRoom, Relay, StoredRoom
from jupyter_rtc.relay.storing.anew import anew
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire import updates as updates_module
from jupyter_rtc.wire.awareness import Identity
from jupyter_rtc.wire.places import Places
from jupyter_rtc.wire.protocol import Kind
from jupyter_rtc.wire.readback import UnfaithfulError, proved

from .by_hand import append, in_memory, observed, text_of
from .peer import eventually
from .stores import query
from .wire import Socket

LINE = "ab😂cd\n"


def number(value: int) -> bytes:
    """Return a number as lib0 writes it."""
    return bytes([value & 127 | 128]) + number(value >> 7) if value > 127 else bytes([value])


def inserted(left: int, right: int, text: str) -> bytes:
    """Return the update of client 5 that puts a text between two characters of client 1."""
    data = text.encode()
    neighbours = b"\xc4\x01" + number(left) + b"\x01" + number(right)
    return b"\x01\x01\x05\x00" + neighbours + number(len(data)) + data + b"\x00"


def deleted(at: int) -> bytes:
    """Return the update that deletes one character of client 1."""
    return b"\x00\x01\x01\x01" + number(at) + b"\x01"


MORE = b"\x01\x01\x01\x07\x84\x01\x06\x05more\n\x00"
"""What client 1 types at the end of its line."""

FAULTS = {
    "a text between the halves of an emoji": [inserted(2, 3, "X"), MORE],
    "without the second half": [deleted(3), MORE],
    "another second half": [inserted(2, 3, "\ufffd")[:-1] + deleted(3)[1:], MORE],
    "lengths near 2^53": [bytes.fromhex("0101ffffffffffffff0f0200ffffffffffffff0f00ffffffffffffff0f01017800"), MORE],
    "an item that waits for ever": [bytes.fromhex("0101070200ffffffff0f00"), MORE],
}
"""Updates that pycrdt 0.14.13 takes in, and cannot write, or writes as something else."""


@pytest.fixture(autouse=True)
def unmended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have stored updates applied as they are: half an emoji is known, and mended there."""
    monkeypatch.setattr(updates_module, "whole", list)


class Peer:
    """A client of a room that is given what the server sends as soon as the test looks."""

    def __init__(self, relay: Relay, room: OpenRoom, name: str) -> None:
        self.relay, self.room = relay, room
        self.socket = Socket()
        self.member = Member(Identity(name, {"username": name}), True)
        relay.join(room, self.member, self.socket)
        self.send(protocol.step1(b"\x00"))
        self.send(protocol.step2(protocol.NO_CHANGE))

    def send(self, frame: bytes) -> None:
        """Give the server a frame."""
        self.relay.receive(self.room, self.member, frame)

    @property
    def text(self) -> str:
        """What this client sees that came with nothing."""
        doc: Doc[Any] = Doc()
        self.relay._delivery.flush()
        for frame in self.socket.frames:
            kind, payload = protocol.decode(frame)
            if kind in (Kind.STEP2, Kind.UPDATE):
                doc.apply_update(payload)
        return text_of(doc)


@asynccontextmanager
async def served(path: Path, **sizes: int) -> AsyncIterator[Relay]:
    """Run a relay of free rooms over a database."""
    relay = Relay([FreeRooms()], config=Config({"Relay": sizes, "SQLiteStore": {"path": str(path)}}))
    try:
        yield relay
    finally:
        await relay.close()


def smuggle(relay: Relay, room: OpenRoom, update: bytes) -> None:
    """Give a room an update past everything that looks at updates."""
    room.doc.apply_update(update)
    relay._delivery.carry_out(room.served, room.inside._accept(update, protocol.update(update), None, "eve"))


async def with_a_line(relay: Relay) -> OpenRoom:
    """Open a room in which client 1 has typed a line."""
    room = await in_memory(relay, "room")
    line: Doc[Any] = Doc(client_id=1)
    smuggle(relay, room, observed(line, append(LINE))[0])
    return room


async def is_well(relay: Relay, text: str) -> None:
    """See that whoever comes, and whoever types then, sees what is there; and so does the next server."""
    room = await in_memory(relay, "room")
    assert text_of(room.doc) == text
    peer = Peer(relay, room, "carol")
    assert peer.text == text
    room.edit(append("later\n"))
    assert peer.text == text_of(room.doc) == f"{text}later\n"
    assert Peer(relay, room, "dave").text == f"{text}later\n"


@pytest.mark.parametrize("updates", FAULTS.values(), ids=FAULTS)
async def test_a_newcomer_to_a_document_that_is_given_out_wrong(
    tmp_path: Path, updates: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rooms.db"
    async with served(path) as relay:
        room = await with_a_line(relay)
        old = Peer(relay, room, "ada")
        lineage = room.lineage
        for update in updates:
            smuggle(relay, room, update)
        text = text_of(room.doc)
        Peer(relay, room, "bob")
        await eventually(lambda: room.lineage != lineage)
        assert "room room: the document cannot be given out" in caplog.text
        await is_well(relay, text)
        # Who has the old history is asked for it, kept out with it, and told.
        old.send(protocol.step2(inserted(6, 6, "old")))
        await eventually(lambda: old.socket.closed)
        assert "began anew" in old.socket.closed[0][1]
        assert text_of(room.doc) == f"{text}later\n"
    async with served(path) as relay:
        await is_well(relay, f"{text}later\n")
    assert query(path, "SELECT count(*) FROM damaged WHERE part = 'log'") == [(1 + len(updates),)]


@pytest.mark.parametrize("updates", FAULTS.values(), ids=FAULTS)
async def test_a_log_that_cannot_be_folded_into_what_it_says(tmp_path: Path, updates: list[bytes]) -> None:
    path = tmp_path / "rooms.db"
    async with served(path, compact_bytes=1 << 10) as relay:
        room = await with_a_line(relay)
        lineage = room.lineage
        for update in updates:
            smuggle(relay, room, update)
        room.edit(append("long\n" * 1000))
        text = text_of(room.doc)
        await eventually(lambda: room.lineage != lineage)
        await is_well(relay, text)
    async with served(path) as relay:
        await is_well(relay, f"{text}later\n")


@pytest.mark.parametrize("updates", FAULTS.values(), ids=FAULTS)
async def test_a_record_that_cannot_be_given_out_when_it_is_read(tmp_path: Path, updates: list[bytes]) -> None:
    """The server ended before anybody was given the document."""
    path = tmp_path / "rooms.db"
    async with served(path) as relay:
        room = await with_a_line(relay)
        for update in updates:
            smuggle(relay, room, update)
        text = text_of(room.doc)
    async with served(path) as relay:
        await is_well(relay, text)
        await relay.store.flush()
        assert "room 'room' was damaged" in (relay.store.damage or "")
    async with served(path) as relay:
        await is_well(relay, f"{text}later\n")


async def test_a_record_with_characters_in_a_list_goes_on_without_them(tmp_path: Path) -> None:
    """As an older server let them in: one that went over the list would never come back."""
    path = tmp_path / "rooms.db"
    async with served(path) as relay:
        room = await with_a_line(relay)
        room.edit(lambda doc: doc.get("map", type=Map).update({"list": Array([1])}))
        client, lineage = room.doc.client_id, room.lineage
        smuggle(relay, room, b"\x01\x01\x07\x00\x04\x00" + number(client) + b"\x00\x03" + "漢".encode() + b"\x00")
        assert Places((), room.doc.get_update()).misplaced == {7: [(0, 1)]}
    async with served(path) as relay:
        room = await in_memory(relay, "room")
        assert Places((), room.doc.get_update()).misplaced == {}
        assert room.doc.get("map", type=Map).to_py() == {"list": [1]}
        assert room.lineage == lineage
        await is_well(relay, text_of(room.doc))
        await relay.store.flush()
        assert "room 'room' was damaged" in (relay.store.damage or "")
    async with served(path) as relay:
        await in_memory(relay, "room")
        assert not relay.store.damage


async def test_a_document_that_is_well_stays_as_it_is(tmp_path: Path) -> None:
    async with served(tmp_path / "rooms.db") as relay:
        room = await with_a_line(relay)
        lineage = room.lineage
        for word in ("one", "two"):
            room.edit(append(word))
            Peer(relay, room, word)
            await eventually(lambda: room.served.proved == room.seq)
        assert room.lineage == lineage


@pytest.mark.parametrize("updates", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_in_the_bytes_alone(updates: list[bytes]) -> None:
    def make() -> Doc[Any]:
        doc: Doc[Any] = Doc(client_id=1)
        append(LINE)(doc)
        for update in updates:
            doc.apply_update(update)
        return doc

    with pytest.raises(UnfaithfulError):
        proved(make, updates)


def test_a_copy_says_what_the_document_does() -> None:
    doc: Doc[Any] = Doc()
    text = doc.get("text", type=Text)
    text.insert(0, "hé😂llo")
    text.insert(0, "bold", {"bold": True})
    text.insert_embed(2, {"image": "a.png"})
    doc.get("array", type=Array).extend([1.5, "s", None, [1.0], Map({"text": Text("é"), "inner": Array([{"a": 1.0}])})])
    doc.get("map", type=Map).update({"array": Array([1.0, Map({"b": True})]), "none": None})
    page = doc.get("page", type=XmlFragment)
    page.children.append(XmlElement("p", {"class": "x"}, [XmlText("é😂"), XmlElement("b", {}, [XmlText("bold")])]))
    doc.get("empty", type=Array)
    given: Doc[Any] = Doc()
    given.apply_update(doc.get_update())
    made = anew(given).document()
    for name, kind in {"array": Array, "map": Map, "empty": Array}.items():
        assert made.get(name, type=kind).to_py() == doc.get(name, type=kind).to_py()
    assert made.get("text", type=Text).diff() == text.diff()
    assert str(made.get("page", type=XmlFragment)) == str(page)


def edited_at_random(seed: int) -> list[bytes]:
    """Return the updates of three people who edit texts, arrays and maps, and hear of each other now and then."""
    chance, log = random.Random(seed), list[bytes]()
    people = [Doc(client_id=chance.randrange(1, 1 << 31)) for _ in range(3)]
    unheard: list[tuple[Doc[Any], bytes]] = []

    def edit(doc: Doc[Any]) -> None:
        text, cells = doc.get("source", type=Text), doc.get("cells", type=Array)
        if chance.random() < 0.4:
            text.insert(chance.choice([0, len(text)]), chance.choice(["a", "bc", "é😂", "line\n"]))
        elif chance.random() < 0.3 and len(text) > 9 and str(text).isascii():
            del text[chance.randrange(4) : 4 + chance.randrange(4)]
        elif chance.random() < 0.3 and len(cells):
            del cells[chance.randrange(len(cells))]
        elif chance.random() < 0.3 and len(cells):
            cells[0]["source"].insert(0, chance.choice("qz"))
        elif chance.random() < 0.5:
            doc.get("state", type=Map)[chance.choice("abc")] = chance.choice([1, "x", {"b": [1, 2], "a": float("nan")}])
        else:
            made = {"id": "a", "source": Text("x"), "outputs": Array([{"b": 1, "a": {"d": 1, "c": 2}}])}
            cells.insert(chance.randint(0, len(cells)), Map(made))

    for _ in range(chance.randint(5, 150)):
        doc = chance.choice(people)
        unheard += [(doc, update) for update in observed(doc, edit)]
        if chance.random() < 0.3:
            for author, update in unheard:
                log.append(update)
                for other in people:
                    if other is not author:
                        other.apply_update(update)
            unheard.clear()
    return log


@pytest.mark.parametrize("seed", range(40))
def test_what_people_do_is_given_out(seed: int) -> None:
    log = edited_at_random(seed)
    room = StoredRoom("1f" * 16, 0, protocol.NO_CHANGE, 0, tuple(enumerate(log, 1)), None, None)

    def content(doc: Doc[Any]) -> object:
        return [doc.get("cells", type=Array).to_py(), doc.get("state", type=Map).to_py(), text_of(doc)]

    for read in (None, content):
        doc, state = room.proved(read=read)
        again: Doc[Any] = Doc()
        again.apply_update(state)
        assert text_of(again) == text_of(doc)

    def live() -> Doc[Any]:
        doc: Doc[Any] = Doc()
        for update in log:
            doc.apply_update(update)
        return doc

    proved(live, log, content)
