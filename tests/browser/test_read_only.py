"""Somebody who may read but not write: sees everything, changes nothing, and is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from .awaiting import eventually, eventually_equal
from .conftest import Pair, finish, new_lab
from .notebooks import notebook
from .server import LabServer

TOLD = re.compile(r"read.?only|may not|not allowed|no permission|not permitted|not saved", re.IGNORECASE)
SAVING_FAILED = re.compile("Saving failed|you may only read")  # front ends before 3.1, and from then on


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """A server that knows Wanda, who may write, and Rita, who may not."""
    config = Path(__file__).parent / "people_config.py"
    lab_server = LabServer(tmp_path_factory.mktemp("server"), config=config)
    try:
        lab_server.start()
        yield lab_server
    finally:
        lab_server.stop()


@pytest.fixture
def pair(
    server: LabServer, processes: tuple[BrowserContext, BrowserContext], request: pytest.FixtureRequest
) -> Iterator[Pair]:
    """Wanda is A, Rita is B; only what Wanda sees must be free of complaints."""
    wanda = new_lab(processes[0], server, token="token-of-wanda")
    rita = new_lab(processes[1], server, token="token-of-rita")
    rita.expected_notices.append("")
    yield Pair(wanda, rita, server)
    finish(request, server, wanda, rita)


def test_the_reader_is_who_the_token_says(pair: Pair) -> None:
    """The pages belong to two people, of whom one may not write: else this file proves nothing."""
    assert (pair.a.name(), pair.b.name()) == ("Wanda Writer", "Rita Reader")
    body = {"type": "file", "format": "text", "content": ""}
    assert pair.server.request("PUT", "api/contents/mine.txt", body, token="token-of-rita")[0] == 403


def test_the_reader_watches_a_notebook(pair: Pair) -> None:
    """Rita opens a notebook and sees what Wanda types."""
    pair.open_notebook("watched.ipynb", "x = 1")
    pair.a.type_in_cell(0, "0")
    eventually_equal(pair.b.cells, ["x = 10"])


def test_the_reader_who_types_nothing_is_told_nothing(pair: Pair) -> None:
    """Rita's page gets the kernel while Wanda's does, and both write its language into the notebook."""
    (pair.server.root / "late.ipynb").write_text(notebook("x = 1"), encoding="utf-8")
    for lab in (pair.a, pair.b):
        lab.open("late.ipynb")
    for lab in (pair.a, pair.b):
        lab.await_kernel()
    pair.a.type_in_cell(0, "0")
    eventually_equal(pair.b.cells, ["x = 10"])
    assert pair.b.notices() == []


def test_what_the_reader_types_in_a_notebook_reaches_nobody(pair: Pair) -> None:
    """Rita's keys reach neither Wanda's page nor the disk, also not with Wanda's save; Rita is told."""
    pair.open_notebook("kept.ipynb", "x = 1")
    pair.b.type_in_cell(0, " forbidden")
    eventually(pair.b.notices, told, "a word to the reader that it may not write")
    pair.a.type_in_cell(0, "0")
    pair.a.save()
    eventually_equal(lambda: pair.server.notebook_sources("kept.ipynb"), ["x = 10"])
    assert pair.a.cells() == ["x = 10"]


def test_the_reader_watches_on_after_it_was_told(pair: Pair) -> None:
    """Rita closes the dialog and still sees what Wanda does next; Rita's own Ctrl+S fails and says so."""
    pair.open_notebook("watched-on.ipynb", "x = 1")
    pair.b.type_in_cell(0, " forbidden")
    eventually(pair.b.notices, told, "a word to the reader that it may not write")
    pair.b.page.keyboard.press("Escape")
    pair.a.add_cell_below(0, "y = 2")
    eventually_equal(lambda: pair.b.cells()[1:], ["y = 2"])
    pair.b.save()
    eventually(lambda: pair.b.notices()[-1], SAVING_FAILED.search, "a save that says it failed")
    eventually_equal(lambda: pair.server.notebook_sources("watched-on.ipynb"), ["x = 1", "y = 2"])


def test_what_the_reader_types_in_a_text_reaches_nobody(pair: Pair) -> None:
    """The same in a text file."""
    pair.open_text("kept.txt", "text")
    pair.b.type_in_text(" forbidden")
    eventually(pair.b.notices, told, "a word to the reader that it may not write")
    pair.a.type_in_text(" allowed")
    pair.a.save()
    eventually_equal(lambda: pair.server.read("kept.txt"), "text allowed")
    assert pair.a.text() == "text allowed"


def told(notices: list[str]) -> bool:
    """Tell whether one of the dialogs and notifications speaks of missing rights."""
    return any(TOLD.search(notice) for notice in notices)
