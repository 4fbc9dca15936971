"""Kernels: start, shut down, interrupt, restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import ensure_async
from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

from .definition import ActionError, Created, Right, action
from .forms import KERNEL, KERNEL_NAME, PATH, fields
from .jupyter import managing, starting
from .paths import normal
from .shown import Shown
from .turns import Turns

_WRITE = Right("write", "kernels")
_GONE = "there is no such kernel"


class Kernels:
    """The kernels of the server's kernel manager, whichever that is at the moment.

    What would end or replace a kernel's process happens one after the other: a kernel that is shut down while it is
    restarted would go on without anybody who knows of it.
    """

    def __init__(
        self,
        manager: Callable[[], MappingKernelManager],
        specs: Callable[[], KernelSpecManager],
        shown: Shown,
        turns: Turns,
    ) -> None:
        """Act on the kernels of what `manager` returns, and `specs` their specs; `turns` are the sessions' too."""
        self._find = manager
        self._specs = specs
        self._shown = shown
        self._turns = turns

    @action(
        "POST kernels",
        _WRITE,
        files={"path": "read"},
        body=fields(name=KERNEL_NAME, path=PATH),
        answers={201: KERNEL},
        errors={
            400: "there is no such kernel spec",
            501: "no name is given, and the server has no default kernel",
            502: "the kernel does not start",
        },
    )
    async def create(self, *, name: str | None = None, path: str | None = None) -> Created:
        """Start a kernel.

        It works in the folder `path`, or in the nearest one above it that is on the server's disk.
        """
        folder = None if path is None else normal(path, "path")
        await self.check_spec(name, "name")
        with starting():
            id: str = await ensure_async(self._manager.start_kernel(kernel_name=name, path=folder))
        return Created(await self._record(id), f"kernels/{id}")

    @action("DELETE kernels/{id}", _WRITE, answers={204: None}, errors={404: _GONE})
    async def delete(self, id: str) -> None:
        """Shut a kernel down.

        Its sessions end with it.
        """
        async with self._turns.of("the end of a kernel", f"kernel {id}"):
            self.check(id)
            with managing(_GONE):
                await ensure_async(self._manager.shutdown_kernel(id))
        self._shown.hint("kernels", "sessions")

    @action("POST kernels/{id}/interrupt", _WRITE, answers={204: None}, errors={404: _GONE, 409: "its process is gone"})
    async def interrupt(self, id: str) -> None:
        """Interrupt a kernel: what it runs ends with a KeyboardInterrupt, or as its language has it."""
        self.check(id)
        with managing(_GONE):
            await ensure_async(self._manager.interrupt_kernel(id))
        self._shown.hint("kernels")

    @action(
        "POST kernels/{id}/restart",
        _WRITE,
        answers={200: KERNEL},
        errors={404: _GONE, 409: "it is starting, and cannot be restarted now", 502: "the kernel does not start"},
    )
    async def restart(self, id: str) -> dict[str, Any]:
        """Restart a kernel: a new process, under the same id.

        The answer does not wait for that process to be ready.
        """
        async with self._turns.of("the restart of a kernel", f"kernel {id}"):
            self.check(id)
            with managing(_GONE):
                await self._manager.restart_kernel(id)
        return await self._record(id)

    def check(self, id: str, field: str = "") -> None:
        """Raise ActionError if there is no such kernel: 404, or 400 if the id came in a field of the body."""
        if id not in self._manager:
            raise ActionError(400 if field else 404, f"there is no kernel {id!r}", field)

    async def check_spec(self, name: str | None, field: str) -> None:
        """Raise ActionError if there is no kernel spec of this name, which came in a field of the body; None = default.

        To be asked before a kernel is started: a start that fails leaves much in the log, and in the kernel manager.
        """
        wanted = name or self._manager.default_kernel_name
        try:
            with managing(f"there is no kernel spec {wanted!r}"):
                await ensure_async(self._specs().get_kernel_spec(wanted))
        except ActionError as error:
            if error.status != 404:
                raise
            if name is None:
                raise ActionError(501, f"the server has no default kernel: {error}") from None
            raise ActionError(400, f"there is no kernel spec {name!r}", field) from None

    @property
    def _manager(self) -> Any:
        return self._find()

    async def _record(self, id: str) -> dict[str, Any]:
        with managing(_GONE):
            model = await ensure_async(self._manager.kernel_model(id))
        return await self._shown.record("kernels", id, {"reason": "", **model})
