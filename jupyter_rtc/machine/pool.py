"""Threads for work that anybody can ask for: few, and their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, TypeVarTuple, cast

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


class Pool:
    """Does work in threads, a few at a time, beside the threads in which documents are loaded and saved.

    However much is asked for, and however long it takes, loading and saving go on; and the process ends without it: no
    thread of these is waited for.
    """

    def __init__(self, threads: int = 2) -> None:
        """Do as many things at a time as there are `threads`."""
        self._free = asyncio.Semaphore(threads)

    async def run(self, work: Callable[[*_Arguments], _Result], *arguments: *_Arguments) -> _Result:
        """Return what `work` returns. Where nobody waits any more it is not begun, or its result is thrown away."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_Result] = loop.create_future()

        def end(result: _Result | None, error: BaseException | None) -> None:
            """Hand on what came of it, on the event loop."""
            self._free.release()
            if done.done():
                return
            if error is None:
                done.set_result(cast(_Result, result))
            else:
                done.set_exception(error)

        def do() -> None:
            """Do the work, in its thread."""
            result, failure = None, None
            try:
                result = work(*arguments)
            except BaseException as error:  # whatever it is, it is for who asked
                failure = error
            with suppress(RuntimeError):  # the event loop is closed
                loop.call_soon_threadsafe(end, result, failure)

        threading.Thread(target=do, name="jupyter_rtc pool", daemon=True).start()
        return await done
