"""Two hundred actions in a row, by chance: then a client in another process has what Jupyter's REST API answers."""

from __future__ import annotations

import random
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from .asking import Server
from .test_follows import NOT_POLLED, agree, shows

SEED = 1
ACTIONS = 200
MOST_KERNELS = 4


class Crowd:
    """Does one thing after another to a server, as many people and programs would."""

    def __init__(self, server: Server, seed: int) -> None:
        """Act on `server`; the same `seed` makes the same choices."""
        self._server = server
        self._chance = random.Random(seed)
        self._folder = server.root / "folder"
        self._folder.mkdir()
        self._actions: list[Callable[[], Awaitable[object]]] = [
            self._start, self._shut_down, self._restart, self._execute, self._kill,
            self._open, self._rename, self._close, self._terminal, self._exit,
            self._write, self._write, self._move, self._remove, self._make, self._upload,
        ]  # fmt: skip
        self._number = 0

    async def act(self) -> None:
        """Do something."""
        await self._chance.choice(self._actions)()

    async def _one(self, path: str) -> Any:
        """Return one of what the REST API lists, or None."""
        found = await self._server.ask("GET", path)
        return self._chance.choice(found) if found else None

    async def _start(self) -> None:
        if len(await self._server.ask("GET", "api/kernels")) < MOST_KERNELS:
            await self._server.kernel()

    async def _shut_down(self) -> None:
        if kernel := await self._one("api/kernels"):
            await self._server.ask("DELETE", f"api/kernels/{kernel['id']}")

    async def _restart(self) -> None:
        if kernel := await self._one("api/kernels"):
            await self._server.ask("POST", f"api/kernels/{kernel['id']}/restart")

    async def _execute(self) -> None:
        if kernel := await self._one("api/kernels"):
            self._server.run(kernel["id"], "import time; time.sleep(0.05)")

    async def _kill(self) -> None:
        if self._chance.random() < 0.3 and (kernel := await self._one("api/kernels")):
            self._server.run(kernel["id"], "import os; os._exit(1)")

    async def _open(self) -> None:
        if len(await self._server.ask("GET", "api/kernels")) < MOST_KERNELS:
            name = self._name("ipynb")
            body = {"path": name, "name": name, "type": "notebook", "kernel": {"name": "python3"}}
            await self._server.ask("POST", "api/sessions", body)

    async def _rename(self) -> None:
        if session := await self._one("api/sessions"):
            await self._server.ask("PATCH", f"api/sessions/{session['id']}", {"path": self._name("ipynb")})

    async def _close(self) -> None:
        if session := await self._one("api/sessions"):
            await self._server.ask("DELETE", f"api/sessions/{session['id']}")

    async def _terminal(self) -> None:
        if len(await self._server.ask("GET", "api/terminals")) < MOST_KERNELS:
            await self._server.ask("POST", "api/terminals")

    async def _exit(self) -> None:
        if terminal := await self._one("api/terminals"):
            await self._server.ask("DELETE", f"api/terminals/{terminal['name']}")

    async def _write(self) -> None:
        (self._folder / self._name("txt")).write_text("x" * self._chance.randrange(100))

    async def _move(self) -> None:
        if there := list(self._folder.iterdir()):
            self._chance.choice(there).rename(self._folder / self._name("moved"))

    async def _remove(self) -> None:
        if there := list(self._folder.iterdir()):
            path = self._chance.choice(there)
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    async def _make(self) -> None:
        (self._folder / self._name("dir")).mkdir()

    async def _upload(self) -> None:
        body = {"type": "file", "format": "text", "content": "uploaded"}
        await self._server.ask("PUT", f"api/contents/folder/{self._name('up')}", body)

    def _name(self, ending: str) -> str:
        self._number += 1
        return f"{self._number}.{ending}"


@pytest.mark.timeout(400)
@pytest.mark.traits(Supernode=NOT_POLLED)
async def test_two_hundred_actions(home: Server) -> None:
    crowd = Crowd(home, SEED)
    async with home.copies() as copies:
        await home.supernode.refresh("contents", path="folder")
        for number in range(ACTIONS):
            await crowd.act()
            if number % 20 == 19:
                await shows(home, copies, "folder")
        await agree(home, copies, "sessions", "terminals", "kernelspecs")
        await shows(home, copies, "folder")

        def settled() -> bool:
            kernels = copies.records["kernels"].values()
            return all(kernel["execution_state"] == "idle" and kernel["info"] for kernel in kernels)

        await copies.until(settled)
        await agree(home, copies)
