"""Two browser processes for the whole folder, a server for each file of tests, two fresh pages for each test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from awaiting import PATIENCE
from playwright.sync_api import BrowserContext, Playwright, sync_playwright

from .lab import Lab
from .notebooks import notebook
from .server import LabServer

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ARGUMENTS += ["--disable-sync", "--no-first-run"]
WINDOW = {"width": 1200, "height": 700}
LINES, WIDTH = 40, 160
FAILED = pytest.StashKey[bool]()


@dataclass(frozen=True)
class Pair:
    """Two people on one server, each in a browser process of their own."""

    a: Lab
    b: Lab
    server: LabServer

    def open_notebook(self, path: str, *sources: str) -> None:
        """Write a notebook to the disk and open it on both pages."""
        (self.server.root / path).write_text(notebook(*sources), encoding="utf-8")
        self.open(path)

    def open_text(self, path: str, text: str) -> None:
        """Write a text file to the disk and open it on both pages."""
        (self.server.root / path).write_text(text, encoding="utf-8")
        self.open(path)

    def open(self, path: str) -> None:
        """Open a file on both pages, one after the other, a notebook until its kernel is idle.

        Two who open a notebook in the same moment get a kernel each from the sessions of Jupyter Server.
        """
        for lab in (self.a, self.b):
            lab.open(path)
            if path.endswith(".ipynb"):
                lab.await_kernel()

    def cells(self) -> tuple[list[str], list[str], list[str]]:
        """Return the cells that A shows, that B shows, and that are on disk, of the open notebook."""
        path = self.a.tab_titles()[0]
        return self.a.cells(), self.b.cells(), self.server.notebook_sources(path)

    def texts(self) -> tuple[str, str, str]:
        """Return the text that A shows, that B shows, and that is on disk, of the open file."""
        return self.a.text(), self.b.text(), self.server.read(self.a.tab_titles()[0])


def launch(driver: Playwright, profile: Path) -> BrowserContext:
    """Start a Chromium process with a profile of its own, so that only the server connects it to another."""
    return driver.chromium.launch_persistent_context(
        profile, executable_path=CHROMIUM, headless=True, args=ARGUMENTS, viewport=WINDOW
    )


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """Stand in for the fixture of that name of pytest-jupyter, which would close the loop of the browsers."""


@pytest.fixture(autouse=True)
def jp_server_cleanup() -> None:
    """Stand in likewise: no server runs in this process."""


@pytest.fixture(scope="package")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BrowserContext, BrowserContext]]:
    """Two running browsers; they have an event loop of their own, which ends with the tests of this folder."""
    with sync_playwright() as driver:
        first = launch(driver, tmp_path_factory.mktemp("profile-a"))
        second = launch(driver, tmp_path_factory.mktemp("profile-b"))
        yield first, second
        first.close()
        second.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """A running server with the default configuration of its environment."""
    lab_server = LabServer(tmp_path_factory.mktemp("server"))
    try:
        lab_server.start()
        yield lab_server
    finally:
        lab_server.stop()


@pytest.fixture
def pair(
    server: LabServer, processes: tuple[BrowserContext, BrowserContext], request: pytest.FixtureRequest
) -> Iterator[Pair]:
    """Two people who have JupyterLab on their screen; afterwards nothing may have complained to either."""
    people = Pair(*(new_lab(context, server) for context in processes), server)
    yield people
    finish(request, server, people.a, people.b)


def new_lab(context: BrowserContext, server: LabServer, **options: str) -> Lab:
    """Load JupyterLab into a new page of a browser."""
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    return Lab(page, server, f"empty-{uuid4().hex}", **options)


def finish(request: pytest.FixtureRequest, server: LabServer, *labs: Lab) -> None:
    """Close the pages of a test; fail if something complained there; on failure report what was seen.

    The report is short, dialogs before all else, so that it does not push what failed out of sight.
    """
    open_labs = [lab for lab in labs if not lab.page.is_closed() and not lab.crashed]
    complaints = [lab.complaints() for lab in open_labs]
    if request.node.stash.get(FAILED, False) or any(complaints):
        for number, lab in enumerate(open_labs):
            print(f"--- page {number}: dialogs and notifications", *lab.notices(), sep="\n")
        for number, lab in enumerate(open_labs):
            print(f"--- page {number}: console", *latest(lab.console, LINES // 2), sep="\n")
            print(f"--- page {number}: traffic", *latest(lab.wire, LINES // 2), sep="\n")
        print("--- server log", *latest(server.log_tail(20_000).splitlines(), LINES), sep="\n")
    for lab in open_labs:
        lab.page.close()
    assert not any(complaints), complaints


def latest(lines: Sequence[str], count: int) -> list[str]:
    """Return the last `count` of `lines`, each cut to the width of a page, and how many were left out before them."""
    left_out = len(lines) - count
    return [f"({left_out} lines before)"] * (left_out > 0) + [line[:WIDTH] for line in list(lines)[-count:]]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let the fixtures know that the test failed, so that they report what they saw."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report
