"""The document timeline of the status bar: one person goes back through a notebook and restores what it was."""

from __future__ import annotations

import time

from playwright.sync_api import expect

from .awaiting import eventually, eventually_equal
from .conftest import Pair

READ_ONLY = "Document is now in read-only mode"
RESTORED = "Document restored successfully"
PAUSE = 2.5  # seconds without an edit, which end a version


def test_a_notebook_is_taken_back_with_the_slider(pair: Pair) -> None:
    """A slides back to before B's edits and restores: both pages and the file have what it was, and go on from it."""
    pair.open_notebook("past.ipynb", "x = 1", "y = 2")
    for number, type_it in enumerate((pair.a.type_in_cell, pair.b.type_in_cell)):
        time.sleep(PAUSE)
        type_it(number, "0")
        eventually_equal(pair.cells, (["x = 10", "y = 2" + "0" * number],) * 3)
    time.sleep(PAUSE)
    pair.b.add_cell_below(1, "z = 3")
    eventually_equal(pair.cells, (["x = 10", "y = 20", "z = 3"],) * 3)

    page = pair.a.page
    pair.a.expected_notices += [READ_ONLY, RESTORED]
    page.locator("#jp-slider-status-bar [title='Document Timeline']").click()
    slider = page.locator("input.jp-Slider")
    last = int(slider.get_attribute("max") or 0)
    assert last >= 3, "at least three versions after the first"
    slider.focus()
    while pair.a.cells() != ["x = 10", "y = 2"]:
        before = int(slider.input_value())
        assert before > 0, pair.a.cells()
        page.keyboard.press("ArrowLeft")
        eventually(lambda: int(slider.input_value()), lambda now, before=before: now == before - 1, "one step back")
        time.sleep(0.3)
    assert pair.b.cells() == ["x = 10", "y = 20", "z = 3"], "nobody else sees the past"

    page.locator("button.jp-restoreBtn").click()
    eventually_equal(pair.cells, (["x = 10", "y = 2"],) * 3)
    expect(slider).to_have_count(0)
    pair.b.type_in_cell(1, "!")
    eventually_equal(pair.cells, (["x = 10", "y = 2!"],) * 3)
    pair.a.type_in_cell(0, "?")
    eventually_equal(pair.cells, (["x = 10?", "y = 2!"],) * 3)
