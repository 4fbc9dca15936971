"""Holds the marks to the tests: whatever starts a server or a browser is left out of the fast run."""

from __future__ import annotations

import ast
from pathlib import Path

from conftest import SERVERS

HERE = Path(__file__).parent
STARTS = {"Jupyter", "LabServer", "ServerApp"}


def starters(path: Path) -> set[str]:
    """Return the fixtures of a file that make a server."""
    found = set()
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef) and "fixture" in "".join(map(ast.dump, function.decorator_list)):
            called = {
                call.func.id
                for call in ast.walk(function)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            }
            if called & STARTS:
                found.add(function.name)
    return found


def test_fixtures_that_start_a_server_mark_their_tests() -> None:
    """Add a new one to `SERVERS` in tests/conftest.py."""
    found = set().union(*map(starters, HERE.rglob("*.py")))
    assert {"jupyter", "start", "server"} <= found
    assert found <= SERVERS
