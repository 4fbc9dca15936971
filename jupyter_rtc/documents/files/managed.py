"""Reading and writing files through Jupyter Server's contents manager, without stopping the event loop.

`ManagedFiles` knows only the contents API and serves every contents manager; see local.py for those of the local
disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import get_ident
from typing import Any, NamedTuple, Protocol

from jupyter_server.services.contents.manager import ContentsManager
from nbformat import NotebookNode, from_dict
from tornado.web import HTTPError

from ...machine import OneThread
from ..formats.content import Body, Original
from . import trust


class FileError(Exception):
    """The contents manager says no: `status` is the HTTP status it gave, the text its reason.

    `shown` says whether any of what was to be written may have been in the file, if only for a moment: then somebody
    else may have begun from that.
    """

    def __init__(self, status: int, reason: str, *, shown: bool = True) -> None:
        super().__init__(reason)
        self.status = status
        self.shown = shown


def file_error(error: HTTPError) -> FileError:
    """Return what the contents manager said as an error of ours."""
    return FileError(error.status_code, reason(error))


def reason(error: BaseException) -> str:
    """Return why something went wrong, in words: of errors that have none, what kind of error it was."""
    if isinstance(error, HTTPError):
        return error.log_message or error.reason or str(error)
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or str(error) or type(error).__name__


class OvertakenError(FileError):
    """Somebody else wrote the file at the last moment; what they wrote is still there, and ours is not."""

    def __init__(self, path: str, *, shown: bool = False) -> None:
        super().__init__(409, f"{path} was written by somebody else at this moment", shown=shown)


@dataclass(frozen=True)
class FileInfo:
    """What is known of a file without its content.

    `stamp` changes when the file does, as far as can be seen without reading it. `hash` is the contents
    manager's, or ours where it has none; empty where only the stamp was asked for. `coarse` says that the stamp is of a
    whole second and no more, so that it says nothing of what else happened in that second.
    """

    stamp: tuple[Any, ...]
    writable: bool
    hash: str = ""
    coarse: bool = False


@dataclass(frozen=True)
class FileContent:
    """A file that was read: its body and what is known of it; `trusted` says so of a notebook's outputs."""

    body: Body
    info: FileInfo
    trusted: bool = False


class Change(NamedTuple):
    """What is to be written into a file.

    `sign` says to sign the notebook, whose outputs are all trusted; `over` is the file at the last look, None where
    there was none.
    """

    original: Original
    sign: bool
    over: FileInfo | None


class Written(NamedTuple):
    """A file that was written, all of it.

    Attributes:
        info: what is known of it now.
        body: what a read gives now, where that may be something else than what was to be written; else None.
        note: what went wrong afterwards, such as a checkpoint that could not be made; empty if nothing did.
        seen: whether it is known what a read gives; not, where somebody else wrote right after.
    """

    info: FileInfo
    body: Body | None = None
    note: str = ""
    seen: bool = True


class Files(Protocol):
    """Reads and writes files by their API path. Every method raises FileError."""

    async def stat(self, path: str, kind: str) -> FileInfo:
        """Return what is known of a file without reading it."""
        ...

    async def glance(self, paths: Sequence[str]) -> Sequence[FileInfo | None]:
        """Return what `stat` says of each of several files, or None where it has to be asked: cheap, for thousands."""
        ...

    async def read(self, path: str, kind: str, form: str) -> FileContent:
        """Read a file of the contents type `kind` in the format `form` (text, json or base64)."""
        ...

    async def judged(self, original: Original) -> Original:
        """Return a notebook that was just read and parsed as trusted, if its outputs may run scripts."""
        ...

    async def write(self, path: str, kind: str, form: str, change: Change) -> Written:
        """Replace the content of a file; what goes wrong once all of it is written is no error.

        Raises OvertakenError where, as far as this can be seen, it is not what it was at the last look.
        """
        ...

    async def foresee(self, original: Original) -> str | None:
        """Return the hash that a file will have once `write` is done; None where only the manager knows."""
        ...

    async def create(self, path: str, kind: str, form: str, original: Original) -> None:
        """Write a new file. Raises FileError with the status 409 where there is something of this name."""
        ...

    async def backup(self, path: str) -> FileContent | None:
        """Return what a file held before a save that never came to its end, if that is known."""
        ...

    async def is_bare(self, path: str) -> bool:
        """Say whether a file is overwritten without a copy of what it held, so that a crash may leave a part of it."""
        ...

    async def begins(self, path: str, body: Body) -> bool:
        """Say whether a file holds the beginning of `body`, or all of it."""
        ...

    async def is_being_written(self, path: str) -> bool:
        """Say whether some program has a file open for writing; False where that cannot be found out."""
        ...

    def local_path(self, path: str) -> str | None:
        """Return the file's path on the local disk, where it can be watched; None elsewhere."""
        ...


