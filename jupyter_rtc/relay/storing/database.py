"""The file behind a SQLiteStore: how it is opened and written, and what is done when it is not sound.

Everything here is synchronous and belongs to one thread. A damaged file, and one that vanished from under the
connection, are never overwritten and never fatal: the file is set aside under another name, a new one is begun, and
the rooms that are in use come back with their next compaction. A file of an older version is brought to the present
one; one of a newer version is left alone, and is trouble until another file stands there.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from .ahead import Ahead
from .housekeeping import drop_spare, forget_aside, give_back, is_remote
from .ledger import NEVER, Identity, Ledger, Refusal
from .migrations import VERSION, migrate, require_tables, version_of
from .operations import GONE, Append, Claim, Compact, Create, Operation, Transaction, room_of
from .rows import Rows
from .schema import forget_oldest
from .servers import Servers
from .store import Record

__all__ = ["FAILURES", "Database", "Options", "is_locked"]

FAILURES = (sqlite3.Error, OSError, MemoryError, ValueError)
"""What a Database raises, as far as that is foreseen: where it is about the file, it may succeed later."""

_VALUE_ERRORS = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""What the sqlite3 module raises about one value (too big, a lone surrogate), where trying again is no use."""

_BUSY_SECONDS = 0.5
"""How long one statement waits for another process's lock. Short: a server that is told to stop must stop."""

_WAL_BYTES = 16 * 2**20
"""To what size the write-ahead log is cut back while it is in use; a 60 MB snapshot passes through it whole."""

_ASIDE_SHARE = 16
"""What part of the file's limit damaged records may take that were set aside."""

_SHOWN = 200
"""How many characters of a change that cannot be stored are logged."""

_FINE = Refusal(0, "")

_BESIDE = ("-wal", "-shm")
"""What the names of the files end with that SQLite keeps beside a database in WAL mode."""

_NOWHERE = (0, 0)  # the inode of what is not there

_T = TypeVar("_T")


class Options(NamedTuple):
    """How a file is opened, how large it may grow, in bytes, and how many damaged ones are kept.

    SQLite's documentation has the rest.
    """

    journal_mode: str = "AUTO"
    synchronous: str = "NORMAL"
    exclusive: bool = False
    size_limit: int = sys.maxsize
    aside_limit: int = 1


