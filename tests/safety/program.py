"""What a test does to the server's process, its files and its disk, as other programs and the system would."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave not a byte on a small disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def locked(database: Path, for_readers: bool = False) -> Iterator[None]:
    """Lock a database, for writers or for everybody; the latter only while nobody else has it open."""
    with closing(sqlite3.connect(database, timeout=10, isolation_level=None)) as connection:
        if for_readers:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def corrupt(file: Path, rng: random.Random) -> None:
    """Write noise into a file, here and there."""
    with file.open("r+b") as content:
        size = file.stat().st_size
        for _ in range(size // 8192 + 1):
            content.seek(rng.randrange(max(1, size - 512)))
            content.write(rng.randbytes(512))
