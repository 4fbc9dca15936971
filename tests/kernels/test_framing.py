"""The frames of a kernel's WebSocket, beside those that Jupyter Server makes and reads."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_binary_message,
    serialize_msg_to_ws_v1,
)

from jupyter_rtc.kernels.framing import from_json, from_v1, to_json, to_v1

BUFFERS = st.lists(st.binary(max_size=50), max_size=3)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS, BUFFERS)
def test_v1_is_that_of_jupyter_server(text: str, buffers: list[bytes]) -> None:
    session = Session()
    message = session.msg("stream", {"text": text})
    parts = [session.pack(message[name]) for name in ("header", "parent_header", "metadata", "content")]
    assert to_v1("iopub", [*parts, *buffers]) == serialize_msg_to_ws_v1([*parts, *buffers], "iopub")
    assert deserialize_msg_from_ws_v1(to_v1("stdin", [*parts, *buffers])) == ("stdin", [*parts, *buffers])
    read = from_v1(serialize_msg_to_ws_v1([*parts, *buffers], "iopub"))
    assert (read.channel, read.kind, read.content, list(read.buffers)) == ("iopub", "stream", {"text": text}, buffers)
    assert read.header["msg_id"] == message["header"]["msg_id"]


@given(TEXTS, st.lists(st.binary(max_size=50), min_size=1, max_size=3))
def test_json_is_that_of_jupyter_server(text: str, buffers: list[bytes]) -> None:
    message = Session().msg("stream", {"text": text})
    frame = to_json("shell", message, buffers)
    assert isinstance(frame, bytes)
    read = deserialize_binary_message(frame)
    assert (read["channel"], read["content"], read["buffers"]) == ("shell", {"text": text}, buffers)
    found = from_json(serialize_binary_message({**message, "channel": "iopub", "buffers": buffers}))
    assert (found.channel, found.content, list(found.buffers)) == ("iopub", {"text": text}, buffers)
    plain = to_json("shell", message, [])
    assert isinstance(plain, str)
    assert json.loads(plain)["header"]["msg_id"] == from_json(plain).header["msg_id"] == message["header"]["msg_id"]


@given(st.binary(max_size=200))
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    assert is_refused(from_v1, frame)
    assert is_refused(from_json, frame)


def test_a_frame_that_is_cut_off_is_refused() -> None:
    session = Session()
    message = session.msg("stream", {"text": "a" * 100})
    parts = [session.pack(message[name]) for name in ("header", "parent_header", "metadata", "content")]
    whole = to_v1("iopub", parts)
    for length in range(len(whole)):
        assert is_refused(lambda frame: from_v1(frame).content, whole[:length])


def is_refused(read: Callable[[bytes], object], frame: bytes) -> bool:
    """Say whether there is no message in a frame."""
    try:
        read(frame)
    except ValueError:
        return True
    return False
