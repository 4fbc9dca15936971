"""What keeps a SQLite file small, and where it may keep which journal. Belongs to the thread of its connection."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from .schema import delete_room

_PAGES = 2048
"""How many free pages are given back at a time: 8 MB, some milliseconds."""

_LOWER = 0.9
"""Down to what part of the limit rooms are dropped, so that the next one is not dropped at once."""

_NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "afs", "ceph", "glusterfs", "9p", "fuse.", "virtiofs")


def drop_spare(connection: sqlite3.Connection, limit: int) -> list[str]:
    """Drop the rooms that are spare, those not used for the longest time first, while the file holds more than `limit`.

    Returns their names. What is left may be more than the limit: rooms that are in use, or hold what is nowhere else.
    """
    dropped: list[str] = []
    if _used(connection) <= limit:
        return dropped
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        while _used(connection) > limit * _LOWER:
            row = connection.execute(
                "SELECT id, name FROM rooms WHERE typeof(released) = 'real' ORDER BY released LIMIT 1"
            ).fetchone()
            if row is None:
                break
            delete_room(connection, row[0])
            dropped.append(row[1])
    return dropped


def give_back(connection: sqlite3.Connection) -> bool:
    """Give some free pages back to the disk; return whether there are more. Waits for no lock."""
    # One step of this statement frees one page, and `execute` makes only one; a script runs to its end.
    connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
    return _pragma(connection, "freelist_count") > 0


def forget_aside(path: Path, most: int) -> None:
    """Delete the databases that were set aside longest ago, until there are no more of them than `most`."""
    name = re.compile(re.escape(path.name) + r"\.corrupt-\d{8}T\d{6}\.\d{6}Z(-wal|-shm)?")
    found: dict[str, list[Path]] = {}
    for file in path.parent.iterdir():
        if match := name.fullmatch(file.name):
            found.setdefault(file.name.removesuffix(match[1] or ""), []).append(file)
    for old in sorted(found)[:-most]:
        for file in found[old]:
            file.unlink(missing_ok=True)


def is_remote(path: Path, mounts: str | None = None) -> bool:
    """Say whether a file is, or would be, on a network file system; as far as that can be told, which is on Linux.

    `mounts` has the form of /proc/self/mountinfo (proc(5)), which is read where it is not given.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return False
    whole, longest, kind = path.resolve(), -1, ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields.split(" ")[4]))
        if len(point.parts) >= longest and whole.is_relative_to(point):
            longest, kind = len(point.parts), rest.split(" ")[0]
    return kind.startswith(_NETWORK)


def _used(connection: sqlite3.Connection) -> int:
    """Return how many bytes of the file are used."""
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return pages * _pragma(connection, "page_size")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
