"""What is read of an update: whether it would end the process or take all its memory, and whether it was typed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from typing import Any

import pycrdt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.protocol import ProtocolError
from jupyter_rtc.wire.structure import only_sets_values, refuse_hazards, without_deletions
from jupyter_rtc.wire.updates import TaintedError
from jupyter_rtc.wire.values import DEEPEST

from .by_hand import Peer, observed, room_with

KNOWN = (
    None,
    "an item of no length",
    "values of a kind that is out of use",
    "an item that builds on a later one",
    "an item inside something that holds no items",
    "an item of an unknown kind",
    "a client that is named twice",
    "a number that no client counts to",
    "bytes after the update",
)
"""Why an update is refused that pycrdt can read."""

FILLER = "uv" * DEEPEST
"""Enough of the two suspicious letters that an update is looked at."""


def complaint(update: bytes) -> str | None:
    """Return why an update is refused; None if it is let through."""
    try:
        refuse_hazards(update)
    except ProtocolError as error:
        return error.reason
    return None


def plain(value: bytes) -> bytes:
    """Return an update of client 5: one item of the root array ``a``, a value that is encoded already."""
    return b"\x01\x01\x05\x00\x08\x01\x01a\x01" + value + b"\x00"


def update_of(value: Any) -> bytes:
    """Return the update that appends a value to an array."""
    (update,) = observed(Doc(client_id=5), lambda doc: doc.get("a", type=Array).append(value))
    return update


def nested(depth: int, inner: Any = None) -> Any:
    """Return arrays and maps in each other."""
    for level in range(depth):
        inner = {"key": inner} if level % 2 else [inner]
    return inner


def every_kind_of_content() -> list[bytes]:
    """Return updates with everything a document can hold."""
    doc = Doc(client_id=7)

    def edit(doc: Doc[Any]) -> None:
        text = doc.get("text", type=Text)
        text += FILLER
        text.format(1, 3, {"bold": True})
        text.insert_embed(2, {"image": [1, {"a": 2}]})
        doc["xml"] = XmlFragment([XmlElement("p", {"k": "v"}, [XmlText("hi")])])
        doc["map"] = Map({"doc": Doc(), "bytes": b"abc", "big": 2**63 - 1, "in": Map({"in": Text("x")})})
        items = doc.get("array", type=Array)
        items.extend([1, -5, 2.5, 1e300, None, True, False, FILLER, b"b" * 300, {"k": [{"z": {}}]}, 2**40, -(2**50)])
        del items[3]

    updates = observed(doc, edit)
    updates += observed(doc, lambda doc: doc.get("array", type=Array).insert(2, [[[FILLER]]]))
    updates += observed(doc, lambda doc: doc.get("text", type=Text).insert(9, FILLER))
    return [*updates, doc.get_update()]


@pytest.mark.parametrize("start", [b"u\x01", b"v\x01\x01k", b"u\x02\x7e", b"v\x02\x01a\x7e\x01b", b"u\x03w\x01xu\x00"])
def test_values_in_each_other_have_a_limit(start: bytes) -> None:
    depth = DEEPEST * 3
    assert complaint(plain(start * depth + b"\x7e" * depth * 3)) == "values nested too deeply"


def test_the_limit_is_far_beyond_what_documents_hold() -> None:
    assert complaint(update_of([FILLER, nested(DEEPEST - 3)])) is None
    assert complaint(update_of([FILLER, nested(DEEPEST)])) == "values nested too deeply"


@pytest.mark.parametrize("update", every_kind_of_content(), ids=len)
def test_every_kind_of_content_is_let_through(update: bytes) -> None:
    assert complaint(update) is None
    assert update.count(b"u") + update.count(b"v") > DEEPEST


def test_depth_behind_every_kind_of_content_is_found() -> None:
    doc = Doc(client_id=7)
    for update in every_kind_of_content():
        doc.apply_update(update)
    doc.get("array", type=Array).append(nested(DEEPEST + 1))
    assert complaint(doc.get_update()) == "values nested too deeply"


def test_many_values_are_no_depth() -> None:
    outputs = [{"output_type": "stream", "text": ["value under value\n"] * 20}] * 5_000
    update = update_of(outputs)
    begun = time.process_time()
    assert complaint(update) is None
    assert time.process_time() - begun < 1


def test_the_servers_own_merge_may_hold_any_number_of_values() -> None:
    """Five plots of a million numbers, which a job writes into a file again."""
    update = plain(b"u" + protocol.write_uint(5_000_000) + b"\x7d\x01" * 5_000_000)
    assert complaint(update) == "too many values in one update"
    room = room_with("hello")
    newcomer = Peer(room)
    assert room.merge(update, "")
    newcomer.join()
    assert newcomer.doc.get("a", type=Array)[0][-1] == 1


def test_countless_values_are_refused_in_time() -> None:
    countless = b"u" + protocol.write_uint(1 << 23) + b"u\x00" * (1 << 23)
    assert complaint(plain(countless)) == "too many values in one update"


def item(info: int, content: bytes) -> bytes:
    """Return an update with one item of client 9, in the type with the name ``q``."""
    return b"\x01\x01\x09\x00" + bytes([info]) + (b"" if info in (0, 10) else b"\x01\x01q") + content + b"\x00"


POISON = {
    "JSON": (item(2, b"\x01\x011\x012"), "out of use"),
    "empty JSON": (item(2, b"\x00\x011"), "out of use"),
    "nothing deleted": (item(1, b"\x00"), "no length"),
    "no text": (item(4, b"\x00"), "no length"),
    "no values": (item(8, b"\x00"), "no length"),
    "no collected items": (item(0, b"\x00"), "no length"),
    "no gap": (item(10, b"\x00"), "no length"),
}


def test_what_yrs_takes_in_and_cannot_write() -> None:
    """Or else it could be let through."""
    doc: Doc[Any] = Doc()
    doc.apply_update(POISON["JSON"][0])
    with pytest.raises(ValueError, match="decode"):
        Doc().apply_update(doc.get_update())


@pytest.mark.parametrize("name", POISON)
def test_what_would_end_a_document_is_refused(name: str) -> None:
    update, why = POISON[name]
    assert why in str(complaint(update))
    room = room_with("hello")
    for writable in (True, False):
        for frame in (protocol.update, protocol.step2):
            peer = Peer(room, writable=writable)
            peer.join()
            with pytest.raises(ProtocolError) as refused:
                peer.send(frame(update))
            assert not isinstance(refused.value, TaintedError)
    newcomer = Peer(room)
    newcomer.join()
    assert newcomer.text == "hello"


NEAR_2_53 = bytes.fromhex("0101ffffffffffffff0f0200ffffffffffffff0f00ffffffffffffff0f01017800")
WAITS_FOR_EVER = bytes.fromhex("0101070200ffffffff0f00")
LAST = protocol.write_uint(protocol.MAX_CLOCK)


def block(clock: bytes, content: bytes, client: bytes = b"\x09") -> bytes:
    """Return an update with one block."""
    return b"\x01\x01" + client + clock + content + b"\x00"


def text_after(client: int, clock: int, left: int) -> bytes:
    """Return a block with one letter after the item `left` of the same client."""
    return b"".join(
        [
            b"\x01",
            *map(protocol.write_uint, (client, clock)),
            b"\x84",
            *map(protocol.write_uint, (client, left)),
            b"\x01x",
        ]
    )


COUNTS = {
    "lengths near 2^53": NEAR_2_53,
    "an item that waits, beyond 32 bits": WAITS_FOR_EVER,
    "a clock": block(protocol.write_uint(1 << 31), b"\x00\x01"),
    "a length": block(b"\x00", b"\x00" + protocol.write_uint(1 << 31)),
    "a clock and a length together": block(LAST, b"\x00\x01"),
    "two lengths together": b"\x01\x02\x09\x00\x00" + LAST + b"\x00\x01\x00",
    "a gap": block(b"\x01", b"\x0a" + LAST),
    "what was deleted": block(b"\x01", b"\x01\x01\x01q" + LAST),
    "a deletion": b"\x00\x01\x09\x01" + protocol.write_uint(1 << 31) + b"\x01",
    "a deletion to its end": b"\x00\x01\x09\x01" + LAST + b"\x01",
    "the clock of a neighbour": block(b"\x00", b"\x84\x08" + protocol.write_uint(1 << 31) + b"\x01x"),
    "a client": block(b"\x00", b"\x04\x01\x01q\x01x", client=protocol.write_uint(1 << 53)),
}
ORDER = {
    "a client twice": b"\x02" + b"\x01\x09\x00\x04\x01\x01q\x01x" * 2 + b"\x00",
    "a client twice, elsewhere": b"\x02" + text_after(9, 1, 0) + text_after(9, 5, 4) + b"\x00",
    "next to itself": b"\x01" + text_after(9, 5, 5) + b"\x00",
    "next to a later one": b"\x01" + text_after(9, 5, 700) + b"\x00",
    "next to a later one, in five bytes": b"\x01" + text_after(9, 5, 1 << 30) + b"\x00",
    "before a later one": block(b"\x05", b"\x44\x09\x06\x01x"),
    "inside a later one": block(b"\x05", b"\x04\x00\x09\x06\x01x"),
    "inside a text": b"\x01\x02\x09\x00\x04\x01\x01q\x01x\x04\x00\x09\x00\x01y\x00",
    "inside a value": b"\x01\x02\x09\x00\x08\x01\x01q\x01\x7e\x28\x00\x09\x00\x01k\x01\x7e\x00",
    "of a kind that Yjs does not have": item(0x14, b"\x01x"),
}


@pytest.mark.parametrize("update", [*COUNTS.values(), *ORDER.values()], ids=[*COUNTS, *ORDER])
def test_what_no_client_writes_is_refused_and_changes_nothing(update: bytes) -> None:
    assert complaint(update)
    room = room_with("hello")
    state, seq = room.doc.get_update(), room.seq
    for writable in (True, False):
        for frame in (protocol.update, protocol.step2):
            peer = Peer(room, writable=writable)
            peer.join()
            with pytest.raises(ProtocolError) as refused:
                peer.send(frame(update))
            assert not isinstance(refused.value, TaintedError)
    assert (room.doc.get_update(), room.seq) == (state, seq)


@pytest.mark.parametrize("clock", [1 << 31, 1 << 32, (1 << 53) - 1, 1 << 62])
def test_a_state_vector_that_no_client_has_is_refused(clock: int) -> None:
    peer = Peer(room_with("hello"))
    peer.join()
    with pytest.raises(ProtocolError):
        peer.send(protocol.step1(b"\x01\x4d" + protocol.write_uint(clock)))


def test_a_state_vector_that_the_engine_panics_on_is_refused() -> None:
    """Should there be such a pair of a document and a state vector: pycrdt's PanicException is no Exception."""
    room = room_with("hello")
    room.doc.apply_update(NEAR_2_53)
    peer = Peer(room)
    room.join(peer.member)
    with pytest.raises(ProtocolError) as refused:
        peer.send(protocol.step1(b"\x01\x4d\x05"))
    assert not isinstance(refused.value, TaintedError)


