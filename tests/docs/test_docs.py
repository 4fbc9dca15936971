"""Holds the documentation to the code: options, routes, close codes, events, messages, links, commands."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from jupyter_core.paths import jupyter_path
from jupyterlab.commands import get_app_dir

import jupyter_rtc
from jupyter_rtc.supernode.actions.handlers import ActionHandler
from jupyter_rtc.wire.protocol import CloseCode

from .pages import CONTRIBUTING, DOCS, PAGES, README, ROOT, anchors, blocks, headings, links

PROTOCOL = (DOCS / "reference" / "protocol.md").read_text(encoding="utf-8")
EVENTS = (DOCS / "reference" / "events.md").read_text(encoding="utf-8")
SOURCES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "jupyter_rtc").rglob("*.py")))
FRONT_ENDS = ("@jupyter/docprovider-extension", "@jupyter/collaboration-extension")


@pytest.fixture(scope="module")
def make_reference() -> ModuleType:
    """Return the script that writes the configuration reference."""
    return script("make_reference")


def script(name: str) -> ModuleType:
    """Return a script that writes a page."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_configuration_reference_is_that_of_the_code(make_reference: ModuleType) -> None:
    """Each option stands there with its type, default and help; else run `python docs/make_reference.py`."""
    page: str = make_reference.render()
    assert page == (DOCS / "reference" / "configuration.md").read_text(encoding="utf-8")
    for name in ("JupyterRTC.disable_rtc", "Relay.store_class", "Documents.save_delay", "SQLiteStore.path"):
        assert f"`{name}`" in page


def test_the_limits_are_those_of_the_code() -> None:
    """Every limit that is an option stands there once, with its default; else run `python docs/make_limits.py`."""
    limits = script("make_limits")
    assert limits.render() == (DOCS / "reference" / "limits.md").read_text(encoding="utf-8")
    known = limits.options()
    assert sorted(option for row in limits.ROWS for option in row.options.values()) == sorted(known)


def test_what_a_client_sees_beyond_a_limit_is_what_its_option_says() -> None:
    """The codes in the table are those in the help of the options, and are ones that the server sends."""
    limits = script("make_limits")
    known = limits.options()
    for row in limits.ROWS:
        said = {
            code
            for option in row.options.values()
            for code in re.findall(r"\b[14]\d\d\d?\b|\b503\b", known[option].help)
        }
        codes = set(re.findall(r"\b\d{3,4}\b", row.beyond))
        assert codes <= said, (row.what, codes, said)
        assert {int(code) for code in codes if len(code) == 4} <= set(map(int, CloseCode))
        assert codes or not said, (row.what, said)


def test_options_named_in_the_pages_exist(make_reference: ModuleType) -> None:
    """A page that names `Class.option` means one that there is."""
    options = {f"{cls.__name__}.{name}" for cls in make_reference.configurables() for name in cls.class_trait_names()}
    classes = "|".join(cls.__name__ for cls in make_reference.configurables())
    for page in PAGES:
        named = set(re.findall(rf"\b(?:{classes})\.[a-z_]+\b", page.read_text(encoding="utf-8")))
        methods = {"Relay.receive"}
        assert named - methods <= options, page


@pytest.mark.parametrize("code", CloseCode, ids=lambda code: code.name)
def test_every_close_code_is_documented(code: CloseCode) -> None:
    """Each has a row with its number and its name."""
    assert f"| {code.value} | `{code.name}` |" in PROTOCOL


def test_no_other_close_code_is_documented() -> None:
    """The table has no row of a code that the server does not know."""
    assert set(map(int, re.findall(r"^\| (\d{4}) \| `", PROTOCOL, re.MULTILINE))) == set(map(int, CloseCode))


def test_the_actions_are_those_of_the_code() -> None:
    """Each stands there with its fields and its answers; else run `python docs/make_actions.py`."""
    page: str = script("make_actions").render()
    assert page == (DOCS / "reference" / "actions.md").read_text(encoding="utf-8")
    for route in ("POST /api/rtc/kernels", "PATCH /api/rtc/sessions/<id>", "GET /api/rtc/spec"):
        assert f"| `{route}` |" in page


async def test_every_route_is_documented(server) -> None:
    """Each route that the extension registers stands in the protocol, and no other; actions have their own page."""
    routes = [pattern for pattern, handler, *_ in server.extension.handlers if handler is not ActionHandler]
    registered = {re.sub(r"\(.*$", "", pattern) for pattern in routes}
    registered = {pattern.removeprefix(server.base_url.rstrip("/")) for pattern in registered}
    documented = set(re.findall(r"^\| `(?:GET|PUT|POST|DELETE|WS) (/[^<`]*)", PROTOCOL, re.MULTILINE))
    assert {route for route in registered if "/api/" in route} == documented


async def test_a_new_server_answers_as_it_says(server, jp_fetch) -> None:
    """What is said to be the list of rooms is that of a server in which nothing was opened."""
    (said,) = [
        block.code for block in blocks(DOCS / "how-to" / "run-with-jupyter-server-only.md") if block.language == "json"
    ]
    assert json.loads((await jp_fetch("api", "rtc", "rooms")).body) == json.loads(said)


