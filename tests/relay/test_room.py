"""A room: frames in, effects out. Joining, editing, and what is made of the edits of those who were away."""

from __future__ import annotations

import json
import time
from typing import Any

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Awareness, Doc, Map, Text

from jupyter_rtc.relay.effects import Broadcast, Persist, Refuse, Request, Send, Show
from jupyter_rtc.relay.room import Room
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.protocol import AwarenessEntry, CloseCode, Kind, ProtocolError
from jupyter_rtc.wire.updates import TaintedError, guarded

from .by_hand import Peer, append, clocks, delete, frames, observed, replayed, room_with, shown, text_of, whole

SAVE = b"\x02\x04save\x03"


@pytest.fixture
def room() -> Room:
    return room_with("hello")


class TestJoining:
    def test_a_newcomer_is_asked_for_what_it_has(self, room: Room) -> None:
        peer = Peer(room)
        assert room.join(peer.member) == [Send(peer.member, protocol.step1(room.doc.get_state()))]
        assert peer.member in room.members

    def test_a_newcomer_gets_the_document(self, room: Room) -> None:
        peer = Peer(room)
        peer.join()
        assert peer.text == "hello"
        assert clocks(peer.doc) == clocks(room.doc)

    def test_step_1_is_answered_although_there_is_nothing(self) -> None:
        peer = Peer(Room("empty", "lineage"))
        (answer,) = frames(peer.send(protocol.step1(b"\x00")))
        assert whole(answer) == protocol.step2(protocol.NO_CHANGE)

    def test_all_who_join_are_sent_the_same_bytes(self, room: Room) -> None:
        first, second, third = (Peer(room).send(protocol.step1(b"\x00"))[0] for _ in range(3))
        assert isinstance(first, Send)
        assert isinstance(second, Send)
        assert isinstance(third, Send)
        assert first.frame is second.frame is third.frame

    def test_what_was_typed_since_comes_first_so_that_nobody_is_synced_with_a_stale_document(self, room: Room) -> None:
        ada, late = Peer(room), Peer(room)
        ada.join()
        (state,) = room.full_state()
        ada.edit(append(" world"))
        ada.edit(append("!"))
        late.join()
        sent = [effect.frame for effect in late.effects if isinstance(effect, Send)]
        assert [protocol.decode(whole(frame)).kind for frame in sent] == [Kind.STEP1, Kind.UPDATE, Kind.STEP2]
        assert sent[2] is state
        assert late.text == "hello world!"

    def test_the_encoded_state_of_a_fresh_room_is_the_snapshot_it_was_built_with(self) -> None:
        built = Doc(client_id=5)
        append("built")(built)
        room = Room("name", "lineage")
        room.doc.apply_update(built.get_update())
        room.begin(1, 5, built.get_update())
        assert [whole(frame) for frame in room.full_state()] == [protocol.step2(built.get_update())]

    def test_the_state_is_encoded_again_when_much_was_typed_since(self, room: Room) -> None:
        ada = Peer(room)
        ada.join()
        for _ in range(5):
            ada.edit(append("x" * 300_000))
        (frame,) = frames(Peer(room).send(protocol.step1(b"\x00")))
        assert len(whole(frame)) > 1_500_000
        newcomer = Peer(room)
        newcomer.join()
        assert newcomer.text == ada.text

    def test_the_memory_of_the_encoded_state_can_be_given_back(self, room: Room) -> None:
        ada, newcomer = Peer(room), Peer(room)
        ada.join()
        ada.edit(append("!"))
        room.forget_full_state()
        assert len(room.full_state()) == 1
        newcomer.join()
        assert newcomer.text == "hello!"

    def test_another_document_object_can_take_over(self, room: Room) -> None:
        ada, newcomer = Peer(room), Peer(room)
        ada.join()
        ada.edit(append("!"))
        again: Doc[Any] = Doc()
        again.apply_update(room.doc.get_update())
        room.replace(again)
        ada.edit(append("?"))
        newcomer.join()
        assert newcomer.text == ada.text == text_of(again) == "hello!?"

    def test_who_comes_back_gets_only_what_it_missed(self, room: Room) -> None:
        ada, away = Peer(room), Peer(room)
        ada.join()
        ada.edit(append("x" * 5000))
        away.join()
        ada.edit(append("!"))
        room.leave(away.member)
        away.join()
        answer = frames(away.effects)[-1]
        assert protocol.decode(answer).kind is Kind.STEP2
        assert len(answer) < 100
        assert away.text == ada.text

    def test_a_newcomer_learns_who_is_here(self, room: Room) -> None:
        ada, bob = Peer(room), Peer(room, name="bob")
        ada.join()
        ada.send(protocol.awareness([AwarenessEntry(1, 1, '{"cursor":3}')]))
        (frame,) = shown(room, room.join(bob.member))
        theirs = Awareness(bob.doc)
        theirs.apply_awareness_update(pycrdt.read_message(frame[1:]), "room")
        assert theirs.states[1] == {"cursor": 3, "user": {"username": "ada"}}

    def test_who_asks_learns_who_is_here(self, room: Room) -> None:
        ada = Peer(room)
        (nobody,) = shown(room, ada.send(b"\x03"))
        ada.send(protocol.awareness([AwarenessEntry(1, 1, "{}")]))
        (somebody,) = shown(room, ada.send(b"\x03"))
        assert nobody == protocol.awareness([])
        assert somebody == protocol.awareness(room.awareness.entries())

    @given(vector=st.binary(max_size=30))
    def test_any_state_vector_is_answered_or_a_protocol_error(self, vector: bytes) -> None:
        peer = Peer(room_with("hello"))
        peer.room.genesis = 0
        try:
            (effect,) = peer.room.receive(peer.member, protocol.step1(vector), 0)
        except TaintedError:
            pytest.fail("a question changes no document")
        except ProtocolError:
            return
        assert isinstance(effect, Send)


