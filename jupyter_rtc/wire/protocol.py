"""Frames of the Yjs protocols: bytes to kind and payload, and back. Pure functions.

Sources: ``PROTOCOL.md`` of yjs/y-protocols (sync and awareness), the encoding of lib0 (variable-length
integers of seven bits a byte, little end first), and ``RAW`` messages as JupyterLab's document provider 3.0.4 sends
and reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum, IntEnum
from typing import Any, NamedTuple

MAX_CLIENT_ID = 2**53 - 1
"""The largest client id a JavaScript peer can hold exactly."""

MAX_CLOCK = 2**31 - 1
"""No client makes so many edits; yrs counts in 32 bits, and here and there with a sign."""

NO_CHANGE = b"\x00\x00"
"""The update that changes nothing: no structs, no deletions."""

EMPTY_STATE = b"\x00"
"""The state vector of a document that holds nothing."""


class CloseCode(IntEnum):
    """Why the server closes a WebSocket; documented for users in ``docs/reference/protocol.md``."""

    GOING_AWAY = 1001
    """The server stops, or the room is reloaded; connect again."""
    BAD_PACKET = 1002
    """What came is no WebSocket packet of a client's."""
    SESSION = 1003
    """The peer's document has another history; the reason is JSON for JupyterLab's dialog."""
    MALFORMED = 1007
    """A frame that is no message of the protocol, or whose update cannot be applied."""
    NOT_ALLOWED = 1008
    """The peer would not be let in any more, or takes more than its share: of a full room, or of what may wait."""
    TOO_BIG = 1009
    """A frame beyond `Relay.max_frame_size`."""
    TOO_SLOW = 1013
    """The peer reads too slowly: more than `Relay.max_outbox` bytes wait for it."""
    BAD_CONTENT = 4400
    """The document cannot be read as what was asked for."""
    NOT_FOUND = 4404
    """The document's file is gone."""
    LOAD_FAILED = 4500
    """The document could not be loaded for another reason."""


class ProtocolError(Exception):
    """A peer broke the protocol. The connection is closed with `code` and `reason`; nobody else notices.

    `code` is a `CloseCode`; `reason` is at most 123 bytes of UTF-8 (RFC 6455 section 5.5).
    """

    def __init__(self, reason: str, code: CloseCode = CloseCode.MALFORMED) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = clip_reason(reason)


class Kind(Enum):
    """What a frame is."""

    STEP1 = "sync step 1"
    STEP2 = "sync step 2"
    UPDATE = "update"
    AWARENESS = "awareness"
    RAW = "raw"
    QUERY_AWARENESS = "query awareness"


class Message(NamedTuple):
    """One decoded frame: its kind, and the bytes that belong to it.

    The payload is a state vector (STEP1), an update (STEP2, UPDATE), an awareness update (AWARENESS), the rest
    of the frame (RAW), or empty (QUERY_AWARENESS).
    """

    kind: Kind
    payload: bytes


class AwarenessEntry(NamedTuple):
    """The state of one client: its id, its clock, and its state as JSON (None: it is gone)."""

    client: int
    clock: int
    state: str | None


_SYNC, _AWARENESS, _RAW, _QUERY = range(4)
_SYNC_KINDS = (Kind.STEP1, Kind.STEP2, Kind.UPDATE)
_MAX_BITS = 63


