"""Notices changes of files on the local disk, through the operating system's notifications."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from logging import Logger, LoggerAdapter
from typing import Any

from watchfiles import awatch

_PAUSE = 10.0


class Watcher:
    """Calls back with the path of each watched file that was changed, made or removed.

    Folders are watched, not files: editors and git replace a file by another, which ends a watch on the file
    itself. A notification may come twice, or for nothing.
    """

    def __init__(self, notify: Callable[[str], None], log: Logger | LoggerAdapter[Any]) -> None:
        """Call `notify` with the absolute path of a file that changed; nothing is watched yet."""
        self._notify = notify
        self._log = log
        self._paths: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def watch(self, path: str) -> None:
        """Watch a file, by a path whose folder is no symbolic link; watching twice takes unwatching twice."""
        self._paths[path] += 1
        self._again()

    def unwatch(self, path: str) -> None:
        """Watch a file no longer."""
        self._paths[path] -= 1
        if self._paths[path] <= 0:
            del self._paths[path]
        self._again()

    async def stop(self) -> None:
        """Watch nothing any longer."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _again(self) -> None:
        self._changed.set()
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    def _folders(self) -> list[str]:
        return sorted({folder for path in self._paths if os.path.isdir(folder := os.path.dirname(path))})

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            folders = self._folders()
            if not folders:
                await self._changed.wait()
                continue
            # A file that changed between two watches is found by the look that follows the start.
            for path in list(self._paths):
                self._notify(path)
            try:
                await self._watch(folders)
            except OSError as error:  # a folder is gone; or there are more than the system lets anybody watch
                self._log.warning("cannot watch %s: %s", ", ".join(folders), error)
                await asyncio.sleep(_PAUSE)

    async def _watch(self, folders: list[str]) -> None:
        """Watch folders until others are to be watched."""
        async for changes in awatch(
            *folders, stop_event=self._changed, recursive=False, debounce=200, step=50, rust_timeout=1000
        ):
            for path in {path for _, path in changes} & self._paths.keys():
                self._notify(path)