class TestEditing:
    def test_an_edit_is_stored_and_goes_to_everybody_else_as_it_came(self, room: Room) -> None:
        ada = Peer(room, name="ada")
        ada.join()
        (update,) = observed(ada.doc, append("!"))
        frame = protocol.update(update)
        stored, sent = ada.send(frame)
        assert stored == Persist(2, update, "ada")
        assert isinstance(sent, Broadcast)
        assert sent.frame is frame
        assert sent.sender is ada.member
        assert text_of(room.doc) == "hello!"

    def test_updates_are_numbered_without_gaps(self, room: Room) -> None:
        ada = Peer(room)
        ada.join()
        effects = [*ada.edit(append("a")), *room.edit(append("b")), *ada.edit(append("c"))]
        assert [effect.seq for effect in effects if isinstance(effect, Persist)] == [2, 3, 4]
        assert room.seq == 4

    def test_the_servers_own_edit_goes_to_everybody(self, room: Room) -> None:
        ada = Peer(room)
        ada.join()
        stored, sent = room.edit(lambda doc: doc.get("state", type=Map).update({"dirty": False, "path": "a.txt"}))
        assert isinstance(stored, Persist)
        assert isinstance(sent, Broadcast)
        assert (stored.author, sent.sender) == ("", None)
        ada.hear(whole(sent.frame))
        assert ada.doc.get("state", type=Map).to_py() == {"dirty": False, "path": "a.txt"}

    def test_an_edit_of_the_servers_own_that_changes_nothing_has_no_effects(self, room: Room) -> None:
        assert room.edit(lambda doc: None) == []
        assert room.edit(lambda doc: doc.get("source", type=Text)) == []
        assert room.seq == 1

    def test_what_was_made_on_a_fork_is_merged_for_its_author(self, room: Room) -> None:
        ada = Peer(room)
        ada.join()
        fork: Doc[Any] = Doc()
        fork.apply_update(room.doc.get_update())
        (update,) = observed(fork, append(" from a fork"))
        ada.edit(append("!"))
        effects = room.merge(update, "git")
        assert [effect.author for effect in effects if isinstance(effect, Persist)] == ["git"]
        for frame in frames(effects, Broadcast):
            ada.hear(frame)
        assert ada.text == text_of(room.doc)
        assert sorted(ada.text) == sorted("hello! from a fork")
        assert room.merge(update, "git") == []

    def test_an_update_may_come_before_the_one_it_depends_on(self, room: Room) -> None:
        ada, bob = Peer(room), Peer(room)
        ada.join()
        bob.join()
        snapshot = room.doc.get_update()
        first, second = observed(ada.doc, append(" one")) + observed(ada.doc, append(" two"))
        effects = ada.send(protocol.update(second))
        assert text_of(room.doc) == "hello"
        effects += ada.send(protocol.update(first))
        for frame in frames(effects, Broadcast):
            bob.hear(frame)
        stored: Doc[Any] = Doc()
        stored.apply_update(snapshot)
        assert text_of(room.doc) == bob.text == text_of(replayed(effects, stored)) == "hello one two"


