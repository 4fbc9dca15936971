"""A program that writes back what it read a while ago takes nothing away that was typed meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter
from .test_history import version, versions
from .test_outside import by_renaming, on_disk, plainly, said
from .test_sparing import copies


async def typed(file: Path, peer: Peer, words: list[str], cell: int | None = None) -> None:
    """Type words, one after the other, and have each saved before the next."""
    for word in words:
        peer.type(f"{word}\n", cell)
        assert await peer.save() == "success"
        await until(lambda word=word: word in file.read_text(), file.read_text)


@pytest.mark.parametrize("read_after", [0, 1, 3])
async def test_a_text(jupyter: Jupyter, here: Path, join: Opener, read_after: int) -> None:
    file = here / "a.txt"
    file.write_text("one\ntwo\n")
    peer = await join(jupyter, f"{here.name}/a.txt")
    words = [f"word{number}" for number in range(6)]
    await typed(file, peer, words[:read_after])
    stale = file.read_text()
    await typed(file, peer, words[read_after:])
    plainly(file, stale.replace("one", "one, outside"))
    expected = "\n".join(["one, outside", "two", *words, ""])
    await until(lambda: peer.text == expected, lambda: peer.text)
    await until(lambda: file.read_text() == expected, file.read_text)
    assert copies(jupyter, peer) == []


async def test_a_notebook_that_is_run_and_written_cell_by_cell(jupyter: Jupyter, here: Path, join: Opener) -> None:
    """As papermill does: it reads the notebook once, and writes it anew after each cell."""
    file = here / "a.ipynb"
    file.write_text(as_nbformat(notebook(code("1"), code("2"), code("3"))))
    peer = await join(jupyter, f"{here.name}/a.ipynb")
    await typed(file, peer, ["before"], 2)
    run = on_disk(file)
    words = [f"word{number}" for number in range(4)]
    await typed(file, peer, words, 2)
    for at in range(2):
        run["cells"][at]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [f"ran {at}"]}]
        by_renaming(file, json.dumps(run, indent=1))
        await until(lambda at=at: f"ran {at}" in str(peer.cells.to_py()), lambda: peer.cells.to_py())
        await until(lambda: said(file).split() == ["1", "2", "3before", *words], lambda: said(file))
        assert f"ran {at}" in file.read_text()
    assert copies(jupyter, peer) == []


async def test_an_edit_of_the_place_where_people_type_leaves_a_copy(jupyter: Jupyter, here: Path, join: Opener) -> None:
    """Nobody can tell whether the program read what was typed last: what it says stands, and a copy is kept."""
    file = here / "a.txt"
    file.write_text("one\n")
    peer = await join(jupyter, f"{here.name}/a.txt")
    await typed(file, peer, ["typed"])
    plainly(file, "one\noutside\n")
    await until(lambda: peer.text == "one\noutside\n", lambda: peer.text)
    await until(lambda: copies(jupyter, peer) == [b"one\ntyped\n"], lambda: peer.state)


async def test_a_file_that_is_set_back_stays_so_and_leaves_a_copy(jupyter: Jupyter, here: Path, join: Opener) -> None:
    """As by ``git checkout``, or a page that overwrites it with what it had an hour ago."""
    file = here / "a.txt"
    file.write_text("one\n")
    peer = await join(jupyter, f"{here.name}/a.txt")
    await typed(file, peer, ["typed", "more"])
    by_renaming(file, "one\ntyped\n")
    await until(lambda: peer.text == "one\ntyped\n", lambda: peer.text)
    await until(lambda: copies(jupyter, peer) == [b"one\ntyped\nmore\n"], lambda: peer.state)


async def test_what_was_typed_meanwhile_is_saved_after_a_crash_too(start: Starter, join: Opener) -> None:
    server = start()
    file = server.root / "a.txt"
    file.write_text("one\ntwo\n")
    peer = await join(server, "a.txt")
    await typed(file, peer, ["word0", "word1"])
    peer.show(autosave=False)
    plainly(file, "one, outside\ntwo\n")
    expected = "one, outside\ntwo\nword0\nword1\n"
    await until(lambda: peer.text == expected, lambda: peer.text)
    server.kill()
    await peer.close()
    server.start()
    other: Any = await join(server, "a.txt", token="bob")
    assert other.text == expected
    await until(lambda: file.read_text() == expected, file.read_text)


async def test_an_old_page_that_is_saved_takes_nothing_away(jupyter: Jupyter, here: Path, join: Opener) -> None:
    """A page whose session has expired has an old notebook, and writes that by the contents API: *Overwrite*."""
    file, path = here / "a.ipynb", f"{here.name}/a.ipynb"
    file.write_text(as_nbformat(notebook(code("one\n"), code("two\n"))))
    peer = await join(jupyter, path)
    old = on_disk(file)
    await typed(file, peer, ["colleague"], 1)
    old["cells"][0]["source"] = ["one\n", "page\n"]
    status, _ = await jupyter.ask("PUT", f"api/contents/{path}", {"type": "notebook", "format": "json", "content": old})
    assert status == 200
    await until(lambda: peer.sources == ["one\npage\n", "two\ncolleague\n"], lambda: peer.sources)
    await until(lambda: said(file).split() == ["one", "page", "two", "colleague"], lambda: said(file))


async def test_what_the_document_said_before_an_outside_edit_is_a_version(
    jupyter: Jupyter, here: Path, join: Opener
) -> None:
    """Typed and written within a second, they would be one version; so what the merge made of it could not be told."""
    file, path = here / "a.txt", f"{here.name}/a.txt"
    file.write_text("one\n")
    peer = await join(jupyter, path)
    peer.type("typed\n")
    plainly(file, "one, outside\n")
    await until(lambda: peer.text == "one, outside\ntyped\n", lambda: peer.text)
    said_then = [await version(jupyter, path, one["id"]) for one in await versions(jupyter, path)]
    assert "one\ntyped\n" in said_then
