"""Work that goes on beside everything else, and that nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from logging import Logger, LoggerAdapter
from typing import Any, TypeVar

_Result = TypeVar("_Result")


@contextmanager
def logged(log: Logger | LoggerAdapter[Any], about: str) -> Iterator[None]:
    """Log an error and go on: for one of many, none of which is to suffer from what is wrong with another."""
    try:
        yield
    except Exception as error:  # whatever it is, it is in the log
        log.error("%s: %s", about, error, exc_info=error)


class Tasks:
    """The tasks of one owner.

    The event loop itself keeps only weak references to tasks, and an error is seen only by who awaits the task: here
    each is held until it is through, and what goes wrong is logged.
    """

    def __init__(self, log: Logger | LoggerAdapter[Any], owner: str, told: tuple[type[Exception], ...] = ()) -> None:
        """Begin with none. The log names their `owner`; errors of the kinds that are `told` elsewhere are left out."""
        self._log = log
        self._owner = owner
        self._told = told
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Begin with some work; it may be awaited, too."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def cancel(self) -> None:
        """Cancel what is under way, and do not wait until it has ended."""
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """Cancel what is under way; return when it has ended."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, self._told):
            self._log.error("%s: %s", self._owner, error, exc_info=error)
