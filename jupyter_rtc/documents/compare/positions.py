"""Where the items of a sequence are that others edit, found by their keys without a search. Pure.

To be told of every edit would cost more than an edit does. So what was seen last is kept, and each answer is checked
against the sequence itself.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

_TRIED = 6
"""So many items are looked at to find two that were there before; where there are none, all between two that were."""


class Keyed(Protocol):
    """A sequence whose items have keys. To look at one item is cheap, at all of them is not."""

    def __len__(self) -> int:
        """Return how many items there are."""
        ...

    def key_at(self, place: int) -> str | None:
        """Return the key of the item at an index; None if it has none."""
        ...

    def keys(self) -> list[str | None]:
        """Return the keys of all items."""
        ...


class _Stretch(NamedTuple):
    """The known keys from `start` to `stop`, which may stand between two indices of the sequence now.

    Those before it moved by `before`, those after it by `after`.
    """

    start: int
    stop: int
    before: int
    after: int

    @property
    def low(self) -> int:
        """The index in the sequence at which it begins."""
        return self.start + self.before

    @property
    def high(self) -> int:
        """The index in the sequence at which it ends."""
        return self.stop + self.after

    def around(self, was: int, here: int) -> list[_Stretch]:
        """Return what is before and after a known item that is at the index `here` now, and that item by itself."""
        moved = here - was
        return [
            _Stretch(self.start, was, self.before, moved),
            _Stretch(was, was + 1, moved, moved),
            _Stretch(was + 1, self.stop, moved, self.after),
        ]


class Positions:
    """The keys of a sequence as they were seen last.

    A key that stands where it was seen costs one look at the sequence. Where something was inserted, deleted or moved
    since, what stands there instead says by how much, and bisection finds out where: some twenty looks in ten thousand
    items for each place that changed. All items are looked at only for a key that none of this finds, and so for every
    key that is not there.

    It holds nothing of the sequence but keys, so that the sequence may be another object each time.
    """

    def __init__(self) -> None:
        """Know of nothing yet."""
        self._keys: list[str | None] = []
        self._at: dict[str, int] = {}

    def find(self, key: str, sequence: Keyed) -> int | None:
        """Return where the item with this key is in a sequence; None where there is none.

        Where several have it, one of them: the first, as long as nobody edits the sequence.
        """
        place = self._at.get(key)
        if place is not None and place < len(sequence) and sequence.key_at(place) == key:
            return place
        self._learn(self._aligned(sequence, place))
        place = self._at.get(key)
        if place is not None:
            for near in range(max(0, place - _TRIED), min(place + _TRIED + 1, len(sequence))):
                if sequence.key_at(near) == key:
                    return near
        self._learn(sequence.keys())
        place = self._at.get(key)
        return place if place is not None and sequence.key_at(place) == key else None

    def read(self, sequence: Keyed) -> list[str]:
        """Look at the whole sequence; return its keys, without items that have none."""
        self._learn(sequence.keys())
        return [key for key in self._keys if key is not None]

    def _learn(self, keys: list[str | None]) -> None:
        self._keys = keys
        self._at = {key: place for place, key in reversed(list(enumerate(keys))) if key is not None}

    def _aligned(self, sequence: Keyed, place: int | None) -> list[str | None]:
        """Return the keys as they are now, of which those between two that moved by the same are taken for granted.

        The item at `place`, if there is one, is looked at in any case.
        """
        keys: list[str | None] = [None] * len(sequence)
        whole = _Stretch(0, len(self._keys), 0, len(keys) - len(self._keys))
        known = None if place is None else self._known(whole, place, sequence)
        stretches = whole.around(*known) if known else [whole]
        while stretches:
            stretch = stretches.pop()
            if stretch.before == stretch.after:
                keys[stretch.low : stretch.high] = self._keys[stretch.start : stretch.stop]
            elif known := self._known(stretch, (stretch.low + stretch.high) // 2, sequence):
                stretches += stretch.around(*known)
            else:
                keys[stretch.low : stretch.high] = map(sequence.key_at, range(stretch.low, stretch.high))
        return keys

    def _known(self, stretch: _Stretch, place: int, sequence: Keyed) -> tuple[int, int] | None:
        """Look for an item that was in a stretch before, around `place`; return where it was, and where it is now.

        It must still be followed by the same one, for it may be one that somebody moved, which says nothing of others;
        and it must have moved by something else than what is before and after the stretch, if both moved by the same.
        Returns None where there is none among the next few.
        """
        first = max(stretch.low, min(place - _TRIED // 2, stretch.high - _TRIED))
        before = -2
        for here in range(first, min(first + _TRIED, stretch.high)):
            was = self._at.get(sequence.key_at(here) or "", -2)
            followed = was == before + 1 and stretch.start <= before and was < stretch.stop
            if followed and not here - was == stretch.before == stretch.after:
                return before, here - 1
            before = was
        return None