class Database:
    """Write operations to one SQLite file, and read rooms from it. Opens it when it is first used.

    Attributes:
        path: where the file is.
        damage: what happened since the start to the file, if it was set aside, removed or replaced, or to a record in
            it; the last time.
    """

    def __init__(self, path: Path, options: Options, ahead: Ahead, log: logging.Logger) -> None:
        self.path = path
        self._options = options
        self._ahead = ahead
        self._log = log
        self._rested = False
        self.damage: str | None = None
        self._writer = uuid.uuid4().hex
        self._servers = Servers(path, self._writer)
        self._ledger = Ledger()
        self._connection: sqlite3.Connection | None = None
        self._inode = self._whole = _NOWHERE  # of the file that is open; of the one that has all rooms in use
        self._beside = dict.fromkeys(_BESIDE, _NOWHERE)

    @property
    def refusals(self) -> Mapping[str, Refusal]:
        """Return the rooms whose newest changes are not stored, and why. May be called from any thread."""
        return self._ledger.refusals  # a ledger is replaced, never changed

    def records(self, kind: str) -> list[Record]:
        """Return the durable records of a kind that this server has, in order. May be called from any thread."""
        return [record for (one, _), (_, record) in self._ledger.records.items() if one == kind]

    def check(self) -> None:
        """See whether the file can be written. Raises one of FAILURES where not."""

        def begin(connection: sqlite3.Connection) -> None:
            """Take the lock that a writer needs, and give it back."""
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")

        self._soundly(begin)

    def write(self, operations: Sequence[Operation]) -> None:
        """Carry out operations in order, in one transaction. Doing so twice does no harm.

        Raises one of FAILURES, and may then have written some. A value that cannot be stored at all is refused
        alone, and its room with it.
        """
        self._soundly(lambda connection: self._write(connection, operations))

    def read(self, of: Callable[[sqlite3.Connection, str], _T], room: str) -> _T:
        """Return what the function `of` reads of a room: `read_room` or `read_past`.

        Raises one of FAILURES; ValueError for a name that is not text.
        """

        def read(connection: sqlite3.Connection) -> _T:
            """Read of one moment, whoever writes meanwhile."""
            with connection:
                connection.execute("BEGIN")
                return of(connection, room)

        return self._soundly(read)

    def tidy(self) -> bool:
        """Keep the file within its limit, and give back what it does not use; return whether there is more to give.

        Raises one of FAILURES.
        """
        return self._soundly(self._tidy)

    def rest(self) -> None:
        """Do what is to be done when nothing was written for a while: see that the file is there, and end its log."""
        if self._connection is not None:
            self._soundly(self._end_log)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def end(self) -> None:
        """Close the file for good: other servers take us to be gone."""
        self.close()
        self._servers.leave()

    # Writing

    def _write(self, connection: sqlite3.Connection, operations: Sequence[Operation]) -> None:
        ledger = self._ledger.copy()
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                transaction = Transaction(connection, self._writer, ledger, self._servers)
                transaction.carry_out(operations)
                if transaction.aside or transaction.rows.aside:
                    forget_oldest(connection, self._options.size_limit // _ASIDE_SHARE)
        except BaseException as error:  # whatever it is: what is to blame is left out, and the rest written
            if _is_about_the_file(error):
                raise
            middle = len(operations) // 2
            if middle == 0:
                self._give_up(operations[0], error)
            else:  # find the one that is to blame
                self._write(connection, operations[:middle])
                self._write(connection, operations[middle:])
            return
        self._replace_ledger(ledger)
        self._rested = False
        for room, seq in transaction.caught_up.items():
            self._ahead.settle(room, seq)
        for room in transaction.aside:
            self._tell(f"The record of room {room!r} was damaged; what it had is in the table damaged of {self.path}")
        for name in transaction.rows.aside:
            self._tell(f"The durable record {name} was damaged; what it had is in the table damaged of {self.path}")

    def _give_up(self, operation: Operation, error: BaseException) -> None:
        """Go on without an operation; its room takes no more of them before its whole state is stored."""
        room = room_of(operation)
        if room is None:
            self._log.error("%s cannot be carried out: %s", repr(operation)[:_SHOWN], error, exc_info=error)
            return
        self._log.error("room %r: a change cannot be stored: %s", room, error, exc_info=error)
        ledger = self._ledger.copy()
        reason = f"a change cannot be stored: {error}"
        match operation:
            case Append() | Compact():
                ledger.refuse(operation.room, operation.seq, reason)
            case Create():
                stored = operation.stored
                begun_by = operation.begun_by
                identity = Identity(stored.lineage, stored.genesis, stored.intended, stored.saved, begun_by)
                ledger.in_use[operation.room] = identity
                ledger.refuse(operation.room, stored.seq, reason)
            case Claim():
                ledger.refuse(operation.room, NEVER, reason)
        self._replace_ledger(ledger)

    def _replace_ledger(self, ledger: Ledger) -> None:
        before, after = self._ledger.refusals, ledger.refusals
        self._ledger = ledger
        for room in after.keys() - before.keys():
            self._log.warning("room %r: changes are no longer stored: %s", room, after[room].reason)
        for room in before.keys() - after.keys():
            self._log.info("room %r: changes are stored again", room)

    def _tidy(self, connection: sqlite3.Connection) -> bool:
        for room in drop_spare(connection, self._options.size_limit):
            self._log.info("room %r: dropped from the store, which was full; its file has everything", room)
        return give_back(connection)

    def _end_log(self, connection: sqlite3.Connection) -> None:
        if not self._rested:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._rested = True

    # The file

    def _soundly(self, action: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `action` on an open database; where the file proves to be damaged, run it again on a new one."""
        try:
            return action(self._opened())
        except BaseException as error:
            self.close()  # after an error a connection is not to be trusted, and opening one costs little
            # The sqlite3 module raises DatabaseError itself, none of its subclasses, for SQLITE_CORRUPT and
            # SQLITE_NOTADB: https://github.com/python/cpython/blob/main/Modules/_sqlite/util.c
            if type(error) is not sqlite3.DatabaseError:
                raise
            self._set_aside(str(error))
        return action(self._opened())

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and (gone := self._removed()):
            # SQLite would go on writing into a file that no longer has a name.
            self._tell(f"{gone} was removed or replaced; going on with what is there now")
            self.close()  # which moves what is in a write-ahead log without a name into the database
            self._whole = _NOWHERE  # a new file may get the number of the old one
        if self._connection is None:
            self._create_file()
            self._connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._inode = self._find_inode()
            self._prepare(self._connection)
            self._beside = self._find_beside()
            if self._whole != self._inode:
                self._begin_anew(self._connection)
        return self._connection

    def _begin_anew(self, connection: sqlite3.Connection) -> None:
        """Take note that another file is open now: of no room in use it has all, whatever it has under its name.

        The durable records are written into it at once.
        """
        ledger = self._ledger.copy()
        mine = [room for room in ledger.in_use if ledger.refusals.get(room, _FINE).seq != NEVER]
        if mine or ledger.records:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                rows = ((self._writer, room) for room in mine)
                connection.executemany("UPDATE rooms SET writer = ?, released = NULL WHERE name = ?", rows)
                Rows(connection, self._writer, ledger, self._servers).put_all()
        for room in mine:
            ledger.refuse(room, 0, GONE)
        self._replace_ledger(ledger)
        self._whole = self._inode

    def _tell(self, damage: str) -> None:
        self.damage = damage
        self._log.error("%s", damage)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the file ready; where several processes begin it at once, SQLite answers "locked" without waiting."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._set_up(connection)
            except sqlite3.OperationalError:  # this loop is there to wait
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def _removed(self) -> str:
        """Say which of the files that are open has another file, or none, under its name now; "" if none has."""
        if self._find_inode() != self._inode:
            return f"The database {self.path}"
        before, self._beside = self._beside, self._find_beside()
        moved = [suffix for suffix, inode in before.items() if inode not in (_NOWHERE, self._beside[suffix])]
        return f"The file {self.path}{moved[0]} of the database" if moved else ""

    def _find_inode(self, suffix: str = "") -> tuple[int, int]:
        try:
            status = os.stat(f"{self.path}{suffix}")
        except FileNotFoundError:
            return _NOWHERE
        return (status.st_dev, status.st_ino)

    def _find_beside(self) -> dict[str, tuple[int, int]]:
        return {suffix: self._find_inode(suffix) for suffix in _BESIDE}

    def _create_file(self) -> None:
        """Make the file before SQLite does, so that at no time anybody else may read it."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only a new file may be opened here: to close any descriptor of a file drops the locks that SQLite
        # holds on it in this process (https://www.sqlite.org/howtocorrupt.html, section 2.2).
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            return

    def _set_up(self, connection: sqlite3.Connection) -> None:
        version = version_of(connection)
        if version == 0:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # possible only before the first page is written
        options = self._options
        automatic = "TRUNCATE" if is_remote(self.path) else "WAL"
        if options.exclusive:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        mode = automatic if options.journal_mode == "AUTO" else options.journal_mode
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute(f"PRAGMA synchronous={options.synchronous}")
        connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
        if version == VERSION:
            require_tables(connection)
            return
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            migrate(connection)  # which does nothing where another process has done it meanwhile
            require_tables(connection)

    def _set_aside(self, reason: str) -> None:
        if self._find_inode() != self._inode:  # another process was quicker
            return
        aside = f"{self.path}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        for suffix in (*_BESIDE, ""):
            if os.path.exists(f"{self.path}{suffix}"):
                os.rename(f"{self.path}{suffix}", f"{aside}{suffix}")
        self._tell(f"Cannot use the database {self.path} ({reason}); set it aside as {aside}")
        forget_aside(self.path, self._options.aside_limit)


def _is_about_the_file(error: BaseException) -> bool:
    """Say whether an error is about the file, and not about what is written: the same may succeed later."""
    return isinstance(error, (OSError, MemoryError, sqlite3.Error)) and not isinstance(error, _VALUE_ERRORS)


def is_locked(error: BaseException) -> bool:
    """Say whether an error says that another process holds the file's lock, and will let go of it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of it tells the kinds of locks apart
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