class TestReading:
    def test_the_edits_of_a_reader_reach_nobody(self, room: Room) -> None:
        rita = Peer(room, writable=False)
        rita.join()
        (update,) = observed(rita.doc, append("!"))
        assert rita.send(protocol.update(update)) == [Refuse(rita.member, update)]
        assert text_of(room.doc) == "hello"
        assert room.seq == 1

    def test_a_reader_gets_the_document_and_is_seen(self, room: Room) -> None:
        rita = Peer(room, writable=False)
        rita.join()
        assert rita.text == "hello"
        assert rita.send(protocol.awareness([AwarenessEntry(1, 1, "{}")])) == [Show([1], None)]

    def test_what_a_reader_typed_offline_reaches_nobody(self, room: Room) -> None:
        rita = Peer(room, writable=False)
        rita.join()
        append("!")(rita.doc)
        effects = rita.join()
        assert [type(effect) for effect in effects] == [Send, Refuse]
        assert text_of(room.doc) == "hello"

    def test_a_reader_who_comes_back_with_nothing_new_is_not_told_off(self, room: Room) -> None:
        # Step 2 repeats every deletion there ever was in the document.
        ada, rita = Peer(room), Peer(room, writable=False)
        ada.join()
        ada.edit(delete(1, 3))
        rita.join()
        assert [type(effect) for effect in rita.join()] == [Send]

    @given(garbage=st.binary(max_size=30))
    def test_what_a_reader_sends_cannot_hurt_the_document(self, garbage: bytes) -> None:
        rita = Peer(room_with("hello"), writable=False)
        rita.join()
        for frame in (protocol.update(garbage), protocol.step2(garbage)):
            try:
                effects = rita.send(frame)
            except TaintedError:
                pytest.fail("the document was not touched")
            except ProtocolError:
                continue
            assert all(isinstance(effect, Refuse) for effect in effects)
        assert text_of(rita.room.doc) == "hello"


class TestComingBack:
    def test_offline_edits_are_stored_and_go_to_everybody_else(self, room: Room) -> None:
        ada, bob = Peer(room, name="ada"), Peer(room, name="bob")
        ada.join()
        bob.join()
        snapshot = room.doc.get_update()
        room.leave(ada.member)
        append(" from the train")(ada.doc)
        bob.edit(append(" from home"))
        effects = ada.join()
        stored = [effect for effect in effects if isinstance(effect, Persist)]
        assert [(effect.seq, effect.author) for effect in stored] == [(3, "ada")]
        for frame in frames(effects, Broadcast):
            bob.hear(frame)
        assert ada.text == bob.text == text_of(room.doc)
        assert sorted(ada.text) == sorted("hello from the train from home")
        assert snapshot != room.doc.get_update()

    def test_nothing_new_has_no_effects(self, room: Room) -> None:
        ada = Peer(room)
        ada.join()
        ada.edit(append("!"))
        ada.edit(delete(0, 2))
        assert [type(effect) for effect in ada.join()] == [Send]
        assert ada.send(protocol.step2(protocol.NO_CHANGE)) == []
        assert ada.send(protocol.step2(ada.doc.get_update())) == []
        assert room.seq == 3

    def test_deletions_alone_are_an_edit(self, room: Room) -> None:
        ada, bob = Peer(room), Peer(room)
        ada.join()
        bob.join()
        snapshot = room.doc.get_update()
        delete(0, 4)(ada.doc)
        assert ada.doc.get_update(room.doc.get_state())[:1] == b"\x00"  # no insertion in it
        effects = ada.join()
        for frame in frames(effects, Broadcast):
            bob.hear(frame)
        stored: Doc[Any] = Doc()
        stored.apply_update(snapshot)
        assert bob.text == text_of(room.doc) == text_of(replayed(effects, stored)) == "o"

    def test_what_waits_for_another_update_is_not_lost(self, room: Room) -> None:
        ada, bob = Peer(room), Peer(room)
        ada.join()
        bob.join()
        first, second = observed(ada.doc, append(" one")) + observed(ada.doc, append(" two"))
        effects = bob.send(protocol.step2(second))  # bob heard the second by other ways, and not the first
        assert [type(effect) for effect in effects] == [Persist, Broadcast]
        effects += ada.send(protocol.update(first))
        assert text_of(room.doc) == "hello one two"
        assert text_of(replayed(effects, bob.doc)) == "hello one two"


