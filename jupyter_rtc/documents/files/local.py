"""Files on the local disk, read and written as Jupyter Server's own contents managers do it, but in threads.

`LocalFiles` does what their ``get`` and ``save`` do, and takes notebooks as text, so that what nobody edits stays
as it is.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from stat import S_ISREG
from typing import Any

from jupyter_server.services.contents.fileio import path_to_intermediate
from jupyter_server.services.contents.filemanager import FileContentsManager
from jupyter_server.services.contents.manager import ContentsManager
from nbformat.sign import NotebookNotary
from tornado.web import HTTPError

from ...machine import LockedError, OneThread, is_open_for_writing, locked
from ..formats.content import Bare, Body, ContentError, Original, encoded
from ..formats.ipynb import Ipynb, parse, render
from . import trust
from .managed import (
    Change,
    FileContent,
    FileError,
    FileInfo,
    ManagedFiles,
    OvertakenError,
    Written,
    api_type,
    file_error,
    model_of,
    reason,
)

_OURS = "jupyter_server.services.contents."


class LocalFiles(ManagedFiles):
    """Files of Jupyter Server's own managers of the local disk."""

    _manager: FileContentsManager

    def __init__(self, manager: ContentsManager, thread: OneThread | None = None) -> None:
        """Read and write as `manager` does, whose hooks and checkpoints are called in `thread`."""
        super().__init__(manager, thread)
        self._glancing = OneThread("open files")  # one at most: on a disk that hangs it never comes back

    @staticmethod
    def serves(manager: ContentsManager) -> bool:
        """Say whether `manager` reads and saves as Jupyter Server's own do: no subclass does it in another way."""
        methods = ("get", "save", "_save_file", "_read_file", "_get_os_path", "_save_notebook", "_read_notebook")
        return isinstance(manager, FileContentsManager) and all(
            str(getattr(type(manager), name).__module__).startswith(_OURS)  # None in a configuration file
            for name in methods
        )

    async def stat(self, path: str, kind: str) -> FileInfo:
        """Return what is known of a file without reading it."""
        return await asyncio.to_thread(self._stat, self._os_path(path), path)

    async def glance(self, paths: Sequence[str]) -> Sequence[FileInfo | None]:
        """Return what the system says of each of several files; None where it says that something is wrong."""
        return list(await self._glancing.run(lambda: [self._glance(path) for path in paths]))

    async def read(self, path: str, kind: str, form: str) -> FileContent:
        """Read a file: a notebook as its text."""
        os_path = self._os_path(path)
        if not await self._thread.ask(self._manager.file_exists, path):
            raise FileError(404, f"{path} does not exist")
        if not self._manager.allow_hidden and await self._thread.ask(self._manager.is_hidden, path):
            raise FileError(404, f"{path} does not exist")
        body, info = await asyncio.to_thread(self._read, os_path, path, form)
        self._manager.emit(data={"action": "get", "path": path})
        return FileContent(body, info)

    async def judged(self, original: Original) -> Original:
        """Return a notebook as trusted if it was signed, or shows nothing that needs trust."""
        if not isinstance(original, Ipynb):
            return original
        if not trust.is_harmless(original) and not await self._notarised(trust.is_signed, original):
            return original
        return replace(original, trusted=True)

    async def write(self, path: str, kind: str, form: str, change: Change) -> Written:
        """Replace the content of a file as the manager's ``save`` would, the writing in a thread."""
        manager, os_path = self._manager, self._os_path(path)
        if not manager.allow_hidden and await self._thread.ask(manager.is_hidden, path):
            raise FileError(400, f"{path} is hidden")
        hooked = await self._hooked(path, kind, form, change)
        try:
            async with locked(os_path, make=change.over is None):
                info = await asyncio.to_thread(self._write, os_path, path, hooked)
        except LockedError:
            raise FileError(423, f"{path} is locked by another program", shown=False) from None
        body = None if hooked is change else hooked.original.body
        return Written(info, body, await self._follow_up(path, kind, hooked))

    async def _hooked(self, path: str, kind: str, form: str, change: Change) -> Change:
        """Return what is to be written once the hooks have had it that are to be run before.

        What they leave as it is stays as it is in the file. They may raise an error, and nothing is written then.
        """
        manager, original = self._manager, change.original
        if not (manager.pre_save_hook or manager._pre_save_hooks):
            return change
        try:
            model = await asyncio.to_thread(model_of, original.body, kind, form, change.sign)
            await self._thread.run(manager.run_pre_save_hooks, model=model, path=path)
            made = await asyncio.to_thread(_made_of, model["content"], original)
        except HTTPError as error:
            raise FileError(error.status_code, reason(error), shown=False) from None
        except (ContentError, KeyError, TypeError, ValueError) as error:
            raise FileError(400, f"what a pre_save_hook makes of it is no {kind}: {error}", shown=False) from None
        return change if made is original else change._replace(original=made)

    async def _follow_up(self, path: str, kind: str, change: Change) -> str:
        """Do what the manager's ``save`` does once a file is written; return what went wrong, if anything did.

        Whatever that is, the file is written; and where one thing fails, the others are done.
        """
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "it has no checkpoint": partial(self._checkpoint, path, kind),
            "its outputs are not signed": partial(self._sign, change),
            "a post_save_hook failed": partial(self._run_hooks, path, kind),
        }
        notes = []
        for what, step in steps.items():
            try:
                await step()
            except Exception as error:  # whatever a hook, a disk or a database makes of it
                self._manager.log.warning("%s is saved, but %s", path, what, exc_info=error)
                notes.append(f"{what}: {reason(error)}")
        self._manager.emit(data={"action": "save", "path": path})
        return "; ".join(notes)

    async def _checkpoint(self, path: str, kind: str) -> None:
        """Make the first checkpoint of a notebook."""
        manager = self._manager
        if kind == "notebook" and not await self._thread.ask(manager.checkpoints.list_checkpoints, path):
            await self._thread.ask(manager.create_checkpoint, path)

    async def _sign(self, change: Change) -> None:
        if change.sign:
            await self._notarised(trust.sign, change.original)

    async def _run_hooks(self, path: str, kind: str) -> None:
        manager = self._manager
        if manager.post_save_hook or manager._post_save_hooks:
            model = await self._thread.ask(manager.get, path, type=api_type(kind), content=False)
            await self._thread.run(manager.run_post_save_hooks, model=model, os_path=self._os_path(path))

    async def _notarised(self, ask: Callable[[NotebookNotary, Original], Any], original: Original) -> Any:
        """Ask the notary of a notebook: in a thread, unless it keeps its signatures in a way of its own."""
        if trust.is_shared(self._notary):
            return await asyncio.to_thread(ask, self._notary, original)
        return ask(self._notary, original)

    async def foresee(self, original: Original) -> str | None:
        """Return the hash of the bytes that `write` will write, unless a hook may change them."""
        if self._manager.pre_save_hook or self._manager._pre_save_hooks:
            return None
        return await asyncio.to_thread(self._digest, original)

    async def create(self, path: str, kind: str, form: str, original: Original) -> None:
        """Write a new file: first an empty one, which can be made only where there is none, then what it holds."""
        os_path = self._os_path(path)
        info = await asyncio.to_thread(self._reserve, os_path, path)
        try:
            await self.write(path, kind, form, Change(original, False, info))
        except BaseException:  # whatever it is: the empty file does not stay
            os.unlink(os_path)
            raise

    async def backup(self, path: str) -> FileContent | None:
        """Return the copy that Jupyter Server makes before it overwrites a text file, and removes afterwards."""
        return await asyncio.to_thread(self._backup, self._os_path(path), path)

    async def is_bare(self, path: str) -> bool:
        """Say whether Jupyter Server makes no such copy: it is told not to, or the folder cannot be written."""
        return not (self._manager.use_atomic_writing and os.access(os.path.dirname(self._os_path(path)), os.W_OK))

    async def begins(self, path: str, body: Body) -> bool:
        """Say whether a text file holds the beginning of `body`, be it with half a character at its end."""
        return await asyncio.to_thread(_begins, self._os_path(path), str(body).encode())

    async def is_being_written(self, path: str) -> bool:
        """Say whether some program has a file open for writing; on Linux only."""
        return await asyncio.to_thread(is_open_for_writing, self._os_path(path))

    def local_path(self, path: str) -> str | None:
        """Return the file's path on the local disk."""
        try:
            return self._os_path(path)
        except FileError:
            return None

    def _os_path(self, path: str) -> str:
        try:
            return str(self._manager._get_os_path(path.strip("/")))
        except HTTPError as error:
            raise file_error(error) from None

    def _stat(self, os_path: str, path: str) -> FileInfo:
        try:
            stat = os.stat(os_path)
        except OSError as error:
            raise _os_error(error, path) from None
        if not S_ISREG(stat.st_mode):
            raise FileError(400, f"{path} is not a file")
        return FileInfo(_stamp(stat), os.access(os_path, os.W_OK))

    def _glance(self, path: str) -> FileInfo | None:
        try:
            return self._stat(self._os_path(path), path)
        except FileError:
            return None

    def _reserve(self, os_path: str, path: str) -> FileInfo:
        try:
            os.close(os.open(os_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            raise FileError(409, f"{path} exists already") from None
        except OSError as error:
            raise _os_error(error, path) from None
        return self._stat(os_path, path)

    def _read(self, os_path: str, path: str, form: str) -> tuple[Body, FileInfo]:
        try:
            info = self._stat(os_path, path)
            with open(os_path, "rb") as file:
                data = file.read()
        except OSError as error:
            raise _os_error(error, path) from None
        info = FileInfo(info.stamp, info.writable, self._hash(data))
        if form == "base64":
            return data, info
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise FileError(400, f"{path} is not UTF-8 encoded") from None
        return text, info

    def _backup(self, os_path: str, path: str) -> FileContent | None:
        try:
            body, info = self._read(_copy_of(os_path), path, "text")
        except FileError:
            return None
        return FileContent(body, info)

    def _digest(self, original: Original) -> str:
        digest = hashlib.new(self._manager.hash_algorithm)
        for data in encoded(original):
            digest.update(data)
        return digest.hexdigest()

    def _write(self, os_path: str, path: str, change: Change) -> FileInfo:
        digest, size = hashlib.new(self._manager.hash_algorithm), 0
        opener = partial(self._open_over, path, change.over)
        parts = [*encoded(change.original)]  # at hand: the less is done while the file is half written, the better
        try:
            with self._manager.atomic_writing(os_path, text=False, opener=opener) as file:
                shown = not self._was_replaced(os_path, os.fstat(file.fileno()), digest.hexdigest())
                # Where another file stands there now, nothing is written; to raise here would put the old one back.
                for data in parts if shown else ():
                    file.write(data)
                    size += len(data)
                    digest.update(data)
                file.flush()
                # Now, not when all is done: somebody else may have written by then, and that must show.
                written = os.fstat(file.fileno())
            if not shown or written.st_size != size or self._was_replaced(os_path, written, digest.hexdigest()):
                raise OvertakenError(path, shown=shown)
        except HTTPError as error:
            raise file_error(error) from None
        except OSError as error:
            raise FileError(500, f"{path}: {reason(error)}") from None
        return FileInfo(_stamp(written), True, digest.hexdigest())

    def _open_over(self, path: str, over: FileInfo | None, os_path: str, flags: int) -> int:
        """Open a file to be written, as `os.open` does, and empty it only if it is `over` then.

        It is opened before it is looked at: whoever puts another file in its place later has theirs left alone.
        """
        flags &= ~os.O_TRUNC
        if over is not None:  # what somebody has just removed is not made again
            flags &= ~os.O_CREAT
        try:
            file = os.open(os_path, flags, 0o666)
        except FileNotFoundError:
            if over is None:
                raise
            raise _overtaken(os_path, path) from None
        try:
            if not self._is_over(os_path, over):
                raise _overtaken(os_path, path)
            os.ftruncate(file, 0)
        except BaseException:  # whatever it is: nobody else closes it
            os.close(file)
            raise
        return file

    def _is_over(self, os_path: str, over: FileInfo | None) -> bool:
        """Say whether a file holds what `over` did, whatever its stamp says; where that is None, whether it is new."""
        try:
            now = self._read(os_path, "", "base64")[1]
        except FileError as error:
            return error.status == 404 and over is None
        if over and not over.hash:
            return now.stamp[:-1] == over.stamp[:-1]  # not the number of the file, see below
        return now.hash == (over.hash if over else self._hash(b""))

    def _was_replaced(self, os_path: str, ours: os.stat_result, digest: str) -> bool:
        """Say whether another file stands where we wrote one: somebody put it there meanwhile, as git does."""
        try:
            # Some network disks number a file anew each time it is looked at: its content decides.
            return bool(os.stat(os_path).st_ino != ours.st_ino and self._read(os_path, "", "base64")[1].hash != digest)
        except (FileNotFoundError, FileError):  # it is gone, or cannot be read: the next look says so
            return False

    def _hash(self, data: bytes) -> str:
        return hashlib.new(self._manager.hash_algorithm, data).hexdigest()


def files_of(manager: ContentsManager, thread: OneThread) -> ManagedFiles:
    """Return what reads and writes the files of a contents manager, in `thread` where that may take long."""
    return LocalFiles(manager, thread) if LocalFiles.serves(manager) else ManagedFiles(manager, thread)


def _made_of(content: Any, original: Original) -> Original:
    """Return a file with what a hook has made of its content; `original` itself if that is the same."""
    if isinstance(original, Ipynb):
        return render(original, parse(json.dumps(content)).value)
    if isinstance(content, str) and isinstance(original.body, bytes | bytearray):
        content = b64decode(content)
    return original if content == original.body else Bare(content)


def _copy_of(os_path: str) -> str:
    """Return where Jupyter Server copies a file to before it overwrites it (fileio.py: atomic_writing)."""
    if os.path.islink(os_path):
        os_path = os.path.join(os.path.dirname(os_path), os.readlink(os_path))
    return str(path_to_intermediate(os_path))


def _overtaken(os_path: str, path: str) -> OvertakenError:
    """Return the error for a file that is left alone, once the copy is gone that was made of it."""
    with suppress(FileNotFoundError):
        os.unlink(_copy_of(os_path))
    return OvertakenError(path)


def _begins(os_path: str, data: bytes) -> bool:
    try:
        with open(os_path, "rb") as file:
            return data.startswith(file.read())
    except OSError:
        return False


def _stamp(stat: os.stat_result) -> tuple[Any, ...]:
    # The time of the last change (not on Windows), because programs put back that of the last modification.
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def _os_error(error: OSError, path: str) -> FileError:
    """Return what to say of a file that the system does not let us look at: is it gone, or is it not?"""
    gone = (FileNotFoundError, NotADirectoryError)
    nowhere = error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
    status = 404 if isinstance(error, gone) or nowhere else 403 if isinstance(error, PermissionError) else 500
    return FileError(status, f"{path}: {reason(error)}")
