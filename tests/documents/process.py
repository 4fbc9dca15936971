"""A real Jupyter Server process: started, killed, started again on the same port, and asked over REST."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from awaiting import PATIENCE
from ports import HOST, reserved

from .forking import Forked, Life

COMMON = Path(__file__).with_name("server_config.py")

LIGHT = """
import sys
sys.modules["rfc3987_syntax"] = None  # as if it were not installed
"""
"""What a Python process begins with, so that it starts in a third of the time.

The rest is the making of a parser for IRIs, which jsonschema uses where it is installed, and nothing here asks for.
"""

MAIN = f"""{LIGHT}
from jupyter_server.serverapp import main
main()
"""
"""What a server process runs: `python -m jupyter_server`."""


SOON = 30.0
"""Seconds within which a server that is told to end does: whoever stops it kills it then, as Kubernetes does."""


def heed_interrupts() -> None:
    """Let SIGINT end this process; whatever a shell starts in the background ignores it, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def executed(python: str, life: Life) -> subprocess.Popen[bytes]:
    """Start a server from its command line, with a Python interpreter of its own."""
    with life.log.open("ab") as log, open(life.input) as device:
        return subprocess.Popen(
            [python, "-c", MAIN, *life.arguments],
            cwd=life.folder,
            env=life.environment,
            stdin=device,
            stdout=log,
            stderr=log,
            preexec_fn=heed_interrupts,
        )


class Jupyter:
    """One Jupyter Server process, with our extension and nothing else.

    Attributes:
        root: the folder that it serves.
        data: Jupyter's data directory.
        port: the TCP port, the same for all lives of the process.
    """

    def __init__(
        self, home: Path, config: str = "", packages: Path | None = None, python: str = sys.executable
    ) -> None:
        """Prepare a server whose folders are all in `home`.

        `config` is Python to be added to the configuration file, `packages` a folder to import from besides;
        `python` runs it.
        """
        self.root = home / "root"
        self.data = home / "data"
        self.port = reserved(self)
        self._home = home
        self._packages = packages
        self._python = python
        self._log = home / "server.log"
        self._process: subprocess.Popen[bytes] | Forked | None = None
        for folder in ("root", "data", "runtime", "tmp"):
            (home / folder).mkdir(parents=True)
        (home / "config.py").write_text(f"{COMMON.read_text()}\n{config}\n")

    # ------------------------------------------------------------------ life

    def start(self, timeout: float = PATIENCE, terminal: int | None = None) -> None:
        """Start the process and wait until it answers; RuntimeError with the end of its log if it does not.

        `terminal` is the file descriptor of a terminal to start it at; else it has none.
        """
        options = [f"--config={self._home / 'config.py'}", f"--ServerApp.root_dir={self.root}"]
        options += [f"--ServerApp.ip={HOST}", f"--ServerApp.port={self.port}"]
        device = os.devnull if terminal is None else os.ttyname(terminal)
        life = Life(options, self._home, self._environment(), self._log, device)
        self._process = Forked(life) if self._python == sys.executable else executed(self._python, life)
        begun = time.monotonic()
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > begun + timeout:
                raise RuntimeError(f"the server did not come up:\n{self.log()[-4000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End the process at once, as ``kill -9`` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        """Ask the process to end, as ``kill`` does; returns at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def interrupt(self) -> None:
        """Send the process what Ctrl+C sends; returns at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    def wait(self, timeout: float = SOON) -> int:
        """Wait for the end of the process; returns its exit code, or raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(timeout)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let the process stand still, all its threads; one that does not run is left alone."""
        if not self.alive():
            yield
            return
        os.kill(self.pid, signal.SIGSTOP)
        try:
            while not _all_stopped(self.pid):
                time.sleep(0.0005)
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def database(self) -> Path:
        """Where the rooms are kept."""
        return self._home / "data" / "jupyter_rtc" / "rooms.db"

    def alive(self) -> bool:
        """Say whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """Return all that the process said."""
        return self._log.read_text(errors="replace")

    # ------------------------------------------------------------------ REST

    def url(self, path: str, scheme: str = "http") -> str:
        """Return the URL of a path."""
        return f"{scheme}://{HOST}:{self.port}/{path}"

    def request(self, method: str, path: str, body: Any = None, token: str = "ada") -> tuple[int, Any]:
        """Send one REST request; returns the status and the decoded JSON, or the text that is no JSON.

        `path` is taken as it is; `body` is sent as JSON, bytes as they are.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = Request(self.url(path), data, {"Authorization": f"token {token}"}, method=method)
        try:
            with urlopen(request, timeout=PATIENCE) as answer:
                status, raw = answer.status, answer.read()
        except HTTPError as error:
            status, raw = error.code, error.read()
        try:
            return status, json.loads(raw) if raw else None
        except ValueError:
            return status, raw.decode(errors="replace")

    async def ask(self, method: str, path: str, body: Any = None, token: str = "ada") -> tuple[int, Any]:
        """Do what `request` does, while the event loop goes on."""
        return await asyncio.to_thread(self.request, method, path, body, token)

    async def session(self, path: str, form: str, kind: str, token: str = "ada") -> tuple[int, Any]:
        """Ask for what it takes to connect to the document of a file, as the front end does."""
        body = {"format": form, "type": kind}
        return await self.ask("PUT", f"api/collaboration/session/{quote(path, safe='')}", body, token)

    async def move(self, path: str, new: str) -> None:
        """Rename a file or a folder through the contents API."""
        status, answer = await self.ask("PATCH", f"api/contents/{quote(path)}", {"path": new})
        assert status == 200, answer

    def rooms(self, token: str = "ada") -> dict[str, dict[str, Any]]:
        """Return what the server says of its open rooms, by name."""
        _, answer = self.request("GET", "api/rtc/rooms", token=token)
        return {room["name"]: room for room in answer["rooms"]}

    def _answers(self) -> bool:
        try:
            return self.request("GET", "api/status")[0] == 200
        except (URLError, ConnectionError, TimeoutError):
            return False

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
        folders = {f"JUPYTER_{name.upper()}_DIR": str(self._home / name) for name in ("data", "runtime")}
        path = [str(folder) for folder in (self._packages, os.environ.get("PYTHONPATH")) if folder]
        own = {"TMPDIR": str(self._home / "tmp"), "PYTHONPATH": os.pathsep.join(path)}
        # Without JUPYTER_NO_CONFIG everything would be loaded that is installed here and switches itself on.
        return {**kept, **folders, **own, "JUPYTER_NO_CONFIG": "1"}


def _all_stopped(pid: int) -> bool:
    states = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            states.add((task / "stat").read_text().rpartition(")")[2].split()[0])
    return states <= {"T", "t", "Z", "X"}
