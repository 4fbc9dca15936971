"""A Yjs client over a real WebSocket, as y-websocket is one: a document, presence, and a socket."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pycrdt
from awaiting import PATIENCE, until
from pycrdt import Awareness, Doc, Text
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.protocol import Kind

from .by_hand import observed, text_of

eventually = until


class Peer:
    """A client of one room; entering it starts to read and to synchronise.

    Attributes:
        doc: its document.
        awareness: who it thinks is here.
        frames: every frame that came, in order.
        answers: the RAW messages among them.
        synced: whether step 2 came.
    """

    def __init__(self, socket: ClientConnection, doc: Doc[Any] | None = None) -> None:
        """Make a client that talks over `socket`."""
        self.socket = socket
        self.doc: Doc[Any] = doc if doc is not None else Doc()
        self.awareness = Awareness(self.doc)
        self.frames: list[bytes] = []
        self.answers: list[dict[str, Any]] = []
        self.synced = False
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Peer:
        self._reading = asyncio.create_task(self._read())
        await self.socket.send(protocol.step1(self.doc.get_state()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.socket.close()
        if self._reading:
            await self._reading

    @property
    def text(self) -> str:
        """The shared text as this peer has it."""
        return text_of(self.doc)

    @property
    def others(self) -> dict[int, dict[str, Any]]:
        """The states of the others."""
        return {client: state for client, state in self.awareness.states.items() if client != self.doc.client_id}

    async def until(self, holds: Callable[[], object], timeout: float = PATIENCE) -> None:
        """Wait until something holds that only a frame can change."""

        async def wait() -> None:
            while not holds():
                self._news.clear()
                await self._news.wait()

        await asyncio.wait_for(wait(), timeout)

    async def edit(self, change: Callable[[Doc[Any]], object]) -> None:
        """Make an edit and send it."""
        for update in observed(self.doc, change):
            await self.socket.send(protocol.update(update))

    async def write(self, text: str) -> None:
        """Append to the shared text."""
        await self.edit(lambda doc: doc.get("source", type=Text).insert(len(self.text), text))

    async def show(self, **state: Any) -> None:
        """Change what the others see of this peer."""
        self.awareness.set_local_state(state)
        await self.socket.send(self.presence())

    def presence(self) -> bytes:
        """Return the frame that shows this peer to the others."""
        return pycrdt.create_awareness_message(self.awareness.encode_awareness_update([self.doc.client_id]))

    async def closed(self, timeout: float = PATIENCE) -> tuple[int | None, str | None]:
        """Wait until the socket is closed; return the code and the reason."""
        await asyncio.wait_for(self.socket.wait_closed(), timeout)
        return self.socket.close_code, self.socket.close_reason

    def abort(self) -> None:
        """Cut the connection off without a goodbye: the server gets a TCP reset."""
        raw = self.socket.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.transport.abort()

    async def _read(self) -> None:
        try:
            async for frame in self.socket:
                assert isinstance(frame, bytes)
                await self._hear(frame)
                self._news.set()
        except ConnectionClosed:
            self._news.set()

    async def _hear(self, frame: bytes) -> None:
        self.frames.append(frame)
        kind, payload = protocol.decode(frame)
        if kind is Kind.STEP1:
            await self.socket.send(protocol.step2(self.doc.get_update(payload)))
        elif kind in (Kind.STEP2, Kind.UPDATE):
            self.doc.apply_update(payload)
            self.synced = self.synced or kind is Kind.STEP2
        elif kind is Kind.AWARENESS:
            self.awareness.apply_awareness_update(payload, "server")
        elif kind is Kind.RAW:
            self.answers.append(json.loads(pycrdt.read_message(payload)))