class TestRequests:
    def test_save(self, room: Room) -> None:
        ada = Peer(room)
        assert ada.send(SAVE) == [Request(ada.member, "save", 3)]

    def test_who_may_only_read_may_ask(self, room: Room) -> None:
        rita = Peer(room, writable=False)
        assert rita.send(SAVE) == [Request(rita.member, "save", 3)]

    @pytest.mark.parametrize("frame", [b"\x02", b"\x02\x04sav", b"\x02\x04save", SAVE + b"\x00"])
    def test_garbage_is_refused(self, room: Room, frame: bytes) -> None:
        with pytest.raises(ProtocolError):
            Peer(room).send(frame)


class TestPresence:
    def test_a_state_goes_to_everybody_and_comes_back(self, room: Room) -> None:
        ada = Peer(room)
        effects = ada.send(protocol.awareness([AwarenessEntry(1, 1, '{"cursor":1}')]))
        assert effects == [Show([1], None)]
        (frame,) = shown(room, effects)
        (entry,) = protocol.decode_awareness(protocol.decode(frame).payload)
        assert json.loads(entry.state or "") == {"cursor": 1, "user": {"username": "ada"}}

    def test_an_echo_goes_to_nobody(self, room: Room) -> None:
        ada, bob = Peer(room), Peer(room, name="bob")
        frame = protocol.awareness([AwarenessEntry(1, 1, "{}")])
        ada.send(frame)
        assert bob.send(frame) == []

    def test_the_others_learn_at_once_that_somebody_left(self, room: Room) -> None:
        ada = Peer(room)
        ada.join()
        ada.send(protocol.awareness([AwarenessEntry(1, 1, "{}")]))
        assert shown(room, room.leave(ada.member)) == [protocol.awareness([AwarenessEntry(1, 1, None)])]
        assert room.leave(ada.member) == []
        assert ada.member not in room.members

    def test_who_is_silent_for_too_long_is_gone(self, room: Room) -> None:
        ada = Peer(room)
        ada.send(protocol.awareness([AwarenessEntry(1, 1, "{}")]), now=100.0)
        assert room.expire(100.0) == []
        assert shown(room, room.expire(100.1)) == [protocol.awareness([AwarenessEntry(1, 1, None)])]


