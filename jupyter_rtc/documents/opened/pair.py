"""A document that is open, and its file: what is known of the two together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...relay import OpenRoom
from ..files.known import KnownFile
from ..formats.content import Content
from .autosave import Autosave
from .base import MergeBase
from .status import Status


@dataclass
class Pair:
    """A document and its file.

    Attributes:
        room: the room of the document.
        content: the type of the two.
        file: the file, and what it held when it was last seen or written.
        base: the state in which they were last equal.
        autosave: whether there are edits that the file does not have, and when it gets them.
        status: what is said of the two.
        saving: whether a save was begun that is not through.
    """

    room: OpenRoom
    content: Content
    file: KnownFile
    base: MergeBase
    autosave: Autosave
    status: Status
    saving: bool = False

    async def read(self, then: Callable[[], object] = lambda: None) -> tuple[Any, int]:
        """Return the value of the document and the number of its last update, both of the moment when `then` is called.

        People have gone on to edit when this returns.
        """
        with self.content.read(self.room.doc) as reading:
            for _ in reading:
                await asyncio.sleep(0)
            self.base.foresee()
            seq = self.room.seq
            then()
        return await asyncio.to_thread(reading.value), seq

    def settle(self, seq: int) -> None:
        """Take note that the file is equal to the document as it was after update `seq`."""
        self.saving = False
        hash = self.file.info.hash
        self.base.settle(seq, hash)
        self.status.noted()
        unkept = list(self.file.unkept) or None
        self.status.set(hash=hash, saving=hash, unkept=unkept, **({} if self.autosave.edited else {"dirty": False}))
