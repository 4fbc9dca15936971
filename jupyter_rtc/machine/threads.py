"""Threads beside the event loop: how soon they make way for it, and one of its own for what may be slow."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from itertools import count
from queue import Empty, PriorityQueue
from threading import Lock, Thread
from typing import Any

_IDLE = 60.0  # s without work after which the thread ends
_TURN = 0.001  # s; less than a millisecond is none on Windows


def take_turns() -> None:
    """Have a thread that computes make way after a millisecond for one that waits; Python's own figure is five.

    The event loop gives up Python's lock at each read and write of a socket, and at each look for what is to be done.
    While a large notebook is converted in a thread, it waits that long to have the lock back, several times for one
    edit. A shorter time that somebody chose stays.
    """
    sys.setswitchinterval(min(_TURN, sys.getswitchinterval()))


class OneThread:
    """Calls functions in one thread, one after the other, in the order in which they came; what can wait comes last.

    Nobody waits for the thread at the end of the process: what never returns keeps no server from stopping.
    """

    def __init__(self, name: str) -> None:
        """Begin no thread yet; it will be called `name`."""
        self._name = name
        self._work: PriorityQueue[tuple[bool, int, Future[Any], Callable[[], Any]]] = PriorityQueue()
        self._number = count()
        self._lock = Lock()
        self._thread: Thread | None = None

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what `function` returns. One that has not begun when this is cancelled is not called."""
        return await self._run(False, partial(function, *args, **kwargs))

    async def ask(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what `method` gives: on the event loop where it is a coroutine function, else in the thread."""
        return await self._ask(False, method, partial(method, *args, **kwargs))

    async def ask_last(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do what `ask` does, once nothing else is to be done: for what nobody waits for."""
        return await self._ask(True, method, partial(method, *args, **kwargs))

    async def _ask(self, last: bool, method: Callable[..., Any], call: Callable[[], Any]) -> Any:
        if inspect.iscoroutinefunction(inspect.unwrap(method)):
            return await call()
        answer = await self._run(last, call)
        return await answer if inspect.isawaitable(answer) else answer

    async def _run(self, last: bool, call: Callable[[], Any]) -> Any:
        future: Future[Any] = Future()
        with self._lock:
            self._work.put((last, next(self._number), future, call))
            if self._thread is None:
                self._thread = Thread(target=self._serve, name=self._name, daemon=True)
                self._thread.start()
        return await asyncio.wrap_future(future)

    def _serve(self) -> None:
        while True:
            try:
                _, _, future, call = self._work.get(timeout=_IDLE)
            except Empty:
                with self._lock:
                    if self._work.empty():
                        self._thread = None
                        return
                continue
            _carry_out(future, call)
            del future, call  # nor what they hold, until there is more to do


def _carry_out(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except StopIteration as error:  # which no future of asyncio takes
        future.set_exception(RuntimeError(f"StopIteration: {error}"))
    except BaseException as error:  # whatever it is: it belongs to whoever called
        future.set_exception(error)
