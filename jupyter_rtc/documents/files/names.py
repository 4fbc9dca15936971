"""The names of documents' rooms, and where the ids of files in them come from."""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from logging import Logger, LoggerAdapter
from os.path import normcase
from posixpath import dirname, normpath
from sqlite3 import (
    SQLITE_BUSY,
    SQLITE_LOCKED,
    Connection,
    DatabaseError,
    IntegrityError,
    OperationalError,
)
from typing import Any, NamedTuple, Protocol

from .managed import FileError

_NAME = re.compile(r"([^:/]+):([^:/]+):([\w-]+)")
_OWN = "path-"
_MOST_KNOWN = 10_000


class DocumentName(NamedTuple):
    """The name of a document's room, taken apart: ``<format>:<type>:<file id>``."""

    form: str
    kind: str
    file_id: str

    @classmethod
    def parse(cls, name: str) -> DocumentName | None:
        """Take a room's name apart; return None where it is no document's."""
        match = _NAME.fullmatch(name)
        return cls(*match.groups()) if match else None

    def __str__(self) -> str:
        return ":".join(self)


class FileIds(Protocol):
    """What is used of jupyter_server_fileid's manager."""

    def index(self, path: str) -> str | None:
        """Return the id of the file at `path`, giving it one where it has none."""
        ...

    def get_id(self, path: str) -> str | None:
        """Return the id of the file at `path`, or None."""
        ...

    def get_path(self, id: str) -> str | None:
        """Return the path of a file, or None."""
        ...

    def move(self, old_path: str, new_path: str) -> str | None:
        """Take note that a file, or a folder with all that is in it, was moved; return its id."""
        ...


class BusyIdsError(Exception):
    """Another program has the database of file ids locked."""


class HeldIds:
    """The ids of files: those of jupyter_server_fileid's manager, as long as it gives their paths back as they were.

    It may take one path for another: the default one takes a backslash, which may stand in a name, for a slash. Such a
    path is its own id, encoded, in every process and at any time; it does not follow a file that is moved while nobody
    has it open. So is every path where there is no manager, or its database cannot be used.

    All servers of a user have one database, and its manager waits seconds for it, on the event loop, while another
    program has it locked. Here nobody waits: BusyIdsError is raised at once, for whoever can wait asynchronously; and
    what is asked for a path that was known before is answered from memory.
    """

    def __init__(self, manager: FileIds | None, log: Logger | LoggerAdapter[Any]) -> None:
        """Take the ids from `manager`, if there is one, wherever it holds the path; say in `log` what is wrong."""
        self._manager = manager
        self._log = log
        self._paths: dict[str, str] = {}
        self._broken = False

    def index(self, path: str) -> str | None:
        """Return the id of the file at `path`, giving it one where it has none. Raises BusyIdsError."""
        if self._manager is None:
            return _own(path)
        try:
            given = self._ask(self._manager.index, path)
        except IntegrityError:  # another server with the same database gave it one in the same moment
            given = self._ask(self._manager.index, path)
        except DatabaseError as error:
            self._say(error)
            return _own(path)
        return self._held(given, path)

    def get_id(self, path: str) -> str | None:
        """Return the id of the file at `path`, or None. Raises BusyIdsError."""
        if self._manager is None:
            return None
        try:
            return self._held(self._ask(self._manager.get_id, path), path)
        except DatabaseError as error:
            self._say(error)
            return None

    def get_path(self, id: str) -> str | None:
        """Return the path of a file, or None. Raises BusyIdsError where it was not known before."""
        if id.startswith(_OWN):
            try:
                return urlsafe_b64decode(id[len(_OWN) :] + "==").decode()
            except ValueError:
                return None
        if self._manager is None:
            return None
        try:
            path = self._ask(self._manager.get_path, id)
        except BusyIdsError:
            if id not in self._paths:
                raise
            return self._paths[id]
        except DatabaseError as error:
            self._say(error)
            return None
        if path is not None:
            self._paths[id] = path
            if len(self._paths) > _MOST_KNOWN:
                del self._paths[next(iter(self._paths))]
        return path

    def move(self, old_path: str, new_path: str) -> str | None:
        """Take note that a file, or a folder with all that is in it, was moved; return its id. Raises BusyIdsError."""
        if self._manager is None:
            return None
        try:
            return self._ask(self._manager.move, old_path, new_path)
        except DatabaseError as error:
            self._say(error)
            return None

    def _ask(self, method: Callable[..., str | None], *arguments: str) -> str | None:
        """Ask the manager, without waiting for its database, if that is one of SQLite."""
        connection = getattr(self._manager, "con", None)
        if not isinstance(connection, Connection):
            return method(*arguments)
        (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            return method(*arguments)
        except OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (SQLITE_BUSY, SQLITE_LOCKED):
                raise BusyIdsError from None
            raise
        finally:
            connection.execute(f"PRAGMA busy_timeout = {patience}")

    def _say(self, error: DatabaseError) -> None:
        if not self._broken:
            self._broken = True
            self._log.error(
                "the database of file ids cannot be used, so that a file which is moved while nobody has it open"
                " begins a new history: %s", error,
            )  # fmt: skip

    def _held(self, id: str | None, path: str) -> str | None:
        given = None if id is None else self.get_path(id)
        # On Windows the manager gives every path back in small letters, and the two are the same file.
        if given is None or normcase(given) == normcase(path):
            return id
        return _own(path)


def _own(path: str) -> str:
    """Return the id of a path that is its own."""
    return _OWN + urlsafe_b64encode(path.encode()).decode().rstrip("=")


def api_path(path: str) -> str:
    """Return the one form in which a path of the contents API is known here: relative, with nothing to be left out.

    Raises FileError where it leads out of the folder that the server serves, if only to lead into it again.
    """
    path = normpath(path.strip("/"))
    if path.split("/")[0] == "..":
        raise FileError(404, f"{path} leads out of the folder that is served")
    return path


def is_within(path: str, folder: str) -> bool:
    """Say whether a path is that of a folder, or of something in it."""
    return path == folder or path.startswith(f"{folder}/")


def path_after(path: str, old: str, new: str, real: Callable[[str], str | None]) -> str | None:
    """Return where the file at `path` is, once the file or folder at `old` was moved to `new`; None where it stayed.

    `real` returns the path on the local disk, with links followed, of an API path; None where there is none. The file
    may have been moved under another name that it has by way of a link: it keeps the folder that it was opened in, if
    it is still below that.
    """
    if is_within(path, old):
        return new + path[len(old) :]
    here, moved, place = real(path), real(old), real(new)
    if not (here and moved and place) or (here != moved and not here.startswith(moved + os.sep)):
        return None
    here = place + here[len(moved) :]
    folder = dirname(path)
    while folder and not here.startswith(f"{real(folder)}{os.sep}"):
        folder = dirname(folder)
    within = os.path.relpath(here, real(folder)).replace(os.sep, "/")
    return f"{folder}/{within}" if folder else within
