"""What others write into the file of an open document: other programs, other servers, and saves of ours that failed."""

from __future__ import annotations

import asyncio

from ..relay import ProtocolError
from .base import BaseLostError
from .files import FileError
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
            except ProtocolError as error:
                reason = f"what another program wrote into {self._pair.file.path} cannot be merged: {error.reason}"
                raise FileError(409, reason) from error
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
        try:
            async with pair.base.outside(pair.content, seen.original, hash, pair.autosave.edited) as update:
                clean = self._apply(update)
        except BaseLostError:
            await self._reconcile(seen)
            return
        pair.file.accept(seen)
        if clean:
            pair.base.foresee()
            pair.settle(pair.room.seq)
        else:
            pair.status.set(hash=hash, saving=hash)
        pair.status.tell(pair.file.path)

    def _apply(self, update: bytes) -> bool:
        """Merge an edit that the file has already; return whether the document has no other that is to be saved."""
        pair = self._pair
        clean = not pair.autosave.edited
        pair.autosave.disarm()
        try:
            self._host.relay.merge(pair.room, update, "")
        finally:
            if clean:
                pair.autosave.arm()
        return clean

    async def _reconcile(self, seen: Seen) -> None:
        """Take in the file's new content where nobody knows what it was before."""
        pair = self._pair
        update = await self._strangers.reconcile(seen.original, edited=pair.autosave.edited)
        self._host.relay.merge(pair.room, update, "")
        pair.file.accept(seen)
        pair.autosave.force()
