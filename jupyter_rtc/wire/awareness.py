"""Who is in a room and what they show of themselves: the server's side of the awareness protocol. Pure.

Source: the awareness protocol of yjs/y-protocols. A client announces its own state under its client id with a
clock that only grows; a state of ``null`` takes it back. The server is no client: it has no state of its own.
"""

from __future__ import annotations

import json
from collections.abc import Container, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from .protocol import MAX_CLIENT_ID, AwarenessEntry, CloseCode, ProtocolError, decode_awareness

_PASSER_BY = 0
"""A client id that no client takes: they draw theirs from 2^32 numbers."""

_LONGEST_FIELD = 4096
"""How many characters a field of ``user`` may have that others are shown."""

_MAX_GONE = 10_000
"""How many clients that left are remembered, so that a late echo of their state does not bring them back."""
_MAX_GONE_OF_ONE = 1000
"""How many of them may be one user's: nobody has the others forgotten."""
_GRACE = 60.0
"""Seconds after the last renewal of a state for which its client stays its user's, who may come back."""
_LARGEST_CLOCK = 2**31
"""The largest clock that a client can have counted to which is not known here: one more with each move of a cursor."""
_LONGEST_STEP = 2**24
"""How far one that is known can have counted on meanwhile."""
_KEPT_WITH_EACH = 512
"""How many bytes a state counts for besides its text: what is kept with it."""
_MAX_ENTRIES = 10_000
"""How many states one update may hold, those passed over included."""


@dataclass(frozen=True)
class Identity:
    """Who the server knows a peer to be.

    `user` holds the fields of Jupyter Server's identity model; `own` names those that the identity provider lets
    users change for themselves, so that what the peer says of them is believed.
    """

    username: str
    user: dict[str, Any]
    own: frozenset[str] = frozenset()

    def sign(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return `state` with its ``user`` field set to what the server knows, without fields that are too long."""
        claimed = state.get("user")
        claimed = claimed if isinstance(claimed, dict) else {}
        believed = {key: claimed[key] for key in self.own if key in claimed}
        return {**state, "user": _short({**claimed, **self.user, **believed})}

    def said_of(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return what of `state` is the client's own: without what the server knows, which front ends repeat."""
        claimed = state.get("user")
        claimed = claimed if isinstance(claimed, dict) else {}
        return {**state, "user": {key: value for key, value in claimed.items() if self.user.get(key) != value}}

    @cached_property
    def long(self) -> frozenset[str]:
        """The fields that nobody is shown, for each state carries them to everybody: a picture as a ``data:`` URL."""
        return frozenset(self.user.keys() - _short(self.user).keys())

    @cached_property
    def size(self) -> int:
        """How many characters what the server knows takes in a state, when a client repeats it."""
        return _size(self.user)


def stirring(clock: int) -> list[AwarenessEntry]:
    """Return entries of a client that comes and goes at once: they change nothing, and clients look at all states anew.

    Each time `clock` must be larger, by 2 at least, or it is an echo.
    """
    return [AwarenessEntry(_PASSER_BY, clock, "{}"), AwarenessEntry(_PASSER_BY, clock + 1, None)]


def _short(user: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in user.items() if _size(value) <= _LONGEST_FIELD}


def _size(value: Any) -> int:
    """Return how many characters a value has as JSON of a client's."""
    if isinstance(value, str):
        return len(value)
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False)) if isinstance(value, dict | list) else 1


class _Gone(NamedTuple):
    clock: int
    username: str
    seen: float


_NOBODY = _Gone(-1, "", -_GRACE)


@dataclass
class _Client:
    clock: int
    state: str
    owner: Hashable
    username: str
    seen: float


