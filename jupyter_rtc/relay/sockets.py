"""WebSockets below their handlers: ready frames written to Tornado's stream, and messages read in Tornado's place."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import takewhile
from time import monotonic
from types import FunctionType, SimpleNamespace
from typing import Any, cast

from tornado import util
from tornado.iostream import BaseIOStream, IOStream, StreamClosedError
from tornado.platform.asyncio import BaseAsyncIOLoop
from tornado.websocket import WebSocketHandler, WebSocketProtocol, WebSocketProtocol13

from ..wire import CloseCode, MessageReader, Opcode, ProtocolError, clip_reason, is_long, masked, unmasked, websocket
from .admission.allowances import ExhaustedError
from .connection import Framing
from .relay import AGAIN, Relay

_CHUNK = 1 << 14
_LARGE_CHUNK = 1 << 18

LONG = 0.001
"""Seconds after which others get their turn."""

_unmask: Callable[[bytes, bytes], bytes] = getattr(util, "_websocket_mask", unmasked)


class SocketTransport:
    """Writes ready WebSocket frames to the stream of a Tornado WebSocket.

    Tornado's ``write_message`` builds a header, a task and a future per message and peer; here the frame is
    built already and is the same for all peers.
    """

    framing: Framing = websocket

    def __init__(self, handler: WebSocketHandler, stream: IOStream) -> None:
        """Write to `stream`, which belongs to the accepted WebSocket of `handler`."""
        self._handler = handler
        self._stream = stream
        self._socket = stream.socket

    def write(self, parts: Sequence[bytes], written: Callable[[], None]) -> bool:
        """Write frames; return True if all is out already, else call `written` when it is."""
        stream, waiting = self._stream, None
        # All in this turn of the loop: Tornado's own pings and pongs must not get between the parts of a frame.
        for part in parts:
            try:  # past the stream's buffer where it is empty, which it nearly always is; else behind what is in it
                sent = 0 if stream.writing() else self._socket.send(part)
            except OSError:  # would block, or the peer is gone: the stream finds out which
                sent = 0
            if sent < len(part):
                if stream.closed():
                    return True
                waiting = stream.write(memoryview(part)[sent:])
        if waiting is None:
            return True
        waiting.add_done_callback(lambda _: written())
        return False

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, then close; a peer that does not answer is cut off by Tornado after 5 s."""
        self._handler.close(code, clip_reason(reason))


class FrameHandler(WebSocketHandler):
    """The handler of a WebSocket, as the code that reads its messages needs it: for a subclass to fill in.

    Attributes:
        relay: all rooms.
        inbox: the messages that were not handed on yet; None before any is read.
    """

    relay: Relay
    inbox: Inbox | None = None

    def on_frames(self, frames: list[bytes], deadline: float) -> int:
        """Hand on binary messages that came together, until a time; return how many."""
        raise NotImplementedError

    def hold_unfinished(self, size: int) -> None:
        """Count the bytes held of an unfinished message. Raises ExhaustedError where that is too much."""
        raise NotImplementedError

    def refuse(self, error: ProtocolError) -> None:
        """Close the socket for what is wrong with the peer's messages."""
        raise NotImplementedError


class Inbox:
    """The messages of a peer that were not handed on yet, and the bytes of an unfinished one, bounded in size and time.

    Attributes:
        messages: the opcode and the payload of each message that came whole.
        reader: takes the messages out of the bytes of the stream.
    """

    def __init__(self, handler: FrameHandler, overdue: Callable[[], None]) -> None:
        """Read for `handler`; `overdue` is called when a message was not finished in time, and `reader` has failed."""
        self.messages: deque[tuple[int, bytes]] = deque()
        self.reader = MessageReader(handler.relay.max_frame_size, _unmask)
        self._handler = handler
        self._overdue = overdue
        self._begun = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def take(self, data: bytes) -> None:
        """Take in the next bytes of the stream: messages that they complete, and a part of the next one."""
        messages = self.reader.feed(data)
        self.messages.extend(messages)
        unfinished = self.reader.unfinished
        try:
            self._handler.hold_unfinished(unfinished)
        except ExhaustedError as error:
            self.reader.fail(ProtocolError(f"a frame of which too much is held: {error}", CloseCode.NOT_ALLOWED))
        if unfinished and (messages or not self._begun):
            self._begun = monotonic()
            self._timer = self._timer or self._later(self._handler.relay.frame_timeout)
        elif not unfinished:
            self._begun = 0.0

    def rest(self) -> list[bytes]:
        """Return the frames that came whole and were not handed on yet, and let go of everything.

        Memory is given back now, and not when the garbage collector looks for cycles, which may be much later.
        """
        frames = [payload for opcode, payload in self.messages if opcode == Opcode.BINARY]
        self.messages.clear()
        del self.reader
        if self._timer:
            self._timer.cancel()
        return frames

    @property
    def refusal(self) -> ProtocolError | None:
        """The fault of the stream, once all messages before it are handed on; else None."""
        return None if self.messages else self.reader.error

    def _later(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._look_at_time)

    def _look_at_time(self) -> None:
        """Fail where the unfinished message began too long ago; look again later where it began since."""
        self._timer = None
        left = self._begun + self._handler.relay.frame_timeout - monotonic()
        if self._begun and left > 0:
            self._timer = self._later(left)
        elif self._begun:
            self.reader.fail(ProtocolError("a frame that was not finished in time", CloseCode.NOT_ALLOWED))
            self._overdue()


