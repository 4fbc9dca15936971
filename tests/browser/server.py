"""A real JupyterLab server process: started, killed, started again on the same port, asked over REST."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from awaiting import PATIENCE
from documents.process import LIGHT
from ports import HOST, reserved

TOKEN = "browser-tests"


class LabServer:
    """One `jupyter lab` process with a home of its own.

    Which collaboration server runs inside is decided by the environment of this interpreter and by nothing
    here: the tests hold any server to the same promises.
    """

    def __init__(self, home: Path, *, config: Path | None = None) -> None:
        """Prepare a server whose every folder lies under `home`; `config` is an extra configuration file."""
        self.home = home
        self.root = home / "work"
        self.log_path = home / "server.log"
        self.port = reserved(self)
        self.url = f"http://{HOST}:{self.port}"
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self.root.mkdir(parents=True)
        self._write_settings()

    def start(self, timeout: float = PATIENCE) -> None:
        """Start the process and wait until it answers; `RuntimeError` with the log if it does not."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.home,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not come up:\n{self.log_tail()}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End the server process at once, as `kill -9` does. Its kernels are not touched."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End the server and everything it started."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._process.wait()

    def request(self, method: str, path: str, body: Any = None, *, token: str = TOKEN) -> tuple[int, Any]:
        """Send one REST request; return the status and the decoded JSON body (None where there is none)."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
        request = Request(f"{self.url}/{path}", data=data, headers=headers, method=method)
        try:
            with urlopen(request, timeout=PATIENCE) as answer:
                raw: bytes = answer.read()
                return answer.status, json.loads(raw) if raw else None
        except HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def rename(self, path: str, new_path: str) -> None:
        """Rename a file through the contents API, as another program would."""
        status, answer = self.request("PATCH", f"api/contents/{quote(path)}", {"path": new_path})
        assert status == 200, answer

    def read(self, path: str) -> str:
        """Return the text of a file under the server's root folder."""
        return (self.root / path).read_text(encoding="utf-8")

    def notebook_sources(self, path: str) -> list[str]:
        """Return the sources of the cells of a notebook as they are on disk."""
        return ["".join(cell["source"]) for cell in self.notebook_cells(path)]

    def notebook_cells(self, path: str) -> list[dict[str, Any]]:
        """Return the cells of a notebook as they are on disk; none while the file is half written."""
        try:
            cells: list[dict[str, Any]] = json.loads(self.read(path))["cells"]
        except json.JSONDecodeError:
            return []
        return cells

    def log_tail(self, characters: int = 6000) -> str:
        """Return the end of the server's log."""
        return self.log_path.read_text(errors="replace")[-characters:] if self.log_path.exists() else ""

    def _answers(self) -> bool:
        try:
            return self.request("GET", "api/status")[0] == 200
        except (URLError, ConnectionError, TimeoutError):
            return False

    def _command(self) -> list[str]:
        main = f"{LIGHT}\nfrom jupyterlab.labapp import main\nmain()"
        command = [sys.executable, "-c", main, "--no-browser", f"--ServerApp.root_dir={self.root}"]
        command += [f"--ServerApp.ip={HOST}", f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"]
        command += [f"--IdentityProvider.token={TOKEN}", "--ServerApp.allow_root=True"]
        command += ["--LabApp.expose_app_in_browser=True", "--LabApp.news_url="]
        command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        return command if self._config is None else [*command, f"--config={self._config}"]

    def _environment(self) -> dict[str, str]:
        own = ("HOME", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
        folders = {name: str(self.home / name.lower()) for name in own}
        for folder in folders.values():
            Path(folder).mkdir(exist_ok=True)
        return {**kept, **folders, "JUPYTER_PLATFORM_DIRS": "0"}

    def _write_settings(self) -> None:
        """Answer JupyterLab's question about news beforehand: its notification would cover the page."""
        folder = self.home / "jupyter_config_dir" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True)
        settings = {"fetchNews": "false", "checkForUpdates": False}
        (folder / "notification.jupyterlab-settings").write_text(json.dumps(settings))
