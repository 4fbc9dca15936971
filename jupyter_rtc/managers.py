"""The managers of a Jupyter Server, looked up anew at each use: other extensions replace them after ours was loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.manager import ContentsManager

from .machine import OneThread

M = TypeVar("M")
T = TypeVar("T")

_REPLACED = ("contents_manager", "kernel_manager", "session_manager", "kernel_spec_manager")


class Managers:
    """What a server has for contents, kernels, sessions, ... at this moment.

    Jupytext, for one, puts a contents manager of its own in the place of the one that was there when it is loaded.
    So nobody keeps what these methods return.

    A replacement is set in the settings of the web application, where Jupyter Server's own handlers look, on the
    `ServerApp`, or on both. It is found in either place.
    """

    def __init__(self, server: ServerApp) -> None:
        """Look into `server`, whose web application has been made."""
        self._server = server
        self._settings = server.web_app.settings
        self._thread = Derived(self.contents, lambda _: OneThread("contents manager"))
        self._asked_for_ids = False
        self._first = {name: self._settings.get(name) for name in _REPLACED}

    def contents(self) -> ContentsManager:
        """Return the contents manager."""
        manager: ContentsManager = self._current("contents_manager")
        return manager

    def thread(self) -> OneThread:
        """Return the thread in which the contents manager is asked, unless it is asynchronous; each has its own."""
        return self._thread()

    def kernels(self) -> Any:
        """Return the mapping kernel manager."""
        return self._current("kernel_manager")

    def sessions(self) -> Any:
        """Return the session manager."""
        return self._current("session_manager")

    def kernelspecs(self) -> Any:
        """Return the kernelspec manager."""
        return self._current("kernel_spec_manager")

    def terminals(self) -> Any:
        """Return the terminal manager, whose extension is loaded after ours; None where there is none."""
        return self._settings.get("terminal_manager")

    def file_ids(self) -> Any:
        """Return the manager of file ids, whose extension is loaded now if it was not yet; None if it cannot be."""
        if "file_id_manager" not in self._settings and not self._asked_for_ids:
            self._asked_for_ids = True
            extensions = self._server.extension_manager
            extensions.add_extension("jupyter_server_fileid", enabled=True)
            extensions.link_extension("jupyter_server_fileid")
            extensions.load_extension("jupyter_server_fileid")
        return self._settings.get("file_id_manager")

    def _current(self, name: str) -> Any:
        used = self._settings.get(name)
        return used if used is not self._first[name] else getattr(self._server, name)


class Derived(Generic[M, T]):
    """Something that is made for a manager, and made anew once another manager has taken its place."""

    def __init__(self, manager: Callable[[], M], make: Callable[[M], T]) -> None:
        """Make things with `make` of what `manager` returns; nothing is made yet."""
        self._manager = manager
        self._make = make
        self._made: tuple[M, T] | None = None

    def __call__(self) -> T:
        """Return what was made for the manager of this moment."""
        manager = self._manager()
        if self._made is None or self._made[0] is not manager:
            self._made = manager, self._make(manager)
        return self._made[1]