class ManagedFiles:
    """Files of any contents manager, through its ``get`` and ``save``.

    One that is not asynchronous is asked in a thread, its own: it may take long, and need not bear two at once.
    """

    def __init__(self, manager: ContentsManager, thread: OneThread | None = None) -> None:
        """Read and write through `manager`, in `thread` where that may take long. On the running event loop."""
        self._manager = manager
        self._thread = thread or OneThread("contents manager")
        self._notary = manager.notary
        trust.share(self._notary, manager.log)
        emit = _on_this_thread(manager.emit)
        manager.emit = emit  # type: ignore[method-assign] # it begins tasks, which only the event loop can

    async def stat(self, path: str, kind: str) -> FileInfo:
        """Return what is known of a file without reading it."""
        return _info(await self._get(path, type=api_type(kind), content=False))

    async def glance(self, paths: Sequence[str]) -> Sequence[FileInfo | None]:
        """Return None of each: a contents manager is asked for one after the other."""
        return [None] * len(paths)

    async def read(self, path: str, kind: str, form: str) -> FileContent:
        """Read a file."""
        model = await self._get(path, type=api_type(kind), format=None if form == "json" else form, content=True)
        body = model["content"]
        if form == "base64":
            body = b64decode(body)
        trusted = False
        if kind == "notebook" and isinstance(body, dict):
            body = body if isinstance(body, NotebookNode) else from_dict(body)
            trusted = self._is_trusted(body)
        return FileContent(body, _hashed(_info(model), body), trusted)

    def _is_trusted(self, notebook: NotebookNode) -> bool:
        """Say whether all cells are marked as trusted; takes the marks away, which are not part of a file."""
        try:
            return bool(self._notary.check_cells(notebook))
        except (LookupError, TypeError, AttributeError):  # its cells are not as nbformat wants them
            return False

    async def judged(self, original: Original) -> Original:
        """Return the notebook as it is: the contents manager has judged it when it was read."""
        return original

    async def write(self, path: str, kind: str, form: str, change: Change) -> Written:
        """Replace the content of a file, with all that the contents manager does when it saves.

        What the manager made of it is read back, between two looks at the file that agree: a manager that looks before
        it reads may give what somebody else has written, or begun to write, since it looked.
        """
        model = model_of(change.original.body, kind, form, change.sign)
        try:
            saved = _info(await self._thread.ask(self._manager.save, model, path))
        except Exception as error:  # whatever a manager raises, or a hook once all is written
            if written := await self._found(path, kind, form, change):
                self._manager.log.warning("%s is saved, but its contents manager had trouble", path, exc_info=error)
                return written._replace(note=f"its contents manager had trouble: {reason(error)}")
            if isinstance(error, HTTPError):
                raise file_error(error) from None
            raise
        with suppress(FileError):
            now = await self.read(path, kind, form)
            if now.info.stamp[0] == saved.stamp[0] and now.info.stamp == (await self.stat(path, kind)).stamp:
                return Written(now.info, now.body)
        # Somebody else wrote in between, or it cannot be read; the next look shall find out.
        return Written(_hashed(saved, change.original.body), seen=False)

    async def _found(self, path: str, kind: str, form: str, change: Change) -> Written | None:
        """Return what is known of a file if it holds what was to be written, all of it."""
        with suppress(FileError):
            now = await self.read(path, kind, form)
            if _digest(now.body) == _digest(_plain(change.original.body, form)):
                return Written(now.info)
        return None

    async def foresee(self, original: Original) -> str | None:
        """Return None: the manager writes the file as it likes."""
        return None

    async def create(self, path: str, kind: str, form: str, original: Original) -> None:
        """Write a new file, if there is nothing of this name; contents managers cannot do the two in one."""
        if await self._thread.ask(self._manager.exists, path):
            raise FileError(409, f"{path} exists already")
        await self.write(path, kind, form, Change(original, False, None))

    async def backup(self, path: str) -> FileContent | None:
        """Return None: what a contents manager does about crashes is its own affair."""
        return None

    async def is_bare(self, path: str) -> bool:
        """Return False: so is that."""
        return False

    async def begins(self, path: str, body: Body) -> bool:
        """Return False: nobody writes but the contents manager."""
        return False

    async def is_being_written(self, path: str) -> bool:
        """Return False: a contents manager does not say."""
        return False

    def local_path(self, path: str) -> str | None:
        """Return None: where the files are is the manager's own affair."""
        return None

    async def _get(self, path: str, **how: Any) -> dict[str, Any]:
        try:
            try:
                model = await self._thread.ask(self._manager.get, path, require_hash=True, **how)
            except TypeError:  # a manager from before jupyter_server 2.11 knows no hashes
                model = await self._thread.ask(self._manager.get, path, **how)
        except HTTPError as error:
            raise file_error(error) from None
        return dict(model)


