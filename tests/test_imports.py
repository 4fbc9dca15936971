"""Holds every import of the package to the directions of the design, and its pure modules to purity."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import jupyter_rtc

PACKAGE = Path(jupyter_rtc.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
PURE = {
    "documents/compare/align.py",
    "documents/compare/diff.py",
    "documents/compare/positions.py",
    "documents/formats/content.py",
    "documents/formats/displays.py",
    "documents/formats/editing.py",
    "documents/formats/ipynb.py",
    "documents/formats/notebook.py",
    "documents/formats/scan.py",
    "documents/formats/shape.py",
    "documents/formats/shared_notebook.py",
    "documents/formats/style.py",
    "documents/formats/texts.py",
    "documents/formats/unkept.py",
    "documents/formats/update.py",
    "documents/merging/changes.py",
    "documents/merging/conflicts.py",
    "documents/merging/likeness.py",
    "documents/merging/lineage.py",
    "documents/merging/merge.py",
    "kernels/framing.py",
    "kernels/message.py",
    "machine/backoff.py",
    "machine/pace.py",
    "relay/connection.py",
    "relay/effects.py",
    "relay/member.py",
    "relay/room.py",
    "relay/storing/checkpoints.py",
    "supernode/actions/definition.py",
    "supernode/actions/forms.py",
    "supernode/actions/paths.py",
    "supernode/actions/validation.py",
    "supernode/tables.py",
    "wire/awareness.py",
    "wire/blocks.py",
    "wire/causality.py",
    "wire/intake.py",
    "wire/json_safe.py",
    "wire/merging.py",
    "wire/nesting.py",
    "wire/places.py",
    "wire/protocol.py",
    "wire/readback.py",
    "wire/shapes.py",
    "wire/structure.py",
    "wire/surrogates.py",
    "wire/updates.py",
    "wire/values.py",
    "wire/websocket.py",
}
# What Jupyter's managers raise.
RAISED = {"documents/files/managed.py", "documents/files/local.py", "supernode/actions/jupyter.py"}
# Below a handler, and a client.
TORNADOS = {"relay/sockets.py", "kernels/gateway.py"}
IMPURE = {"asyncio", "logging", "time", "socket", "threading", "tornado", "datetime", "os", "sqlite3"}
FLOORS: dict[str, set[str]] = {
    "wire": set(),
    "machine": set(),
    "kernels": set(),
    "relay": {"wire", "machine"},
    "documents": {"wire", "machine", "relay"},
    "supernode": {"wire", "machine", "kernels", "relay"},
}
"""The floors, and on which others each stands."""
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
        return error_only or path.name in ("handlers.py", "app.py") or name in TORNADOS
    if parts[0] != "jupyter_rtc" or name in ("app.py", "managers.py", "__init__.py"):
        return True
    here, there = path.relative_to(PACKAGE).parts[0], parts[1] if len(parts) > 1 else ""
    return here == there or (len(parts) == 2 and there in FLOORS[here])


def exports(package: str) -> set[str]:
    """Return what the ``__init__.py`` of a package names in ``__all__``."""
    for node in parsed(PACKAGE / package / "__init__.py").body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def test_imports_point_down() -> None:
    assert [complaint for path in MODULES for complaint in complaints(path)] == []


@pytest.mark.parametrize("floor", sorted(FLOORS))
def test_of_a_floor_others_use_what_it_exports(floor: str) -> None:
    others = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] != floor]
    used = {
        (name_of(path), one.name) for path in others for one in imports(path) if one.module == f"jupyter_rtc.{floor}"
    }
    exported = exports(floor)
    assert used
    assert sorted((module, name) for module, name in used if name not in exported) == []


def test_no_folders_need_each_other() -> None:
    needs = {folder: set[str]() for folder in sorted({folder_of(path) for path in MODULES})}
    for path in MODULES:
        needs[folder_of(path)] |= {folder_of(found) for one in imports(path) if (found := file_of(one))}
    for folder in needs:
        needs[folder].discard(folder)
    TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle


def folder_of(path: Path) -> str:
    """Return a module's folder inside the package; empty for the package itself."""
    return "" if path.parent == PACKAGE else path.parent.relative_to(PACKAGE).as_posix()


def file_of(one: Import) -> Path | None:
    """Return the file of the module that an import names; None where it is not ours."""
    if one.module.split(".")[0] != "jupyter_rtc":
        return None
    module = PACKAGE.joinpath(*one.module.split(".")[1:])
    found = [
        module / f"{one.name}.py",
        module / one.name / "__init__.py",
        module / "__init__.py",
        module.with_suffix(".py"),
    ]
    return next(path for path in found if path.is_file() and path != PACKAGE / ".py")


def test_the_rules_can_be_broken() -> None:
    relay, wire = PACKAGE / "relay" / "room.py", PACKAGE / "wire" / "updates.py"
    documents, files = PACKAGE / "documents" / "merging" / "merge.py", PACKAGE / "documents" / "files" / "managed.py"
    assert not allowed(relay, Import("jupyter_rtc.documents", "Documents", 1))
    assert not allowed(relay, Import("jupyter_rtc.kernels", "Channels", 1))
    assert not allowed(relay, Import("tornado.web", "HTTPError", 1))
    assert not allowed(wire, Import("jupyter_rtc.machine", "Tasks", 1))
    assert not allowed(documents, Import("jupyter_rtc.relay.room", "Room", 1))
    assert not allowed(documents, Import("jupyter_rtc.app", "JupyterRTC", 1))
    assert not allowed(documents, Import("jupyter_rtc", "app", 1))
    assert not allowed(files, Import("tornado.ioloop", "IOLoop", 1))
    assert allowed(documents, Import("jupyter_rtc.relay", "Room", 1))
    assert allowed(documents, Import("jupyter_rtc.documents.formats.content", "Content", 1))
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
