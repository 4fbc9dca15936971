"""An update that comes before the one it builds on waits for it, wherever the document goes meanwhile."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Map, Text
from traitlets.config import Config
from wire.test_merging import content, written_by_three

from jupyter_rtc.relay import FreeRooms, Member, MemoryStore, Relay, Room, SQLiteStore, StoredRoom
from jupyter_rtc.relay.admission.allowances import MOST_WAITING
from jupyter_rtc.relay.effects import Broadcast, Persist
from jupyter_rtc.relay.room import EditError
from jupyter_rtc.relay.storing.store import DamagedError
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.awareness import Identity
from jupyter_rtc.wire.protocol import NO_CHANGE, CloseCode, ProtocolError
from jupyter_rtc.wire.updates import unmet, whole_state

from .by_hand import Peer, append, delete, frames, in_memory, observed, replayed, room_with, text_of
from .peer import eventually
from .wire import Socket


def typed(*words: str, doc: Doc[Any] | None = None) -> list[bytes]:
    """Return the updates of somebody who types words one after the other."""
    doc = doc if doc is not None else Doc()
    return [update for word in words for update in observed(doc, append(word))]


def given_to(updates: list[bytes]) -> Doc[Any]:
    """Return a document that was given updates."""
    doc: Doc[Any] = Doc()
    for update in updates:
        doc.apply_update(update)
    return doc


class TestUpdates:
    def test_nothing_waits_in_a_document_that_has_everything(self) -> None:
        updates = typed("a", "b", "c")
        assert unmet(given_to(updates).get_state(), updates) == NO_CHANGE

    def test_pycrdt_leaves_out_what_waits(self) -> None:
        """Or else this module is needless."""
        first, second, third = typed("a", "b", "c")
        copy = given_to([given_to([first, third]).get_update(), second])
        assert text_of(copy) == "ab"

    def test_an_insertion_that_waits_is_in_the_whole_state(self) -> None:
        first, second, third = typed("a", "b", "c")
        given = [first, third]
        assert text_of(given_to([whole_state(given_to(given), given), second])) == "abc"

    def test_a_deletion_that_waits_is_in_the_whole_state(self) -> None:
        doc: Doc[Any] = Doc()
        first, second = typed("a", "b", doc=doc)
        (deletion,) = observed(doc, delete(1, 2))
        given = [first, deletion]
        assert text_of(given_to([whole_state(given_to(given), given), second])) == "a"

    def test_what_is_met_waits_no_longer(self) -> None:
        first, second, third = typed("a", "b", "c")
        known = unmet(given_to([first, third]).get_state(), [first, third])
        assert known != NO_CHANGE
        assert unmet(given_to([first, third, second]).get_state(), [known, second]) == NO_CHANGE

    @given(data=st.data())
    def test_a_copy_of_a_copy_lacks_nothing_in_the_end(self, data: st.DataObject) -> None:
        docs: list[Doc[Any]] = [Doc(), Doc()]
        made: list[bytes] = []
        for at, action in data.draw(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("ids")), max_size=12)):
            doc, length = docs[at], len(text_of(docs[at]))
            if action == "i":
                made += observed(doc, lambda doc: doc.get("source", type=Text).insert(0, "xyz"))
            elif action == "d" and length > 1:
                made += observed(doc, delete(length // 2, length))
            elif action == "s":
                doc.apply_update(docs[1 - at].get_update())
        order = data.draw(st.permutations(made))
        here: list[bytes] = []
        for update in order:
            here = [whole_state(given_to([*here, update]), [*here, update])]
        assert text_of(given_to(here)) == text_of(given_to(made))


class TestLongLog:
    """More updates than are applied at once."""

    def test_it_makes_the_document_that_it_came_from(self) -> None:
        doc: Doc[Any] = Doc()
        updates = typed(*("ab"[number % 2] for number in range(2500)), doc=doc)
        updates += observed(doc, delete(10, 2000))
        late = updates.pop(1200)
        room = StoredRoom("", 0, NO_CHANGE, 0, tuple(enumerate([*updates, late], 1)), None, None)
        assert text_of(room.document()) == text_of(doc) == "ab" * 5 + "ab" * 250
        assert text_of(room.document(500)) == "ab" * 250

    @pytest.mark.slow
    @pytest.mark.parametrize("bad", [1, 999, 1000, 1001, 2500])
    def test_what_cannot_be_applied_is_found_where_it_is(self, bad: int) -> None:
        log = list(enumerate(typed(*["a"] * 2500), 1))
        log[bad - 1] = (bad, b"\xff" * 20)
        room = StoredRoom("", 0, NO_CHANGE, 0, tuple(log), None, None)
        with pytest.raises(DamagedError) as damaged:
            room.document()
        assert damaged.value.seqs == set(range(bad, 2501))
        assert text_of(room.without(damaged.value.seqs).document()) == "a" * (bad - 1)


class TestRoom:
    @pytest.mark.parametrize("between", [0, 3, 1200])
    @pytest.mark.parametrize("forget", [False, True])
    def test_a_newcomer_gets_in_the_end_what_waited_when_it_came(self, between: int, forget: bool) -> None:
        room = room_with("hello")
        ada, bob, newcomer = Peer(room), Peer(room), Peer(room)
        ada.join()
        bob.join()
        room.full_state()
        missing, early = typed(" missing", " early", doc=ada.doc)
        ada.send(protocol.update(early))
        for _ in range(between):
            bob.edit(append("."))
        if forget:
            room.forget_full_state()
        newcomer.join()
        assert "early" not in newcomer.text
        for frame in frames(ada.send(protocol.update(missing)), Broadcast):
            newcomer.hear(frame)
        assert newcomer.text == text_of(room.doc)
        assert " missing early" in newcomer.text

    def test_so_does_who_comes_back(self) -> None:
        room = room_with("hello")
        ada, away = Peer(room), Peer(room)
        ada.join()
        away.join()
        room.leave(away.member)
        missing, early = typed(" missing", " early", doc=ada.doc)
        ada.send(protocol.update(early))
        away.join()
        for frame in frames(ada.send(protocol.update(missing)), Broadcast):
            away.hear(frame)
        assert away.text == "hello missing early"

    def test_what_waits_no_longer_is_sent_to_nobody(self) -> None:
        room = room_with("hello")
        ada, newcomer = Peer(room), Peer(room)
        ada.join()
        missing, early = typed(" missing", " early", doc=ada.doc)
        ada.send(protocol.update(early))
        ada.send(protocol.update(missing))
        room.forget_full_state()
        assert len(frames(newcomer.send(protocol.step1(b"\x00")))) == 1

    def test_an_offline_deletion_of_what_is_missing_is_stored(self) -> None:
        room = room_with("hello")
        ada, bob = Peer(room), Peer(room)
        ada.join()
        (missing,) = typed("!", doc=ada.doc)
        (deletion,) = observed(ada.doc, delete(5, 6))
        bob.join()
        stored = room.doc.get_update()
        effects = [*bob.send(protocol.step2(deletion)), *ada.send(protocol.update(missing))]
        assert text_of(replayed(effects, given_to([stored]))) == text_of(room.doc) == "hello"


class TestTooMuch:
    """What waits is tried again with every edit of the others, and costs them time."""

    def test_at_once(self) -> None:
        room = room_with("hello")
        ada, bob = Peer(room), Peer(room)
        ada.join()
        bob.join()
        with pytest.raises(ProtocolError) as refused:
            ada.send(protocol.update(typed("missing", "x" * MOST_WAITING)[1]))
        assert refused.value.code == CloseCode.NOT_ALLOWED
        assert frames(bob.edit(append(" world")), Broadcast)

    def test_when_it_was_typed_offline(self) -> None:
        ada = Peer(room_with("hello"))
        ada.join()
        with pytest.raises(ProtocolError):
            ada.send(protocol.step2(typed("missing", "x" * MOST_WAITING)[1]))

    def test_deletions_of_what_nobody_knows(self) -> None:
        ada = Peer(room_with("hello"))
        ada.join()
        runs = b"".join(protocol.write_uint(2 * number) + b"\x01" for number in range(100_000))
        with pytest.raises(ProtocolError):
            ada.send(protocol.update(b"\x00\x01\x4d" + protocol.write_uint(100_000) + runs))

    def test_little_by_little_and_nobody_else_is_blamed(self) -> None:
        room = room_with("hello")
        ada, bob = Peer(room), Peer(room)
        ada.join()
        bob.join()
        taken = 0
        while taken < 100:
            early = typed("missing", "x" * (MOST_WAITING // 16))[1]
            try:
                ada.send(protocol.update(early))
            except ProtocolError:
                break
            taken += 1
            assert frames(bob.edit(append(".")), Broadcast)
        assert 15 <= taken < 100
        assert frames(bob.edit(append("!")), Broadcast)

    def test_what_waits_no_longer_does_not_count(self) -> None:
        room = room_with("hello")
        ada = Peer(room)
        ada.join()
        for _ in range(10):
            missing, early = typed("missing", "x" * (MOST_WAITING // 2))
            ada.send(protocol.update(early))
            ada.send(protocol.update(missing))
        assert len(text_of(room.doc)) > 4 * MOST_WAITING

    def test_what_does_not_wait_may_be_as_large_as_it_likes(self) -> None:
        room = room_with("hello")
        ada = Peer(room)
        ada.join()
        ada.edit(append("x" * 4 * MOST_WAITING))
        assert text_of(room.doc) == ada.text

    async def test_the_others_go_on_without_it(self, tmp_path: Path) -> None:
        relay = Relay([FreeRooms()], config=config(MemoryStore, tmp_path))
        room, ada, bob = (
            await in_memory(relay, "room"),
            Member(Identity("ada", {}), True),
            Member(Identity("bob", {}), True),
        )
        mine = Socket()
        relay.join(room, ada, mine)
        relay.join(room, bob, Socket())
        begun = room.doc
        send(relay, bob, typed("hello")[0])
        missing, early = typed("missing", "x" * MOST_WAITING)
        send(relay, ada, early)
        assert mine.closed[0][0] == CloseCode.NOT_ALLOWED
        send(relay, bob, missing)
        assert sorted(text_of(room.doc)) == sorted("hellomissing")
        assert room.doc is begun
        await relay.close()


class TestOrder:
    """yrs loses a part of what waits, where there are gaps between; so it is given nothing that waits."""

    def test_yrs_does(self) -> None:
        """Or else this could be left to it."""
        late = [bytes.fromhex(update) for update in LOST]
        assert text_of(given_to(late[::-1])) == "abc"
        assert text_of(given_to(late)) == "a"

    @pytest.mark.parametrize("seed", range(60))
    def test_updates_come_in_any_order(self, seed: int) -> None:
        chance = random.Random(seed)
        made = written_by_three(chance)
        wanted = content(*made)
        room = Room("free", "lineage")
        ada = Peer(room)
        ada.join()
        effects = []
        for update in chance.sample(made, len(made)):
            effects += ada.send(chance.choice([protocol.update, protocol.step2])(update))
            if chance.random() < 0.2:
                room.replace(stored_as(room.whole_state()).document())
        log = tuple((effect.seq, effect.update) for effect in effects if isinstance(effect, Persist))
        stored = StoredRoom("lineage", 0, NO_CHANGE, 0, log, None, None)
        folded = stored_as(stored.state(stored.last))
        for doc in (room.doc, stored.document(), folded.document(), stored_as(room.whole_state()).document()):
            assert content(doc.get_update()) == wanted
        assert stored.waiting(stored.document()) == NO_CHANGE

    def test_what_waits_inside_what_is_no_type_is_left_out(self) -> None:
        """yrs fails half-way when it comes to it, and would blame who brought what it waited for; the rest comes."""
        room = Room("free", "lineage")
        ada, bob = Peer(room), Peer(room)
        ada.join()
        bob.join()
        first, second = typed("ab", "c", doc=ada.doc)
        client = protocol.write_uint(ada.doc.client_id)
        bad = b"\x01\x02\x09\x00\x44" + client + b"\x02\x01x\x28\x00" + client + b"\x00\x01k\x01\x7e\x00"
        effects = [*bob.send(protocol.update(bad)), *ada.send(protocol.update(first))]
        effects += ada.send(protocol.update(second))
        assert text_of(room.doc) == "xabc"
        log = tuple((effect.seq, effect.update) for effect in effects if isinstance(effect, Persist))
        assert text_of(StoredRoom("lineage", 0, NO_CHANGE, 0, log, None, None).document()) == "xabc"
        ada.edit(append("d"))
        assert text_of(room.doc) == "xabcd"


LOST = (
    "0101030384030102626300",
    "0101030208010161017c40a0000000",
    "01010301040106736f75726365016100",
    "010103002801016d026b31017b3fd1af65a3e734f000",
)
"""Four updates of one client, the last first; read in this order, yrs forgets the text of the first."""


def stored_as(state: bytes) -> StoredRoom:
    """Return a room that is stored as a snapshot."""
    return StoredRoom("lineage", 0, state, 1, (), None, None)


def config(store: type, folder: Path) -> Config:
    """Configure a relay that folds its logs soon."""
    return Config(
        {
            "Relay": {"store_class": store, "eviction_delay": 0.01, "compact_bytes": 1 << 10},
            "SQLiteStore": {"path": str(folder / "rooms.db")},
        }
    )


def send(relay: Relay, member: Member, update: bytes) -> None:
    """Send an update to the room."""
    room = relay.get("room")
    assert room is not None
    relay.receive(room, member, protocol.update(update))


class TestStored:
    @pytest.mark.parametrize("store", [MemoryStore, SQLiteStore])
    async def test_it_survives_folding_and_eviction(self, store: type, tmp_path: Path) -> None:
        relay = Relay([FreeRooms()], config=config(store, tmp_path))
        doc: Doc[Any] = Doc()
        begun, missing, *rest = typed("begun", " missing", *[" early"] * 100, doc=doc)
        for _ in range(2):
            room, ada = await in_memory(relay, "room"), Member(Identity("ada", {}), True)
            relay.join(room, ada, Socket())
            send(relay, ada, begun)
            for update in rest:
                send(relay, ada, update)
            await eventually(lambda: relay.overview()[0]["log_bytes"] < relay.overview()[0]["snapshot_bytes"])
            assert text_of(room.doc) == "begun"
            relay.leave(room, ada)
            await eventually(lambda: not relay.overview())
        room, ada, newcomer = (
            await in_memory(relay, "room"),
            Member(Identity("ada", {}), True),
            Peer((await in_memory(relay, "room")).inside),
        )
        newcomer.join()
        relay.join(room, ada, Socket())
        assert text_of(room.doc) == "begun"
        send(relay, ada, missing)
        newcomer.doc.apply_update(missing)
        assert newcomer.text == text_of(room.doc) == text_of(doc)
        await relay.close()

    async def test_it_is_in_the_state_that_heals_a_room(self, tmp_path: Path) -> None:
        """What is stored of a room that the store holds only in part is its present state."""
        relay = Relay([FreeRooms()], config=config(SQLiteStore, tmp_path))
        room, ada = await in_memory(relay, "room"), Member(Identity("ada", {}), True)
        relay.join(room, ada, Socket())
        begun, missing, early = typed("begun", " missing", " early")
        await relay.store.flush()
        (tmp_path / "rooms.db").unlink()
        send(relay, ada, begun)
        send(relay, ada, early)
        await eventually(lambda: "room" in relay.store.partial)
        await eventually(lambda: "room" not in relay.store.partial)
        stored = await relay.store.load("room")
        assert isinstance(stored, StoredRoom)
        restored = replace(stored, log=(*stored.log, (stored.last + 1, missing))).document()
        assert text_of(restored) == "begun missing early"
        await relay.close()


class TestEdits:
    def test_what_was_done_before_an_edit_failed_is_stored_and_sent(self) -> None:
        room = room_with("hello")
        stored = room.doc.get_update()
        ada = Peer(room)
        ada.join()

        def half(doc: Doc[Any]) -> None:
            append(" half")(doc)
            raise ValueError("and no further")

        with pytest.raises(EditError) as failed:
            room.edit(half)
        assert isinstance(failed.value.error, ValueError)
        for frame in frames(failed.value.effects, Broadcast):
            ada.hear(frame)
        assert ada.text == text_of(replayed(failed.value.effects, given_to([stored]))) == "hello half"

    async def test_the_caller_learns_what_went_wrong(self) -> None:
        relay = Relay([FreeRooms()], config=Config({"Relay": {"store_class": MemoryStore}}))
        room = await in_memory(relay, "room")

        def beyond_what_it_holds(doc: Doc[Any]) -> None:
            append("half")(doc)
            doc.get("state", type=Map)["number"] = 2**70

        with pytest.raises(BaseException, match="OverflowError") as failed:  # no Exception
            room.edit(beyond_what_it_holds)
        assert type(failed.value).__name__ == "PanicException"
        stored = await relay.store.load("room")
        assert stored is not None
        assert text_of(stored.document()) == "half"
        room.edit(append(" and whole"))
        assert text_of(room.doc) == "half and whole"
        await relay.close()
