"""Frames, held against pycrdt's own functions, against bytes written by hand from the definition, and garbage."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Awareness, Doc, Text

from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.protocol import AwarenessEntry, CloseCode, Kind, Message, ProtocolError

SIZES = [0, 1, 127, 128, 16_383, 16_384, 1 << 20]
JAVASCRIPT_STATE = '{"user":{"name":"Zoë 🦀"}}'
VALID = [
    protocol.step1(b"\x00"),
    protocol.step2(b"\x00\x00"),
    protocol.update(bytes(range(200))),
    protocol.awareness([AwarenessEntry(2**53 - 1, 300, JAVASCRIPT_STATE), AwarenessEntry(7, 2, None)]),
]

READERS = [
    protocol.decode_request,
    protocol.decode_state_vector,
    lambda payload: list(protocol.decode_awareness(payload)),
]


def document(*texts: str) -> Doc:
    """Return a document to which each of `texts` was added by another client."""
    doc = Doc(client_id=1)
    for number, text in enumerate(texts):
        author = Doc(client_id=number + 1)
        author.apply_update(doc.get_update())
        author.get("source", type=Text).insert(0, text)
        doc.apply_update(author.get_update())
    return doc


class TestDecode:
    def test_step_1_of_pycrdt(self) -> None:
        doc = document("hello")
        assert protocol.decode(pycrdt.create_sync_message(doc)) == Message(Kind.STEP1, doc.get_state())

    def test_step_2_with_which_pycrdt_answers(self) -> None:
        doc = document("hello")
        answer = pycrdt.handle_sync_message(protocol.step1(b"\x00")[1:], doc)
        assert answer is not None
        assert protocol.decode(answer) == Message(Kind.STEP2, doc.get_update())

    @pytest.mark.parametrize("size", SIZES)
    def test_update_of_pycrdt(self, size: int) -> None:
        assert protocol.decode(pycrdt.create_update_message(b"u" * size)) == Message(Kind.UPDATE, b"u" * size)

    def test_awareness_of_pycrdt(self) -> None:
        doc = Doc(client_id=300)
        awareness = Awareness(doc)
        awareness.set_local_state({"user": {"name": "Zoë 🦀"}})
        frame = pycrdt.create_awareness_message(awareness.encode_awareness_update([300]))
        kind, payload = protocol.decode(frame)
        (entry,) = protocol.decode_awareness(payload)
        assert kind is Kind.AWARENESS
        assert entry[:2] == (300, 1)
        assert json.loads(entry.state or "") == {"user": {"name": "Zoë 🦀"}}

    def test_awareness_as_javascript_writes_it_in_utf_8(self) -> None:
        text = JAVASCRIPT_STATE.encode()
        states = b"\x02" + b"\x05\x01" + bytes([len(text)]) + text + b"\xac\x02\x03\x04null"
        _, payload = protocol.decode(b"\x01" + bytes([len(states)]) + states)
        assert list(protocol.decode_awareness(payload)) == [
            AwarenessEntry(5, 1, JAVASCRIPT_STATE),
            AwarenessEntry(300, 3, None),
        ]

    def test_request_to_save(self) -> None:
        kind, payload = protocol.decode(b"\x02\x04save\xac\x02")
        assert kind is Kind.RAW
        assert protocol.decode_request(payload) == ("save", 300)

    def test_query_for_awareness(self) -> None:
        assert protocol.decode(b"\x03") == Message(Kind.QUERY_AWARENESS, b"")

    def test_state_vector_of_pycrdt(self) -> None:
        clocks = protocol.decode_state_vector(document("one", "three", "x" * 300).get_state())
        assert clocks == {1: 3, 2: 5, 3: 300}

    def test_empty_state_vector(self) -> None:
        assert protocol.decode_state_vector(protocol.EMPTY_STATE) == {}
        assert Doc().get_state() == protocol.EMPTY_STATE

    @pytest.mark.parametrize("frame", VALID, ids=lambda frame: frame[:2].hex())
    def test_every_truncation_is_refused(self, frame: bytes) -> None:
        for end in range(len(frame)):
            with pytest.raises(ProtocolError):
                protocol.decode(frame[:end])

    @pytest.mark.parametrize("frame", [*VALID, b"\x03"], ids=lambda frame: frame[:2].hex())
    def test_bytes_after_the_message_are_refused(self, frame: bytes) -> None:
        with pytest.raises(ProtocolError, match="after"):
            protocol.decode(frame + b"\x00")

    @pytest.mark.parametrize("frame", [b"\x04", b"\x7d", b"\xac\x02", b"\x00\x03\x00", b"\x00\xac\x02\x00"])
    def test_unknown_types_are_refused(self, frame: bytes) -> None:
        with pytest.raises(ProtocolError, match="unknown") as refused:
            protocol.decode(frame)
        assert refused.value.code == CloseCode.MALFORMED == 1007

    @pytest.mark.parametrize(
        "payload",
        [
            b"\x02\x05\x01\x02{}",  # one state is missing
            b"\x01\x05\x01\x02{}\x00",  # a byte too many
            b"\x01\x05\x01\x03{}",  # a text longer than the rest
            b"\x01\x05\x01\x01\xff",  # a text that is not UTF-8
            b"\x01" + protocol.write_uint(2**53) + b"\x01\x02{}",  # a client id no browser can hold
            b"\x01\x05" + protocol.write_uint(2**53) + b"\x02{}",  # such a clock
            b"\xff\xff\xff\xff\x0f",  # a number of states without states
        ],
    )
    def test_malformed_awareness_is_refused(self, payload: bytes) -> None:
        with pytest.raises(ProtocolError):
            list(protocol.decode_awareness(payload))

    @pytest.mark.parametrize("payload", [b"", b"\x04save", b"\x05save\x00", b"\x04save\x00\x00", b"\x01\xff\x00"])
    def test_malformed_request_is_refused(self, payload: bytes) -> None:
        with pytest.raises(ProtocolError):
            protocol.decode_request(payload)

    @pytest.mark.parametrize("payload", [b"", b"\x01\x05", b"\x00\x00", b"\xff\xff\xff\xff\x0f"])
    def test_malformed_state_vector_is_refused(self, payload: bytes) -> None:
        with pytest.raises(ProtocolError):
            protocol.decode_state_vector(payload)


class TestEncode:
    @pytest.mark.parametrize("size", SIZES)
    def test_sync_frames_are_those_of_pycrdt(self, size: int) -> None:
        payload = b"p" * size
        update = pycrdt.create_update_message(payload)
        assert protocol.update(payload) == update
        assert protocol.step1(payload) == b"\x00\x00" + update[2:]
        assert protocol.step2(payload) == b"\x00\x01" + update[2:]

    def test_step_1_is_that_of_pycrdt(self) -> None:
        doc = document("hello")
        assert protocol.step1(doc.get_state()) == pycrdt.create_sync_message(doc)

    def test_pycrdt_answers_our_step_1_with_our_step_2(self) -> None:
        doc = document("hello")
        answer = pycrdt.handle_sync_message(protocol.step1(b"\x00")[1:], doc)
        assert answer == protocol.step2(doc.get_update())

    def test_pycrdt_takes_our_step_2(self) -> None:
        ours, theirs = document("ours"), Doc()
        pycrdt.handle_sync_message(protocol.step2(ours.get_update())[1:], theirs)
        assert str(theirs.get("source", type=Text)) == "ours"

    def test_pycrdt_takes_our_awareness(self) -> None:
        peer = Awareness(Doc(client_id=1))
        frame = protocol.awareness([AwarenessEntry(2**53 - 1, 300, JAVASCRIPT_STATE), AwarenessEntry(7, 2, None)])
        peer.apply_awareness_update(pycrdt.read_message(frame[1:]), "test")
        assert peer.states[2**53 - 1] == {"user": {"name": "Zoë 🦀"}}
        assert peer.meta[2**53 - 1]["clock"] == 300
        assert 7 not in peer.states

    def test_raw_is_a_text_of_json_after_the_type(self) -> None:
        frame = protocol.raw({"type": "save", "responseTo": 3, "status": "é"})
        text = pycrdt.read_message(frame[1:])
        assert frame[0] == 2
        assert json.loads(text) == {"type": "save", "responseTo": 3, "status": "é"}

    def test_raw_is_never_taken_for_a_denied_permission(self) -> None:
        # y-websocket reads the number after the type, and takes 0 for "permission denied".
        assert protocol.raw({})[1] != 0


class TestNumbers:
    @pytest.mark.parametrize(
        ("number", "encoded"),
        [
            (0, "00"),
            (127, "7f"),
            (128, "8001"),
            (300, "ac02"),
            (16_383, "ff7f"),
            (16_384, "808001"),
            (2**53 - 1, "ffffffffffffff0f"),
        ],
    )
    def test_as_lib0_defines_them(self, number: int, encoded: str) -> None:
        assert protocol.write_uint(number).hex() == encoded
        assert protocol.read_uint(b"?" + bytes.fromhex(encoded) + b"?", 1) == (number, 1 + len(encoded) // 2)

    @given(st.integers(0, 2**63 - 1))
    def test_come_back(self, number: int) -> None:
        encoded = protocol.write_uint(number)
        assert protocol.read_uint(encoded, 0) == (number, len(encoded))

    def test_too_long_is_refused(self) -> None:
        with pytest.raises(ProtocolError, match="too long"):
            protocol.read_uint(protocol.write_uint(2**63), 0)

    def test_a_number_that_never_ends_costs_nothing(self) -> None:
        begun = time.process_time()
        with pytest.raises(ProtocolError, match="too long"):
            protocol.decode(b"\xff" * (1 << 24))
        assert time.process_time() - begun < 1


class TestGarbage:
    @given(st.binary(max_size=64))
    def test_any_frame_is_a_message_or_a_protocol_error(self, frame: bytes) -> None:
        try:
            message = protocol.decode(frame)
        except ProtocolError:
            return
        assert isinstance(message.kind, Kind)
        assert message.payload in frame

    @given(st.sampled_from(VALID), st.integers(0, 255), st.data())
    def test_a_valid_frame_with_one_byte_changed(self, frame: bytes, byte: int, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(frame) - 1))
        try:
            kind, payload = protocol.decode(frame[:at] + bytes([byte]) + frame[at + 1 :])
            entries = list(protocol.decode_awareness(payload)) if kind is Kind.AWARENESS else []
        except ProtocolError:
            return
        assert all(entry.client <= protocol.MAX_CLIENT_ID for entry in entries)

    @pytest.mark.parametrize("read", READERS)
    @given(payload=st.binary(max_size=64))
    def test_any_payload_is_read_or_a_protocol_error(self, read: Callable[[bytes], object], payload: bytes) -> None:
        try:
            content = read(payload)
        except ProtocolError:
            return
        assert content is not None

    @given(
        st.lists(
            st.builds(
                AwarenessEntry,
                st.integers(0, 2**53 - 1),
                st.integers(0, 2**53 - 1),
                st.none() | st.text(st.characters(codec="utf-8")).filter(lambda text: text != "null"),
            )
        )
    )
    def test_awareness_comes_back(self, entries: list[AwarenessEntry]) -> None:
        kind, payload = protocol.decode(protocol.awareness(entries))
        assert kind is Kind.AWARENESS
        assert list(protocol.decode_awareness(payload)) == entries


class TestCloseReason:
    @pytest.mark.parametrize("letter", ["a", "é", "€", "🦀"])
    @pytest.mark.parametrize("shift", range(5))
    def test_is_cut_between_characters(self, letter: str, shift: int) -> None:
        reason = "-" * shift + letter * 200
        clipped = protocol.clip_reason(reason)
        size = len(clipped.encode())
        assert reason.startswith(clipped)
        assert 123 - len(letter.encode()) < size <= 123

    def test_is_left_alone_where_it_fits(self) -> None:
        reason = "é" * 61 + "a"
        assert protocol.clip_reason(reason) == reason

    def test_that_utf_8_cannot_say_is_readable_still(self) -> None:
        assert protocol.clip_reason("no such room: \udcff.ipynb") == "no such room: ?.ipynb"

    def test_of_an_error_is_cut_too(self) -> None:
        error = ProtocolError("é" * 100)
        assert len(error.reason.encode()) == 122
        assert error.code is CloseCode.MALFORMED
