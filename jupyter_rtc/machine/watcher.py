"""Notices changes of files on the local disk, through the operating system's notifications."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from logging import Logger, LoggerAdapter
from typing import Any

from .notifications import Notifications

_DEBOUNCE = 200


class Watcher:
    """Calls back with the name of each watched file that was changed, made or removed.

    A file that is opened by a symbolic link is watched, and so is the link. Folders are watched, not files: editors
    and git replace a file by another, which ends a watch on the file itself. A notification may come twice, or for
    nothing.
    """

    def __init__(self, notify: Callable[[str], None], log: Logger | LoggerAdapter[Any]) -> None:
        """Call `notify` with the name of a file that changed; nothing is watched yet."""
        self._notify = notify
        self._places: dict[str, frozenset[str]] = {}
        self._folders = Notifications(self._told, log, _DEBOUNCE)

    def watch(self, name: str, path: str) -> None:
        """Watch the file at an absolute path under a name of the caller's, in place of any other of this name."""
        folder, last = os.path.split(path)
        self._places[name] = frozenset({os.path.realpath(path), os.path.join(os.path.realpath(folder), last)})
        self._again()

    def unwatch(self, name: str) -> None:
        """Watch the file of this name no longer, if it is watched."""
        if self._places.pop(name, None):
            self._again()

    async def stop(self) -> None:
        """Watch nothing any longer."""
        await self._folders.stop()

    def _again(self) -> None:
        self._folders.watch({os.path.dirname(place) for places in self._places.values() for place in places})

    def _told(self, changed: Collection[str] | None) -> None:
        for name, places in list(self._places.items()):
            if changed is None or not places.isdisjoint(changed):
                self._notify(name)
