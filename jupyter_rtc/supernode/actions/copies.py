"""Copies of folders on the local disk."""

from __future__ import annotations

import os


def is_endless(folder: str, into: str) -> bool:
    """Say whether a folder has another one, `into`, in it, or has itself in it, be it over symbolic links.

    A copy of it that follows links, as Jupyter Server's does, would then copy itself until the disk is full. Folders
    that cannot be looked into are passed over. Reads all folders: not for the event loop.
    """
    goal = os.path.realpath(into)
    todo: list[tuple[str, tuple[str, ...]]] = [(folder, ())]
    while todo:
        path, above = todo.pop()
        here = os.path.realpath(path)
        if here == goal or here in above:
            return True
        try:
            with os.scandir(path) as entries:
                todo += [(entry.path, (*above, here)) for entry in entries if entry.is_dir()]
        except OSError:
            continue
    return False
