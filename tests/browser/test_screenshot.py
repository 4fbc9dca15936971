"""The picture of the README: what A sees when B is there too."""

from __future__ import annotations

import os
from pathlib import Path

from .awaiting import eventually_equal
from .conftest import Pair

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "two-people.png"
WRITE_IT = "JUPYTER_RTC_WRITE_SCREENSHOT"


def test_picture_of_two_people(pair: Pair, tmp_path: Path) -> None:
    """A's page with B's cursor, B's name at it, and both of them in the panel.

    The picture in docs/ is only replaced when the environment variable JUPYTER_RTC_WRITE_SCREENSHOT is set.
    """
    pair.open_notebook(
        "together.ipynb",
        "import math",
        'def area(radius):\n    """Return the area of a circle."""\n    return math.pi * radius**2',
        "[round(area(radius), 2) for radius in range(5)]",
    )
    pair.a.close_launcher()
    pair.a.show_collaborators()
    for index in range(3):
        pair.a.run_cell(index)
        eventually_equal(lambda index=index: pair.b.prompt(index), f"[{index + 1}]:")  # type: ignore[misc]
    eventually_equal(pair.a.collaborators, [pair.b.name()])
    pair.b.type_in_cell(1, "  # for radius >= 0")
    eventually_equal(pair.a.is_dirty, False)
    pair.a.page.locator(".jp-CollaboratorHeader").click()
    for key in ("ArrowLeft", "ArrowRight"):
        pair.b.page.keyboard.press(key)
    eventually_equal(pair.a.remote_cursor_names, [pair.b.name()])
    picture = PICTURE if os.environ.get(WRITE_IT) else tmp_path / PICTURE.name
    picture.parent.mkdir(parents=True, exist_ok=True)
    pair.a.page.screenshot(path=picture)
    assert pair.a.remote_cursor_names() == [pair.b.name()], "B's name was gone when the picture was taken"
    assert picture.stat().st_size > 10_000
