"""What pycrdt makes of updates: which it cannot read, which blocks one adds, and which are pending. Pure.

An update may come before one that it builds on. pycrdt keeps such a pending update in the document, but leaves it out
of every state that it encodes: to copy a document, or to fold a log into a snapshot, it must be added.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

import pycrdt
from pycrdt import Doc

from .causality import Order, foreign_parents, is_marked, marked, no_types, parted
from .merging import Runs, collected, deletion, merged
from .places import Places
from .protocol import NO_CHANGE, ProtocolError, decode_state_vector, write_uint
from .structure import examine, made_here, refuse_hazards, without_deletions
from .surrogates import whole

_AT_ONCE = 1000
MISPLACED = "an item where no client puts it"

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")


class TaintedError(ProtocolError):
    """An update failed half-way: the document may hold a part of it and must be built again from the store."""


def checked(apply: Callable[[bytes], _Result], update: bytes) -> _Result:
    """Apply an update of a peer; turn what pycrdt raises about its bytes into ProtocolError.

    ValueError comes before anything is applied. The rest (an update that refers to what cannot be there, and
    PanicException, which is a BaseException) may come half-way, as TaintedError.
    """
    outline = examine(update)
    return guarded(apply, merged([update]) if outline.scattered else update)


def guarded(apply: Callable[[_Given], _Result], update: _Given) -> _Result:
    """Do what `checked` does with an update, or several, that were let through once, and are known to be no hazard."""
    try:
        return apply(update)
    except ValueError:
        raise ProtocolError("not an update") from None
    except RuntimeError:
        raise TaintedError("an update that does not fit this document") from None
    except BaseException as error:  # pycrdt does not export the class of its PanicException, which is one
        if type(error).__name__ != "PanicException":
            raise
        raise TaintedError("not an update") from None


class BadEntryError(Exception):
    """An update of a log that cannot be applied; `number` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"update {number} cannot be applied")
        self.number = number


def restored(entries: Sequence[tuple[int, bytes]]) -> Doc[Any]:
    """Return a document of numbered updates, of which the first is a whole state.

    What waits for updates that are not among them is left out. Raises BadEntryError.
    """
    try:
        return _restored(entries, _AT_ONCE)
    except BadEntryError:  # yrs may take in an update by itself that it does not where those before are not done with
        return _restored(entries, 1)


def _restored(entries: Sequence[tuple[int, bytes]], at_once: int) -> Doc[Any]:
    doc: Doc[Any] = Doc()
    updates = whole([update for _, update in entries])
    if not updates:
        return doc
    state, waits = updates[0], is_marked(updates[0])
    _apply(doc, [(entries[0][0], parted(state, {}).ready if waits else state)], at_once)
    order = Order(decode_state_vector(doc.get_state()))
    if waits:
        order.waiting = [parted(state, order.clocks)]
    releasing = _Releasing(doc)
    steps: list[tuple[int, bytes]] = []
    for (number, _), update in zip(entries[1:], updates[1:], strict=True):
        try:
            plan = order.plan(update, held := made_here(update))
        except ProtocolError:  # pycrdt says what is wrong with it, if anything is
            steps.append((number, update))
            continue
        order.follow(plan)
        steps += [(number, step) for step in plan.steps]
        if held.deleted or plan.released:
            # What comes next may be inside what was deleted: yrs takes that in only when the transaction has ended.
            _apply(doc, steps, at_once)
            releasing.after([step for _, step in steps], plan.released)
            steps.clear()
    _apply(doc, steps, at_once)
    return doc


def salvaged(updates: Sequence[bytes]) -> Doc[Any]:
    """Return a document of the updates that can be read, up to the first that cannot be applied.

    They are merged before pycrdt sees them: an update that does harm to a document does it to those that come later.
    """
    kept = [update for update in updates if _is_readable(update)]
    while True:
        try:
            restored(list(enumerate(kept)))
            return restored([(0, marked(merged(kept)))])
        except BadEntryError as bad:
            kept = kept[: bad.number]


def _is_readable(update: bytes) -> bool:
    try:
        made_here(update)
    except ProtocolError:
        return False
    return True


def refuse_misplaced(doc: Doc[Any], lists: Collection[str]) -> None:
    """Raise ProtocolError for a document with an item where no client puts it: reading it might not end.

    `lists` are the names of its roots that hold no text.
    """
    if Places(lists, doc.get_update()).misplaced:
        raise ProtocolError(MISPLACED)


def delete_misplaced(doc: Doc[Any], lists: Collection[str]) -> Places | None:
    """Delete from a document what `refuse_misplaced` refuses; return the places of its items if there was none."""
    places = Places(lists, state := doc.get_update())
    doc.apply_update(deletion(places.misplaced))
    return places if not places.misplaced or doc.get_update() == state else None


class _Releasing:
    """Applies released updates to a document that is built again; finds the places of its items only when needed."""

    def __init__(self, doc: Doc[Any]) -> None:
        self._doc = doc
        self._places: Places | None = None

    def after(self, steps: Iterable[bytes], released: Sequence[bytes]) -> None:
        """Apply the pending updates that some steps released, which are applied already."""
        if self._places is not None:
            for step in steps:
                self._places.note(step)
        elif released:
            self._places = Places((), self._doc.get_update())
        for update in released:
            release(self._doc, self._places or Places(), update)


