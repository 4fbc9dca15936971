"""What is open now, for others to list and to watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Protocol

from ..files.managed import FileError
from ..formats.kinds import Kinds
from .binding import FileBinding

_KEPT = 5.0  # seconds for which a record is good of which nothing was noted


class Opener(Protocol):
    """What opens documents, of those `kinds` that there are."""

    kinds: Kinds

    async def session(self, path: str, form: str, kind: str) -> object:
        """Open the document of the file at `path`."""
        ...


class Overview:
    """The open documents as plain data; whoever watches is told "look again" whenever something of it changes.

    A record is made anew once something of its document was noted, so that what one document costs does not depend on
    how many others are open; and all of them now and then, for what nobody noted.

    Attributes:
        revision: a number that changes whenever a document is opened, closed, moved or saved.
    """

    def __init__(self, bindings: Mapping[str, FileBinding], opener: Opener) -> None:
        """Describe `bindings`, by the name of their room, as they are when somebody asks; `opener` opens more."""
        self._bindings = bindings
        self._opener = opener
        self.revision = 0
        self._watchers: list[Callable[[], None]] = []
        self._files: dict[str, tuple[str, str]] = {}
        self._records: dict[str, dict[str, Any]] = {}
        self._made = monotonic()

    def records(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each open document, by the name of its room; not to be changed."""
        if monotonic() - self._made > _KEPT:
            self._made, self._records = monotonic(), {}
        for name, binding in self._bindings.items():
            if name not in self._records:
                self._records[name] = self._record(binding)
        return {name: self._records[name] for name in self._bindings}

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` whenever a record comes, goes, or is another one; returns what ends it."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    async def open(self, path: str, form: str, kind: str) -> None:
        """Open the document of a file, in the usual type or format where these are empty.

        Raises BadRequest, which is a ValueError, as the documents do, and OSError where the file cannot be read.
        """
        form, kind = self._opener.kinds.usual(path, form, kind)
        try:
            await self._opener.session(path, form, kind)
        except FileError as error:
            raise OSError(str(error)) from error

    def noted(self, name: str) -> None:
        """Take note that a document may have changed, and tell who watches. Cheap: called often."""
        self._records.pop(name, None)
        binding = self._bindings.get(name)
        file = binding and (binding.path, binding.hash)
        if file != self._files.get(name):
            self.revision += 1
            if file:
                self._files[name] = file
            else:
                del self._files[name]
        for watcher in self._watchers:
            watcher()

    def _record(self, binding: FileBinding) -> dict[str, Any]:
        status, members = binding.status, binding.room.members
        return {
            "path": binding.path,
            "type": binding.name.kind,
            "file_id": binding.name.file_id,
            "lineage": binding.room.lineage,
            "members": sorted(
                ({"user": member.identity.username, "writable": member.writable} for member in members),
                key=lambda member: (member["user"], member["writable"]),
            ),
            "hash": binding.hash,
            "dirty": binding.dirty,
            "last_saved": status.last_saved,
            "save_error": status.trouble,
            "conflicts": status.conflicts,
            "recovery": list(status.copies),
        }