@pytest.mark.parametrize("path", sorted((ROOT / "jupyter_rtc" / "events").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_event_is_documented(path: Path) -> None:
    """Each schema's id, required fields and actions stand in the page."""
    schema = path.read_text(encoding="utf-8")
    wanted = re.findall(r'^"\$id": (\S+)', schema, re.MULTILINE)
    for names in re.findall(r"^ *(?:required|enum): \[(.*)]", schema, re.MULTILINE):
        wanted += names.split(", ")
    levels = {"DEBUG", "ERROR", "CRITICAL"}
    assert [word for word in wanted if f"`{word}`" not in EVENTS and word not in levels] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """Each relative link leads to a file that exists, and to a heading that it has."""
    for link in links(page):
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(path), f"{page.name} links to {link}"


def test_every_page_is_on_the_map() -> None:
    """The index links to each page."""
    index = DOCS / "index.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(index)}
    assert set(PAGES) - linked == {index, CONTRIBUTING}


@pytest.mark.parametrize("floor", ["wire", "machine", "kernels", "relay", "documents", "supernode"])
def test_every_module_is_in_the_house(floor: str) -> None:
    """The page about the structure of the code names the modules of each floor, and no others."""
    page = (DOCS / "topics" / "the-house.md").read_text(encoding="utf-8")
    section = page.partition(f"## {floor}/\n")[2].partition("\n## ")[0]
    modules = {path.name for path in (ROOT / "jupyter_rtc" / floor).rglob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"`(\w+\.py)`", section)) == modules


@pytest.mark.parametrize("page", sorted((DOCS / "topics").glob("*.md")), ids=lambda page: page.name)
def test_modules_that_a_page_names_exist(page: Path) -> None:
    """A page that names a file of the package, such as `relay/room.py`, means one that there is."""
    floors = "|".join(path.parent.name for path in (ROOT / "jupyter_rtc").glob("*/__init__.py"))
    named = set(re.findall(rf"(?<![\w/])(?:{floors})/[\w/]+\.py\b", page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not (ROOT / "jupyter_rtc" / name).is_file()] == []


def test_the_readme_has_the_commands() -> None:
    """They are all that the README tells to type into a shell; CI runs the second."""
    first, second, fast = (block.code.strip() for block in blocks(README) if block.language == "sh")
    assert first == 'pip install ".[lab]" && jupyter lab'
    assert second == 'pip install ".[test]" && pytest'
    assert fast == 'pytest -m "not (server or browser or slow)"'
    assert fast in [block.code.strip() for block in blocks(CONTRIBUTING)]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert second in script.replace(" --quiet", "")
    assert README.read_text(encoding="utf-8").index(second) < 2000, "near the top"


def test_contributing_names_what_writes_the_pages() -> None:
    """Each script in docs/ is in the table, with the page that it writes, which names it."""
    rows = re.findall(r"^\| \[(docs/\S+\.md)].*`python (docs/\w+\.py)`", CONTRIBUTING.read_text(), re.MULTILINE)
    assert {name for _, name in rows} == {f"docs/{path.name}" for path in DOCS.glob("*.py")}
    for page, name in rows:
        assert f"Written by {name}" in (ROOT / page).read_text(encoding="utf-8")


def test_the_changelog_has_this_version() -> None:
    """The newest section is that of the version in pyproject.toml, which is that of the package."""
    (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings(DOCS / "changelog.md")[1] == version == jupyter_rtc.__version__


def test_messages_are_those_that_the_server_writes() -> None:
    """Each message that "Troubleshoot" quotes from the log is in the code."""
    joined = re.sub(r'"\s*\n\s*f?"', "", SOURCES)
    for message in quoted_messages("In the server's log"):
        assert message in joined


def test_messages_are_those_that_the_front_ends_show() -> None:
    """Each message that "Troubleshoot" quotes from the browser is in the front ends, or in JupyterLab."""
    folders = [Path(folder, name, "static") for folder in jupyter_path("labextensions") for name in FRONT_ENDS]
    folders.append(Path(get_app_dir(), "static"))
    missing = set(quoted_messages("In the browser"))
    for script in (path for folder in folders for path in folder.glob("*.js")):
        text = script.read_text(encoding="utf-8")
        missing = {message for message in missing if message not in text}
    assert not missing


def quoted_messages(section: str) -> list[str]:
    """Return what the headings and the lists of a section of "Troubleshoot" quote."""
    page = (DOCS / "how-to" / "troubleshoot.md").read_text(encoding="utf-8")
    part = page.partition(f"## {section}\n")[2].partition("\n## ")[0]
    messages = re.findall(r"^(?:### |- )`([^`]+)`", part, re.MULTILINE)
    assert len(messages) > 4
    return messages


def test_python_in_the_pages_is_python() -> None:
    """Each block that says so compiles."""
    found = [(page, block) for page in PAGES for block in blocks(page) if block.language == "python"]
    assert found
    for page, block in found:
        compile(block.code, f"{page.name} (Python {sys.version_info.major})", "exec")
