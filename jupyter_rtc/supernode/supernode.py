"""The server as an always-present author: keeps a shared table like each service of Jupyter Server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from traitlets import Enum, Float, Integer
from traitlets import List as ListTrait
from traitlets.config import LoggingConfigurable

from ..kernels import Channels
from ..machine import Tasks
from ..relay import Relay
from .contents import Bounds, Contents, FileIds, Folders
from .kernels import Kernels
from .listings import Listings
from .mirror import Mirror
from .patience import Patience
from .service import Service
from .services import Documents, KernelSpecs, OpenDocuments, Sessions, Status, Terminals

TABLES = ("kernelspecs", "status", "terminals", "kernels", "sessions", "contents", "folders", "documents")


@dataclass(frozen=True)
class Parts:
    """The parts of Jupyter Server that tables show.

    Attributes:
        kernels: returns the mapping kernel manager of this moment, as others may replace it. So do the next ones.
        channels: the channels to its kernels.
        sessions: returns the session manager.
        kernelspecs: returns the kernelspec manager.
        terminals: returns the terminal manager, None where there is none; its extension is loaded after ours.
        started: when the server was started.
        last_activity: returns when it last did something.
        base_url: the URL path under which everything is served.
        documents: what is open now.
        listings: returns what lists files and folders.
        file_ids: returns the manager of file ids, whose extension is loaded after ours.
        gateway: the URL of the gateway that has the kernels, None where they are here.
    """

    kernels: Callable[[], Any]
    channels: Channels
    sessions: Callable[[], Any]
    kernelspecs: Callable[[], Any]
    terminals: Callable[[], Any]
    started: datetime
    last_activity: Callable[[], datetime]
    base_url: str
    gateway: str | None
    documents: OpenDocuments
    listings: Callable[[], Listings]
    file_ids: Callable[[], FileIds]


class Supernode(LoggingConfigurable):
    """Shows what the server is doing in shared tables, one room for each."""

    shown = ListTrait(
        Enum(TABLES), list(TABLES), help="The tables that there are; one that is not named here is switched off."
    ).tag(config=True)
    kernelspecs_interval = Float(
        60.0, min=0, help="Seconds between two looks at the kernelspecs, of which nobody tells; 0 turns polling off."
    ).tag(config=True)
    status_interval = Float(
        10.0, min=0, help="Seconds between two looks at the status, besides those when a kernel changes; 0: no others."
    ).tag(config=True)
    terminals_interval = Float(
        10.0, min=0, help="Seconds between two looks at the terminals, besides those when one changes; 0: no others."
    ).tag(config=True)
    kernels_interval = Float(
        5.0,
        min=0,
        help="Seconds between two looks at the kernels, besides those when one changes; 0: no others. The kernels of"
        " a gateway are seen to change only at these.",
    ).tag(config=True)
    sessions_interval = Float(
        10.0, min=0, help="Seconds between two looks at the sessions, besides those when one changes; 0: no others."
    ).tag(config=True)
    documents_interval = Float(
        10.0,
        min=0,
        help="Seconds between two looks at the open documents, besides those when one changes; 0: no others.",
    ).tag(config=True)
    contents_interval = Float(
        5.0,
        min=0,
        help="Seconds between two looks at the files and folders that somebody looks at, besides those when one"
        " changes; 0: no others. On a local disk changes are noticed at once by notification; polling is for other"
        " contents managers and for network disks. It takes at most a twentieth of the time.",
    ).tag(config=True)
    max_paths = Integer(
        100, min=1, help="How many files and folders that were asked for are looked at; then the oldest is forgotten."
    ).tag(config=True)
    contents_kept = Float(
        600.0,
        min=0,
        help="Seconds for which a file or folder that was asked for is looked at, although nobody has one of the two"
        " tables open.",
    ).tag(config=True)
    activity_rounding = Float(
        60.0,
        min=0,
        help="Seconds to whose multiples times of last activity are rounded down: one changes with every message, and"
        " each change would be sent to everybody. 0 rounds nothing.",
    ).tag(config=True)

    def __init__(self, relay: Relay, parts: Parts, patience: Patience, **kwargs: Any) -> None:
        """Make the tables of `parts`, to be shown in rooms of `relay`; nothing is looked at before `start`."""
        super().__init__(**kwargs)
        self._relay = relay
        self._patience = patience
        self._started = False
        self._tasks = Tasks(self.log, "supernode")
        self._mirrors: dict[str, Mirror] = {}
        self._contents = self._make_contents(parts)
        for service in self._services(parts):
            if service.name in self.shown:
                self.add(service, self._interval(service.name))
        looking = [mirror for name, mirror in self._mirrors.items() if name in ("contents", "folders")]
        self._contents.is_watched = lambda: any(mirror.is_watched for mirror in looking)

    @property
    def tables(self) -> Mapping[str, Mirror]:
        """The tables that are switched on, by name; each owns its room."""
        return MappingProxyType(self._mirrors)

    def add(self, service: Service, interval: float = 0.0) -> None:
        """Show one more service, of this package or of another extension, in a table and a room of its own.

        It is looked at whenever it says so, and every `interval` seconds besides (0: no others), from `start`
        on, or from now on where that was before. Raises ValueError where there is a table of this name.
        """
        if service.name in self._mirrors:
            raise ValueError(f"there is a table {service.name!r} already")
        self._mirrors[service.name] = mirror = Mirror(service, self._relay, interval, self._patience, self.log)
        self._relay.add_kind(mirror)
        if self._started:
            self._tasks.spawn(mirror.run())

    def start(self) -> None:
        """Begin to look, on the running event loop. Does nothing the second time."""
        if not self._started:
            self._started = True
            for mirror in self._mirrors.values():
                self._tasks.spawn(mirror.run())

    async def stop(self) -> None:
        """Look no longer, and leave the parts of the server as they were found."""
        await self._tasks.stop()

    def hint(self, name: str) -> None:
        """Say that there may be something new for a table, if it is switched on."""
        if mirror := self._mirrors.get(name):
            mirror.hint()

    async def refresh(self, name: str, **what: Any) -> None:
        """Return when a table shows what there was when this was called, or later.

        Of the contents and the folders, `what` says which: `path`, and of a file perhaps `content` (whether to open its
        document), `type` and `format` (of the document); it is looked at from now on.

        Raises:
            KeyError: there is no such table, or it is switched off.
            ValueError: there is no such type of documents, or not in this format.
            MissingError: there is no such file or folder.
            ServiceError: what it shows cannot be listed for now.
        """
        mirror = self._mirrors[name]
        if what:
            await self._contents.want(**what)
        if name in ("contents", "folders"):  # the folders are those of the last look at the contents
            await self._mirrors.get("contents", mirror).look()
            mirror = self._mirrors.get("folders", mirror)
        await mirror.look()

    def contents_changed(self, moved: bool) -> None:
        """Say that a file or a folder was made, changed, deleted, or `moved`."""
        self._contents.changed(moved)

    def _interval(self, name: str) -> float:
        """Return the seconds between two looks at a service that nobody asked for."""
        if name == "folders" and "contents" in self.shown:  # they are looked at together
            return 0.0
        interval: float = getattr(self, f"{'contents' if name == 'folders' else name}_interval")
        return interval

    def _make_contents(self, parts: Parts) -> Contents:
        bounds = Bounds(self.max_paths, self.contents_kept)
        return Contents(parts.listings, parts.file_ids, parts.documents, bounds, self.log)

    def _services(self, parts: Parts) -> list[Service]:
        kernels = Kernels(parts.kernels, parts.channels, self.activity_rounding)
        return [
            KernelSpecs(parts.kernelspecs, parts.kernels, parts.base_url, parts.gateway),
            Status(parts.started, parts.last_activity, kernels, self.activity_rounding),
            Terminals(parts.terminals, self.activity_rounding),
            kernels,
            Sessions(parts.sessions, kernels),
            self._contents,
            Folders(self._contents, alone="contents" not in self.shown),
            Documents(parts.documents),
        ]
