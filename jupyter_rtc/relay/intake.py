"""What comes into a document, looked through before pycrdt sees it. Pure."""

from __future__ import annotations

from typing import Any

import pycrdt
from pycrdt import Doc

from .merging import Runs, deletion, merged
from .nesting import Nesting
from .protocol import NO_CHANGE, ProtocolError, decode_state_vector
from .surrogates import Pairs, cuts, halved, has_pairs
from .updates import Waiting, answered, whole_state


class Intake:
    """Refuses what would do harm to one document, and changes what yrs cannot take as it is.

    It needs to know of the document how deeply its types are nested, and where its characters of two ids are.
    """

    def __init__(self) -> None:
        """Begin with a document that is empty."""
        self._nesting = Nesting()
        self._pairs: Pairs | None = Pairs()

    def forget(self) -> None:
        """Take note that the document was filled by others."""
        self._pairs = None

    def survey(self, doc: Doc[Any], waiting: Waiting) -> Pairs:
        """Find the characters that have two ids, if that is not done yet. May run in any thread, at rest."""
        if self._pairs is None:
            self._pairs = Pairs(whole_state(doc, [waiting.of(doc)]))
        return self._pairs

    def admit(self, doc: Doc[Any], waiting: Waiting, update: bytes) -> tuple[bytes, bytes]:
        """Return a peer's update as it may be applied to `doc`, and an update that has to be applied before.

        The latter is mostly NO_CHANGE. Raises ProtocolError for what may not be applied. On the hot path.
        """
        outline = self._nesting.refuse_depth(update)  # which looks for hazards, too
        if outline.scattered:
            update = merged([update])
        if outline.paired or self.survey(doc, waiting):
            return self._uncut(doc, waiting, update, paired=outline.paired)
        return update, NO_CHANGE

    def trust(self, doc: Doc[Any], waiting: Waiting, update: bytes) -> tuple[bytes, bytes]:
        """Do what `admit` does with an update that the server made, however large it is."""
        return self._uncut(doc, waiting, update, paired=has_pairs(update))

    def note(self, doc: Doc[Any], waiting: Waiting, update: bytes) -> None:
        """Take note of an update that the server made in `doc` itself."""
        if has_pairs(update):
            self.survey(doc, waiting).note(update)

    def _uncut(self, doc: Doc[Any], waiting: Waiting, update: bytes, *, paired: bool) -> tuple[bytes, bytes]:
        """Return an update, and the deletion of the characters that it would cut.

        `paired` says whether it brings such characters itself. Those of them that it cuts, or that something else
        waits to cut, are halved in it.
        """
        pairs = self.survey(doc, waiting)
        if not (paired or pairs):
            return update, NO_CHANGE
        known = decode_state_vector(doc.get_state())
        if paired:
            update = halved(update, {*cuts(update), *cuts(waiting.of(doc)), *known.items()})
        cut: Runs = {}
        for client, clock in pairs.cut_by(update):
            if clock >= known.get(client, 0):
                raise ProtocolError("half a character that is not here yet")
            cut.setdefault(client, []).append((clock - 1, clock + 1))
        if cut:
            answered(pycrdt.get_state, update)  # what cannot be read shall change nothing
            pairs.forget(cut)
        if paired:
            pairs.note(update)
        return update, deletion(cut)
