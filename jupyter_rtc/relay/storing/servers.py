"""Which of the servers that use a database are running: each holds the lock of a file of its own until it ends.

The operating system lets go of a lock however a process ends, kill -9 included; so no server has to say that it still
runs, and no clock is compared with another one. Used by one thread.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

from ...machine import try_lock

_NAME = re.compile(r"[0-9a-f]{32}")
_TRIES = 100


class Servers:
    """The servers that use a database, by their names: uuid4 in hex."""

    def __init__(self, database: Path, own: str) -> None:
        """Keep the files in the folder ``<database>-servers``, which is made when it is needed."""
        self._folder = database.with_name(f"{database.name}-servers")
        self._own = own
        self._lock: int | None = None
        self._entered = False

    def enter(self) -> None:
        """Be known to run from now on, and forget those that were killed.

        Where there are no locks, or no file can be made, the others take us to be gone.
        """
        if self._entered:
            return
        self._entered = True
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._take()
            for name in os.listdir(self._folder):
                if name != self._own:
                    self.is_gone(name)

    def _take(self) -> int | None:
        path = self._folder / self._own
        for _ in range(_TRIES):
            with suppress(BlockingIOError):
                lock = try_lock(str(path), make=True)
                if lock is None or _is_at(lock, path):
                    return lock
                os.close(lock)
            time.sleep(0.01)  # another server looks whether we run, between the making of the file and the lock
        return None

    def leave(self) -> None:
        """Be known to run no longer."""
        if self._lock is not None:
            with suppress(OSError):
                (self._folder / self._own).unlink(missing_ok=True)
            os.close(self._lock)
        self._lock, self._entered = None, False

    def is_gone(self, name: object) -> bool:
        """Say whether a server has ended. One whose name cannot be that of a server never was."""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return True
        path = self._folder / name
        try:
            lock = try_lock(str(path), make=False)
        except BlockingIOError:
            return False
        if lock is not None:  # nobody has it: its server was killed
            with suppress(OSError):
                path.unlink(missing_ok=True)
            os.close(lock)
        return True


def _is_at(file: int, path: Path) -> bool:
    """Say whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False
