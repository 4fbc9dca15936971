"""What folders and files there are, without their content: through the contents manager, or straight from the disk."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import Callable, Mapping, Sequence
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Any, NamedTuple, Protocol, TypeAlias

from jupyter_core.paths import is_file_hidden
from jupyter_server.services.contents.filemanager import FileContentsManager

from ..machine import OneThread, Pool
from .service import Changed, MissingError
from .wraps import Hooks

Model: TypeAlias = Mapping[str, Any]
"""A file or folder as ``GET api/contents`` describes it, without its content."""

_MOST_SEEN = 100
_OURS = "jupyter_server.services.contents."
_METHODS = ("get", "_base_model", "_dir_model", "_file_model", "_notebook_model", "_get_os_path", "is_writable")


class Listing(NamedTuple):
    """A file or a folder, and what is in it; `entries` is None for a file."""

    model: Model
    entries: Sequence[Model] | None


class Listings(Protocol):
    """Lists folders by their API path; `hash_algorithm` is what the manager's hashes are made with."""

    hash_algorithm: str

    async def list(self, path: str) -> Listing:
        """Return what there is at a path. Raises MissingError where there is nothing, or nothing to be shown."""
        ...

    async def list_all(self, paths: Sequence[str]) -> Sequence[Listing | None]:
        """Return what there is at each path, None where `list` would raise MissingError."""
        ...

    def local_path(self, path: str) -> str | None:
        """Return where it is on the local disk; None if it is not there."""
        ...

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call `changed` when something was saved of which nobody else tells; returns what ends it."""
        ...


def listings_of(manager: Any, thread: OneThread) -> Listings:
    """Return what lists the folders of a contents manager, in `thread` where that may take long."""
    return LocalListings(manager) if LocalListings.serves(manager) else ManagedListings(manager, thread)


class ManagedListings:
    """Lists what any contents manager has."""

    def __init__(self, manager: Any, thread: OneThread) -> None:
        """List what `manager` has, which is asked in `thread`, unless it is asynchronous."""
        self._manager = manager
        self._thread = thread
        self.hash_algorithm: str = getattr(manager, "hash_algorithm", "sha256")

    async def list(self, path: str) -> Listing:
        """Return what there is at a path. Raises MissingError where there is nothing, or nothing to be shown."""
        try:
            model = await self._thread.ask_last(self._manager.get, path, content=False)
            if model["type"] != "directory":
                return Listing(model, None)
            return Listing(model, (await self._thread.ask_last(self._manager.get, path, type="directory"))["content"])
        except Exception as error:  # Tornado's HTTPError has no place here
            if 400 <= getattr(error, "status_code", 500) < 500:
                raise MissingError(f"{path or '/'}: {getattr(error, 'log_message', None) or error}") from None
            raise

    async def list_all(self, paths: Sequence[str]) -> Sequence[Listing | None]:
        """Return what there is at each path, None where `list` would raise MissingError."""
        found: list[Listing | None] = []
        for path in paths:
            try:
                found.append(await self.list(path))
            except MissingError:
                found.append(None)
        return found

    def local_path(self, path: str) -> str | None:
        """Know of no disk."""
        return None

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call `changed` when something was saved: of that a manager need not emit an event, as it does of the rest."""
        loop = asyncio.get_running_loop()  # it may be saved in the manager's thread
        hooks = Hooks(lambda: self._manager, {"save": lambda _: loop.call_soon_threadsafe(changed)})
        hooks.follow()
        return hooks.undo


