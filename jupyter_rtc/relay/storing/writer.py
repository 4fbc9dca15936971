"""The thread that writes a SQLiteStore's queue to its database, in groups, and reads rooms from it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar

from ...machine import Backoff
from .database import FAILURES, Database, is_locked
from .operations import Claim, Operation, Release, memory, room_of, squash
from .schema import read_room
from .store import DamagedError, StoreError

_FIRST_DELAY = 0.1
"""Seconds before the first new try after a failure; the delay doubles from try to try."""

_LONGEST_DELAY = 5.0

_LAST_TIDYING = 0.3
"""How many seconds giving back free space may take when the store is closed."""

_TRANSACTION = 10_000
"""The most operations of one transaction: after trouble, a long queue makes its way in steps."""

_T = TypeVar("_T")


class Pace(NamedTuple):
    """When things are done, in seconds.

    Attributes:
        interval: for so long changes gather before they are committed together.
        rest: after so long without work the file is looked after.
        patience: so long after a file was found to be locked a `load` waits for the end of that: a backup is soon done.
    """

    interval: float
    rest: float
    patience: float


class Request(NamedTuple):
    """Ask the writer to answer when everything queued so far is written: with what `read` finds of a room, or None."""

    future: asyncio.Future[Any]
    room: str | None = None
    last: bool = False
    read: Callable[[sqlite3.Connection, str], object] = read_room


def _take(queue: list[_T]) -> list[_T]:
    """Empty a list that another thread may add to meanwhile."""
    taken = queue[:]
    del queue[: len(taken)]
    return taken


def _answer(request: Request, outcome: object) -> None:
    """Resolve a request from any thread; nobody may be waiting any more."""

    def resolve() -> None:
        if request.future.done():
            return
        if isinstance(outcome, StoreError):
            request.future.set_exception(outcome)
        else:
            request.future.set_result(outcome)

    with suppress(RuntimeError):  # the loop is closed
        request.future.get_loop().call_soon_threadsafe(resolve)


class Writer(Thread):
    """Own the database, and write to it what the event loop queues.

    `queue` and `queued`, the bytes ever queued, are the loop's to add to; `settled`, those of them that need no
    memory any more, and `failing`, the reason why the last try failed, are the thread's.
    """

    def __init__(self, database: Database, pace: Pace, log: logging.Logger) -> None:
        super().__init__(name="jupyter_rtc store", daemon=True)
        self.queue: list[Operation] = []
        self.queued = 0
        self.settled = 0
        self.failing: str | None = None
        self._sure = False  # whether the file was seen to be writable, and not to fail since
        self._passing = False  # whether what fails is likely to be over soon
        self.work = Event()
        self._urgent = Event()
        self._requests: list[Request] = []
        self._backlog: list[Operation] = []
        self._database = database
        self._pace = pace
        self._backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        self._failing_since = 0.0
        self._noted: set[str] = set()
        self._log = log

    def ask(self, request: Request) -> None:
        """Have a request answered as soon as may be."""
        self._requests.append(request)
        self._urgent.set()
        self.work.set()

    def run(self) -> None:
        """Write until the last request is answered. Nothing ends it before: everybody waits for what it does."""
        self._write()  # nothing yet: whether the file can be written at all is said at once
        going = True
        while going:
            if not self.work.wait(self._pace.rest):
                self._try(self._database.rest)
                if self.failing:
                    self._write()
                continue
            self._urgent.wait(self._backoff.pause or self._pace.interval)
            self.work.clear()
            self._urgent.clear()
            requests = _take(self._requests)  # before the queue: what was queued ahead of them is in it by now
            self._write()
            going = not any(request.last for request in requests)
            for request in requests:
                try:
                    self._serve(request, patient=going)
                except BaseException as error:  # whoever asked must not wait for ever
                    self._note(error)
                    _answer(request, StoreError(f"it cannot be answered: {error}"))
            if self._backlog or self._requests or (going and not self.failing and self._try(self._database.tidy)):
                self.work.set()

    def _try(self, chore: Callable[[], _T]) -> _T | None:
        """Do what need not be done now: where it fails, the next time does it."""
        try:
            return chore()
        except BaseException as error:  # as in `_note`
            self._note(error)
            self._log.debug("the store's housekeeping is put off: %s", error)
            return None

    def _write(self) -> None:
        queued = self.queued
        self._backlog += _take(self.queue)
        try:
            if self.failing:
                self._backlog = squash(self._backlog)
            if not self._backlog and not self._sure:
                self._database.check()
            while self._backlog:
                self._database.write(self._backlog[:_TRANSACTION])
                del self._backlog[:_TRANSACTION]
        except BaseException as error:  # as in `_note`: what cannot be written waits
            self._note(error)
            self._fail(error)
        else:
            self._recover()
        self.settled = queued - sum(map(memory, self._backlog))

    def _fail(self, error: BaseException) -> None:
        reason = str(error) or type(error).__name__
        if self.failing is None:
            self._failing_since = time.monotonic()
            self._log.warning(
                "Cannot write to the store %s (%s); changes wait in memory until it can be. "
                "SQLiteStore.path says where it is.",
                self._database.path,
                reason,
            )
        self.failing, self._sure = reason, False
        self._passing = is_locked(error)
        self._backoff.next()

    def _recover(self) -> None:
        if self.failing is not None:
            self._log.info("The store can be written again, and holds everything that waited")
        self.failing, self._sure = None, True
        self._backoff.reset()

    def _serve(self, request: Request, patient: bool) -> None:
        if request.last:
            until = time.monotonic() + _LAST_TIDYING
            while not self.failing and time.monotonic() < until and self._try(self._database.tidy):
                pass
            self._try(self._database.end)
            if lost := sum(not isinstance(operation, (Claim, Release)) for operation in self._backlog):
                self._log.error("Closing the store with %d changes that it does not hold", lost)
        if request.room is None:
            _answer(request, StoreError(f"cannot write: {self.failing}") if self.failing else None)
            return
        outcome = self._read(request, request.room, patient)
        if isinstance(outcome, StoreError) and patient and self._trouble_is_new():
            self._requests.append(request)
        else:
            _answer(request, outcome)

    def _trouble_is_new(self) -> bool:
        new = time.monotonic() - self._failing_since < self._pace.patience
        return self.failing is not None and self._passing and new

    def _read(self, request: Request, room: str, patient: bool) -> object:
        waiting = any(room_of(operation) == room and not isinstance(operation, Claim) for operation in self._backlog)
        if waiting or (self.failing and not patient):
            return StoreError(f"{room} is not written yet: {self.failing}", frozenset([room]))
        try:
            return self._database.read(request.read, room)
        except DamagedError as error:
            return error
        except BaseException as error:  # as in `_note`: it is for whoever asked
            self._note(error)
            return StoreError(f"{room} cannot be read: {error}", frozenset([room]))

    def _note(self, error: BaseException) -> None:
        """Log an error that nobody foresaw, once. It ends neither the thread nor the wait of those who ask it."""
        if not isinstance(error, FAILURES) and str(error) not in self._noted:
            self._noted.add(str(error))
            self._log.error("an unforeseen error in the store: %s", error, exc_info=error)