def read_uint(data: bytes, at: int) -> tuple[int, int]:
    """Return the variable-length integer at `at` and the position after it.

    Raises:
        ProtocolError: the data ends too soon, or the number needs more than 63 bits (nine bytes).
    """
    try:
        byte = data[at]
        if byte < 128:
            return byte, at + 1
        value, shift = byte & 127, 7
        while byte > 127 and shift < _MAX_BITS:  # without an end, a frame of such bytes would take hours
            at += 1
            byte = data[at]
            value |= (byte & 127) << shift
            shift += 7
    except IndexError:
        raise ProtocolError("truncated frame") from None
    if byte > 127:
        raise ProtocolError("number too long")
    return value, at + 1


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the length-prefixed bytes at `at` and the position after them; raises ProtocolError."""
    length, at = read_uint(data, at)
    end = at + length
    if end > len(data):
        raise ProtocolError("truncated frame")
    return data[at:end], end


def write_uint(value: int) -> bytes:
    """Encode a non-negative integer in seven bits a byte, little end first."""
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_bytes(data: bytes) -> bytes:
    """Prefix bytes with their length."""
    return write_uint(len(data)) + data


class Prepared(bytes):
    """A frame that was decoded before, where that takes long: `message`, unless it cannot be decoded."""

    message: Message | None = None


def decode(frame: bytes) -> Message:
    """Decode one frame, which holds exactly one message.

    Raises:
        ProtocolError: the frame is empty, truncated, of no known type, or longer than its message.
    """
    if isinstance(frame, Prepared) and frame.message:
        return frame.message
    kind, at = read_uint(frame, 0)
    if kind == _SYNC:
        step, at = read_uint(frame, at)
        if step > 2:
            raise ProtocolError(f"unknown sync step {step}")
        payload, at = read_bytes(frame, at)
        message = Message(_SYNC_KINDS[step], payload)
    elif kind == _AWARENESS:
        payload, at = read_bytes(frame, at)
        message = Message(Kind.AWARENESS, payload)
    elif kind == _RAW:
        message, at = Message(Kind.RAW, frame[at:]), len(frame)
    elif kind == _QUERY:
        message = Message(Kind.QUERY_AWARENESS, b"")
    else:
        raise ProtocolError(f"unknown message type {kind}")
    if at != len(frame):
        raise ProtocolError("bytes after the message")
    return message


def step1(state_vector: bytes) -> bytes:
    """Return the frame that asks a peer for what it has beyond `state_vector`."""
    return b"\x00\x00" + write_bytes(state_vector)


def step2(update: bytes) -> bytes:
    """Return the frame that answers step 1 with an update."""
    return b"\x00\x01" + write_bytes(update)


def step2_header(size: int) -> bytes:
    """Return what stands before an update of `size` bytes in the frame that answers step 1 with it."""
    return b"\x00\x01" + write_uint(size)


def update(update: bytes) -> bytes:
    """Return the frame that carries an update."""
    return b"\x00\x02" + write_bytes(update)


def awareness(entries: list[AwarenessEntry]) -> bytes:
    """Return the frame that carries the states of clients."""
    parts = [write_uint(len(entries))]
    for client, clock, state in entries:
        parts += (write_uint(client), write_uint(clock), write_bytes(b"null" if state is None else state.encode()))
    return b"\x01" + write_bytes(b"".join(parts))


def raw(message: dict[str, Any]) -> bytes:
    """Return the frame of a server's RAW message: JSON text after the type."""
    return b"\x02" + write_bytes(json.dumps(message).encode())


def decode_awareness(payload: bytes) -> Iterator[AwarenessEntry]:
    """Yield the states of an awareness update.

    Raises:
        ProtocolError: it is truncated, a client id is out of range, or a text is not UTF-8.
    """
    count, at = read_uint(payload, 0)
    for _ in range(count):
        client, at = read_uint(payload, at)
        clock, at = read_uint(payload, at)
        text, at = read_bytes(payload, at)
        if client > MAX_CLIENT_ID or clock > MAX_CLIENT_ID:
            raise ProtocolError("awareness with a number out of range")
        yield AwarenessEntry(client, clock, None if text == b"null" else _utf8(text))
    if at != len(payload):
        raise ProtocolError("bytes after the awareness update")


def decode_request(payload: bytes) -> tuple[str, int]:
    """Return the name and the number of a client's RAW request, such as ``("save", 3)``; raises ProtocolError."""
    name, at = read_bytes(payload, 0)
    number, at = read_uint(payload, at)
    if at != len(payload):
        raise ProtocolError("bytes after the request")
    return _utf8(name), number


def decode_state_vector(payload: bytes) -> dict[int, int]:
    """Return the clocks of a state vector by client id; raises ProtocolError."""
    count, at = read_uint(payload, 0)
    clocks: dict[int, int] = {}
    for _ in range(count):
        client, at = read_uint(payload, at)
        clock, at = read_uint(payload, at)
        if client > MAX_CLIENT_ID or clock > MAX_CLOCK:
            raise ProtocolError("a state vector with a number out of range")
        clocks[client] = clock
    if at != len(payload):
        raise ProtocolError("bytes after the state vector")
    return clocks


def covers(clocks: Mapping[int, int], others: Mapping[int, int]) -> bool:
    """Say whether a document with these clocks knows all that one with the others does."""
    return all(clocks.get(client, 0) >= clock for client, clock in others.items())


def clip_reason(reason: str) -> str:
    """Shorten a close reason to the 123 bytes of UTF-8 that a close frame can hold.

    What UTF-8 cannot say (a file name that is no text has lone surrogates) becomes a question mark.
    """
    return reason.encode(errors="replace")[:123].decode(errors="ignore")


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProtocolError("text that is not UTF-8") from None
