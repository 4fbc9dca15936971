"""Whether a document can give out what it holds: its state is written, read back, and compared. Pure.

An update that pycrdt takes in may be one that it cannot write again, or that it writes as something else: a document
that holds such an update looks well in memory, and whoever joins, and the next start of the server, gets another one.
Those that are known are refused (`structure`); this finds the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from pycrdt import Doc, Text

from .causality import marked
from .merging import merged
from .protocol import NO_CHANGE, ProtocolError, decode_state_vector
from .updates import BadEntryError, guarded, restored, unmet

Read: TypeAlias = Callable[[Doc[Any]], object]
"""Returns the content of a document, as lists, dicts and plain values; may take its roots for what they are."""


class UnfaithfulError(Exception):
    """A document cannot be written, or what is written of it cannot be read, or says something else."""


def proved(make: Callable[[], Doc[Any]], updates: Sequence[bytes], read: Read | None = None) -> tuple[Doc[Any], bytes]:
    """Return the document that `make` makes, and its whole state as one update, once that was read back.

    `updates` are all that it was given, some of which may have to wait; `read` tells its content, where that can be
    read. May run in any thread. Raises UnfaithfulError.
    """
    doc = make()
    try:
        written, waiting = guarded(lambda _: (doc.get_update(), unmet(doc.get_state(), updates)), b"")
        state = written if waiting == NO_CHANGE else marked(guarded(merged, [written, waiting]))
        compare(doc, written, make, state, read)
    except ProtocolError as error:
        raise UnfaithfulError(f"it cannot be written, or not be read again: {error.reason}") from None
    return doc, state


def compare(doc: Doc[Any], written: bytes, make: Callable[[], Doc[Any]], state: bytes, read: Read | None) -> None:
    """Raise UnfaithfulError where `state` is not all that `doc` holds, which pycrdt writes as `written`.

    A document that was read back and is written again has nearly always the same length; not the same bytes, for the
    keys of plain values come in any order. Only where it has not is the content looked at, which takes seconds for ten
    thousand cells; in another document that `make` makes, for one that was read has taken its roots for texts. Raises
    ProtocolError where the state cannot be read, or what was read not be written.
    """
    copy = read_again(state)
    if decode_state_vector(copy.get_state()) != decode_state_vector(doc.get_state()):
        raise UnfaithfulError("what is written of it has other lengths than what was typed")
    again = guarded(lambda _: copy.get_update(), b"")
    if len(again) != len(written) and not _alike(_content(make(), read), _content(copy, read)):
        raise UnfaithfulError("what is written of it says something else")


def read_again(state: bytes) -> Doc[Any]:
    """Return the document that a state makes, as it is made from what is stored. Raises UnfaithfulError."""
    try:
        return restored([(0, state)])
    except BadEntryError:
        raise UnfaithfulError("what is written of it cannot be read again") from None


def _content(doc: Doc[Any], read: Read | None) -> object:
    """Return what a document says; without `read`, its texts: arrays of what is none are not safe to go over."""
    if read:
        return read(doc)
    return {name: str(doc.get(name, type=Text)) for name in sorted(doc.keys())}


def _alike(one: Any, other: Any) -> bool:
    """Say whether two contents are the same; a number that is none is the same as another one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other or (one != one and other != other))
