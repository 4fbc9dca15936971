"""WebSocket messages, made and read as another implementation reads and makes them."""

from __future__ import annotations

import random

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Awareness, Doc
from tornado.util import _websocket_mask
from websockets.frames import Frame, Opcode

from jupyter_rtc.wire import protocol, websocket
from jupyter_rtc.wire.protocol import CloseCode
from jupyter_rtc.wire.websocket import MessageReader, message


def test_keepalive_changes_nothing() -> None:
    peer = Awareness(Doc(client_id=1))
    before = dict(peer.states)
    frame = protocol.awareness([])
    peer.apply_awareness_update(pycrdt.read_message(frame[1:]), "test")
    assert peer.states == before


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20])
def test_websocket_frame_is_that_of_another_implementation(size: int) -> None:
    payload = b"f" * size
    assert message(payload) == Frame(Opcode.BINARY, payload).serialize(mask=False)


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (125, "827d"),
        (126, "827e007e"),
        (65_535, "827effff"),
        (65_536, "827f0000000000010000"),
        (2**33, "827f0000000200000000"),
    ],
)
def test_websocket_header_has_the_three_lengths_of_rfc_6455(size: int, header: str) -> None:
    assert websocket.header(size).hex() == header


def packet(opcode: int, payload: bytes, *, final: bool = True, mask: bool = True) -> bytes:
    """Return a packet as the other implementation makes it."""
    return Frame(Opcode(opcode), payload, fin=final).serialize(mask=mask)


def read(*chunks: bytes) -> list[tuple[int, bytes]]:
    """Return the messages that a reader finds in what comes in these chunks."""
    reader = MessageReader(1 << 20, _websocket_mask)
    return [found for chunk in chunks for found in reader.feed(chunk)]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from([2, 9, 10]), st.one_of(st.binary(max_size=125), st.just(b"x" * 66_000))),
            st.tuples(st.just(1), st.text(max_size=60).map(str.encode)),
        ),
        max_size=6,
    ),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_messages_come_out_whole_however_they_are_cut(
    messages: list[tuple[int, bytes]], parts: int, chance: random.Random
) -> None:
    stream = b""
    for opcode, payload in messages:
        if opcode > 2:
            stream += packet(opcode, payload[:125])
            continue
        cuts = sorted(chance.randint(0, len(payload)) for _ in range(parts - 1))
        for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(payload)], strict=True)):
            stream += packet(opcode if number == 0 else 0, payload[start:stop], final=number == parts - 1)
            stream += packet(9, b"between")
    cuts = sorted(chance.randint(0, len(stream)) for _ in range(chance.randint(0, 20)))
    chunks = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found = [one for one in read(*chunks) if one != (9, b"between")]
    assert found == [(opcode, payload if opcode < 3 else payload[:125]) for opcode, payload in messages]


def test_byte_by_byte() -> None:
    stream = packet(2, b"one") + packet(2, b"") + packet(2, b"x" * 300)
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == [(2, b"one"), (2, b""), (2, b"x" * 300)]


def test_how_much_is_missing_is_known() -> None:
    reader = MessageReader(1 << 20, _websocket_mask)
    stream = packet(2, b"x" * 100_000)
    assert reader.feed(stream[:60_000]) == []
    assert reader.missing == len(stream) - 60_000
    assert reader.feed(stream[60_000:]) == [(2, b"x" * 100_000)]
    assert reader.missing == 0


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe9bye \xc3\xa9"])
def test_a_close_with_and_without_a_reason(payload: bytes) -> None:
    assert read(packet(8, payload)) == [(8, payload)]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        pytest.param(packet(2, b"x", mask=False), CloseCode.BAD_PACKET, id="not masked"),
        pytest.param(b"\xc2" + packet(2, b"x")[1:], CloseCode.BAD_PACKET, id="a reserved bit"),
        pytest.param(b"\x83" + packet(2, b"x")[1:], CloseCode.BAD_PACKET, id="an opcode of data that is none"),
        pytest.param(b"\x09" + packet(9, b"x")[1:], CloseCode.BAD_PACKET, id="a fragment of a ping"),
        pytest.param(b"\x89\xfe\x00\x7e", CloseCode.BAD_PACKET, id="a ping that is too long"),
        pytest.param(packet(1, b"\xff"), CloseCode.MALFORMED, id="a text that is not UTF-8"),
        pytest.param(
            packet(1, b"\xc3", final=False) + packet(0, b"("),
            CloseCode.MALFORMED,
            id="a text of two parts that is not UTF-8",
        ),
        pytest.param(packet(8, b"\x03\xe8\xff"), CloseCode.MALFORMED, id="a reason that is not UTF-8"),
        pytest.param(packet(8, b"\x03"), CloseCode.BAD_PACKET, id="half a close code"),
        pytest.param(packet(0, b"the end of nothing"), CloseCode.BAD_PACKET, id="the end of nothing"),
        pytest.param(
            packet(2, b"one", final=False) + packet(2, b"two"), CloseCode.BAD_PACKET, id="a message within another"
        ),
        pytest.param(packet(2, b"x" * 1001), CloseCode.TOO_BIG, id="one that is too large"),
        pytest.param(b"\x82\xff" + (2**63).to_bytes(8), CloseCode.TOO_BIG, id="one that says that it is too large"),
        pytest.param(
            packet(2, b"x" * 600, final=False) + packet(0, b"x" * 600),
            CloseCode.TOO_BIG,
            id="one whose parts are too large together",
        ),
    ],
)
def test_what_no_client_sends_is_refused_before_it_is_read(stream: bytes, code: CloseCode) -> None:
    reader = MessageReader(1000, _websocket_mask)
    assert reader.feed(packet(2, b"before") + stream) == [(2, b"before")]
    assert reader.error is not None
    assert reader.error.code == code
    assert reader.feed(packet(2, b"after")) == []
