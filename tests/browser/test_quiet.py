"""Nothing interrupts people who just work; every test of this folder ends with that check."""

from __future__ import annotations

from .awaiting import stays_equal
from .conftest import Pair

# y-websocket gives a connection up when nothing arrived for 30 s, and looks every 3 s.
LONGER_THAN_THE_WATCHDOG = 35


def test_a_person_alone_stays_connected(pair: Pair) -> None:
    """Nobody else is there to send anything, and still no connection to a room ends."""
    pair.b.page.close()
    (pair.server.root / "alone.txt").write_text("text")
    pair.a.open("alone.txt")
    stays_equal(lambda: (pair.a.room_closings(), pair.a.notices()), ([], []), LONGER_THAN_THE_WATCHDOG)


def test_closed_and_opened_again(pair: Pair) -> None:
    """A document that was closed on both pages and is opened again stands there once, as it was left."""
    pair.open_notebook("again.ipynb", "x = 1")
    pair.a.type_in_cell(0, "0")
    for lab in (pair.a, pair.b):
        lab.close_all()
    pair.open("again.ipynb")
    assert pair.cells() == (["x = 10"],) * 3
