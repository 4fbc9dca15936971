"""What one writer of a SQLite file knows of the rooms that it uses."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .store import Mark, Record

IDENTITY = "lineage, genesis, intended_seq, intended_hash, saved_seq, saved_hash"
"""Where a room's record has its `Identity`."""

NEVER = sys.maxsize
"""The number of an update that never comes: a refusal up to there is not healed by any snapshot."""


class Refusal(NamedTuple):
    """Say why a room's changes are not stored, and the last one so lost: a snapshot from there on heals it."""

    seq: int
    reason: str


class Identity(NamedTuple):
    """Say of a room what stands beside its document, so that its record can be written again where it is lost.

    The marks are the last ones, whether or not they could be stored. `begun_by` is the user who made up its name; None
    where the server did.
    """

    lineage: str
    genesis: int
    intended: Mark | None
    saved: Mark | None
    begun_by: str | None = None

    @classmethod
    def read(cls, columns: Sequence[Any], begun_by: Any = None) -> Identity:
        """Return what is in the columns `IDENTITY` of a room; where that cannot be, something that can.

        Who wants to know whether it can compares it with `columns`.
        """
        lineage, genesis, *marks = columns
        intended, saved = (
            Mark(seq, hash) if is_number(seq) and isinstance(hash, str) else None
            for seq, hash in (marks[:2], marks[2:])
        )
        user = begun_by if isinstance(begun_by, str) else None
        return cls(str(lineage), genesis if is_number(genesis) else 0, intended, saved, user)

    def columns(self) -> list[Any]:
        """Return what is to stand in the columns `IDENTITY` of a room."""
        marks = [(mark.seq, mark.hash) if mark else (None, None) for mark in (self.intended, self.saved)]
        return [self.lineage, self.genesis, *marks[0], *marks[1]]


def is_number(value: Any) -> bool:
    """Say whether a value may be the number of an update, or of a client: JavaScript counts no further."""
    return isinstance(value, int) and 0 <= value < 1 << 53


@dataclass(frozen=True)
class Ledger:
    """Hold what one writer knows of its rooms, and the records that it has.

    - `in_use`: the rooms that it has created or claimed, and what stands beside their documents;
    - `refusals`: those among them whose newest changes are not stored;
    - `records`: its durable records, by kind and id, each kind in order; with their numbers in the table.
    """

    in_use: dict[str, Identity] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    records: dict[tuple[str, str], tuple[int, Record]] = field(default_factory=dict)

    def copy(self) -> Ledger:
        """Return a ledger that can be changed without changing this one."""
        return Ledger(self.in_use.copy(), self.refusals.copy(), self.records.copy())

    def refuse(self, room: str, seq: int, reason: str) -> None:
        """Note that update `seq` of a room is not stored; the first reason stays."""
        old = self.refusals.get(room, Refusal(seq, reason))
        self.refusals[room] = Refusal(max(seq, old.seq), old.reason)

    def mark(self, room: str, intended: Mark | None, saved: Mark | None) -> None:
        """Note the marks of a room in use; None leaves one as it is."""
        if known := self.in_use.get(room):
            self.in_use[room] = known._replace(intended=intended or known.intended, saved=saved or known.saved)
