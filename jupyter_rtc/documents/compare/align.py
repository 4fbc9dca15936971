"""Tell cells apart: which has which id, and which cell of one version of a notebook is which of another."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from operator import itemgetter
from typing import Any, TypeAlias

from .diff import pairs, similarity

# How much of the shorter of two cells is in the other one where they are the same cell: one that grows to many times
# what it was is still that. Were it not, and somebody types into it meanwhile, all of it would stand there twice.
_WITHIN = 0.5
# The same for a cell that is not between the same neighbours any more, where chance has many more to choose from.
_MOVED = 0.8
# About how many pairs of cells in one gap are compared: where there are more, those that are nearest to each other.
_MOST_PAIRS = 2_500

_Chain: TypeAlias = "tuple[tuple[int, int], _Chain] | None"


def match(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[int | None]:
    """Return for each cell of `new` the index of the cell of `old` that it is, or None: no index twice.

    Cells are recognised by id; then, where tools drop ids or make new ones at each save, by type and source;
    then, between two that are recognised, by similar source; then so wherever they are, if they are very similar.
    """
    found: list[int | None] = [None] * len(new)
    free = dict.fromkeys(range(len(old)))
    _by_key(found, free, [cell.get("id") for cell in old], [cell.get("id") for cell in new])
    if free and None in found:
        _by_key(found, free, [_content(cell) for cell in old], [_content(cell) for cell in new])
    for run, low, high in list(_gaps(found, len(old))):
        between = [place for place in range(low, high) if place in free]  # gaps overlap where cells were moved
        for at, place in _in_order(_alike(between, run, old, new, _WITHIN)):
            found[at] = place
            del free[place]
    if free and None in found:
        moved = [at for at, place in enumerate(found) if place is None]
        for at, place in _wherever(_alike(sorted(free), moved, old, new, _MOVED)):
            found[at] = place
    return found


def identified(values: list[dict[str, Any]]) -> list[bool]:
    """Give every cell a text as an id, no two the same; return for each whether it had one."""
    taken: set[str] = set()
    own: list[bool] = []
    for value in values:
        known = value.get("id")
        own.append(isinstance(known, str) and bool(known) and known not in taken)
        if own[-1]:
            taken.add(value["id"])
    for value, has in zip(values, own, strict=True):
        if not has:
            value["id"] = derived(value, taken)
    return own


def derived(value: dict[str, Any], taken: set[str]) -> str:
    """Return an id for a cell, and add it to `taken`, where it was not.

    It is made from the id that the cell shares with another one, so that it stays as the cell is edited; else from the
    cell's content.
    """
    known = value.get("id")
    seed = known if known and isinstance(known, str) else f"{value.get('cell_type')}\0{value.get('source')}"
    for number in range(len(taken) + 1):
        found = sha256(f"{number}\0{seed}".encode(errors="surrogatepass")).hexdigest()[:12]
        if found not in taken:
            break
    taken.add(found)
    return found


def _by_key(found: list[int | None], free: dict[int, None], old: list[Any], new: list[Any]) -> None:
    places: defaultdict[Any, deque[int]] = defaultdict(deque)
    for place in free:
        if old[place] is not None:
            places[old[place]].append(place)
    for at, key in enumerate(new):
        if found[at] is None and places.get(key):
            place = places[key].popleft()
            found[at] = place
            del free[place]


def _content(cell: dict[str, Any]) -> tuple[str, str]:
    return str(cell.get("cell_type")), str(cell.get("source"))


def _gaps(found: list[int | None], end: int) -> Iterator[tuple[list[int], int, int]]:
    """Yield each run of unrecognised new cells with the range of old ones between its recognised
    neighbours."""
    run: list[int] = []
    low = 0
    for at, place in enumerate([*found, end]):
        if place is None:
            run.append(at)
            continue
        if run and low < place:
            yield run, low, place
        run, low = [], place + 1


def _alike(
    places: list[int], run: list[int], old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]], least: float
) -> Iterator[tuple[float, int, int]]:
    """Yield how alike they are, and which: pairs of a new and an old cell of one type, with much in common.

    At least this part of the shorter one is in the other.
    """
    theirs = {at: pairs(str(new[at].get("source"))) for at in run}
    ours = {place: pairs(str(old[place].get("source"))) for place in places}
    far = _MOST_PAIRS // max(1, len(run))
    for number, at in enumerate(run):
        for place in places[max(0, number - far) : number + far + 1]:
            if old[place].get("cell_type") == new[at].get("cell_type"):
                alike, within = similarity(theirs[at], ours[place])
                if within >= least:
                    yield alike, at, place


def _in_order(alike: Iterable[tuple[float, int, int]]) -> list[tuple[int, int]]:
    """Return the pairs that are most alike together, of those that keep their order: none crosses another."""
    front: list[tuple[int, float, _Chain]] = []  # the best chains so far, by the place they end at, each better
    for weight, at, place in sorted(alike, key=lambda pair: (pair[1], -pair[2])):
        here = bisect_left(front, place, key=itemgetter(0))
        _, sum, before = front[here - 1] if here else (-1, 0.0, None)
        stop = here
        while stop < len(front) and front[stop][1] <= sum + weight:
            stop += 1
        if stop > here or here == len(front) or front[here][0] > place:
            front[here:stop] = [(place, sum + weight, ((at, place), before))]
    found = []
    chain = front[-1][2] if front else None
    while chain:
        pair, chain = chain
        found.append(pair)
    return found


def _wherever(alike: Iterable[tuple[float, int, int]]) -> list[tuple[int, int]]:
    """Return pairs, the most alike first, none of which has a cell of another."""
    theirs: set[int] = set()
    ours: set[int] = set()
    found = []
    for _, at, place in sorted(alike, reverse=True):
        if at not in theirs and place not in ours:
            theirs.add(at)
            ours.add(place)
            found.append((at, place))
    return found
