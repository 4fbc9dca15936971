"""What others write into the file of an open document: other programs, other servers, and saves of ours that failed."""

from __future__ import annotations

import asyncio
from typing import Any

from ...wire import ProtocolError
from ..files.known import Seen
from ..files.managed import FileError
from ..formats.content import Content, Original
from ..merging.likeness import holds
from .base import BaseLostError
from .pair import Pair
from .status import Speaker
from .strangers import Strangers


class OutsideEdits:
    """Merges what others write into a file into its document, as if one more author had typed it.

    Attributes:
        astray: whether the file could not be made out at the last look.
    """

    def __init__(self, host: Speaker, pair: Pair, strangers: Strangers) -> None:
        """Follow the file of `pair`; `strangers` knows what to do where it is not known what the file was before."""
        self.astray = False
        self._host = host
        self._pair = pair
        self._strangers = strangers

    async def take_in(self) -> None:
        """Merge what somebody else wrote, if anything. Raises FileError while the file is not whole."""
        self.astray = True
        await self._pair.room.whole()
        seen = await self._pair.file.look()
        if seen and not await self._is_ours(seen):
            await self._merge(seen)
        self.astray = False

    async def revert(self) -> None:
        """Make the document what its file holds now: somebody has just set that back to what it was before.

        What the document said remains as a version; and as a recovery copy, where the file has not all of it. What is
        typed meanwhile is merged. Raises FileError where the file cannot be read, or the copy cannot be kept.
        """
        pair = self._pair
        await pair.room.whole()
        seen = await pair.file.reread()
        try:
            value, seq = await pair.read(pair.autosave.arm)
            if left := await asyncio.to_thread(_left, pair.content, seen.original, value):
                await self._strangers.spare(left)
            with pair.base.assumed(seq):
                await self._merge(seen)
        except BaseException:  # whatever it is: the document is not what its file holds
            pair.autosave.force()
            raise

    async def _is_ours(self, seen: Seen) -> bool:
        """Say whether the file holds what the document does, or did when it was last to be saved: nothing to merge.

        A front end that saves by itself writes the one, and so does another server on the same file.
        """
        pair = self._pair
        if seen.seq is not None:
            pair.file.accept(seen)
            pair.settle(seen.seq)
            return True
        if not pair.autosave.edited:
            return False
        value, seq = await pair.read(pair.autosave.arm)
        if await asyncio.to_thread(pair.content.render, seen.original, value) is not seen.original:
            pair.autosave.force()
            return False
        pair.file.accept(seen)
        pair.settle(seq)
        return True

    async def _merge(self, seen: Seen) -> None:
        """Merge the file's new content into the document, as an edit of the base by somebody else.

        Raises FileError where the document cannot take it.
        """
        pair = self._pair
        try:
            try:
                await self._merge_edit(seen)
            except BaseLostError:
                await self._reconcile(seen)
        except ProtocolError as error:
            reason = f"what another program wrote into {pair.file.path} cannot be merged: {error.reason}"
            raise FileError(409, reason) from error
        self._host.report(pair.room.name, pair.file.path, "overwrite")

    async def _merge_edit(self, seen: Seen) -> None:
        pair, hash = self._pair, seen.info.hash
        edited, spare = pair.autosave.edited, self._strangers.keep_typed
        async with pair.base.outside(pair.content, seen.original, hash, edited, spare) as edit:
            clean = self._apply(edit.update) and not edit.stale
        pair.file.accept(seen)
        if clean:
            pair.base.foresee()
            pair.settle(pair.room.seq)
        else:
            pair.status.set(hash=hash, saving=hash)
        if edit.stale:  # what was typed since is in the document, and not in the file
            pair.autosave.force()
        pair.status.tell(pair.file.path)

    def _apply(self, update: bytes) -> bool:
        """Merge an edit that the file has already; return whether the document has no other that is to be saved."""
        pair = self._pair
        clean = not pair.autosave.edited
        pair.autosave.disarm()
        try:
            pair.room.merge(update, "")
        finally:
            if clean:
                pair.autosave.arm()
        return clean

    async def _reconcile(self, seen: Seen) -> None:
        """Take in the file's new content where nobody knows what it was before."""
        pair = self._pair
        update = await self._strangers.reconcile(seen.original, edited=pair.autosave.edited)
        pair.room.seal()
        pair.room.merge(update, "")
        pair.file.accept(seen)
        pair.autosave.force()


def _left(content: Content, original: Original, value: Any) -> Original | None:
    """Return a document as a file, unless another file holds all of it."""
    return None if holds(original.value, value) else content.render(original, value)
