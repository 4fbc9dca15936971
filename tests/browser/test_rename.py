"""A file gets another name while two people have it open."""

from __future__ import annotations

from .awaiting import eventually_equal
from .conftest import Pair


def check_goes_on_as(pair: Pair, old: str, new: str) -> None:
    """Check that both pages carry the new name, and that typing and Ctrl+S of both still reach that file."""
    eventually_equal(lambda: (pair.a.tab_titles(), pair.b.tab_titles()), ([new], [new]))
    pair.a.type_in_cell(0, " a")
    eventually_equal(pair.cells, (["x a"],) * 3)
    pair.b.type_in_cell(0, " b")
    pair.b.save()
    eventually_equal(pair.cells, (["x a b"],) * 3)
    eventually_equal(lambda: (pair.a.is_dirty(), pair.b.is_dirty()), (False, False))
    pair.a.save()
    eventually_equal(lambda: (pair.a.is_dirty(), pair.b.is_dirty()), (False, False))
    assert not (pair.server.root / old).exists()


def rename_over_rest(pair: Pair, old: str, new: str, typed: str = "") -> None:
    """Let another client of the contents API rename, right after B typed something.

    Both pages list the file first: a listing asked for in the moment of a renaming is answered with 404 by
    Jupyter Server, and JupyterLab shows that in a dialog.
    """
    for lab in (pair.a, pair.b):
        lab.await_listed(old)
    if typed:
        pair.b.type_in_text(typed)
    pair.server.rename(old, new)


def test_renamed_by_a_in_jupyterlab(pair: Pair) -> None:
    """A renames through JupyterLab's dialog."""
    pair.open_notebook("old.ipynb", "x")
    pair.a.rename("new.ipynb")
    check_goes_on_as(pair, "old.ipynb", "new.ipynb")


def test_renamed_over_rest(pair: Pair) -> None:
    """Another client of the contents API renames."""
    pair.open_notebook("former.ipynb", "x")
    rename_over_rest(pair, "former.ipynb", "latter.ipynb")
    check_goes_on_as(pair, "former.ipynb", "latter.ipynb")


def test_moved_into_a_folder_with_unsaved_typing(pair: Pair) -> None:
    """Moving right after a key was pressed loses nothing and leaves no second file."""
    (pair.server.root / "folder").mkdir()
    pair.open_text("here.txt", "text")
    rename_over_rest(pair, "here.txt", "folder/here.txt", typed=" typed")
    eventually_equal(lambda: (pair.a.text(), pair.b.text()), ("text typed",) * 2)
    eventually_equal(lambda: pair.server.read("folder/here.txt"), "text typed")
    pair.a.type_in_text(" more")
    eventually_equal(lambda: pair.server.read("folder/here.txt"), "text typed more")
    assert not (pair.server.root / "here.txt").exists()
