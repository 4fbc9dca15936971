"""Notices changes of files on the local disk, through the operating system's notifications."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from logging import Logger, LoggerAdapter
from typing import Any

from watchfiles import awatch

from ..relay import Tasks

_PAUSE = 10.0


class Watcher:
    """Calls back with the name of each watched file that was changed, made or removed.

    A file that is opened by a symbolic link is watched, and so is the link. Folders are watched, not files: editors
    and git replace a file by another, which ends a watch on the file itself. A notification may come twice, or for
    nothing.
    """

    def __init__(self, notify: Callable[[str], None], log: Logger | LoggerAdapter[Any]) -> None:
        """Call `notify` with the name of a file that changed; nothing is watched yet."""
        self._notify = notify
        self._log = log
        self._places: dict[str, frozenset[str]] = {}
        self._changed = asyncio.Event()
        self._tasks = Tasks(log, "watcher")
        self._running = False

    def watch(self, name: str, path: str) -> None:
        """Watch the file at an absolute path under a name of the caller's, in place of any other of this name."""
        folder, last = os.path.split(path)
        self._places[name] = frozenset({os.path.realpath(path), os.path.join(os.path.realpath(folder), last)})
        self._again()

    def unwatch(self, name: str) -> None:
        """Watch the file of this name no longer, if it is watched."""
        if self._places.pop(name, None):
            self._again()

    async def stop(self) -> None:
        """Watch nothing any longer."""
        await self._tasks.stop()

    def _again(self) -> None:
        self._changed.set()
        if not self._running:
            self._running = True
            self._tasks.spawn(self._run())

    def _folders(self) -> list[str]:
        places = frozenset().union(*self._places.values())
        return sorted({folder for place in places if os.path.isdir(folder := os.path.dirname(place))})

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            folders = self._folders()
            if not folders:
                await self._changed.wait()
                continue
            # A file that changed between two watches is found by the look that follows the start.
            for name in list(self._places):
                self._notify(name)
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
            changed = {path for _, path in changes}
            for name, places in list(self._places.items()):
                if places & changed:
                    self._notify(name)
