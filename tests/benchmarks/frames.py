"""WebSocket and Yjs framing for the benchmark clients: RFC 6455, y-protocols, lib0 variable-length integers."""

from __future__ import annotations

import os

OPENING = (
    "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

BINARY, CLOSE, PING, PONG = 0x82, 0x88, 0x89, 0x8A
"""First bytes of final frames: FIN set, then the opcode."""

STEP1, STEP2, UPDATE, SAVE = b"\x00\x00", b"\x00\x01", b"\x00\x02", b"\x02\x04save"
"""Openings of y-protocols messages; the last one is the front end's request to save."""

EMPTY_STATE = b"\x00"
"""A state vector that knows nothing."""

EMPTY_UPDATE = b"\x00\x00"
"""A Yjs update that changes nothing."""


def varint(number: int) -> bytes:
    """Encode a number of at least 0 as lib0 does: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(0x80 | number & 0x7F)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Decode the lib0 number that starts at `at`; return it and the position after it."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def prefixed(data: bytes) -> bytes:
    """Put the length of `data` in front of it, as lib0 encodes byte arrays and strings."""
    return varint(len(data)) + data


def body(message: bytes, skip: int) -> bytes:
    """Return the byte array of a sync message whose `skip` leading bytes are its kind."""
    length, start = read_varint(message, skip)
    return message[start : start + length]


def masked(payload: bytes, opening: int = BINARY) -> bytes:
    """Encode one client frame, masked with a fresh key (RFC 6455, section 5.3)."""
    size = len(payload)
    key = os.urandom(4)
    head = bytes([opening]) + _length(size, 0x80) + key
    if not size:
        return head
    pad = (key * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return head + mixed.to_bytes(size, "big")


def plain(payload: bytes, opening: int = BINARY) -> bytes:
    """Encode one server frame."""
    return bytes([opening]) + _length(len(payload), 0) + payload


def _length(size: int, mask: int) -> bytes:
    if size < 126:
        return bytes([mask | size])
    if size < 65536:
        return bytes([mask | 126]) + size.to_bytes(2, "big")
    return bytes([mask | 127]) + size.to_bytes(8, "big")


def extent(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Return where the payload of the frame at `at` starts and stops; None if its head is incomplete.

    The four bytes before the payload of a masked frame are its key.
    """
    if end - at < 2:
        return None
    size = data[at + 1]
    start = at + 2
    if size > 127:
        size &= 127
        start += 4
    if size >= 126:
        first = at + 2
        last = first + (2 if size == 126 else 8)
        start += last - first
        if last > end:
            return None
        size = int.from_bytes(data[first:last], "big")
    return start, start + size
