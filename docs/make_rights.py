"""Write the tables of reference/rights.md from the routes in the code; a test compares them, and tries each row.

Run it after a change of a route, or of what it asks for: ``python docs/make_rights.py``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_server.auth.utils import HTTP_METHOD_TO_AUTH_ACTION

from jupyter_rtc.app import JupyterRTC
from jupyter_rtc.supernode.actions import OWNERS, declared
from jupyter_rtc.wire.protocol import Kind

PAGE = Path(__file__).parent / "reference" / "rights.md"
MARK = "<!-- Written by docs/make_rights.py from the routes in the code. -->\n"
ACTIONS = ("read", "write", "execute")
_KINDS = ("read", "and write", "and execute")
# What becomes of a message in a document's room, from a member that may only read, and from one that may write, too.
MESSAGES = {
    Kind.STEP1: ("answered", "answered"),
    Kind.STEP2: ("reaches nobody", "reaches all"),
    Kind.UPDATE: ("reaches nobody", "reaches all"),
    Kind.AWARENESS: ("reaches all", "reaches all"),
    Kind.RAW: ("`save` fails", "`save` saves"),
    Kind.QUERY_AWARENESS: ("answered", "answered"),
}


class Row(NamedTuple):
    """One request: the HTTP method, or ``WS``; the path; the action and the resource that are asked for."""

    method: str
    path: str
    action: str
    resource: str


def rows() -> list[Row]:
    """Return every request that the extension answers."""
    found = [row for pattern, handler, *_ in JupyterRTC().routes() for row in _of(pattern, handler)]
    actions = [one for owner in OWNERS for one in declared(owner)]
    found += [
        Row(
            one.method, "/api/rtc/" + one.path.replace("{", "<").replace("}", ">"), one.right.action, one.right.resource
        )
        for one in actions
    ]
    return sorted(found, key=lambda row: (row.path, row.method))


def _of(pattern: str, handler: type) -> Iterator[Row]:
    """Yield the requests of one route."""
    path = re.sub(r"\([^)]*\)", "<>", pattern)
    for method in ("get", "post", "put", "patch", "delete"):
        function = vars(handler).get(method)
        if function is None:
            continue
        verb = "WS" if hasattr(handler, "get_websocket_protocol") else method.upper()
        yield Row(verb, path, _action(function, method), _resource(handler))


def _action(function: Any, method: str) -> str:
    """Return what `authorized` asks for before a method of a handler; else what the method itself asks for."""
    asked = HTTP_METHOD_TO_AUTH_ACTION[method.upper()]
    while function is not None:
        variables = inspect.getclosurevars(function).nonlocals
        asked = variables.get("action") or asked
        function = getattr(function, "__wrapped__", None)
    return asked


def _resource(handler: type) -> str:
    return getattr(handler, "auth_resource", None) or ""


def render() -> str:
    """Return the page, with its tables as they are now."""
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    requests = (
        [f"`{row.method} {row.path}`", row.resource or "what the table shows", *_allowed(row)] for row in rows()
    )
    messages = ([kind.value, *MESSAGES[kind]] for kind in Kind)
    return (
        f"{head}{MARK}\n"
        + _table(["request", "resource", "nothing", *_KINDS], requests)
        + "\nWhat becomes of a message in the room of a document:\n\n"
        + _table(["message", "of a reader", "of a writer"], messages)
    )


def _allowed(row: Row) -> list[str]:
    least = ACTIONS.index(row.action)
    return ["403", *("yes" if number >= least else "403" for number in range(len(ACTIONS)))]


def _table(heads: list[str], cells: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *cells]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
