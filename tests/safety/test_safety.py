"""After every accident each word that was typed is there once, for everybody and on disk, or in a recovery copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents.disks import as_root

from .accidents import ACCIDENTS, Accident, disk_full_for_a_while
from .world import OURS, World

MOUNTING = (disk_full_for_a_while,)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "accident",
    [pytest.param(one, id=one.__name__, marks=as_root if one in MOUNTING else ()) for one in ACCIDENTS],
)
async def test_nothing_is_lost_or_doubled(accident: Accident, tmp_path: Path, seed: str) -> None:
    world = World(OURS, tmp_path / "home", f"{seed} {accident.__name__}")
    try:
        await accident(world)
        verdicts = await world.verdicts()
        print(await world.scene())
    finally:
        await world.end()
        print(world.server.log())  # shown, as the scene is, where the test fails
    report = "\n  ".join(f"{kind}: {verdict}" for kind, verdict in verdicts.items())
    assert all(verdict.clean for verdict in verdicts.values()), f"SAFETY_SEED={seed}\n  {report}"
