"""A peer that sends what is no frame, or half of one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

import websockets
from documents.peer import Peer
from documents.process import Jupyter
from pycrdt import Doc, Text, create_update_message, write_var_uint

_ROUNDS = 4


async def send_garbage(server: Jupyter, peer: Peer, rng: random.Random) -> None:
    """Connect to the room of `peer` as Bob, send garbage, and come back when the server hangs up, some times."""
    url = (
        server.url(f"api/collaboration/room/{quote(peer.room, safe=':')}", "ws")
        + f"?sessionId={peer.session}&token=bob"
    )
    for _ in range(_ROUNDS):
        with suppress(OSError, websockets.WebSocketException, TimeoutError):
            async with websockets.connect(url, max_size=None, proxy=None, open_timeout=6, close_timeout=1) as socket:
                for frame in _garbage(rng):
                    await socket.send(frame)


def _garbage(rng: random.Random) -> Iterator[bytes | str]:
    kinds = [_noise, _half_an_update, _noise_as_update, _noise_as_awareness, _endless, _nothing, _words]
    for kind in rng.sample(kinds, len(kinds)):
        yield kind(rng)


def _noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 200))


def _half_an_update(rng: random.Random) -> bytes:
    doc: Doc[None] = Doc()
    doc.get("source", type=Text).insert(0, "this must reach nobody" * rng.randrange(1, 50))
    whole = create_update_message(doc.get_update())
    return whole[: rng.randrange(3, len(whole))]


def _noise_as_update(rng: random.Random) -> bytes:
    noise = _noise(rng)
    return bytes((0, rng.choice((0, 1, 2)))) + write_var_uint(len(noise)) + noise


def _noise_as_awareness(rng: random.Random) -> bytes:
    noise = _noise(rng)
    return b"\x01" + write_var_uint(len(noise)) + noise


def _endless(rng: random.Random) -> bytes:
    return b"\x00\x02\xff\xff\xff\xff\x7f" + _noise(rng)


def _nothing(rng: random.Random) -> bytes:
    return b""


def _words(rng: random.Random) -> str:
    return "hello"