class Replica:
    """A document that is given updates in any order; pending ones are kept outside of it.

    Attributes:
        doc: the document.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.doc: Doc[Any] = Doc()
        self._order = Order({})
        self._releasing = _Releasing(self.doc)

    def give(self, update: bytes) -> None:
        """Apply the part of an update that is not pending, and what it releases. Raises as pycrdt, or ProtocolError."""
        plan = self._order.plan(update, made_here(update))
        for step in plan.steps:
            self.doc.apply_update(step)
        self._releasing.after(plan.steps, plan.released)
        self._order.follow(plan)

    def give_state(self, state: bytes) -> None:
        """Apply the state of a document: nothing in it is pending, unless it is marked. Quicker for large ones."""
        if is_marked(state):
            self.give(state)
            return
        self.doc.apply_update(state)
        self._releasing = _Releasing(self.doc)
        self._order.clocks = decode_state_vector(self.doc.get_state())


def release(doc: Doc[Any], places: Places, update: bytes) -> Runs:
    """Apply an update that was pending, with deleted items in place of misplaced ones; `places` is kept up to date.

    The peer whose update released it is not to blame for misplaced items, and reading the log again must give the same
    document. Items that only the names of the lists show to be misplaced are therefore applied, and returned: the
    caller deletes them.
    """
    misplaced = places.look(update).misplaced
    for client, some in _childless(doc, update).items():
        misplaced.setdefault(client, []).extend(some)
    if misplaced:
        update = collected(update, misplaced)
    found = places.look(update)
    places.take(found)
    guarded(doc.apply_update, update)
    return found.unfit


def _childless(doc: Doc[Any], update: bytes) -> Runs:
    """Return the items of an update that are inside something else than a shared type: yrs fails half-way at them."""
    found: Runs = {}
    parents = foreign_parents(update)
    for client in {client for client, _ in parents}:
        mine = [id for id in parents if id[0] == client]
        for parent in no_types(_since(doc, client, min(clock for _, clock in mine)), mine):
            for author, some in parents[parent].items():
                found.setdefault(author, []).extend(some)
    return found


def _since(doc: Doc[Any], client: int, clock: int) -> bytes:
    """Return what a document has of a client, from a clock on or the one before, as an update."""
    clocks = decode_state_vector(doc.get_state())
    clocks[client] = min(clock, clocks.get(client, 0))
    state = b"".join(map(write_uint, (len(clocks), *chain.from_iterable(clocks.items()))))
    update = doc.get_update(state)
    try:
        made_here(update)
    except ProtocolError:  # the clock is that of the second half of a character, which pycrdt cuts to nothing
        return _since(doc, client, clock - 1)
    return update


def _apply(doc: Doc[Any], steps: Sequence[tuple[int, bytes]], at_once: int) -> None:
    """Apply numbered updates in order, so many in a transaction; raises BadEntryError.

    Mostly a thousand: whenever a transaction ends, yrs joins what was typed to what its author typed before it, and
    copies that to do so. 100,000 characters in a row take 1.7 s with a transaction for each, and 0.1 s so.
    """
    number = 0

    def apply(some: Sequence[tuple[int, bytes]]) -> None:
        """Apply some in one transaction, with the number of the last one that was begun in `number`."""
        nonlocal number
        with doc.transaction():
            for step in some:
                number = step[0]
                doc.apply_update(step[1])

    for at in range(0, len(steps), at_once):
        try:
            guarded(apply, steps[at : at + at_once])
        except ProtocolError:
            raise BadEntryError(number) from None


def answered(read: Callable[[_Given], _Result], given: _Given) -> _Result:
    """Have pycrdt read a peer's bytes without changing a document; whatever it raises becomes ProtocolError."""
    try:
        return guarded(read, given)
    except TaintedError as error:
        raise ProtocolError(error.reason) from None


def examined(read: Callable[[bytes], _Result], update: bytes) -> _Result:
    """Read an update of a peer without the room's document; whatever pycrdt raises about it becomes ProtocolError."""
    return answered(lambda update: checked(read, update), update)


def document_of(updates: Iterable[bytes]) -> Doc[Any]:
    """Return a document of its own for what a peer sent. Raises ProtocolError where that cannot be read."""
    given = list(updates)
    for update in given:
        refuse_hazards(update)
    replica = Replica()
    for update in whole(given):
        answered(pycrdt.get_state, update)
        examined(replica.give, update)
    return replica.doc


def news(update: bytes, state: bytes) -> bytes:
    """Return the blocks of an update that a document with this state vector lacks, without deletions."""
    return without_deletions(examined(lambda update: pycrdt.get_update(update, state), update))


def unmet(state: bytes, updates: Sequence[bytes]) -> bytes:
    """Return, as one update, the blocks of `updates` that a document with this state vector has not integrated.

    All were applied to it: a block that it lacks is pending, or was lost by yrs. NO_CHANGE stands for none.
    """
    rests = [pycrdt.get_update(update, state) for update in updates]
    # Of those that have items of which pycrdt says so, the whole: it cuts characters of two ids to nothing.
    news = [rest if rest[0] == 0 else update for rest, update in zip(rests, updates, strict=True) if rest != NO_CHANGE]
    return parted(merged(news), decode_state_vector(state)).rest if news else NO_CHANGE


def whole_state(doc: Doc[Any], updates: Sequence[bytes]) -> bytes:
    """Return a document's state and its pending updates as one update; `updates` has all that may be pending."""
    waiting = unmet(doc.get_state(), updates)
    state = doc.get_update()
    return state if waiting == NO_CHANGE else marked(merged([state, waiting]))
