"""A frame that takes long is prepared in a thread: everybody else goes on, and what comes of it is the same."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from awaiting import until
from pycrdt import Array, Doc, Map, Text

from jupyter_rtc.relay import Member, Room
from jupyter_rtc.relay.effects import Broadcast, Persist
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.awareness import Identity
from jupyter_rtc.wire.intake import LONG_FRAME, prepared
from jupyter_rtc.wire.protocol import Kind, ProtocolError
from jupyter_rtc.wire.structure import examine

from .by_hand import observed
from .peer import Peer

LONG = "x" * (2 * LONG_FRAME)


class Held:
    """Holds long frames up before they are prepared, as a thread does that has much to do."""

    def __init__(self, relay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hold up those that `relay` prepares."""
        self.came, self.gate, self.times = asyncio.Event(), asyncio.Event(), 0
        self._prepare = relay.prepare
        monkeypatch.setattr(relay, "prepare", self._held)

    async def _held(self, frame: bytes) -> bytes:
        self.times += 1
        self.came.set()
        await self.gate.wait()
        prepared: bytes = await self._prepare(frame)
        return prepared


async def test_the_edits_of_all_others_arrive_while_a_long_frame_is_prepared(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(server.extension.relay, monkeypatch)
    names = ("room", "room", "room", "other", "other")
    sockets = [await server.connect(name) for name in names]
    peers = [await Peer(socket).__aenter__() for socket in sockets]
    ada, bob, cy, dan, eve = peers
    for peer in peers:
        await peer.until(lambda peer=peer: peer.synced)
    await ada.edit(lambda doc: doc.get("long", type=Text).insert(0, LONG))
    await ada.write("after it")
    await asyncio.wait_for(held.came.wait(), 60)
    await bob.write("in this room")
    await dan.write("in another")
    await cy.until(lambda: cy.text == "in this room")
    await eve.until(lambda: eve.text == "in another")
    assert not str(cy.doc.get("long", type=Text))
    held.gate.set()
    await cy.until(lambda: "after it" in cy.text)
    assert str(cy.doc.get("long", type=Text)) == LONG
    for peer in peers:
        await peer.__aexit__(None, None, None)


NOTICES = pytest.mark.traits(Relay={"keepalive_interval": 0.1})
"""A server that nothing is read from notices that a peer is gone when it writes to it, which it soon does."""


@NOTICES
async def test_what_came_whole_is_taken_in_though_its_sender_is_gone(
    server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held(server.extension.relay, monkeypatch)
    async with server.connect("room") as one, Peer(one) as bob:
        async with server.connect("room") as two, Peer(two) as ada:
            await ada.until(lambda: ada.synced)
            await ada.edit(lambda doc: doc.get("long", type=Text).insert(0, LONG))
            await asyncio.wait_for(held.came.wait(), 60)
            ada.abort()
        room = server.extension.relay.get("room")
        await until(lambda: held.times == 2)
        held.gate.set()
        await until(lambda: len(room.members) == 1)
        await bob.until(lambda: str(bob.doc.get("long", type=Text)) == LONG)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@NOTICES
async def test_it_is_taken_in_though_the_server_stops_too(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = server.extension.relay
    held = Held(relay, monkeypatch)
    async with server.connect("room") as one, Peer(one) as ada:
        await ada.until(lambda: ada.synced)
        await ada.edit(lambda doc: doc.get("long", type=Text).insert(0, LONG))
        await asyncio.wait_for(held.came.wait(), 60)
        ada.abort()
    await until(lambda: held.times == 2)
    room = relay.get("room")
    stopped = asyncio.ensure_future(relay.close())
    await asyncio.sleep(0)
    held.gate.set()
    await stopped
    assert str(room.doc.get("long", type=Text)) == LONG


def update_of(change: Any) -> bytes:
    """Return the update of a change to an empty document."""
    (update,) = observed(Doc(client_id=5), change)
    return update


def nested(levels: int) -> Array[Any]:
    """Return arrays in arrays."""
    inner: Array[Any] = Array()
    for _ in range(levels):
        inner = Array([inner])
    return inner


FRAMES = {
    "an update": protocol.update(update_of(lambda doc: doc.get("source", type=Text).insert(0, "typed"))),
    "an answer": protocol.step2(update_of(lambda doc: doc.get("cells", type=Array).append(Map({"a": [1.5, None]})))),
    "nothing": protocol.step2(protocol.NO_CHANGE),
    "a question": protocol.step1(protocol.EMPTY_STATE),
    "no update": protocol.update(b"\x07\x07\x07"),
    "too deep": protocol.update(update_of(lambda doc: doc.get("cells", type=Array).append(nested(200)))),
    "no frame": b"\x00\x09",
    "nothing at all": b"",
    "a request": b"\x02\x04save\x01",
}


def outcome(frame: bytes) -> Any:
    """Return what a room does with a frame, and what it holds then."""
    room, member = Room("room", "lineage"), Member(Identity("ada", {}, frozenset()), True)
    room.join(member)
    try:
        effects: Any = [
            effect[0] for effect in room.receive(member, frame, 0) if isinstance(effect, Persist | Broadcast)
        ]
    except ProtocolError as error:
        effects = error.reason, error.code
    return effects, room.doc.get_update(), room.seq


@pytest.mark.parametrize("name", FRAMES)
def test_what_comes_of_a_prepared_frame_is_what_comes_of_the_frame(name: str) -> None:
    assert outcome(prepared(FRAMES[name])) == outcome(FRAMES[name])


def test_an_update_of_many_short_blocks_is_joined_before() -> None:
    text = b"a" * 40
    first = b"\x04\x01\x06source" + protocol.write_bytes(text)
    rest = [b"\x84\x05" + protocol.write_uint(40 * at - 1) + protocol.write_bytes(text) for at in range(1, 1000)]
    update = b"".join([b"\x01", protocol.write_uint(1000), b"\x05\x00", first, *rest, b"\x00"])
    assert examine(update).scattered
    frame = prepared(protocol.update(update))
    kind, payload = protocol.decode(frame)
    assert (kind, frame) == (Kind.UPDATE, protocol.update(payload))
    assert not examine(payload).scattered
    doc: Doc[Any] = Doc()
    doc.apply_update(payload)
    assert str(doc.get("source", type=Text)) == "a" * 40_000
