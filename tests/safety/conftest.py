"""The seed of a run: always the same, unless another is asked for."""

from __future__ import annotations

import os

import pytest

SEED = os.environ.get("SAFETY_SEED", "1")


@pytest.fixture(scope="session")
def seed() -> str:
    """Return what all chance of this run comes from."""
    return SEED
