"""Files and folders that somebody looks at: those that were asked for, and those that are open.

Nothing is given a file id here. The manager of file ids follows a rename only where nothing has the new path yet: an id
given to a file that is just being moved would cost an open document its own, and with it its room.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from logging import Logger, LoggerAdapter
from time import monotonic
from typing import Any, NamedTuple, Protocol

from ..relay import Notifications
from .listings import Listing, Listings, Model
from .records import ContentRecord, FolderRecord, iso
from .service import Changed, MissingError
from .services import OpenDocuments

_AT_ONCE = 200
_DEBOUNCE = 80


class FileIds(Protocol):
    """What is used of jupyter_server_fileid's manager."""

    def get_id(self, path: str) -> str | None:
        """Return the id of the file at `path`, or None."""
        ...


class Bounds(NamedTuple):
    """How much is looked at: `most` paths that were asked for, each for `keep` seconds after that."""

    most: int
    keep: float


class Contents:
    """What is looked at of the contents: the service of the table ``contents``.

    A path that was asked for is looked at as long as somebody has one of the two tables open, and for a while after it
    was asked for.

    Attributes:
        is_watched: returns whether somebody has one of the tables open.
        folders: the records of the folders, as they were at the last look.
    """

    name = "contents"
    resource = "contents"

    def __init__(
        self,
        listings: Callable[[], Listings],
        ids: Callable[[], FileIds],
        documents: OpenDocuments,
        bounds: Bounds,
        log: Logger | LoggerAdapter[Any],
    ) -> None:
        """Look at nothing but `documents`, what is open.

        `listings` and `ids` return what lists the folders, and the manager of file ids: others may replace both.
        """
        self.is_watched: Callable[[], bool] = lambda: False
        self.folders: Mapping[str, FolderRecord] = {}
        self._find_listings = listings
        self._unlisted: tuple[Listings, Callable[[], None]] | None = None  # what is watched, and what ends that
        self._ids = ids
        self._documents = documents
        self._bounds = bounds
        self._log = log
        self._asked: dict[str, float] = {}
        self._known: dict[str, str] = {}
        self._made: dict[str, tuple[Model, ContentRecord]] = {}
        self._revision = documents.revision
        self._watchers: list[Changed] = []
        self._followers: list[Changed] = []
        self._disk: Notifications | None = None

    async def want(self, path: str, content: bool = False, type: str = "", format: str = "") -> None:
        """Look at a file or folder from now on; with `content`, open its document, of this type and format.

        Raises:
            MissingError: there is nothing, or nothing to be shown.
            ValueError: there is no such type of documents, or not in this format.
        """
        path = path.strip("/")
        listing = await self._listings.list(path)
        self._asked.pop(path, None)
        self._asked[path] = monotonic()
        while len(self._asked) > self._bounds.most:
            del self._asked[next(iter(self._asked))]
        if content and listing.entries is None:
            await self._documents.open(path, format, type)

    async def list(self) -> Mapping[str, ContentRecord]:
        """Return the files and folders by file id, by ``path:`` and the path where they have none.

        `folders` is of the same moment.
        """
        self._watch_listings()
        found = [one for path in self._paths() if (one := await self._listing(path))]
        self._watch_disk(found)
        models = {entry["path"].strip("/"): entry for _, entries in found for entry in entries or ()}
        models |= {model["path"].strip("/"): model for model, _ in found}
        opened = {record["path"]: (room, record) for room, record in self._documents.records().items()}
        ids = await self._identify(models, {path: record["file_id"] for path, (_, record) in opened.items()})
        records = await self._records(models, ids, opened)
        folders = {
            ids[model["path"].strip("/")]: _folder(model["path"].strip("/"), entries, ids)
            for model, entries in found
            if entries is not None and model["path"].strip("/") in ids
        }
        if folders != self.folders:
            self.folders = folders
            for follower in self._followers:
                follower()
        return records

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call `changed` when something that is looked at changed on the local disk, or was saved, opened or closed."""
        self._watchers.append(changed)
        if self._disk is None:
            self._disk = Notifications(lambda _: self._tell(), self._log, _DEBOUNCE)
        unwatch = self._documents.watch(self._documents_changed)
        self._watch_listings()

        def end() -> None:
            unwatch()
            self._watchers.remove(changed)
            self._watch_listings()
            if not self._watchers and self._disk:
                self._disk.cancel()

        return end

    def follow(self, changed: Changed) -> Callable[[], None]:
        """Call `changed` whenever `folders` is another one; returns what ends it."""
        self._followers.append(changed)
        return lambda: self._followers.remove(changed)

    def changed(self, moved: bool) -> None:
        """Look again; where something was `moved`, a path may have another id now."""
        if moved:
            self._known = {}
        self._tell()

    @property
    def _listings(self) -> Listings:
        return self._find_listings()

    def _watch_listings(self) -> None:
        """Watch what lists the folders now, as long as anybody watches."""
        wanted = self._listings if self._watchers else None
        watched, unwatch = self._unlisted or (None, None)
        if wanted is watched:
            return
        if unwatch:
            unwatch()
        self._unlisted = (wanted, wanted.watch(self._tell)) if wanted else None

    def _tell(self) -> None:
        for watcher in list(self._watchers):
            watcher()

    def _documents_changed(self) -> None:
        """Pass on that something was opened, closed, moved or saved; not that somebody came, or typed."""
        if self._documents.revision != self._revision:
            self._revision = self._documents.revision
            self._tell()

    def _paths(self) -> tuple[str, ...]:
        """Return the paths to look at."""
        if not self.is_watched():
            before = monotonic() - self._bounds.keep
            self._asked = {path: asked for path, asked in self._asked.items() if asked >= before}
        opened = (record["path"] for record in self._documents.records().values())
        return tuple(dict.fromkeys((*self._asked, *opened)))

    async def _listing(self, path: str) -> Listing | None:
        """Return what there is at a path; what is gone is not looked at any more, until it is asked for again."""
        try:
            return await self._listings.list(path)
        except MissingError:
            self._asked.pop(path, None)
            return None

    async def _identify(self, paths: Mapping[str, Any], opened: Mapping[str, str]) -> Mapping[str, str]:
        """Return the file ids of paths; of one that has none, ``path:`` and the path."""
        manager, before = self._ids(), self._known
        known: dict[str, str] = {}
        for number, path in enumerate(paths):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            known[path] = opened.get(path) or before.get(path) or manager.get_id(path) or f"path:{path}"
        if self._known is before:  # nothing was moved meanwhile
            self._known = known
        return known

    async def _records(
        self,
        models: Mapping[str, Model],
        ids: Mapping[str, str],
        opened: Mapping[str, tuple[str, Mapping[str, Any]]],
    ) -> dict[str, ContentRecord]:
        """Return the records by id; what is still described by the same model has the same record."""
        made: dict[str, tuple[Model, ContentRecord]] = {}
        for number, (path, model) in enumerate(models.items()):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            one = self._made.get(path)
            if one is None or one[0] is not model or one[1]["fetched"] or path in opened:
                one = model, _content(path, model, opened.get(path), self._listings.hash_algorithm)
            made[path] = one
        self._made = made
        return {ids[path]: record for path, (_, record) in made.items()}

    def _watch_disk(self, found: Any) -> None:
        """Watch the folders of what was found."""
        if self._disk is None:
            return
        folders = set()
        for model, entries in found:
            local_path = self._listings.local_path(model["path"].strip("/"))
            if local_path is not None:
                folders.add(os.path.realpath(local_path if entries is not None else os.path.dirname(local_path)))
        self._disk.watch(folders)


class Folders:
    """What is in the folders that somebody looks at: the service of the table ``folders``."""

    name = "folders"
    resource = "contents"

    def __init__(self, contents: Contents, alone: bool) -> None:
        """Show the folders of `contents`; `alone` says that there is no other table that looks at it."""
        self._contents = contents
        self._alone = alone
        self.watch = contents.watch if alone else contents.follow

    async def list(self) -> Mapping[str, FolderRecord]:
        """Return the folders by file id, as they were when the contents were last listed."""
        if self._alone:
            await self._contents.list()
        return self._contents.folders


def _folder(path: str, entries: Any, ids: Mapping[str, str]) -> FolderRecord:
    children = {entry["name"]: ids[name] for entry in entries if (name := entry["path"].strip("/")) in ids}
    return {"path": path, "children": children}


def _content(path: str, model: Model, opened: tuple[str, Mapping[str, Any]] | None, algorithm: str) -> ContentRecord:
    room, document = opened or (None, {})
    return {
        "name": model["name"],
        "path": path,
        "type": model["type"],
        "writable": model["writable"],
        "created": iso(model["created"]),
        "last_modified": iso(model["last_modified"]),
        "size": model.get("size"),
        "mimetype": model.get("mimetype"),
        "format": room.partition(":")[0] if room else None,
        "hash": document.get("hash"),
        "hash_algorithm": algorithm if room else None,
        "room": room,
        "fetched": room is not None,
    }
