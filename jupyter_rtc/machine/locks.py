"""What the operating system says of files that are open elsewhere: who has the lock, and is anybody writing."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from .backoff import Backoff

if sys.platform != "win32":
    import fcntl

_PATIENCE = 3.0  # s: a save of a large file to a slow disk takes that long
_PAUSES = 0.005, 0.25  # s, the first one and the longest


class LockedError(Exception):
    """Somebody else holds the lock of a file, and does not let it go."""


@asynccontextmanager
async def locked(path: str, *, make: bool) -> AsyncIterator[None]:
    """Hold the lock of a file, which keeps other servers that serve it from writing at the same time.

    The lock is advisory (flock(2)): only those who ask for it respect it. Where there is none, the body runs without:
    on Windows, on file systems that know no locks, for a file that cannot be opened for writing. `make` says to make
    the file where there is none.

    Raises LockedError if somebody else holds the lock for 3 s.
    """
    lock = await _wait(path, make)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


async def _wait(path: str, make: bool) -> int | None:
    """Return the file, locked, once nobody else has the lock; None where there are no locks."""
    deadline, backoff = monotonic() + _PATIENCE, Backoff(*_PAUSES)
    while True:
        with suppress(BlockingIOError):
            return await asyncio.to_thread(try_lock, path, make=make)
        if monotonic() > deadline:
            raise LockedError
        await asyncio.sleep(backoff.next())


def try_lock(path: str, *, make: bool) -> int | None:
    """Return a file, locked until it is closed, or None where there are no locks; see `locked`.

    Raises BlockingIOError where somebody has the lock.
    """
    if sys.platform == "win32":
        return None
    try:
        # For writing: network file systems lock no others (flock(2), NFS details).
        file = os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o666)
    except OSError:  # who writes it will say what is wrong
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with open(path, "rb", buffering=0) as other:
            other.read(1)  # fails where a lock keeps out whoever opens the file again, too (flock(2), CIFS details)
    except BlockingIOError:
        os.close(file)
        raise
    except OSError:
        os.close(file)
        return None
    return file


def is_open_for_writing(path: str) -> bool:
    """Say whether some program has a file open for writing; on Linux only, elsewhere False.

    This asks the kernel for a lease, which it gives only if nobody has (fcntl(2), Leases). Only the owner of a file may
    ask, and not every file system answers: then it is not known, and not said.
    """
    if sys.platform != "linux":
        return False
    try:
        with open(path, "rb") as file:
            # A writer who comes while we have the lease is told to us by this signal, which is ignored.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False
