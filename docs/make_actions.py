"""Write reference/actions.md from the declarations in the code; a test compares the two.

Run it after a change of an action: ``python docs/make_actions.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jupyter_rtc.supernode.actions import ALWAYS, OWNERS, Action, declared

PAGE = Path(__file__).parent / "reference" / "actions.md"

INTRODUCTION = """\
# Actions

<!-- Written by docs/make_actions.py from the declarations in the code. Change them there. -->

What clients can make the server do. The same as an OpenAPI 3.1 document, for tools: `GET /api/rtc/spec`. A script that
uses them: [Act on the server](../how-to/act-on-the-server.md).

All stand under the server's base URL, and need an authenticated user; with a cookie, the XSRF token must come along.
A body is JSON, in UTF-8, of at most 1 MiB; a field that is not in the table is refused. What was made is in the answer,
as the [shared tables](tables.md) show it, and with its `id`; those fields of kernels and sessions that are not named
here are there while their tables are switched on. For a 201, the header `Location` has its address. An error has the
form of Jupyter's own API, `{"message", "reason"}`, and names in `field` what is wrong in the request, if something is.
What the server's own managers refuse with 403, 409, 423, 429, 503, 504 or 507 is passed on as it is, with `Retry-After`
where they know it. An action whose client has gone is given ten more seconds. Besides those of each action there are:

"""


def render() -> str:
    """Return the whole page."""
    actions = [one for owner in OWNERS for one in declared(owner)]
    always = _table(["status", "when"], ([f"{status}", reason] for status, reason in ALWAYS.items()))
    overview = _table(["action", "needs", "does"], map(_row, actions))
    return f"{INTRODUCTION}{always}\n## All actions\n\n{overview}" + "".join(map(_section, actions))


def _row(one: Action) -> list[str]:
    return [f"`{_route(one)}`", one.needs, one.summary.rstrip(".")]


def _route(one: Action) -> str:
    return f"{one.method} /api/rtc/{one.path}".replace("{", "<").replace("}", ">")


def _section(one: Action) -> str:
    heading = _route(one).replace("<", "&lt;").replace(">", "&gt;")
    parts = [f"\n### {heading}\n", f"{one.summary} {one.description}".strip() + "\n"]
    if one.body is not None:
        parts.append(_table(["field", "type", "what"], _fields(one.body)) if one.body["properties"] else "No body.\n")
    parts.append(_table(["status", "what"], _answers(one)))
    return "\n".join(parts)


def _fields(body: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, schema in body["properties"].items():
        kind = schema.get("type") or ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
        said = [schema.get("description", ""), "required" if name in body["required"] else ""]
        if "default" in schema:
            said.append(f"{json.dumps(schema['default'])} where it is left out")
        yield [f"`{name}`", kind, "; ".join(filter(None, said))]


def _answers(one: Action) -> Iterator[list[str]]:
    for status, schema in one.answers.items():
        shown = ", ".join(f"`{name}`" for name in (schema or {}).get("properties", {}))
        yield [str(status), shown or ("no body" if schema is None else "an object")]
    for status, reason in one.errors.items():
        yield [str(status), reason]


def _table(heads: list[str], rows: Any) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
