"""The servers that are compared: how each is installed where it is missing, started, addressed and ended."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import meter
from clients import Address, Dialect, document_address, request
from frames import prefixed

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
TOKEN = "benchmark"
YDOC = "jupyter-server-ydoc==3.0.4"


def cache() -> Path:
    """Return the folder in which alternatives are installed; it is outside the repository and is kept."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "jupyter-rtc-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Missing(Exception):
    """A server cannot be run here; the message says what it lacks."""


class Server:
    """One server process on its own core, with a folder of its own that goes with it."""

    name = ""
    documents = False
    """Whether it serves files as documents."""

    keeps_rooms = True
    """Whether a room without a file is kept; where not, a text file's document stands for it."""

    dialect = Dialect()

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rtc-bench-"))
        self.files = self.folder / "files"
        self.files.mkdir()
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def command(self, keep: bool) -> list[str]:
        """Return the command line; `keep` asks for whatever durability the server has."""
        raise NotImplementedError

    def environment(self, keep: bool) -> dict[str, str]:
        """Return what is added to the environment."""
        return {}

    def versions(self) -> dict[str, str]:
        """Return the versions of what the server is made of, by package."""
        return {}

    def room(self, name: str) -> Address:
        """Return the address of a room without a file."""
        return Address(HOST, self.port, f"/{name}", self.dialect)

    async def document(self, path: str, kind: str) -> Address:
        """Return the address of a file's room."""
        raise Missing("serves no files")

    async def ready(self) -> bool:
        """Tell whether the server answers."""
        try:
            _, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def start(self, keep: bool = False) -> None:
        """Start the process on the servers' core, and return when it answers and has become quiet."""
        self._process = self._launch(keep)
        for _ in range(600):
            if self._process.poll() is not None:
                raise Missing("ended at once: " + self._log_tail())
            if await self.ready():
                await meter.quiet(self.pid, 0.3, 20)
                return
            await asyncio.sleep(0.1)
        raise Missing("did not answer within 60 s: " + self._log_tail())

    def _launch(self, keep: bool) -> subprocess.Popen[bytes]:
        if not self.port:
            with socket.socket() as probe:
                probe.bind((HOST, 0))
                self.port = probe.getsockname()[1]
        command, environment = self.command(keep), os.environ | self.environment(keep)
        with (self.folder / "log").open("ab") as log, meter.on_server_core():
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=environment)

    def _log_tail(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-400:]

    def kill(self) -> None:
        """End the process without a warning, as a crash does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        self._process = None

    def close(self) -> None:
        """End the process and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class BareAsyncio(Server):
    """A broadcast on an asyncio protocol: the floor."""

    name = "bare asyncio"
    dialect = Dialect(answers=False)

    def command(self, keep: bool) -> list[str]:
        """Run the script of this folder."""
        return [sys.executable, str(HERE / "bare_asyncio.py"), str(self.port)]


class BareTornado(Server):
    """A broadcast with `write_message`."""

    name = "bare Tornado"
    dialect = Dialect(answers=False)

    def command(self, keep: bool) -> list[str]:
        """Run the script of this folder."""
        return [sys.executable, str(HERE / "bare_tornado.py"), str(self.port)]


class Jupyter(Server):
    """Jupyter Server with one collaboration extension."""

    documents = True
    extension = ""
    rooms = ""
    packages = ("jupyter_server", "tornado", "pycrdt")

    def versions(self) -> dict[str, str]:
        """Ask the interpreter that runs the server."""
        code = "import sys, importlib.metadata as m; print([m.version(one) for one in sys.argv[1:]])"
        names = (*self.packages, self.extension)
        answer = _run([self.python(), "-c", code, *names])
        return {f"{self.name}: {name}": one for name, one in zip(names, ast.literal_eval(answer), strict=True)}

    def python(self) -> str:
        """Return the interpreter in whose environment the extension is installed."""
        return sys.executable

    def command(self, keep: bool) -> list[str]:
        """Run Jupyter Server with this extension only, beside those that it needs."""
        others = dict.fromkeys(("jupyter_rtc", "jupyter_server_ydoc", "jupyterlab_jupytext"), False)
        extensions = {**others, self.extension: True}
        return [
            self.python(),
            "-m",
            "jupyter_server",
            f"--ServerApp.jpserver_extensions={extensions}",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            "--ServerApp.open_browser=False",
            f"--ServerApp.root_dir={self.files}",
            f"--IdentityProvider.token={TOKEN}",
            "--allow-root",
        ]

    def environment(self, keep: bool) -> dict[str, str]:
        """Keep configuration, data and runtime files in the server's own folder."""
        folders = {f"JUPYTER_{kind}_DIR": self.folder / kind.lower() for kind in ("CONFIG", "DATA", "RUNTIME")}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        return {name: str(folder) for name, folder in folders.items()}

    async def ready(self) -> bool:
        """Ask for the API's version."""
        try:
            status, _ = await request(Address(HOST, self.port, ""), "GET", "/api")
        except OSError:
            return False
        return status == 200

    def room(self, name: str) -> Address:
        """Return the address of a room without a file."""
        return Address(HOST, self.port, f"{self.rooms}/{name}?token={TOKEN}")

    async def document(self, path: str, kind: str) -> Address:
        """Open a session, as the front end does."""
        return await document_address(Address(HOST, self.port, ""), TOKEN, path, kind)


