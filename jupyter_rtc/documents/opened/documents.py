"""Which file belongs to which room, and the life of an open document."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from posixpath import dirname
from time import monotonic
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from traitlets import Float
from traitlets.config import LoggingConfigurable

from ...machine import Pool, Tasks, Watcher
from ...relay import OpenRoom, Relay, RoomError, RoomGone, StoredRoom, Watch
from ...wire import CloseCode, Read
from ..files.managed import FileError, Files
from ..files.names import BusyIdsError, DocumentName, FileIds, api_path, is_within, path_after
from ..files.recovery import Recovery, RecoveryCopy
from ..formats.content import ContentError, plain_value_of
from ..formats.kinds import BadRequest, Kinds
from ..formats.registered import RegisteredContent
from .binding import FileBinding
from .overview import Overview

_THOUGHTS = 2
_INSTEAD = 'restore into a new file ({"into": "file"}), or save the document where it is open, and try again'
_REST = 4.0  # how long to rest after a look at a file that nobody asked for, in parts of what it took
_BUSY_PAUSE, _LONGEST_BUSY = 0.1, 20.0
"""Seconds between two questions for file ids while their database is locked, and how long that is waited for."""

_LONGEST_LOOK = 5.0  # s, and so long a rest at most


T = TypeVar("T")


class Session(NamedTuple):
    """What a front end needs to connect: the file's id, the lineage of its document, whether the id is new."""

    file_id: str
    lineage: str
    created: bool


