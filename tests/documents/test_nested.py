"""A client that nests shared types without end is closed; the others go on, and the file is saved."""

from __future__ import annotations

import json
from pathlib import Path

from pycrdt import Map

from .conftest import Opener
from .examples import as_nbformat, code, notebook
from .peer import until
from .process import Jupyter


async def test_types_nested_over_many_frames(jupyter: Jupyter, here: Path, join: Opener) -> None:
    file = here / "a.ipynb"
    file.write_text(as_nbformat(notebook(code("one"), code("two"))))
    ada, bob = await join(jupyter, f"{here.name}/a.ipynb"), await join(jupyter, f"{here.name}/a.ipynb", token="bob")
    inside = bob.cells[1]["metadata"]
    for _ in range(1500):
        inside["deeper"] = Map()
        inside = inside["deeper"]
    await until(lambda: bob.closes)
    assert bob.closes[0] == (1007, "shared types nested too deeply")
    ada.type(" typed", 0)
    assert await ada.save() == "success"
    cells = json.loads(file.read_text())["cells"]
    assert "".join(cells[0]["source"]) == "one typed"
    assert jupyter.rooms()[ada.room]["trouble"] is None
    assert ada.closes == []
    # The others have no more of it than what is harmless to read.
    assert str(ada.cells[1]["metadata"]).count("deeper") <= 100
