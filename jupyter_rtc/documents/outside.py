"""What others write into the file of an open document: other programs, other servers, and saves of ours that failed."""

from __future__ import annotations

import asyncio

from .base import BaseLostError
from .known import Seen
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
        seen = await self._pair.file.look()
        if seen and not await self._is_ours(seen):
            try:
                await self._merge(seen)
            except BaseLostError:
                await self._reconcile(seen)
            self._host.report(self._pair.room.name, self._pair.file.path, "overwrite")
        self.astray = False

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
        value, seq = await pair.read()
        pair.autosave.arm()
        if await asyncio.to_thread(pair.content.render, seen.original, value) is not seen.original:
            pair.autosave.force()
            return False
        pair.file.accept(seen)
        pair.settle(seq)
        return True

    async def _merge(self, seen: Seen) -> None:
        """Merge the file's new content into the document, as an edit of the base by somebody else."""
        pair, hash = self._pair, seen.info.hash
        update = await pair.base.outside(pair.content, seen.original, hash, pair.autosave.edited)
        clean = not pair.autosave.edited
        pair.autosave.disarm()
        self._host.relay.merge(pair.room, update, "")
        pair.file.accept(seen)
        if clean:
            pair.autosave.arm()
            pair.base.foresee()
            pair.settle(pair.room.seq)
        else:
            pair.status.set(hash=hash, saving=hash)
        pair.status.tell(pair.file.path)

    async def _reconcile(self, seen: Seen) -> None:
        """Take in the file's new content where nobody knows what it was before."""
        pair = self._pair
        update = await self._strangers.reconcile(seen.original, edited=pair.autosave.edited)
        self._host.relay.merge(pair.room, update, "")
        pair.file.accept(seen)
        pair.autosave.force()
