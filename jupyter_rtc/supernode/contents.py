"""Files and folders that somebody looks at: those that were asked for, and those that are open.

Nothing is given a file id here. The manager of file ids follows a rename only where nothing has the new path yet: an id
given to a file that is just being moved would cost an open document its own, and with it its room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from logging import Logger, LoggerAdapter
from posixpath import dirname
from time import monotonic
from typing import Any, NamedTuple, Protocol, TypeAlias

from ..machine import Look, Watcher
from .listings import Listings, Model
from .records import ContentRecord, FolderRecord, iso
from .service import Changed
from .services import OpenDocuments

_AT_ONCE = 200
_GATHER = 0.08

_Opened: TypeAlias = tuple[str, Mapping[str, Any]] | None
"""The room of a file that is open, and what is known of its document."""


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
        self._made: dict[str, tuple[Model, _Opened, ContentRecord]] = {}
        self._revision = documents.revision
        self._watchers: list[Changed] = []
        self._followers: list[Changed] = []
        self._disk: Watcher | None = None

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
        paths = self._paths()
        listings = dict(zip(paths, await self._listings.list_all(paths), strict=True))
        for gone in [path for path, listing in listings.items() if listing is None]:
            self._asked.pop(gone, None)  # it is not looked at any more, until it is asked for again
        found = [listing for listing in listings.values() if listing]
        self._watch_disk(found)
        models = {_path(entry): entry for _, entries in found for entry in entries or ()}
        models |= {_path(model): model for model, _ in found}
        opened = {record["path"]: (room, record) for room, record in self._documents.records().items()}
        ids = await self._identify(models, {path: record["file_id"] for path, (_, record) in opened.items()})
        records = await self._records(models, ids, opened)
        folders = {
            ids[_path(model)]: _folder(_path(model), entries, ids)
            for model, entries in found
            if entries is not None and _path(model) in ids
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
            self._disk = Watcher(lambda _: self._tell(), self._log, Look(_GATHER))
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
        opened: Mapping[str, _Opened],
    ) -> dict[str, ContentRecord]:
        """Return the records by id; what is described as before has the same record."""
        made: dict[str, tuple[Model, _Opened, ContentRecord]] = {}
        for number, (path, model) in enumerate(models.items()):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            one, document = self._made.get(path), opened.get(path)
            if one is None or one[0] is not model or one[1] != document:
                one = model, document, _content(path, model, document, self._listings.hash_algorithm)
            made[path] = one
        self._made = made
        return {ids[path]: record for path, (_, _, record) in made.items()}

    def _watch_disk(self, found: Any) -> None:
        """Watch the folders of what was found."""
        if self._disk is None:
            return
        places = ((_path(model), entries) for model, entries in found)
        paths = {path if entries is not None else dirname(path) for path, entries in places}
        local_paths = filter(None, map(self._listings.local_path, paths))
        self._disk.watch_folders(local_paths)


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


def _path(model: Model) -> str:
    path: str = model["path"]
    return path.strip("/")


def _folder(path: str, entries: Any, ids: Mapping[str, str]) -> FolderRecord:
    children = {entry["name"]: ids[name] for entry in entries if (name := _path(entry)) in ids}
    return {"path": path, "children": children}


def _content(path: str, model: Model, opened: _Opened, algorithm: str) -> ContentRecord:
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
