"""A file and its room: loading, following, saving, and letting go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

import pycrdt

from ...machine import Backoff, Tasks
from ...relay import Mark, Member, OpenRoom, Resident, RoomGone, StoredRoom, Verdict
from ...wire import only_sets_values
from ..files.known import FileHost, KnownFile
from ..files.managed import FileError, FileInfo, OvertakenError
from ..files.names import DocumentName
from ..formats.content import Content, ContentError, Original, value_of
from ..formats.update import NO_CHANGE
from ..merging.lineage import note_taken, taken
from .autosave import Autosave, Pace
from .base import BaseLostError, MergeBase
from .outside import OutsideEdits
from .pair import Pair
from .status import Speaker, Status, unkept_of
from .strangers import Strangers, StrangersHost

_SAVE_TIMEOUT = 60.0
_TRIES = 3
_UNFORESEEN = "an error that nobody foresaw; the server's log has it"


_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 300.0
"""Seconds between two questions to the manager of file ids where a file is that is gone. It may look into every folder
to answer that, on the event loop."""


class Host(Pace, FileHost, Speaker, StrangersHost, Protocol):
    """What a binding needs of the documents that it is one of."""

    def seek(self, name: DocumentName, path: str) -> bool:
        """Follow a file that is not at `path` any more; return whether it is known where it is."""

    def opened(self, binding: FileBinding) -> None:
        """Take note that a document is open."""

    def closed(self, binding: FileBinding) -> None:
        """Take note that a document is not open any more."""

    def report_member(self, room: str, username: str, action: str) -> None:
        """Emit an event: somebody came into a room (``join``), or went (``leave``)."""


class FileBinding(Resident):
    """One file and its room.

    The document is the truth while it is open. It is saved a moment after an edit, and again and again while
    people type without a pause; what others write into the file is merged into it as one more author's edit.

    Attributes:
        name: the name of the room, taken apart.
        room: the room.
        status: what is said of the document, such as why the file is not up to date.
    """

    def __init__(self, host: Host, name: DocumentName, path: str, content: Content, room: OpenRoom) -> None:
        """Bind the file at `path` to `room`, which is called `name`; nothing is read yet."""
        self.name = name
        self.status = Status(host, room)
        self._host = host
        self._content = content
        self.room = room
        self._base = MergeBase(host.relay, room)
        self._autosave = Autosave(host, lambda trip: content.watch(room.doc, trip), self._save_if_wanted)
        self._file = KnownFile(host, content, path, name)
        self._pair = Pair(room, content, self._file, self._base, self._autosave, self.status)
        self._strangers = Strangers(host, self._pair)
        self._outside = OutsideEdits(host, self._pair, self._strangers)
        self._closed = False
        self._noticed = False
        self._asked_at = 0.0
        self._seeking = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._asked: asyncio.Task[None] | None = None  # the save that people asked for and that has not begun
        self._busy = asyncio.Lock()
        self._tasks = Tasks(host.relay.log, f"room {name}", told=(FileError,))  # those are said in `_fail`

    @property
    def path(self) -> str:
        """The file's API path; it follows renames."""
        return self._file.path

    @property
    def hash(self) -> str:
        """The hash of the file as it was last seen or written."""
        return self._file.info.hash

    @property
    def dirty(self) -> bool:
        """Whether there is something to save."""
        return self._autosave.edited or self._pair.saving

    # ------------------------------------------------------------------ opening

    async def load(self, stored: StoredRoom | None) -> StoredRoom | None:
        """Fill the room from its file and from what is stored; return what the store should begin with, if anything.

        Raises:
            FileError: the file cannot be read; its status says why.
            ContentError: the file is not what it is taken for.
        """
        await self._file.load(stored, unkept_of(self.room.doc))
        if stored is None:
            return await self._build()
        self.status.recall()
        original, hash = self._file.original, self._file.info.hash
        try:
            if arrived := await self._base.find(stored, self._content, original, hash):
                if arrived.left:
                    await self._strangers.set_aside(arrived.left)
                self.room.doc.apply_update(arrived.update)
                await self._base.include(arrived, hash)
            if not self._file.missing:  # what it holds of the save that was begun last is known now
                self._base.abandon(self._file.begun)
        except BaseLostError:
            update = await self._strangers.reconcile(original, edited=True)
            if update != NO_CHANGE:
                self.room.doc.apply_update(update)
                update = pycrdt.merge_updates(update, note_taken(self.room.doc, update, hash))
                self.room.record(update)
        return None

    def opened(self) -> None:
        """Begin to follow the room, which is served from now on."""
        self._begin()
        self._host.opened(self)

    def _begin(self) -> None:
        self.status.gone(self.path if self._file.gone else None)
        behind = self.room.seq > self._base.seq
        self.room.inside.doubted = [clocks for _, clocks in taken(self.room.doc)]
        room, info = self.room, self._file.info
        told = {"lineage": room.lineage, "genesis": str(room.genesis)}
        self.status.begin(path=self.path, hash=info.hash, saving=info.hash, **told)
        self._autosave.arm()
        if behind:  # what the store has beyond the last save may be more than bookkeeping
            self._autosave.force()
        else:
            self.status.set(dirty=False)

    async def _build(self) -> StoredRoom:
        """Make the document from its file: a new history."""
        built = await asyncio.to_thread(self._content.build, self._file.original)
        for update in built.updates:
            self.room.doc.apply_update(update)
            await asyncio.sleep(0)
        snapshot = await asyncio.to_thread(built.snapshot)
        self.room.inside.begin(1, built.genesis, snapshot)
        self._base.begin(1, self._file.info.hash, fresh=True)
        return StoredRoom(self.room.lineage, built.genesis, snapshot, 1, (), None, Mark(1, self._file.info.hash))

    # ------------------------------------------------------------------ following

    def settled(self) -> int:
        """Return the number of the last update in the oldest save that may be a base; those before it are one."""
        return self._base.oldest

    def describe(self) -> dict[str, Any]:
        """Return the file's path, why it is not up to date, if it is not, and how many copies and conflicts it has."""
        status = self.status
        kept = {"recovery": len(status.copies), "conflicts": status.conflicts}
        return {"path": self.path, "trouble": status.trouble, **kept}

    def told(self, said: str) -> None:
        """Say so as an event."""
        self._host.report(self.room.name, self.path, said=said)

    def joined(self, member: Member) -> None:
        """Say so as an event; and to the member, what is to be said of the file."""
        self.status.welcome(member)
        self._host.report_member(self.room.name, member.identity.username, "join")

    def left(self, member: Member) -> None:
        """Say so as an event."""
        self._host.report_member(self.room.name, member.identity.username, "leave")

    def requested(self, member: Member, name: str, number: int) -> None:
        """Save, if that is the request (front ends know no other), and answer once the bytes are on disk."""
        if name == "save":
            self._tasks.spawn(self._answer_save(member, number))

    def refused(self, member: Member, update: bytes) -> None:
        """Tell somebody who may only read that what they typed was not taken, once.

        A front end by itself writes the room's name into every document it opens, and the kernel's language into
        the notebook's metadata; that is no edit of the user's.
        """
        if member.told or only_sets_values(update):
            return
        member.told = True
        self.room.tell(member, {"type": "conflict"})

    def changed(self) -> None:
        """Take note of an update of the document. On the hot path."""
        if self._autosave.touched():
            self._wanted()  # whoever edits may be gone, with all wishes, when it is time to save
            self.status.noted()

    def replaced(self) -> None:
        """Follow the room's new document object."""
        self._autosave.rewatch()

    def moved(self, path: str) -> None:
        """Follow the file to another path."""
        if path != self.path:
            self._file.path = path
            self.status.set(path=path)

    def is_as_seen(self, info: FileInfo) -> bool:
        """Say whether a look at the file, of which `info` is known now, would change nothing."""
        return not self._outside.astray and self._file.is_as_seen(info)

    async def look(self) -> None:
        """See whether somebody else changed the file, and take in what they wrote."""
        self._noticed = True
        if self._busy.locked():
            return  # who is at it looks once more
        with suppress(RoomGone):  # what is in the file is found when the document is opened again
            async with self._turn():
                await self._look()

    @asynccontextmanager
    async def reverting(self) -> AsyncIterator[None]:
        """Have somebody set the file back to what it was before, in the context; then the document follows it.

        Raises RoomGone where the room goes out of memory before that.
        """
        async with self._turn():
            yield
            try:
                await self._outside.revert()
            except FileError as error:
                self.status.say(self.path, str(error))

    async def _look(self) -> None:
        before = self._outside.astray, self._file.info.writable
        try:
            while self._noticed:
                self._noticed = False
                await self._outside.take_in()
        except FileError as error:
            if not (error.status == 404 and self._is_elsewhere()):
                self.status.say(self.path, str(error))
            return
        self._seeking.reset()
        if before != (self._outside.astray, self._file.info.writable):
            self.status.well(self.path)
            self._autosave.resume()  # it stopped, or was put off, while the file was gone, broken, or read-only

    def _is_elsewhere(self) -> bool:
        """Say whether the file, which is not at its path any more, was found at another."""
        now = monotonic()
        if now < self._asked_at + self._seeking.pause:
            return False
        self._seeking.next()
        self._asked_at = now
        return self._host.seek(self.name, self.path)

    @asynccontextmanager
    async def release(self) -> AsyncIterator[bool]:
        """Save what is not on disk yet; enter with whether the document may be dropped from memory.

        Where people switched autosaving off, the store keeps the edits; where the file was deleted, a recovery copy.
        What others write into the file before the context is left is merged after that; or it is found when the
        document is opened again, if it was dropped meanwhile.
        """
        # A save that is under way has taken note of the edits, but may not have written them.
        async with self._turn():
            yield await self._finish()

    async def _finish(self) -> bool:
        self._autosave.cancel()
        if self._autosave.edited and not self._file.missing and self._wanted():
            with suppress(FileError):
                await self._save_now(asked=False)
        if not (self._autosave.edited and self._file.missing):
            return not (self._autosave.edited and self._wanted())
        try:
            await self._file.outlive((await self._pair.read())[0])
        except FileError as error:
            self.status.say(self.path, str(error))
            return False
        return True

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Have document and file for oneself: one at a time loads, saves, merges, or lets them go.

        Raises RoomGone where they were let go meanwhile. What was noticed and not looked at is looked at afterwards.
        """
        try:
            async with self._busy:
                if self._closed:
                    raise RoomGone(str(self.name))
                yield
        finally:
            if not self._closed:
                self.status.gone(self.path if self._file.gone else None)
            if self._noticed and not self._closed:
                self._tasks.spawn(self.look())

    def spare(self) -> bool:
        """Say whether all that the document holds is in the file, or in a recovery copy of a file that is gone."""
        # A save that is under way has taken note of edits, but may not have written them.
        if self._busy.locked() or self._autosave.edited:
            return False
        return self._file.missing or not self._file.stale

    def closed(self) -> None:
        """Stop following the document."""
        self._closed = True
        self._autosave.cancel()
        self._autosave.disarm()
        self._tasks.cancel()
        self._host.closed(self)

    # ------------------------------------------------------------------ other histories

    async def foreign(self, member: Member, updates: Sequence[bytes]) -> Verdict:
        """Say what becomes of a member whose document has another history, after seeing to what it brought."""
        async with self._turn():
            with suppress(FileError):  # what is known of the file is good enough
                await self._outside.take_in()
            doc = self.room.doc
            verdict = await self._strangers.judge(member, updates)
            if self.room.doc is not doc:  # it has another history, or another end of it
                self._begin()
            self.status.tell(self.path)
        return verdict

    def found(self, updates: Sequence[bytes]) -> None:
        """Keep what a damaged record of the document still held."""
        self._tasks.spawn(self._strangers.salvage(updates))

    async def renew(self, begin: Callable[[StoredRoom], None]) -> None:
        """Save the document, and begin it anew with what it says, as another history (see `Resident.renew`)."""
        async with self._turn():
            with suppress(FileError, ContentError):  # where it cannot be saved, it has no base from then on
                await self._save(asked=False)
            for _ in range(_TRIES):
                value, seq = await self._pair.read()
                stored = await asyncio.to_thread(self._anew, value)
                if self.room.seq == seq:
                    break
            else:  # people never rest, so nothing may come in between any more
                stored = self._anew(value_of(self._content, self.room.doc))
            begin(stored)
            saved = stored.saved or Mark(0, "")
            self._base.begin(saved.seq, saved.hash)
            self._strangers = Strangers(self._host, self._pair)
            self._outside = OutsideEdits(self._host, self._pair, self._strangers)
            self._begin()

    def _anew(self, value: Any) -> StoredRoom:
        rendered = self._content.render(self._file.original, value)
        built = self._content.build(rendered)
        whole = rendered is self._file.original and not self._file.stale
        saved = Mark(1, self._file.info.hash) if whole else None
        return StoredRoom(uuid4().hex, built.genesis, built.snapshot(), 1, (), None, saved)

    # ------------------------------------------------------------------ saving

    async def save(self, *, asked: bool = False) -> None:
        """Bring the file up to date with the document; returns when it is on disk.

        `asked` says that a person asked: a file that was deleted is written again, a trusted notebook signed.

        Raises:
            FileError: it could not be saved; the reason is in `status` too, and the next try is planned.
        """
        async with self._turn():
            if asked:
                self._asked = None
            await self._save_now(asked)

    async def _save_now(self, asked: bool) -> None:
        self._autosave.cancel()
        begun = monotonic()
        try:
            await self._save(asked)
        except FileError as error:
            self._fail(str(error))
            raise
        except asyncio.CancelledError:  # the server stops: the store has what is not in the file yet
            self._autosave.edited = True
            raise
        except BaseException:  # whatever a contents manager or a hook raises: what is not saved is tried again
            self._fail(_UNFORESEEN)
            raise
        self.status.well(self.path)
        self._autosave.succeeded(monotonic() - begun)

    def _begin_save(self) -> None:
        self._pair.saving = True
        self._autosave.arm()

    async def _save(self, asked: bool) -> None:
        """Write what the document says into the file, once what others wrote there is in the document."""
        try:
            await self._outside.take_in()
        except FileError as error:
            if not (asked and error.status == 404):
                raise
        value, seq = await self._pair.read(self._begin_save)
        rendered = await asyncio.to_thread(self._content.render, self._file.original, value)
        again = asked and self._file.note  # what went wrong after the last save is tried once more
        unkept = list(self._file.unkept)
        if rendered is self._file.original and not self._file.stale and not again:
            self._pair.settle(seq)
        elif await self._write(rendered, seq, asked=asked, sign=asked and self._content.trusted(value)):
            self.status.saved()
            self._pair.settle(seq)
            if unkept != list(self._file.unkept):  # else, after a crash, what the file never had would count as deleted
                await self._host.relay.keeper.settle()
            self.status.warn(self.path, self._file.note)
            self._host.report(self.room.name, self.path, "save")
        else:
            self._autosave.edited = True  # once more
            await self._save(asked)

    async def _write(self, rendered: Original, seq: int, *, asked: bool, sign: bool) -> bool:
        """Write the file, so that after a crash everybody knows it; return False where somebody else was quicker."""
        if foreseen := await self._host.files.foresee(rendered):
            self.status.set(saving=foreseen)  # open pages know what the file holds, wherever a crash comes
        await self._base.intend(seq)
        try:
            await self._file.write(rendered, seq, asked=asked, sign=sign)
        except FileError as error:
            if not error.shown:
                self._base.abandon(self._file.begun)
            if isinstance(error, OvertakenError):
                return False
            raise
        return True

    def _fail(self, trouble: str) -> None:
        """Say what is wrong, and try again later; a file that is gone is waited for."""
        self.status.say(self.path, trouble)
        self._autosave.failed()
        if not (self._file.missing or self._closed):
            self._autosave.touched()

    async def _answer_save(self, member: Member, number: int) -> None:
        status, message = "failed", _UNFORESEEN
        try:
            if not member.writable:
                message = f"you may only read {self.path}"
            else:
                if self._asked is None:  # else who asked before waits for what will be saved: this too
                    self._asked = self._tasks.spawn(self.save(asked=True))
                # Shielded: what is being written must be written to the end, whoever waits for it.
                async with asyncio.timeout(_SAVE_TIMEOUT):
                    await asyncio.shield(self._asked)
                status = "success"
        except (FileError, TimeoutError) as error:
            message = str(error) or f"it takes more than {_SAVE_TIMEOUT:g} s"
            self._host.relay.log.warning("room %s: save failed: %s: %s", self.name, self.path, message)
        finally:  # in any case: the front end waits for the answer as long as it takes
            answer = {"type": "save", "responseTo": number, "status": status}
            said = {} if status == "success" else {"message": message}
            self.room.tell(member, answer | said)

    def _save_if_wanted(self) -> None:
        if self._wanted():
            self._tasks.spawn(self.save())

    def _wanted(self) -> bool:
        """Say whether anybody here wants autosaving: off where all front ends that say it say ``autosave: false``.

        Those of people who may only read are not asked: there is nothing of theirs to save.
        """
        states = self.room.awareness.states({member for member in self.room.members if member.writable})
        return self._autosave.wanted([state["autosave"] for state in states if "autosave" in state])