class Ours(Jupyter):
    """The server of this repository, from the environment that runs the benchmarks."""

    name = "jupyter_rtc"
    extension = "jupyter_rtc"
    rooms = "/api/rtc/room"


class Ydoc(Jupyter):
    """Today's server of Jupyter's collaborative front ends."""

    name = "jupyter-server-ydoc"
    extension = "jupyter_server_ydoc"
    keeps_rooms = False
    rooms = "/api/collaboration/room"

    def python(self) -> str:
        """Return the interpreter of its own environment, made where it is missing."""
        given = os.environ.get("RTC_BENCH_YDOC_PYTHON")
        if given:
            return given
        folder = cache() / YDOC.replace("==", "-")
        python = folder / "bin" / "python"
        if not (folder / "installed").exists():
            venv.create(folder, with_pip=True, clear=True)
            _run([str(python), "-m", "pip", "install", "--quiet", YDOC])
            (folder / "installed").touch()
        return str(python)


class Node(Server):
    """A server from the JavaScript world, installed where it is missing."""

    package = ""

    def node(self) -> tuple[str, Path]:
        """Return the interpreter, and the folder with the packages."""
        node, npm = shutil.which("node"), shutil.which("npm")
        if not node or not npm:
            raise Missing("needs node and npm")
        folder = cache() / "node"
        wanted = (HERE / "alternatives" / "package.json").read_text()
        done = folder / "installed.json"
        if not done.exists() or done.read_text() != wanted:
            folder.mkdir(exist_ok=True)
            (folder / "package.json").write_text(wanted)
            _run([npm, "install", "--no-audit", "--no-fund", "--silent"], folder)
            done.write_text(wanted)
        return node, folder

    def versions(self) -> dict[str, str]:
        """Read the versions that were installed."""
        node, folder = self.node()
        file = folder / "node_modules" / self.package / "package.json"
        return {"node": _run([node, "--version"]).strip(), self.package: json.loads(file.read_text())["version"]}


class YWebsocket(Node):
    """The reference server of Yjs."""

    name = "y-websocket"
    package = "@y/websocket-server"

    def command(self, keep: bool) -> list[str]:
        """Run the package's own program."""
        node, folder = self.node()
        return [node, str(folder / "node_modules" / "@y" / "websocket-server" / "src" / "server.js")]

    def environment(self, keep: bool) -> dict[str, str]:
        """Give the address, and a folder for LevelDB where documents are to be kept."""
        address = {"HOST": HOST, "PORT": str(self.port)}
        return address | ({"YPERSISTENCE": str(self.folder / "leveldb")} if keep else {})


class Hocuspocus(Node):
    """Hocuspocus, with the document's name before every message."""

    name = "hocuspocus"
    package = "@hocuspocus/server"

    def command(self, keep: bool) -> list[str]:
        """Run the start script from the folder with the packages."""
        node, folder = self.node()
        shutil.copy(HERE / "alternatives" / "hocuspocus.mjs", folder)
        return [node, str(folder / "hocuspocus.mjs"), str(self.port), *([str(self.files)] if keep else [])]

    def room(self, name: str) -> Address:
        """Return the address; the first message must authenticate, with any token."""
        greeting = b"\x02\x00" + prefixed(b"token")
        return Address(HOST, self.port, "/", Dialect(prefixed(name.encode()), greeting))


def _run(command: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{command[0]} failed: {done.stderr[-400:]}")
    return done.stdout


SERVERS: dict[str, type[Server]] = {
    one.name: one for one in (Ours, Ydoc, YWebsocket, Hocuspocus, BareTornado, BareAsyncio)
}
"""Every server by the name it has in the table."""
