"""What comes into a document, looked through before pycrdt sees it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import pycrdt
from pycrdt import Doc

from . import protocol
from .causality import Order, Parts, Plan, parted
from .merging import Runs, deletion, merged
from .nesting import Nesting
from .protocol import (
    NO_CHANGE,
    Kind,
    Message,
    Prepared,
    ProtocolError,
    decode_state_vector,
    read_uint,
    write_uint,
)
from .shapes import HAS_LEFT, HAS_RIGHT, STRING
from .structure import Examined, outline, typed
from .surrogates import Pairs, cuts, halved, has_pairs
from .updates import answered

_MOST_MET = 1000


class Admitted(NamedTuple):
    """What is to be done with an update.

    Attributes:
        update: the update as it is to be stored and sent.
        first: an edit that has to be made before, for everybody; mostly NO_CHANGE.
        plan: what is to be given to pycrdt then.
        cut: the characters that `first` deletes.
    """

    update: bytes
    first: bytes
    plan: Plan
    cut: Runs


LONG_FRAME = 1 << 16
"""Bytes of a frame from which on it is prepared in a thread: it may take several milliseconds, or seconds."""


def is_long(frame: bytes) -> bool:
    """Say whether a frame should be prepared before it is received."""
    return len(frame) > LONG_FRAME and not isinstance(frame, Prepared)


def prepared(frame: bytes) -> Prepared:
    """Return a frame decoded, and what takes long before the update in it is applied done. May run in any thread.

    Never raises: what is wrong with it is found when it is received.
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
    """Refuses what would do harm to one document, and changes what yrs cannot take as it is.

    It knows of the document its clocks, how deeply its types are nested, where its characters of two ids are, and what
    waits for others. pycrdt is given nothing that waits.
    """

    def __init__(self) -> None:
        """Begin with a document that is empty."""
        self._nesting = Nesting()
        self._pairs: Pairs | None = Pairs()
        self._order: Order | None = None
        self._waiting: Sequence[Parts] = ()
        self._authors: dict[bytes, tuple[bytes, int, int]] = {}
        self._met: set[bytes] = set()

    def begin(self, doc: Doc[Any], waiting: bytes) -> None:
        """Take note that `doc` was filled by others; `waiting` is what of it waits."""
        self._pairs = None
        self._order = Order(decode_state_vector(doc.get_state()))
        if waiting != NO_CHANGE:
            self._order.waiting = [parted(waiting, self._order.clocks)]
        self.forget()

    def forget(self) -> None:
        """Take note that the document was changed without an update of a peer."""
        if self._order is not None:
            self._waiting, self._order = self._order.waiting, None
        self._authors.clear()
        self._met.clear()

    def waiting(self, doc: Doc[Any]) -> bytes:
        """Return all that waits, as one update; NO_CHANGE if nothing does."""
        return self._ordered(doc).rest

    def survey(self, doc: Doc[Any]) -> Pairs:
        """Find the characters that have two ids, if that is not done yet. May run in any thread, at rest."""
        if self._pairs is None:
            self._pairs = Pairs(doc.get_update(), self.waiting(doc))
        return self._pairs

    def follows(self, update: bytes) -> bool:
        """Say whether an update can be given to pycrdt as it is: it is what somebody goes on to type.

        If so, take note of it. On the hot path.
        """
        order = self._order
        if order is None or order.waiting or self._pairs is None or (found := typed(update)) is None:
            return False
        expected, client, clock = self._authors.get(found[1], _NOBODY)
        if found[2] != expected or any(id and id not in self._met for id in found.group(4, 6, 8)):
            return False
        if self._pairs and self._cuts(found, client):
            return False
        text = update[found.end() : -1]
        try:
            clock += len(text) if text.isascii() else len(text.decode())
        except UnicodeDecodeError:
            return False
        self._authors[found[1]] = write_uint(clock), client, clock
        order.clocks[client] = max(clock, order.clocks.get(client, 0))
        return True

    def _cuts(self, found: re.Match[bytes], client: int) -> bool:
        """Say whether what is typed is inside a character of its author's; those of others were looked at before."""
        pairs = self._pairs or Pairs()
        alone = found[3] and found.string[found.end(2)]
        left = found[5] or (found[3] if alone == STRING | HAS_LEFT else None)
        right = found[7] or (found[3] if alone == STRING | HAS_RIGHT else None)
        if left and (client, read_uint(left, 0)[0] + 1) in pairs:
            return True
        return bool(right and (client, read_uint(right, 0)[0]) in pairs)

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
        if self.survey(doc) or held.paired:
            update, cut = self._uncut(order, update, paired=held.paired)
        plan = order.plan(update, held)
        if plan.steps != (update,):
            answered(pycrdt.get_state, update)  # what cannot be read shall neither wait nor be stored
        return Admitted(update, deletion(cut), plan, cut)

    def took(self, admitted: Admitted) -> None:
        """Take note that what was to be done with an update is done."""
        self._took_pairs(admitted.update, admitted.cut)
        if self._order is None:  # the first edit was the server's
            self._waiting = admitted.plan.waiting
            return
        self._order.follow(admitted.plan)
        self._remember(admitted)

    def _remember(self, admitted: Admitted) -> None:
        """Make it quick for an author to go on to type."""
        if len(self._met) > _MOST_MET or len(self._authors) > _MOST_MET:
            self._met.clear()
            self._authors.clear()
        plan = admitted.plan
        if self._order and len(plan.clocks) == 1 and not plan.waits and (found := typed(admitted.update)):
            ((client, _),) = plan.clocks.items()
            clock = self._order.clocks[client]
            self._authors[found[1]] = write_uint(clock), client, clock
            self._met.update(id for id in found.group(4, 6, 8) if id)

    def trust(self, doc: Doc[Any], update: bytes) -> tuple[bytes, bytes]:
        """Return an update that the server made, however large it is, and an edit that has to be made before."""
        if not (self.survey(doc) or has_pairs(update)):
            return update, NO_CHANGE
        update, cut = self._uncut(self._ordered(doc), update, paired=has_pairs(update))
        self._took_pairs(NO_CHANGE, cut)
        return update, deletion(cut)

    def note(self, doc: Doc[Any], update: bytes) -> None:
        """Take note of an update that the server made in `doc` itself."""
        self.forget()
        if has_pairs(update):
            self.survey(doc).note(update)

    def _ordered(self, doc: Doc[Any]) -> Order:
        if self._order is None:
            self._order = Order(decode_state_vector(doc.get_state()))
            self._order.waiting = self._waiting
        return self._order

    def _uncut(self, order: Order, update: bytes, *, paired: bool) -> tuple[bytes, Runs]:
        """Return an update, and the characters that it would cut.

        `paired` says whether it brings such characters itself. Those of them that it cuts, or that something else
        waits to cut, are halved in it.
        """
        if paired:
            update = halved(update, {*cuts(update), *cuts(order.rest), *order.clocks.items()})
        cut: Runs = {}
        for client, clock in self._pairs.cut_by(update) if self._pairs else ():
            if clock >= order.clocks.get(client, 0):
                raise ProtocolError("half a character that is not here yet")
            cut.setdefault(client, []).append((clock - 1, clock + 1))
        if cut:
            answered(pycrdt.get_state, update)  # what cannot be read shall change nothing
        return update, cut

    def _took_pairs(self, update: bytes, cut: Runs) -> None:
        """Take note of characters that are gone, and of those that an update brought."""
        if self._pairs is not None:
            self._pairs.forget(cut)
            self._pairs.note(update)


_NOBODY = b"", 0, 0
