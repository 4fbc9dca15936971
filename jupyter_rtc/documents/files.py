"""Reading and writing files through Jupyter Server's contents manager, without stopping the event loop.

`ManagedFiles` knows only the contents API and serves every contents manager; see local.py for those of the local
disk.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from jupyter_core.utils import ensure_async
from jupyter_server.services.contents.manager import ContentsManager
from nbformat import NotebookNode, from_dict
from tornado.web import HTTPError

from . import trust
from .content import Body, Original


class FileError(Exception):
    """The contents manager says no: `status` is the HTTP status it gave, the text its reason.

    `shown` says whether any of what was to be written may have been in the file, if only for a moment: then somebody
    else may have begun from that.
    """

    def __init__(self, status: int, reason: str, *, shown: bool = True) -> None:
        super().__init__(reason)
        self.status = status
        self.shown = shown


class OvertakenError(FileError):
    """Somebody else wrote the file at the last moment; what they wrote is still there, and ours is not."""

    def __init__(self, path: str, *, shown: bool = False) -> None:
        super().__init__(409, f"{path} was written by somebody else at this moment", shown=shown)


@dataclass(frozen=True)
class FileInfo:
    """What is known of a file without its content.

    `stamp` changes when the file does, as far as can be seen without reading it. `hash` is the contents
    manager's, or ours where it has none; empty where only the stamp was asked for.
    """

    stamp: tuple[Any, ...]
    writable: bool
    hash: str = ""


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


class Files(Protocol):
    """Reads and writes files by their API path. Every method raises FileError."""

    async def stat(self, path: str, kind: str) -> FileInfo:
        """Return what is known of a file without reading it."""
        ...

    async def read(self, path: str, kind: str, form: str) -> FileContent:
        """Read a file of the contents type `kind` in the format `form` (text, json or base64)."""
        ...

    async def judged(self, original: Original) -> Original:
        """Return a notebook that was just read and parsed as trusted, if its outputs may run scripts."""
        ...

    async def write(self, path: str, kind: str, form: str, change: Change) -> FileInfo:
        """Replace the content of a file.

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
    """Files of any contents manager, through its ``get`` and ``save``."""

    def __init__(self, manager: ContentsManager) -> None:
        """Read and write through `manager`."""
        self._manager = manager
        self._notary = manager.notary  # its database belongs to the thread that makes it: this one

    async def stat(self, path: str, kind: str) -> FileInfo:
        """Return what is known of a file without reading it."""
        return _info(await self._get(path, type=api_type(kind), content=False))

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
        info = _info(model)
        return FileContent(body, info if info.hash else replace(info, hash=_digest(body)), trusted)

    def _is_trusted(self, notebook: NotebookNode) -> bool:
        """Say whether all cells are marked as trusted; takes the marks away, which are not part of a file."""
        try:
            return bool(self._notary.check_cells(notebook))
        except (LookupError, TypeError, AttributeError):  # its cells are not as nbformat wants them
            return False

    async def judged(self, original: Original) -> Original:
        """Return the notebook as it is: the contents manager has judged it when it was read."""
        return original

    async def write(self, path: str, kind: str, form: str, change: Change) -> FileInfo:
        """Replace the content of a file, with all that the contents manager does when it saves."""
        body = change.original.body
        model = {"type": api_type(kind), "format": form, "content": _model_content(body, form, change.sign)}
        try:
            saved = await ensure_async(self._manager.save(model, path))
        except HTTPError as error:
            raise file_error(error) from None
        now = await self._get(path, type=api_type(kind), content=False)
        if now.get("hash") and now.get("last_modified") == saved.get("last_modified"):
            return _info(now)
        # Without a hash, ours; and where somebody else wrote in between, the next look shall find out.
        return FileInfo(_info(saved).stamp, bool(now.get("writable", True)), _digest(body))

    async def foresee(self, original: Original) -> str | None:
        """Return None: the manager writes the file as it likes."""
        return None

    async def create(self, path: str, kind: str, form: str, original: Original) -> None:
        """Write a new file, if there is nothing of this name; contents managers cannot do the two in one."""
        if await ensure_async(self._manager.exists(path)):
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
                model = await ensure_async(self._manager.get(path, require_hash=True, **how))
            except TypeError:  # a manager from before jupyter_server 2.11 knows no hashes
                model = await ensure_async(self._manager.get(path, **how))
        except HTTPError as error:
            raise file_error(error) from None
        return dict(model)


def _model_content(body: Body, form: str, sign: bool) -> Any:
    """Return a body as the contents API takes it; `sign` marks a notebook's cells as trusted, all of them."""
    if isinstance(body, bytes | bytearray):
        return b64encode(body).decode()
    if form != "json":
        return body
    notebook = trust.as_read(body) if isinstance(body, str) else body
    if not sign:
        return notebook
    return {**notebook, "cells": [_signed(cell) for cell in notebook["cells"]]}


def _signed(cell: Any) -> Any:
    if not (isinstance(cell, dict) and cell.get("cell_type") == "code" and isinstance(cell.get("metadata"), dict)):
        return cell
    return {**cell, "metadata": {**cell["metadata"], "trusted": True}}


def api_type(kind: str) -> str:
    """Return the contents API's type: everything but notebooks is a file to it."""
    return "notebook" if kind == "notebook" else "file"


def _info(model: dict[str, Any]) -> FileInfo:
    stamp = (str(model.get("last_modified")), model.get("size"), model.get("hash"))
    return FileInfo(stamp, bool(model.get("writable", True)), model.get("hash") or "")


def _digest(body: Body) -> str:
    data = json.dumps(body, sort_keys=True) if isinstance(body, dict) else body
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def file_error(error: HTTPError) -> FileError:
    """Return what the contents manager said as an error of ours."""
    return FileError(error.status_code, error.log_message or error.reason or str(error))
