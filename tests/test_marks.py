"""Holds the marks to the tests: whatever starts a server or a browser is left out of the fast run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from conftest import SERVERS

HERE = Path(__file__).parent
STARTS = {"Jupyter", "LabServer", "ServerApp"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[Function]:
    """Yield those functions of all test files that make a server."""
    texts = [path.read_text(encoding="utf-8") for path in HERE.rglob("*.py")]
    for text in texts:
        for function in ast.walk(ast.parse(text)) if any(f"{name}(" in text for name in STARTS) else ():
            if isinstance(function, Function) and any(map(starts, ast.walk(function))):
                yield function


def starts(node: ast.AST) -> bool:
    """Say whether this is the making of a server."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in STARTS


def decorated(function: Function, word: str) -> bool:
    """Say whether a function has a decorator in which a word occurs."""
    return any(word in ast.unparse(decorator) for decorator in function.decorator_list)


def test_what_starts_a_server_is_marked() -> None:
    """Add a new fixture to `SERVERS` in tests/conftest.py; a test that starts one itself takes a mark, or a fixture."""
    made = list(functions())
    fixtures = {function.name for function in made if decorated(function, "fixture")}
    assert {"jupyter", "start", "server"} <= fixtures <= SERVERS
    tests = [function for function in made if function.name.startswith("test_")]
    given = {function.name: {argument.arg for argument in function.args.args} for function in tests}
    assert [
        function.name for function in tests if not given[function.name] & SERVERS and not decorated(function, "server")
    ] == []
