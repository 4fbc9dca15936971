"""How much alike two versions of a document are, where nobody can tell from their histories which is from which.

Pure. See docs/topics/lineage.md.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from ..compare.align import match
from ..compare.diff import hunks, lines_of, text_hunks
from ..formats.content import Value
from ..formats.ipynb import Notebook
from .conflicts import regions

_WORD = re.compile(r"\w+")
_WORD_OR_SIGN = re.compile(r"\w+|[^\w\s]")
_MOST_PAIRS = 1_000_000


def holds(value: Value, other: Value) -> bool:
    """Say whether one document holds everything that another one does, line by line; what it cannot tell, it denies."""
    if isinstance(value, str) and isinstance(other, str):
        return all(hunk.start == hunk.stop for hunk in hunks(other.splitlines(), value.splitlines()))
    if not (isinstance(value, Notebook) and isinstance(other, Notebook)):
        return bool(value == other)
    cells, others = list(value.cells), list(other.cells)
    pairs = zip(match(cells, others), others, strict=True)
    return value.meta == other.meta and all(
        _is_blank(cell) if at is None else _cell_holds(cells[at], cell) for at, cell in pairs
    )


def _cell_holds(cell: dict[str, Any], other: dict[str, Any]) -> bool:
    plain = {key: item for key, item in other.items() if key not in ("id", "source", "execution_count")}
    if not plain.get("outputs", True):
        del plain["outputs"]
    same = all(key in cell and cell[key] == item for key, item in plain.items())
    return same and holds(str(cell.get("source", "")), str(other.get("source", "")))


def _is_blank(cell: dict[str, Any]) -> bool:
    return not (str(cell.get("source", "")).strip() or cell.get("outputs") or cell.get("attachments"))


def is_later(saved: Value, stored: Value, file: Value) -> bool:
    """Say whether a file was written from what was `stored`, or from later on; and not from what was `saved` before.

    Who wrote it from there has seen what was typed since then: most of these words still stand at their places. A
    quarter will do where all that was typed at one place stands there yet: people delete much of what they have just
    typed, and nobody else types just that. Less tells nothing: who types `import os` and who types `import sys` at the
    same place both write the first word.
    """
    put, _ = _changes(saved, stored)
    _, gone = _changes(stored, file)
    _, deleted = _changes(saved, file)
    places = _telling(put)
    typed = sum(places, Counter[str]())
    missing = (gone - deleted) & typed
    weight = 1 if all(place & missing for place in places) else 3
    return weight * (typed - missing).total() > missing.total()


def _telling(places: Sequence[Counter[str]]) -> Sequence[Counter[str]]:
    """Return the words of each place that has any; the signs where there is no word at all: they stand everywhere."""
    words = [Counter({word: count for word, count in place.items() if _WORD.match(word)}) for place in places]
    return [place for place in words if place] or places


def _changes(old: Value, new: Value) -> tuple[list[Counter[str]], Counter[str]]:
    """Return the words and signs that were put into a document, by lines, and those that were taken out of it.

    Each counts where it stood. A word that was written on, at its place, was not taken out.
    """
    put, taken = list[Counter[str]](), Counter[str]()
    for before, after in _pairs(old, new):
        for start, stop, begin, end in text_hunks(before, after):
            was = Counter(_WORD_OR_SIGN.findall(before[start:stop]))
            lines = [Counter(_WORD_OR_SIGN.findall(line)) for line in after[begin:end].splitlines()]
            for line in lines:
                if words := line - was:
                    put.append(words)
                was -= line
            known = sorted(set().union(*lines))
            taken += Counter({word: count for word, count in was.items() if not _begins(word, known)})
    return put, taken


def _pairs(old: Value, new: Value) -> Iterator[tuple[str, str]]:
    """Yield the texts of a document as they were, and what became of each."""
    if isinstance(old, Notebook) and isinstance(new, Notebook):
        known, fresh = _paired(old.cells, new.cells)
        yield from ((_text(cell), _text(known[at]) if at in known else "") for at, cell in enumerate(old.cells))
        yield from (("", _text(cell)) for cell in fresh)
    else:
        yield str(old), str(new)


def _begins(word: str, known: Sequence[str]) -> bool:
    """Say whether one of the words, which are `known` in ascending order, begins with this one."""
    at = bisect_left(known, word)
    return at < len(known) and known[at].startswith(word)


def may_share_an_edit(base: Value, mine: Value, theirs: Value) -> bool:
    """Say whether two versions of a document, both made from `base`, may have the same edit, or a part of one.

    They may where both changed the same place, and one wrote what the other did, or wrote on at it.
    """
    return any(_are_alike(*texts) for texts in _met(base, mine, theirs))


def _met(base: Value, mine: Value, theirs: Value) -> Iterator[tuple[str, str, str]]:
    """Yield what stood at each place that both sides changed, and what each made of it."""
    if isinstance(base, Notebook) and isinstance(mine, Notebook) and isinstance(theirs, Notebook):
        (ours, fresh), (others, more) = (_paired(base.cells, side.cells) for side in (mine, theirs))
        for at in sorted(ours.keys() & others.keys()):
            yield from _met(*map(_labelled, (base.cells[at], ours[at], others[at])))
        pairs = zip(match(fresh, more), more, strict=True)
        yield from (("", _labelled(fresh[place]), _labelled(cell)) for place, cell in pairs if place is not None)
    elif isinstance(base, str):
        texts = lines_of(base), lines_of(mine), lines_of(theirs)
        for places in regions(hunks(texts[0], texts[1]), hunks(texts[0], texts[2])):
            was, now, new = ("".join(lines[place]) for lines, place in zip(texts, places, strict=True))
            yield was, now, new
    elif base not in (mine, theirs):
        yield "", str(mine), str(mine)  # nobody can tell


def _paired(
    old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]
) -> tuple[dict[int, dict[str, Any]], list[dict[str, Any]]]:
    """Return what became of old cells, by their index, and the cells that are new."""
    found = list(zip(match(old, new), new, strict=True))
    return {at: cell for at, cell in found if at is not None}, [cell for at, cell in found if at is None]


def _text(cell: dict[str, Any]) -> str:
    """Return what a cell says and shows."""
    outputs = cell.get("outputs")
    return f"{cell.get('source')}\n{json.dumps(outputs, indent=0, sort_keys=True) if outputs else ''}\n"


def _labelled(cell: dict[str, Any]) -> str:
    """Return what a cell says and shows, with its id."""
    return f"{_text(cell)}{cell.get('id')}\n"


def _are_alike(base: str, mine: str, theirs: str) -> bool:
    """Say whether two texts that took the place of a third may be one in two stages."""
    old, *sides = (Counter(_WORD.findall(text)) for text in (base, mine, theirs))
    ours, others = (side - old for side in sides)
    pairs = product(ours, others) if len(ours) * len(others) < _MOST_PAIRS else [("", "")]
    return mine == theirs or any(one.startswith(two) or two.startswith(one) for one, two in pairs)
