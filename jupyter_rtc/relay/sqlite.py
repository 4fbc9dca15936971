"""SQLiteStore: rooms in one SQLite file, written by one thread in groups.

The event loop only adds to a list. The writer thread wakes when something is added to an empty one, gathers
for `commit_interval` seconds unless somebody waits in `flush` or `load`, and commits everything as one
transaction. What cannot be written stays queued, in order, and is tried again until it can.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar

from jupyter_core.paths import jupyter_data_dir
from traitlets import Enum, Float, Integer, Unicode
from traitlets.config import LoggingConfigurable

from .database import FAILURES, Database
from .operations import Append, Claim, Compact, Create, Forget, Operation, SetMarks, memory, squash
from .store import Mark, StoredRoom, StoreError

__all__ = ["SQLiteStore"]

_FIRST_DELAY = 0.1
"""Seconds before the first new try after a failure; the delay doubles from try to try."""

_LONGEST_DELAY = 5.0

_PATIENCE = 5.0
"""How long after trouble began a `load` waits for its end: a lock that a backup holds is soon gone."""

_TRANSACTION = 10_000
"""The most operations of one transaction: after trouble, a long queue makes its way in steps."""

_APPEND = memory(Append("", 0, b"", "", 0.0))

_T = TypeVar("_T")


class _Request(NamedTuple):
    """Ask the writer to answer when everything queued so far is written: with a room, or with None."""

    future: asyncio.Future[StoredRoom | None]
    room: str | None = None
    last: bool = False


def _take(queue: list[_T]) -> list[_T]:
    """Empty a list that another thread may add to meanwhile."""
    taken = queue[:]
    del queue[: len(taken)]
    return taken


def _answer(request: _Request, outcome: StoredRoom | StoreError | None) -> None:
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


class _Writer(Thread):
    """Own the database, and write to it what the event loop queues.

    `queue` and `queued`, the bytes ever queued, are the loop's to add to; `settled`, those of them that need no
    memory any more, and `failing`, the reason why the last try failed, are the thread's.
    """

    def __init__(self, database: Database, interval: float, log: logging.Logger) -> None:
        super().__init__(name="jupyter_rtc store", daemon=True)
        self.queue: list[Operation] = []
        self.queued = 0
        self.settled = 0
        self.failing: str | None = None
        self.work = Event()
        self._urgent = Event()
        self._requests: list[_Request] = []
        self._backlog: list[Operation] = []
        self._database = database
        self._interval = interval
        self._delay = 0.0
        self._failing_since = 0.0
        self._log = log

    def ask(self, request: _Request) -> None:
        """Have a request answered as soon as may be."""
        self._requests.append(request)
        self._urgent.set()
        self.work.set()

    def run(self) -> None:
        """Write until the last request is answered."""
        going = True
        while going:
            self.work.wait()
            self._urgent.wait(self._delay or self._interval)
            self.work.clear()
            self._urgent.clear()
            requests = _take(self._requests)  # before the queue: what was queued ahead of them is in it by now
            self._write()
            going = not any(request.last for request in requests)
            for request in requests:
                self._serve(request, patient=going)
            if self._backlog or self._requests:
                self.work.set()

    def _write(self) -> None:
        queued = self.queued
        self._backlog += _take(self.queue)
        if self.failing:
            self._backlog = squash(self._backlog)
        try:
            while self._backlog:
                self._database.write(self._backlog[:_TRANSACTION])
                del self._backlog[:_TRANSACTION]
        except FAILURES as error:
            self._fail(str(error) or type(error).__name__)
        else:
            self._recover()
        self.settled = queued - sum(map(memory, self._backlog))

    def _fail(self, reason: str) -> None:
        if self.failing is None:
            self._failing_since = time.monotonic()
            self._log.warning("Cannot write to the store (%s); changes wait in memory until it can be", reason)
        self.failing = reason
        self._delay = min(max(2 * self._delay, _FIRST_DELAY), _LONGEST_DELAY)

    def _recover(self) -> None:
        if self.failing is not None:
            self._log.info("The store can be written again, and holds everything that waited")
        self.failing = None
        self._delay = 0.0

    def _serve(self, request: _Request, patient: bool) -> None:
        if request.last:
            self._database.close()
            if self._backlog:
                self._log.error("Closing the store with %d changes that it does not hold", len(self._backlog))
        if request.room is None:
            _answer(request, StoreError(f"cannot write: {self.failing}") if self.failing else None)
            return
        outcome = self._read(request.room, patient)
        if isinstance(outcome, StoreError) and patient and self._trouble_is_new():
            self._requests.append(request)
        else:
            _answer(request, outcome)

    def _trouble_is_new(self) -> bool:
        return self.failing is not None and time.monotonic() - self._failing_since < _PATIENCE

    def _read(self, room: str, patient: bool) -> StoredRoom | StoreError | None:
        waiting = any(operation.room == room and not isinstance(operation, Claim) for operation in self._backlog)
        if waiting or (self.failing and not patient):
            return StoreError(f"{room} is not written yet: {self.failing}", frozenset([room]))
        try:
            return self._database.read(room)
        except FAILURES as error:
            return StoreError(f"{room} cannot be read: {error}", frozenset([room]))


class SQLiteStore(LoggingConfigurable):
    """Keep rooms in a SQLite file.

    Trouble with the file (locked, full, missing, damaged) never reaches those who write: their changes wait in
    memory, in order, and are tried again. `trouble` says so, and `flush` raises while it lasts. A queue that
    grows past `queue_limit` is never thinned out in silence: a room whose change finds no place becomes
    `partial`, which keeps what is stored of it consistent, up to a point in its past.
    """

    path = Unicode("", help="The database file; by default `jupyter_rtc/rooms.db` in Jupyter's data directory.").tag(
        config=True
    )
    journal_mode = Enum(
        ["WAL", "TRUNCATE", "DELETE", "PERSIST"],
        "WAL",
        help="How SQLite makes a transaction whole. WAL is the fastest, but keeps an index in memory that is shared"
        " between processes, and so needs a file on a local disk. Choose DELETE or TRUNCATE for a home directory"
        " on a network file system (NFS, SMB, Lustre), or set `path` to a local disk.",
    ).tag(config=True)
    synchronous = Enum(
        ["OFF", "NORMAL", "FULL", "EXTRA"],
        "NORMAL",
        help="When SQLite waits for the disk itself. Whatever is chosen, what was committed survives the end of this"
        " process, kill -9 included. A power loss costs, in WAL mode, what was committed since the last checkpoint"
        " (about 4 MB of changes) with NORMAL, and nothing with FULL, which waits at every commit. OFF may cost"
        " the whole file then.",
    ).tag(config=True)
    commit_interval = Float(
        0.2,
        min=0,
        help="Seconds for which changes gather before they are committed together; what a kill -9 may cost the store.",
    ).tag(config=True)
    queue_limit = Integer(
        512 << 20,
        min=0,
        help="How many bytes may wait in memory while the file cannot be written. Beyond that, changes are refused:"
        " the rooms that they belong to are stored only in part until their whole state is stored again.",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        default = Path(jupyter_data_dir()) / "jupyter_rtc" / "rooms.db"
        path = Path(self.path).expanduser().absolute() if self.path else default
        database = Database(path, self.journal_mode, self.synchronous, self.log)
        self._path = path
        self._database = database
        self._limit = self.queue_limit
        self._cut: dict[str, int] = {}  # the rooms that found the queue full -> their last update refused for it
        self._closed = False
        self._writer = _Writer(database, self.commit_interval, self.log)
        self._writer.start()

    @property
    def trouble(self) -> str | None:
        """Say in a sentence what is not being stored, and why; None while everything is."""
        if reason := self._writer.failing:
            return f"Cannot write to {self._path}: {reason}"
        if partial := self.partial:
            room, reason = next(iter(partial.items()))
            return f"{len(partial)} room(s) are stored only in part, such as {room}: {reason}"
        return None

    @property
    def partial(self) -> Mapping[str, str]:
        """Return the rooms whose newest changes were refused, each with the reason.

        They are whole again after a `compact` with their present state, or a `create` or `forget`. A room that
        another server has loaded since is that server's: here it stays partial until it is created or forgotten.
        """
        refused = {room: refusal.reason for room, refusal in self._database.refusals.items()}
        return refused | dict.fromkeys(self._cut, "too much was waiting to be written")

    async def load(self, room: str) -> StoredRoom | None:
        """Return what is stored of a room, with everything queued before the call; None if nothing is.

        Waits some seconds for the end of a trouble that has just begun. Raises StoreError where the store
        cannot be read, or holds the room only in part.
        """
        if not self._database.uses(room):
            self._put(Claim(room))
        stored = await self._ask(room=room)
        if reason := self.partial.get(room):
            raise StoreError(f"{room} is stored only in part: {reason}", frozenset([room]))
        return stored

    def create(self, room: str, stored: StoredRoom) -> None:
        """Begin a room's history with `stored`, in place of whatever stood under that name."""
        if self._closed:
            return
        if self._is_full():
            # What the store has under this name belongs to another history.
            self._put(Forget(room))
            self._cut_off(room, stored.log[-1][0] if stored.log else stored.seq)
        else:
            self._reconnect(room)
            self._put(Create(room, stored))

    def append(self, room: str, seq: int, update: bytes, author: str) -> None:
        """Add update number `seq`, one more than the last, to a room's log."""
        writer = self._writer
        if (self._cut or writer.queued - writer.settled > self._limit) and self._is_cut_off(room, seq):
            return
        writer.queued += _APPEND + len(update)
        writer.queue.append(Append(room, seq, update, author, time.time()))
        if not writer.work.is_set():
            writer.work.set()

    def compact(self, room: str, seq: int, snapshot: bytes) -> None:
        """Replace a room's snapshot by its state after update `seq`, and drop the log up to there.

        A snapshot older than the stored one is ignored, and so is one that comes while the queue is full.
        """
        if not self._is_full() and seq >= self._cut.get(room, seq):
            self._reconnect(room)
            self._put(Compact(room, seq, snapshot))

    def mark(self, room: str, *, intended: Mark | None = None, saved: Mark | None = None) -> None:
        """Note a save that is about to be written, or one that was; None leaves a mark as it is."""
        if room not in self._cut:  # else the mark might speak of updates that the store does not hold
            self._put(SetMarks(room, intended, saved))

    def forget(self, room: str) -> None:
        """Delete everything that is stored of a room."""
        self._reconnect(room)
        self._put(Forget(room))

    async def flush(self) -> None:
        """Return when everything queued before the call is durable.

        Raises StoreError while it cannot be written, and while any room is `partial`; `rooms` then names them.
        """
        await self._ask()
        if partial := self.partial:
            raise StoreError(self.trouble or "", frozenset(partial))

    async def close(self) -> None:
        """Write what is queued, then stop the thread and close the file, even where that raises StoreError.

        A second call does nothing.
        """
        if not self._closed:
            answer = self._ask(last=True)
            self._closed = True
            self._limit = -1  # sends every later append to where it is ignored
            await answer

    def _ask(self, room: str | None = None, last: bool = False) -> asyncio.Future[StoredRoom | None]:
        if self._closed:
            raise StoreError("the store is closed")
        request = _Request(asyncio.get_running_loop().create_future(), room, last)
        self._writer.ask(request)
        return request.future

    def _put(self, operation: Operation) -> None:
        if not self._closed:
            self._writer.queued += memory(operation)
            self._writer.queue.append(operation)
            self._writer.work.set()

    def _is_full(self) -> bool:
        return self._writer.queued - self._writer.settled > self._limit

    def _is_cut_off(self, room: str, seq: int) -> bool:
        """Say whether an update must be refused: no place for it, or a gap before it."""
        if not self._closed and (room in self._cut or self._is_full()):
            self._cut_off(room, seq)
        return self._closed or room in self._cut

    def _cut_off(self, room: str, seq: int) -> None:
        if not self._cut:
            self.log.warning("The store's queue is full: changes of room %r, perhaps others, are not stored", room)
        self._cut[room] = seq

    def _reconnect(self, room: str) -> None:
        if self._cut.pop(room, None) is not None and not self._cut:
            self.log.info("Every room whose changes the store's queue could not take is stored again")
