"""The file is kept up to date by itself, and Ctrl+S does what it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .awaiting import eventually, eventually_equal, stays_equal
from .conftest import Pair


@pytest.fixture
def autosave_off(pair: Pair) -> Iterator[None]:
    """Switch "Autosave Documents" of the Settings menu off on both pages, and on again afterwards."""
    for lab in (pair.a, pair.b):
        lab.command("docmanager:toggle-autosave")
    yield
    for lab in (pair.a, pair.b):
        lab.command("docmanager:toggle-autosave")


def test_the_file_has_it_all_without_ctrl_s(pair: Pair) -> None:
    """What either typed is on disk soon, though nobody asked for it, and no tab stays marked unsaved."""
    pair.open_notebook("kept.ipynb", "x = 1")
    pair.a.type_in_cell(0, "0")
    pair.b.add_cell_below(0, "y = 2")
    eventually_equal(pair.cells, (["x = 10", "y = 2"],) * 3)
    eventually_equal(lambda: (pair.a.is_dirty(), pair.b.is_dirty()), (False, False))


def test_someone_who_never_pauses_is_on_disk_all_along(pair: Pair) -> None:
    """Keys that come without a pause of a second reach the file while they still come."""
    pair.open_text("restless.txt", "")

    def type_on() -> str:
        pair.a.type_in_text("x")
        return pair.server.read("restless.txt")

    eventually(type_on, lambda on_disk: on_disk != "", "something on disk while keys come")


@pytest.mark.usefixtures("autosave_off")
def test_ctrl_s_saves_and_clears_the_dirty_mark(pair: Pair) -> None:
    """With autosave switched off by both, only Ctrl+S writes the file, and then no tab is marked unsaved."""
    pair.open_notebook("asked.ipynb", "x = 1")
    pair.a.type_in_cell(0, "0")
    eventually_equal(lambda: (pair.a.is_dirty(), pair.b.is_dirty()), (True, True))
    stays_equal(lambda: pair.server.notebook_sources("asked.ipynb"), ["x = 1"], seconds=3)

    pair.a.save()
    eventually_equal(pair.cells, (["x = 10"],) * 3)
    eventually_equal(lambda: (pair.a.is_dirty(), pair.b.is_dirty()), (False, False))


def test_ctrl_s_while_both_type(pair: Pair) -> None:
    """Saving again and again while both type ends with every letter on disk, and never with an error."""
    pair.open_text("busy.txt", "start")
    for number in range(5):
        pair.b.type_in_text(f" b{number} ")
        pair.a.type_in_text(f" a{number} ")
        pair.a.save()
        eventually_equal(pair.a.is_dirty, False)
    typed = "start" + "".join(f" b{number}  a{number} " for number in range(5))
    eventually(
        pair.texts,
        lambda texts: len(set(texts)) == 1 and sorted(texts[0]) == sorted(typed),
        f"the same text on both pages and on disk, made of the letters of {typed!r}",
    )
