"""Read a living document without holding up those who edit it, and notice when they do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol


class Reading(Protocol):
    """A document being read, in slices of a few milliseconds, while it is being edited.

    Iterate to the end, pausing as you like between the slices; what was read is the document at that moment.
    Use it as a context manager, or `close()` it: while it is open it observes the document. It never writes.
    """

    def __iter__(self) -> Iterator[None]:
        """Read the document; each step is one slice. Ends with a slice that makes what was read exact."""

    def value(self) -> Any:
        """Return what was read as plain Python, once. May take long, in any thread; AttributeError before the end."""

    def __enter__(self) -> Reading:
        """Return the reading itself."""

    def __exit__(self, *exc_info: object) -> None:
        """Close the reading."""

    def close(self) -> None:
        """Stop observing the document. May be called twice, and before the end."""


class Whole:
    """A reading that has one slice, for what cannot be converted in parts (`Reading`)."""

    _value: Any

    def __init__(self, convert: Callable[[], Any]) -> None:
        """Make a reading that calls `convert`."""
        self._convert = convert

    def __iter__(self) -> Iterator[None]:
        """Convert the document."""
        self._value = self._convert()
        yield from ()

    def value(self) -> Any:
        """Return the document as it was converted."""
        return self._value

    def __enter__(self) -> Whole:
        """Return the reading itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the reading."""

    def close(self) -> None:
        """Do nothing: it observes nothing."""


def watch(roots: Sequence[Any], callback: Callable[[], None]) -> Callable[[], None]:
    """Call `callback` in the first transaction that changes one of `roots`; return what unsubscribes."""
    fired = False

    def call_once(_: list[Any]) -> None:
        """Call back the first time: a transaction may change several roots."""
        nonlocal fired
        if not fired:
            fired = True
            callback()

    return observe([(root, call_once) for root in roots])


def observe(callbacks: Iterable[tuple[Any, Callable[[list[Any]], None]]]) -> Callable[[], None]:
    """Call back, with pycrdt's events, in each transaction that changes a root; return what unsubscribes."""
    subscriptions = [(root, root.observe_deep(callback)) for root, callback in callbacks]

    def unsubscribe() -> None:
        """End the subscriptions, once."""
        while subscriptions:
            root, subscription = subscriptions.pop()
            root.unobserve(subscription)

    return unsubscribe