class LocalListings:
    """Lists what Jupyter Server's own managers of the local disk have, as they do it, but in a thread.

    Their ``get`` takes one after the other on the event loop, and emits an event for each. What did not change since
    the folder was listed last is described by the same object.
    """

    def __init__(self, manager: Any) -> None:
        """List what `manager` has."""
        self._manager = manager
        self.hash_algorithm: str = manager.hash_algorithm
        self._pool = Pool()  # a network disk that hangs must not keep documents from being saved
        self._seen: dict[str, dict[str, tuple[tuple[int, ...], Model]]] = {}
        self._files: dict[str, tuple[tuple[int, ...], Listing]] = {}  # of the paths that were listed together last

    @staticmethod
    def serves(manager: Any) -> bool:
        """Say whether `manager` lists as Jupyter Server's own do: no subclass does it in another way."""
        return isinstance(manager, FileContentsManager) and all(
            str(getattr(type(manager), name).__module__).startswith(_OURS) for name in _METHODS
        )

    async def list(self, path: str) -> Listing:
        """Return what there is at a path. Raises MissingError where there is nothing, or nothing to be shown."""
        return await self._pool.run(self._list, path)

    async def list_all(self, paths: Sequence[str]) -> Sequence[Listing | None]:
        """Return what there is at each path, None where `list` would raise MissingError; all in one thread."""
        return await self._pool.run(self._list_all, paths)

    def local_path(self, path: str) -> str | None:
        """Return where it is on the local disk."""
        local_path: str = self._manager._get_os_path(path)
        return local_path

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Have nothing to watch: the disk tells, and these managers emit an event."""
        return lambda: None

    def _list(self, path: str) -> Listing:
        try:
            folder = self.local_path(path) or ""
            if not os.path.isdir(folder):
                return Listing(self._model(path, folder), None)
            model = FileContentsManager._dir_model(self._manager, path, content=False)
        except Exception as error:  # Tornado's HTTPError has no place here
            if _is_missing(error):
                raise MissingError(f"{path or '/'}: {getattr(error, 'log_message', None) or error}") from None
            raise
        before, seen = self._seen.pop(path, {}), {}
        with os.scandir(folder) as entries:
            for entry in entries:
                if one := self._entry(f"{path}/{entry.name}".lstrip("/"), entry, before.get(entry.name)):
                    seen[entry.name] = one
        self._seen[path] = seen
        while len(self._seen) > _MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        return Listing(model, [model for _, model in seen.values()])

    def _list_all(self, paths: Sequence[str]) -> Sequence[Listing | None]:
        found: list[Listing | None] = []
        files: dict[str, tuple[tuple[int, ...], Listing]] = {}
        for path in paths:
            try:
                stamp, before = self._stamp_of(path), self._files.get(path)
                listing = before[1] if before and before[0] == stamp else self._list(path)
            except MissingError:
                found.append(None)
                continue
            if stamp:
                files[path] = stamp, listing
            found.append(listing)
        self._files = files
        return found

    def _stamp_of(self, path: str) -> tuple[int, ...] | None:
        """Return what changes when a file does; None of what is no file, or cannot be looked at."""
        try:
            local_path = self.local_path(path) or ""
            stat = os.lstat(local_path)
        except Exception as error:  # Tornado's HTTPError has no place here
            if _is_missing(error):
                return None
            raise
        return (*_stamp(stat), os.access(local_path, os.W_OK)) if S_ISREG(stat.st_mode) else None

    def _entry(
        self, path: str, entry: os.DirEntry[str], before: tuple[tuple[int, ...], Model] | None
    ) -> tuple[tuple[int, ...], Model] | None:
        """Return what changes when an entry of a folder does, and its model; None if it is not shown, or is gone."""
        try:
            stat = entry.stat(follow_symlinks=False)
            if not (S_ISLNK(stat.st_mode) or S_ISREG(stat.st_mode) or S_ISDIR(stat.st_mode)):
                return None
            if not self._manager.should_list(entry.name):
                return None
            if not self._manager.allow_hidden and is_file_hidden(entry.path, stat_res=stat):
                return None
            stamp = _stamp(stat)
            return before if before and before[0] == stamp else (stamp, self._model(path, entry.path))
        except OSError:
            return None

    def _model(self, path: str, local_path: str) -> Model:
        model: dict[str, Any] = self._manager._base_model(path)
        if os.path.isdir(local_path):
            return model | {"type": "directory", "size": None}
        if path.endswith(".ipynb"):
            return model | {"type": "notebook"}
        return model | {"type": "file", "mimetype": mimetypes.guess_type(local_path)[0]}


def _stamp(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_ino, stat.st_mode, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size


def _is_missing(error: Exception) -> bool:
    """Say whether an error of a file manager means that there is nothing, or nothing to be shown."""
    return isinstance(error, OSError) or 400 <= getattr(error, "status_code", 500) < 500
