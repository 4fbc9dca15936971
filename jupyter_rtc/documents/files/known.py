"""The file of a document as it was last seen, and what has become of it since."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any, NamedTuple, Protocol

from ...relay import StoredRoom
from ..formats.content import Body, Content, ContentError, Original, rendered, value_of
from .managed import Change, FileContent, FileError, FileInfo, Files, OvertakenError, Written
from .names import DocumentName
from .recovery import Recovery, RecoveryError

_MUCH = 4096  # what a save may take away, in characters, and need not be asked how much is left

# Seconds for which a program may have a file open, and write nothing, before what it wrote is taken to be whole.
_PATIENCE = 10.0
_TICK = 2.0  # seconds after which a stamp that was made before is of another second
_LONGEST_WAIT = 20.0  # seconds for which it is waited for that a program comes to rest, before it is said why


class FileHost(Protocol):
    """What a file needs of the documents that it belongs to.

    Attributes:
        settle_delay: seconds for which a file changed outside must rest before it is read.
        recovery: where a copy is kept of what a save would wipe out.
    """

    settle_delay: float
    recovery: Recovery

    @property
    def files(self) -> Files:
        """Where the file is now: another contents manager may take the place of this one at any time."""

    def turn(self, path: str) -> asyncio.Lock:
        """Return what the views of one file hold while they write it."""


class Seen(NamedTuple):
    """A file that was read: what it holds, parsed, and what was known of it then.

    `seq` is None, unless it is what a save of ours was to write that failed after it had written all of it: then it is
    the number of the last update in that.

    `kept` is what a read gave, where that is less than `original`, which has what the file does not keep as well.
    """

    original: Original
    info: FileInfo
    seq: int | None = None
    kept: Original | None = None


class Begun(NamedTuple):
    """A save that was begun: what it was to write, and the number of the last update in that."""

    original: Original
    seq: int


class KnownFile:
    """A file, and what it held when it was last seen or written.

    Attributes:
        path: its API path; it follows renames.
        name: the name of its room.
        original: what it held, with what it does not keep of its document.
        info: what was known of it.
        unkept: the parts of cells that it does not keep, such as ``outputs``.
        note: what went wrong when it was written, once all of it was on disk; empty if nothing did.
        missing: whether it is gone, or was emptied: then it is written only because somebody asks for it.
        gone: whether there was no file when it was last looked for.
    """

    original: Original
    info: FileInfo

    def __init__(self, host: FileHost, content: Content, path: str, name: DocumentName) -> None:
        """Know nothing yet of the file at `path`, which is of the type `content`; `name` is that of its document."""
        self.path = path
        self.missing = self.gone = False
        self._host = host
        self._content = content
        self.name = name
        self._seen: FileInfo | None = None  # at the last look; None if there was no file
        self.unkept: Sequence[str] = ()
        self.note = ""
        self._kept: Original | None = None  # what a read gave, where that is less than `original`
        self._unseen = False  # whether it is not known what a read gives since the last save
        self._doubted = 0.0  # until when a stamp does not tell whether the file was changed after it was seen
        self._begun: Begun | None = None  # what a save that failed may have left in the file, or a part of it

    @property
    def stale(self) -> bool:
        """Whether it does not hold `original` any more, and nobody else's content either."""
        return self.missing or self._begun is not None

    @property
    def begun(self) -> int:
        """The number of the last update in a save that failed, of which it may hold a part; 0 if there is none."""
        return self._begun.seq if self._begun else 0

    async def load(self, stored: StoredRoom | None, unkept: Sequence[str] = ()) -> None:
        """Read the file for the first time; `stored` says what became of the last saves.

        `unkept` are the parts that it did not keep then.

        Where it was deleted or emptied meanwhile, or is being written just now, it is known as it was last saved, and
        missing until it is whole: whoever still has its document open comes back into it.

        Raises FileError and ContentError.
        """
        self.unkept = unkept
        if stored and await self._recover(stored):
            return
        saved = stored and stored.saved
        try:
            read = await self._read()
            if not saved or read.info.hash == saved.hash or await self._is_whole(read):
                seen = await self._parse(read)
                self.accept(await asyncio.to_thread(self._completed, seen, stored) if stored and unkept else seen)
                return
        except FileError as error:
            if error.status != 404 or not saved:
                raise
            self.gone = True
        if stored and saved:
            original = await asyncio.to_thread(self._rendered, self._content.blank(), stored, saved.seq)
            self.accept(Seen(original, FileInfo((), True, saved.hash)))
            self.missing, self._seen = True, None

    def accept(self, seen: Seen) -> None:
        """Take note that the file holds what was seen in it."""
        self.original, self.info, _, self._kept = seen
        self._seen, self._begun, self._unseen = seen.info, None, False
        self._doubted = monotonic() + _TICK if seen.info.coarse else 0.0

    async def look(self) -> Seen | None:
        """Return what was written into the file since it was last seen, by somebody else or by a save that failed.

        None where nothing was, or only a part of such a save.

        Raises:
            FileError: it cannot be read, is not whole for the moment, or is gone (404).
        """
        info, begun = await self._settled(), monotonic()
        if info.stamp == self.info.stamp and not self._doubted:
            self.info = replace(info, hash=self.info.hash)
            if self._seen is None or self._seen.stamp != info.stamp:
                self._seen = self.info
            return None
        read = await self._read()
        self._seen = read.info
        if read.info.hash == self.info.hash:
            self.info, self._begun = read.info, None
            self._doubted = self._doubted if begun < self._doubted else 0.0
            return None
        if self._begun and _begins(read.body, self._begun.original.body):
            if read.body == self._begun.original.body:
                return Seen(self._begun.original, read.info, self._begun.seq)
            self.info = read.info  # ours, cut short
            return None
        if not read.body and self.original.body:
            # For a moment, while somebody writes it, or for good: like a file that is gone, it is left alone.
            self.missing = True
            raise FileError(404, f"{self.path} was emptied outside; Ctrl+S writes it again")
        return await self._made_out(read)

    def is_as_seen(self, info: FileInfo) -> bool:
        """Say whether a look at the file, of which `info` is known now, would find nothing new."""
        seen = self._seen
        if self.missing or self._doubted or seen is None:
            return False
        return info.stamp == self.info.stamp == seen.stamp and info.writable == self.info.writable

    async def reread(self) -> Seen:
        """Return what the file holds now, whatever it held when it was last seen. Raises FileError."""
        read = await self._read()
        self._seen, self.missing, self.gone = read.info, False, False
        return await self._made_out(read)

    async def write(self, original: Original, seq: int, *, asked: bool, sign: bool) -> None:
        """Write the file if it is as it was at the last look.

        `seq` is the number of the last update in `original`. A copy is kept of a file of which this leaves little.
        Where that cannot be, the file is written only if somebody `asked` for it. `sign` says to sign a notebook.

        Raises:
            OvertakenError: it was not, and is not written.
            FileError: it is not written; the text says why.
        """
        if not self.info.writable:
            raise FileError(403, f"{self.path} is read-only")
        if not self.missing:
            await self._spare(original, asked)
        async with self._host.turn(self.path):
            if not await self._is_untouched():
                raise OvertakenError(self.path)
            begun, self._begun = self._begun, Begun(original, seq)
            try:
                change = Change(original, sign, self._seen)
                written = await self._host.files.write(self.path, self._content.kind, self.name.form, change)
            except FileError as error:
                error.shown = error.shown and not await self._is_as_before()
                if isinstance(error, OvertakenError) or not error.shown:
                    self._begun = begun
                raise
        self.missing = self.gone = False
        self.note = written.note
        self.accept(Seen(original, written.info, kept=await self._kept_of(original, written)))
        self._unseen = not written.seen

    async def _kept_of(self, original: Original, written: Written) -> Original | None:
        """Return what the file holds of what was written, where that is less; take note of what it does not keep."""
        if not written.seen:
            return None
        kept, unkept = None, list[str]()
        if written.body is not None:
            with suppress(ContentError):  # then it is not known; whoever reads it next says so
                kept, unkept = await asyncio.to_thread(self._compared, original, written.body)
        self.unkept = unkept
        return kept

    def _compared(self, original: Original, body: Body) -> tuple[Original | None, list[str]]:
        kept = self._content.parse(body)
        if self._content.render(kept, original.value) is kept:
            return None, []
        return kept, self._content.unkept(original.value, kept.value)

    async def _carried(self, seen: Seen) -> Seen:
        """Return what was seen in the file with what it does not keep of its document.

        Where nobody could see what it held after the last save, it is taken to keep no part that it has in no cell now.
        """
        if self._kept is None and not self._unseen:
            return seen
        return await asyncio.to_thread(self._carry, seen)

    def _carry(self, seen: Seen) -> Seen:
        full, now = self.original.value, seen.original
        if self._kept is not None:
            kept = self._kept.value
        else:
            kept = self._content.without(full, [*self.unkept, *self._content.unkept(full, now.value)])
        return seen._replace(original=self._content.carry(full, kept, now), kept=now)

    def _completed(self, seen: Seen, stored: StoredRoom) -> Seen:
        """Return what was seen in the file with what it did not keep when it was last saved."""
        if stored.saved is None or stored.seq > stored.saved.seq:
            return seen
        full = value_of(self._content, stored.document(stored.saved.seq))
        kept = self._content.without(full, self.unkept)
        if seen.info.hash == stored.saved.hash:
            kept = seen.original.value
        return seen._replace(original=self._content.carry(full, kept, seen.original), kept=seen.original)

    async def outlive(self, value: Any) -> None:
        """Keep what a document says whose file is gone, if it is not what that held. Raises FileError."""
        rendered = await asyncio.to_thread(self._content.render, self.original, value)
        if rendered is self.original:
            return
        reason = "The file was deleted while this was open and not saved."
        try:
            await self._host.recovery.keep(self.name, self.path, rendered, author="", reason=reason)
        except RecoveryError as error:
            raise FileError(507, f"{self.path} was deleted, and of what was edited since {error}") from None

    async def _spare(self, original: Original, asked: bool) -> None:
        """Keep a copy of what the file holds if writing `original` leaves little of it."""
        before, after = await asyncio.to_thread(_weights, self._content, self.original, original)
        if not _is_drastic(before, after):
            return
        left = f"{100 * after // before} % of it" if after else "nothing of it"
        reason = f"This is what the file held before a save that left {left}."
        try:
            await self._host.recovery.keep(self.name, self.path, self.original, author="", reason=reason)
        except RecoveryError as error:
            if not asked:
                told = f"this save would leave {left}, and of what it holds {error}; Ctrl+S writes it nevertheless"
                raise FileError(507, f"{self.path}: {told}") from None
            self._host.recovery.log.warning("%s is written without a copy of what it held: %s", self.path, error)

    async def _recover(self, stored: StoredRoom) -> bool:
        """Say whether the file is what a crash left of our own save; what it held before is known then."""
        saved, intended = stored.saved, stored.intended
        if not (saved and intended and intended.seq > saved.seq):
            return False
        backup = await self._host.files.backup(self.path)
        if backup and backup.info.hash == saved.hash:
            original = (await self._parse(backup)).original
        elif await self._host.files.is_bare(self.path) and not await self._host.files.is_being_written(self.path):
            original = await asyncio.to_thread(self._rendered, await self._style(), stored, saved.seq)
        else:
            return False
        meant = await asyncio.to_thread(self._rendered, original, stored, intended.seq)
        if not await self._host.files.begins(self.path, meant.body) or (not backup and await self._holds(meant)):
            return False
        info = await self._stat()
        self.accept(Seen(original, FileInfo(info.stamp, info.writable, saved.hash)))
        self._seen = info  # of which half a character, perhaps, is no text
        self._begun = Begun(meant, intended.seq)
        return True

    async def _style(self) -> Original:
        """Return the file as it is, for the way in which it is written; a blank one where it is not whole."""
        try:
            original = (await self._parse(await self._read())).original
        except (FileError, ContentError):
            original = self._content.blank()
        return original

    async def _holds(self, original: Original) -> bool:
        """Say whether the file holds this, all of it."""
        try:
            return bool((await self._read()).body == original.body)
        except FileError:
            return False

    async def _is_whole(self, read: FileContent) -> bool:
        """Say whether a file that somebody else wrote holds something, and is not being written just now."""
        return bool(read.body) and not await self._host.files.is_being_written(self.path)

    def _rendered(self, original: Original, stored: StoredRoom, seq: int) -> Original:
        return rendered(self._content, stored.document(seq), original)

    async def _settled(self) -> FileInfo:
        """Return what is known of the file once nobody is writing it any more."""
        try:
            info = await self._stat()
            begun = rested = monotonic()
            while info.stamp != self.info.stamp:
                await asyncio.sleep(self._host.settle_delay)
                again = await self._stat()
                if again.stamp != info.stamp:
                    rested = monotonic()
                elif monotonic() - rested > _PATIENCE or not await self._host.files.is_being_written(self.path):
                    break
                if monotonic() - begun > _LONGEST_WAIT:
                    raise FileError(409, f"another program is writing {self.path}")
                info = again
        except FileError as error:
            if error.status != 404:
                raise
            self.missing, self.gone, self._seen = True, True, None
            raise FileError(404, f"{self.path} does not exist any more; Ctrl+S writes it again") from None
        self.missing = self.gone = False
        return info

    async def _is_untouched(self) -> bool:
        try:
            if (await self._stat()).stamp != (self._seen and self._seen.stamp):
                return False
            return not self._doubted or (await self._read()).info.hash == self.info.hash
        except FileError as error:
            if error.status != 404:
                raise
            return self._seen is None

    async def _is_as_before(self) -> bool:
        """Say whether the file holds what it did at the last look."""
        try:
            return (await self._read()).info.hash == self.info.hash
        except FileError as error:
            return error.status == 404 and self._seen is None

    async def _stat(self) -> FileInfo:
        return await self._host.files.stat(self.path, self._content.kind)

    async def _read(self) -> FileContent:
        return await self._host.files.read(self.path, self._content.kind, self.name.form)

    async def _made_out(self, read: FileContent) -> Seen:
        """Parse what somebody else wrote. Raises FileError."""
        try:
            return await self._carried(await self._parse(read))
        except ContentError as error:
            raise FileError(409, f"{self.path} was changed outside and cannot be read: {error}") from None

    async def _parse(self, read: FileContent) -> Seen:
        """Parse what was read; what may be large, the body itself, is let go of here."""
        body, info, trusted = read.body, read.info, read.trusted
        original = await asyncio.to_thread(self._content.parse, body, trusted=trusted)
        return Seen(await self._host.files.judged(original), info)


def _begins(body: Body, whole: Body) -> bool:
    """Say whether a file holds what was written to it, as far as the disk took it."""
    return isinstance(body, str) and isinstance(whole, str) and whole.startswith(body)


def _weights(content: Content, *originals: Original) -> list[int]:
    return [content.weight(original.value) for original in originals]


def _is_drastic(before: int, after: int) -> bool:
    """Say whether a save leaves nothing, or less than half where it takes much away."""
    return before > 0 and (after == 0 or before - after > max(_MUCH, before / 2))
