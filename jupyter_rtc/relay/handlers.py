"""The relay's routes: the WebSocket of a room, and the list of rooms. Tornado in, one method call, out."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import takewhile
from time import monotonic
from typing import Any, cast

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.iostream import IOStream, StreamClosedError
from tornado.platform.asyncio import BaseAsyncIOLoop
from tornado.util import _websocket_mask
from tornado.web import HTTPError, authenticated
from tornado.websocket import WebSocketHandler, WebSocketProtocol13

from ..wire import CloseCode, Identity, MessageReader, Opcode, ProtocolError, clip_reason, is_long, websocket
from .admission.allowances import ExhaustedError, Holding
from .admission.rights import UserRights
from .connection import Framing
from .kinds import RoomKind
from .member import Member
from .open_room import OpenRoom
from .relay import AGAIN, Relay
from .residents import RoomError
from .storing.store import StoreError

_CHUNK = 1 << 14
_LARGE_CHUNK = 1 << 18
_LONG = 0.001


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


class RoomProtocol(WebSocketProtocol13):
    """Tornado's WebSocket protocol, reading in another way.

    Tornado reads a message in three steps, each with a future and a turn of the event loop. Here one callback takes
    what the socket has, and hands on all messages in it. The rest is Tornado's: the handshake, writing, pings, closing.
    """

    handler: RoomSocket

    def __init__(self, handler: RoomSocket, mask_outgoing: bool, params: Any) -> None:
        """Read what the client of a handler sends."""
        super().__init__(handler, mask_outgoing, params)
        self._messages: deque[tuple[int, bytes]] = deque()

    async def _receive_frame_loop(self) -> None:
        self._reader = MessageReader(self.params.max_message_size, _websocket_mask)
        self._listening, self._begun = False, 0.0
        self._overdue: asyncio.TimerHandle | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._socket = self.stream.socket
        self._loop = cast(BaseAsyncIOLoop, self.stream.io_loop).selector_loop
        try:
            # What came with the handshake is in the stream's buffer. Then a read stays pending for good: it keeps
            # the stream waiting for the socket, on which we take its place, and ends when the stream is closed.
            while (reading := asyncio.ensure_future(self.stream.read_bytes(_CHUNK, partial=True))).done():
                self._take(reading.result())
                while self._messages:
                    await self._prepare()
                    self._work_off(monotonic() + _LONG)
                    await asyncio.sleep(self.handler.relay.pause(_LONG) if self._messages else 0)
            self._listen()  # in this turn, however long it took: else the stream would read what comes next
            self._go_on()
            await reading
        except StreamClosedError:
            pass
        finally:
            self._abort()
            self.handler.on_ws_connection_close(self.close_code, self.close_reason)  # which takes the rest
            self._let_go()

    def _let_go(self) -> None:
        """Give back what is kept of messages: now, and not when somebody looks for cycles, which may be much later."""
        del self._reader
        self._messages.clear()
        if self._overdue:
            self._overdue.cancel()
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
            data = self._socket.recv(_LARGE_CHUNK if self._reader.missing > _CHUNK else _CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            data = b""
        if not data:
            self._abort()
            return
        self._take(data)
        self._go_on(begun)

    def _go_on(self, begun: float | None = None) -> None:
        """Work off what came, and read on; who sends more than can be worked off gets a part of the time, not all."""
        if self.stream.closed():
            return
        begun = monotonic() if begun is None else begun
        self._work_off(begun + _LONG)
        if self.stream.closed():
            return
        spent = monotonic() - begun
        if spent < _LONG and not self._messages:
            self._listen()
            return
        if self._listening:
            self._listening = False
            self._loop.remove_reader(self._socket.fileno())
        if self._messages and _is_unprepared(self._messages[0]):
            self._preparing = asyncio.ensure_future(self._prepare_and_go_on(begun))
        else:
            self._loop.call_later(self.handler.relay.pause(spent) if spent >= _LONG else AGAIN, self._go_on)

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

    def rest(self) -> list[bytes]:
        """Return the frames that came whole and were not handed on yet, and let go of them."""
        frames = [payload for opcode, payload in self._messages if opcode == Opcode.BINARY]
        self._messages.clear()
        return frames

    def _take(self, data: bytes) -> None:
        """Take in the next bytes of the stream: messages that they complete, and a part of the next one."""
        messages = self._reader.feed(data)
        self._messages.extend(messages)
        unfinished = self._reader.unfinished
        try:
            self.handler.hold_unfinished(unfinished)
        except ExhaustedError as error:
            self._reader.fail(ProtocolError(f"a frame of which too much is held: {error}", CloseCode.NOT_ALLOWED))
        if unfinished and (messages or not self._begun):
            self._begun = monotonic()
            self._overdue = self._overdue or self._loop.call_later(self.handler.relay.frame_timeout, self._look_at_time)
        elif not unfinished:
            self._begun = 0.0

    def _look_at_time(self) -> None:
        """Give up a message that is on its way for too long; one that begun later has its time still."""
        self._overdue = None
        left = self._begun + self.handler.relay.frame_timeout - monotonic()
        if self._begun and left > 0:
            self._overdue = self._loop.call_later(left, self._look_at_time)
        elif self._begun:
            self._reader.fail(ProtocolError("a frame that was not finished in time", CloseCode.NOT_ALLOWED))
            self._work_off(0.0)

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
        if not self._messages and (error := self._reader.error) and not self.server_terminated:
            # Closed on our side only, and what else comes passed over, or else the close frame would get lost.
            self.handler.refuse(error)
            with suppress(OSError):
                if not self.stream.writing():
                    self._socket.shutdown(socket.SHUT_WR)

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


class RoomSocket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """The WebSocket of one peer in one room."""

    auth_resource = "contents"

    def initialize(self, relay: Relay, free: bool) -> None:
        """Take the relay that this socket leads to; `free` lets clients choose a room's name."""
        self.relay = relay
        self.free = free
        self.kind: RoomKind | None = None
        self.room: OpenRoom | None = None
        self.member: Member | None = None
        self._protocol: RoomProtocol | None = None
        self._unfinished: Holding | None = None
        self.rights = UserRights(self)

    @property
    def max_message_size(self) -> int:
        """The largest message Tornado accepts, in bytes."""
        return self.relay.max_frame_size

    @ws_authenticated
    async def get(self, name: str) -> None:
        """Answer the handshake: 403 without the right to read, 404 where no such room can be."""
        kind = self.relay.kind(name)
        if kind is None or (kind.free and not self.free):
            raise HTTPError(404, f"no such room: {name}")
        writable = await self._may_edit(kind, name)
        try:
            await kind.admit(name)
        except RoomError as error:
            raise HTTPError(404, error.reason) from None
        if kind.free:
            await self._refuse_to_begin(name, writable)
        self.kind, self.member = kind, Member(self._identity(), writable)
        await self.relay.faults.wait(name, self.member.identity.username)
        if self._on_close_called:  # gone meanwhile
            return
        allowances, username = self.relay.allowances, self.member.identity.username
        try:
            if self.relay.get(name) is None:
                with allowances.rooms.taken(username):
                    pass  # there would be place for it
            with allowances.sockets.taken(username):
                self._unfinished = Holding(allowances.unfinished, username)
                await super().get(name)  # returns when the socket is closed
        except ExhaustedError as error:
            raise HTTPError(429, str(error)) from None
        finally:
            self.hold_unfinished(0)

    async def open(self, name: str) -> None:
        """Come in, once the room is loaded; a room that cannot be loaded closes with its code."""
        super().open(name)
        stream = self.ws_connection.stream if self.ws_connection else None
        if stream is None or stream.closed() or self.member is None:
            return  # gone during the handshake: nobody is let in
        self.set_nodelay(True)
        transport = SocketTransport(self, stream)
        try:
            async with self.relay.hold(name, self.member.identity.username) as room:
                assert self.kind is not None
                self.member.writable = await self._may_edit(self.kind, name)  # it may have been moved since
                self.relay.join(room, self.member, transport, partial(self._ask_again, name))
        except RoomError as error:
            self.close(error.code, clip_reason(error.reason))
        except ExhaustedError as error:
            self.close(CloseCode.NOT_ALLOWED, clip_reason(str(error)))
        except HTTPError:
            self.close(CloseCode.NOT_ALLOWED, "not allowed any more")
        else:
            self.room = room
        finally:
            if self.room is None:  # if not for a reason given above, then for a bug, which Tornado logs
                self.close(CloseCode.LOAD_FAILED, "the room could not be opened")

    def get_websocket_protocol(self) -> RoomProtocol | None:
        """Return our way to read in place of Tornado's, of which everything else is taken."""
        tornados = super().get_websocket_protocol()
        if isinstance(tornados, WebSocketProtocol13):
            self._protocol = RoomProtocol(self, False, tornados.params)
        return self._protocol

    def on_frames(self, frames: list[bytes], deadline: float) -> int:
        """Hand binary messages on that came together, until a time; return how many."""
        if self.room is not None and self.member is not None:
            return self.relay.receive(self.room, self.member, *frames, deadline=deadline)
        return len(frames)

    def hold_unfinished(self, size: int) -> None:
        """Take note of how many bytes of an unfinished frame are held. Raises ExhaustedError where it is too much."""
        if self._unfinished:
            self._unfinished.hold(size)

    def on_message(self, message: str | bytes) -> None:
        """Refuse a text message."""
        self.refuse(ProtocolError("text frames are not part of the protocol"))

    def refuse(self, error: ProtocolError) -> None:
        """Close with a code, and let the peer wait at the door."""
        if self.room is not None and self.member is not None:
            self.relay.refuse(self.room, self.member, error)
        self.close(error.code, error.reason)  # unless that has been done

    def on_close(self) -> None:
        """Leave the room, and let go of it: the ping, which nobody else stops, keeps this handler for half a minute."""
        if self.room is not None and self.member is not None:
            self.relay.leave(self.room, self.member, self._protocol.rest() if self._protocol else [])
        self.room = self.member = self._protocol = None
        if self.ping_callback is not None:
            self.ping_callback.stop()

    async def _may_edit(self, kind: RoomKind, name: str) -> bool:
        """Return whether edits of the user count; raises HTTPError for one who may not even read."""
        paths = None
        while paths != kind.paths(name):  # moved while they were asked for
            paths = kind.paths(name)
            if not await self.rights.may("read", kind.resource, paths):
                raise HTTPError(403, f"{self.current_user.username} may not read {kind.resource}")
            if not kind.belongs_to(name, self.current_user.username):
                raise HTTPError(403, f"this room is not for {self.current_user.username}")
            writable = kind.writable and await self.rights.may("write", kind.resource, paths)
        return writable

    async def _refuse_to_begin(self, name: str, writable: bool) -> None:
        """Raise HTTPError where there is no free room of this name, and the user may not begin it."""
        charges, username = self.relay.charges, self.current_user.username
        with suppress(StoreError):
            await charges.read()
        refusal = None if writable else HTTPError(404, f"no such room yet, and {username} may not begin one: {name}")
        try:
            charges.refuse_more(username)
        except ExhaustedError as error:
            refusal = refusal or HTTPError(429, str(error))
        if refusal and charges.get(name) is None and not await self.relay.is_begun(name):
            raise refusal

    async def _ask_again(self, name: str, afresh: bool) -> bool | None:
        """Put the request of the handshake once more: whether edits count, or None where it would be refused now.

        Where it is put `afresh`, it is to a handler of its own, which answers nobody: this one keeps its user, and can
        set no cookies any more.
        """
        assert self.kind is not None
        try:
            if afresh:
                again = RoomSocket(self.application, self.request, relay=self.relay, free=self.free)
                again.path_args, again.path_kwargs = self.path_args, self.path_kwargs
                await again.prepare()
                if not again.current_user:
                    return None
                self.rights = again.rights
            return await self._may_edit(self.kind, name)
        except HTTPError as error:
            if error.status_code in (401, 403):
                return None
            raise

    def _identity(self) -> Identity:
        model: dict[str, Any] = self.identity_provider.identity_model(self.current_user)
        own = frozenset(getattr(self.identity_provider, "updatable_fields", ()))
        identity = Identity(self.current_user.username, model, own)
        if identity.long:
            self.relay.warnings.warn(
                ("identity", identity.username),
                "what others are shown of %s leaves out what is too long for that: %s",
                identity.username,
                ", ".join(sorted(identity.long)),
            )
        return identity


