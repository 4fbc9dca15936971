"""Which outputs of a notebook have which display ids. Pure."""

from __future__ import annotations

from typing import NamedTuple

_MOST_DISPLAYS = 10_000
"""So many outputs are remembered by their display ids, the last ones: a kernel makes new ids without end."""


class Spot(NamedTuple):
    """An output with a display id: in which cell, which item of the document it is, and at which index it stood."""

    display_id: str
    cell: str
    item: bytes
    place: int


class Displays:
    """The outputs of a notebook that a kernel may change later, by their display ids: several may have the same.

    The ids are those in ``transient.display_id`` of messages ``display_data`` (Jupyter's messaging protocol). They are
    no part of the notebook, nor of its document.
    """

    def __init__(self) -> None:
        """Know of none yet."""
        self._spots: dict[bytes, Spot] = {}
        self._items: dict[str, dict[bytes, None]] = {}

    def add(self, spot: Spot) -> None:
        """Remember an output."""
        self._spots[spot.item] = spot
        self._items.setdefault(spot.display_id, {})[spot.item] = None
        if len(self._spots) > _MOST_DISPLAYS:
            self._forget(next(iter(self._spots.values())))

    def take(self, display_id: str) -> list[Spot]:
        """Return the outputs of a display id, and forget them: those that are still there are to be added again."""
        spots = [self._spots[item] for item in self._items.get(display_id, ())]
        for spot in spots:
            self._forget(spot)
        return spots

    def in_cell(self, id: str) -> list[Spot]:
        """Return the outputs of a cell."""
        return [spot for spot in self._spots.values() if spot.cell == id]

    def _forget(self, spot: Spot) -> None:
        del self._spots[spot.item]
        items = self._items[spot.display_id]
        del items[spot.item]
        if not items:
            del self._items[spot.display_id]