def typed_apart(count: int, content: bytes, info: int) -> bytes:
    """Return what somebody typed as it is when its updates were merged without a document: each letter by itself."""
    first = bytes([info]) + b"\x01\x06source" + content
    rest = (bytes([info | 0x80, 5]) + protocol.write_uint(clock) + content for clock in range(count - 1))
    return b"".join([b"\x01", protocol.write_uint(count), b"\x05\x00", first, *rest, b"\x00"])


SCATTERED = {"text": typed_apart(150_000, b"\x01x", 4), "values": typed_apart(50_000, b"\x01\x7e", 8)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCATTERED)
def test_many_short_blocks_take_no_memory(kind: str) -> None:
    """yrs takes the square of their number: 9 GB for 20,000 values in 120 kB."""
    code = """
import resource, sys
from relay.by_hand import Peer, room_with, text_of
from relay.test_structure import SCATTERED
from jupyter_rtc.relay import Room
from jupyter_rtc.wire import protocol
from pycrdt import Array
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for frame in (protocol.update, protocol.step2):
    room = Room("free", "lineage")
    writer, reader = Peer(room), Peer(room)
    writer.join()
    writer.send(frame(SCATTERED[sys.argv[1]]))
    reader.join()
    print(len(text_of(reader.doc)) if sys.argv[1] == "text" else len(reader.doc.get("source", type=Array)))
    assert reader.doc.get_state() == room.doc.get_state()
"""
    run = [sys.executable, "-c", code, kind]
    ended = subprocess.run(
        run,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.split() == ["150000" if kind == "text" else "50000"] * 2


def test_what_people_do_has_a_length() -> None:
    doc: Doc[Any] = Doc()
    made: list[bytes] = []
    doc.observe(lambda event: made.append(event.update))
    doc["text"], doc["list"], doc["map"] = text, items, keys = Text(""), Array([]), Map({})
    text.insert(0, "")
    text.insert(0, "🦀é" * 100)
    text.insert(3, "")
    text += ""
    del text[0:4]
    del text[2:2]
    items.extend([])
    items.extend(["", {}, [], None, b"", Text(""), Map({}), Array([])])
    del items[0:0]
    keys["empty"] = ""
    keys["empty"] = Text("")
    keys["again"] = keys["empty"].to_py()
    assert [complaint(update) for update in [*made, doc.get_update()]] == [None] * (len(made) + 1)


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False), st.data())
def test_what_the_engine_can_read_is_let_through(chance: random.Random, data: st.DataObject) -> None:
    update = bytearray(data.draw(st.sampled_from(every_kind_of_content())))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(1, len(update) if chance.random() < 0.3 else 60)
        update[at] = chance.choice([chance.randrange(256), chance.randrange(12), chance.randrange(116, 128)])
    changed = bytes(update)
    try:
        pycrdt.get_state(changed)
    except ValueError:
        return
    assert complaint(changed) in KNOWN


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("frame", [protocol.update, protocol.step2])
def test_a_room_refuses_them_from_everybody(frame: Any, writable: bool) -> None:
    peer = Peer(room_with("hello"), writable=writable)
    peer.join()
    with pytest.raises(ProtocolError, match="deep") as refused:
        peer.send(frame(update_of([FILLER, nested(DEEPEST)])))
    assert not isinstance(refused.value, TaintedError)


