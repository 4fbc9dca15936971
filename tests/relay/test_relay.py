"""The relay: opens, serves and evicts rooms, and carries out what they want. Real rooms and stores, no network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pycrdt
import pytest
from pycrdt import Doc
from traitlets.config import Config

from jupyter_rtc.relay import (
    PRESENCE,
    FreeRooms,
    Mark,
    Member,
    MemoryStore,
    OpenRoom,
    PlainKind,
    Presence,
    Relay,
    Resident,
    RoomError,
    RoomGone,
    SQLiteStore,
    StoredRoom,
    Verdict,
)
from jupyter_rtc.wire import protocol, websocket
from jupyter_rtc.wire.awareness import Identity
from jupyter_rtc.wire.protocol import AwarenessEntry, CloseCode

from .by_hand import append, in_memory, observed, text_of
from .faulty import Faulty
from .peer import eventually
from .wire import Socket


class Client:
    """A peer of a room: its document, and the socket through which the relay writes to it."""

    def __init__(self, relay: Relay, room: OpenRoom, name: str = "ada", *, reads: bool = True) -> None:
        self.relay = relay
        self.room = room
        self.doc: Doc[Any] = Doc()
        self.socket = Socket(reads=reads)
        self.updates_sent: list[bytes] = []
        self.member = Member(Identity(name, {"username": name}), True)
        relay.join(room, self.member, self.socket)

    def send(self, frame: bytes) -> None:
        """Give the relay a frame."""
        self.relay.receive(self.room, self.member, frame)

    def write(self, text: str) -> None:
        """Append to the shared text."""
        for update in observed(self.doc, append(text)):
            self.updates_sent.append(update)
            self.send(protocol.update(update))

    def show(self) -> None:
        """Be seen."""
        self.send(protocol.awareness([AwarenessEntry(self.doc.client_id, 1, "{}")]))

    @property
    def updates(self) -> list[bytes]:
        """The updates it was sent."""
        messages = [protocol.decode(frame) for frame in self.socket.frames]
        return [message.payload for message in messages if message.kind is protocol.Kind.UPDATE]


@asynccontextmanager
async def relay_with(*kinds: PlainKind, config: dict[str, Any] | None = None, **traits: Any) -> AsyncIterator[Relay]:
    """Run a relay for `kinds` of rooms, or for free rooms, with this configuration or these traits."""
    relay = Relay(kinds or [FreeRooms()], config=Config(config or {"Relay": {"store_class": Faulty, **traits}}))
    try:
        yield relay
    finally:
        await relay.close()


@pytest.fixture
def faulty() -> Callable[[Relay], Faulty]:
    """Return a function that returns a relay's store as what it is."""

    def store_of(relay: Relay) -> Faulty:
        assert isinstance(relay.store, Faulty)
        return relay.store

    return store_of