class TestBadUpdates:
    @pytest.mark.parametrize("update", [b"", b"\x00", b"\x01", b"abc", b"\x05\x00", b"\xff" * 20])
    def test_what_is_no_update_changes_nothing(self, room: Room, update: bytes) -> None:
        ada = Peer(room)
        ada.join()
        before = room.doc.get_update()
        for frame in (protocol.update(update), protocol.step2(update)):
            with pytest.raises(ProtocolError) as refused:
                ada.send(frame)
            assert not isinstance(refused.value, TaintedError)
            assert refused.value.code is CloseCode.MALFORMED
        assert room.doc.get_update() == before
        assert room.seq == 1

    @pytest.mark.parametrize("last", ["w", "wörld"])
    def test_what_somebody_types_is_taken_in_after_a_broken_copy_of_it_was_refused(self, last: str) -> None:
        """Whoever sends the copy, and wherever it is broken: what is refused must not count as here."""
        typist: Doc[Any] = Doc(client_id=9)
        before = [update for word in ("a", "b", "c") for update in observed(typist, append(word))]
        (typed,) = observed(typist, append(last))
        for at in range(len(typed)):
            for value in {typed[at] ^ 1, typed[at] ^ 4, 0, 255} - {typed[at]}:
                room = room_with("hello")
                ada, eve = Peer(room), Peer(room)
                ada.join()
                eve.join()
                for update in before:
                    ada.send(protocol.update(update))
                try:
                    eve.send(protocol.update(typed[:at] + bytes([value]) + typed[at + 1 :]))
                except ProtocolError:
                    ada.send(protocol.update(typed))
                    assert sorted(text_of(room.doc)) == sorted(f"helloabc{last}"), (at, value)

    def test_an_update_of_countless_authors_costs_nothing(self, room: Room) -> None:
        ada, rita = Peer(room), Peer(room, writable=False)
        ada.join()
        rita.join()
        begun = time.process_time()
        for peer in (ada, rita):
            with pytest.raises(ProtocolError):
                peer.send(protocol.update(protocol.write_uint(2**28 - 1) + b"\x00"))
        assert time.process_time() - begun < 1

    def test_an_update_that_makes_the_crdt_engine_panic(self) -> None:
        """It has an item of no length, for which it is refused before it gets there; there may be others."""
        update = b"\x01\x01\t\x0c\xa8\x07\xff\x01\x00\x01\x07\x01\r}\x01"
        ada = self._member_of_a_room_of_two_authors(4)
        with pytest.raises(ProtocolError) as refused:
            ada.send(protocol.update(update))
        assert not isinstance(refused.value, TaintedError)
        with pytest.raises(TaintedError) as panicked:
            guarded(ada.room.doc.apply_update, update)
        assert panicked.value.code is CloseCode.MALFORMED

    def test_an_update_whose_parent_is_a_text(self) -> None:
        ada = self._member_of_a_room_of_two_authors(2)
        with pytest.raises(TaintedError):
            ada.send(
                protocol.update(
                    b"\x01\x04\t\x08\x87\x07\x05\x01(\x00\t\x08\x02id\x01w\x01b'\x00\t\x08\x06source\x02\x04\x00\t\x00"
                    b"\x01q\x00"
                )
            )

    @given(st.data())
    def test_any_damage_to_an_update_is_taken_or_a_protocol_error(self, data: st.DataObject) -> None:
        updates = self._updates_of_the_second_author()
        count = data.draw(st.integers(0, len(updates)))
        ada = self._member_of_a_room_of_two_authors(count)
        for _ in range(4):
            update = bytearray(data.draw(st.sampled_from(updates)))
            for _ in range(data.draw(st.integers(1, 3))):
                update[data.draw(st.integers(0, len(update) - 1))] = data.draw(st.integers(0, 255))
            try:
                effects = ada.send(protocol.update(bytes(update)))
            except TaintedError:
                return
            except ProtocolError:
                continue
            assert [type(effect) for effect in effects] == [Persist, Broadcast]

    def _first_document(self) -> Doc[Any]:
        doc: Doc[Any] = Doc(client_id=7)
        doc["t"] = Text("hello")
        doc["cells"] = pycrdt.Array([Map({"id": "a", "source": Text("abc"), "m": Map({"x": 1})})])
        doc["state"] = Map({"dirty": False})
        return doc

    def _updates_of_the_second_author(self) -> list[bytes]:
        doc: Doc[Any] = Doc(client_id=9)
        doc.apply_update(self._first_document().get_update())
        text, cells = doc.get("t", type=Text), doc.get("cells", type=pycrdt.Array)
        edits = [
            lambda doc: text.insert(5, " world"),
            lambda doc: cells[0]["source"].insert(1, "zz"),
            lambda doc: cells.append(Map({"id": "b", "source": Text("q")})),
            lambda doc: cells.pop(0),
            lambda doc: doc.get("state", type=Map).update({"dirty": True}),
        ]
        return [update for edit in edits for update in observed(doc, edit)]

    def _member_of_a_room_of_two_authors(self, updates: int) -> Peer:
        room = Room("name", "lineage")
        room.doc.apply_update(self._first_document().get_update())
        for update in self._updates_of_the_second_author()[:updates]:
            room.doc.apply_update(update)
        return Peer(room)
