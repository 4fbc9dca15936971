"""What one writer of a SQLite file knows of the rooms that it uses."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import NamedTuple

NEVER = sys.maxsize
"""The number of an update that never comes: a refusal up to there is not healed by any snapshot."""


class Refusal(NamedTuple):
    """Say why a room's changes are not stored, and the last one so lost: a snapshot from there on heals it."""

    seq: int
    reason: str


@dataclass(frozen=True)
class Ledger:
    """Hold what one writer knows of its rooms.

    - `in_use`: lineage and genesis of the rooms that it has created or claimed;
    - `refusals`: those among them whose newest changes are not stored.
    """

    in_use: dict[str, tuple[str, int]] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)

    def copy(self) -> Ledger:
        """Return a ledger that can be changed without changing this one."""
        return Ledger(self.in_use.copy(), self.refusals.copy())

    def refuse(self, room: str, seq: int, reason: str) -> None:
        """Note that update `seq` of a room is not stored; the first reason stays."""
        old = self.refusals.get(room, Refusal(seq, reason))
        self.refusals[room] = Refusal(max(seq, old.seq), old.reason)