class TestOpening:
    async def test_a_room_is_loaded_once_for_all_who_ask(self, faulty: Callable[[Relay], Faulty]) -> None:
        async with relay_with() as relay:
            rooms = await asyncio.gather(*(in_memory(relay, "room") for _ in range(10)))
            assert len(set(map(id, rooms))) == 1
            assert faulty(relay).loads == 1
            assert relay.get("room") is rooms[0]

    async def test_no_kind_no_room(self) -> None:
        async with relay_with() as relay:
            with pytest.raises(RoomError) as refused:
                await in_memory(relay, "nobody:owns:this")
            assert refused.value.code == CloseCode.NOT_FOUND
            assert relay.get("nobody:owns:this") is None

    async def test_what_could_not_be_loaded_may_be_later(self) -> None:
        kind = Closed()
        async with relay_with(kind) as relay:
            for _ in range(2):
                with pytest.raises(RoomError) as refused:
                    await in_memory(relay, "room")
                assert refused.value.code == CloseCode.BAD_CONTENT
                assert relay.overview() == []
            kind.open = True
            assert (await in_memory(relay, "room")).name == "room"

    async def test_nobody_finds_a_room_half_open(self) -> None:
        kind = Clumsy(opens=False)
        async with relay_with(kind) as relay:
            for _ in range(2):
                with pytest.raises(LookupError):
                    await in_memory(relay, "room")
                assert relay.overview() == []
            kind.opens = True
            assert (await in_memory(relay, "room")).name == "room"

    async def test_who_gives_up_waiting_does_not_stop_the_others(self, faulty: Callable[[Relay], Faulty]) -> None:
        async with relay_with() as relay:
            faulty(relay).open.clear()
            first, second = (asyncio.ensure_future(in_memory(relay, "room")) for _ in range(2))
            await faulty(relay).asked.wait()
            first.cancel()
            faulty(relay).open.set()
            assert (await second).name == "room"

    async def test_a_relay_that_stops_opens_nothing(self, faulty: Callable[[Relay], Faulty]) -> None:
        async with relay_with() as relay:
            faulty(relay).open.clear()
            opening = asyncio.ensure_future(in_memory(relay, "room"))
            await faulty(relay).asked.wait()
            await relay.close()
            faulty(relay).open.set()
            for attempt in (opening, in_memory(relay, "other")):
                with pytest.raises(RoomError) as refused:
                    await attempt
                assert refused.value.code == CloseCode.GOING_AWAY  # connect again; it is not gone
            assert relay.overview() == []

    async def test_a_room_that_was_dropped_meanwhile_lets_nobody_in(self) -> None:
        async with relay_with(eviction_delay=0.01) as relay:
            room = await in_memory(relay, "room")
            await eventually(lambda: gone(relay))
            with pytest.raises(RoomError) as refused:
                Client(relay, room)
            assert refused.value.code == CloseCode.GOING_AWAY


