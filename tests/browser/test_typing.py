"""What one person types, the other sees; what both type at once, both keep."""

from __future__ import annotations

from .awaiting import eventually, eventually_equal
from .conftest import Pair


def test_text_typed_in_a_appears_in_b(pair: Pair) -> None:
    """Keys pressed in A's cell show in B's editor."""
    pair.open_notebook("typed.ipynb", "x = 1", "")
    pair.a.type_in_cell(0, "  # from A")
    eventually_equal(pair.b.cells, ["x = 1  # from A", ""])


def test_a_cell_added_in_b_appears_in_a(pair: Pair) -> None:
    """B's new cell stands in A's notebook, with its text, at the same place."""
    pair.open_notebook("added.ipynb", "first", "last")
    pair.b.add_cell_below(0, "middle")
    eventually_equal(pair.a.cells, ["first", "middle", "last"])


def test_both_type_in_one_cell_at_once(pair: Pair) -> None:
    """Interleaved keys at the two ends and then at one place of a cell: both see the same, and all of it."""
    pair.open_notebook("both.ipynb", "|")
    pair.a.edit_cell(0, "Control+Home")
    pair.b.edit_cell(0, "Control+End")
    type_alternately(pair, "one two three four", "five six seven eight")
    expected = ["one two three four|five six seven eight"]
    eventually_equal(lambda: (pair.a.cells(), pair.b.cells()), (expected, expected))

    pair.a.edit_cell(0, "Control+End")
    pair.b.edit_cell(0, "Control+End")
    type_alternately(pair, "A" * 20, "B" * 20)
    both = eventually(
        lambda: (pair.a.cells(), pair.b.cells()),
        lambda cells: cells[0] == cells[1] and len(cells[0][0]) == len(expected[0]) + 40,
        "the same cell, 40 characters longer, on both pages",
    )
    assert sorted(both[0][0][len(expected[0]) :]) == ["A"] * 20 + ["B"] * 20


def type_alternately(pair: Pair, a_text: str, b_text: str) -> None:
    """Press one key in A, one in B, and so on, without waiting for either to arrive."""
    for index in range(max(len(a_text), len(b_text))):
        pair.a.page.keyboard.type(a_text[index : index + 1])
        pair.b.page.keyboard.type(b_text[index : index + 1])
