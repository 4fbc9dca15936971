"""Whose history a peer's document has: what is welcome, what is refused, and what is kept aside in silence."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text

from jupyter_rtc.relay import protocol
from jupyter_rtc.relay.protocol import CloseCode, Kind, ProtocolError
from jupyter_rtc.relay.room import Broadcast, ForeignError, Persist, Refuse, Room, Send
from jupyter_rtc.relay.updates import TaintedError

from .by_hand import GENESIS, Peer, append, clocks, created_notebook, frames, observed, room_with, text_of, whole


@pytest.fixture
def room() -> Room:
    return room_with("hello")


def foreign(text: str = "hello") -> Doc:
    """Return a document with a history of its own: what another server built from the same file."""
    doc = Doc(client_id=GENESIS + 1)
    append(text)(doc)
    return doc


def expect_refusal(peer: Peer) -> ForeignError:
    """Let a peer join; return the error with which it is refused."""
    with pytest.raises(ForeignError) as error:
        peer.join()
    return error.value


class TestForeign:
    def test_content_with_another_history_is_refused(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        error = expect_refusal(peer)
        assert error.code is CloseCode.SESSION == 1003
        assert text_of(room.doc) == "hello"
        assert room.seq == 1

    def test_what_it_brought_is_handed_over(self, room: Room) -> None:
        error = expect_refusal(Peer(room, doc=foreign("kept aside")))
        brought = Doc()
        brought.apply_update(error.update)
        assert text_of(brought) == "kept aside"

    def test_it_is_sent_nothing_that_could_double_its_content(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        expect_refusal(peer)
        kinds = [protocol.decode(whole(frame)).kind for frame in frames(peer.effects)]
        assert kinds == [Kind.STEP1]
        assert peer.text == "hello"

    def test_what_it_types_before_it_is_known_to_be_foreign_reaches_nobody(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        peer.send(protocol.step1(peer.doc.get_state()))
        assert peer.edit(append("!")) == []
        with pytest.raises(ForeignError) as error:
            peer.send(protocol.step2(peer.doc.get_update(room.doc.get_state())))
        brought = Doc()
        brought.apply_update(error.value.update)
        assert text_of(brought) == "hello!"
        assert text_of(room.doc) == "hello"

    def test_a_reader_is_refused_too(self, room: Room) -> None:
        error = expect_refusal(Peer(room, doc=foreign(), writable=False))
        assert error.code is CloseCode.SESSION

    def test_garbage_from_it_changes_nothing(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        peer.send(protocol.step1(peer.doc.get_state()))
        with pytest.raises(ProtocolError) as error:
            peer.send(protocol.step2(b"garbage"))
        assert not isinstance(error.value, TaintedError | ForeignError)
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


class TestComingAgain:
    def test_the_second_time_it_is_kept_aside_in_silence(self, room: Room) -> None:
        # The front end comes back ten times a second until its user has answered the dialog of the first time.
        document = foreign()
        expect_refusal(Peer(room, doc=document))
        again = Peer(room, doc=document)
        assert again.join() == []
        assert again.edit(append("!")) == []
        assert again.send(protocol.step2(document.get_update())) == []
        assert again.member.held == []
        assert text_of(room.doc) == "hello"

    def test_what_was_typed_meanwhile_changes_nothing_about_it(self, room: Room) -> None:
        document = foreign()
        expect_refusal(Peer(room, doc=document))
        append("!")(document)
        assert Peer(room, doc=document).join() == []

    def test_somebody_else_with_the_same_history_is_told_too(self, room: Room) -> None:
        expect_refusal(Peer(room, doc=foreign(), name="ada"))
        expect_refusal(Peer(room, doc=foreign(), name="bob"))

    def test_another_window_with_edits_of_its_own_is_told_too(self, room: Room) -> None:
        expect_refusal(Peer(room, doc=foreign()))
        window = Doc()
        window.apply_update(foreign().get_update())
        append("!")(window)
        expect_refusal(Peer(room, doc=window))

    def test_another_foreign_history_is_refused_again(self, room: Room) -> None:
        expect_refusal(Peer(room, doc=foreign()))
        other = Doc(client_id=GENESIS + 2)
        append("hello")(other)
        expect_refusal(Peer(room, doc=other))

    def test_it_sees_who_is_here_and_is_seen(self, room: Room) -> None:
        document = foreign()
        expect_refusal(Peer(room, doc=document))
        again = Peer(room, doc=document)
        again.join()
        (effect,) = again.send(protocol.awareness([protocol.AwarenessEntry(1, 1, "{}")]))
        assert isinstance(effect, Broadcast)

    def test_a_new_document_of_the_same_person_is_welcome(self, room: Room) -> None:
        peer = Peer(room, doc=foreign())
        expect_refusal(peer)
        reloaded = Peer(room)
        reloaded.join()
        assert reloaded.text == "hello"

    def test_only_the_last_hundred_are_remembered(self, room: Room) -> None:
        documents = []
        for number in range(101):
            document = Doc(client_id=1000 + number)
            append("x")(document)
            documents.append(document)
            expect_refusal(Peer(room, doc=document))
        assert Peer(room, doc=documents[1]).join() == []
        expect_refusal(Peer(room, doc=documents[0]))


class TestWelcome:
    def test_who_brings_nothing(self, room: Room) -> None:
        peer = Peer(room)
        peer.join()
        assert peer.text == "hello"

    def test_a_created_notebook_without_cells(self) -> None:
        built = Doc(client_id=GENESIS)
        built["cells"] = Array([Map({"id": "a", "source": Text("1 + 1")})])
        room = Room("name", "lineage", lambda room, doc: len(doc.get("cells", type=Array)) > 0)
        room.doc.apply_update(built.get_update())
        room.begin(1, GENESIS)
        peer = Peer(room, doc=created_notebook())
        effects = peer.join()
        cells = peer.doc.get("cells", type=Array)
        assert [type(effect) for effect in effects] == [Send, Persist, Broadcast]
        assert [cell["id"] for cell in cells.to_py() or []] == ["a"]
        assert clocks(peer.doc) == clocks(room.doc)

    def test_what_it_typed_before_it_was_known_to_be_welcome_counts(self, room: Room) -> None:
        peer = Peer(room, doc=created_notebook())
        peer.send(protocol.step1(peer.doc.get_state()))
        before = peer.doc.get_update()
        assert peer.edit(append("!")) == []
        effects = peer.send(protocol.step2(before))
        assert [type(effect) for effect in effects] == [Send, Persist, Broadcast, Persist, Broadcast]
        assert sorted(text_of(room.doc)) == sorted("hello!")
        assert peer.member.held == []
        assert [type(effect) for effect in peer.edit(append("?"))] == [Persist, Broadcast]

    def test_a_reader_with_a_created_notebook(self, room: Room) -> None:
        rita = Peer(room, doc=created_notebook(), writable=False)
        effects = rita.join()
        assert [type(effect) for effect in effects] == [Send, Refuse]
        assert rita.text == "hello"

    def test_any_history_where_there_is_none_of_its_own(self) -> None:
        room = Room("free", "lineage", lambda room, doc: False)
        first, second = Peer(room, doc=foreign("one ")), Peer(room)
        first.join()
        append("two")(second.doc)
        second.join()
        assert sorted(text_of(room.doc)) == sorted("one two")

    def test_updates_before_the_sync_have_a_limit(self, room: Room) -> None:
        peer = Peer(room, doc=created_notebook())
        peer.send(protocol.step1(peer.doc.get_state()))
        (update,) = observed(peer.doc, append("x" * (1 << 25)))
        frame = protocol.update(update)
        for _ in range(7):
            peer.send(frame)
        with pytest.raises(ProtocolError, match="too many"):
            peer.send(frame)


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
            with contextlib.suppress(ForeignError):
                peer.send(protocol.step2(peer.doc.get_update()))
            room.leave(peer.member)
            peer = Peer(room, doc=peer.doc)
            peer.send(protocol.step1(peer.doc.get_state()))
    assert text_of(room.doc).strip(".") == "hello"
