"""The seed of a run: a fresh one, or that of another run, to be replayed."""

from __future__ import annotations

import os
import random

import pytest

SEED = os.environ.get("SAFETY_SEED") or str(random.SystemRandom().randrange(10**9))


@pytest.fixture(scope="session")
def seed() -> str:
    """Return what all chance of this run comes from."""
    return SEED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how to draw the same numbers again."""
    terminalreporter.write_line(f"seed of tests/safety: SAFETY_SEED={SEED}")
