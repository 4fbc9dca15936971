"""What each user may take of what the server has, and all of them together.

A user is a username. Where the server's own token is all that people show, a browser is a user, by the cookie that it
was given, and so is each request of a program that keeps none: then it is what all may take together that holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from traitlets import Float, Int
from traitlets.config import LoggingConfigurable

from ...wire import Awareness

MOST_WAITING = 1 << 18
"""How many bytes of updates may wait in a room, where nothing else is configured."""

_WAITING = "bytes of updates that wait for missing ones"


class ExhaustedError(Exception):
    """A user, or all together, would have more of something than they may; the text says what, and how much that is."""


class Allowance:
    """How much of one thing each user may have, and all together.

    Attributes:
        what: the thing, in words.
        in_total: how much of it all have now.
    """

    def __init__(self, what: str, of_one: int, of_all: int) -> None:
        """Allow each user at most `of_one` of `what`, and all users together `of_all`."""
        self.what = what
        self._of_one = of_one
        self._of_all = of_all
        self._taken: dict[str, int] = {}
        self.in_total = 0

    def take(self, user: str, amount: int = 1) -> None:
        """Let a user have some more. Raises ExhaustedError where that is too much."""
        self.check(user, amount)
        self.count(user, amount)

    def check(self, user: str, amount: int) -> None:
        """Raise ExhaustedError where a user may not have so much more; one without a name counts in total only."""
        if user and self._taken.get(user, 0) + amount > self._of_one:
            raise ExhaustedError(f"{user} may have {self._of_one} {self.what}, and no more")
        if self.in_total + amount > self._of_all:
            raise ExhaustedError(f"there may be {self._of_all} {self.what}, and no more")

    def count(self, user: str, amount: int = 1) -> None:
        """Count so much more for a user, or less, whatever is allowed."""
        self.in_total += amount
        taken = self._taken.get(user, 0) + amount
        self._taken[user] = taken
        if not taken:
            del self._taken[user]

    def give_back(self, user: str, amount: int = 1) -> None:
        """Take note that a user has so much less now."""
        self.count(user, -amount)

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
        """Set the amount that is held. Where ExhaustedError is raised, it stays what it was."""
        more = amount - self._amount
        if more > 0:
            self._allowance.take(self._user, more)
        elif more < 0:
            self._allowance.give_back(self._user, -more)
        self._amount = amount


class Shares:
    """What several users hold of an allowance in one room, of which only the sum is known: updates that wait there.

    Whoever makes it grow has what it grows by. What goes is taken to be what was there longest.
    """

    def __init__(self, allowance: Allowance, most: int) -> None:
        """Hold nothing yet, and at most `most`."""
        self._allowance = allowance
        self._most = most
        self._size = 0
        self._of: dict[str, int] = {}

    def hold(self, user: str, size: int) -> None:
        """Hold so much from now on; where it is more than before, that is the user's. Raises ExhaustedError."""
        more = size - self._size
        if more > 0:
            if size > self._most:
                raise ExhaustedError(f"there may be {self._most} {self._allowance.what} in a room, and no more")
            self._allowance.check(user, more)
        self._change(user, more)

    def begin(self, size: int) -> None:
        """Hold so much that was there before anybody knew whose it is, whatever is allowed."""
        self._change("", -self._size)
        self._change("", size)

    def _change(self, user: str, more: int) -> None:
        self._size += more
        if more > 0:
            self._of[user] = self._of.get(user, 0) + more
            self._allowance.count(user, more)
        while more < 0:
            oldest, held = next(iter(self._of.items()))
            gone = min(held, -more)
            more += gone
            self._allowance.count(oldest, -gone)
            if gone == held:
                del self._of[oldest]
            else:
                self._of[oldest] = held - gone


def _each(of_one: int, of_all: int, text: str, min: int = 1) -> tuple[Int[int, int], Int[int, int]]:
    """Return two options, of one user and of all together, with a text of help that has ``{who}`` in it."""
    one = Int(of_one, min=min, help=text.format(who="one user")).tag(config=True)
    return one, Int(of_all, min=min, help=text.format(who="all users together")).tag(config=True)