class RoomProtocol(WebSocketProtocol13):
    """Tornado's WebSocket protocol, reading in another way.

    Tornado reads a message in three steps, each with a future and a turn of the event loop. Here one callback takes
    what the socket has, and hands on all messages in it. The rest is Tornado's: the handshake, writing, pings, closing.
    Whether the private names that this takes are those of the Tornado that is installed, `unexpected_names` says.
    """

    handler: FrameHandler

    async def _receive_frame_loop(self) -> None:
        self._inbox = self.handler.inbox = Inbox(self.handler, lambda: self._work_off(0.0))
        self._messages = self._inbox.messages
        self._listening = False
        self._preparing: asyncio.Task[None] | None = None
        self._socket = self.stream.socket
        self._loop = cast(BaseAsyncIOLoop, self.stream.io_loop).selector_loop
        try:
            # What came with the handshake is in the stream's buffer. Then a read stays pending for good: it keeps
            # the stream waiting for the socket, on which we take its place, and ends when the stream is closed.
            while (reading := asyncio.ensure_future(self.stream.read_bytes(_CHUNK, partial=True))).done():
                self._inbox.take(reading.result())
                while self._messages:
                    await self._prepare()
                    self._work_off(monotonic() + LONG)
                    await asyncio.sleep(self.handler.relay.pause(LONG) if self._messages else 0)
            self._listen()  # in this turn, however long it took: else the stream would read what comes next
            self._go_on()
            await reading
        except StreamClosedError:
            pass
        finally:
            self._abort()
            self.handler.on_ws_connection_close(self.close_code, self.close_reason)  # which takes the rest
            if self._preparing:
                self._preparing.cancel()

    def _listen(self) -> None:
        if not self._listening:
            self._listening = True
            self._loop.add_reader(self._socket.fileno(), self._readable)
        # What is decrypted already, the event loop does not see.
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            self._loop.call_soon(self._readable)

    def _readable(self) -> None:
        """Take what the socket has, but not too much at once: the others are waiting."""
        if self.stream.closed() or not self._listening:
            return
        begun = monotonic()
        try:
            data = self._socket.recv(_LARGE_CHUNK if self._inbox.reader.missing > _CHUNK else _CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            data = b""
        if not data:
            self._abort()
            return
        self._inbox.take(data)
        self._go_on(begun)

    def _go_on(self, begun: float | None = None) -> None:
        """Hand on the messages that came, and read on; a peer that sends faster than that gets a share of the time."""
        if self.stream.closed():
            return
        begun = monotonic() if begun is None else begun
        self._work_off(begun + LONG)
        if self.stream.closed():
            return
        spent = monotonic() - begun
        if spent < LONG and not self._messages:
            self._listen()
            return
        if self._listening:
            self._listening = False
            self._loop.remove_reader(self._socket.fileno())
        if self._messages and _is_unprepared(self._messages[0]):
            self._preparing = asyncio.ensure_future(self._prepare_and_go_on(begun))
        else:
            self._loop.call_later(self.handler.relay.pause(spent) if spent >= LONG else AGAIN, self._go_on)

    async def _prepare_and_go_on(self, begun: float) -> None:
        try:
            await self._prepare()
        except Exception:  # a fault of ours, or no memory
            self.handler.log_exception(*sys.exc_info())
            self._abort()
        self._go_on(begun)

    async def _prepare(self) -> None:
        """Have the next message prepared, if that is a long one; those after it wait."""
        if self._messages and _is_unprepared(message := self._messages[0]):
            frame = await self.handler.relay.prepare(message[1])
            if self._messages and self._messages[0] is message:
                self._messages[0] = message[0], frame

    def _work_off(self, deadline: float) -> None:
        """Hand on the messages that came, frames together, until the time is up or they have to wait.

        Say what is wrong with the rest.
        """
        while self._messages and not self.stream.closed():
            frames = [payload for _, payload in takewhile(_is_ready, self._messages)]
            if not frames and _is_unprepared(self._messages[0]):
                break
            if frames and not self.client_terminated:
                taken = self._hand_on(frames, deadline)
                for _ in range(taken):
                    self._messages.popleft()
                if not taken:
                    break
            else:
                self._handle_message(*self._messages.popleft())
            if monotonic() > deadline:
                break
        if not self.server_terminated and (error := self._inbox.refusal):
            self.handler.refuse(error)
            _end_writing(self.stream)

    def _hand_on(self, frames: list[bytes], deadline: float) -> int:
        """Hand frames on until a time; return how many."""
        try:
            return self.handler.on_frames(frames, deadline)
        except Exception:  # a fault of ours, as for Tornado's own callbacks
            self.handler.log_exception(*sys.exc_info())
            self._abort()
            return len(frames)


def _is_ready(message: tuple[int, bytes]) -> bool:
    return message[0] == Opcode.BINARY and not _is_unprepared(message)


def _is_unprepared(message: tuple[int, bytes]) -> bool:
    opcode, frame = message
    return opcode == Opcode.BINARY and is_long(frame)


def _end_writing(stream: IOStream) -> None:
    """Close a socket on our side only: what else comes is passed over, or else the close frame would get lost."""
    with suppress(OSError):
        if not stream.writing():
            stream.socket.shutdown(socket.SHUT_WR)


class CheckedStream:
    """The stream of a WebSocket for Tornado's own reading: it gives whole, well-formed messages only.

    Tornado holds any number of bytes of an unfinished message for any time, and answers a malformed one by cutting the
    connection. So an `Inbox` reads first; a message that came whole is framed again, in one packet, for Tornado to
    read and to hand to ``on_message``. All else is what the stream has and does.
    """

    def __init__(self, stream: IOStream, handler: FrameHandler, connection: WebSocketProtocol) -> None:
        """Read from `stream` for `handler`, whose `connection` reads from this one then."""
        self._inbox = handler.inbox = Inbox(handler, self._refuse)
        self._stream = stream
        self._handler = handler
        self._connection = connection
        self._packet = b""
        self._at = 0

    def __getattr__(self, name: str) -> Any:
        """Return what the stream has of this name."""
        return getattr(self._stream, name)

    async def read_bytes(self, size: int) -> bytes:
        """Return the next `size` bytes of the peer's messages; raises StreamClosedError when no more come."""
        while len(self._packet) - self._at < size:
            if self._inbox.messages:
                opcode, payload = self._inbox.messages.popleft()
                self._packet = self._packet[self._at :] + masked(opcode, payload)
                self._at = 0
                continue
            self._refuse()
            self._inbox.take(await self._stream.read_bytes(_LARGE_CHUNK, partial=True))
        self._at += size
        return self._packet[self._at - size : self._at]

    def _refuse(self) -> None:
        if not self._connection.is_closing() and (error := self._inbox.refusal):
            self._handler.refuse(error)
            _end_writing(self._stream)


# ---------------------------------------------------------------------- Tornado's private names


def unexpected_names() -> list[str]:
    """Return which private names of Tornado that `RoomProtocol` takes are not there, or not as in Tornado 6.6.

    Where there are any, Tornado is to read by itself (`CheckedStream`).
    """
    return [name for name, as_expected in _private_names() if not as_expected]


def _private_names() -> Iterator[tuple[str, bool]]:
    protocol = WebSocketProtocol13
    loop = getattr(protocol, "_receive_frame_loop", None)
    # An override that nobody calls is none.
    called = any("_receive_frame_loop" in names for names in map(_names_in, vars(protocol).values()))
    yield "WebSocketProtocol13._receive_frame_loop", inspect.iscoroutinefunction(loop) and called
    yield "WebSocketProtocol13._abort", _takes(protocol, "_abort", "self")
    yield "WebSocketProtocol13._handle_message", _takes(protocol, "_handle_message", "self", "opcode", "data")
    yield "_websocket_mask", _unmasks(getattr(util, "_websocket_mask", None))
    yield "IOStream.io_loop", "io_loop" in _names_in(BaseIOStream.__init__)
    yield "BaseAsyncIOLoop.selector_loop", "selector_loop" in _names_in(BaseAsyncIOLoop.initialize)
    # The stream waits for its socket in the way in which we take its place.
    yield "BaseAsyncIOLoop.add_handler", "add_reader" in _names_in(BaseAsyncIOLoop.add_handler)
    closing = "self", "close_code", "close_reason"
    yield "WebSocketHandler.on_ws_connection_close", _takes(WebSocketHandler, "on_ws_connection_close", *closing)
    made = None
    with suppress(Exception):  # whatever another constructor says to our arguments
        made = protocol(cast(Any, None), False, cast(Any, SimpleNamespace(compression_options=None)))
    for name in ("params", "client_terminated", "server_terminated", "close_code", "close_reason"):
        yield f"WebSocketProtocol13.{name}", hasattr(made, name)


def _names_in(function: object) -> tuple[str, ...]:
    """Return the names of attributes and globals in the code of a function."""
    return function.__code__.co_names if isinstance(function, FunctionType) else ()


def _takes(owner: type, name: str, *parameters: str) -> bool:
    function = getattr(owner, name, None)
    return callable(function) and tuple(inspect.signature(function).parameters) == parameters


def _unmasks(function: Any) -> bool:
    with suppress(Exception):
        return bool(function(b"\1\2\3\4", b"\0\0\0\0\1") == b"\1\2\3\4\0")
    return False
