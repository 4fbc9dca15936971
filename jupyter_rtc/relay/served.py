"""A room in memory with the connections of its members: frames to send, timers and counters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any, TypeAlias

from ..machine import Pace
from ..wire import protocol
from .admission.charges import Charge
from .connection import Connection, Framing
from .effects import Broadcast, Send, Show
from .member import Member
from .residents import Kind, Resident, where
from .room import Room

Follower: TypeAlias = Callable[[bytes | None, str], None]
"""Called with each update of a room and its origin, and with None whenever its document began anew."""

_KEEPALIVE = protocol.awareness([])
"""An awareness update about nobody: it resets the watchdog of a Yjs client, and changes nothing."""

_LARGE = 1 << 16
_STATE_KEPT = 10.0

_LONGEST_QUIET = 0.1
"""Seconds that frames wait at most while something is worked out from a document."""

_GAP_PER_MEMBER = 0.0005
"""Seconds between two writes to all members, for each of them: so a room takes a fiftieth of a core for its writes."""

_LONGEST_GAP = 0.025
"""The most seconds between two writes: less than two pictures of a screen."""


class _Batch:
    """Frames for all members that leave in one write, as transports of one kind frame them.

    Attributes:
        edits: the framed updates of the document.
        presence: the framed awareness update; empty if there is none.
        whole: both.
    """

    __slots__ = ("_packets", "edits", "presence", "whole")

    def __init__(self, framing: Framing, frames: Sequence[tuple[bytes, Member | None]], presence: bytes) -> None:
        """Frame `frames`, each with its sender, and that of presence, which is empty if there is none."""
        self._packets = [(framing.message(frame), sender) for frame, sender in frames]
        self.edits = b"".join([packet for packet, _ in self._packets])
        self.presence = framing.message(presence) if presence else b""
        self.whole = self.edits + self.presence

    def without(self, member: Member) -> bytes:
        """Return the edits that a member did not send itself."""
        return b"".join([packet for packet, sender in self._packets if sender is not member])


class ServedRoom:
    """A room in memory, its resident, and its members' connections.

    Attributes:
        kind: the kind of the room.
        resident: looks after the room, once it is loaded.
        gone: whether the room was dropped from memory; another room of its name may be open since.
        holds: the number of handles that keep it in memory, besides its members.
        turn: held by the one who sets the document to something (see `OpenRoom.turn`).
        followers: callbacks for each update.
        idle_since: when the room was last in use, in seconds of the relay's clock.
        snapshot_seq: the number of the last update in the snapshot in the store.
        snapshot_bytes: its size.
        log_bytes: size of the log after it.
        logged: how many bytes of updates were stored since the room was opened.
        charge: what a free room takes of the allowance of the user who began it; None for other rooms.
        place: its place among the rooms that its opener may have in memory; given back when the room is dropped.
        stored: whether the store keeps the room.
        unkept: why it does not, although it should, in a sentence; else empty.
        trouble: why the room's updates could not be stored at the last look, in a sentence; empty if they could.
        compacting: whether the log is being folded into the snapshot.
        rebased: how often the snapshot was replaced by another than a fold of the log.
        due: when frames for all members may leave again, in seconds of the relay's clock.
        judging: the quarantined members whose documents are being judged.
        lost_from: the users of whose refused, too large changes the members were told.
        told: the last verdict that quarantined members were told, by user and clients.
        proved: the number of the last update with which the document was read back and found the same.
        proving: whether it is being read back.
        prove_after: when it may be read back again, in seconds of the relay's clock.
        fold_after: when the log may be folded again, likewise.
        rebuilding: the task that builds the document again, or did so last; None if it never had to be.
        meanwhile: the updates that come while the document is being built again; None at all other times.
    """

    def __init__(self, room: Room, kind: Kind, unkept: str, now: float) -> None:
        """Serve `room`, of `kind`, from the time `now` on; `unkept` says why the store cannot keep it, if so."""
        self.room = room
        self.kind = kind
        self.resident = Resident()
        self.gone = False
        self.holds = 0
        self.turn = asyncio.Lock()
        self.followers: list[Follower] = []
        self.place = ExitStack()
        self.charge: Charge | None = None
        self.stored = kind.stored and not unkept
        self.unkept = unkept
        self.trouble = ""
        self.connections: dict[Member, Connection] = {}
        self.idle_since = now
        self.snapshot_seq = self.snapshot_bytes = self.log_bytes = self.logged = 0
        self.compacting = self.proving = False
        self.rebased = 0
        self.proved = room.seq
        self.prove_after = self.fold_after = self.due = now
        self.judging: set[Member] = set()
        self.lost_from: set[str] = set()
        self.told: dict[tuple[str, frozenset[int]], str] = {}
        self.rebuilding: asyncio.Task[None] | None = None
        self.meanwhile: list[bytes] | None = None
        self._pending: list[tuple[bytes, Member | None]] = []
        self._stale: dict[int, None] = {}
        self._waits = False
        self._state_sent = self._quiet_until = self._rest_until = now
        self._frames_in = self._bytes_in = self._deliveries = self._quiets = 0

    @property
    def where(self) -> str:
        """The end of a log line: the path of the room's file, in brackets; empty where it has none."""
        return where(self.kind, self.room.name)

    @property
    def begun_by(self) -> str | None:
        """The user who began this free room; None for other rooms."""
        return self.charge.user if self.charge else None

    @property
    def in_use(self) -> bool:
        """Whether the room has members, a document is being judged, or somebody holds the room."""
        return bool(self.connections or self.judging or self.holds)

    def let_go(self) -> None:
        """Take note that a handle was let go."""
        self.holds -= 1
        self.idle_since = monotonic()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Have the frames of members wait in the context, for a tenth of a second at most, and half of the time."""
        begun = monotonic()
        if not self._quiets:
            self._quiet_until = begun + _LONGEST_QUIET if begun >= self._rest_until else begun
        self._quiets += 1
        try:
            yield
        finally:
            self._quiets -= 1
            ended = min(monotonic(), self._quiet_until)
            self._rest_until = max(self._rest_until, 2 * ended - begun)

    @property
    def is_quiet(self) -> bool:
        """Whether frames of members wait now. On the hot path."""
        return self._quiets > 0 and monotonic() < self._quiet_until

    def can_reach(self, member: Member) -> bool:
        """Say whether a member is here, and was not closed yet."""
        connection = self.connections.get(member)
        return connection is not None and not connection.closed

    def stores(self, seq: int, snapshot: int, log: int) -> None:
        """Take note of what the store has: a snapshot at update `seq`, and its size and the log's."""
        self.snapshot_seq, self.snapshot_bytes, self.log_bytes = seq, snapshot, log
        if self.charge:
            self.charge.grown(snapshot + log)

    def logs(self, more: int) -> None:
        """Take note that the log in the store has so many more bytes. On the hot path."""
        self.log_bytes += more
        self.logged += more
        if self.charge:
            self.charge.grown(self.snapshot_bytes + self.log_bytes)

    def count(self, frame: bytes) -> None:
        """Count a frame that came in."""
        self._frames_in += 1
        self._bytes_in += len(frame)

    def send(self, effect: Send, now: float) -> None:
        """Send one frame, whole or in parts, to one member."""
        connection = self.connections.get(effect.member)
        if connection is None:
            return
        connection.last_sent = now
        parts = (effect.frame,) if isinstance(effect.frame, bytes) else effect.frame
        size = sum(map(len, parts))
        if size < _LARGE:
            connection.send(connection.framing.message(b"".join(parts)))
            return
        self._state_sent = now
        send = connection.send_state if effect.state else connection.send
        send(connection.framing.header(size), *parts)

    def show(self, effect: Show) -> None:
        """Show one member the newest states of clients."""
        connection = self.connections.get(effect.member) if effect.member else None
        if connection:
            connection.show(effect.clients)

    def enqueue(self, effect: Broadcast | Show) -> bool:
        """Keep a frame, or clients to be shown, for all members until `flush`; return whether it is the first."""
        if isinstance(effect, Show):
            self._stale.update(dict.fromkeys(effect.clients))
        else:
            self._pending.append((effect.frame, effect.sender))
        first, self._waits = not self._waits, True
        return first

    def flush(self, now: float, pace: Pace) -> None:
        """Write what was kept: one write per member, the same bytes for all who sent nothing of it.

        Whoever has not read yet what was written before is shown the newest states when that is done.
        """
        pending, self._pending, self._waits = self._pending, [], False
        self.due = now + min(len(self.connections) * _GAP_PER_MEMBER, _LONGEST_GAP)
        shown = self._shown(now, pace) if self._stale else []
        presence = self.presence(shown) if shown else b""
        senders = {sender for _, sender in pending}
        batches: dict[int, _Batch] = {}  # by their framing: the same bytes for all whose transports are of one kind
        self._deliveries += (len(pending) + bool(shown)) * len(self.connections)
        for member, connection in list(self.connections.items()):
            batch = batches.get(id(connection.framing))
            if batch is None:
                batch = batches[id(connection.framing)] = _Batch(connection.framing, pending, presence)
            late = shown if connection.busy else []
            data = batch.edits if late else batch.whole
            if member in senders:
                data = batch.without(member)
                data = data if late else data + batch.presence
            if data:
                connection.last_sent = now
                connection.send(data)
            if late:
                connection.show(late)

    def presence(self, clients: Iterable[int]) -> bytes:
        """Return the frame of the newest states of clients."""
        return self.room.presence(clients)

    @property
    def withholds(self) -> bool:
        """Whether awareness states are withheld, for their users show more than their rate allows."""
        return bool(self._stale) and not self._waits

    def _shown(self, now: float, pace: Pace) -> list[int]:
        """Take the awareness states that may be shown now; those of users beyond their rate wait."""
        weight = self.room.awareness.weight
        shown = [client for client in self._stale if pace.take(*weight(client), now)]
        for client in shown:
            del self._stale[client]
        return shown

    def keep_alive(self, now: float, interval: float) -> None:
        """Send a keep-alive to each member that was sent nothing for `interval` seconds."""
        for connection in list(self.connections.values()):  # one whose outbox is full now is dropped
            if now - connection.last_sent >= interval:
                connection.last_sent = now
                connection.send(connection.framing.message(_KEEPALIVE))

    def forget_state(self, now: float) -> None:
        """Give back the memory of the encoded document a while after it was last sent."""
        if now - self._state_sent > _STATE_KEPT:
            self.room.forget_full_state()

    def overview(self) -> dict[str, Any]:
        """Return name, lineage, members, sizes in bytes, and counters since the room was opened."""
        return {
            "name": self.room.name,
            "lineage": self.room.lineage,
            "members": [
                {
                    "username": member.identity.username,
                    "display_name": member.identity.user.get("display_name", member.identity.username),
                    "writable": member.writable,
                    "waiting": connection.waiting,
                }
                for member, connection in self.connections.items()
            ],
            "updates": self.room.seq,
            "snapshot_bytes": self.snapshot_bytes,
            "log_bytes": self.log_bytes,
            "frames_in": self._frames_in,
            "bytes_in": self._bytes_in,
            "deliveries": self._deliveries,
            "unstored": self.trouble or None,
            **self.resident.describe(),
        }
