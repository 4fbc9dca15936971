"""Holds every import of the package to the directions of the design, and its pure modules to purity."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import jupyter_rtc

PACKAGE = Path(jupyter_rtc.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
PURE = {
    "relay/protocol.py",
    "relay/awareness.py",
    "relay/checkpoints.py",
    "relay/effects.py",
    "relay/room.py",
    "relay/nesting.py",
    "relay/places.py",
    "relay/structure.py",
    "relay/blocks.py",
    "relay/shapes.py",
    "relay/values.py",
    "relay/intake.py",
    "relay/causality.py",
    "relay/merging.py",
    "relay/surrogates.py",
    "relay/websocket.py",
    "relay/member.py",
    "relay/updates.py",
    "relay/readback.py",
    "relay/connection.py",
    "relay/pace.py",
    "documents/align.py",
    "documents/changes.py",
    "documents/conflicts.py",
    "documents/content.py",
    "documents/diff.py",
    "documents/editing.py",
    "documents/ipynb.py",
    "documents/likeness.py",
    "documents/lineage.py",
    "documents/merge.py",
    "documents/notebook.py",
    "documents/scan.py",
    "documents/shape.py",
    "documents/style.py",
    "documents/unkept.py",
    "documents/update.py",
    "supernode/actions/definition.py",
    "supernode/actions/forms.py",
    "supernode/actions/paths.py",
    "supernode/actions/validation.py",
    "supernode/json_safe.py",
    "supernode/tables.py",
}
# What Jupyter's managers raise.
RAISED = {"documents/files.py", "documents/local.py", "supernode/actions/jupyter.py"}
IMPURE = {"asyncio", "logging", "time", "socket", "threading", "tornado", "datetime", "os", "sqlite3"}
FLOORS = ("relay", "documents", "supernode")
MUTABLE = ("list", "dict", "set", "defaultdict", "deque", "Counter", "OrderedDict", "bytearray")
CHANGES = ("append", "add", "update", "clear", "pop", "popitem", "insert", "extend", "remove", "discard", "setdefault")


class Import(NamedTuple):
    """One imported name: the module, as an absolute dotted name, the name in it ("" = the module), the line."""

    module: str
    name: str
    line: int


def name_of(path: Path) -> str:
    """Return a module's path inside the package, such as ``relay/room.py``."""
    return path.relative_to(PACKAGE).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[Import]:
    """Yield everything a module imports, wherever in it."""
    package = ["jupyter_rtc", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            for alias in node.names:
                yield Import(".".join([*base, *filter(None, [node.module])]), alias.name, node.lineno)


def complaints(path: Path) -> list[str]:
    """Return what is wrong with the imports of a module."""
    return [f"{name_of(path)}:{one.line} {one.module} {one.name}" for one in imports(path) if not allowed(path, one)]


def allowed(path: Path, one: Import) -> bool:
    """Say whether a module may import this."""
    name, parts = name_of(path), one.module.split(".")
    if parts[0] == "tornado":
        error_only = name in RAISED and one.name == "HTTPError"
        return error_only or path.name in ("handlers.py", "app.py") or name == "supernode/lines/gateway.py"
    if parts[0] != "jupyter_rtc" or name in ("app.py", "managers.py", "__init__.py"):
        return True
    here = path.relative_to(PACKAGE).parts[0]
    there = parts[1] if len(parts) > 1 else ""
    if there == here:
        return True
    # Another floor: only what the relay exports, and only downwards.
    return there == "relay" and len(parts) == 2 and here in FLOORS[1:]


def exports(package: str) -> set[str]:
    """Return what the ``__init__.py`` of a package names in ``__all__``."""
    for node in parsed(PACKAGE / package / "__init__.py").body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_imports_point_down() -> None:
    assert [complaint for path in MODULES for complaint in complaints(path)] == []


def test_of_the_relay_others_use_what_it_exports() -> None:
    others = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] in FLOORS[1:]]
    used = {(name_of(path), one.name) for path in others for one in imports(path) if one.module == "jupyter_rtc.relay"}
    exported = exports("relay")
    assert len(used) > len(others)
    assert sorted((module, name) for module, name in used if name not in exported) == []


def test_the_rules_can_be_broken() -> None:
    relay, documents = PACKAGE / "relay" / "room.py", PACKAGE / "documents" / "merge.py"
    assert not allowed(relay, Import("jupyter_rtc.documents", "Documents", 1))
    assert not allowed(relay, Import("tornado.web", "HTTPError", 1))
    assert not allowed(documents, Import("jupyter_rtc.relay.room", "Room", 1))
    assert not allowed(documents, Import("jupyter_rtc.app", "JupyterRTC", 1))
    assert not allowed(documents, Import("jupyter_rtc", "app", 1))
    assert not allowed(PACKAGE / "documents" / "files.py", Import("tornado.ioloop", "IOLoop", 1))
    assert allowed(documents, Import("jupyter_rtc.relay", "Room", 1))
    assert allowed(PACKAGE / "relay" / "handlers.py", Import("tornado.web", "HTTPError", 1))


def test_every_pure_module_is_there() -> None:
    assert {name_of(path) for path in MODULES} >= PURE


def test_pure_modules_import_no_clock_no_log_no_loop() -> None:
    used = {(name, one.module.split(".")[0]) for name in PURE for one in imports(PACKAGE / name)}
    assert sorted((name, module) for name, module in used if module in IMPURE) == []


def test_pure_modules_never_await() -> None:
    kinds = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    nodes = [(name, node) for name in sorted(PURE) for node in ast.walk(parsed(PACKAGE / name))]
    assert [f"{name}:{node.lineno}" for name, node in nodes if isinstance(node, kinds)] == []


def test_no_module_keeps_anything() -> None:
    assert [(name_of(path), name) for path in MODULES for name in kept(parsed(path))] == []


def kept(module: ast.Module) -> list[str]:
    """Return the names of a module's globals that begin empty, or are changed later. A table that stands is none."""
    changed = {name for node in ast.walk(module) for name in changed_by(node)}
    found = []
    for node in module.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = getattr(target, "id", "")
            if name not in ("", "__all__") and (name in changed or is_empty(node.value)):
                found.append(name)
    return found


def changed_by(node: ast.AST) -> Iterator[str]:
    """Yield the names whose objects a piece of code changes, or which it binds anew from inside a function."""
    if isinstance(node, ast.Global):
        yield from node.names
    elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        yield getattr(node.value, "id", "")
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
        yield getattr(node.func.value, "id", "")


def is_empty(value: ast.expr) -> bool:
    """Say whether an expression makes a container that waits to be filled."""
    if isinstance(value, ast.Call):
        return not value.args and getattr(value.func, "id", getattr(value.func, "attr", "")) in MUTABLE
    return isinstance(value, ast.List | ast.Dict) and ast.unparse(value) in ("[]", "{}")


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("CACHE = {}", ["CACHE"]),
        ("CACHE: dict[str, int] = dict()", ["CACHE"]),
        ("SEEN = set()", ["SEEN"]),
        ("TABLE = {1: 2}", []),
        ("TABLE = {1: 2}\ndef f(): TABLE[2] = 3", ["TABLE"]),
        ("ROWS = [1]\ndef f(): ROWS.append(2)", ["ROWS"]),
        ("count = 0\ndef f():\n  global count\n  count += 1", ["count"]),
        ("import re\nWORD = re.compile('a')", []),
        ("__all__ = []", []),
    ],
)
def test_what_a_module_keeps(code: str, names: list[str]) -> None:
    assert kept(ast.parse(code)) == names
