"""Copies of folders on the local disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

_MOST = 10_000


class CopyError(Exception):
    """A folder cannot be copied; the text says why."""


@dataclass
class _Folder:
    """A folder that is being looked through, and how many folders a copy of what was seen of it makes."""

    id: tuple[int, int]
    inner: Iterator[str]
    count: int = 1


def check(folder: str, into: str) -> None:
    """Raise CopyError for a folder of which no copy can be made in the folder `into`.

    Jupyter Server follows symbolic links when it copies. So a folder that has `into` in it, or itself, be it over
    links, would be copied until the disk is full; and one whose links lead to the same folders in many ways (23 folders
    with two links each to the next are eight million) as often as there are ways. Each folder is looked through once,
    whatever leads to it; those that cannot be are passed over. Reads all of them: not for the event loop.
    """
    first, goal = _identity(folder), _identity(into)
    if first is None:
        return
    counts: dict[tuple[int, int], int] = {}
    path, above = [_Folder(first, _inner(folder))], {first}
    if first == goal:
        raise CopyError("a folder cannot be copied into itself")
    while path:
        top = path[-1]
        if (inner := next(top.inner, None)) is None:
            counts[top.id] = path.pop().count
            above.discard(top.id)
            if path:
                path[-1].count += top.count
        elif (id := _identity(inner)) is None:
            continue
        elif id == goal or id in above:
            raise CopyError("a folder cannot be copied into itself, nor one with links to itself")
        elif id in counts:
            top.count += counts[id]
        else:
            path.append(_Folder(id, _inner(inner)))
            above.add(id)
        if len(counts) + len(path) > _MOST or top.count > _MOST:
            raise CopyError(f"a copy of it would have more than {_MOST} folders")


def _identity(folder: str) -> tuple[int, int] | None:
    """Return what a folder is, by whatever path; None where it cannot be seen."""
    try:
        stat = os.stat(folder)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _inner(folder: str) -> Iterator[str]:
    """Return the paths of the folders in a folder, and of the links to some."""
    try:
        with os.scandir(folder) as entries:
            return iter([entry.path for entry in entries if entry.is_dir()])
    except OSError:
        return iter(())
