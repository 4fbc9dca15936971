"""A client that behaves as JupyterLab's document provider does.

Source: `docs/reference/protocol.md`, and y-websocket 1.5, on which the front end builds. Frames are made and
read with pycrdt's own functions, not with those under test.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import websockets
from awaiting import PATIENCE, until
from pycrdt import (
    Array,
    Awareness,
    Decoder,
    Doc,
    Encoder,
    Map,
    Text,
    TransactionEvent,
    YMessageType,
    YSyncMessageType,
    create_awareness_message,
    create_sync_message,
    create_update_message,
    handle_sync_message,
    read_message,
)
from websockets.protocol import State

from .process import Jupyter

RENEWAL = 15.0
LONGEST_PAUSE = 2.5
BEFORE_SYNC = (4400, 4404, 4500)


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task, and wait until it has ended; whoever waits can be cancelled, too. Raises what it raised."""
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


class SessionRefused(Exception):
    """The server answered the request for a session with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class Peer:
    """One open document in one browser tab.

    Attributes:
        doc: the shared document; it stays the same through all connections.
        awareness: who is here, as this client knows it.
        room: the name of the document's room.
        kind: the type of the document.
        token: whose tab it is.
        session: the lineage that the server gave.
        steps: the sizes of the answers to step 1, in the order they came.
        frames: the sizes of the updates that came.
        reasons: why saves failed, in the order of the answers.
        told: the RAW messages from the server, but not answers to `save`.
        closes: the code and reason of every close, in the order they came.
        disposed: whether the front end would have given the document up.
        unread: the errors that frames caused in this client.
        patient: whether its user leaves the dialog open that a close with 1003 brings up: then it goes on connecting.
        deaf: whether it reads nothing more once it has said what it has, as where the line to it is slow.
    """

    def __init__(self, jupyter: Jupyter, path: str, kind: str, form: str, token: str) -> None:
        """Prepare a tab for the document of a file; nothing is asked yet."""
        self.doc: Doc[Any] = Doc()
        self.awareness = Awareness(self.doc)
        self.awareness.set_local_state({"user": {"username": token}})
        self.room = self.session = ""
        self.steps: list[int] = []
        self.frames: list[int] = []
        self.reasons: list[str] = []
        self.told: list[dict[str, Any]] = []
        self.closes: list[tuple[int, str]] = []
        self.disposed = self.patient = self.deaf = False
        self.unread: list[Exception] = []
        self.kind = kind
        self.token = token
        self._jupyter = jupyter
        self._address = path, form, kind
        self._socket: websockets.ClientConnection | None = None
        self._synced = False
        self._applying = False
        self._saves = 0
        self._answers: dict[int, asyncio.Future[str]] = {}
        self._task: asyncio.Task[None] | None = None
        self._subscription = self.doc.observe(self._changed)

    # ------------------------------------------------------------------ life

    async def ask(self) -> None:
        """Ask for a session; raises SessionRefused."""
        status, answer = await self._jupyter.session(*self._address, self.token)
        if status >= 300:
            raise SessionRefused(status, answer["message"])
        _, form, kind = self._address
        assert (answer["format"], answer["type"]) == (form, kind)
        self.session = answer["sessionId"]
        self.room = f"{form}:{kind}:{answer['fileId']}"

    def connect(self) -> None:
        """Connect, and connect again whenever the connection is lost."""
        self._task = asyncio.ensure_future(self._provide())

    async def ready(self, timeout: float = PATIENCE) -> Peer:
        """Wait until the document is here and as the server has it, and return this client."""
        await until(lambda: self._synced or self.disposed, lambda: "the first sync", timeout)
        assert not self.disposed, self.closes
        return self

    async def close(self) -> None:
        """Close the tab."""
        task, self._task = self._task, None
        await end(task)

    def drop(self) -> None:
        """Lose the connection, as when a cable is pulled."""
        if self._socket is not None:
            self._socket.transport.abort()

    def read_no_more(self) -> None:
        """Take in nothing from now on, as where the line to this client is slow."""
        if self._socket is not None:
            self._socket.transport.pause_reading()

    def listen(self) -> None:
        """Be deaf no longer."""
        self.deaf = False
        if self._socket is not None:
            self._socket.transport.resume_reading()

    @property
    def online(self) -> bool:
        """Whether this client is connected and in sync."""
        return self._synced

    @property
    def dismissed(self) -> bool:
        """Whether the document is given up, or about to be: what is typed now can reach nobody any more."""
        closed = self._socket and self._socket.protocol.close_rcvd
        return self.disposed or (closed is not None and self._is_final(closed.code))

    def _is_final(self, code: int) -> bool:
        # What the front end does once its user has answered the dialog, at the latest.
        return (code == 1003 and not self.patient) or (code in BEFORE_SYNC and not self.steps)

    # ------------------------------------------------------------------ what the document says

    @property
    def source(self) -> Text:
        """The text of a text file."""
        return self.doc.get("source", type=Text)

    @property
    def text(self) -> str:
        """What a text file says."""
        return str(self.source)

    @property
    def cells(self) -> Array[Any]:
        """The cells of a notebook."""
        return self.doc.get("cells", type=Array)

    @property
    def sources(self) -> list[str]:
        """What the cells of a notebook say."""
        return [str(cell["source"]) for cell in self.cells]

    @property
    def state_map(self) -> Map[Any]:
        """The shared map of what is said about the document."""
        return self.doc.get("state", type=Map)

    @property
    def state(self) -> dict[str, Any]:
        """What the server and the front ends say about the document."""
        return self.state_map.to_py() or {}

    # ------------------------------------------------------------------ what people do

    def type(self, text: str, cell: int | None = None) -> None:
        """Type at the end of a text file, or of a cell."""
        source = self.source if cell is None else self.cells[cell]["source"]
        source += text

    def show(self, **state: Any) -> None:
        """Change what this client shows of itself to the others."""
        self.awareness.set_local_state({**(self.awareness.get_local_state() or {}), **state})
        self.send(self._awareness())

    async def save(self, timeout: float = PATIENCE) -> str:
        """Save as Ctrl+S does; returns the server's answer."""
        return await asyncio.wait_for(self.begin_save(), timeout)

    def begin_save(self) -> asyncio.Future[str]:
        """Ask the server to save; the future is its answer."""
        self._saves += 1
        encoder = Encoder()
        encoder.write_var_uint(2)
        encoder.write_var_string("save")
        encoder.write_var_uint(self._saves)
        answer = self._answers[self._saves] = asyncio.get_running_loop().create_future()
        self.send(encoder.to_bytes())
        return answer

    def send(self, frame: bytes) -> None:
        """Send a frame, if there is a connection: at once, as `WebSocket.send` does."""
        if self._socket is not None and self._socket.state is State.OPEN:
            self._socket.protocol.send_binary(frame)
            self._socket.send_data()

    # ------------------------------------------------------------------ the provider

    async def _provide(self) -> None:
        failures = 0
        while not self.disposed:
            url = self._jupyter.url(f"api/collaboration/room/{quote(self.room, safe=':')}", "ws")
            url += f"?sessionId={self.session}&token={self.token}"
            try:
                async with websockets.connect(url, max_size=None, proxy=None, compression=None) as socket:
                    failures = 0
                    await self._serve(socket)
            except (OSError, websockets.InvalidStatus, websockets.InvalidMessage, TimeoutError):
                failures += 1
            await asyncio.sleep(min(0.1 * 2**failures, LONGEST_PAUSE))

    async def _serve(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self.send(create_sync_message(self.doc))
        self.send(self._awareness())
        renewing = asyncio.ensure_future(self._renew())
        try:
            async for frame in socket:
                assert isinstance(frame, bytes)
                self._hear_out(frame)
        except websockets.ConnectionClosedError:
            pass
        finally:
            renewing.cancel()
            self._closed(socket)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL)
            self.show()

    def _closed(self, socket: websockets.ClientConnection) -> None:
        code, reason = socket.close_code or 1006, socket.close_reason or ""
        self.closes.append((code, reason))
        self.disposed = self._is_final(code)
        self._socket, self._synced = None, False
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError(f"closed: {code} {reason}"))
        others = [client for client in self.awareness.states if client != self.awareness.client_id]
        self.awareness.remove_awareness_states(others, "closed")

    def _hear_out(self, frame: bytes) -> None:
        try:
            self._receive(frame)
        except Exception as error:  # an error in a browser's handler of messages does not close its socket
            self.unread.append(error)

    def _receive(self, frame: bytes) -> None:
        kind, rest = frame[0], frame[1:]
        if kind == YMessageType.SYNC:
            self._synchronise(rest)
        elif kind == YMessageType.AWARENESS:
            self.awareness.apply_awareness_update(read_message(rest), "server")
        elif kind == 2:
            self._hear(json.loads(Decoder(rest).read_var_string() or ""))
        elif kind == 3:
            self.send(create_awareness_message(self.awareness.encode_awareness_update(list(self.awareness.states))))

    def _synchronise(self, message: bytes) -> None:
        self._applying = True
        try:
            answer = handle_sync_message(message, self.doc)
        finally:
            self._applying = False
        if answer is not None:
            self.send(answer)
            if self.deaf:
                self.read_no_more()
        if message[0] == YSyncMessageType.SYNC_UPDATE:
            self.frames.append(len(message))
        if message[0] == YSyncMessageType.SYNC_STEP2:
            self.steps.append(len(message))
            self._synced = True
            if len(self.steps) == 1:
                self.state_map["document_id"] = self.room

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("type") == "save":
            answer = self._answers.pop(message["responseTo"])
            if "message" in message:
                self.reasons.append(message["message"])
            if not answer.done():
                answer.set_result(message["status"])
        else:
            self.told.append(message)

    def _changed(self, event: TransactionEvent) -> None:
        if not self._applying:
            self.send(create_update_message(event.update))

    def _awareness(self) -> bytes:
        return create_awareness_message(self.awareness.encode_awareness_update([self.awareness.client_id]))
