"""Server processes that are forked from one which has imported everything: a start takes a third of the time.

The tests start several hundred servers, and most of a start is the same for each: the import of Jupyter Server and of
this extension. One process for each process of pytest has done that; `multiprocessing` starts it when it is needed
first, and it ends with pytest. That a server starts from its command line is for other tests to show.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

SERVICES = ("api", "config", "contents", "events", "kernels", "kernelspecs", "nbconvert", "security", "sessions")
PRELOADED = ["jupyter_rtc.app", "jupyter_server.serverapp", "ipykernel.kernelspec"]
PRELOADED += ["IPython.core.interactiveshell", "jinja2.ext", "jupyter_server.services.shutdown"]
PRELOADED += [f"jupyter_server.services.{name}.handlers" for name in SERVICES]
PRELOADED += [f"jupyter_server.{name}.handlers" for name in ("kernelspecs", "nbconvert", "view")]
"""What is imported beforehand; a server imports by itself what is not here.

Not jupyter_server_fileid, which looks where its database lies when it is imported.
"""

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(PRELOADED)

APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND


@dataclass(frozen=True)
class Life:
    """What the process of a server is given.

    Attributes:
        arguments: the command line, without the command.
        folder: the folder that it works in.
        environment: all its environment variables.
        log: the file that takes what it says.
        input: the path of the device that it reads from.
    """

    arguments: list[str]
    folder: Path
    environment: dict[str, str]
    log: Path
    input: str

    def live(self) -> None:
        """Let this process, which was forked for it, be the server; returns, or raises SystemExit, at its end."""
        assert "jupyter_server_fileid" not in sys.modules, "all servers would have one database of file ids"
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.path[:0] = filter(None, self.environment["PYTHONPATH"].split(os.pathsep))
        tempfile.tempdir = None  # else it would be the one of the process that this was forked from
        for number, path, flags in ((0, self.input, os.O_RDONLY), (1, self.log, APPENDING), (2, self.log, APPENDING)):
            os.dup2(opened := os.open(path, flags | os.O_NOCTTY), number)
            os.close(opened)
        sys.stdin = os.fdopen(0, closefd=False)  # which `multiprocessing` made another one
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["jupyter-server", *self.arguments]
        from jupyter_server.serverapp import main

        try:
            main()
        finally:
            atexit._run_exitfuncs()  # which Python does at the end of a process that was not forked


class Forked:
    """A server process that was forked; it offers what `subprocess.Popen` does.

    Attributes:
        pid: the process id.
    """

    def __init__(self, life: Life) -> None:
        """Fork it."""
        self._process = FORKING.Process(target=life.live, daemon=True)
        self._process.start()
        self._asking = threading.Lock()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""
        with self._asking:  # of two threads that ask at once only one would be told
            return self._process.exitcode

    def wait(self, timeout: float = float("inf")) -> int:
        """Wait for the end of the process; returns the exit code, or raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("jupyter-server", timeout)
            time.sleep(0.005)
        return code

    def send_signal(self, number: int) -> None:
        """Send the process a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process at once."""
        self.send_signal(signal.SIGKILL)
