"""SQLiteStore: rooms in one SQLite file, written by one thread in groups.

The event loop only adds to a list. The writer thread wakes when something is added to an empty one, gathers
for `commit_interval` seconds unless somebody waits in `flush` or `load`, and commits everything as one
transaction. What cannot be written stays queued, in order, and is tried again until it can.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from traitlets import Bool, Enum, Float, Integer, Unicode
from traitlets.config import LoggingConfigurable

from ...machine import place
from .ahead import Ahead
from .database import Database, Options
from .operations import Append, Claim, Compact, Create, Forget, Operation, Release, SetAside, SetMarks, memory
from .rows import ClaimRecords, PutRecord, RemoveRecord
from .schema import read_begun, read_past, read_room
from .store import Begun, Checkpoint, Mark, Past, Record, StoredRoom, StoreError, in_part
from .writer import Pace, Request, Writer

__all__ = ["SQLiteStore"]

_FULL = "too much was waiting to be written"

_APPEND = memory(Append("", 0, b"", "", 0.0))


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
        ["AUTO", "WAL", "TRUNCATE", "DELETE", "PERSIST"],
        "AUTO",
        help="How SQLite makes a transaction whole. WAL is the fastest, but keeps an index in memory that is shared"
        " between processes, and so needs a file on a local disk; TRUNCATE and the others work on a network file"
        " system too (NFS, SMB, Lustre). AUTO is TRUNCATE where the file is seen to be on one (on Linux), else WAL.",
    ).tag(config=True)
    exclusive = Bool(
        False,
        help="Whether the file stays locked for as long as the server runs. For network file systems whose locks are"
        " slow or not to be trusted; another server with the same file then stores nothing, and says so.",
    ).tag(config=True)
    size_limit = Integer(
        4 << 30,
        min=1 << 20,
        help="How large the database may grow, in bytes. Above it, rooms are dropped that nobody has open and whose"
        " file (or a recovery copy) has everything, those not used for the longest time first. A room that holds what"
        " is nowhere else is never dropped, even where the database so stays larger.",
    ).tag(config=True)
    max_damaged = Integer(
        5,
        min=1,
        help="How many damaged databases that were set aside are kept (`rooms.db.corrupt-<time>`): the newest.",
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

    rest = Float(5.0, help="Seconds without work after which the file is looked after. No option of a server.")
    patience = Float(5.0, help="Seconds for which `load` waits while the file is locked. No option of a server.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        path = place(self.path, "rooms.db")
        options = Options(self.journal_mode, self.synchronous, self.exclusive, self.size_limit, self.max_damaged)
        self._ahead = Ahead(path)
        database = Database(path, options, self._ahead, self.log)
        self._path = path
        self._database = database
        self._limit = self.queue_limit
        self._cut: dict[str, int] = {}  # the rooms that found the queue full -> their last update refused for it
        self._closed = False
        self.log.info("Rooms are stored in %s", path)
        self._writer = Writer(database, Pace(self.commit_interval, self.rest, self.patience), self.log)
        self._writer.start()

    @property
    def trouble(self) -> str | None:
        """Say in a sentence why nothing can be stored; None while it can."""
        reason = self._writer.failing
        return f"Cannot write to {self._path}: {reason}" if reason else None

    @property
    def damage(self) -> str | None:
        """Say what happened to the file, or a record, since the start: set aside, removed, replaced; else None."""
        return self._database.damage

    @property
    def partial(self) -> Mapping[str, str]:
        """Return the rooms whose newest changes were refused, each with the reason.

        They are whole again after a `compact` with their present state, or a `create` or `forget`. A room that
        another server has begun or loaded since is that server's: here it stays partial until it is released, or
        forgotten.
        """
        refused = {room: refusal.reason for room, refusal in self._database.refusals.items()}
        return dict.fromkeys(self._cut, _FULL) | refused

    async def load(self, room: str) -> StoredRoom | None:
        """Return what is stored of a room, with everything queued before the call; None if nothing is.

        Waits some seconds for a lock that another process has taken just now. Raises StoreError where the store
        cannot be read, or holds the room only in part; DamagedError where it is not what was stored.
        """
        self._put(Claim(room))
        stored: StoredRoom | None = await self._whole(room, read_room)
        return stored

    async def past(self, room: str) -> Past | None:
        """Return a room's history, with everything queued before the call; None if nothing is stored of it.

        The room need not be in use here, and does not become so. Raises StoreError as `load` does.
        """
        found: Past | None = await self._whole(room, read_past)
        return found

    async def begun(self) -> Sequence[Begun]:
        """Return the rooms whose names clients made up, with everything queued before the call. Raises StoreError."""
        found: Sequence[Begun] = await self._ask("", read=lambda connection, _: read_begun(connection))
        return found

    def create(self, room: str, stored: StoredRoom, begun_by: str | None = None) -> None:
        """Begin a room's history with `stored`, in place of what was loaded under that name; a user may have.

        The record of another server that has begun or loaded the room since stays; here the room is `partial` then.
        """
        if self._closed:
            return
        if self._is_full():
            # What this server has stored under the name belongs to another history, and goes.
            without = replace(stored, seq=stored.last, snapshot=b"", log=())
            self._put(Create(room, without, begun_by, refused=_FULL))
            self._cut_off(room, stored.last)
        else:
            self._reconnect(room)
            self._put(Create(room, stored, begun_by))

    def append(self, room: str, seq: int, update: bytes, author: str) -> None:
        """Add update number `seq`, one more than the last, to a room's log."""
        writer = self._writer
        if (self._cut or writer.queued - writer.settled > self._limit) and self._is_cut_off(room, seq):
            return
        writer.queued += _APPEND + len(update)
        writer.queue.append(Append(room, seq, update, author, time.time()))
        if not writer.work.is_set():
            writer.work.set()

    def compact(self, room: str, seq: int, snapshot: bytes, checkpoints: Sequence[Checkpoint] | None = None) -> None:
        """Replace a room's snapshot by its state after update `seq`, and drop the log up to there.

        `checkpoints` take the place of those that are stored; None leaves them. A snapshot older than the stored
        one is ignored, and so is one that comes while the queue is full.
        """
        if not self._is_full() and seq >= self._cut.get(room, seq):
            self._reconnect(room)
            self._put(Compact(room, seq, snapshot, checkpoints))

    def mark(self, room: str, *, intended: Mark | None = None, saved: Mark | None = None) -> None:
        """Note a save that is about to be written, or one that was; None leaves a mark as it is."""
        if room not in self._cut:  # else the mark might speak of updates that the store does not hold
            self._put(SetMarks(room, intended, saved))

    async def outrun(self, room: str, seq: int) -> None:
        """Take note beside the database that a file is about to hold a room's state after update `seq`.

        Raises StoreError where no file can be written there.
        """
        try:
            await asyncio.to_thread(self._ahead.note, room, seq)
        except OSError as error:
            raise StoreError(f"{self._path.parent} cannot be written: {error.strerror}") from None

    async def is_outrun(self, room: str, stored: StoredRoom) -> bool:
        """Say whether a room's file may hold more than what is stored of it, which therefore is no base of it."""
        known = max(mark.seq for mark in (stored.intended, stored.saved, Mark(0, "")) if mark)
        return await asyncio.to_thread(self._ahead.of, room) > known

    def set_aside(self, room: str, seqs: Collection[int] | None) -> None:
        """Take updates out of a room's record, or all of it, and keep them in the table `damaged`.

        What is there is kept up to a sixteenth of `size_limit`; what was set aside last stays whole.
        """
        self._put(SetAside(room, seqs))

    def release(self, room: str, spare: bool) -> None:
        """Take note that nobody uses a room until it is loaded again; one that is `spare` may be dropped then."""
        self._put(Release(room, spare))

    def forget(self, room: str) -> None:
        """Delete everything that is stored of a room."""
        self._reconnect(room)
        self._put(Forget(room))

    async def records(self, kind: str) -> Sequence[Record]:
        """Return the durable records of a kind that this server has, with everything queued before the call.

        Those of servers that have ended become this one's. Raises StoreError while the file cannot be written.
        """
        self._put(ClaimRecords(kind))
        await self._ask()
        return self._database.records(kind)

    def put_record(self, kind: str, record: Record) -> None:
        """Put a durable record, in place of the one of this kind with its id.

        It is never refused because much is waiting: what waits is at most the newest value of each.
        """
        self._put(PutRecord(kind, record))

    def remove_record(self, kind: str, id: str) -> None:
        """Remove a durable record, if this server has it."""
        self._put(RemoveRecord(kind, id))

    async def flush(self) -> None:
        """Return when everything queued before the call is durable.

        Raises StoreError while it cannot be written, and while any room is `partial`; `rooms` then names them.
        """
        await self._ask()
        if partial := self.partial:
            raise StoreError(in_part(partial), frozenset(partial))

    async def close(self) -> None:
        """Write what is queued, then stop the thread and close the file, even where that raises StoreError.

        A second call does nothing.
        """
        if not self._closed:
            answer = self._ask(last=True)
            self._closed = True
            self._limit = -1  # sends every later append to where it is ignored
            await answer

    async def _whole(self, room: str, read: Callable[[sqlite3.Connection, str], object]) -> Any:
        """Return what is read of a room, if all of it is stored."""
        found = await self._ask(room, read=read)
        if reason := self.partial.get(room):
            raise StoreError(f"{room} is stored only in part: {reason}", frozenset([room]))
        return found

    def _ask(
        self, room: str | None = None, last: bool = False, read: Callable[[sqlite3.Connection, str], object] = read_room
    ) -> asyncio.Future[Any]:
        if self._closed:
            raise StoreError("the store is closed")
        request = Request(asyncio.get_running_loop().create_future(), room, last, read)
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
