"""What each user may take of what the server has, and all of them together.

A user is a username. Where the server's own token is all that people show, a browser is a user, by the cookie that it
was given, and so is each request of a program that keeps none: then it is what all may take together that holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable


class ExhaustedError(Exception):
    """A user, or all together, would have more of something than they may; the text says what, and how much that is."""


class Allowance:
    """How much of one thing each user may have, and all together.

    Attributes:
        in_total: how much of it all have now.
    """

    def __init__(self, what: str, of_one: int, of_all: int) -> None:
        """Let each have at most `of_one` of `what`, and all together `of_all`."""
        self._what = what
        self._of_one = of_one
        self._of_all = of_all
        self._taken: dict[str, int] = {}
        self.in_total = 0

    def take(self, user: str, amount: int = 1) -> None:
        """Let a user have some more. Raises ExhaustedError where that is too much."""
        taken = self._taken.get(user, 0) + amount
        if taken > self._of_one:
            raise ExhaustedError(f"{user} has {self._of_one} {self._what} already, and no more are allowed")
        if self.in_total + amount > self._of_all:
            raise ExhaustedError(f"there are {self._of_all} {self._what} already, and no more are allowed")
        self._taken[user] = taken
        self.in_total += amount

    def give_back(self, user: str, amount: int = 1) -> None:
        """Take note that a user has so much less now."""
        self.in_total -= amount
        self._taken[user] -= amount
        if not self._taken[user]:
            del self._taken[user]

    @contextmanager
    def taken(self, user: str, amount: int = 1) -> Iterator[None]:
        """Let a user have some more inside. Raises ExhaustedError."""
        self.take(user, amount)
        try:
            yield
        finally:
            self.give_back(user, amount)


class Holding:
    """What one connection of a user's, or one room, has of an allowance; it grows and shrinks."""

    __slots__ = ("_allowance", "_amount", "_user")

    def __init__(self, allowance: Allowance, user: str) -> None:
        """Hold nothing yet."""
        self._allowance = allowance
        self._user = user
        self._amount = 0

    def hold(self, amount: int) -> None:
        """Hold so much from now on, all in all; what was held stays held where ExhaustedError is raised."""
        more = amount - self._amount
        if more > 0:
            self._allowance.take(self._user, more)
        elif more < 0:
            self._allowance.give_back(self._user, -more)
        self._amount = amount


class Allowances(LoggingConfigurable):
    """What each user may take of the server, and all of them together."""

    max_sockets = Integer(
        1000, min=1, help="How many WebSockets of rooms one user may have open; the next is refused with 429."
    ).tag(config=True)
    max_sockets_in_total = Integer(
        10_000, min=1, help="How many all users may have open together; the next is refused with 429."
    ).tag(config=True)
    max_unfinished = Integer(
        512 << 20,
        min=1 << 10,
        help="How many bytes of frames that are still on their way one user may have sent, in all sockets; then the"
        " socket that brings more is closed with 1008. At least `Relay.max_frame_size`, or that can never be reached.",
    ).tag(config=True)
    max_unfinished_in_total = Integer(
        1 << 30, min=1 << 10, help="How many bytes of unfinished frames all users may have sent together."
    ).tag(config=True)
    max_held = Integer(
        256 << 20,
        min=1 << 10,
        help="How many bytes of updates of one user are held whose documents have another history, until it is seen to"
        " what they hold; a peer that brings more is closed with 1008.",
    ).tag(config=True)
    max_held_in_total = Integer(
        1 << 30, min=1 << 10, help="How many bytes of updates are held of all users together."
    ).tag(config=True)
    max_rooms = Integer(
        500,
        min=1,
        help="How many rooms one user may have brought into memory that are still there; the next is refused with 429.",
    ).tag(config=True)
    max_rooms_in_total = Integer(
        5000, min=1, help="How many all users may have brought into memory; the next is refused with 429."
    ).tag(config=True)
    max_awareness = Integer(
        16 << 20,
        min=1 << 10,
        help="How many bytes of awareness states one user may show in all rooms; a peer that shows more is closed with"
        " 1008.",
    ).tag(config=True)
    max_awareness_in_total = Integer(
        256 << 20, min=1 << 10, help="How many bytes of awareness states all users may show together."
    ).tag(config=True)
    max_answers = Integer(
        1,
        min=1,
        help="How many answers about the past of documents, each of which holds all of it in memory, one user may be"
        " waiting for; the next is refused with 429.",
    ).tag(config=True)
    max_answers_in_total = Integer(
        8, min=1, help="How many all users may be waiting for together; the next is refused with 429."
    ).tag(config=True)
    answer_timeout = Float(
        120.0, min=1, help="Seconds within which such an answer must have been read; then its connection is closed."
    ).tag(config=True)
    max_awareness_rate = Integer(
        1 << 16,
        min=1,
        help="How many bytes a second of what one user shows of themselves (awareness) others are sent, on average."
        " Who shows more is shown less often, in the newest state; nobody is closed for it.",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        """Begin with nothing taken."""
        super().__init__(**kwargs)
        self.sockets = Allowance("sockets", self.max_sockets, self.max_sockets_in_total)
        self.rooms = Allowance("rooms in memory", self.max_rooms, self.max_rooms_in_total)
        self.held = Allowance("bytes of updates that wait to be heard", self.max_held, self.max_held_in_total)
        self.awareness = Allowance("bytes of awareness", self.max_awareness, self.max_awareness_in_total)
        self.answers = Allowance("answers under way", self.max_answers, self.max_answers_in_total)
        self.unfinished = Allowance("bytes of unfinished frames", self.max_unfinished, self.max_unfinished_in_total)