class Allowances(LoggingConfigurable):
    """What each user may take of the server, and all of them together."""

    max_sockets, max_sockets_in_total = _each(
        1000, 10_000, "How many WebSockets of rooms {who} may have open; the next is refused with 429."
    )
    max_unfinished, max_unfinished_in_total = _each(
        512 << 20,
        1 << 30,
        "How many bytes of frames that are still on their way {who} may have sent, in all sockets; then the socket that"
        " brings more is closed with 1008. At least `Relay.max_frame_size`, or that can never be reached.",
        min=1 << 10,
    )
    max_held, max_held_in_total = _each(
        256 << 20,
        1 << 30,
        "How many bytes of updates of {who} are held whose documents have another history, until it is seen to what"
        " they hold; a peer that brings more is closed with 1008.",
        min=1 << 10,
    )
    max_waiting, max_waiting_in_total = _each(
        4 << 20,
        64 << 20,
        "How many bytes of updates of {who} may wait, in all rooms, for updates that have not come; a peer that brings"
        " more is closed with 1008.",
        min=1 << 10,
    )
    max_room_waiting = Int(
        MOST_WAITING,
        min=1 << 10,
        help="How many bytes of updates may wait in one room, where they are tried again as what they wait for comes; a"
        " peer that brings more is closed with 1008.",
    ).tag(config=True)
    max_rooms, max_rooms_in_total = _each(
        500,
        5000,
        "How many rooms {who} may have brought into memory that are still there; the next is refused with 429, or with"
        " 1008 where it was let in before.",
    )
    max_awareness, max_awareness_in_total = _each(
        16 << 20,
        256 << 20,
        "How many bytes of awareness states {who} may show in all rooms, with 512 for each state; a peer that shows"
        " more is closed with 1008.",
        min=1 << 10,
    )
    max_states = Int(
        64, min=1, help="How many awareness states one connection may show; a peer that shows more is closed with 1008."
    ).tag(config=True)
    max_state_size = Int(
        1 << 18,
        min=1 << 10,
        help="How many characters one of them may have, without what the server puts into it; a peer that shows more is"
        " closed with 1008.",
    ).tag(config=True)
    max_room_states = Int(
        5000,
        min=1,
        help="How many awareness states a room is full with: whoever comes in is sent them all. In a full room each"
        " connection may show an equal share; one that shows more than that is closed with 1008.",
    ).tag(config=True)
    max_room_awareness = Int(
        8 << 20, min=1 << 10, help="How many bytes of awareness states a room is full with; 1008 as above."
    ).tag(config=True)
    max_free_rooms, max_free_rooms_in_total = _each(
        1000,
        10_000,
        "How many stored rooms, whose names clients make up, {who} may have begun; the next is refused with 429.",
    )
    max_free_bytes, max_free_bytes_in_total = _each(
        256 << 20,
        1 << 30,
        "How many bytes may be stored of the rooms that {who} began under such names; then another is refused with 429,"
        " and whoever adds to one of them is closed with 1008.",
        min=1 << 10,
    )
    max_answers, max_answers_in_total = _each(
        8,
        32,
        "How many answers that hold a whole document in memory, of its past or of a recovery copy, {who} may be waiting"
        " for; the next is refused with 429.",
    )
    answer_timeout = Float(
        120.0,
        min=1,
        help="Seconds within which each 16 MiB of such an answer must have been read; then its connection is closed.",
    ).tag(config=True)
    max_awareness_rate = Int(
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
        self.free_rooms = Allowance("stored free rooms", self.max_free_rooms, self.max_free_rooms_in_total)
        self.free_bytes = Allowance("bytes of stored free rooms", self.max_free_bytes, self.max_free_bytes_in_total)
        self.waiting = Allowance(_WAITING, self.max_waiting, self.max_waiting_in_total)
        self.held = Allowance("bytes of updates in quarantine", self.max_held, self.max_held_in_total)
        self.awareness = Allowance("bytes of awareness", self.max_awareness, self.max_awareness_in_total)
        self.answers = Allowance("answers under way", self.max_answers, self.max_answers_in_total)
        self.unfinished = Allowance("bytes of unfinished frames", self.max_unfinished, self.max_unfinished_in_total)

    def presence(self) -> Awareness:
        """Return what holds the awareness states of one room."""
        return Awareness(self.max_states, self.max_state_size, self.max_room_states, self.max_room_awareness)

    def waits(self) -> Shares:
        """Return what counts the updates that wait in one room."""
        return Shares(self.waiting, self.max_room_waiting)


def waits_alone() -> Shares:
    """Return what counts the updates that wait in a room that is the only one."""
    return Shares(Allowance(_WAITING, MOST_WAITING, MOST_WAITING), MOST_WAITING)
