"""Another program writes the file while two people have it open."""

from __future__ import annotations

from .awaiting import eventually, eventually_equal
from .conftest import Pair
from .notebooks import notebook


def test_text_file_edited_on_disk(pair: Pair) -> None:
    """The new text shows on both pages; typing and saving go on from there."""
    pair.open_text("outside.txt", "one\ntwo\nthree\n")
    (pair.server.root / "outside.txt").write_text("one\n2\nthree\nfour\n", encoding="utf-8")
    eventually_equal(lambda: (pair.a.text(), pair.b.text()), ("one\n2\nthree\nfour\n",) * 2)
    pair.a.type_in_text("five")
    eventually_equal(pair.texts, ("one\n2\nthree\nfour\nfive",) * 3)


def test_text_file_edited_on_disk_with_unsaved_typing(pair: Pair) -> None:
    """What A typed a moment before the outside edit, and the outside edit in another line: both stay."""
    pair.open_text("merged.txt", "top\nmiddle\nbottom")
    pair.a.type_in_text(" typed")
    (pair.server.root / "merged.txt").write_text("TOP\nmiddle\nbottom", encoding="utf-8")
    eventually_equal(pair.texts, ("TOP\nmiddle\nbottom typed",) * 3)


def test_the_same_line_edited_on_both_sides(pair: Pair) -> None:
    """Both texts stay on both pages, the log console says where they met, and typing and saving go on."""
    pair.open_notebook("met.ipynb", "line", "2")
    pair.a.command("logconsole:open")
    pair.a.page.get_by_label("Log level").select_option("Info")
    pair.a.type_in_cell(0, " typed")
    (pair.server.root / "met.ipynb").write_text(notebook("line outside", "2"), encoding="utf-8")
    log = pair.a.page.locator(".jp-LogConsolePanel")
    log.get_by_text("met.ipynb was changed on both sides: cell").wait_for()
    first = eventually(pair.cells, lambda cells: cells[0] == cells[1] == cells[2], "all alike")[0][0]
    assert sorted(first.split()) == ["line", "outside", "typed"]
    pair.b.type_in_cell(1, "3")
    eventually_equal(pair.cells, ([first, "23"],) * 3)


def test_notebook_edited_on_disk(pair: Pair) -> None:
    """A cell that another program changed and one that it added show on both pages; the others stay."""
    pair.open_notebook("outside.ipynb", "x = 1", "y = 2")
    content = notebook("x = 1", "y = 3", "z = 4")
    (pair.server.root / "outside.ipynb").write_text(content, encoding="utf-8")
    eventually_equal(pair.cells, (["x = 1", "y = 3", "z = 4"],) * 3)
    pair.b.type_in_cell(0, "0")
    eventually_equal(pair.cells, (["x = 10", "y = 3", "z = 4"],) * 3)
