"""Characters that JavaScript counts as two: whatever a client does to half of one, everybody has the same text then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pycrdt import Doc, Text

from jupyter_rtc.relay import StoredRoom
from jupyter_rtc.relay.effects import Broadcast, Persist
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.merging import merged
from jupyter_rtc.wire.protocol import NO_CHANGE, ProtocolError, write_uint
from jupyter_rtc.wire.surrogates import Pairs, cuts, halved, has_pairs, pairs, whole
from jupyter_rtc.wire.updates import document_of

from .by_hand import GENESIS, Peer, append, clocks, frames, observed, room_with, text_of

BEFORE = "é 😂 and 👩‍👩‍👧 end"
LAUGH = 3
"""The clock of the second half of the first emoji; the genesis wrote the text from clock 0 on."""


def inserted(left: int, right: int, text: str, clock: int = 0) -> bytes:
    """Return what client 5 types between two units of UTF-16 of the text."""
    ids = b"".join(map(write_uint, (5, clock))), b"".join(map(write_uint, (GENESIS, left, GENESIS, right)))
    return b"\x01\x01" + ids[0] + b"\xc4" + ids[1] + write_uint(len(text.encode())) + text.encode() + b"\x00"


def deleted(start: int, length: int = 1) -> bytes:
    """Return the deletion of units of UTF-16."""
    return b"\x00\x01" + b"".join(map(write_uint, (GENESIS, 1, start, length)))


def both(insertion: bytes, deletion: bytes) -> bytes:
    """Return an update with an insertion and a deletion."""
    return insertion[:-1] + deletion[1:]


CASES = {
    "insert between": (inserted(LAUGH - 1, LAUGH, "X"), "é X and 👩‍👩‍👧 end"),
    "delete the first half": (deleted(LAUGH - 1), "é  and 👩‍👩‍👧 end"),
    "delete the second half": (deleted(LAUGH), "é  and 👩‍👩‍👧 end"),
    "delete from the middle of one to that of another": (deleted(LAUGH, 7), "é ‍👩‍👧 end"),
    "exchange the second half": (both(inserted(LAUGH - 1, LAUGH, "\ufffd"), deleted(LAUGH)), "é \ufffd and 👩‍👩‍👧 end"),
    "replace one half after the other": (
        both(inserted(LAUGH, LAUGH + 1, "b"), deleted(LAUGH - 1)),
        "é b and 👩‍👩‍👧 end",
    ),
}


@pytest.mark.parametrize("send", [protocol.update, protocol.step2])
@pytest.mark.parametrize("case", CASES)
def test_everybody_has_the_same_text(case: str, send: Callable[[bytes], bytes]) -> None:
    """The live document, another peer, a newcomer, and the document after a restart, from its log or a snapshot."""
    update, wanted = CASES[case]
    room = room_with(BEFORE)
    ada, bob, newcomer = Peer(room), Peer(room), Peer(room)
    ada.join()
    bob.join()
    room.full_state()
    stored = room.doc.get_update()
    effects = [*ada.send(send(update)), *room.edit(append(" later"))]
    for frame in frames(effects, Broadcast):
        bob.hear(frame)
    newcomer.join()
    log = tuple((effect.seq, effect.update) for effect in effects if isinstance(effect, Persist))
    kept = StoredRoom("lineage", GENESIS, stored, 1, log, None, None)
    folded = document_of([kept.state(kept.last)])
    assert {text_of(doc) for doc in (room.doc, bob.doc, newcomer.doc, kept.document(), folded)} == {wanted + " later"}
    for doc in (bob.doc, newcomer.doc, kept.document(), folded):
        assert clocks(doc) == clocks(room.doc)
        assert merged([doc.get_update()]) == merged([room.doc.get_update()])


@pytest.mark.parametrize("case", CASES)
def test_a_fork_brings_what_was_cut_in_it(case: str) -> None:
    update, wanted = CASES[case]
    root, fork = room_with(BEFORE), room_with(BEFORE)
    ada = Peer(fork)
    ada.join()
    ada.send(protocol.update(update))
    effects = root.merge(fork.doc.get_update(root.doc.get_state()), "ada")
    assert text_of(root.doc) == wanted
    newcomer = Peer(root)
    newcomer.join()
    assert newcomer.text == wanted
    assert effects


def test_what_cannot_be_read_deletes_no_character() -> None:
    room = room_with(BEFORE)
    ada = Peer(room)
    ada.join()
    unreadable = both(CASES["insert between"][0], b"\x00\x01")  # the deletions end too early
    for update in (unreadable, CASES["insert between"][0][:-4] + b"\x01\xff\x00"):
        with pytest.raises(ProtocolError):
            ada.send(protocol.update(update))
        assert text_of(room.doc) == BEFORE
        assert room.seq == 1


@pytest.mark.parametrize("number", range(2))
def test_a_cut_that_comes_before_the_character(number: int) -> None:
    """It waits for it; by then the character is halved, as Yjs has it."""
    doc: Doc[Any] = Doc(client_id=9)
    (emoji,) = observed(doc, append("x😂y"))
    cut = b"\x01\x01\x05\x00\xc4\x09\x01\x09\x02\x01-\x00"
    room = room_with("hello")
    ada, newcomer = Peer(room), Peer(room)
    ada.join()
    made = [cut, emoji] if number else [merged([cut, emoji])]
    for update in made:
        ada.send(protocol.update(update))
    newcomer.join()
    assert "x\ufffd-\ufffdy" in text_of(room.doc)
    assert newcomer.text == text_of(room.doc)
    assert text_of(document_of(made)) == "x\ufffd-\ufffdy"


def test_a_document_without_such_characters_is_not_walked_over() -> None:
    assert not has_pairs(room_with("é漢字" * 1000).doc.get_update())
    assert not Pairs(room_with("é漢字" * 1000).doc.get_update())
    update = [room_with("é漢字").doc.get_update(), deleted(1)]
    assert whole(update) is update


@pytest.mark.parametrize("text", ["😂", "a😂", "😂a", "a😂é👩‍👩‍👧z", "🦀" * 100, "a" * (1 << 20) + "😂"])
def test_where_such_characters_are(text: str) -> None:
    built = room_with(text).doc.get_update()
    units = text.encode("utf-16-le")
    seconds = [at for at in range(len(units) // 2) if 0xDC <= units[2 * at + 1] <= 0xDF]
    assert list(pairs(built)) == [(GENESIS, at) for at in seconds]
    assert all((GENESIS, at) in Pairs(built) for at in seconds)
    assert (GENESIS, seconds[0] - 1) not in Pairs(built)
    first = document_of([halved(built, {(GENESIS, seconds[0])})])
    assert text_of(first).count("\ufffd") == 2
    assert clocks(first) == clocks(document_of([built]))


def test_what_an_update_cuts() -> None:
    assert set(cuts(inserted(LAUGH - 1, LAUGH, "X"))) == {(GENESIS, LAUGH)}
    assert set(cuts(deleted(LAUGH, 4))) == {(GENESIS, LAUGH), (GENESIS, LAUGH + 4)}
    assert set(cuts(NO_CHANGE)) == set()


def test_people_who_type_around_emoji_cut_nothing() -> None:
    room = room_with(BEFORE)
    ada = Peer(room)
    ada.join()
    for at in (len(BEFORE.encode()) - 4, 7, 3, 0):
        effects = ada.edit(lambda doc, at=at: doc.get("source", type=Text).insert(at, "😀"))
        assert [type(effect) for effect in effects] == [Persist, Broadcast]
    effects = ada.edit(lambda doc: doc.get("source", type=Text).__delitem__(slice(0, 4)))
    assert [type(effect) for effect in effects] == [Persist, Broadcast]
    assert text_of(room.doc) == ada.text
