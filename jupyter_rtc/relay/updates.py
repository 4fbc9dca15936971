"""What pycrdt makes of updates: which it cannot read, what one adds, and what of it has to wait. Pure.

An update may come before one that it builds on. pycrdt keeps it in the document until then, but leaves it out of
everything that it encodes: whoever copies a document, or folds a log into its state, must bring it along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import pycrdt
from pycrdt import Doc

from .merging import merged
from .protocol import NO_CHANGE, CloseCode, ProtocolError, decode_state_vector
from .structure import deletions, examine, refuse_hazards, without_deletions
from .surrogates import whole

MOST_WAITING = 1 << 18
"""How many bytes of updates may wait in a document for others: pycrdt tries many of them again with each edit.

A million deletions of what nobody knows, in 4 MB, make every edit of the others take 9 ms in place of 0.01.
"""
_MOST_UNSEEN = 1000
_LARGEST_UNSEEN = 1 << 20

_AT_ONCE = 1000

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


def take_in(doc: Doc[Any], entries: Sequence[tuple[int, bytes]]) -> int | None:
    """Apply numbered updates in order; return the number of the first that cannot be, None if there is none.

    A thousand at a time: whenever a transaction ends, yrs joins what was typed to what its author typed before it, and
    copies that to do so. 100,000 characters in a row take 1.7 s with a transaction for each, and 0.1 s so.
    """
    number = 0

    def apply(some: Sequence[tuple[int, bytes]]) -> None:
        nonlocal number
        with doc.transaction():
            for entry in some:
                number = entry[0]
                doc.apply_update(entry[1])

    numbers = [number for number, _ in entries]
    entries = list(zip(numbers, whole([update for _, update in entries]), strict=True))
    for at in range(0, len(entries), _AT_ONCE):
        try:
            guarded(apply, entries[at : at + _AT_ONCE])
        except ProtocolError:
            return number
    return None


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
    doc: Doc[Any] = Doc()
    for update in whole(given):
        examined(doc.apply_update, update)
    return doc


def news(update: bytes, state: bytes) -> bytes:
    """Return what a document with this state vector does not know of an update, deletions aside."""
    return without_deletions(examined(lambda update: pycrdt.get_update(update, state), update))


def unmet(state: bytes, updates: Iterable[bytes]) -> bytes:
    """Return, as one update, what of `updates` a document with this state vector could not take in yet.

    They have been applied to it; what it lacks has to wait for an update that nobody has brought. NO_CHANGE stands
    for nothing.
    """
    known: dict[int, int] = {}
    waiting = []
    for update in updates:
        rest = pycrdt.get_update(update, state)  # without the items that the document has
        if rest == NO_CHANGE:
            continue
        if rest[:1] == b"\x00":
            known = known or decode_state_vector(state)
            if all(end <= known.get(client, 0) for client, _, end in deletions(rest)):
                continue
        waiting.append(rest)
    return merged(waiting) if len(waiting) > 1 else waiting[0] if waiting else NO_CHANGE


def whole_state(doc: Doc[Any], updates: Iterable[bytes]) -> bytes:
    """Return all that a document was given, as one update; `updates` are those that may have to wait."""
    waiting = unmet(doc.get_state(), updates)
    state = doc.get_update()
    return state if waiting == NO_CHANGE else merged([state, waiting])


class Waiting:
    """What a document was given and has not taken in yet.

    To look for it costs a third of a microsecond for each update when it is done for many at once, so it is.
    """

    def __init__(self, known: bytes = NO_CHANGE) -> None:
        """Begin with what is `known` to wait."""
        self._known = known
        self._unseen: list[bytes] = []
        self._size = 0

    def note(self, doc: Doc[Any], update: bytes) -> None:
        """Take note of an update that was applied to `doc`. On the hot path."""
        self._unseen.append(update)
        self._size += len(update)
        if self._size > _LARGEST_UNSEEN or len(self._unseen) > _MOST_UNSEEN:
            self.of(doc)

    def refuse_excess(self, doc: Doc[Any], update: bytes) -> None:
        """Raise TaintedError where an update that was just applied to `doc` waits, and too much does so then.

        On the hot path.
        """
        if len(update) + len(self._known) <= MOST_WAITING:
            return
        rest = unmet(doc.get_state(), [update])
        if rest != NO_CHANGE and len(rest) + len(self.of(doc)) > MOST_WAITING:
            raise TaintedError("too much that builds on missing updates", CloseCode.NOT_ALLOWED)

    def of(self, doc: Doc[Any]) -> bytes:
        """Return what waits in `doc`, as one update; NO_CHANGE if nothing does."""
        if self._unseen:
            self._known = unmet(doc.get_state(), [self._known, *self._unseen])
            self._unseen, self._size = [], 0
        return self._known
