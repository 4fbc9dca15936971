"""Whose history a peer's document has: what is welcome, what is refused, and what is kept aside in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text, get_state

from jupyter_rtc.relay.effects import Broadcast, Judge, Persist, Refuse, Send, Show
from jupyter_rtc.relay.room import Room
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.protocol import CloseCode, Kind, ProtocolError

from .by_hand import GENESIS, Peer, append, clocks, created_notebook, frames, observed, room_with, text_of, whole

UNREADABLE = bytes.fromhex("01010900080101ff017e00")
"""An update whose text is no UTF-8, which only the engine sees."""


@pytest.fixture
def room() -> Room:
    return room_with("hello")


def foreign(text: str = "hello") -> Doc:
    """Return a document with a history of its own: what another server built from the same file."""
    doc = Doc(client_id=GENESIS + 1)
    append(text)(doc)
    return doc


def expect_quarantine(peer: Peer) -> Doc:
    """Let a peer join; return the document that is to be judged."""
    effects = peer.join()
    assert [effect for effect in effects if not isinstance(effect, Send)] == [Judge(peer.member)]
    return brought_by(peer)


def brought_by(peer: Peer) -> Doc:
    """Return what a peer brought while it was aside."""
    brought = Doc()
    for update in peer.member.held:
        brought.apply_update(update)
    return brought


class TestForeign:
    def test_content_with_another_history_is_to_be_judged(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        expect_quarantine(peer)
        assert peer.member.quarantined
        assert text_of(room.doc) == "hello"
        assert room.seq == 1

    def test_what_it_brought_is_held(self, room: Room) -> None:
        assert text_of(expect_quarantine(Peer(room, doc=foreign("kept aside")))) == "kept aside"

    def test_it_is_sent_nothing_that_could_double_its_content(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        expect_quarantine(peer)
        kinds = [protocol.decode(whole(frame)).kind for frame in frames(peer.effects)]
        assert kinds == [Kind.STEP1]
        assert peer.text == "hello"

    def test_what_it_types_before_it_is_known_to_be_foreign_is_held_too(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        peer.send(protocol.step1(peer.doc.get_state()))
        assert peer.edit(append("!")) == []
        assert peer.send(protocol.step2(peer.doc.get_update(room.doc.get_state()))) == [Judge(peer.member)]
        assert text_of(brought_by(peer)) == "hello!"
        assert text_of(room.doc) == "hello"

    def test_what_it_types_afterwards_is_to_be_judged_too(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        expect_quarantine(peer)
        assert peer.edit(append("!")) == [Judge(peer.member)]
        assert text_of(brought_by(peer)) == "hello!"

    def test_one_that_shares_an_author_is_asked_for_all_it_has(self, room: Room) -> None:
        """Its first answer leaves out what that author wrote: as far as the clock of the room's document reaches."""
        shared = Doc(client_id=5)
        append("....")(shared)
        room.merge(shared.get_update(), "")
        other = Doc(client_id=5)
        append("typed elsewhere")(other)
        peer = Peer(room, doc=other)
        peer.join()
        assert Send(peer.member, protocol.step1(protocol.EMPTY_STATE)) in peer.effects
        assert peer.send(protocol.step2(other.get_update())) == [Judge(peer.member)]
        assert text_of(brought_by(peer)) == "typed elsewhere"

    def test_garbage_is_not_held(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        peer.send(protocol.step1(peer.doc.get_state()))
        with pytest.raises(ProtocolError):
            peer.send(protocol.step2(b"garbage"))
        assert peer.member.held == []
        assert text_of(room.doc) == "hello"

    def test_the_history_counts_and_not_what_was_typed_since(self, room: Room) -> None:
        peer = Peer(room)
        peer.join()
        peer.edit(append(" world"))
        away = peer.doc
        append("!")(away)
        room.leave(peer.member)
        again = Peer(room, doc=away)
        again.join()
        assert text_of(room.doc) == "hello world!"

    def test_it_sees_who_is_here_and_is_seen(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        expect_quarantine(peer)
        assert peer.send(protocol.awareness([protocol.AwarenessEntry(1, 1, "{}")])) == [Show([1], None)]

    def test_one_update_may_stand_for_what_was_judged(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        expect_quarantine(peer)
        state = peer.doc.get_update()
        peer.edit(append("!"))
        peer.member.replace_held(1, state)
        assert text_of(brought_by(peer)) == "hello!"


class TestDoubted:
    """An edit in the document may have been made by a lost part of its history, which a peer may still have."""

    @pytest.fixture
    def old(self, room: Room) -> Doc:
        """Return a document from before the edit, which the room doubts."""
        doc = Doc()
        doc.apply_update(room.doc.get_update())
        taken = Doc(client_id=9)
        taken.apply_update(room.doc.get_update())
        append(" taken")(taken)
        room.merge(taken.get_update(room.doc.get_state()), "")
        room.doubted = [{9: clocks(room.doc)[9]}]
        return doc

    def test_who_does_not_know_it_but_something_else_is_to_be_judged(self, room: Room, old: Doc) -> None:
        append(" typed")(old)
        peer = Peer(room, doc=old)
        peer.join()
        assert Send(peer.member, protocol.step1(protocol.EMPTY_STATE)) in peer.effects
        assert peer.send(protocol.step2(old.get_update())) == [Judge(peer.member)]
        assert text_of(brought_by(peer)) == "hello typed"
        assert text_of(room.doc) == "hello taken"

    def test_who_is_welcome_then_adds_what_is_new_and_no_more(self, room: Room, old: Doc) -> None:
        append(" typed")(old)
        peer = Peer(room, doc=old)
        peer.join()
        peer.send(protocol.step2(old.get_update()))
        (update,) = [effect.update for effect in peer.carry(room.welcome(peer.member)) if isinstance(effect, Persist)]
        assert GENESIS not in decoded(update)
        assert sorted(peer.text.split()) == sorted(text_of(room.doc).split()) == ["hello", "taken", "typed"]

    @pytest.mark.parametrize("known", [False, True])
    def test_who_knows_it_or_nothing_new_comes_in(self, room: Room, old: Doc, known: bool) -> None:
        if known:
            old.apply_update(room.doc.get_update())
            append(" typed")(old)
        peer = Peer(room, doc=old)
        peer.join()
        assert not peer.member.quarantined
        assert peer.text == text_of(room.doc) == "hello taken" + " typed" * known


def decoded(update: bytes) -> dict[int, int]:
    """Return the clocks up to which an update brings something."""
    return protocol.decode_state_vector(get_state(update))


class TestUnknown:
    """Peers that send something before they say what they know."""

    def test_an_update_waits_for_the_proof(self, room: Room) -> None:
        peer = Peer(room)
        peer.join()
        room.leave(peer.member)
        peer = Peer(room, doc=peer.doc)
        (asked,) = peer.edit(append("!"))
        assert asked == Send(peer.member, protocol.step1(protocol.EMPTY_STATE))
        assert text_of(room.doc) == "hello"
        effects = peer.send(protocol.step1(peer.doc.get_state()))
        assert [type(effect) for effect in effects] == [Send, Persist, Broadcast]
        assert text_of(room.doc) == "hello!"

    def test_one_of_another_history_is_found_out(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        peer.edit(append("!"))
        assert peer.send(protocol.step2(peer.doc.get_update(room.doc.get_state()))) == []
        assert peer.send(protocol.step2(peer.doc.get_update())) == [Judge(peer.member)]
        assert text_of(brought_by(peer)) == "hello!"
        assert text_of(room.doc) == "hello"

    def test_who_never_asks_is_known_by_all_that_it_has(self, room: Room) -> None:
        peer = Peer(room)
        peer.join()
        append("!")(peer.doc)
        peer = Peer(room, doc=peer.doc)
        peer.carry(room.join(peer.member))
        (asked,) = peer.send(protocol.step2(peer.doc.get_update(room.doc.get_state())))
        assert asked == Send(peer.member, protocol.step1(protocol.EMPTY_STATE))
        effects = peer.send(protocol.step2(peer.doc.get_update()))
        assert [type(effect) for effect in effects] == [Persist, Broadcast]
        assert text_of(room.doc) == "hello!"

    def test_a_frame_that_is_held_cannot_be_half_taken(self, room: Room) -> None:
        """Garbage behind a good edit: that was not stored, and must not be in the document."""
        peer = Peer(room)
        peer.join()
        peer = Peer(room, doc=peer.doc)
        peer.edit(append("!"))
        peer.send(protocol.update(UNREADABLE))
        with pytest.raises(ProtocolError):
            peer.send(protocol.step1(peer.doc.get_state()))
        assert text_of(room.doc) == "hello"
        assert room.seq == 1


class TestReader:
    """A peer that may only read and has another history: nothing of it is kept or applied."""

    def test_it_is_heard_without_what_it_brings(self, room: Room) -> None:
        rita = Peer(room, doc=foreign("typed elsewhere"), writable=False)
        rita.join()
        for _ in range(3):
            assert rita.edit(append("!")) == [Judge(rita.member)]
        assert Judge(rita.member) in rita.effects
        assert rita.member.held == []
        assert text_of(room.doc) == "hello"

    def test_it_is_let_in_with_an_empty_document(self, room: Room) -> None:
        rita = Peer(room, doc=created_notebook(), writable=False)
        rita.edit(lambda doc: doc.get("state", type=Map).update({"dirty": True}))
        rita.join()
        assert rita.text == "hello"
        assert not any(isinstance(effect, Judge | Persist | Broadcast) for effect in rita.effects)

    @pytest.mark.parametrize("held", ["before", "after"])
    def test_thousands_of_updates_cost_nothing(self, room: Room, held: str) -> None:
        rita = Peer(room, doc=foreign(), writable=False)
        if held == "after":
            rita.join()
        for _ in range(20_000):
            rita.edit(append("x"))
        assert rita.member.held == []
        rita.join()
        assert text_of(room.doc) == "hello"

    def test_what_it_brought_while_it_could_write_is_not_taken(self, room: Room) -> None:
        peer = Peer(room, doc=foreign("typed elsewhere"))
        peer.join()
        peer.member.writable = False
        effects = peer.carry(room.welcome(peer.member))
        assert [type(effect) for effect in effects] == [Send, Refuse]
        assert text_of(room.doc) == "hello"


class TestHeld:
    def test_updates_in_number_have_a_bound(self, room: Room) -> None:
        peer = Peer(room)
        for _ in range(10_000):
            peer.edit(append("x"))
        with pytest.raises(ProtocolError, match="too many updates"):
            peer.edit(append("x"))

    def test_thousands_become_one(self, room: Room) -> None:
        peer = Peer(room)
        peer.join()
        again = Peer(room, doc=peer.doc)
        for _ in range(9_000):
            again.edit(append("x"))
        effects = again.send(protocol.step1(again.doc.get_state()))
        assert [type(effect) for effect in effects] == [Send, Persist, Broadcast]
        assert text_of(room.doc) == "hello" + "x" * 9_000


class TestWelcome:
    def test_who_brings_nothing(self, room: Room) -> None:
        peer = Peer(room)
        peer.join()
        assert peer.text == "hello"

    def test_a_created_notebook_without_cells(self) -> None:
        built = Doc(client_id=GENESIS)
        built["cells"] = Array([Map({"id": "a", "source": Text("1 + 1")})])
        room = Room("name", "lineage")
        room.doc.apply_update(built.get_update())
        room.begin(1, GENESIS)
        peer = Peer(room, doc=created_notebook())
        assert peer.join()[-1] == Judge(peer.member)
        effects = peer.carry(room.welcome(peer.member))
        cells = peer.doc.get("cells", type=Array)
        assert [type(effect) for effect in effects] == [Send, Persist, Broadcast]
        assert [cell["id"] for cell in cells.to_py() or []] == ["a"]
        assert clocks(peer.doc) == clocks(room.doc)

    def test_what_it_typed_before_it_was_known_to_be_welcome_counts(self, room: Room) -> None:
        peer = Peer(room, doc=created_notebook())
        peer.send(protocol.step1(peer.doc.get_state()))
        before = peer.doc.get_update()
        assert peer.edit(append("!")) == []
        assert peer.send(protocol.step2(before)) == [Judge(peer.member)]
        effects = peer.carry(room.welcome(peer.member))
        assert [type(effect) for effect in effects] == [Send, Persist, Broadcast]
        assert sorted(text_of(room.doc)) == sorted("hello!")
        assert peer.member.held == []
        assert [type(effect) for effect in peer.edit(append("?"))] == [Persist, Broadcast]

    def test_a_reader_with_a_created_notebook(self, room: Room) -> None:
        rita = Peer(room, doc=created_notebook(), writable=False)
        rita.join()
        assert rita.member.held == []
        assert rita.text == "hello"

    def test_any_history_where_there_is_none_of_its_own(self) -> None:
        room = Room("free", "lineage")
        first, second = Peer(room, doc=foreign("one ")), Peer(room)
        first.join()
        append("two")(second.doc)
        second.join()
        assert sorted(text_of(room.doc)) == sorted("one two")

    def test_updates_before_the_sync_have_a_limit(self, room: Room) -> None:
        peer = Peer(room, doc=created_notebook())
        peer.send(protocol.step1(peer.doc.get_state()))
        (update,) = observed(peer.doc, append("x"))
        frame = protocol.update(update)
        for _ in range(10_000):
            peer.send(frame)
        with pytest.raises(ProtocolError, match="too many") as refused:
            peer.send(frame)
        assert refused.value.code is CloseCode.NOT_ALLOWED


@given(st.lists(st.sampled_from(["edit", "step1", "step2", "own edit"]), max_size=12))
def test_whatever_a_foreign_peer_does_nothing_of_it_gets_into_the_document(steps: list[str]) -> None:
    room = room_with("hello")
    peer = Peer(room, doc=foreign("FOREIGN"))
    peer.send(protocol.step1(peer.doc.get_state()))
    for step in steps:
        if step == "edit":
            peer.edit(append("MORE"))
        elif step == "step1":
            peer.send(protocol.step1(peer.doc.get_state()))
        elif step == "own edit":
            room.edit(append("."))
        else:
            peer.send(protocol.step2(peer.doc.get_update()))
            room.leave(peer.member)
            peer = Peer(room, doc=peer.doc)
            peer.send(protocol.step1(peer.doc.get_state()))
    assert text_of(room.doc).strip(".") == "hello"
