"""Terminals: open, end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

from .definition import ActionError, Created, Right, action
from .forms import PATH, TERMINAL, fields
from .paths import normal
from .shown import Shown
from .turns import Turns

_WRITE = Right("write", "terminals")
_NONE = "the server has no terminals"


class Terminals:
    """The terminals of the extension `jupyter_server_terminals`."""

    def __init__(
        self, manager: Callable[[], Any], kernels: Callable[[], MappingKernelManager], shown: Shown, turns: Turns
    ) -> None:
        """Act on the terminals of the manager that `manager` returns; it is loaded after us, or never: None.

        The kernel manager that `kernels` returns knows which folder of the disk an API path is.
        """
        self._turns = turns
        self._find = manager
        self._kernels = kernels
        self._shown = shown

    @action(
        "POST terminals",
        _WRITE,
        files={"path": "read"},
        body=fields(path=PATH),
        answers={201: TERMINAL},
        errors={501: _NONE},
    )
    async def create(self, *, path: str = "") -> Created:
        """Open a terminal.

        Its shell begins in the folder `path`, or in the nearest one above it that is on the server's disk.
        """
        folder = self._kernels().cwd_for_path(normal(path, "path"))
        model = self._manager.create(cwd=folder)
        name = model["name"]
        return Created(await self._shown.record("terminals", name, model), f"terminals/{name}")

    @action(
        "DELETE terminals/{name}", _WRITE, answers={204: None}, errors={404: "there is no such terminal", 501: _NONE}
    )
    async def delete(self, name: str) -> None:
        """End a terminal, and what runs in it."""
        manager = self._manager
        async with self._turns.of("the end of a terminal", f"terminal {name}"):
            if name not in manager.terminals:
                raise ActionError(404, f"there is no terminal {name!r}")
            await manager.terminate(name, force=True)
        self._shown.hint("terminals")

    @property
    def _manager(self) -> Any:
        manager = self._find()
        if manager is None:
            raise ActionError(501, f"{_NONE}: jupyter_server_terminals is not installed, or is switched off")
        return manager
