"""Who is there is seen, and who has left is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Error

from .awaiting import eventually_equal
from .conftest import Pair
from .server import LabServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """A running server that takes nobody to be gone because of the time that has passed."""
    folder = tmp_path_factory.mktemp("presence")
    (folder / "config.py").write_text("c.Relay.awareness_timeout = 3600.0\n")
    lab_server = LabServer(folder / "server", config=folder / "config.py")
    try:
        lab_server.start()
        yield lab_server
    finally:
        lab_server.stop()


def meet(pair: Pair, path: str) -> None:
    """Let both open a notebook, B put its cursor there, and A see B in the notebook and in the panel."""
    pair.open_notebook(path, "x = 1")
    pair.a.show_collaborators()
    pair.b.type_in_cell(0, "0")
    eventually_equal(pair.a.remote_cursors, 1)
    eventually_equal(pair.a.collaborators, [pair.b.name()])
    pair.a.hold_clock()  # nobody is gone then unless the server says so


def test_b_s_cursor_and_name_are_seen_by_a(pair: Pair) -> None:
    """A sees B's cursor with B's name at it, where B types."""
    pair.open_notebook("cursor.ipynb", "x = 1")
    pair.b.type_in_cell(0, "0")
    eventually_equal(pair.a.remote_cursor_names, [pair.b.name()])
    eventually_equal(pair.a.remote_cursors, 1)


def test_each_is_in_the_other_s_panel(pair: Pair) -> None:
    """The collaborators panel of each lists the other, once, and not oneself."""
    pair.open_notebook("panel.ipynb", "x = 1")
    for lab, other in ((pair.a, pair.b), (pair.b, pair.a)):
        lab.show_collaborators()
        eventually_equal(lab.collaborators, [other.name()])


@pytest.mark.parametrize("_time", range(5))
def test_each_is_in_the_other_s_panel_when_no_document_is_open(pair: Pair, _time: int) -> None:
    """B, who loads JupyterLab later, learns who is there before the panel is made that shows it."""
    for lab, other in ((pair.b, pair.a), (pair.a, pair.b)):
        lab.show_collaborators()
        eventually_equal(lab.collaborators, [other.name()])


def test_a_newcomer_sees_at_once_who_is_there(pair: Pair) -> None:
    """B, who opens the notebook later, sees A's cursor then, not at A's next sign of life."""
    pair.open_notebook("newcomer.ipynb", "x = 1")
    pair.b.close_all()
    pair.a.type_in_cell(0, "0")
    pair.a.hold_clock()  # it gives no sign of life any more
    pair.b.open("newcomer.ipynb")
    eventually_equal(pair.b.remote_cursors, 1)


def test_b_closes_its_tab_and_is_gone(pair: Pair) -> None:
    """B's cursor and B's line in the panel are gone from A's page at once, not when they expire."""
    meet(pair, "closed.ipynb")
    pair.b.page.close()
    eventually_equal(lambda: (pair.a.collaborators(), pair.a.remote_cursors()), ([], 0))


def test_b_s_tab_crashes_and_is_gone(pair: Pair) -> None:
    """The same when B's page dies without a word, as it does when a laptop runs out of memory."""
    meet(pair, "crashed.ipynb")
    with pytest.raises(Error, match="crash"):
        pair.b.page.goto("chrome://crash")
    eventually_equal(lambda: (pair.a.collaborators(), pair.a.remote_cursors()), ([], 0))
    pair.b.page.close()


def test_b_closes_the_document_and_its_cursor_is_gone(pair: Pair) -> None:
    """B stays in the panel, but no longer in the notebook."""
    meet(pair, "left.ipynb")
    pair.b.close_all()
    eventually_equal(pair.a.remote_cursors, 0)
    assert pair.a.collaborators() == [pair.b.name()]
