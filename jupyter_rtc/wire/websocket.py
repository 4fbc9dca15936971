"""Frames of the WebSocket protocol, as a server makes and reads them: RFC 6455, section 5. Pure.

The frames of RFC 6455 are called packets here, for a frame is, everywhere else, the payload of one WebSocket message.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum

from .protocol import CloseCode, ProtocolError


class Opcode(IntEnum):
    """What a message is (RFC 6455, section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_KNOWN = frozenset(Opcode)
_FINAL, _RESERVED, _OPCODE, _CONTROL = 0x80, 0x70, 0x0F, 0x08
_MASKED, _SIZE = 0x80, 0x7F
_LONGEST_CONTROL = 125
_WITH_TEXT = frozenset((Opcode.TEXT, Opcode.CLOSE))


def header(size: int) -> bytes:
    """Return the header of an unmasked binary message of `size` bytes in one packet."""
    if size < 126:
        return bytes((0x82, size))
    if size < 65536:
        return struct.pack("!BBH", 0x82, 126, size)
    return struct.pack("!BBQ", 0x82, 127, size)


def message(payload: bytes) -> bytes:
    """Return an unmasked binary message in one packet."""
    return header(len(payload)) + payload


def masked(opcode: int, payload: bytes) -> bytes:
    """Return a message in one packet as a client sends it, under a mask of zeros, which leaves it as it is."""
    first, *length = header(len(payload))
    return bytes((first & ~_OPCODE | opcode, length[0] | _MASKED, *length[1:])) + bytes(4) + payload


def unmasked(mask: bytes, data: bytes) -> bytes:
    """Return what four bytes of a mask hide (RFC 6455, section 5.3)."""
    whole = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(whole)).to_bytes(len(data))


class MessageReader:
    """Takes apart what a client sends.

    Attributes:
        missing: bytes of the packet under way that have not come yet, where its size is known.
        error: what is wrong with the stream: BAD_PACKET for what no client sends, TOO_BIG for a message beyond the
            limit, MALFORMED for a text that is not UTF-8; None while all is well.
    """

    def __init__(self, max_size: int, unmask: Callable[[bytes, bytes], bytes]) -> None:
        """Read messages of at most `max_size` bytes; `unmask` gets a key of four bytes and what it masks."""
        self.missing = 0
        self.error: ProtocolError | None = None
        self._max_size = max_size
        self._unmask = unmask
        self._rest = bytearray()
        self._message: bytearray | None = None
        self._opcode = 0

    @property
    def unfinished(self) -> int:
        """How many bytes are kept of a message that has not come whole."""
        return len(self._rest) + len(self._message or b"")

    def fail(self, error: ProtocolError) -> None:
        """Pass over the rest of the stream for another reason, unless there is one already."""
        self.error = self.error or error
        self._rest, self._message = bytearray(), None

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the opcode and the payload of each message that `data`, the next bytes of the stream, completes.

        After an `error`, the rest of the stream is passed over.
        """
        if self._rest:
            self._rest += data
            self.missing -= len(data)
            if self.missing > 0:
                return []
            data, self._rest = bytes(self._rest), bytearray()
        at = self.missing = 0
        messages: list[tuple[int, bytes]] = []
        try:
            while self.error is None and (extent := _extent(data, at)):
                start, stop = extent
                final, opcode = self._checked(data[at], data[at + 1], stop - start)
                if stop > len(data):
                    self.missing = stop - len(data)
                    break
                payload = self._unmask(data[start - 4 : start], data[start:stop])
                at = stop
                whole = payload if final and opcode else self._joined(final, opcode, payload)
                if whole is not None:
                    kind = opcode or self._opcode
                    if kind in _WITH_TEXT:
                        _refuse_bad_text(kind, whole)
                    messages.append((kind, whole))
        except ProtocolError as error:
            self.error = error.with_traceback(None)  # which refers to this reader, and would keep it in memory
        if at < len(data) and self.error is None:
            self._rest += data[at:]
        return messages

    def _checked(self, first: int, second: int, size: int) -> tuple[bool, int]:
        """Return whether a packet is the last of its message, and its opcode; raises ProtocolError."""
        final, opcode = bool(first & _FINAL), first & _OPCODE
        if first & _RESERVED or opcode not in _KNOWN or not second & _MASKED:
            raise ProtocolError("not a packet of a WebSocket client", CloseCode.BAD_PACKET)
        if opcode & _CONTROL:
            if size > _LONGEST_CONTROL or not final:
                raise ProtocolError("a control packet that is too large, or in parts", CloseCode.BAD_PACKET)
        elif (self._message is None) != bool(opcode):
            raise ProtocolError("a message within another, or the end of none", CloseCode.BAD_PACKET)
        elif size + len(self._message or b"") > self._max_size:
            size += len(self._message or b"")
            told = f"a frame of {size} bytes; at most {self._max_size} are taken (Relay.max_frame_size)"
            raise ProtocolError(told, CloseCode.TOO_BIG)
        return final, opcode

    def _joined(self, final: bool, opcode: int, payload: bytes) -> bytes | None:
        """Take in a part of a message; return the message with its last part."""
        if opcode:
            self._opcode, self._message = opcode, bytearray()
        assert self._message is not None
        self._message += payload
        if not final:
            return None
        whole, self._message = bytes(self._message), None
        return whole


def _refuse_bad_text(kind: int, payload: bytes) -> None:
    """Raise ProtocolError where a text, or the reason of a close, is none (RFC 6455, sections 5.5.1 and 8.1)."""
    if kind == Opcode.CLOSE and len(payload) == 1:
        raise ProtocolError("half a close code", CloseCode.BAD_PACKET)
    try:
        payload[2 * (kind == Opcode.CLOSE) :].decode()
    except UnicodeDecodeError:
        raise ProtocolError("text that is not UTF-8") from None


def _extent(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where the payload of the packet at `at` starts and stops; None where its header is not complete."""
    available = len(data) - at
    if available < 2:
        return None
    size, start = data[at + 1] & _SIZE, at + 6
    if size > _LONGEST_CONTROL:
        width = 2 if size == 126 else 8
        if available < 2 + width:
            return None
        size = int.from_bytes(data[at + 2 : at + 2 + width])
        start += width
    return start, start + size
