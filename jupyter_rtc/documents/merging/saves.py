"""Which of the last saves a file descends from that somebody else wrote.

A program reads a file, works for a while, and writes it back; meanwhile people type, and the file is saved again and
again. The base of its edit is the save that it read, not the last one: from the last one, whatever was typed meanwhile
would count as deleted by the program. Pure. See docs/topics/files-and-rooms.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from ..compare.align import match
from ..compare.diff import Hunk, text_hunks
from ..formats.content import Value
from ..formats.ipynb import Notebook
from ..formats.shape import same

_Cells: TypeAlias = "Sequence[dict[str, Any]]"
_WORD = re.compile(r"\w+")
_AHEAD = 8  # saves that a word is looked for in that was typed on at since: some typists take seconds for one


class Descent(NamedTuple):
    """What a file says at the places that changed between two saves.

    Attributes:
        has: it has something that came with the later one, at its place: whoever wrote it had read the later one.
        lacks: at a place it says just what the earlier one said.
        takes: it has not all the words that came with the later one.
    """

    has: bool = False
    lacks: bool = False
    takes: bool = False

    def __or__(self, other: Descent) -> Descent:
        """Return what is so at one of two places."""
        return Descent(*(one or two for one, two in zip(self, other, strict=True)))


class Base(NamedTuple):
    """The save that a file descends from, by its index; `takes` says whether words typed before it are not in there."""

    at: int
    takes: bool


def base_of(count: int, value: Callable[[int], Value], file: Value, equals: Callable[[Value], bool]) -> Base:
    """Return the newest of `count` saves, the oldest first, that a file descends from.

    `value` gives what a save said, `file` is what the file says, and `equals` says whether it says just that. A file
    descends from the newest save of which it has something, if at a place that changed after that save it says just
    what that save said. Where there is no such place, nobody can tell, and it is the last save. So it is, too,
    where the file says as a whole what an earlier save said: somebody set it back (`git checkout`).
    """
    last = count - 1
    value = lru_cache(2)(value)  # a document may be large: two of them at once, not all
    first = descent(value(0), value(last), file)
    if not (first.lacks or first.takes):
        return Base(last, takes=False)
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        if descent(value(middle), value(last), file).has:
            low = middle + 1
        else:
            high = middle
    steps = range(low + 1, min(low + _AHEAD, last) + 1)
    low = max((at for at in steps if descent(value(at - 1), value(at), file).has), default=low)
    told = low < last and descent(value(low), value(last), file).lacks and not equals(value(low))
    at = low if told else last
    return Base(at, first.takes if at == last else descent(value(0), value(at), file).takes)


def descent(old: Value, new: Value, file: Value) -> Descent:
    """Hold a file against two saves of its document, a later and an earlier one.

    Of notebooks the cells count, their sources and outputs; of types other than texts and notebooks nothing can be
    told.
    """
    if isinstance(old, Notebook) and isinstance(new, Notebook) and isinstance(file, Notebook):
        parts = _of_cells(old.cells, new.cells, file.cells)
    elif isinstance(old, str) and isinstance(new, str) and isinstance(file, str):
        parts = _of_text(old, new, file)
    else:
        parts = iter(())
    found = Descent()
    for part in parts:
        found |= part
    return found


def _of_cells(old: _Cells, new: _Cells, file: _Cells) -> Iterator[Descent]:
    before = match(old, new)
    after = {place: cell for place, cell in zip(match(new, file), file, strict=True) if place is not None}
    for at, (place, cell) in enumerate(zip(before, new, strict=True)):
        was, now = "" if place is None else _source(old[place]), _source(cell)
        said = after.get(at)
        if said is None:
            yield Descent(
                lacks=place is None, takes=any(_words(now[hunk.begin : hunk.end]) for hunk in text_hunks(was, now))
            )
            continue
        if was != now:
            yield from _of_text(was, now, _source(said))
        shown = [one.get("outputs") for one in (cell if place is None else old[place], cell, said)]
        if not same(shown[0], shown[1]):
            yield Descent(has=same(shown[2], shown[1]), lacks=same(shown[2], shown[0]))
    gone = [cell for place, cell in enumerate(old) if place not in before]
    fresh = [cell for place, cell in zip(match(new, file), file, strict=True) if place is None]
    back = {place for place in match(gone, fresh) if place is not None}
    for place in range(len(gone)):
        yield Descent(lacks=place in back, has=place not in back)


def _of_text(old: str, new: str, file: str) -> Iterator[Descent]:
    since_old, since_new = text_hunks(old, file), text_hunks(new, file)
    for start, stop, begin, end in text_hunks(old, new):
        as_old = not any(hunk.start <= stop and start <= hunk.stop for hunk in since_old)
        put = _words(new[begin:end])
        left = sum(_words(new[low:high]) for low, high in _untouched(begin, end, since_new))
        if put:
            yield Descent(has=left > 0, lacks=as_old and not left, takes=left < put)
        else:
            as_new = not any(hunk.start <= end and begin <= hunk.stop for hunk in since_new)
            yield Descent(has=as_new and not as_old, lacks=as_old)


def _untouched(begin: int, end: int, hunks: Sequence[Hunk]) -> Iterator[tuple[int, int]]:
    """Yield the stretches between two places of a text that none of the hunks takes away."""
    for hunk in hunks:
        if hunk.stop > begin and hunk.start < end:
            yield begin, max(begin, hunk.start)
            begin = hunk.stop
    yield begin, max(begin, end)


def _words(text: str) -> int:
    return len(_WORD.findall(text))


def _source(cell: dict[str, Any]) -> str:
    return str(cell.get("source", ""))
