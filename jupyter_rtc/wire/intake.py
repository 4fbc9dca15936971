"""Updates of peers, examined before pycrdt applies them: refused, changed, or kept pending. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, TypeAlias

import pycrdt
from pycrdt import Doc

from . import protocol
from .causality import Order, Parts, Plan, parted
from .merging import Runs, deletion, merged
from .nesting import Nesting
from .places import Found, Places
from .protocol import NO_CHANGE, Kind, Message, Prepared, ProtocolError, decode_state_vector, write_uint
from .shapes import HAS_LEFT, HAS_RIGHT, STRING, Id
from .structure import Examined, outline, typed
from .surrogates import Pairs, cuts, halved, has_pairs
from .updates import MISPLACED, answered, release

_MOST_AUTHORS, _MOST_WAITED = 1000, 100_000


class Admitted(NamedTuple):
    """What is to be done with an update.

    Attributes:
        update: the update as it is to be stored and sent.
        first: an update of the server's own that has to be applied before, for all members; mostly NO_CHANGE.
        plan: the updates that pycrdt is given then.
        cut: the characters that `first` deletes.
        found: the places of its items.
    """

    update: bytes
    first: bytes
    plan: Plan
    cut: Runs
    found: Sequence[Found]


class _Author(NamedTuple):
    """A client that types one character after another.

    Attributes:
        client: the client id.
        clock: the clock of its next item.
        right: the id of the item on its right, encoded; empty where there is none.
        next: the first bytes of an update that types the next characters, up to the length of its text.
    """

    client: int
    clock: int
    right: bytes
    next: bytes

    @classmethod
    def of(cls, found: re.Match[bytes], client: int, clock: int) -> _Author:
        """Return the author of an update that `typed` found, and after which the next item has this clock."""
        info = found.string[found.end(2)]
        own, other = found.group(3, 4) if info == STRING | HAS_RIGHT else found.group(7, 8)
        right = found[1] + own if own else other or b""
        return cls(client, 0, right, b"").at(found[1], clock)

    def at(self, written: bytes, clock: int) -> _Author:
        """Return the author, whose client is `written` so, with another clock."""
        info = STRING | HAS_LEFT | (HAS_RIGHT if self.right else 0)
        head = (b"\x01\x01", written, write_uint(clock), bytes([info]), written, write_uint(clock - 1), self.right)
        return _Author(self.client, clock, self.right, b"".join(head))


Follows: TypeAlias = "tuple[Order, bytes, _Author]"
"""What is known of clocks, how the author's client id is written, and the author after an update."""


class Survey:
    """What has to be known of a document, found out of the bytes of its state.

    A thread that looks at the document itself while another edits it would make the engine panic, or take the edit into
    a transaction of its own.

    Attributes:
        clocks: the clocks of the document then.
    """

    def __init__(self, state: bytes, clocks: dict[int, int], lists: Collection[str], places: Places | None) -> None:
        """Look at a document of this state; `lists` are its roots that hold no text, `places` what is known of them."""
        self.clocks = clocks
        self._state, self._lists, self._places = state, lists, places
        self._found: tuple[Pairs, Places] | None = None

    def found(self) -> tuple[Pairs, Places]:
        """Find it out, if that is not done yet. May run in any thread."""
        if self._found is None:
            self._found = Pairs(self._state), self._places or Places(self._lists, self._state)
        return self._found


LONG_FRAME = 1 << 16
"""Bytes of a frame from which on it is prepared in a thread: it may take several milliseconds, or seconds."""


def is_long(frame: bytes) -> bool:
    """Say whether a frame should be prepared before it is received."""
    return len(frame) > LONG_FRAME and not isinstance(frame, Prepared)


