"""The faults of yrs and pycrdt that docs/topics/engine-faults.md reports: whether they are still there.

Where one of these tests fails, the engine was mended, and what is done here meanwhile can go.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from awaiting import PATIENCE

PAGE = Path(__file__).parent.parent.parent / "docs" / "topics" / "engine-faults.md"
SECTIONS = re.findall(r"^## (.*?)\n.*?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
NEVER_RETURNS = "A text in a list"
SEEN = {
    "Half a character": lambda said: said == "a😂\n",
    "Short blocks": lambda said: int(said.split()[0]) > 300,
    "What waits": lambda said: said == "a\n",
    "Clocks beyond": lambda said: said == "PanicException\n",
    NEVER_RETURNS: lambda said: said is None,
    "A text under a key": lambda said: said == "False\n",
    "An item whose right": lambda said: said == "aXbcde abcdeX\n",
    "An item with nothing": lambda said: said == "aYXbcq aXbcYq\n",
    "Many deletions": lambda said: float(said.split()[3]) > 7 * float(said.split()[1]),
}


def test_each_report_is_tried() -> None:
    assert [sum(title.startswith(known) for known in SEEN) for title, _ in SECTIONS] == [1] * len(SEEN)


@pytest.mark.slow
@pytest.mark.parametrize(("title", "code"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_the_fault_is_still_there(title: str, code: str) -> None:
    (seen,) = [seen for known, seen in SEEN.items() if title.startswith(known)]
    said: str | None = None
    patience = 5 if title.startswith(NEVER_RETURNS) else PATIENCE
    try:
        run = [sys.executable, "-c", code]
        ended = subprocess.run(run, capture_output=True, text=True, timeout=patience, check=True)
        said = ended.stdout
    except subprocess.TimeoutExpired:
        pass
    assert seen(said), said
