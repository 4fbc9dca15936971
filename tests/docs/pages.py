"""The pages of the documentation, taken apart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [README, CONTRIBUTING, *sorted(DOCS.rglob("*.md"))]

_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[a-z]+) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\[[^]]*]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A piece of code in a page: its language, and the word in the comment before it ("" without one)."""

    language: str
    mark: str
    code: str


def blocks(page: Path) -> list[Block]:
    """Return the code of a page, in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(block["language"], block["mark"] or "", block["code"]) for block in found]


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return where the links and pictures of a page lead, except to other sites."""
    return [target for target in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", target)]


def headings(page: Path) -> list[str]:
    """Return the headings of a page, as they are written."""
    return _HEADING.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Return what can stand after ``#`` in a link to a page, as GitHub makes it from the headings."""
    plain = (re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings(page))
    return {heading.replace(" ", "-") for heading in plain}
