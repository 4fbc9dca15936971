"""Numbered words, so that every loss and every duplicate is counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

TOKEN = re.compile(r"⟦[a-z]+\d{4}⟧")


class Ledger:
    """What was typed into one file, or written into it outside, and what was deleted again on purpose."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.typed: dict[str, None] = {}
        self.deleted: set[str] = set()
        self._numbers: Counter[str] = Counter()

    def next(self, author: str) -> str:
        """Return a word that nobody has typed yet; it counts once it is `note`d."""
        self._numbers[author] += 1
        return f"⟦{author}{self._numbers[author]:04}⟧"

    def note(self, token: str) -> None:
        """Take note that a word is typed to its end."""
        self.typed[token] = None

    def delete(self, token: str) -> None:
        """Take note that somebody deletes a word on purpose."""
        self.deleted.add(token)

    def judge(self, views: dict[str, str], copies: Iterable[str], same: Iterable[set[str]]) -> Verdict:
        """Return what is lost and what is doubled.

        `views` are what the clients and the file say, `copies` what the recovery copies do; each set in `same`
        names views that must say the same.
        """
        rescued = {token for text in copies for token in TOKEN.findall(text)}
        wanted = self.typed.keys() - self.deleted
        verdict = Verdict(rescued=len(rescued & wanted))
        for name, text in views.items():
            found = Counter(TOKEN.findall(text))
            verdict.note("lost", wanted - found.keys() - rescued, name)
            verdict.note("doubled", (token for token, count in found.items() if count > 1), name)
        for names in same:
            if len({views[name] for name in names}) > 1:
                verdict.differing.append(" / ".join(sorted(names)))
        return verdict


@dataclass
class Verdict:
    """What became of the words of one file.

    Attributes:
        lost: the words that are missing, and in which views.
        doubled: the words that stand more than once, and in which views.
        differing: groups of views that should say the same, and do not.
        rescued: how many words are in a recovery copy.
    """

    lost: dict[str, list[str]] = field(default_factory=dict)
    doubled: dict[str, list[str]] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    rescued: int = 0

    def note(self, what: str, tokens: Iterable[str], view: str) -> None:
        """Take note that words are `lost` from a view, or `doubled` in it."""
        for token in tokens:
            getattr(self, what).setdefault(token, []).append(view)

    @property
    def clean(self) -> bool:
        """Whether nothing is lost, nothing is doubled, and everybody has the same."""
        return not (self.lost or self.doubled or self.differing)

    def __str__(self) -> str:
        parts = [f"{len(self.lost)} lost", f"{len(self.doubled)} doubled"]
        if self.differing:
            parts.append(f"differing: {'; '.join(self.differing)}")
        for what, tokens in (("lost", self.lost), ("doubled", self.doubled)):
            parts += [f"{what} {token} in {', '.join(views)}" for token, views in list(tokens.items())[:8]]
        return "\n    ".join(parts)