class TestDelivery:
    async def test_what_comes_together_after_a_pause_leaves_in_one_write_at_once(self) -> None:
        async with relay_with() as relay:
            room = await in_memory(relay, "room")
            ada, bob = Client(relay, room), Client(relay, room)
            await asyncio.sleep(0.01)
            before = len(bob.socket.writes)
            frames = [protocol.update(update) for letter in "hello" for update in observed(ada.doc, append(letter))]
            relay.receive(room, ada.member, *frames)
            assert len(bob.socket.writes) == before + 1
            for update in bob.updates:
                bob.doc.apply_update(update)
            assert text_of(bob.doc) == "hello"

    async def test_what_gathers_in_one_turn_leaves_in_one_write(self) -> None:
        async with relay_with() as relay:
            room = await in_memory(relay, "room")
            bob = Client(relay, room)
            before = len(bob.socket.writes)
            for letter in "hello":
                room.edit(append(letter))
            assert len(bob.socket.writes) == before
            await eventually(lambda: len(bob.socket.writes) > before)
            assert len(bob.socket.writes) == before + 1
            for update in bob.updates:
                bob.doc.apply_update(update)
            assert text_of(bob.doc) == "hello"

    async def test_nobody_is_sent_their_own_edits(self) -> None:
        async with relay_with() as relay:
            room = await in_memory(relay, "room")
            ada, bob, carol = (Client(relay, room) for _ in range(3))
            ada.write("a")
            bob.write("b")
            await eventually(lambda: [len(client.updates) for client in (ada, bob, carol)] == [1, 1, 2])
            assert ada.updates == carol.updates[1:]
            assert bob.updates == carol.updates[:1]

    async def test_presence_comes_back_to_its_sender(self) -> None:
        async with relay_with() as relay:
            ada = Client(relay, await in_memory(relay, "room"))
            ada.show()
            await eventually(lambda: ada.socket.frames[-1][0] == 1)

    async def test_a_large_state_is_copied_for_nobody(self) -> None:
        async with relay_with() as relay:
            room = await in_memory(relay, "room")
            Client(relay, room).write("x" * 1_000_000)
            clients = [Client(relay, room) for _ in range(3)]
            for client in clients:
                client.send(protocol.step1(b"\x00"))
            bodies = {id(max(client.socket.writes[-1], key=len)) for client in clients}
            assert len(bodies) == 1
            assert all(len(client.socket.frames[-1]) > 1_000_000 for client in clients)

    async def test_who_is_too_slow_is_closed_and_the_others_learn_it(self) -> None:
        async with relay_with(max_outbox=1 << 10) as relay:
            room = await in_memory(relay, "room")
            ada, deaf = Client(relay, room), Client(relay, room, "deaf", reads=False)
            deaf.show()
            gone = protocol.awareness([AwarenessEntry(deaf.doc.client_id, 1, None)])
            await eventually(lambda: ada.socket.frames[-1][0] == 1)
            ada.write("x" * 2000)
            await eventually(lambda: deaf.socket.closed)
            assert deaf.socket.closed == [(CloseCode.TOO_SLOW, "reads too slowly")]
            await eventually(lambda: ada.socket.frames[-1] == gone)
            assert [member["username"] for member in relay.overview()[0]["members"]] == ["ada"]

    @pytest.mark.parametrize("knows", ["nothing", "a little"])
    async def test_a_document_larger_than_the_outbox_is_joined_behind_its_latest_edits(self, knows: str) -> None:
        async with relay_with(max_outbox=1 << 17) as relay:
            room = await in_memory(relay, "room")
            ada = Client(relay, room)
            ada.write("first")
            before = room.doc.get_update()
            ada.write("x" * 1_000_000)
            ada.send(protocol.step1(b"\x00"))
            ada.write("y" * 70_000)  # goes before the state that is encoded already
            bob = Client(relay, room, "bob", reads=False)
            if knows == "a little":
                bob.doc.apply_update(before)
            bob.send(protocol.step1(bob.doc.get_state()))
            while len(bob.socket.received) < 1_000_000:
                bob.socket.take()
                assert bob.socket.closed == []
            for kind, payload in map(protocol.decode, bob.socket.frames):
                if kind in (protocol.Kind.STEP2, protocol.Kind.UPDATE):
                    bob.doc.apply_update(payload)
            assert text_of(bob.doc) == text_of(ada.doc)

    async def test_what_others_raise_who_are_told_of_an_edit_keeps_it_from_nobody(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with relay_with(kind := Clumsy(opens=True)) as relay:
            room = await in_memory(relay, "room")
            ada, bob = Client(relay, room), Client(relay, room, "bob")
            heard: list[bytes | None] = []
            room.follow(_panic)
            room.follow(lambda update, origin: heard.append(update))
            kind.hears = False
            ada.write("hello")
            assert heard == ada.updates_sent
            await eventually(lambda: bob.updates == ada.updates_sent)
            assert (ada.socket.closed, bob.socket.closed) == ([], [])
            assert caplog.text.count("room room: somebody who was told of a change failed") == 2
            for update in heard:
                assert update is not None
                bob.doc.apply_update(update)
            assert text_of(bob.doc) == text_of(room.doc) == "hello"

    async def test_what_a_resident_raises_about_a_request_or_a_farewell_closes_nobody(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with relay_with(kind := Clumsy(opens=True)) as relay:
            room = await in_memory(relay, "room")
            ada, bob = Client(relay, room), Client(relay, room, "bob")
            kind.hears = False
            ada.send(b"\x02\x04save\x03")
            bob.show()
            relay.leave(room, bob.member)
            gone = protocol.awareness([AwarenessEntry(bob.doc.client_id, 1, None)])
            await eventually(lambda: ada.socket.frames[-1] == gone)
            assert ada.socket.closed == []
            assert caplog.text.count("room room: somebody who was told of a change failed") == 2

    async def test_who_could_not_come_in_is_not_in(self) -> None:
        kind = Clumsy(opens=True)
        async with relay_with(kind) as relay:
            room = await in_memory(relay, "room")
            ada = Client(relay, room)
            kind.lets_in = False
            with pytest.raises(LookupError):
                Client(relay, room, "bob")
            assert [member["username"] for member in relay.overview()[0]["members"]] == ["ada"]
            ada.show()
            await eventually(lambda: ada.socket.frames[-1][0] == 1)

    async def test_a_keepalive_too_much_stops_nothing(self) -> None:
        async with relay_with(max_outbox=1 << 10, keepalive_interval=0.1) as relay:
            room = await in_memory(relay, "room")
            ada, deaf = Client(relay, room), Client(relay, room, "deaf", reads=False)
            fill_outbox(relay, room, deaf, but=2)
            await eventually(lambda: deaf.socket.closed)
            heard = len(ada.socket.writes)
            await eventually(lambda: len(ada.socket.writes) >= heard + 3)
            assert ada.socket.closed == []


class TestPresenceRoom:
    async def test_who_comes_in_is_made_to_look_again_a_moment_later(self) -> None:
        async with relay_with(Presence()) as relay:
            room = await in_memory(relay, PRESENCE)
            ada, bob = Client(relay, room), Client(relay, room, "bob")
            ada.show()
            await eventually(lambda: bob.socket.frames[-1][0] == 1)
            known = pycrdt.Awareness(bob.doc)
            known.apply_awareness_update(protocol.decode(bob.socket.frames[-1]).payload, "server")
            heard = len(bob.socket.frames)
            looked: list[str] = []
            known.observe(lambda topic, event: looked.append(topic))

            def looks() -> bool:
                nonlocal heard
                for frame in bob.socket.frames[heard:]:
                    known.apply_awareness_update(protocol.decode(frame).payload, "server")
                heard = len(bob.socket.frames)
                return "change" in looked

            await eventually(looks)
            assert ada.doc.client_id in known.states


class TestForeignHistory:
    async def test_it_is_told_in_words_the_front_end_reads(self) -> None:
        async with relay_with(Built()) as relay:
            room = await in_memory(relay, "room")
            ada, away = Client(relay, room), Client(relay, room, "away")
            append("typed elsewhere")(away.doc)
            away.send(protocol.step1(away.doc.get_state()))
            away.send(protocol.step2(away.doc.get_update()))
            await eventually(lambda: away.socket.closed)
            ((code, reason),) = away.socket.closed
            told = json.loads(reason)
            assert code == CloseCode.SESSION
            assert len(reason.encode()) <= 123
            assert (told["reason"], told["reloadable"]) == ("unknown_session", True)
            assert told["errorReason"]
            assert ada.socket.closed == []
            assert text_of(room.doc) == "built"

    async def test_who_is_told_does_not_wait_at_the_door(self) -> None:
        async with relay_with(Built()) as relay:
            away = Client(relay, await in_memory(relay, "room"), "away")
            append("typed elsewhere")(away.doc)
            away.send(protocol.step1(away.doc.get_state()))
            away.send(protocol.step2(away.doc.get_update()))
            await eventually(lambda: away.socket.closed)
            assert relay.faults.delay("room", "away") == 0


class TestHolding:
    async def test_a_room_that_is_held_stays_in_memory_until_it_is_let_go(self) -> None:
        async with relay_with(eviction_delay=0.01) as relay:
            async with relay.hold("held") as room, relay.hold("held") as same:
                await in_memory(relay, "other")
                await eventually(lambda: gone(relay, "other"))
                assert room is same is relay.get("held")
                room.edit(append("kept"))
            await eventually(lambda: gone(relay))
            assert text_of((await in_memory(relay, "held")).doc) == "kept"

    async def test_a_room_that_is_deleted_is_gone_for_those_who_hold_it(self) -> None:
        async with relay_with() as relay, relay.hold("room") as room:
            await relay.discard("room")
            with pytest.raises(RoomGone):
                room.edit(append("lost"))
            async with relay.hold("room") as namesake:
                assert (namesake is room, text_of(namesake.doc)) == (False, "")

    async def test_who_looks_after_a_room_that_is_not_opened_after_all_is_told(self) -> None:
        async with relay_with(kind := Watched()) as relay:
            opening = asyncio.ensure_future(in_memory(relay, "room"))
            await asyncio.wait_for(kind.loading.wait(), 60)
            closing = asyncio.ensure_future(relay.close())
            await asyncio.sleep(0)
            kind.gate.set()
            with pytest.raises(RoomError):
                await opening
            await closing
            assert kind.told_of == ["closed"]

    async def test_a_room_that_is_deleted_while_it_is_opened_does_not_begin_as_a_free_one(self) -> None:
        async with relay_with(kind := Deletable(), FreeRooms()) as relay:
            first = asyncio.ensure_future(in_memory(relay, "room"))
            await asyncio.wait_for(kind.loading.wait(), 60)
            deleting = asyncio.ensure_future(kind.delete(relay))
            await asyncio.sleep(0)
            second = asyncio.ensure_future(in_memory(relay, "room"))
            await asyncio.sleep(0)
            kind.gate.set()
            await asyncio.wait([first, deleting, second])
            assert isinstance(second.exception(), RoomError)
            assert gone(relay, "room")


class TestQuiet:
    async def test_what_members_type_waits_and_nothing_of_the_servers_own_does(self) -> None:
        async with relay_with() as relay:
            ada = Client(relay, room := await in_memory(relay, "room"))
            (update,) = observed(Doc(), append("typed"))
            with room.quiet():
                assert relay.receive(room, ada.member, protocol.update(update)) == 0
                room.edit(append("own "))
            assert text_of(room.doc) == "own "
            assert relay.receive(room, ada.member, protocol.update(update)) == 1
            assert "typed" in text_of(room.doc)

    async def test_it_ends_by_itself(self) -> None:
        async with relay_with() as relay:
            ada = Client(relay, room := await in_memory(relay, "room"))
            question = protocol.step1(room.doc.get_state())
            with room.quiet():
                await eventually(lambda: relay.receive(room, ada.member, question) == 1)
                with room.quiet():  # at once again it does not begin
                    assert relay.receive(room, ada.member, question) == 1


class TestStoring:
    @pytest.fixture(params=[MemoryStore, SQLiteStore])
    def traits(self, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
        """Return what configures a relay for each store."""
        path = {"path": str(tmp_path / "rooms.sqlite")} if request.param is SQLiteStore else {}
        return {"Relay": {"store_class": request.param, "eviction_delay": 0.01}, "SQLiteStore": path}

    async def test_a_room_goes_on_after_eviction(self, traits: dict[str, Any]) -> None:
        async with relay_with(config=traits) as relay:
            room = await in_memory(relay, "room")
            ada = Client(relay, room)
            ada.write("hello")
            relay.leave(room, ada.member)
            await eventually(lambda: gone(relay))
            again = await in_memory(relay, "room")
            assert again is not room
            assert (text_of(again.doc), again.lineage, again.seq) == ("hello", room.lineage, room.seq)
            assert again.doc.client_id != room.doc.client_id

    async def test_a_long_log_is_folded_and_holds_the_same(self, traits: dict[str, Any]) -> None:
        traits["Relay"]["compact_bytes"] = 1 << 10
        async with relay_with(config=traits) as relay:
            room = await in_memory(relay, "room")
            ada = Client(relay, room)
            for number in range(200):
                ada.write(f"{number} ")
            await eventually(lambda: folded(relay))
            ada.write("end")
            relay.leave(room, ada.member)
            await eventually(lambda: gone(relay))
            assert text_of((await in_memory(relay, "room")).doc) == text_of(ada.doc)

    async def test_a_store_that_cannot_be_read_is_not_overwritten(self, faulty: Callable[[Relay], Faulty]) -> None:
        async with relay_with(eviction_delay=0.01) as relay:
            store = faulty(relay)
            room = await in_memory(relay, "room")
            ada = Client(relay, room)
            ada.write("stored")
            relay.leave(room, ada.member)
            await eventually(lambda: gone(relay))
            store.broken = True
            bob = Client(relay, await in_memory(relay, "room"))
            bob.write("not stored")
            assert bob.socket.closed == []
            store.broken = False
            stored = await store.load("room")
            assert stored is not None
            assert text_of(stored.document()) == "stored"

    async def test_a_room_stays_in_memory_until_it_is_stored(self, faulty: Callable[[Relay], Faulty]) -> None:
        async with relay_with(eviction_delay=0.01, keepalive_interval=0.1) as relay:
            store = faulty(relay)
            ada = Client(relay, room := await in_memory(relay, "room"))
            clock = Client(relay, await in_memory(relay, "watched"))
            ada.write("hello")
            store.broken = True
            relay.leave(room, ada.member)
            heard = len(clock.socket.writes)
            await eventually(lambda: len(clock.socket.writes) >= heard + 3)  # the relay has looked several times
            assert relay.get("room") is room
            store.broken = False
            await eventually(lambda: gone(relay, "room"))

    async def test_what_is_done_in_a_room_that_was_evicted_raises_and_leaves_its_namesake_alone(self) -> None:
        async with relay_with(eviction_delay=0.01) as relay:
            old = await in_memory(relay, "room")
            ada = Client(relay, old)
            ada.write("kept")
            relay.leave(old, ada.member)
            await eventually(lambda: gone(relay))
            new = await in_memory(relay, "room")
            bob = Client(relay, new)
            stored, seq = await relay.store.load("room"), new.seq
            assert stored is not None
            update = observed(Doc(), append("lost"))[0]
            for deed in (
                lambda: old.edit(append("lost")),
                lambda: old.merge(update, ""),
                lambda: old.record(update),
                lambda: old.mark(saved=Mark(1, "")),
                lambda: old.replace(seq, update),
                lambda: old.adopt(stored),
                lambda: Client(relay, old),
            ):
                with pytest.raises(RoomGone):
                    deed()
            for wait in (
                old.merge_durably(update, ""),
                old.secure(seq),
                old.rebase(seq, update),
            ):
                with pytest.raises(RoomGone):
                    await wait
            relay.receive(old, bob.member, protocol.update(update))
            old.tell(bob.member, {"lost": True})
            relay.leave(old, bob.member)
            bob.doc.apply_update(new.doc.get_update())
            bob.write("!")
            assert text_of(new.doc) == "kept!"
            now = await relay.store.load("room")
            assert now is not None
            assert replace(now, log=now.log[:-1]) == stored
            assert now.last == seq + 1

    async def test_a_resident_begins_nothing_until_it_is_out_of_memory(self) -> None:
        kind = Busy()
        async with relay_with(kind) as relay:
            store = cast(Faulty, relay.store)
            room = await in_memory(relay, "room")
            store.slow, relay.eviction_delay = asyncio.Event(), 0.01
            await eventually(lambda: store.flushing)
            work = asyncio.ensure_future(kind.work(room))
            await asyncio.sleep(0)
            store.slow.set()
            with pytest.raises(RoomGone):
                await work
            assert gone(relay)

    async def test_a_room_that_is_being_evicted_when_the_server_stops_leaves_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        kind = Busy()
        async with relay_with(kind) as relay:
            store = cast(Faulty, relay.store)
            await in_memory(relay, "room")
            store.slow, relay.eviction_delay = asyncio.Event(), 0.01
            await eventually(lambda: store.flushing)
            closing = asyncio.ensure_future(relay.close())
            await asyncio.sleep(0)
            store.slow.set()
            await closing
            assert gone(relay)
        assert kind.closings == 1
        assert "could not be finished" not in caplog.text

    async def test_a_hurt_document_is_built_again(self, faulty: Callable[[Relay], Faulty]) -> None:
        async with relay_with() as relay:
            room = await in_memory(relay, "room")
            ada, bad = Client(relay, room), Client(relay, room, "bad")
            ada.write("hello")
            hurt = room.doc
            faulty(relay).open.clear()
            faulty(relay).asked.clear()
            first = protocol.read_uint(room.doc.get_state(), 1)[0]
            # A text whose parent is another text's letter.
            parent = protocol.write_uint(first) + b"\x00"
            bad.send(protocol.update(b"\x01\x01\x05\x00\x04\x00" + parent + b"\x01q\x00"))
            assert bad.socket.closed[0][0] == CloseCode.MALFORMED
            await faulty(relay).asked.wait()
            ada.write(" meanwhile")
            faulty(relay).open.set()
            await eventually(lambda: room.doc is not hurt)
            assert text_of(room.doc) == "hello meanwhile"
            ada.write("!")
            assert text_of(room.doc) == "hello meanwhile!"

    async def test_stopping_stores_everything(self, tmp_path: Path) -> None:
        config = {"Relay": {"store_class": SQLiteStore}, "SQLiteStore": {"path": str(tmp_path / "rooms.sqlite")}}
        lineages = set()
        for text in ("one", "two", "three"):
            async with relay_with(config=config) as relay:
                room = await in_memory(relay, "room")
                lineages.add(room.lineage)
                ada = Client(relay, room)
                ada.doc.apply_update(room.doc.get_update())
                ada.write(text)
            assert ada.socket.closed == [(CloseCode.GOING_AWAY, "server stops")]
        assert text_of(room.doc) == "onetwothree"
        assert len(lineages) == 1


class TestWatching:
    async def test_one_room_that_fails_keeps_no_other_from_being_looked_after(
        self, caplog: pytest.LogCaptureFixture, faulty: Callable[[Relay], Faulty]
    ) -> None:
        async with relay_with(Clumsy(opens=True), eviction_delay=0.05) as relay:
            room = await in_memory(relay, "a")
            client = Client(relay, room)
            client.write("a")
            faulty(relay).complaint = "the disk is on fire"  # of which the resident is told, which fails
            await eventually(lambda: "LookupError" in caplog.text)
            faulty(relay).complaint = None
            await in_memory(relay, "b")
            await eventually(lambda: relay.get("b") is None)
            assert relay.get("a") is room


class TestRights:
    async def test_who_left_is_not_asked_about(self) -> None:
        async with relay_with(FreeRooms(), identity_check_interval=0.01) as relay:
            room, asked = await in_memory(relay, "room"), []

            async def ask(afresh: bool) -> bool:
                asked.append(True)
                return True

            members = [Member(Identity(name, {}), True) for name in ("ada", "bob")]
            for member in members:
                relay.join(room, member, Socket(), ask)
            await eventually(lambda: len(asked) > 3)
            for member in members:
                relay.leave(room, member)
            count = len(asked)
            await asyncio.sleep(0.05)
            assert len(asked) == count

    async def test_zero_asks_nobody(self) -> None:
        async with relay_with(FreeRooms(), identity_check_interval=0) as relay:
            room, asked = await in_memory(relay, "room"), []

            async def ask(afresh: bool) -> None:
                asked.append(True)

            member = Member(Identity("ada", {}), True)
            relay.join(room, member, socket := Socket(), ask)
            await asyncio.sleep(0.05)
            assert asked == socket.closed == []

    async def test_one_answer_that_takes_long_delays_no_other(self) -> None:
        async with relay_with(FreeRooms(), identity_check_interval=0.01) as relay:
            room = await in_memory(relay, "room")

            async def never(afresh: bool) -> bool:
                await asyncio.Event().wait()
                raise AssertionError

            async def gone(afresh: bool) -> None:
                return None

            sockets = Socket(), Socket()
            for name, socket, ask in zip(("ada", "bob"), sockets, (never, gone), strict=True):
                relay.join(room, Member(Identity(name, {}), True), socket, ask)
            await eventually(lambda: sockets[1].closed)
            assert sockets[1].closed == [(CloseCode.NOT_ALLOWED, "not allowed any more")]
            assert sockets[0].closed == []
            assert [member.identity.username for member in room.members] == ["ada"]


class TestPenalty:
    async def test_who_breaks_the_protocol_waits_longer_each_time(self) -> None:
        async with relay_with() as relay:
            room = await in_memory(relay, "room")
            waits = []
            for _ in range(8):
                waits.append(relay.faults.delay("room", "bad"))
                Client(relay, room, "bad").send(b"garbage")
            assert waits == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5]

    async def test_nobody_else_waits(self) -> None:
        async with relay_with() as relay:
            Client(relay, await in_memory(relay, "room"), "bad").send(b"garbage")
            assert relay.faults.delay("room", "bad") > 0
            assert relay.faults.delay("room", "good") == relay.faults.delay("other", "bad") == 0


class Built(FreeRooms):
    """Rooms that begin with a text of the server's, under a genesis."""

    async def load(self, room: OpenRoom, stored: StoredRoom | None) -> tuple[Resident, StoredRoom | None]:
        """Begin with the text."""
        built: Doc[Any] = Doc(client_id=77)
        append("built")(built)
        room.doc.apply_update(built.get_update())
        room.inside.begin(1, 77)
        return OneHistory(), StoredRoom(room.lineage, 77, built.get_update(), 1, (), None, None)


class OneHistory(Resident):
    """Looks after a room into which nobody brings anything."""

    async def foreign(self, member: Member, updates: Sequence[bytes]) -> Verdict:
        """Refuse whoever brings any text."""
        brought: Doc[Any] = Doc()
        for update in updates:
            brought.apply_update(update)
        return Verdict("another history" if text_of(brought) else "", brought.get_update())


class Clumsy(FreeRooms, Resident):
    """A kind with faults, and its residents: they fail when a room is opened, unless it `opens` them, and when told.

    When somebody comes in, they fail unless it `lets_in`; and at what else happens in its rooms, unless it `hears`.
    """

    def __init__(self, *, opens: bool) -> None:
        self.opens = opens
        self.lets_in = True
        self.hears = True

    def resident(self, room: OpenRoom) -> Resident:
        """Look after all of them."""
        return self

    def opened(self) -> None:
        """Fail, or not."""
        if not self.opens:
            raise LookupError("opened")

    def joined(self, member: Member) -> None:
        """Fail, or not."""
        if not self.lets_in:
            raise LookupError(member.identity.username)

    def told(self, said: str) -> None:
        """Fail."""
        raise LookupError(said)

    def changed(self) -> None:
        """Fail, or not."""
        if not self.hears:
            raise LookupError("changed")

    def requested(self, member: Member, name: str, number: int) -> None:
        """Fail, or not."""
        if not self.hears:
            raise LookupError(name)

    def left(self, member: Member) -> None:
        """Fail, or not."""
        if not self.hears:
            raise LookupError(member.identity.username)


class Busy(FreeRooms, Resident):
    """Rooms that are not let go while somebody works in them."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.closings = 0

    def resident(self, room: OpenRoom) -> Resident:
        """Look after all of them."""
        return self

    async def work(self, room: OpenRoom) -> None:
        """Edit when nothing else is done."""
        async with self.turn:
            room.edit(append("worked"))

    @asynccontextmanager
    async def release(self) -> AsyncIterator[bool]:
        """Let go of the room, and do nothing in it meanwhile. Raises RoomGone where that is done."""
        async with self.turn:
            if self.closings:
                raise RoomGone("room")
            yield True

    def closed(self) -> None:
        """Count it."""
        self.closings += 1


class Watched(FreeRooms, Resident):
    """Rooms that take long to load, and who looks after them: notes what it is told of."""

    def __init__(self) -> None:
        self.loading, self.gate = asyncio.Event(), asyncio.Event()
        self.told_of: list[str] = []

    async def load(self, room: OpenRoom, stored: StoredRoom | None) -> tuple[Resident, StoredRoom | None]:
        """Wait at the gate."""
        self.loading.set()
        await self.gate.wait()
        return self, None

    def opened(self) -> None:
        """Note it."""
        self.told_of.append("opened")

    def closed(self) -> None:
        """Note it."""
        self.told_of.append("closed")


class Deletable(Watched):
    """Rooms that take long to load, and of which nothing is left once one is deleted: not even its name."""

    free = deleted = False

    def owns(self, name: str) -> bool:
        """Own every name until then."""
        return not self.deleted

    async def delete(self, relay: Relay) -> None:
        """Delete the room."""
        await relay.discard("room")
        self.deleted = True


class Closed(FreeRooms):
    """Rooms that cannot be loaded before they are `open`."""

    open = False

    async def load(self, room: OpenRoom, stored: StoredRoom | None) -> tuple[Resident, StoredRoom | None]:
        """Refuse, or begin with an empty document."""
        if not self.open:
            raise RoomError(CloseCode.BAD_CONTENT, "closed")
        return await super().load(room, stored)


def _panic(update: bytes | None, author: str) -> None:
    """Follow a room as somebody does who gives the engine bytes that it cannot read: it panics."""
    doc: Doc[Any] = Doc()
    doc.apply_update(bytes.fromhex("0101070200ffffffff0f00"))
    doc.get_update()


def gone(relay: Relay, name: str | None = None) -> bool:
    """Say whether a room, or all of them, are out of memory."""
    return relay.get(name) is None if name else not relay.overview()


def folded(relay: Relay) -> bool:
    """Say whether the log of the one room is folded."""
    room = relay.overview()[0]
    return bool(room["snapshot_bytes"] > room["log_bytes"])


def fill_outbox(relay: Relay, room: OpenRoom, client: Client, but: int) -> None:
    """Let as much wait for a client as may wait, but for some bytes."""
    (waiting,) = (
        member["waiting"]
        for member in relay.overview()[0]["members"]
        if member["username"] == client.member.identity.username
    )
    around = len(websocket.message(protocol.raw({"fill": "x" * 500}))) - 500
    room.tell(client.member, {"fill": "x" * (relay.max_outbox - but - waiting - around)})
    assert not client.socket.closed
