"""Recovery copies: what could not be merged, or was about to be overwritten, as real files that people can open.

Each copy is a folder, called by its id::

    <Recovery.folder>/<id>/about.json       what it is a copy of, whose, when and why
    <Recovery.folder>/<id>/content.ipynb    the file, in the format of the original

A folder appears whole, by being renamed, and only after everything in it has reached the disk. The id is derived
from the path, the author and the content: keeping the same again, in whichever process, makes no second copy.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from posixpath import splitext
from typing import Any, NamedTuple
from uuid import uuid4

from traitlets import Float, Integer, Unicode
from traitlets.config import LoggingConfigurable

from ..relay import place
from .content import Original, encoded
from .names import DocumentName

__all__ = ["Recovery", "RecoveryCopy", "RecoveryError"]

_ID = re.compile(r"[0-9a-f]{32}")
_SUFFIX = re.compile(r"\.\w{1,16}", re.ASCII)
_ABOUT, _CONTENT = "about.json", "content"
_UNFINISHED = 3600.0  # seconds after which a folder without its name is what a crash left


class RecoveryError(Exception):
    """Nothing was kept, or there is no such copy: `status` is an HTTP status for it, the text the reason.

    404: there is no such copy. 413: it is larger than all copies together may be. 500: it cannot be read or removed.
    507: it cannot be written.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class RecoveryCopy:
    """What is known of a copy.

    Attributes:
        id: 32 hexadecimal digits.
        path: the API path of the file that it is a copy of, at that time.
        room: the name of the document's room.
        author: the username of who wrote it; empty where it is not one person's: what the file held, or a document.
        reason: why it was kept, in a sentence.
        time: when, in seconds since the epoch.
        size: of the content, in bytes.
        hash: the SHA-256 of the content, in hexadecimal digits.
    """

    id: str
    path: str
    room: str
    author: str
    reason: str
    time: float
    size: int
    hash: str

    @property
    def name(self) -> DocumentName:
        """The name of the room, taken apart: the format, the type, and the id of the file."""
        if name := DocumentName.parse(self.room):
            return name
        raise ValueError(f"not a document's room: {self.room}")

    @property
    def suffix(self) -> str:
        """The ending of the content's name: of a notebook, whatever its file was called, that of a notebook."""
        if self.name.kind == "notebook":
            return ".ipynb"
        suffix = splitext(self.path)[1]
        return suffix if _SUFFIX.fullmatch(suffix) else ""

    def described(self) -> dict[str, Any]:
        """Return what the REST API says of it."""
        form, kind, file_id = self.name
        created = datetime.fromtimestamp(self.time, UTC).isoformat()
        named = {"type": kind, "format": form, "file_id": file_id, "created": created}
        return {key: value for key, value in asdict(self).items() if key != "time"} | named


