"""Where things are kept: where somebody said, or in a folder of Jupyter's data directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from jupyter_core.paths import jupyter_data_dir

from jupyter_rtc.machine.place import place


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ("/var/lib/forks", Path("/var/lib/forks")),
        ("~/forks", Path.home() / "forks"),
        ("forks", Path.cwd() / "forks"),
    ],
)
def test_where_somebody_said(configured: str, expected: Path) -> None:
    assert place(configured, "recovery") == expected


def test_where_nobody_said() -> None:
    assert place("", "recovery") == Path(jupyter_data_dir()) / "jupyter_rtc" / "recovery"
