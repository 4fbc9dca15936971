"""Notices that something in a folder of the local disk changed, through the operating system's notifications."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from logging import Logger, LoggerAdapter
from typing import Any

from watchfiles import awatch

from .service import Changed

_PAUSE = 10.0


class FolderWatch:
    """Says "look again" when something in the watched folders was made, changed, moved or removed."""

    def __init__(self, changed: Changed, log: Logger | LoggerAdapter[Any]) -> None:
        """Call `changed`; no folder is watched yet."""
        self._changed = changed
        self._log = log
        self._folders: frozenset[str] = frozenset()
        self._others = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def watch(self, folders: Iterable[str]) -> None:
        """Watch these folders, by absolute path, and no others."""
        wanted = frozenset(folders)
        if wanted == self._folders:
            return
        self._folders = wanted
        self._others.set()
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """Watch nothing any longer."""
        self._folders = frozenset()
        if self._task:
            self._task.cancel()
            self._task = None

    def _there(self) -> list[str]:
        return [folder for folder in self._folders if os.path.isdir(folder)]

    async def _run(self) -> None:
        while True:
            self._others.clear()
            there = self._there()
            if not there:
                await self._others.wait()
                continue
            try:
                async for _ in awatch(
                    *there, stop_event=self._others, recursive=False, debounce=80, step=20, rust_timeout=1000,
                    yield_on_timeout=False,
                ):  # fmt: skip
                    self._changed()
            except OSError as error:  # a folder is gone; or there are more than the system lets anybody watch
                self._log.warning("cannot watch %s, they are polled: %s", ", ".join(there), error)
                await asyncio.sleep(_PAUSE)
