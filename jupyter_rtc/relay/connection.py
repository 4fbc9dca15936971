"""One peer's sending side: bounded, and never waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Protocol

_LARGE = 1 << 16


class Framing(Protocol):
    """How frames are delimited on one kind of transport, such as `wire.websocket`."""

    def header(self, size: int) -> bytes:
        """Return the header of a frame of `size` bytes."""

    def message(self, payload: bytes) -> bytes:
        """Return a frame with its header."""


class Transport(Protocol):
    """What a connection writes to: the peer's socket."""

    @property
    def framing(self) -> Framing:
        """How frames are told apart there."""

    def write(self, parts: Sequence[bytes], written: Callable[[], None]) -> bool:
        """Write framed frames; return True if all is out already, else call `written` once it is, later.

        The parts follow each other without anything between them, such as an answer to the peer's ping.
        """

    def close(self, code: int, reason: str) -> None:
        """Say goodbye with a close code and a reason, then close the socket."""


class TooSlowError(Exception):
    """More waits for a peer than may."""


class Connection:
    """Sends frames to one peer, as fast as it reads them.

    What the socket does not take yet waits in an outbox; a peer whose outbox passes its limit, or whose socket fails,
    is given up. Connecting again brings it up to date, so nothing is lost. The state of the document with which it is
    brought up to date does not count, or a peer that needs a large one would be given up whenever it comes. Presence
    does not wait: what a peer was not sent yet of a client is replaced by its newest state.

    Attributes:
        framing: how frames are told apart on the way to the peer.
        busy: whether the peer has still to read what was written before: what is sent now waits.
        waiting: bytes in the outbox.
        last_sent: when something was last sent to the peer, in seconds of the relay's clock; for keep-alives.
    """

    __slots__ = (
        "_give_up",
        "_limit",
        "_outbox",
        "_presence",
        "_stale",
        "_state",
        "_transport",
        "busy",
        "closed",
        "framing",
        "last_sent",
        "waiting",
    )

    def __init__(
        self,
        transport: Transport,
        limit: int,
        give_up: Callable[[Exception], None],
        presence: Callable[[Iterable[int]], bytes],
    ) -> None:
        """Make a connection with an outbox of `limit` bytes.

        `give_up` is called with what `transport` raised, or with TooSlowError when the outbox overflows; `presence`
        returns the frame of the newest states of some clients.
        """
        self.framing = transport.framing
        self._transport = transport
        self._limit = limit
        self._give_up = give_up
        self._presence = presence
        self._stale: dict[int, None] = {}
        self._outbox: list[tuple[bytes, ...]] = []
        self._state: tuple[bytes, ...] = ()
        self.busy = False
        self.waiting = 0
        self.closed = False
        self.last_sent = 0.0

    def send(self, *parts: bytes) -> None:
        """Send framed frames, now or when the peer has read what came before them.

        A large frame comes in parts, so that it is never copied: all of them in one call. Nothing is raised: whoever
        sends to many must come to the next one.
        """
        self._send(parts)

    def send_state(self, *parts: bytes) -> None:
        """Send the state of the document: it does not count towards the limit, unless an earlier state still waits."""
        if self.busy and not (self.closed or self._state):
            self._state = parts
        self._send(parts)

    def show(self, clients: Iterable[int]) -> None:
        """Send the newest states of clients, once the peer has read what came before."""
        self._stale.update(dict.fromkeys(clients))
        if not self.busy:
            self._catch_up()

    def _catch_up(self) -> None:
        stale, self._stale = self._stale, {}
        self._send((self.framing.message(self._presence(stale)),))

    def _send(self, parts: tuple[bytes, ...]) -> None:
        if self.closed:
            return
        if not self.busy:
            try:
                self.busy = not self._transport.write(parts, self._written)
            except Exception as error:  # whatever it is, it concerns this peer only
                self._give_up(error)
            return
        self._outbox.append(parts)
        self.waiting += _size(parts)
        if self.waiting - sum(map(len, self._state)) > self._limit:
            self._give_up(TooSlowError())

    def close(self, code: int, reason: str = "") -> None:
        """Close the socket with a code, and drop the outbox. Does nothing the second time."""
        if not self.closed:
            self.detach()
            self._transport.close(code, reason)

    def detach(self) -> None:
        """Send nothing from now on: the socket is gone."""
        self.closed = True
        self._outbox.clear()
        self._stale.clear()
        self._state = ()
        self.waiting = 0

    def _written(self) -> None:
        self.busy = False
        while self._outbox and not self.busy:
            self._send(self._next())
        if self._stale and not self.busy:
            self._catch_up()

    def _next(self) -> tuple[bytes, ...]:
        """Take the frames of the next write from the outbox: small ones joined, a large one alone and uncopied."""
        first = self._outbox[0]
        count, size = 1, _size(first)
        while count < len(self._outbox) and size + _size(self._outbox[count]) <= _LARGE:
            size += _size(self._outbox[count])
            count += 1
        if any(waiting is self._state for waiting in self._outbox[:count]):
            self._state = ()
        parts = first if count == 1 else (b"".join(chain.from_iterable(self._outbox[:count])),)
        del self._outbox[:count]
        self.waiting -= size
        return parts


def _size(parts: Sequence[bytes]) -> int:
    return len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