class Recovery(LoggingConfigurable):
    """Keeps recovery copies in a folder, a bounded number of them.

    Everything is done in a thread, one thing at a time.
    """

    folder = Unicode(
        "", help="Where recovery copies are kept; by default `jupyter_rtc/recovery` in Jupyter's data directory."
    ).tag(config=True)
    max_copies = Integer(
        500, min=1, help="How many recovery copies are kept at most; the oldest are removed for new ones."
    ).tag(config=True)
    max_bytes = Integer(
        1 << 29,
        min=1,
        help="How many bytes all recovery copies may take together; the oldest are removed for new ones. What is"
        " larger than this by itself cannot be kept.",
    ).tag(config=True)
    max_age = Float(
        30 * 86400.0, min=0, help="Seconds after which a recovery copy is removed, when copies are next kept or listed."
    ).tag(config=True)

    def __init__(self, announce: Callable[[RecoveryCopy, bool], None], **kwargs: Any) -> None:
        """Keep copies; `announce` is called for each that comes (True) or goes (False), on the event loop."""
        super().__init__(**kwargs)
        self._folder = place(self.folder, "recovery")
        self._announce = announce
        self._lock = asyncio.Lock()
        self._known: list[RecoveryCopy] | None = None

    async def keep(
        self, name: DocumentName, path: str, original: Original, *, author: str, reason: str
    ) -> RecoveryCopy:
        """Keep a file, durably; return its copy: the older one, where the same was kept before.

        `name` and `path` say what it is a copy of, `original` is the file as `Content.parse` or `Content.render`
        makes it (`content.rendered` makes one of a document), `author` is the username of who wrote it ("" for more
        than one), `reason` is a plain sentence that says why. A new copy is logged and announced.

        Raises:
            RecoveryError: it is not kept. The disk is full, say, or the folder cannot be written.
        """
        async with self._lock:
            copy, new = await asyncio.to_thread(self._keep, name, path, original, author, reason)
            try:
                await self._refresh(spared=copy.id)
            except RecoveryError as error:
                self.log.warning("Recovery copies beyond the bounds may be left: %s", error)
        if new:
            self.log.warning("room %s: recovery copy %s of %s was kept: %s", name, copy.id, path, reason)
            self._announce(copy, True)
        return copy

    async def copies(self) -> list[RecoveryCopy]:
        """Return all copies, the oldest first. Raises RecoveryError."""
        async with self._lock:
            return await self._refresh()

    async def known(self, file_id: str) -> list[RecoveryCopy]:
        """Return the copies of a file, the oldest first, as far as this process knows them."""
        if self._known is None:
            with suppress(RecoveryError):
                await self.copies()
        return [copy for copy in self._known or () if copy.name.file_id == file_id]

    async def read(self, id: str) -> tuple[RecoveryCopy, bytes]:
        """Return a copy and its content. Raises RecoveryError."""
        return await asyncio.to_thread(self._read, id)

    async def find(self, id: str) -> RecoveryCopy:
        """Return what is known of a copy. Raises RecoveryError."""
        return await asyncio.to_thread(self._known_as, id)

    async def remove(self, id: str) -> RecoveryCopy:
        """Remove a copy; return what it was. Raises RecoveryError."""
        async with self._lock:
            copy = await asyncio.to_thread(self._remove, id)
            await self._refresh()
        self._announce(copy, False)
        return copy

    # ------------------------------------------------------------------ in a thread

    async def _refresh(self, spared: str = "") -> list[RecoveryCopy]:
        """Read what there is, and remove what is too much; the copy `spared` was just made, and stays."""
        kept, removed = await asyncio.to_thread(self._bounded, spared)
        for copy in removed:
            self.log.info("recovery copy %s of %s was removed to stay within the bounds", copy.id, copy.path)
        self._known = kept
        for copy in removed:
            self._announce(copy, False)
        return kept

    def _keep(
        self, name: DocumentName, path: str, original: Original, author: str, reason: str
    ) -> tuple[RecoveryCopy, bool]:
        try:
            digest, size = _digest(original)
            if size > self.max_bytes:
                raise RecoveryError(413, f"it has {size} bytes, and Recovery.max_bytes is {self.max_bytes}")
            identity = "\0".join((path, author, digest))
            id = hashlib.sha256(identity.encode()).hexdigest()[:32]
            if old := self._find(id):
                return old, False
            copy = RecoveryCopy(id, path, str(name), author, reason, time.time(), size, digest)
            self._write(copy, original)
        except OSError as error:
            raise RecoveryError(507, f"no recovery copy can be written: {error.strerror or error}") from None
        except ValueError as error:
            raise RecoveryError(507, f"no recovery copy can be written: {error}") from None
        return copy, True

    def _write(self, copy: RecoveryCopy, original: Original) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft, place = self._folder / f".{uuid4().hex}", self._folder / copy.id
        draft.mkdir(mode=0o700)
        try:
            _write(draft / (_CONTENT + copy.suffix), encoded(original))
            _write(draft / _ABOUT, iter([json.dumps(asdict(copy), indent=1).encode()]))
            _sync(draft)
            shutil.rmtree(place, ignore_errors=True)  # one that is not whole; `_find` did not
            draft.rename(place)
            _sync(self._folder)
        except BaseException:  # whatever it is: what was begun does not stay
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _find(self, id: str) -> RecoveryCopy | None:
        """Return a copy, or None where there is none, or not the whole of it."""
        if not _ID.fullmatch(id):
            return None
        place = self._folder / id
        try:
            copy = RecoveryCopy(**json.loads((place / _ABOUT).read_bytes()))
            whole = copy.id == id and os.path.getsize(place / (_CONTENT + copy.suffix)) == copy.size
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return None
        return copy if whole else None

    def _known_as(self, id: str) -> RecoveryCopy:
        try:
            if copy := self._find(id):
                return copy
        except OSError as error:
            raise RecoveryError(500, f"recovery copy {id} cannot be read: {error.strerror}") from None
        raise RecoveryError(404, f"there is no recovery copy {id!r}")

    def _read(self, id: str) -> tuple[RecoveryCopy, bytes]:
        copy = self._known_as(id)
        try:
            return copy, (self._folder / id / (_CONTENT + copy.suffix)).read_bytes()
        except FileNotFoundError:
            raise RecoveryError(404, f"there is no recovery copy {id!r}") from None
        except OSError as error:
            raise RecoveryError(500, f"recovery copy {id} cannot be read: {error.strerror}") from None

    def _remove(self, id: str) -> RecoveryCopy:
        copy = self._known_as(id)
        try:
            self._discard(id)
        except FileNotFoundError:
            raise RecoveryError(404, f"there is no recovery copy {id!r}") from None
        except OSError as error:
            raise RecoveryError(500, f"recovery copy {id} cannot be removed: {error.strerror}") from None
        return copy

    def _discard(self, id: str) -> None:
        """Remove a folder; whatever happens, never leave a part of it under its name."""
        gone = self._folder / f".{uuid4().hex}"
        (self._folder / id).rename(gone)
        shutil.rmtree(gone)

    def _bounded(self, spared: str) -> tuple[list[RecoveryCopy], list[RecoveryCopy]]:
        """Return the copies, the oldest first, and those that were too many, and are removed."""
        try:
            copies = sorted(self._all(), key=lambda copy: (copy.id == spared, copy.time, copy.id))
            now, size = time.time(), sum(copy.size for copy in copies)
            removed: list[RecoveryCopy] = []
            for number, copy in enumerate(copies):
                left = len(copies) - number
                fits = left <= self.max_copies and size <= self.max_bytes and now - copy.time <= self.max_age
                if fits or copy.id == spared:
                    continue
                self._discard(copy.id)
                removed.append(copy)
                size -= copy.size
        except OSError as error:
            raise RecoveryError(500, f"the recovery copies cannot be read: {error.strerror}") from None
        kept = [copy for copy in copies if copy not in removed]
        return sorted(kept, key=lambda copy: (copy.time, copy.id)), removed

    def _all(self) -> Iterator[RecoveryCopy]:
        """Yield the copies in the folder, and remove what crashes left in it."""
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                if copy := self._find(entry.name):
                    yield copy
                elif entry.name.startswith(".") and time.time() - entry.stat().st_mtime > _UNFINISHED:
                    shutil.rmtree(entry.path, ignore_errors=True)


class _Measure(NamedTuple):
    digest: str
    size: int


def _digest(original: Original) -> _Measure:
    digest, size = hashlib.sha256(), 0
    for data in encoded(original):
        digest.update(data)
        size += len(data)
    return _Measure(digest.hexdigest(), size)


def _write(path: Path, parts: Iterator[bytes | bytearray]) -> None:
    """Write a new file that nobody else may read, and wait until the disk has it."""
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Wait until the disk has the names in a folder, where the system can say so (Windows cannot)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
