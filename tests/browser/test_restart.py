"""The server dies and comes back; the pages stay as they are, and nobody loses a key or sees one twice."""

from __future__ import annotations

from collections.abc import Callable

from .awaiting import eventually, eventually_equal
from .conftest import Pair
from .lab import SERVER_IS_AWAY


def restart_while(pair: Pair, type_offline: Callable[[], None]) -> None:
    """Kill the server, type, start it again."""
    pair.server.kill()
    for lab in (pair.a, pair.b):
        if SERVER_IS_AWAY not in lab.expected_notices:
            lab.accept_that_the_server_is_away()
    type_offline()
    pair.server.start()


def test_notebook_typed_into_while_the_server_was_down(pair: Pair) -> None:
    """What was typed just before kill -9, while the server was away, and after: everywhere, once."""
    pair.open_notebook("killed.ipynb", "a", "b", "both")
    eventually_equal(lambda: pair.b.cells(), ["a", "b", "both"])

    def type_offline() -> None:
        pair.a.type_in_cell(0, " a-offline")
        pair.b.type_in_cell(1, " b-offline")
        pair.a.edit_cell(2, "Control+Home")
        pair.a.page.keyboard.type("left ")
        pair.b.type_in_cell(2, " right")
        pair.b.add_cell_below(2, "new-offline")

    pair.a.type_in_cell(0, " a-before")
    pair.b.type_in_cell(1, " b-before")
    restart_while(pair, type_offline)
    expected = ["a a-before a-offline", "b b-before b-offline", "left both right", "new-offline"]
    eventually_equal(lambda: (pair.a.cells(), pair.b.cells()), (expected, expected))

    pair.a.type_in_cell(0, " a-after")
    pair.b.type_in_cell(1, " b-after")
    expected[0] += " a-after"
    expected[1] += " b-after"
    eventually_equal(pair.cells, (expected,) * 3)
    assert pair.a.survived()
    assert pair.b.survived()


def test_text_file_through_two_restarts(pair: Pair) -> None:
    """Two kills in a row, each with typing before and in between, leave every letter there once.

    The words may be mixed: where A's last key came too late to be seen, B types in front of it.
    """
    pair.open_text("killed.txt", "start ")
    for number in range(2):
        pair.a.type_in_text(f"a{number} ")
        restart_while(pair, lambda: pair.b.type_in_text(f"b{number} "))  # noqa: B023 (called at once)
    pair.a.type_in_text("end ")
    typed = "start a0 b0 a1 b1 end "
    eventually(
        pair.texts,
        lambda texts: len(set(texts)) == 1 and sorted(texts[0]) == sorted(typed),
        f"the same text on both pages and on disk, made of the letters of {typed!r}",
    )
    assert pair.a.survived()
    assert pair.b.survived()
