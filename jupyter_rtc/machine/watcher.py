"""Notices changes on the local disk, through the operating system's notifications as long as it has them to give."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Collection, Iterable
from logging import Logger, LoggerAdapter
from time import monotonic
from typing import Any, NamedTuple

from watchfiles import awatch, watch

from .tasks import Tasks, logged

_MOST_WARNED = 100


class Look(NamedTuple):
    """How a watcher looks, in seconds.

    Attributes:
        gather: what comes within this time is told together.
        poll: between two looks at a folder that the system does not watch.
        retry: after which such a folder is tried again.
    """

    gather: float = 0.2
    poll: float = 5.0
    retry: float = 60.0


class _Watched(NamedTuple):
    """What is watched under a name: files, by all the paths that lead to them, or everything in a folder."""

    folders: frozenset[str]
    files: frozenset[str] | None


class Watcher:
    """Calls back with the name of a watched file that was changed, made, moved or removed, and of a watched folder when
    that happened to the folder or to anything in it; what is in folders in it is not watched.

    Folders are watched, not files: editors and git replace a file by another, which ends a watch on the file itself.
    A file that is opened by a symbolic link is watched, and so is the link. A folder that cannot be watched (the system
    has no watch to give, its name is no text, it is on a disk that tells nothing) is polled, and tried again
    later; the others are watched meanwhile. Nothing ends this but `stop`. It may be called twice, or for nothing.
    """

    def __init__(
        self, notify: Callable[[str], object], log: Logger | LoggerAdapter[Any], look: Look | None = None
    ) -> None:
        """Call `notify` with the name of what changed; nothing is watched yet."""
        self._notify = notify
        self._log = log
        self._look = look or Look()
        self._watched: dict[str, _Watched] = {}
        self._folders: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._tasks = Tasks(log, "watcher")
        self._running = False
        self._warned: set[str] = set()

    def watch(self, name: str, path: str) -> None:
        """Watch the file at an absolute path under a name of the caller's, in place of any other of this name."""
        folder, last = os.path.split(path)
        files = frozenset({os.path.realpath(path), os.path.join(os.path.realpath(folder), last)})
        self._watched[name] = _Watched(frozenset(map(os.path.dirname, files)), files)
        self._again()

    def watch_folders(self, folders: Iterable[str]) -> None:
        """Watch what is in these folders, each under its absolute path, and in no others that were given here."""
        files = {name: watched for name, watched in self._watched.items() if watched.files is not None}
        found = {folder: _Watched(frozenset({os.path.realpath(folder)}), None) for folder in folders}
        self._watched = files | found
        self._again()

    def unwatch(self, name: str) -> None:
        """Watch no longer what has this name, if it is watched."""
        if self._watched.pop(name, None):
            self._again()

    def cancel(self) -> None:
        """Watch nothing any longer."""
        self._watched, self._folders, self._running = {}, frozenset(), False
        self._tasks.cancel()

    async def stop(self) -> None:
        """Watch nothing any longer; return when that is so."""
        self.cancel()
        await self._tasks.stop()

    def _again(self) -> None:
        """Watch the folders of all that is watched now; those that are not there are passed over."""
        wanted = frozenset[str]().union(*(watched.folders for watched in self._watched.values()))
        if wanted == self._folders and self._running:
            return
        self._folders = wanted
        self._changed.set()
        if not self._running:
            self._running = True
            self._tasks.spawn(self._run())

    def _tell(self, changed: Collection[str] | None) -> None:
        """Tell of what changed, by absolute path; None where anything may have changed."""
        folders = {os.path.dirname(path) for path in changed or ()} | {*(changed or ())}  # one that is removed, too
        for name, watched in list(self._watched.items()):
            inside = watched.folders if watched.files is None else watched.files
            if changed is None or not inside.isdisjoint(folders if watched.files is None else changed):
                with logged(self._log, "watcher"):
                    self._notify(name)

    async def _run(self) -> None:
        refused: frozenset[str] = frozenset()
        retry = 0.0
        while True:
            self._changed.clear()
            there = frozenset(filter(os.path.isdir, self._folders))
            self._tell(None)  # of what changed between two watches, or in a folder that is polled
            if monotonic() >= retry:
                refused = frozenset()
            try:
                await self._listen(there - refused, self._look.poll if refused & there else None)
            except Exception as error:  # whatever the operating system, or what speaks with it, makes of it
                self._warn(error)
                found = await asyncio.to_thread(_refused_of, there)
                if found <= refused:  # a moment's trouble, such as a changed file whose name is no text
                    await self._pause(self._look.poll)
                refused, retry = found, monotonic() + self._look.retry

    def _warn(self, error: Exception) -> None:
        """Log an error, the same one once."""
        text = repr(error)
        if text not in self._warned:
            if len(self._warned) >= _MOST_WARNED:
                self._warned.clear()
            self._warned.add(text)
            self._log.warning(
                "changes of some files are not told by the system, they are looked for: %s", text, exc_info=error
            )

    async def _listen(self, folders: Collection[str], limit: float | None) -> None:
        """Watch folders until others are to be watched, or for `limit` seconds."""
        if not folders:
            await self._pause(limit)
            return
        gather = int(1000 * self._look.gather)
        timer = limit and asyncio.get_running_loop().call_later(limit, self._changed.set)
        try:
            async for changes in awatch(
                *sorted(folders), stop_event=self._changed, recursive=False, debounce=gather,
                step=max(gather // 4, 1), rust_timeout=1000, yield_on_timeout=False,
            ):  # fmt: skip
                self._tell({path for _, path in changes})
        finally:
            if timer:
                timer.cancel()

    async def _pause(self, limit: float | None) -> None:
        try:
            async with asyncio.timeout(limit):
                await self._changed.wait()
        except TimeoutError:
            pass


def _refused_of(folders: Iterable[str]) -> frozenset[str]:
    """Return those folders that cannot be watched by themselves. For a thread."""
    at_once, refused = threading.Event(), set()
    at_once.set()
    for folder in folders:
        try:
            for _ in watch(folder, stop_event=at_once, recursive=False):
                break
        except (OSError, RuntimeError, ValueError):  # of the system; of watchfiles; its name is no text
            refused.add(folder)
    return frozenset(refused)
