"""Messages of the kernel protocol, and why there is no reply to one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, TypeAlias

ChannelName: TypeAlias = Literal["shell", "control", "iopub", "stdin"]


class KernelGone(Exception):
    """The process of the kernel ended, and with it what it was asked; the text says how."""


class Unreachable(Exception):
    """Nothing can be sent to the kernel for now, or its reply was lost on the way; the text says why."""


class NoChannel(Exception):
    """A kernel of this kind cannot be connected to from here; the text says why."""


class Message:
    """A message from a kernel (https://jupyter-client.readthedocs.io/en/stable/messaging.html).

    Attributes:
        channel: where it came in.
        header: its header.
        parent: the header of the request that it belongs to; empty if it belongs to none.
        metadata: its metadata.
        buffers: the binary parts behind it.
        size: how long its content is in JSON, in bytes, and its buffers.
    """

    def __init__(
        self,
        channel: str,
        headers: Sequence[Mapping[str, Any]],
        content: bytes | Mapping[str, Any],
        buffers: Sequence[bytes | memoryview] = (),
        size: int = 0,
    ) -> None:
        """Describe a message; `headers` are its header, its parent's, and its metadata.

        Raises ValueError if they are none.
        """
        self.channel = channel
        self.header, self.parent, self.metadata = headers
        if not all(isinstance(one, Mapping) for one in headers) or not isinstance(self.header.get("msg_type"), str):
            raise ValueError("a message without a header")
        self.buffers = buffers
        self._content = content
        length = len(content) if isinstance(content, bytes) else size
        self.size = length + sum(buffer.nbytes if isinstance(buffer, memoryview) else len(buffer) for buffer in buffers)

    @property
    def kind(self) -> str:
        """The message type."""
        kind: str = self.header["msg_type"]
        return kind

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """The content, which is decoded when it is first asked for: most messages on iopub concern nobody here.

        Raises ValueError if it is no JSON object.
        """
        content = json.loads(self._content) if isinstance(self._content, bytes) else self._content
        if not isinstance(content, Mapping):
            raise ValueError("a message whose content is no object")
        return content

    @property
    def parent_id(self) -> str:
        """The id of the request that it belongs to; empty if it belongs to none."""
        id = self.parent.get("msg_id", "")
        return id if isinstance(id, str) else ""
