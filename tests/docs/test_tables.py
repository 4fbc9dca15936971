"""Holds the reference of the tables to the code."""

from __future__ import annotations

import re
from typing import Any, get_type_hints

import pytest

from jupyter_rtc.supernode import records
from jupyter_rtc.supernode.supernode import TABLES, Supernode

from .pages import DOCS

PAGE = (DOCS / "reference" / "tables.md").read_text(encoding="utf-8")
ROWS = {
    "kernelspecs": records.KernelSpecRecord,
    "status": records.StatusRecord,
    "terminals": records.TerminalRecord,
    "kernels": records.KernelRecord,
    "sessions": records.SessionRecord,
    "contents": records.ContentRecord,
    "folders": records.FolderRecord,
    "documents": records.DocumentRecord,
}


def test_every_table_is_there() -> None:
    assert set(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)) == set(TABLES) == ROWS.keys()
    assert re.findall(r"^\| `(\w+)` \| `\w+` \|.*`Supernode\.", PAGE, re.MULTILINE) == list(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_every_field_is_documented(table: str) -> None:
    section = PAGE.split(f"## {table}\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(get_type_hints(ROWS[table]))


def test_every_option_that_is_named_exists() -> None:
    named = set(re.findall(r"`Supernode\.(\w+)`", PAGE))
    assert named <= set(Supernode.class_trait_names(config=True))


async def test_the_resources_are_those_of_the_code(server: Any) -> None:
    documented = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|.*`Supernode\.", PAGE, re.MULTILINE))
    assert documented == {name: mirror.resource for name, mirror in server.extension.supernode.tables.items()}
