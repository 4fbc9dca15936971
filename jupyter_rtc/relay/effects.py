"""Effects: what a room asks of the world, such as to send a frame, or to store an update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .member import Member


class Send(NamedTuple):
    """Send one frame to one member. A large frame comes in parts, so that what many are sent is never copied.

    `state` says that the frame is the document itself, or all of it that the member lacks: however large it is, the
    member must be able to get it.
    """

    member: Member
    frame: bytes | tuple[bytes, ...]
    state: bool = False


class Broadcast(NamedTuple):
    """Send one frame to every member but `sender`."""

    frame: bytes
    sender: Member | None


class Show(NamedTuple):
    """Send the newest states of these clients, those that left included, to one member, or to all (None)."""

    clients: Sequence[int]
    member: Member | None


class Persist(NamedTuple):
    """Store the update with the number `seq`, made by the user `author`."""

    seq: int
    update: bytes
    author: str


class Request(NamedTuple):
    """Hand a member's RAW request, such as ``save`` number 3, to the room's resident."""

    member: Member
    name: str
    number: int


class Judge(NamedTuple):
    """Have the room's resident judge the document of a quarantined member, which is in `Member.held`."""

    member: Member


class Refuse(NamedTuple):
    """Let the resident know of an update that was refused, for the member may only read."""

    member: Member
    update: bytes


Effect = Send | Broadcast | Show | Persist | Request | Judge | Refuse
