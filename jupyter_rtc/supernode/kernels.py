"""The kernels of the server: their state by observation, how often each was restarted, and what each says of itself."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from jupyter_core.utils import ensure_async
from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

from ..kernels import Channels
from .introductions import Introductions
from .records import KernelRecord, iso
from .service import Changed
from .wraps import Hooks, Wraps

_OBSERVED = ["execution_state", "reason", "last_activity"]
_MOST_PASSED = 50
_STATES = frozenset(("starting", "idle", "busy", "restarting", "dead"))
_OF_THE_MANAGER = ("start_kernel", "remove_kernel", "notify_connect", "notify_disconnect")
_OF_A_KERNEL = ("shutdown_kernel", "interrupt_kernel")


class _Attended(NamedTuple):
    """A kernel that is observed: its manager, what was wrapped of it, and the states that were not listed yet.

    A short execution is over before the table is looked at: it is shown nevertheless, one state at a look.
    """

    manager: Any
    wraps: Wraps
    passed: deque[str]


class Kernels:
    """The kernels of a kernel manager: one more service, and what others need to know of kernels.

    What is not there to be observed (a gateway's kernels change somewhere else) is seen at the next look.
    """

    name = "kernels"
    resource = "kernels"

    def __init__(self, manager: Callable[[], MappingKernelManager], channels: Channels, rounding: float) -> None:
        """List the kernels of what `manager` returns, which are asked over `channels` what they are.

        Times of last activity are rounded down to `rounding` seconds.
        """
        self._find = manager
        self._rounding = rounding
        self._hooks = Hooks(manager, dict.fromkeys(_OF_THE_MANAGER, lambda _: self._look()))
        self._watchers: list[Changed] = []
        self._attended: dict[str, _Attended] = {}
        self._restarts: dict[str, int] = {}
        self._restarting: set[str] = set()
        self._introductions = Introductions(channels, self._tell)

    async def list(self) -> Mapping[str, KernelRecord]:
        """Return the kernels by id."""
        models: Mapping[str, Mapping[str, Any]] = {}
        if self._watchers:
            self._hooks.follow()
        if inspect.iscoroutinefunction(
            self._manager.list_kernels
        ):  # asks the gateway, and takes what it says into the kernels here
            models = {model["id"]: model for model in await ensure_async(self._manager.list_kernels())}
        self._attend()
        records = {id: self._record(id, models.get(id, {})) for id in self._ids()}
        if any(kernel.passed for kernel in self._attended.values()):
            self._tell()
        return records

    def count(self) -> tuple[int, int]:
        """Return how many kernels there are, and how many clients are connected to them."""
        ids = self._ids()
        return len(ids), sum(map(self._connections, ids))

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call `changed` whenever a kernel comes, goes or changes."""
        self._hooks.follow()
        self._watchers.append(changed)

        def unwatch() -> None:
            self._watchers.remove(changed)
            if not self._watchers:
                self._hooks.undo()
                for id in list(self._attended):
                    self._let_go(id)

        return unwatch

    def state(self, id: str | None) -> str:
        """Return how it stands with the start of a kernel: pending, created or error."""
        kernel = self._manager.get_kernel(id) if id and id in self._manager else None
        ready = getattr(kernel, "ready", None)
        if ready is None or not hasattr(ready, "done"):
            return "created"
        if not ready.done():
            return "created" if getattr(kernel, "has_kernel", False) else "pending"
        return "error" if ready.cancelled() or ready.exception() else "created"

    # ------------------------------------------------------------------ records

    @property
    def _manager(self) -> MappingKernelManager:
        return self._find()

    def _ids(self) -> tuple[str, ...]:
        return tuple(self._manager.list_kernel_ids())

    def _record(self, id: str, model: Mapping[str, Any]) -> KernelRecord:
        kernel = self._manager.get_kernel(id)
        passed = self._attended[id].passed if id in self._attended else ()
        state = passed.popleft() if passed else getattr(kernel, "execution_state", None)
        if id in self._restarting:
            state = "restarting"
        return {
            "name": model.get("name") or kernel.kernel_name,
            "last_activity": iso(getattr(kernel, "last_activity", None), self._rounding),
            "connections": self._connections(id),
            "execution_state": state if state in _STATES else "unknown",
            "reason": getattr(kernel, "reason", "") or "",
            "incarnation": self._restarts.get(id, 0),
            "info": self._introductions.of(id),
        }

    def _connections(self, id: str) -> int:
        return int(self._manager._kernel_connections.get(id, 0))

    # ------------------------------------------------------------------ observation

    def _tell(self) -> None:
        for watcher in list(self._watchers):
            watcher()

    def _look(self) -> None:
        """Attend to the kernels there are now, and say so."""
        self._attend()
        self._tell()

    def _attend(self) -> None:
        if not self._watchers:
            return
        ids = set(self._ids())
        for id, attended in list(self._attended.items()):
            if id not in ids or self._manager.get_kernel(id) is not attended.manager:
                self._let_go(id)
        for id in ids - self._attended.keys():
            self._take_on(id)

    def _take_on(self, id: str) -> None:
        kernel, wraps = self._manager.get_kernel(id), Wraps()
        self._attended[id] = _Attended(kernel, wraps, deque(maxlen=_MOST_PASSED))
        wraps.after(kernel, "restart_kernel", lambda done: self._restarted(id, done), lambda: self._restart_begins(id))
        for method in _OF_A_KERNEL:
            wraps.after(kernel, method, lambda _: self._look())
        wraps.observe(kernel, _OBSERVED, self._observed)
        self._introductions.ask(id, kernel)

    def _let_go(self, id: str) -> None:
        self._attended.pop(id).wraps.undo()
        self._introductions.forget(id)
        self._restarting.discard(id)
        self._restarts.pop(id, None)

    def _observed(self, change: Any) -> None:
        if change["name"] == "last_activity" and not self._is_later(change["old"], change["new"]):
            return
        if change["name"] == "execution_state":
            for kernel in self._attended.values():
                if kernel.manager is change["owner"]:
                    kernel.passed.append(change["new"])
        self._tell()

    def _is_later(self, old: Any, new: Any) -> bool:
        """Say whether a time of last activity differs when it is rounded. It changes with every message."""
        if not (isinstance(old, datetime) and isinstance(new, datetime) and self._rounding):
            return True
        return old.timestamp() // self._rounding != new.timestamp() // self._rounding

    def _restart_begins(self, id: str) -> None:
        self._restarting.add(id)
        self._introductions.forget(id)
        self._tell()

    def _restarted(self, id: str, done: bool) -> None:
        self._restarting.discard(id)
        if attended := self._attended.get(id):
            if done:
                self._restarts[id] = self._restarts.get(id, 0) + 1
            # It is "busy" for ever if it died of that, and "starting" until it is asked something.
            attended.manager.execution_state = "starting"
            self._introductions.ask(id, attended.manager)
        self._tell()
