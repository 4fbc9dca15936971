"""y-websocket's own provider, in Node.js processes: where its packages come from, and how a page is driven."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from awaiting import PATIENCE, until

HERE = Path(__file__).parent
PAGE = HERE / "y_websocket.mjs"


def installed() -> Path:
    """Return a folder with the packages that package-lock.json names, installed by npm where they are not yet.

    It is kept in the user's cache folder, one for each content of the lock. Without Node.js and npm the test is
    skipped; in CI, where they are installed, it fails.
    """
    if missing := [name for name in ("node", "npm") if shutil.which(name) is None]:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not installed here: {' and '.join(missing)}")
    wanted = [HERE / "package.json", HERE / "package-lock.json"]
    key = sha256(b"".join(path.read_bytes() for path in wanted)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyter-rtc-tests"
    if not (cache / key).exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:  # whole or not at all, whoever else installs
            for path in wanted:
                shutil.copy(path, folder)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
            assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
            (ready := Path(folder) / "ready").mkdir()
            (Path(folder) / "node_modules").rename(ready / "node_modules")
            with suppress(OSError):  # somebody else was faster
                ready.rename(cache / key)
    return cache / key


class Page:
    """One Node.js process with a document and a `WebsocketProvider`.

    Attributes:
        text: the shared text.
        others: the awareness states of the others.
        online: whether the provider is connected and in sync.
        said: what the process said that was no report: errors and warnings.
    """

    def __init__(self, process: Process) -> None:
        """Drive a page that runs as `process`."""
        self.text = ""
        self.others: list[dict[str, Any]] = []
        self.online = False
        self.said = ""
        self._process = process
        self._reading = asyncio.gather(self._read(), self._read_errors())

    @classmethod
    async def open(cls, packages: Path, url: str, room: str, token: str) -> Page:
        """Start a page in `room` with a person's `token`; `packages` is what `installed` returned."""
        command = ["node", str(packages / PAGE.name), url, room, token]
        return cls(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE))

    @property
    def names(self) -> list[str]:
        """The names that the others have, as the server knows them."""
        return sorted(state.get("user", {}).get("username", "") for state in self.others)

    def do(self, **orders: Any) -> None:
        """Let the page `append` or `prepend` a text, or `show` an awareness state."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(orders).encode() + b"\n")

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds that only the page can bring about."""
        await until(holds, lambda: (self.text, self.others, self.online, self.said))

    async def close(self) -> None:
        """Close the page, and wait for the end of its process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            report = json.loads(line)
            self.text, self.others, self.online = report["text"], report["others"], report["online"]

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.said += line.decode(errors="replace")
