"""Frames changed at random: bytes, numbers, and whole blocks, so that many of them still can be read."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from jupyter_rtc.wire.protocol import ProtocolError, read_uint, write_uint
from jupyter_rtc.wire.structure import blocks

_NUMBERS = (0, 1, 2, 3, 5, 63, 64, 127, 128, 255, 256, 1 << 14, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 53)
_Change: TypeAlias = Callable[[bytes, list[bytes], random.Random], bytes]

_INFOS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x14, 0x27, 0x28, 0x44, 0x84, 0xC4, 0x81, 0x88, 0xA8, 0xC8, 0x87, 0xC7)


def mutated(frame: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Return a frame with one to three changes; `others` are frames to take parts from."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if frame:
            frame = chance.choice(_CHANGES)(frame, others, chance)
    return frame


def _payload(frame: bytes) -> tuple[bytes, bytes]:
    """Return what stands before the length of a sync message, and the message."""
    if frame[:1] != b"\x00" or len(frame) < 3:
        return b"", b""
    try:
        _, at = read_uint(frame, 2)
    except ProtocolError:
        return b"", b""
    return frame[:2], frame[at:]


def _inside(change: _Change) -> _Change:
    """Make a change to the message in a frame, whose length is then right again."""

    def changed(frame: bytes, others: list[bytes], chance: random.Random) -> bytes:
        head, payload = _payload(frame)
        if not head or not payload:
            return frame
        payload = change(payload, others, chance)
        return head + write_uint(len(payload)) + payload

    return changed


def _byte(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    value = chance.choice((chance.randrange(256), data[at] ^ 1 << chance.randrange(8), chance.choice(_INFOS)))
    return data[:at] + bytes([value]) + data[at + 1 :]


def _number(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    try:
        _, end = read_uint(data, at)
    except ProtocolError:
        end = at + 1
    return data[:at] + write_uint(chance.choice(_NUMBERS)) + data[end:]


def _cut(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + data[at + chance.randint(1, 9) :]


def _repeat(data: bytes, _: list[bytes], chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    part = data[at : at + chance.randint(1, 20)]
    return data[:at] + part * chance.randint(2, 3) + data[at:]


def _splice(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    _, other = _payload(chance.choice(others))
    if not other:
        return data
    at = chance.randrange(len(other))
    return data[: chance.randrange(len(data))] + other[at : at + chance.randint(1, 40)]


def _reblocked(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Shuffle, repeat, leave out or renumber the blocks of an update, or take in those of another one."""
    pieces = _pieces(data)
    if chance.random() < 0.5:
        pieces += _pieces(_payload(chance.choice(others))[1])
    if not pieces:
        return data
    chosen = [chance.choice(pieces) for _ in range(chance.randint(1, min(6, len(pieces) + 1)))]
    sections = []
    for client, clock, piece in chosen:
        client = chance.choice((client, client, client, pieces[0][0], 1, 5))
        clock = chance.choice((clock, clock, clock, max(0, clock - 1), clock + 1, 0, chance.choice(_NUMBERS)))
        sections.append(b"\x01" + write_uint(client) + write_uint(clock) + piece)
    return write_uint(len(sections)) + b"".join(sections) + chance.choice((b"\x00", _deletions(pieces, chance)))


def _deletions(pieces: list[tuple[int, int, bytes]], chance: random.Random) -> bytes:
    client, clock, _ = chance.choice(pieces)
    runs = [(max(0, clock + chance.randint(-2, 3)), chance.randint(1, 4)) for _ in range(chance.randint(1, 3))]
    written = b"".join(write_uint(start) + write_uint(length) for start, length in runs)
    return b"\x01" + write_uint(client) + write_uint(len(runs)) + written


def _pieces(update: bytes) -> list[tuple[int, int, bytes]]:
    """Return client, clock and bytes of the blocks of an update, as far as it can be read."""
    found: list[tuple[int, int, bytes]] = []
    with suppress(ProtocolError, IndexError):
        found.extend((block.client, block.clock, update[block.start : block.end]) for block in blocks(update))
    return found


_CHANGES = [
    *map(_inside, (_byte, _byte, _number, _number, _cut, _repeat, _splice, _reblocked, _reblocked)),
    _byte,
    _cut,
]