def prepared(frame: bytes) -> Prepared:
    """Return a frame decoded, with its update examined: all that takes long before the update is applied.

    May run in any thread. Never raises: a fault of the frame is found when it is received.
    """
    made = Prepared(frame)
    try:
        kind, payload = protocol.decode(frame)
        if kind in (Kind.UPDATE, Kind.STEP2):
            payload = Examined.of(payload)
            if payload.outline.scattered:
                payload = Examined.of(merged([payload]))
                made = Prepared(protocol.update(payload) if kind is Kind.UPDATE else protocol.step2(payload))
        made.message = Message(kind, payload)
    except ProtocolError:
        pass
    return made


class Intake:
    """Refuses updates that would do harm to one document, and changes those that yrs cannot apply as they are.

    Of the document it knows the state vector, how deeply its types are nested, where its surrogate pairs are, which of
    its items stand in no text, and the pending updates. pycrdt is given no pending update.
    """

    def __init__(self, lists: Collection[str] = ()) -> None:
        """Begin with a document that is empty; `lists` are the names of its roots that hold no text."""
        self._lists = lists
        self._nesting = Nesting()
        self._pairs: Pairs | None = Pairs()
        self._places: Places | None = Places(lists)
        self._begun: dict[int, int] = {}
        self._order: Order | None = None
        self._waiting: Sequence[Parts] = ()
        self._authors: dict[bytes, _Author] = {}
        self._waited: set[Id] = set()

    def begin(self, doc: Doc[Any], waiting: bytes, places: Places | None = None) -> None:
        """Take note that `doc` was loaded; `waiting` are its pending updates, `places` the places of its items.

        Edits that come from its file, before there are members, are found by the survey.
        """
        clocks = decode_state_vector(doc.get_state())
        self._pairs, self._places, self._begun = None, places, dict(clocks)
        self._order = Order(clocks)
        if waiting != NO_CHANGE:
            self._order.waiting = [parted(waiting, self._order.clocks)]
        self.forget()

    def forget(self) -> None:
        """Take note that the document was changed without an update of a peer."""
        if self._order is not None:
            self._waiting, self._order = self._order.waiting, None
        self._authors.clear()

    def waiting(self, doc: Doc[Any]) -> bytes:
        """Return all that waits, as one update; NO_CHANGE if nothing does."""
        return self._ordered(doc).rest

    def survey(self, doc: Doc[Any]) -> Survey:
        """Begin to find out what has to be known of the document, in the thread that edits it."""
        clocks = decode_state_vector(doc.get_state())
        return Survey(doc.get_update(), clocks, self._lists, self._places if clocks == self._begun else None)

    def surveyed(self, doc: Doc[Any], survey: Survey) -> None:
        """Take what a survey found; not where the document was edited meanwhile: it is surveyed anew when needed."""
        if self._pairs is None and decode_state_vector(doc.get_state()) == survey.clocks:
            self._pairs, self._places = survey.found()

    def _surveyed(self, doc: Doc[Any]) -> tuple[Pairs, Places]:
        if self._pairs is None or self._places is None:
            self._pairs, self._places = self.survey(doc).found()
        return self._pairs, self._places

    def follows(self, update: bytes) -> Follows | None:
        """Return what is to be noted once an update was applied as it is: its author goes on to type what was admitted.

        None where it has to be admitted itself. On the hot path.
        """
        order = self._order
        if order is None or order.waiting or (found := typed(update)) is None:
            return None
        author = self._authors.get(found[1])
        if author is None or not update.startswith(author.next):
            return None
        text = update[found.end() : -1]
        try:
            clock = author.clock + (len(text) if text.isascii() else len(text.decode()))
        except UnicodeDecodeError:
            return None
        return order, found[1], author.at(found[1], clock)

    def followed(self, follows: Follows) -> None:
        """Take note that an update was applied of which `follows` said this. On the hot path."""
        order, written, author = follows
        self._authors[written] = author
        order.clocks[author.client] = author.clock

    def admit(self, doc: Doc[Any], update: bytes) -> Admitted:
        """Say what is to be done with a peer's update; it is done to `doc` before `took` is called.

        Raises ProtocolError for what may not be applied.
        """
        held = outline(update)
        self._nesting.refuse_depth(held.types)
        if held.scattered:
            update = merged([update])
        order = self._ordered(doc)
        cut: Runs = {}
        pairs, places = self._surveyed(doc)
        if pairs or held.paired or order.waiting:
            update, cut = self._uncut(order, update, paired=held.paired)
        plan = order.plan(update, held)
        if plan.steps != (update,):
            answered(pycrdt.get_state, update)  # what cannot be read shall neither wait nor be stored
        found = [places.look(step, order.clocks) for step in plan.steps]
        # What waits is looked at too: without what it builds on, all that it says itself of its place.
        seen = [*found, places.look(update, order.clocks)] if plan.waits else found
        if any(one.misplaced or one.unfit for one in seen):
            raise ProtocolError(MISPLACED)
        return Admitted(update, deletion(cut), plan, cut, found)

    def took(self, doc: Doc[Any], admitted: Admitted) -> Runs:
        """Take note that what was to be done with an update is done, and apply what that released.

        Returns what of that is to be deleted then.
        """
        pairs, places = self._surveyed(doc)
        pairs.forget(admitted.cut)
        for step in admitted.plan.steps:
            pairs.note(step)
        for found in admitted.found:
            places.take(found)
        unfit: Runs = {}
        for step in admitted.plan.released:
            for client, runs in release(doc, places, step).items():
                unfit.setdefault(client, []).extend(runs)
            pairs.note(step)
        if admitted.plan.waits:
            if len(self._waited) > _MOST_WAITED:
                self._waited.clear()
            self._waited.update(cuts(admitted.update))
        if self._order is None:  # the first edit was the server's
            self._waiting = admitted.plan.waiting
        else:
            self._order.follow(admitted.plan)
            self._remember(admitted)
        return unfit

    def _remember(self, admitted: Admitted) -> None:
        """Make it quick for an author to go on to type; not at what somebody else brought in their name."""
        plan = admitted.plan
        if len(self._authors) > _MOST_AUTHORS:
            self._authors.clear()
        for client in plan.clocks:
            self._authors.pop(write_uint(client), None)
        if len(plan.clocks) == 1 and plan.steps == (admitted.update,) and (found := typed(admitted.update)):
            ((client, clock),) = plan.clocks.items()
            self._authors[found[1]] = _Author.of(found, client, clock)

    def trust(self, doc: Doc[Any], update: bytes) -> tuple[bytes, bytes]:
        """Return an update that the server made, however large it is, and an edit that has to be made before."""
        pairs, _ = self._surveyed(doc)
        if not (pairs or has_pairs(update)):
            return update, NO_CHANGE
        update, cut = self._uncut(self._ordered(doc), update, paired=has_pairs(update))
        pairs.forget(cut)
        return update, deletion(cut)

    def note(self, update: bytes) -> None:
        """Take note of an update that the server made in `doc` itself."""
        self.forget()
        for known in (self._pairs, self._places):
            if known is not None:  # else it will be seen in the document
                known.note(update)

    def _ordered(self, doc: Doc[Any]) -> Order:
        if self._order is None:
            self._order = Order(decode_state_vector(doc.get_state()))
            self._order.waiting = self._waiting
        return self._order

    def _uncut(self, order: Order, update: bytes, *, paired: bool) -> tuple[bytes, Runs]:
        """Return an update, and the characters that it would cut.

        `paired` says whether it brings such characters itself. Those of them that it cuts, or that something else
        waits to cut, or ever did, are halved in it: whoever reads the log again halves them.
        """
        if paired:
            update = halved(update, {*cuts(update), *cuts(order.rest), *self._waited, *order.clocks.items()})
        if Pairs(*(parts.rest for parts in order.waiting)).cut_by(update):
            raise ProtocolError("half a character that is not here yet")
        cut: Runs = {}
        for client, clock in self._pairs.cut_by(update) if self._pairs else ():
            cut.setdefault(client, []).append((clock - 1, clock + 1))
        if cut:
            answered(pycrdt.get_state, update)  # what cannot be read shall change nothing
        return update, cut