def test_the_process_survives_them() -> None:
    code = """
from jupyter_rtc.relay import Member, Room
from jupyter_rtc.wire import Identity, protocol
room = Room("name", "lineage")
room.genesis = 77
update = bytes.fromhex("0101050008010161") + b"\\x01" + b"u\\x01" * 1_000_000 + b"\\x7e\\x00"
for writable, aside in ((True, False), (False, False), (True, True)):
    member = Member(Identity("bad", {}), writable)
    if aside:
        room.receive(member, protocol.step1(bytes.fromhex("010501")), 0)
    else:
        room.receive(member, protocol.step1(b"\\0"), 0)
    for frame in (protocol.update(update), protocol.step2(update)):
        try:
            room.receive(member, frame, 0)
        except protocol.ProtocolError:
            print("refused")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["refused"] * 6


def notebook() -> Doc[Any]:
    """Return a document with a cell, and with what front ends write into one."""
    doc: Doc[Any] = Doc(client_id=7)
    doc["cells"] = Array([Map({"source": Text("x = 1"), "execution_count": None})])
    doc["meta"] = Map({"metadata": Map({"language_info": {"name": "python"}})})
    doc["state"] = Map({"dirty": False})
    return doc


def set_values(doc: Doc[Any]) -> None:
    """Write what a front end writes by itself."""
    doc["state"]["document_id"] = "json:notebook:1"
    doc["state"]["dirty"] = True
    doc["meta"]["metadata"]["language_info"] = {"name": "python", "version": "3.13", "mode": {"name": "ipython"}}
    doc["meta"]["metadata"]["kernelspec"] = {"name": "python3"}
    doc["cells"][0]["execution_count"] = 3


@pytest.mark.parametrize(
    "typed",
    [
        lambda doc: doc["cells"][0]["source"].insert(0, "y"),
        lambda doc: doc["cells"][0]["source"].__delitem__(slice(0, 2)),
        lambda doc: doc["cells"].append(Map({"source": Text()})),
        lambda doc: doc["cells"].__delitem__(0),
    ],
    ids=["text", "less text", "a cell", "no cell"],
)
def test_what_is_typed_is_told_from_what_front_ends_write(typed: Any) -> None:
    written, edited, both = (
        observed(notebook(), edit)[0]
        for edit in (set_values, typed, lambda doc: (set_values(doc), doc["state"].update({"dirty": None}), typed(doc)))
    )
    assert only_sets_values(written)
    assert not only_sets_values(edited)
    assert not only_sets_values(both)


def test_an_update_without_its_deletions() -> None:
    doc = notebook()
    (update,) = observed(doc, lambda doc: (doc["cells"][0]["source"].insert(5, "2"), doc["cells"][0]["source"].clear()))
    assert update[-1:] != b"\x00"
    kept = without_deletions(update)
    assert kept[-1:] == b"\x00"
    assert update.startswith(kept[:-1])
    assert pycrdt.get_state(kept) == pycrdt.get_state(update)


def test_what_is_no_update_says_so() -> None:
    for read in (only_sets_values, without_deletions):
        with pytest.raises(ProtocolError):
            read(b"\x01\x05\x01\x00\x84")