class Documents(LoggingConfigurable):
    """Files as shared documents: gives their rooms content, saves them, and follows the files outside."""

    resource = "contents"
    writable = True
    stored = True
    free = False
    mapped = False

    save_delay = Float(1.0, min=0.0, help="Seconds without an edit after which a document is saved.").tag(config=True)
    max_save_delay = Float(
        10.0, min=0.0, help="Seconds after which a document is saved although somebody is still typing."
    ).tag(config=True)
    poll_interval = Float(
        2.0,
        min=0.0,
        help="Seconds between two looks at the open files; 0 turns polling off. On a local disk changes are noticed"
        " at once by notification; polling is for other contents managers and for network disks.",
    ).tag(config=True)
    settle_delay = Float(
        0.2, min=0.0, help="Seconds for which a file changed outside must rest before it is read."
    ).tag(config=True)

    def __init__(
        self, relay: Relay, files: Callable[[], Files], file_ids: Callable[[], FileIds],
        emit: Callable[[str, dict[str, Any]], None], **kwargs: Any,
    ) -> None:  # fmt: skip
        """Make the owner of document rooms.

        `files` returns what reads and writes, and `file_ids` the manager of file ids, at each use: others may replace
        both. `emit` sends an event, given the last part of its schema's name (such as ``session``) and its data.
        """
        super().__init__(**kwargs)
        self.relay = relay
        self._files = files
        self.kinds = Kinds()
        self.recovery = Recovery(self._recovered, parent=self)
        self.thinking = Pool(_THOUGHTS)
        self._file_ids = file_ids
        self._emit = emit
        self._bindings: dict[str, FileBinding] = {}
        self.overview = Overview(self._bindings, self)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._watcher = Watcher(self._noticed, self.log)
        self._tasks = Tasks(self.log, "documents")
        self._polling: asyncio.Task[None] | None = None

    @property
    def files(self) -> Files:
        """What reads and writes files now; to be asked for at each use, for others may replace the contents manager."""
        return self._files()

    def prepare(self) -> None:
        """Open what the contents manager needs, its database of signatures for one, while nobody waits for us yet."""
        self._files()

    async def stop(self) -> None:
        """Follow no file any longer."""
        await self._tasks.stop()
        await self._watcher.stop()

    async def session(self, path: str, form: str, kind: str, user: str = "") -> Session:
        """Return what a front end needs to connect to the document of the file at `path`; `user` is whose it is.

        Raises:
            ExhaustedError: the user, or all of them, have as many rooms in memory as they may.
            BadRequest: there is no such type, or not in this format.
            FileError: there is no such file.
        """
        self.kinds.check(form, kind)
        path = api_path(path)
        try:
            await self.files.stat(path, kind)
        except FileError:
            raise
        except Exception as error:  # whatever a contents manager raises: the WebSocket says it, see below
            self.log.warning("%s cannot be looked at: %s", path, _named(error), exc_info=error)
        known = self._open_id(path, form, kind) or await self._asked(lambda: self._file_ids().get_id(path))
        file_id = known or await self._asked(lambda: self._file_ids().index(path))
        if file_id is None:
            raise FileError(404, f"{path} does not exist")
        await self._asked(lambda: self._index_folders(path))
        try:
            async with self.relay.hold(str(DocumentName(form, kind, file_id)), user) as room:
                lineage = room.lineage
        except RoomError as error:
            if error.code == CloseCode.NOT_FOUND:
                raise FileError(404, f"{path} does not exist") from None
            lineage = ""  # the WebSocket will say what is wrong, in the way the front end understands
        return Session(file_id, lineage, known is None)

    async def locate(self, path: str, form: str = "", kind: str = "") -> tuple[str, str, DocumentName | None]:
        """Return the path of a file, the type of its document, and the name that it has; None if it never was open.

        Without a type, a file that ends in ``.ipynb`` is a notebook; without a format, it comes in the usual one.

        Raises:
            BadRequest: there is no such type, or not in this format.
            FileError: there is no such file, and never was.
        """
        form, kind = self.kinds.usual(path, form, kind)
        path = api_path(path)
        file_id = self._open_id(path, form, kind) or await self._asked(lambda: self._file_ids().get_id(path))
        if file_id is None:
            await self.files.stat(path, kind)
        return path, kind, DocumentName(form, kind, file_id) if file_id else None

    def views(self, path: str | None = None) -> dict[str, str]:
        """Return the names of the open documents' rooms with the paths of their files; those of one file, if given."""
        return {name: binding.path for name, binding in self._bindings.items() if path in (None, binding.path)}

    def moved(self, old: str, new: str) -> None:
        """Follow a file, or all files of a folder, from the path `old` to `new`."""
        for binding in self._bindings.values():
            if path := path_after(binding.path, old, new, self._real_path):
                self._watcher.unwatch(str(binding.name))
                if not is_within(binding.path, old):  # it was moved by way of a link, of which nobody told
                    self._tasks.spawn(self._asked(partial(self._move_id, binding.path, path)))
                binding.moved(path)
                self._watch_file(binding)
                self._tasks.spawn(binding.look())
        self._tasks.spawn(self.relay.ask_rights())  # who may read the one folder may not read the other

    @asynccontextmanager
    async def reverting(self, path: str) -> AsyncIterator[None]:
        """Have somebody set a file back to what it was before, in the context; its open documents follow it."""
        path = api_path(path)
        async with AsyncExitStack() as held:
            for binding in [binding for binding in self._bindings.values() if binding.path == path]:
                with suppress(RoomGone):
                    await held.enter_async_context(binding.reverting())
            yield

    def reverted(self, path: str) -> None:
        """Let the open documents of a file follow it that was set back just now."""
        self._tasks.spawn(self._follow(path))

    async def _follow(self, path: str) -> None:
        async with self.reverting(path):
            pass  # it is done already

    def seek(self, name: DocumentName, path: str) -> bool:
        """Follow a file that is not at `path` any more; return whether the manager of file ids knows where it is."""
        now = self.path_of(name.file_id)
        if now is None or now == path:
            return False
        self.moved(path, now)
        return True

    async def attend(self, name: str) -> None:
        """Raise FileError where the file of a document is gone: what is put into the document would be in no file."""
        binding, document = self._bindings.get(name), self._document(name)
        path = binding.path if binding else self.path_of(document.file_id)
        if path is None:
            raise FileError(409, f"the file does not exist any more; {_INSTEAD}")
        try:
            await self.files.stat(path, document.kind)
        except FileError as error:
            if error.status != 404:
                raise
            raise FileError(409, f"{path} does not exist any more; {_INSTEAD}") from None

    def path_of(self, file_id: str) -> str | None:
        """Return the path of the file with an id; None where there is none, or that cannot be known for now."""
        with suppress(BusyIdsError):
            return self._file_ids().get_path(file_id)
        return None

    # ------------------------------------------------------------------ RoomKind

    def owns(self, name: str) -> bool:
        """Own the names ``<format>:<type>:<file id>``."""
        return DocumentName.parse(name) is not None

    def paths(self, name: str) -> Sequence[str]:
        """Return the path of the document's file."""
        if binding := self._bindings.get(name):
            return (binding.path,)
        document = DocumentName.parse(name)
        path = self.path_of(document.file_id) if document else None
        return () if path is None else (path,)

    def belongs_to(self, name: str, username: str) -> bool:
        """Keep documents for nobody."""
        return True

    def paths_of(self, copy: RecoveryCopy) -> list[str]:
        """Return the path that the file of a recovery copy had when it was kept, and the one that it has now."""
        return [copy.path, *self.paths(copy.room)]

    def lists(self, name: str) -> Collection[str]:
        """Return those of the type of the document."""
        return self.kinds.content(self._document(name).kind).lists

    async def admit(self, name: str) -> None:
        """Raise RoomError for a type or a format that does not exist, or a file id that nobody gave out."""
        document = self._document(name)
        try:
            self.kinds.check(document.form, document.kind)
        except BadRequest as error:
            raise RoomError(CloseCode.BAD_CONTENT, str(error)) from None
        if name not in self._bindings and self.path_of(document.file_id) is None:
            raise RoomError(CloseCode.NOT_FOUND, f"no file has the id {document.file_id}")

    async def load(self, room: OpenRoom, stored: StoredRoom | None) -> tuple[FileBinding, StoredRoom | None]:
        """Fill a room from its file, and from what is stored."""
        document = self._document(room.name)
        path = self.path_of(document.file_id)
        if path is None:
            raise RoomError(CloseCode.NOT_FOUND, f"no file has the id {document.file_id}")
        binding = FileBinding(self, document, path, self.kinds.content(document.kind), room)
        self.report(room.name, path, "initialize")
        try:
            first = await binding.load(stored)
        except FileError as error:
            code = {404: CloseCode.NOT_FOUND, 400: CloseCode.BAD_CONTENT}.get(error.status, CloseCode.LOAD_FAILED)
            self.log.warning("room %s: %s cannot be loaded: %s", room.name, path, error)
            raise RoomError(code, f"Error initializing: {path}: {error}") from None
        except ContentError as error:
            self.log.warning("room %s: %s cannot be loaded: %s", room.name, path, error)
            raise RoomError(CloseCode.BAD_CONTENT, f"Error initializing: {path}: {error}") from None
        except Exception as error:  # whatever a contents manager raises
            self.log.exception("room %s: %s cannot be loaded", room.name, path)
            raise RoomError(CloseCode.LOAD_FAILED, f"Error initializing: {path}: {_named(error)}") from error
        binding.status.copies = [copy.id for copy in await self.recovery.known(document.file_id)]
        self._bindings[room.name] = binding
        return binding, first

    def watch(self, name: str) -> Watch:
        """Tell edits of the content from what only the ``state`` of the document says."""
        return self.kinds.content(self._document(name).kind).watch

    def reader(self, name: str) -> Read | None:
        """Read what a file would hold; not of types of others, which may say something else each time."""
        content = self.kinds.content(self._document(name).kind)
        return None if isinstance(content, RegisteredContent) else partial(plain_value_of, content)

    # ------------------------------------------------------------------ what bindings need

    def opened(self, binding: FileBinding) -> None:
        """Follow the file of a document that is open."""
        self._watch_file(binding)
        self.report(binding.room.name, binding.path, "load")
        if self._polling is None and self.poll_interval:
            self._polling = self._tasks.spawn(self._poll())

    def closed(self, binding: FileBinding) -> None:
        """Follow the file no longer."""
        self._bindings.pop(binding.room.name, None)
        self._watcher.unwatch(str(binding.name))
        self.report(binding.room.name, binding.path, "clean")

    def turn(self, path: str) -> asyncio.Lock:
        """Return what the views of one file hold while they write it, by whatever link they were opened."""
        return self._turns.setdefault(self._real_path(path) or path, asyncio.Lock())

    def report(self, room: str, path: str, action: str = "", said: str = "") -> None:
        """Emit an event of a document's life: an action, or a sentence, which front ends show in a log console."""
        told = {"action": action, "msg": said}
        event = {"level": "INFO", "room": room, "path": path}
        self._emit("session", event | {key: value for key, value in told.items() if value})
        self.overview.noted(room)

    def report_member(self, room: str, username: str, action: str) -> None:
        """Emit an event: somebody came into a room (``join``), or went (``leave``)."""
        self._emit("awareness", {"roomid": room, "username": username, "action": action})
        self.overview.noted(room)

    def _recovered(self, copy: RecoveryCopy, new: bool) -> None:
        """Tell everybody who has the document open of a recovery copy, or that it is gone."""
        if new:
            self.report(copy.room, copy.path, said=f"Recovery copy {copy.id} was kept: {copy.reason}")
        self._tasks.spawn(self._count_copies(copy.name.file_id))

    async def _count_copies(self, file_id: str) -> None:
        """Let the documents of a file say which recovery copies there are of it."""
        copies = [copy.id for copy in await self.recovery.known(file_id)]
        for binding in self._bindings.values():
            if binding.name.file_id == file_id:
                binding.status.keeps(copies)

    # ------------------------------------------------------------------ files outside

    def _noticed(self, name: str) -> None:
        if binding := self._bindings.get(name):
            self._tasks.spawn(binding.look())

    async def _poll(self) -> None:
        """Glance at all files, and look at those that changed, one after the other.

        Where that takes long, it is done less often: a fifth of the time. So a slow contents manager is there for those
        who save and open. A look that waits itself, for a program that is writing the file, say, holds the others up
        for some seconds at most.
        """
        pause = self.poll_interval
        while True:
            await asyncio.sleep(pause)
            begun = monotonic()
            changed = await self._changed_outside()
            pause = max(self.poll_interval, min(_REST * (monotonic() - begun), _LONGEST_LOOK))
            for binding in changed:
                begun = monotonic()
                await asyncio.wait([self._tasks.spawn(binding.look())], timeout=_LONGEST_LOOK)
                await asyncio.sleep(min(_REST * (monotonic() - begun), _LONGEST_LOOK))

    async def _changed_outside(self) -> list[FileBinding]:
        """Return those whose files are not as they were last seen, and those of which a glance does not tell that."""
        bindings = list(self._bindings.values())
        try:
            async with asyncio.timeout(_LONGEST_LOOK):
                infos = await self.files.glance([binding.path for binding in bindings])
        except Exception:  # a disk hangs; or whatever else it is, a look at each says so, and finds what can be found
            self.log.debug("the open files cannot be looked at together", exc_info=True)
            return bindings
        both = zip(bindings, infos, strict=True)
        return [binding for binding, info in both if not (info and binding.is_as_seen(info))]

    def _real_path(self, path: str) -> str | None:
        local_path = self.files.local_path(path)
        return os.path.realpath(local_path) if local_path else None

    def _watch_file(self, binding: FileBinding) -> None:
        """Watch the file, where it is on the local disk."""
        if local_path := self.files.local_path(binding.path):
            self._watcher.watch(str(binding.name), local_path)

    # ------------------------------------------------------------------ names and events

    def _open_id(self, path: str, form: str, kind: str) -> str | None:
        """Return the file id of an open document; of a file that was deleted meanwhile nobody else knows it."""
        for binding in self._bindings.values():
            if binding.path == path and binding.name[:2] == (form, kind):
                return binding.name.file_id
        return None

    async def _asked(self, ask: Callable[[], T]) -> T:
        """Ask for file ids, again while another program has them locked. Raises FileError where that takes long."""
        tries = 0
        while True:
            try:
                return ask()
            except BusyIdsError:
                tries += 1
                if tries * _BUSY_PAUSE > _LONGEST_BUSY:
                    raise FileError(503, "another program has the database of file ids locked; try again") from None
            await asyncio.sleep(_BUSY_PAUSE)

    def _move_id(self, old: str, new: str) -> None:
        self._file_ids().move(old, new)

    def _index_folders(self, path: str) -> None:
        """Give ids to the folders of a file: its own follows a folder that is moved only if that has one."""
        ids = self._file_ids()
        while path := dirname(path):
            if ids.get_id(path) is None:
                ids.index(path)

    def _document(self, name: str) -> DocumentName:
        document = DocumentName.parse(name)
        assert document is not None, name
        return document


def _named(error: Exception) -> str:
    """Return what an error says that nobody here foresaw, with its kind."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
