"""The server extension: builds the parts, registers their routes, and stops them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import tornado
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.manager import ContentsManager
from jupyter_server.utils import url_path_join
from traitlets import Bool, TraitError

from . import __version__
from .documents import Documents, Files, Forks, HeldIds, History, Recovery, Timelines, files_of, follow_reverts
from .documents.handlers import (
    ConflictHandler,
    ConflictsHandler,
    CopiesHandler,
    CopyHandler,
    ForkHandler,
    HistoryHandler,
    RestoreHandler,
    SessionHandler,
    TimelineHandler,
    UndoRedoHandler,
)
from .kernels import Channels, Machine
from .machine import Backoff, OneThread, Tasks, settle_in, take_turns
from .managers import Derived, Managers
from .relay import Allowances, FreeRooms, Keeper, Presence, Relay, RoomKind, SQLiteStore
from .relay.handlers import FreeRoomHandler, RoomsHandler, RoomSocket, unexpected_names
from .supernode import Parts, Patience, Supernode, listings_of
from .supernode.actions import Contents, Kernels, Questions, Sessions, Shown, Spec, Tables, Terminals, Turns, declared
from .supernode.actions.handlers import routes
from .supernode.handlers import TableHandler, TablesHandler

_EVENTS = Path(__file__).parent / "events"
_SCHEMAS = {
    **{
        name: f"https://schema.jupyter.org/jupyter_collaboration/{name}/v1" for name in ("session", "awareness", "fork")
    },
    "store": "https://schema.jupyter.org/jupyter_rtc/store/v1",
}
OLD_OPTIONS = {
    "YDocExtension": {
        "disable_rtc": "JupyterRTC.disable_rtc",
        "document_cleanup_delay": "Relay.eviction_delay",
        "document_save_delay": "Documents.save_delay",
        "file_poll_interval": "Documents.poll_interval",
        "ystore_class": "Relay.store_class",
    },
    "SQLiteYStore": {"db_path": "SQLiteStore.path"},
}
"""The options of jupyter_server_ydoc, by their sections, and what they are called here."""
_CONTENTS_EVENTS = "https://events.jupyter.org/jupyter_server/contents_service/v1"


class ConflictError(RuntimeError):
    """Another extension serves the same documents; the text says which, and what to do."""


class JupyterRTC(ExtensionApp):
    """Real-time collaboration for Jupyter Server."""

    name = "jupyter_rtc"
    app_name = "Jupyter RTC"
    description = "Shared documents for JupyterLab and any Yjs client."
    load_other_extensions = True

    disable_rtc = Bool(
        False, help="Whether JupyterLab opens documents without collaboration (loading and saving them itself)."
    ).tag(config=True)

    classes = [Relay, Allowances, Keeper, Documents, Recovery, Timelines, Forks, SQLiteStore, Supernode, Questions]

    relay: Relay | None = None
    documents: Documents | None = None
    history: History | None = None
    timelines: Timelines | None = None
    forks: Forks | None = None
    channels: Channels | None = None
    supernode: Supernode | None = None
    questions: Questions | None = None
    actions: list[object] = []
    spec: Spec | None = None
    by_tornado = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patience = Patience()
        self.turns = Turns(self.patience)

    def initialize_settings(self) -> None:
        """Build the parts. Until the routes are registered, too, the front ends are told to do without."""
        page = self._server.web_app.settings.setdefault("page_config_data", {})
        page["disableRTC"] = True
        self._let_lab_start()
        try:
            self._take_over()
            self._build()
        except (ConflictError, TraitError) as error:
            self.log.error("jupyter_rtc is not loaded, and JupyterLab works without collaboration: %s", error)
            raise
        page.setdefault("serverSideExecution", False)

    def _build(self) -> None:
        self._register_events()
        if names := unexpected_names():
            self.by_tornado = True
            self.log.warning(
                "Tornado %s has changed inside (%s): it reads the WebSockets of rooms by itself, which is slower.",
                tornado.version,
                ", ".join(names),
            )
        managers = Managers(self._server)
        file_ids = Derived(managers.file_ids, lambda manager: HeldIds(manager, self.log))
        self.relay = relay = Relay([Presence()], lambda report: self._emit("store", report), parent=self)
        files = Derived(managers.contents, lambda manager: self._files_of(manager, managers.thread()))
        self.documents = Documents(relay, files, file_ids, self._emit, parent=self)
        self.history = History(self.documents)
        self.timelines = Timelines(self.documents, self.history, parent=self)
        self.forks = Forks(self.documents, self._emit, parent=self)
        self.channels = Channels(self._machine())
        self.supernode = Supernode(
            relay, self._parts(managers, self.documents, file_ids, self.channels), self.patience, parent=self
        )
        kinds: list[RoomKind] = [self.documents, self.timelines, self.forks, FreeRooms()]
        for kind in kinds:
            relay.add_kind(kind)
        self.actions = self._build_actions(managers, Shown(self.supernode, self.patience), self.channels)

    def initialize_handlers(self) -> None:
        """Register the routes."""
        self.handlers.extend(self.routes())
        self._server.web_app.settings["page_config_data"]["disableRTC"] = self.disable_rtc

    def routes(self) -> list[Any]:
        """Return the routes: of each its pattern, its handler, and what that works with."""
        room = {"relay": self.relay, "by_tornado": self.by_tornado}
        return [
            (r"/api/collaboration/session/(.+)", SessionHandler, {"documents": self.documents}),
            (r"/api/collaboration/timeline/(.+)", TimelineHandler, {"timelines": self.timelines}),
            (r"/api/collaboration/undo_redo/(.+)", UndoRedoHandler, {"timelines": self.timelines}),
            (r"/api/collaboration/fork/(.+)", ForkHandler, {"forks": self.forks}),
            (r"/api/rtc/history/(.+)", HistoryHandler, {"history": self.history}),
            (r"/api/collaboration/room/(.+)", RoomSocket, {**room, "free": False}),
            (r"/api/rtc/room/(.+)", RoomSocket, {**room, "free": True}),
            (r"/api/rtc/recovery", CopiesHandler, {"documents": self.documents}),
            (r"/api/rtc/recovery/([^/]+)", CopyHandler, {"documents": self.documents}),
            (r"/api/rtc/recovery/([^/]+)/restore", RestoreHandler, {"documents": self.documents}),
            (r"/api/rtc/conflicts", ConflictsHandler, {"documents": self.documents}),
            (r"/api/rtc/conflicts/([^/]+)", ConflictHandler, {"documents": self.documents}),
            (r"/api/rtc/rooms", RoomsHandler, {"relay": self.relay}),
            (r"/api/rtc/rooms/(.+)", FreeRoomHandler, {"relay": self.relay}),
            (r"/api/rtc/tables", TablesHandler, {"supernode": self.supernode}),
            (r"/api/rtc/tables/([^/]+)", TableHandler, {"supernode": self.supernode}),
            *routes(self.actions, self.turns, self.patience),
        ]

    def add_actions(self, owner: object) -> None:
        """Offer the actions that the class of `owner` declares, for another extension, once this one is loaded.

        They stand below ``api/rtc``, and in the OpenAPI document. Raises ValueError for a path that is taken.
        """
        assert self.spec is not None, "the extension is not loaded"
        taken = {action.path for known in self.actions for action in declared(type(known))}
        if clash := taken & {action.path for action in declared(type(owner))}:
            raise ValueError(f"there are actions already at {', '.join(sorted(clash))}")
        self.actions.append(owner)
        self.spec.add(type(owner))
        added = routes([owner], self.turns, self.patience)
        base = self._server.base_url
        self._server.web_app.add_handlers(".*$", [(url_path_join(base, pattern), *rest) for pattern, *rest in added])

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Begin to show the server in tables, all of which is loaded by now; let SIGINT end it as SIGTERM does.

        That is, if nobody else sees to SIGINT. At a terminal Jupyter Server asks first. Without one (a service, a
        container, Windows) it leaves the signal to Python, which would cut it off in the middle of whatever it does,
        with no word to its extensions.
        """
        if not self.handlers:
            return  # it could not be loaded
        settle_in()
        take_turns()
        if self.documents:
            self.documents.prepare()
            await self.documents.recovery.check()
        if self.supernode:
            self.supernode.start()
        alone = threading.current_thread() is threading.main_thread()
        if alone and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda *_: serverapp.stop(from_signal=True))

    async def stop_extension(self) -> None:
        """Save and store everything, then stop."""
        if self.questions:
            self.questions.close()
        if self.supernode:
            await self.supernode.stop()
        if self.channels:
            self.channels.close()
        if self.relay:
            await self.relay.close()
        if self.documents:
            await self.documents.stop()

    def _build_actions(self, managers: Managers, shown: Shown, channels: Channels) -> list[object]:
        """Return those who carry out actions."""
        turns = self.turns
        self.questions = Questions(managers.kernels, channels, parent=self)
        kernels = Kernels(managers.kernels, managers.kernelspecs, shown, turns)
        owners = [
            Tables(shown),
            Terminals(managers.terminals, managers.kernels, shown, turns),
            kernels,
            self.questions,
            Sessions(managers.sessions, kernels, shown, turns),
            Contents(managers.contents, managers.thread, shown, turns),
        ]
        self.spec = Spec(map(type, owners), self._server.base_url, __version__)
        return [*owners, self.spec]

    @property
    def _server(self) -> ServerApp:
        assert self.serverapp is not None, "the extension is not linked to a server"
        return self.serverapp

    def _take_over(self) -> None:
        """See to it that no other extension serves the same documents.

        Raises ConflictError where it cannot be done.
        """
        others = self._server.extension_manager.extensions
        if (theirs := others.get("jupyter_server_ydoc")) and theirs.enabled:
            # Extensions are loaded in the order of their names: theirs would come after ours. Left in the list, it
            # would still be told to stop, and fail.
            del others["jupyter_server_ydoc"]
            self.log.warning(
                "jupyter_server_ydoc is enabled too and is switched off for this server: jupyter_rtc serves its"
                " documents. `jupyter server extension disable jupyter_server_ydoc` makes this lasting."
            )
        elif find_spec("jupyter_server_ydoc"):
            self.log.info(
                "jupyter_server_ydoc is installed too and stays switched off: jupyter_rtc serves its documents."
            )
        for section, options in OLD_OPTIONS.items():
            for option in self._server.config.get(section, {}):
                now = f"is called {options[option]} now" if option in options else "has no counterpart here"
                self.log.warning("%s.%s is an option of jupyter_server_ydoc, and %s.", section, option, now)
        if (theirs := others.get("jupyter_server_documents")) and theirs.enabled:
            raise ConflictError(
                "jupyter_server_documents serves the same documents in another way, with front ends of its own."
                " Remove one of the two: `pip uninstall jupyter_server_documents` or `pip uninstall jupyter_rtc`."
            )

    def _let_lab_start(self) -> None:
        """Let JupyterLab start with its old option `collaborative`.

        With it, JupyterLab ends where it cannot import the package `jupyter_collaboration`, of which nothing is needed.
        """
        lab = self._server.extension_manager.extension_points.get("lab")
        if lab and lab.app and getattr(lab.app, "collaborative", False) and not find_spec("jupyter_collaboration"):
            lab.app.collaborative = False
            self.log.info("JupyterLab's option `collaborative` is not needed: jupyter_rtc collaborates by itself.")

    def _parts(
        self, managers: Managers, documents: Documents, file_ids: Derived[Any, HeldIds], channels: Channels
    ) -> Parts:
        """Return the parts of the server that tables show."""
        server = self._server
        return Parts(
            kernels=managers.kernels,
            channels=channels,
            sessions=managers.sessions,
            kernelspecs=managers.kernelspecs,
            terminals=managers.terminals,
            started=server.web_app.settings["started"],
            last_activity=server.web_app.last_activity,
            base_url=server.base_url,
            documents=documents.overview,
            listings=Derived(managers.contents, lambda manager: listings_of(manager, managers.thread())),
            file_ids=file_ids,
            gateway=server.gateway_config.url if server.gateway_config.gateway_enabled else None,
        )

    def _machine(self) -> Machine:
        """Return what channels to kernels use of the machine: those of one gateway are not to come back all at once."""
        jitter = Random()  # noqa: S311 - nobody is to be kept from guessing it
        return Machine(Tasks(self.log, "kernels").spawn, lambda first, longest: Backoff(first, longest, jitter=jitter))

    def _files_of(self, manager: ContentsManager, thread: OneThread) -> Files:
        """Return the files of a contents manager, which open documents follow."""
        assert self.documents is not None
        follow_reverts(manager, self.documents)
        return files_of(manager, thread)

    def _register_events(self) -> None:
        logger = self._server.event_logger
        assert logger is not None
        for name, schema in _SCHEMAS.items():
            if schema not in logger.schemas:
                logger.register_event_schema(_EVENTS / f"{name}.yaml")
        logger.add_listener(schema_id=_CONTENTS_EVENTS, listener=self._contents_changed)

    async def _contents_changed(self, logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        moved = data["action"] == "rename"
        if moved and self.documents:
            self.documents.moved(data["source_path"].strip("/"), data["path"].strip("/"))
        if self.supernode and data["action"] != "get":
            self.supernode.contents_changed(moved)

    def _emit(self, name: str, data: Mapping[str, Any]) -> None:
        assert self._server.event_logger is not None
        self._server.event_logger.emit(schema_id=_SCHEMAS[name], data=dict(data))