def _on_this_thread(emit: Callable[..., Any]) -> Callable[..., Any]:
    """Return what emits events on the event loop of this thread, whatever thread it is called in."""
    loop, home = asyncio.get_running_loop(), get_ident()

    def emitting(data: dict[str, Any]) -> None:
        """Emit an event there."""
        if get_ident() == home:
            emit(data=data)
        else:
            loop.call_soon_threadsafe(partial(emit, data=data))

    return emitting


def model_of(body: Body, kind: str, form: str, sign: bool) -> dict[str, Any]:
    """Return what a contents manager saves; `sign` marks a notebook's cells as trusted, all of them."""
    return {"type": api_type(kind), "format": form, "content": _model_content(body, form, sign)}


def _model_content(body: Body, form: str, sign: bool) -> Any:
    """Return a body as the contents API takes it."""
    if isinstance(body, bytes | bytearray):
        return b64encode(body).decode()
    content = _plain(body, form)
    if not (sign and isinstance(content, dict)):
        return content
    return {**content, "cells": [_signed(cell) for cell in content["cells"]]}


def _plain(body: Body, form: str) -> Any:
    """Return a body as a read gives it: notebooks as JSON."""
    return trust.as_read(body) if form == "json" and isinstance(body, str) else body


def _signed(cell: Any) -> Any:
    if not (isinstance(cell, dict) and cell.get("cell_type") == "code" and isinstance(cell.get("metadata"), dict)):
        return cell
    return {**cell, "metadata": {**cell["metadata"], "trusted": True}}


def api_type(kind: str) -> str:
    """Return the contents API's type: everything but notebooks is a file to it."""
    return "notebook" if kind == "notebook" else "file"


def _info(model: dict[str, Any]) -> FileInfo:
    when, hash = model.get("last_modified"), model.get("hash") or ""
    stamp = (str(when), model.get("size"), hash)
    coarse = not hash and not getattr(when, "microsecond", 0)
    return FileInfo(stamp, bool(model.get("writable", True)), hash, coarse)


def _hashed(info: FileInfo, body: Body) -> FileInfo:
    """Return what is known of a file that was read, with a hash of ours where the manager has none."""
    return info if info.hash else replace(info, hash=_digest(body))


def _digest(body: Body) -> str:
    """Return a hash of a body; the ids of cells do not count, for some managers make them up at each read."""
    if isinstance(body, dict):
        cells = [{**cell, "id": None} if isinstance(cell, dict) else cell for cell in body.get("cells") or ()]
        body = json.dumps({**body, "cells": cells}, sort_keys=True)
    return hashlib.sha256(body.encode() if isinstance(body, str) else body).hexdigest()
