"""The relay's routes: the WebSocket of a room, and the list of rooms. Tornado in, one method call, out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, cast

from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.iostream import IOStream
from tornado.web import HTTPError, authenticated
from tornado.websocket import WebSocketProtocol, WebSocketProtocol13

from ..wire import CloseCode, Identity, ProtocolError, clip_reason, is_long
from .admission.allowances import ExhaustedError, Holding
from .admission.rights import UserRights
from .kinds import RoomKind
from .member import Member
from .open_room import OpenRoom
from .relay import AGAIN, Relay
from .residents import RoomError
from .sockets import LONG, CheckedStream, FrameHandler, RoomProtocol, SocketTransport, unexpected_names
from .storing.store import StoreError

__all__ = ["FreeRoomHandler", "RoomSocket", "RoomsHandler", "unexpected_names"]


class RoomSocket(WebSocketMixin, FrameHandler, JupyterHandler):
    """The WebSocket of one peer in one room."""

    auth_resource = "contents"

    def initialize(self, relay: Relay, free: bool, by_tornado: bool) -> None:
        """Take the relay that this socket leads to; `free` lets clients choose a room's name.

        Messages are read `by_tornado`, or by us in its place (`RoomProtocol`).
        """
        self.relay = relay
        self.free = free
        self.by_tornado = by_tornado
        self._given = {"relay": relay, "free": free, "by_tornado": by_tornado}
        self.kind: RoomKind | None = None
        self.room: OpenRoom | None = None
        self.member: Member | None = None
        self._gone = False
        self._spent = 0.0
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
        if self._gone:  # gone meanwhile
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
        connection, member = self.ws_connection, self.member
        stream = connection.stream if connection else None
        if connection is None or stream is None or stream.closed() or member is None:
            return  # gone during the handshake: nobody is let in
        self.set_nodelay(True)
        if self.by_tornado:
            connection.stream = cast(IOStream, CheckedStream(stream, self, connection))
        transport = SocketTransport(self, stream)
        try:
            assert self.kind is not None
            if self.relay.kind(name) is not self.kind:  # deleted meanwhile: its name may be that of a free room now
                raise RoomError(CloseCode.NOT_FOUND, f"no such room any more: {name}")
            async with self.relay.hold(name, member.identity.username) as room:
                member.writable = await self._may_edit(self.kind, name)  # it may have been moved since
                self.relay.join(room, member, transport, partial(self._ask_again, name))
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

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Return our way to read in place of Tornado's, of which everything else is taken."""
        tornados = super().get_websocket_protocol()
        if not isinstance(tornados, WebSocketProtocol13) or self.by_tornado:
            return tornados
        return RoomProtocol(self, False, tornados.params)

    def on_frames(self, frames: list[bytes], deadline: float) -> int:
        """Hand binary messages on that came together, until a time; return how many."""
        if self.room is not None and self.member is not None:
            return self.relay.receive(self.room, self.member, *frames, deadline=deadline)
        return len(frames)

    def hold_unfinished(self, size: int) -> None:
        """Take note of how many bytes of an unfinished frame are held. Raises ExhaustedError where it is too much."""
        if self._unfinished:
            self._unfinished.hold(size)

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        """Refuse a text message; take in a binary one that Tornado read, which reads the next one after that."""
        if isinstance(message, bytes):
            return self._take_in(message)
        self.refuse(ProtocolError("text frames are not part of the protocol"))
        return None

    async def _take_in(self, frame: bytes) -> None:
        if is_long(frame):
            frame = await self.relay.prepare(frame)
        while True:
            begun = monotonic()
            taken = self.on_frames([frame], begun + LONG)
            self._spent += monotonic() - begun
            if taken:
                break
            await asyncio.sleep(AGAIN)
        if self._spent >= LONG:
            spent, self._spent = self._spent, 0.0
            await asyncio.sleep(self.relay.pause(spent))

    def refuse(self, error: ProtocolError) -> None:
        """Close with a code, and let the peer wait at the door."""
        if self.room is not None and self.member is not None:
            self.relay.refuse(self.room, self.member, error)
        self.close(error.code, error.reason)  # unless that has been done

    def on_close(self) -> None:
        """Leave the room, and let go of it: the ping, which nobody else stops, keeps this handler for half a minute."""
        self._gone = True
        rest = self.inbox.rest() if self.inbox else []
        if self.room is not None and self.member is not None:
            self.relay.leave(self.room, self.member, rest)
        self.room = self.member = self.inbox = None
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
                again = RoomSocket(self.application, self.request, **self._given)
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
