"""Three-way merge: an outside edit of a file, made as if another person had typed it into the document.

The document is set to what the file holds now with the smallest edits, in a fork of the state in which both
were last equal; what that adds to the fork is merged into the living document. What stands in both is never
written again, so it is never doubled, and keeps its Map or its characters: cursors and handles stay where
they are.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import pycrdt

from ..formats.content import Content, Original
from ..formats.update import NO_CHANGE

Doc: TypeAlias = "pycrdt.Doc[Any]"


def outside(base: bytes, content: Content, original: Original, live: bytes | None = None) -> bytes:
    """Return the update that turns the document `base` into `original` with the smallest edits.

    `base` is one update with the whole state of the document when the file was last equal to it: the merge base.
    The result may be applied to any document that has the history of `base`, however much it was edited since:
    both sides survive, and what is equal in both is not doubled. It is an update without effect where nothing
    differs. Its author is a new client id. May run in any thread.

    `live` is the whole state of the living document. With it, no cell that was edited there since `base` is taken
    away from under the hands of who edits it: one that was deleted outside stays, one that was moved stays where
    it is. (Without it, what was typed into such a cell is deleted with it.) Where the document was edited while
    this ran, call it again with the state of now.
    """
    return edits(document(base), content, original, None if live is None else document(live))


def edits(fork: Doc, content: Content, original: Original, live: Doc | None = None) -> bytes:
    """Do what `outside` does to a document that is at hand, and return the update."""
    made: list[bytes] = []
    subscription = fork.observe(lambda event: made.append(event.update))
    content.edit(fork, original, live)
    fork.unobserve(subscription)
    made = [update for update in made if update != NO_CHANGE]
    return pycrdt.merge_updates(*made) if made else NO_CHANGE


def document(state: bytes) -> Doc:
    """Return a document of its own with a state that we encoded ourselves."""
    doc: Doc = pycrdt.Doc()
    doc.apply_update(state)
    return doc
