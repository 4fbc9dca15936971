"""Two documents on one file, each of which merges what the other saves: every word stands once in both."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest
from pycrdt import Array, Map, Text

from jupyter_rtc.documents.formats.content import Content
from jupyter_rtc.documents.merging.conflicts import merged
from jupyter_rtc.documents.merging.merge import document

from .examples import NOTEBOOK, TEXT, as_nbformat, built, code, markdown, notebook, read

WORD = re.compile(r"⟦[a-z]+\d{4}⟧")
# Where one may type: at the beginning of a line, or after a word; in the text of a notebook right before one.
PLACES, IN_JSON = re.compile(r"(?<=\n)|(?<=⟧ )|^"), re.compile(r"(?=⟦)")
LINES = [f"⟦start000{number}⟧ line {number}\n" for number in range(1, 10)]
CELLS = code("".join(LINES[:3])), markdown("".join(LINES[3:6])), code("".join(LINES[6:]))


class View:
    """One document of the file, and who types into it.

    Attributes:
        words: what they typed, and how often it should stand anywhere: 0 if somebody deleted it again.
    """

    def __init__(self, content: Content, body: str, words: Counter[str], people: list[str], seed: str) -> None:
        """Open the file, which holds `body`."""
        self.words = words
        self._content = content
        self._file = content.parse(body)
        self._doc = built(content, self._file)
        self._base = self._doc.get_update()
        self._people = people
        self._rng = random.Random(seed)
        self._places = PLACES if content is NOTEBOOK or not body.startswith("{") else IN_JSON

    def act(self) -> None:
        """Let somebody type a word, add a cell with one, or delete one of their own."""
        who, chance, texts = self._rng.choice(self._people), self._rng.random(), self._texts()
        if chance < 0.1:
            self._delete(f"⟦{who}", texts)
            return
        word = f"⟦{who}{sum(one.startswith(f'⟦{who}') for one in self.words) + 1:04}⟧"
        self.words[word] = 1
        if chance < 0.2 and self._content is NOTEBOOK:
            cell = {**code(), "id": word[1:-1], "source": Text(f"{word}\n"), "metadata": Map(), "outputs": Array()}
            self._cells.insert(self._rng.randrange(len(self._cells) + 1), Map(cell))
            return
        text = self._rng.choice([text for text in texts if self._places.search(str(text))])
        said = str(text)
        at = self._rng.choice([place.start() for place in self._places.finditer(said)])
        text.insert(len(said[:at].encode()), word + (" " if self._places is IN_JSON else self._rng.choice(" \n")))

    def save(self, body: str) -> str:
        """Merge what the file holds, `body`, and return what it holds after the save."""
        if body != self._file.body:
            self._file = self._content.parse(body)
            edit = merged(self._base, self._content, self._file, self._doc.get_update()).update
            base = document(self._base)
            base.apply_update(edit)
            self._base = base.get_update()
            self._doc.apply_update(edit)
        self._file = self._content.render(self._file, read(self._content, self._doc))
        self._base = self._doc.get_update()
        return str(self._file.body)

    def said(self) -> Counter[str]:
        """Return how often each word stands in the document."""
        return Counter(WORD.findall("\n".join(map(str, self._texts()))))

    @property
    def _cells(self) -> Any:
        return self._doc.get("cells", type=Array)

    def _texts(self) -> list[Text]:
        if self._content is TEXT:
            return [self._doc.get("source", type=Text)]
        return [cell["source"] for cell in self._cells]

    def _delete(self, own: str, texts: list[Text]) -> None:
        for text in texts:
            said = str(text)
            for word in (word for word in WORD.findall(said) if word.startswith(own)):
                start = len(said[: said.index(word)].encode())
                del text[start : start + len(word.encode())]
                self.words[word] = 0
                return


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["two texts", "notebook and text", "notebook without ids and text"])
def test_every_word_stands_once_in_both(kind: str) -> None:
    for seed in range(500):
        views, words = edited(kind, seed)
        for view in views:
            assert view.said() == +words, f"{kind}, seed {seed}"


def edited(kind: str, seed: int) -> tuple[list[View], Counter[str]]:
    """Return two views of a file that were edited and saved at random, and how often each word should stand there."""
    body = "".join(LINES) if kind == "two texts" else as_nbformat(notebook(*CELLS, minor=4 if "without" in kind else 5))
    words = Counter(WORD.findall(body))
    one = View(TEXT if kind == "two texts" else NOTEBOOK, body, words, ["ada", "bob"], f"{seed} one")
    other = View(TEXT, body, words, ["vera", "walt"], f"{seed} other")
    rng = random.Random(seed)
    for _ in range(rng.randrange(5, 60)):
        view = rng.choice((one, other))
        if rng.random() < 0.8:
            view.act()
        else:
            body = view.save(body)
    for view in (one, other, one, other):
        body = view.save(body)
    return [one, other], words
