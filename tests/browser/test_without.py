"""JupyterLab where jupyter_rtc could not be loaded, and where it is started in an old way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from .awaiting import eventually_equal
from .conftest import finish, new_lab
from .notebooks import notebook
from .server import LabServer


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], LabServer]]:
    """Return a function that starts a server with a configuration file of this content."""
    servers: list[LabServer] = []

    def begin(content: str) -> LabServer:
        config = tmp_path / "config.py"
        config.write_text(content)
        servers.append(LabServer(tmp_path / "server", config=config))
        servers[-1].start()
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()


def test_documents_open_where_an_option_is_wrong(
    start: Callable[[str], LabServer],
    processes: tuple[BrowserContext, BrowserContext],
    request: pytest.FixtureRequest,
) -> None:
    """A notebook opens, is typed into and saved, without collaboration."""
    server = start("c.Documents.save_delay = -1\nc.LabApp.collaborative = True\n")
    (server.root / "a.ipynb").write_text(notebook("x = 1"), encoding="utf-8")
    lab = new_lab(processes[0], server)
    lab.open("a.ipynb")
    lab.type_in_cell(0, "0")
    lab.command("docmanager:save")
    eventually_equal(lambda: server.notebook_sources("a.ipynb"), ["x = 10"])
    assert all("globalAwareness" in room for room in lab.room_closings())  # who is there; not the document
    assert "works without collaboration: The value of the 'save_delay' trait" in server.log_tail(50_000)
    finish(request, server, lab)


def test_jupyterlab_starts_with_its_old_option(start: Callable[[str], LabServer]) -> None:
    """`jupyter lab --collaborative` needs no package `jupyter_collaboration`."""
    server = start("c.LabApp.collaborative = True\n")
    assert server.request("GET", "api/rtc/rooms")[0] == 200
    assert "option `collaborative` is not needed" in server.log_tail(50_000)
