"""What the tests of the stores share: a room, ways to open a store and to disturb it."""

from __future__ import annotations

import asyncio
import functools
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from awaiting import until as until

from jupyter_rtc.relay.storing.sqlite import SQLiteStore
from jupyter_rtc.relay.storing.store import StoredRoom, StoreError

ROOM = StoredRoom(lineage="1f" * 16, genesis=7, snapshot=b"first", seq=0, log=(), intended=None, saved=None)


def awaited(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test that is a coroutine."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        asyncio.run(main())

    return run


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[SQLiteStore]:
    """Open a store, and close it even where it has trouble to the end.

    It does not wait for the disk, which only a power loss would tell, and no test.
    """
    options = {"synchronous": "OFF", **options}
    store = SQLiteStore(path=str(path), log=logging.getLogger("test.store"), **options)
    try:
        yield store
    finally:
        with suppress(StoreError):
            await store.close()


@contextmanager
def locked(path: Path, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Hold the lock that a writer needs, as another process would; an EXCLUSIVE one may keep readers out too."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute(f"BEGIN {kind}")
    try:
        yield
    finally:
        other.close()


def log_of(*seqs: int) -> tuple[tuple[int, bytes], ...]:
    """Return the log that `append` leaves."""
    return tuple((seq, b"u%d" % seq) for seq in seqs)


def append(store: SQLiteStore, *seqs: int, room: str = "a") -> None:
    """Append updates that tell their numbers."""
    for seq, update in log_of(*seqs):
        store.append(room, seq, update, "ann")


def query(path: Path, sql: str, *values: Any) -> list[Any]:
    """Return what the database answers."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        return database.execute(sql, values).fetchall()


def aside(path: Path) -> list[Path]:
    """Return the databases that were set aside."""
    return [file for file in path.parent.glob(f"{path.name}.corrupt-*") if not file.name.endswith(("-wal", "-shm"))]
