"""What the operating system tells of changes in folders of the local disk, as long as it can; else they are polled."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Collection, Iterable
from logging import Logger, LoggerAdapter
from time import monotonic
from typing import Any, TypeAlias

from watchfiles import awatch, watch

from .tasks import Tasks, logged

Told: TypeAlias = Callable[[Collection[str] | None], object]
"""Called with the absolute paths of what changed; with None where anything in the folders may have changed."""

_MOST_WARNED = 100


class Notifications:
    """Tells of what is made, changed, moved or removed in the watched folders, but not in folders in them.

    A folder that cannot be watched (the system has no more watches to give, its name is no text, it is on a disk that
    tells nothing) is polled, and tried again later; the others are watched meanwhile. Nothing ends this but `stop`.
    A notification may come twice, or for nothing.
    """

    def __init__(
        self, told: Told, log: Logger | LoggerAdapter[Any], debounce: int, *, poll: float = 5.0, retry: float = 60.0
    ) -> None:
        """Call `told`; what comes within `debounce` milliseconds is told together. No folder is watched yet.

        A folder that cannot be watched is polled every `poll` seconds, and tried again after `retry` seconds.
        """
        self._told = told
        self._log = log
        self._debounce = debounce
        self._poll = poll
        self._retry = retry
        self._folders: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._tasks = Tasks(log, "notifications")
        self._running = False
        self._warned: set[str] = set()

    def watch(self, folders: Iterable[str]) -> None:
        """Watch these folders, by absolute path, and no others; those that are not there are passed over."""
        if (wanted := frozenset(folders)) == self._folders and self._running:
            return
        self._folders = wanted
        self._changed.set()
        if not self._running:
            self._running = True
            self._tasks.spawn(self._run())

    def cancel(self) -> None:
        """Watch nothing any longer."""
        self._folders, self._running = frozenset(), False
        self._tasks.cancel()

    async def stop(self) -> None:
        """Watch nothing any longer; return when that is so."""
        self.cancel()
        await self._tasks.stop()

    async def _run(self) -> None:
        refused: frozenset[str] = frozenset()
        retry = 0.0
        while True:
            self._changed.clear()
            there = frozenset(filter(os.path.isdir, self._folders))
            with logged(self._log, "notifications"):
                self._told(None)  # of what changed between two watches, or in a folder that is polled
            if monotonic() >= retry:
                refused = frozenset()
            try:
                await self._watch(there - refused, self._poll if refused & there else None)
            except Exception as error:  # whatever the operating system, or what speaks with it, makes of it
                self._warn(error)
                found = await asyncio.to_thread(_refused_of, there)
                if found <= refused:  # a moment's trouble, such as a changed file whose name is no text
                    await self._pause(self._poll)
                refused, retry = found, monotonic() + self._retry

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

    async def _watch(self, folders: Collection[str], limit: float | None) -> None:
        """Watch folders until others are to be watched, or for `limit` seconds."""
        if not folders:
            await self._pause(limit)
            return
        timer = limit and asyncio.get_running_loop().call_later(limit, self._changed.set)
        try:
            async for changes in awatch(
                *sorted(folders), stop_event=self._changed, recursive=False, debounce=self._debounce,
                step=max(self._debounce // 4, 1), rust_timeout=1000, yield_on_timeout=False,
            ):  # fmt: skip
                with logged(self._log, "notifications"):
                    self._told({path for _, path in changes})
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
