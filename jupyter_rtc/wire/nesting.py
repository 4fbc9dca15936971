"""How deeply the shared types of a document contain each other. Pure.

pycrdt reads them by recursion, and so do Python, and the browsers: at a thousand levels a document cannot be saved any
more, at some ten thousand the stack ends, and with it the process. One update of a few bytes adds a level, so that
it takes the ones before to know.
"""

from __future__ import annotations

from itertools import islice

from .protocol import ProtocolError
from .shapes import Id, Place

DEEPEST_TYPES = 100
"""How many shared types may contain each other. A notebook has five levels; reading takes up to three calls a level."""
_MOST_KNOWN = 10_000


class Nesting:
    """The levels of the shared types that a document was given lately.

    It is a lower bound, and so nobody is refused by mistake: a type that was there from the beginning, that nobody
    touched for the last ten thousand types, or that stands next to plain content counts as one at the top.
    """

    def __init__(self) -> None:
        """Know of no types yet."""
        self._levels: dict[Id, int] = {}

    def refuse_depth(self, types: dict[Id, Place]) -> None:
        """Take note of the types that an update makes; raises ProtocolError where they are nested too deeply."""
        if types:
            levels: dict[Id, int] = {}
            for id in types:
                self._level(id, types, levels)
            if max(levels.values()) > DEEPEST_TYPES:
                raise ProtocolError("shared types nested too deeply")
            self._levels |= levels
            if len(self._levels) > 2 * _MOST_KNOWN:
                self._levels = dict(islice(self._levels.items(), len(self._levels) - _MOST_KNOWN, None))

    def _level(self, id: Id, types: dict[Id, Place], levels: dict[Id, int]) -> None:
        """Find out the level of a type, and those of the types on the way to the top, which may come in any order."""
        way: list[tuple[Id, bool]] = []
        here: Id | None = id
        while here in types and here not in levels and len(way) <= len(types):
            way.append((here, types[here].inside))
            here = types[here].id
        level = 0
        if here is not None:
            level = levels.get(here, self._levels.get(here, 0))
        for there, inside in reversed(way):
            level = level + 1 if inside else max(level, 1)
            levels[there] = level
