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
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from posixpath import splitext
from typing import Any, NamedTuple
from uuid import uuid4

from traitlets import Float, Integer, Unicode
from traitlets.config import LoggingConfigurable

from ...machine import Pool, place
from ..formats.content import Original, encoded
from .names import DocumentName

__all__ = ["Recovery", "RecoveryCopy", "RecoveryError"]

_ID = re.compile(r"[0-9a-f]{32}")
_SUFFIX = re.compile(r"\.\w{1,16}", re.ASCII)
_ABOUT, _CONTENT = "about.json", "content"
_MOST_ABOUT = 1 << 20
_TYPES = {"str": (str,), "float": (float, int), "int": (int,)}
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
        self._reading = Pool()
        self._known: list[RecoveryCopy] | None = None
        self._strange: set[str] = set()  # what stands under the id of a copy, and is none

    async def check(self) -> None:
        """Say in the log where copies are kept, or that none can be."""
        try:
            async with self._lock:
                await asyncio.to_thread(self._try)
        except OSError as error:
            self.log.warning(
                "No recovery copies can be kept in %s (%s). Recovery.folder says where they are.", self._folder, error
            )
        else:
            self.log.info("Recovery copies are kept in %s", self._folder)

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
        return await self._reading.run(self._read, id)

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

    def _try(self) -> None:
        self._draft().rmdir()

    def _draft(self) -> Path:
        """Make a folder under a name that is no copy's."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f".{uuid4().hex}"
        draft.mkdir(mode=0o700)
        return draft

    def _write(self, copy: RecoveryCopy, original: Original) -> None:
        draft, place = self._draft(), self._folder / copy.id
        try:
            _write(draft / (_CONTENT + copy.suffix), encoded(original))
            _write(draft / _ABOUT, iter([json.dumps(asdict(copy), indent=1).encode()]))
            _sync(draft)
            self._clear(place)
            draft.rename(place)
            _sync(self._folder)
        except BaseException:  # whatever it is: what was begun does not stay
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _find(self, id: str) -> RecoveryCopy | None:
        """Return a copy, or None where there is none; what is there and is none is left alone, which is said once."""
        if not _ID.fullmatch(id):
            return None
        place = self._folder / id
        try:
            return _whole(place)
        except (OSError, ValueError) as error:
            if os.path.lexists(place) and id not in self._strange:
                self._strange.add(id)
                self.log.warning("%s is no recovery copy, and is left alone: %s", place, error)
            return None

    def _known_as(self, id: str) -> RecoveryCopy:
        if copy := self._find(id):
            return copy
        raise RecoveryError(404, f"there is no recovery copy {id!r}")

    def _read(self, id: str) -> tuple[RecoveryCopy, bytes]:
        copy = self._known_as(id)
        try:
            return copy, _bytes(self._folder / id / (_CONTENT + copy.suffix), copy.size)
        except FileNotFoundError:
            raise RecoveryError(404, f"there is no recovery copy {id!r}") from None
        except (OSError, ValueError) as error:
            raise RecoveryError(500, f"recovery copy {id} cannot be read: {error}") from None

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

    def _clear(self, place: Path) -> None:
        """Take out of the way what stands in the place of a copy and is none, whatever it is."""
        gone = self._folder / f".{uuid4().hex}"
        with suppress(FileNotFoundError):
            place.rename(gone)
            _remove(gone)

    def _bounded(self, spared: str) -> tuple[list[RecoveryCopy], list[RecoveryCopy]]:
        """Return the copies, the oldest first, and those that were too many, and are removed."""
        try:
            copies = sorted(self._all(), key=lambda copy: (copy.id == spared, copy.time, copy.id))
        except OSError as error:
            raise RecoveryError(500, f"the recovery copies cannot be read: {error.strerror}") from None
        now, size = time.time(), sum(copy.size for copy in copies)
        removed: list[RecoveryCopy] = []
        for number, copy in enumerate(copies):
            left = len(copies) - number
            fits = left <= self.max_copies and size <= self.max_bytes and now - copy.time <= self.max_age
            if fits or copy.id == spared:
                continue
            try:
                self._discard(copy.id)
            except OSError as error:
                self.log.warning("recovery copy %s cannot be removed: %s", copy.id, error)
                continue
            removed.append(copy)
            size -= copy.size
        kept = [copy for copy in copies if copy not in removed]
        return sorted(kept, key=lambda copy: (copy.time, copy.id)), removed

    def _all(self) -> Iterator[RecoveryCopy]:
        """Yield the copies in the folder, and remove what crashes left in it."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return
        for name in names:
            if copy := self._find(name):
                yield copy
            elif name.startswith("."):
                with suppress(OSError):  # somebody else was quicker, or it is not ours
                    if time.time() - os.lstat(self._folder / name).st_mtime > _UNFINISHED:
                        _remove(self._folder / name)


def _whole(place: Path) -> RecoveryCopy:
    """Return the copy in a folder. Raises OSError or ValueError where there is none, or not the whole of it.

    Anybody may have put there what it is.
    """
    if not stat.S_ISDIR(os.lstat(place).st_mode):
        raise ValueError("it is not a folder")
    copy = _about(_bytes(place / _ABOUT, _MOST_ABOUT))
    if copy.id != place.name:
        raise ValueError(f"it says that it is {copy.id}")
    content = os.lstat(place / (_CONTENT + copy.suffix))
    if not stat.S_ISREG(content.st_mode) or content.st_size != copy.size:
        raise ValueError("its content is not whole")
    return copy


def _about(data: bytes) -> RecoveryCopy:
    """Return what is said of a copy. Raises ValueError where it does not make sense."""
    try:
        said = json.loads(data)
        copy = RecoveryCopy(**said)
        for field in fields(copy):
            value = said[field.name]
            if type(value) not in _TYPES[str(field.type)]:
                raise ValueError(f"its {field.name} is not one")
        datetime.fromtimestamp(copy.time, UTC)
    except (TypeError, RecursionError, OverflowError, OSError) as error:
        raise ValueError(f"what is said of it makes no sense: {error}") from None
    "".join(
        value for value in said.values() if isinstance(value, str)
    ).encode()  # there are texts in JSON that are none
    _ = copy.name
    return copy


def _bytes(path: Path, most: int) -> bytes:
    """Return what is in a file. Raises ValueError where it is larger than that, or none: it is not waited for."""
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path.name} is not a file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(most + 1)
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise ValueError(f"{path.name} is too large")
    return data


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, as far as that is possible."""
    if stat.S_ISDIR(os.lstat(path).st_mode):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


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
