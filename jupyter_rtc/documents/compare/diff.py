"""Align two sequences: fast on huge ones, and with edits that people recognise on small ones."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from io import StringIO
from itertools import pairwise
from typing import NamedTuple
from unicodedata import category

# The most pairs of items that are compared with each other; above it a stretch without landmarks counts as
# replaced. 40 000 pairs take difflib some 20 ms at worst.
_MOST_PAIRS = 40_000
_LONGEST_WORD = 1000
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
_SAYING = re.compile(r"[^\W_]")


class Hunk(NamedTuple):
    """``old[start:stop]`` is replaced by ``new[begin:end]``; either may be empty, not both."""

    start: int
    stop: int
    begin: int
    end: int


def hunks(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[Hunk]:
    """Return what turns `old` into `new`, in ascending order; what lies between the hunks is equal.

    Patience diff: items that stand exactly once in both sequences are landmarks, and only what lies between
    two of them is compared item by item. Takes time linear in the lengths, but for the sorting of the
    landmarks.
    """
    found: list[Hunk] = []
    todo = [Hunk(0, len(old), 0, len(new))]
    while todo:
        hunk = _trimmed(old, new, todo.pop())
        if hunk.start == hunk.stop or hunk.begin == hunk.end:
            if hunk.stop - hunk.start or hunk.end - hunk.begin:
                found.append(hunk)
            continue
        marks = _landmarks(old, new, hunk)
        if marks:
            # The last stretch is worked on first, so the hunks come out from the end: reversed below.
            todo.extend(_between(hunk, marks))
        else:
            found.extend(reversed(_compared(old, new, hunk)))
    found.reverse()
    return found


def text_hunks(old: str, new: str) -> list[Hunk]:
    """Return what turns the text `old` into `new`: by lines, then by words within the lines that differ.

    Indices count characters (code points). Never quadratic in the length of the texts.
    """
    if old == new:
        return []
    old_lines, new_lines = old.splitlines(keepends=True), new.splitlines(keepends=True)
    old_at, new_at = _starts(old_lines), _starts(new_lines)
    found: list[Hunk] = []
    for hunk in _settled(old_lines, new_lines, hunks(old_lines, new_lines)):
        block = Hunk(old_at[hunk.start], old_at[hunk.stop], new_at[hunk.begin], new_at[hunk.end])
        found.extend(_within(old, new, block))
    return found


def lines_of(text: str) -> list[str]:
    """Return the lines of a text with their line breaks, as editors and git count them: only a line feed ends one."""
    return list(StringIO(text, newline="\n"))


def increasing(numbers: Sequence[int]) -> list[int]:
    """Return the indices of a longest increasing subsequence of `numbers`, which must all differ."""
    tails: list[int] = []
    tail_at: list[int] = []
    before: list[int] = []
    for index, number in enumerate(numbers):
        length = bisect_left(tails, number)
        before.append(tail_at[length - 1] if length else -1)
        if length == len(tails):
            tails.append(number)
            tail_at.append(index)
        else:
            tails[length] = number
            tail_at[length] = index
    chosen: list[int] = []
    at = tail_at[-1] if tail_at else -1
    while at >= 0:
        chosen.append(at)
        at = before[at]
    chosen.reverse()
    return chosen


def pairs(text: str) -> Counter[str]:
    """Return the pairs of neighbouring characters in a text, of which `similarity` can tell.

    In its first 2000 characters: enough to tell one notebook cell from another.
    """
    return Counter(map("".join, pairwise(text[:2000])))


def similarity(first: Counter[str], second: Counter[str]) -> tuple[float, float]:
    """Return how alike two texts are, and how much of the shorter one the other has, each from 0 to 1.

    They are given by their `pairs`; the figures are Dice's coefficient and the overlap coefficient.
    """
    shared, fewer, total = (first & second).total(), min(first.total(), second.total()), first.total() + second.total()
    return (2 * shared / total, shared / fewer) if fewer else (0.0, 0.0)


def _trimmed(old: Sequence[Hashable], new: Sequence[Hashable], hunk: Hunk) -> Hunk:
    """Return `hunk` without what is equal at its beginning and at its end."""
    start, stop, begin, end = hunk
    while start < stop and begin < end and old[start] == new[begin]:
        start += 1
        begin += 1
    while start < stop and begin < end and old[stop - 1] == new[end - 1]:
        stop -= 1
        end -= 1
    return Hunk(start, stop, begin, end)


def _landmarks(old: Sequence[Hashable], new: Sequence[Hashable], hunk: Hunk) -> list[tuple[int, int]]:
    """Return the (old, new) indices of items that stand once in both halves of `hunk`, in the same order.

    Lines and words without a letter or a digit are none as long as there are others: a bracket says little.
    """
    counts = Counter(old[hunk.start : hunk.stop])
    others = Counter(new[hunk.begin : hunk.end])
    places = {old[at]: at for at in range(hunk.start, hunk.stop) if counts[old[at]] == 1 == others.get(old[at], 0)}
    pairs = [(places[new[at]], at) for at in range(hunk.begin, hunk.end) if new[at] in places]
    pairs = [(place, at) for place, at in pairs if not _is_slack(new[at : at + 1])] or pairs
    return [pairs[index] for index in increasing([place for place, _ in pairs])]


def _is_slack(items: Sequence[Hashable]) -> bool:
    """Say whether there is neither a letter nor a digit in lines or words; other items always say something."""
    return all(isinstance(item, str) and not _SAYING.search(item) for item in items)


def _between(hunk: Hunk, marks: list[tuple[int, int]]) -> Iterator[Hunk]:
    start, begin = hunk.start, hunk.begin
    for old_at, new_at in marks:
        yield Hunk(start, old_at, begin, new_at)
        start, begin = old_at + 1, new_at + 1
    yield Hunk(start, hunk.stop, begin, hunk.end)


def _compared(old: Sequence[Hashable], new: Sequence[Hashable], hunk: Hunk) -> list[Hunk]:
    """Compare a stretch without landmarks item by item, where it is small enough for that."""
    start, stop, begin, end = hunk
    if (stop - start) * (end - begin) > _MOST_PAIRS:
        return [hunk]
    matcher = SequenceMatcher(None, old[start:stop], new[begin:end], autojunk=False)
    return [
        Hunk(start + i, start + j, begin + k, begin + n) for tag, i, j, k, n in matcher.get_opcodes() if tag != "equal"
    ]


def _within(old: str, new: str, block: Hunk) -> list[Hunk]:
    """Compare a block of lines by words.

    Not by characters: of two words that both sides of a merge put in place of one, both would keep some letters.
    """
    start, stop, begin, end = block
    old_words, new_words = _TOKEN.findall(old[start:stop]), _TOKEN.findall(new[begin:end])
    old_at, new_at = _starts(old_words), _starts(new_words)
    found = [
        Hunk(start + old_at[i], start + old_at[j], begin + new_at[k], begin + new_at[n])
        for i, j, k, n in _settled(old_words, new_words, _joined(old_words, hunks(old_words, new_words)))
    ]
    return [_trimmed(old, new, hunk) if _is_long(hunk) else hunk for hunk in found]


def _joined(old: list[str], hunks: list[Hunk]) -> list[Hunk]:
    """Return hunks of words without those that only a bracket, a comma or a space keeps apart, in one line.

    ``f(a) g(b)`` becomes ``h(c)``, not by leaving brackets of one phrase to another: whoever deletes one of the phrases
    meanwhile would take them along.
    """
    joined: list[Hunk] = []
    for hunk in hunks:
        if joined and _is_loose(old[joined[-1].stop : hunk.start]):
            last = joined.pop()
            hunk = Hunk(last.start, hunk.stop, last.begin, hunk.end)
        joined.append(hunk)
    return joined


def _whole(old: list[str], new: list[str], hunk: Hunk, room: range) -> Hunk:
    """Return a replacement with the brackets next to it whose partners it takes away, or puts in, within `room`.

    ``(a) (b)`` becomes ``(c)`` by replacing all of it, not ``a) (b``: what somebody types before ``(b)`` meanwhile
    would stand between the bracket and ``c``. And ``(c)`` becomes ``(a) (b)`` so: somebody may delete it meanwhile.
    """
    start, stop, begin, end = hunk
    closed, opened = map(max, _unmatched(old[start:stop]), _unmatched(new[begin:end]))
    while closed and start > room.start and _opens(old[start - 1]):
        start, begin, closed = start - 1, begin - 1, closed - 1
    while opened and stop < room.stop and _closes(old[stop]):
        stop, end, opened = stop + 1, end + 1, opened - 1
    return Hunk(start, stop, begin, end)


def _unmatched(words: list[str]) -> tuple[int, int]:
    """Return how many brackets are closed that were not opened among the words, and opened and not closed."""
    closed = opened = 0
    for word in words:
        opened += _opens(word)
        if _closes(word):
            closed, opened = (closed, opened - 1) if opened else (closed + 1, 0)
    return closed, opened


def _is_loose(between: list[str]) -> bool:
    return _is_slack(between) and not any("\n" in word for word in between)


def _settled(old: list[str], new: list[str], hunks: list[Hunk]) -> Iterator[Hunk]:
    """Yield hunks of lines or words, each where somebody would have made it who works on whole phrases.

    ``(a)`` becomes ``(b) (a)`` by inserting ``(b) `` or ``b) (``; if somebody else deletes ``(a)`` meanwhile, the
    latter leaves half a phrase. So an insertion or a deletion is moved to where it begins and ends at spaces, line
    breaks or empty lines, and cuts no brackets, as far as it can.
    """
    floor = 0
    ends = [*(hunk.start for hunk in hunks[1:]), len(old)]
    for hunk, end in zip(hunks, ends, strict=True):
        if hunk.start == hunk.stop or hunk.begin == hunk.end:
            best = max(_slides(old, new, hunk, range(floor, end)), key=lambda slid: _wholeness(old, new, slid))
        else:
            best = _whole(old, new, hunk, range(floor, end))
        floor = best.stop
        yield best


def _slides(old: list[str], new: list[str], hunk: Hunk, room: range) -> Iterator[Hunk]:
    """Yield all places that an insertion or a deletion may have as well, within a stretch of `old`, from the right."""
    # Only one side has items: they may be one place further if the first of them is the one after the last.
    side, at, size = (new, 1, hunk.end - hunk.begin) if hunk.start == hunk.stop else (old, 0, hunk.stop - hunk.start)
    low = (hunk.start, hunk.begin)[at]
    right = left = 0
    while hunk.stop + right < room.stop and side[low + right] == side[low + right + size]:
        right += 1
    while hunk.start - left > room.start and side[low - left - 1] == side[low - left - 1 + size]:
        left += 1
    for by in range(right, -left - 1, -1):
        yield Hunk(*(place + by for place in hunk))


def _wholeness(old: list[str], new: list[str], hunk: Hunk) -> int:
    """Return how much of a whole phrase an insertion or a deletion is: it is set off by gaps, and cuts no bracket."""
    side, low, high = (new, hunk.begin, hunk.end) if hunk.start == hunk.stop else (old, hunk.start, hunk.stop)
    return _gap(side[low - 1] if low else "\n") + _gap(side[high - 1]) - _cut(side[low], side[high - 1])


def _gap(item: str) -> int:
    """Return how much of a gap a line or a word is: an empty line, a line break, a space, or none."""
    return item.isspace() + ("\n" in item and item.isspace())


def _cut(first: str, last: str) -> int:
    """Return how many brackets are cut by what begins with `first` and ends with `last`."""
    return _closes(first) + _opens(last)


def _opens(word: str) -> bool:
    return category(word[-1]) in ("Ps", "Pi")


def _closes(word: str) -> bool:
    return category(word[0]) in ("Pe", "Pf")


def _is_long(hunk: Hunk) -> bool:
    # A picture in base64, for instance, is one word.
    return min(hunk.stop - hunk.start, hunk.end - hunk.begin) > _LONGEST_WORD


def _starts(parts: list[str]) -> list[int]:
    """Return where each part begins in the joined text, and at last where that ends."""
    at, starts = 0, [0]
    for part in parts:
        at += len(part)
        starts.append(at)
    return starts
