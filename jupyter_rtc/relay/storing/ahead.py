"""Which rooms' files may hold more than the database, written down beside it while it cannot be written.

A file that is saved while the database is locked, or cannot be opened, holds what no record knows of. After a crash it
would be taken for somebody else's edit, merged, and stand twice as soon as those come back who typed it. So that such a
record is not built on, one small file for each room says up to which update it would have to go. The file system is
asked for nothing but these: they need no lock, and no place worth speaking of.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path


class Ahead:
    """The rooms whose files may be ahead of their records. May be called from any thread."""

    def __init__(self, database: Path) -> None:
        """Keep what is known in the folder ``<database>-ahead``, which is made when it is needed."""
        self._folder = database.with_name(f"{database.name}-ahead")

    def note(self, room: str, seq: int) -> None:
        """Write down that a file is about to hold the state of a room after update `seq`. Raises OSError."""
        path = self._path(room)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.with_suffix(".new").open("w") as file:
            file.write(str(seq))
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".new").replace(path)

    def of(self, room: str) -> int:
        """Return the number of the last update that a file may hold; 0 where nothing was written down."""
        try:
            return int(self._path(room).read_text())
        except (OSError, ValueError):
            return 0

    def settle(self, room: str, seq: int) -> None:
        """Forget what was written down up to update `seq`: a record that goes so far is in the database."""
        if self._folder.exists() and 0 < self.of(room) <= seq:
            with suppress(OSError):
                self._path(room).unlink()

    def _path(self, room: str) -> Path:
        return self._folder / sha256(room.encode("utf-8", "surrogatepass")).hexdigest()
