"""The services of Jupyter Server as tables show them: kernelspecs, sessions, terminals, and the server's status."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from jupyter_core.utils import ensure_async
from jupyter_server.utils import url_path_join

from ..machine import Pool
from .kernels import Kernels
from .records import DocumentRecord, KernelSpecRecord, SessionRecord, StatusRecord, TerminalRecord, iso
from .service import Changed
from .wraps import Hooks


def _nothing() -> None:
    """End a watch that has nothing to end."""


class KernelSpecs:
    """The kinds of kernels that can be started. Nobody tells when one is installed: they are polled."""

    name = "kernelspecs"
    resource = "kernelspecs"

    def __init__(self, specs: Callable[[], Any], kernels: Callable[[], Any], base_url: str, host: str | None) -> None:
        """List what the manager has that `specs` returns; the one that `kernels` returns knows the default.

        `base_url` is the server's; `host` is the URL of the gateway that has them, None for this server.
        """
        self._specs = specs
        self._kernels = kernels
        self._base_url = base_url
        self._host = host
        self._pool = Pool()  # a folder that hangs costs two threads, and not those in which documents are saved

    async def list(self) -> Mapping[str, KernelSpecRecord]:
        """Return the kernelspecs by name."""
        manager = self._specs()
        if inspect.iscoroutinefunction(manager.get_all_specs):
            specs = await manager.get_all_specs()
        else:  # reads a folder for each
            specs = await self._pool.run(manager.get_all_specs)
        return await self._pool.run(self._records, specs, self._kernels().default_kernel_name)

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Have nothing to watch."""
        return _nothing

    def _records(self, specs: Mapping[str, Any], default: str) -> dict[str, KernelSpecRecord]:
        return {
            name: {
                "name": name,
                "default": name == default,
                "spec": described["spec"],
                "resources": described["resources"] if "resources" in described else self._resources(name, described),
                "host": self._host,
            }
            for name, described in specs.items()
            if described.get("spec") is not None
        }

    def _resources(self, name: str, described: Mapping[str, Any]) -> dict[str, str]:
        """Return the URLs of a kernel's files, by the names that Jupyter Server gives them."""
        folder = Path(described.get("resource_dir") or "")
        files = {file: folder / file for file in ("kernel.js", "kernel.css") if (folder / file).exists()}
        files |= {logo.stem: logo for logo in folder.glob("logo-*")}
        return {key: url_path_join(self._base_url, "kernelspecs", name, file.name) for key, file in files.items()}


class Sessions:
    """What people work with, and the kernels they do it with. The session manager tells nobody: it is wrapped."""

    name = "sessions"
    resource = "sessions"

    def __init__(self, manager: Callable[[], Any], kernels: Kernels) -> None:
        """List the sessions of what `manager` returns, whose kernels are `kernels`."""
        self._manager = manager
        self._kernels = kernels
        self._hooks: list[Hooks] = []

    async def list(self) -> Mapping[str, SessionRecord]:
        """Return the sessions by id."""
        for hooks in self._hooks:
            hooks.follow()
        return {model["id"]: self._record(model) for model in await ensure_async(self._manager().list_sessions())}

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call `changed` when a session was made, changed or deleted, and when a kernel was."""
        methods = ("save_session", "update_session", "delete_session")
        hooks = Hooks(self._manager, dict.fromkeys(methods, lambda _: changed()))
        hooks.follow()
        self._hooks.append(hooks)
        unwatch = self._kernels.watch(changed)

        def end() -> None:
            self._hooks.remove(hooks)
            hooks.undo()
            unwatch()

        return end

    def _record(self, model: Mapping[str, Any]) -> SessionRecord:
        kernel_id = (model.get("kernel") or {}).get("id")
        return {
            "path": model["path"],
            "name": model["name"],
            "type": model["type"],
            "kernel_id": kernel_id,
            "state": self._kernels.state(kernel_id),
        }


class Terminals:
    """The terminals. Their manager tells nobody: it is wrapped; without one there are none."""

    name = "terminals"
    resource = "terminals"

    def __init__(self, manager: Callable[[], Any], rounding: float) -> None:
        """List the terminals of what `manager` returns, None where the server has none.

        Times of last activity are rounded down to `rounding` seconds.
        """
        self._manager = manager
        self._rounding = rounding
        self._hooks: list[Hooks] = []

    async def list(self) -> Mapping[str, TerminalRecord]:
        """Return the terminals by name."""
        for hooks in self._hooks:
            hooks.follow()
        manager = self._manager()
        if manager is None:
            return {}
        return {name: self._record(name, terminal) for name, terminal in manager.terminals.items()}

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call `changed` when a terminal was made, was active or is gone."""
        shown = [0.0]

        def active(_: bool) -> None:
            """Pass on that a terminal was active, but not more often than it can be seen."""
            now = datetime.now().timestamp() // (self._rounding or 1.0)
            if now != shown[0]:
                shown[0] = now
                changed()

        methods = ("new_terminal", "terminate", "on_eof")
        hooks = Hooks(self._manager, {**dict.fromkeys(methods, lambda _: changed()), "pre_pty_read_hook": active})
        hooks.follow()
        self._hooks.append(hooks)

        def end() -> None:
            self._hooks.remove(hooks)
            hooks.undo()

        return end

    def _record(self, name: str, terminal: Any) -> TerminalRecord:
        return {"name": name, "last_activity": iso(getattr(terminal, "last_activity", None), self._rounding) or ""}


class Status:
    """The server as a whole, as ``GET api/status`` describes it."""

    name = "status"
    resource = "api"

    def __init__(
        self, started: datetime, last_activity: Callable[[], datetime], kernels: Kernels, rounding: float
    ) -> None:
        """Describe the server with these `kernels`; the last activity is rounded down to `rounding` seconds."""
        self._started = started
        self._last_activity = last_activity
        self._kernels = kernels
        self._rounding = rounding

    async def list(self) -> Mapping[str, StatusRecord]:
        """Return the one record."""
        kernels, connections = self._kernels.count()
        return {
            "status": {
                "started": iso(self._started) or "",
                "last_activity": iso(self._last_activity(), self._rounding) or "",
                "connections": connections,
                "kernels": kernels,
            }
        }

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call `changed` when there is something new of a kernel; the rest is polled."""
        return self._kernels.watch(changed)


class OpenDocuments(Protocol):
    """What is used of the documents: those that are open now.

    Attributes:
        revision: a number that changes whenever a document is opened, closed, moved or saved.
    """

    revision: int

    def records(self) -> Mapping[str, Any]:
        """Return what is known of each open document, by the name of its room."""
        ...

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call `changed` whenever a record comes, goes, or is another one; returns what ends it."""
        ...

    async def open(self, path: str, form: str, kind: str) -> object:
        """Open the document of a file, in the usual type or format where these are empty.

        Raises ValueError for a type or format that does not exist, OSError where the file cannot be read.
        """
        ...


class Documents:
    """The documents that somebody has open."""

    name = "documents"
    resource = "contents"

    def __init__(self, documents: OpenDocuments) -> None:
        """List `documents`."""
        self._documents = documents
        self.watch = documents.watch

    async def list(self) -> Mapping[str, DocumentRecord]:
        """Return the open documents, by the name of their room."""
        return self._documents.records()