class Awareness:
    """The states of a room's clients, each owned by the member that announced it.

    A member changes only the states of its own user. A client is the user's that showed it first, for as long as the
    connection lasts, silent or not, and for a while after, in which the user may come back. A state that another member
    of this user announced passes to it with the first frame it sends (a reconnection that overtakes the end of the old
    connection); later ones are echoes of the user's other windows, which tell each other first.

    Whoever comes in is sent all states, so that there is a bound on all of them together. In a room that is full,
    each member may hold an equal share: only those are refused anything who hold more, and nobody can fill the room
    so that others have no place in it.
    """

    def __init__(
        self, max_states: int = 64, max_size: int = 1 << 18, room_states: int = 5000, room_size: int = 1 << 23
    ) -> None:
        """Make an empty one; a member owns at most `max_states` states of at most `max_size` characters.

        What the server puts into a state, whose it is, does not count. The room is full with `room_states` states, or
        `room_size` bytes of them.
        """
        self._clients: dict[int, _Client] = {}
        self._gone: dict[int, _Gone] = {}
        self._gone_of: dict[str, dict[int, None]] = {}
        self._silent: dict[int, Hashable] = {}
        self._max_states = max_states
        self._max_size = max_size
        self._room_states = room_states
        self._room_size = room_size
        self._size = 0
        self._sizes: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def entries(self, clients: Iterable[int] | None = None) -> list[AwarenessEntry]:
        """Return the states of `clients`, or of everybody; those that left have none."""
        if clients is None:
            return [AwarenessEntry(id, client.clock, client.state) for id, client in self._clients.items()]
        return [
            AwarenessEntry(id, here.clock, here.state) if (here := self._clients.get(id)) else
            AwarenessEntry(id, max(0, self._gone.get(id, _NOBODY).clock), None)
            for id in clients
        ]  # fmt: skip

    def states(self, owners: Container[Hashable] | None = None) -> list[dict[str, Any]]:
        """Return the states of everybody who is here; if `owners` are given, those that these members announced."""
        return [
            json.loads(client.state) for client in self._clients.values() if owners is None or client.owner in owners
        ]

    def clients(self, owner: Hashable = None) -> list[int]:
        """Return the ids of the clients that a member announced, or of everybody who is here."""
        return [id for id, client in self._clients.items() if owner in (None, client.owner)]

    def size_of(self, owner: Hashable) -> int:
        """Return how many bytes the states of a member take, with what is kept with each."""
        size = self._sizes.get(owner, 0)
        return size + _KEPT_WITH_EACH * len(self.clients(owner)) if size else 0

    def weight(self, client: int) -> tuple[str, int]:
        """Return whose state that of a client is, and how many bytes it has; nothing for one that left."""
        here = self._clients.get(client)
        return (here.username, len(here.state)) if here else ("", 0)

    def apply(self, payload: bytes, owner: Hashable, identity: Identity, now: float) -> list[int]:
        """Take in an awareness update of a member; return the ids of the clients it changed.

        Peers echo each other's states: what is not newer, or not the member's own, is passed over.

        Raises:
            ProtocolError: the update cannot be decoded, a state is no JSON object or too big, there are too many
                of them, or the room is full; nothing is changed then.
        """
        mine = {*self.clients(owner)}
        taken: dict[int, tuple[int, str | None]] = {}
        for number, entry in enumerate(decode_awareness(payload)):
            another = self._is_of_another(entry.client, identity, now)
            clock = None if another else self._clock(entry, owner, identity, first=not mine)
            if clock is not None:
                taken[entry.client] = clock, self._signed(entry, identity)
            # Only a member's own states count: in a full room, a newcomer echoes everybody's.
            if len(taken.keys() | mine) > self._max_states or number > _MAX_ENTRIES:
                raise ProtocolError("too many awareness states", CloseCode.NOT_ALLOWED)
        self._refuse_greed(taken, mine)
        for id, (clock, state) in taken.items():
            if state is None:
                self._drop(id, clock)
                continue
            here = self._clients.get(id)
            self._forget(id)
            if here:
                self._count(here.owner, -len(here.state))
            keeper = here.owner if here and mine else owner
            self._count(keeper, len(state))
            self._clients[id] = _Client(clock, state, keeper, identity.username, now)
        return list(taken)

    def remove(self, owner: Hashable) -> list[int]:
        """Remove the states of a member that left; return their client ids."""
        for client in [client for client, member in self._silent.items() if member == owner]:
            del self._silent[client]
        return self._remove(self.clients(owner))

    def expire(self, before: float) -> list[int]:
        """Remove the states that were last renewed before the time `before`; return their client ids."""
        silent = {id: client.owner for id, client in self._clients.items() if client.seen < before}
        self._silent |= silent
        return self._remove(list(silent))

    def _refuse_greed(self, taken: dict[int, tuple[int, str | None]], mine: set[int]) -> None:
        """Raise ProtocolError where the room would be full and the member hold more than an equal share of it."""
        sizes = {id: len(state) for id, (_, state) in taken.items() if state is not None}
        here = [client for id in sizes if (client := self._clients.get(id))]
        count = len(self._clients) + len(sizes) - len(here)
        size = self._size + sum(sizes.values()) - sum(len(client.state) for client in here)
        if not sizes or (count <= self._room_states and size <= self._room_size):
            return
        sizes |= {id: len(self._clients[id].state) for id in mine - taken.keys()}
        members = len({client.owner for client in self._clients.values()}) + (not mine)
        if len(sizes) > max(1, self._room_states // members) or sum(sizes.values()) > self._room_size // members:
            raise ProtocolError("the room has no place for so much presence", CloseCode.NOT_ALLOWED)

    def _is_of_another(self, client: int, identity: Identity, now: float) -> bool:
        """Say whether a client is another user's: one that is here, or left so lately that it may come back."""
        if here := self._clients.get(client):
            return here.username != identity.username
        gone = self._gone.get(client, _NOBODY)
        may_come_back = client in self._silent or now - gone.seen < _GRACE
        return may_come_back and gone.username != identity.username

    def _clock(self, entry: AwarenessEntry, owner: Hashable, identity: Identity, first: bool) -> int | None:
        """Return the clock under which an entry counts, or None where it is to be passed over.

        A client that comes back announces itself with the clock it left with, which its peers take for an echo:
        the first state that a member brings is therefore issued again under a newer clock, if it was this user's.
        """
        here = self._clients.get(entry.client)
        known = here or self._gone.get(entry.client, _NOBODY)
        if entry.state is None:
            # A client takes its state back with the clock of its last one (y-protocols, removeAwarenessStates).
            return entry.clock if here and entry.clock >= here.clock and here.owner == owner else None
        if entry.clock > (known.clock + _LONGEST_STEP if known is not _NOBODY else _LARGEST_CLOCK):
            raise ProtocolError("a clock that no client counts to")
        if entry.clock > known.clock:
            return entry.clock
        return min(known.clock + 1, MAX_CLIENT_ID) if first and known.username == identity.username else None

    def _signed(self, entry: AwarenessEntry, identity: Identity) -> str | None:
        if entry.state is None:
            return None
        if len(entry.state) > self._max_size + identity.size:
            raise ProtocolError("awareness state too big", CloseCode.NOT_ALLOWED)
        try:
            state = json.loads(entry.state)
            if not isinstance(state, dict):
                raise ProtocolError("awareness that is not an object")
            if len(entry.state) > self._max_size < _size(identity.said_of(state)):
                raise ProtocolError("awareness state too big", CloseCode.NOT_ALLOWED)
            # NaN and infinity, which Python reads and writes, would break the JSON of everybody else.
            return json.dumps(identity.sign(state), separators=(",", ":"), allow_nan=False)
        except (ValueError, RecursionError):
            raise ProtocolError("awareness that is not JSON") from None

    def _remove(self, clients: list[int]) -> list[int]:
        for id in clients:
            self._drop(id, self._clients[id].clock)
        return clients

    def _drop(self, client: int, clock: int) -> None:
        gone = self._clients.pop(client)
        self._count(gone.owner, -len(gone.state))
        self._gone[client] = _Gone(clock, gone.username, gone.seen)
        of_user = self._gone_of.setdefault(gone.username, {})
        of_user[client] = None
        if len(of_user) > _MAX_GONE_OF_ONE:
            self._forget(next(iter(of_user)))
        if len(self._gone) > _MAX_GONE:
            self._forget(next(iter(self._gone)))

    def _count(self, owner: Hashable, more: int) -> None:
        """Take note that the states of a member have so many more bytes."""
        self._size += more
        self._sizes[owner] = self._sizes.get(owner, 0) + more
        if not self._sizes[owner]:
            del self._sizes[owner]

    def _forget(self, client: int) -> None:
        """Do not remember a client any longer that left."""
        self._silent.pop(client, None)
        if gone := self._gone.pop(client, None):
            del self._gone_of[gone.username][client]
            if not self._gone_of[gone.username]:
                del self._gone_of[gone.username]