class RoomsHandler(APIHandler):
    """``GET api/rtc/rooms``: what is open."""

    auth_resource = "contents"

    def initialize(self, relay: Relay) -> None:
        """Take the relay to report on."""
        self.relay = relay

    @authenticated
    @authorized
    async def get(self) -> None:
        """Return the open rooms that the user may read, the free rooms that are stored, and the store's trouble."""
        rights, readable = UserRights(self), []
        for room in self.relay.overview():
            kind = self.relay.kind(room["name"])
            if not kind or not kind.belongs_to(room["name"], self.current_user.username):
                continue
            if await rights.may("read", kind.resource, kind.paths(room["name"])):
                readable.append(room)
        with suppress(StoreError):  # which `store` says
            await self.relay.charges.read()
        free = [begun._asdict() for begun in self.relay.charges]
        self.finish({"rooms": readable, "free": free, "store": self.relay.keeper.report()})


class FreeRoomHandler(APIHandler):
    """``DELETE api/rtc/rooms/<name>``: an end of a free room, which nothing else ends."""

    auth_resource = "contents"

    def initialize(self, relay: Relay) -> None:
        """Take the relay whose room it is."""
        self.relay = relay

    @authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Delete a free room with what is stored of it; whoever is in it is closed with 1001."""
        kind = self.relay.kind(name)
        try:
            if kind is None or not kind.free or not await self.relay.is_begun(name):
                raise HTTPError(404, f"no such free room: {name}")
            await self.relay.charges.read()
        except StoreError as error:
            raise HTTPError(503, f"the store cannot be read: {error}") from None
        await self.relay.discard(name)
        self.log.info("room %s: deleted by %s", name, self.current_user.username)
        self.set_status(204)
        self.finish()
