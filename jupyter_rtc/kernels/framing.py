"""Messages of the kernel protocol as frames of a WebSocket, in the two forms that Jupyter Server speaks.

Source of both: https://jupyter-server.readthedocs.io/en/latest/developers/websocket-protocols.html
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from jupyter_client.jsonutil import json_default

from .message import Message

V1 = "v1.kernel.websocket.jupyter.org"
"""The subprotocol that carries the parts of a message as they are; without one, a message is JSON."""


def to_v1(channel: str, parts: Sequence[bytes | memoryview]) -> bytes:
    """Return the frame of a message: its header, parent header, metadata and content in JSON, and its buffers."""
    whole = [channel.encode(), *parts]
    offsets = [8 * (len(whole) + 2)]
    for part in whole:
        offsets.append(offsets[-1] + len(part))
    return b"".join([struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets), *whole])


def from_v1(frame: bytes) -> Message:
    """Return the message in a frame. Raises ValueError if there is none in it."""
    try:
        number: int = struct.unpack_from("<Q", frame)[0]
        if not 6 <= number <= len(frame) // 8:
            raise ValueError(f"a frame of {number} offsets")
        offsets = struct.unpack_from(f"<{number}Q", frame, 8)
    except struct.error as error:
        raise ValueError(f"not a frame of a message: {error}") from error
    channel, header, parent, metadata, content, *buffers = (frame[begin:end] for begin, end in pairwise(offsets))
    return Message(channel.decode(), [json.loads(part) for part in (header, parent, metadata)], content, buffers)


def to_json(channel: str, message: Mapping[str, Any], buffers: Sequence[bytes | memoryview]) -> str | bytes:
    """Return the frame of a message: text, or bytes where it has buffers."""
    text = json.dumps({**message, "channel": channel}, default=json_default)
    if not buffers:
        return text
    parts = [text.encode(), *buffers]
    offsets = [4 * (len(parts) + 1)]
    for part in parts[:-1]:
        offsets.append(offsets[-1] + len(part))
    return b"".join([struct.pack(f"!{len(offsets) + 1}I", len(parts), *offsets), *parts])


def from_json(frame: str | bytes) -> Message:
    """Return the message in a frame. Raises ValueError if there is none in it."""
    parts: list[bytes] = []
    text: str | bytes = frame
    if isinstance(frame, bytes):
        try:
            number: int = struct.unpack_from("!I", frame)[0]
            if not 1 <= number <= len(frame) // 4:
                raise ValueError(f"a frame of {number} parts")
            offsets = [*struct.unpack_from(f"!{number}I", frame, 4), len(frame)]
        except struct.error as error:
            raise ValueError(f"not a frame of a message: {error}") from error
        text, *parts = (frame[begin:end] for begin, end in pairwise(offsets))
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")
    headers = [message.get(name) or {} for name in ("header", "parent_header", "metadata")]
    return Message(str(message.get("channel")), headers, message.get("content") or {}, parts, len(text))
