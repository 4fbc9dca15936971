"""The three kinds of files that the accidents happen to: a text, a notebook, a notebook without cell ids."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from documents.examples import as_nbformat, code, markdown, notebook
from documents.peer import Peer
from pycrdt import Array, Map, Text

_PLACES = re.compile(r"(?<=\n)|(?<=⟧ )|^")
_INSIDE = re.compile(r"(?=⟦)")


@dataclass(frozen=True)
class Kind:
    """One kind of file, as a kind of document.

    Attributes:
        name: what the kind is called.
        file: the name of its file.
        type: the document's type, as in the name of its room.
        form: its format, as in the name of its room.
        minor: the minor version of the notebook format; 0 for a text.
        raw: whether it is the text of a notebook that is edited.
    """

    name: str
    file: str
    type: str
    form: str
    minor: int = 0
    raw: bool = False

    def start(self) -> str:
        """Return what the file holds at the beginning."""
        lines = [f"⟦start000{n}⟧ line {n}\n" for n in range(1, 10)]
        if not self.minor:
            return "".join(lines)
        cells = [code("".join(lines[:3])), markdown("".join(lines[3:6])), code("".join(lines[6:]))]
        return as_nbformat(notebook(*cells, minor=self.minor))

    def said(self, peer: Peer) -> str:
        """Return what a client's document says."""
        return peer.text if self.type == "file" else "\0".join(peer.sources)

    def written(self, file: Path) -> str:
        """Return what a file says; what is wrong with it, in brackets, where it cannot be read."""
        try:
            text = file.read_text()
            return "\0".join(_source(cell) for cell in json.loads(text)["cells"]) if self.type != "file" else text
        except (OSError, ValueError, LookupError) as error:
            return f"({error})"

    def texts(self, peer: Peer) -> list[Text]:
        """Return the texts that one may type into."""
        return [peer.source] if self.type == "file" else [cell["source"] for cell in peer.cells]

    def places(self, text: str) -> list[int]:
        """Return where one may type: at the beginning of a line, or after a word; never within one."""
        return [found.start() for found in (_INSIDE if self.raw else _PLACES).finditer(text)]

    def separator(self, rng: random.Random) -> str:
        """Return what to type after a word. A line break would not be one in the text of a notebook."""
        return " " if self.raw else rng.choice(" \n")

    def edited(self, content: str, token: str, rng: random.Random) -> str:
        """Return the content of a file after a program put a word into it: in a line, or in a new cell."""
        if not self.minor or self.raw:
            return self._with(content, token, rng)
        loaded = json.loads(content)
        cells = loaded["cells"]
        if rng.random() < 0.3:
            new = code(f"{token}\n", **({"id": uuid4().hex[:8]} if self.minor >= 5 else {}))
            cells.insert(rng.randrange(len(cells) + 1), new)
        else:
            cell = rng.choice(cells)
            cell["source"] = self._with(_source(cell), token, rng)
        return as_nbformat(loaded)

    def broken(self, content: str) -> bytes:
        """Return what is left when a program fails while it writes: no JSON, and no UTF-8."""
        half = content[: len(content) // 2].encode()
        return half if self.minor else half + b"\xf0\x9f\n\xff"

    def _with(self, text: str, token: str, rng: random.Random) -> str:
        at = rng.choice(self.places(text) or [0])
        return f"{text[:at]}{token}{self.separator(rng)}{text[at:]}"


TEXT = Kind("text", "a.txt", "file", "text")
NOTEBOOK = Kind("notebook", "b.ipynb", "notebook", "json", 5)
OLD_NOTEBOOK = Kind("notebook 4.4", "c.ipynb", "notebook", "json", 4)
KINDS = (TEXT, NOTEBOOK, OLD_NOTEBOOK)


def add_cell(peer: Peer, source: str, at: int) -> None:
    """Add a code cell, as the front end does."""
    cells: Array[Any] = peer.cells
    cell = {"id": str(uuid4()), "cell_type": "code", "source": Text(source), "metadata": Map(), "outputs": Array()}
    cells.insert(at, Map({**cell, "execution_count": None, "execution_state": "idle"}))


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])
