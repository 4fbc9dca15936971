"""Frames changed at random, the same ones each time, and those that once did harm (see `__main__.py`)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from . import trial
from .__main__ import chunk, read

CORPUS = Path(__file__).parent / "corpus"
TRIALS, CHUNK = 2800, 350
"""About eight frames are changed in each trial."""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, TRIALS, CHUNK))
def test_what_a_room_takes_in_it_can_give_out(first: int) -> None:
    counts, found = chunk(str(trial.SEEDS), first, first + CHUNK)
    assert found == {}
    assert counts["taken"] > counts["refused"] > 100


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.txt")), ids=lambda path: path.stem)
def test_what_once_did_harm_does_none(path: Path) -> None:
    trial.run(read(path.read_text(encoding="utf-8")))


def test_what_clients_send_is_taken_through_restarts() -> None:
    """Sessions of Yjs with undo of what others did too, of which frames were once refused (recorded by seeds.mjs)."""
    chance = random.Random(1)
    for session in trial.sessions((CORPUS.parent / "sessions.txt").read_text(encoding="utf-8")):
        going = trial.Trial()
        for frame in session:
            going.step(0, frame)
            if chance.random() < 0.1:
                going.restart()
        going.check()
        assert (going.counts["refused"], going.counts["tainted"]) == (0, 0)
