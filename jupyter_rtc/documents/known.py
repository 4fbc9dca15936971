"""The file of a document as it was last seen, and what has become of it since."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple, Protocol

from ..relay import StoredRoom
from .content import Body, Content, ContentError, Original, rendered
from .files import Change, FileContent, FileError, FileInfo, Files, OvertakenError


class FileHost(Protocol):
    """What a file needs of the documents that it belongs to.

    Attributes:
        settle_delay: seconds for which a file changed outside must rest before it is read.
        files: where the file is.
    """

    settle_delay: float
    files: Files

    def turn(self, path: str) -> asyncio.Lock:
        """Return what the views of one file hold while they write it."""


class Seen(NamedTuple):
    """A file that was read: what it holds, parsed, and what was known of it then."""

    original: Original
    info: FileInfo


class KnownFile:
    """A file, and what it held when it was last seen or written.

    Attributes:
        path: its API path; it follows renames.
        original: what it held.
        info: what was known of it.
        missing: whether it is gone, or was emptied: then it is written only because somebody asks for it.
    """

    original: Original
    info: FileInfo

    def __init__(self, host: FileHost, content: Content, path: str, form: str) -> None:
        """Know nothing yet of the file at `path`, which is of the type `content` and comes in the format `form`."""
        self.path = path
        self.missing = False
        self._host = host
        self._content = content
        self._form = form
        self._stamp: tuple[Any, ...] | None = None  # at the last look; None if there was no file
        self._begun: Original | None = None  # what a save that failed may have left in the file, or a part of it

    @property
    def stale(self) -> bool:
        """Whether it does not hold `original` any more, and nobody else's content either."""
        return self.missing or self._begun is not None

    async def load(self, stored: StoredRoom | None) -> None:
        """Read the file for the first time; `stored` says what became of the last saves.

        Raises FileError and ContentError.
        """
        if stored and await self._recover(stored):
            return
        self.accept(await self._parse(await self._read()))

    def accept(self, seen: Seen) -> None:
        """Take note that the file holds what was seen in it."""
        self.original, self.info = seen
        self._stamp, self._begun = seen.info.stamp, None

    async def look(self) -> Seen | None:
        """Return what somebody else wrote into the file since it was last seen; None if nobody did.

        Raises:
            FileError: it cannot be read, is not whole for the moment, or is gone (404).
        """
        info = await self._settled()
        if info.stamp == self.info.stamp:
            self.info = FileInfo(info.stamp, info.writable, self.info.hash)
            return None
        read = await self._read()
        self._stamp = read.info.stamp
        if read.info.hash == self.info.hash:
            self.info, self._begun = read.info, None
            return None
        if self._begun and _begins(read.body, self._begun.body):
            self.info = read.info  # ours, cut short
            return None
        if not read.body and self.original.body:
            # For a moment, while somebody writes it, or for good: like a file that is gone, it is left alone.
            self.missing = True
            raise FileError(404, f"{self.path} was emptied outside")
        try:
            return await self._parse(read)
        except ContentError as error:
            raise FileError(409, f"{self.path} was changed outside and cannot be read: {error}") from None

    async def write(self, original: Original, sign: bool) -> bool:
        """Write the file if it is as it was at the last look; return whether it was. Raises FileError."""
        if not self.info.writable:
            raise FileError(403, f"{self.path} is read-only")
        async with self._host.turn(self.path):
            if not await self._is_untouched():
                return False
            over = FileInfo(self._stamp, True, self.info.hash) if self._stamp else None
            begun, self._begun = self._begun, original
            try:
                change = Change(original, sign, over)
                info = await self._host.files.write(self.path, self._content.kind, self._form, change)
            except OvertakenError:
                self._begun = begun
                return False
        self.missing = False
        self.accept(Seen(original, info))
        return True

    async def _recover(self, stored: StoredRoom) -> bool:
        """Say whether the file is what a crash left of our own save; what it held before is known then."""
        saved, intended = stored.saved, stored.intended
        if not (saved and intended and intended.seq > saved.seq):
            return False
        before = await self._host.files.backup(self.path)
        if before is None or before.info.hash != saved.hash:
            return False
        original, _ = await self._parse(before)
        meant = await asyncio.to_thread(self._rendered, original, stored, intended.seq)
        if not await self._host.files.begins(self.path, meant.body):
            return False
        info = await self._stat()
        self.accept(Seen(original, FileInfo(info.stamp, info.writable, saved.hash)))
        self._begun = meant
        return True

    def _rendered(self, original: Original, stored: StoredRoom, seq: int) -> Original:
        return rendered(self._content, stored.document(seq), original)

    async def _settled(self) -> FileInfo:
        """Return what is known of the file once nobody is writing it any more."""
        try:
            info = await self._stat()
            while info.stamp != self.info.stamp:
                await asyncio.sleep(self._host.settle_delay)
                again = await self._stat()
                if again.stamp == info.stamp:
                    break
                info = again
        except FileError as error:
            if error.status == 404:
                self.missing, self._stamp = True, None
            raise
        self.missing, self._stamp = False, info.stamp
        return info

    async def _is_untouched(self) -> bool:
        try:
            return (await self._stat()).stamp == self._stamp
        except FileError as error:
            if error.status != 404:
                raise
            return self._stamp is None

    async def _stat(self) -> FileInfo:
        return await self._host.files.stat(self.path, self._content.kind)

    async def _read(self) -> FileContent:
        return await self._host.files.read(self.path, self._content.kind, self._form)

    async def _parse(self, read: FileContent) -> Seen:
        """Parse what was read; what may be large, the body itself, is let go of here."""
        body, info, trusted = read.body, read.info, read.trusted
        original = await asyncio.to_thread(self._content.parse, body, trusted=trusted)
        return Seen(await self._host.files.judged(original), info)


def _begins(body: Body, whole: Body) -> bool:
    """Say whether a file holds what was written to it, as far as the disk took it."""
    return isinstance(body, str) and isinstance(whole, str) and whole.startswith(body)
