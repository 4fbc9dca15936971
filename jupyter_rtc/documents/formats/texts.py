"""A shared text made to say another one, with the smallest edits. Pure."""

from __future__ import annotations

from itertools import accumulate

from pycrdt import Text

from ...wire import clean
from ..compare.diff import text_hunks


def edit_text(text: Text, new: str, live: str | None = None) -> None:
    """Make a shared text say `new`: lines that are equal are not touched, nor words within the others.

    What was changed in the same way in `live` already, the text that this will be merged into, is left out: it would
    stand there twice.
    """
    old, new = str(text), clean(new)
    hunks = text_hunks(old, new)
    if live is not None and hunks:
        done = {(start, stop, live[begin:end]) for start, stop, begin, end in text_hunks(old, live)}
        hunks = [hunk for hunk in hunks if (hunk.start, hunk.stop, new[hunk.begin : hunk.end]) not in done]
    if not hunks:
        return
    if len(text) != len(old.encode()):  # it holds what is no text, and hides where: nothing can be put between
        with text.doc.transaction():
            text.clear()
            text += new
        return
    # pycrdt counts bytes of UTF-8.
    places = [place for hunk in hunks for place in (hunk.start, hunk.stop)]
    offsets = list(accumulate(len(old[a:b].encode()) for a, b in zip([0, *places], places, strict=False)))
    with text.doc.transaction():
        # From the end, so that what is still to come stays where it is.
        for number in range(len(hunks) - 1, -1, -1):
            hunk = hunks[number]
            text[offsets[2 * number] : offsets[2 * number + 1]] = new[hunk.begin : hunk.end]
