"""The OpenAPI 3.1 document of the actions, made from their declarations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from .definition import Action, Right, action, declared
from .forms import ERROR, OBJECT

_PARTS = {
    "id": "a kernel's or a session's id",
    "name": "the name of a table or a terminal",
    "path": "an API path: relative to the server's root, its slashes encoded as %2F or not",
}
# What every action may answer with, whatever it is about.
ALWAYS = {
    400: "the request is malformed: `field` and `message` say what and why",
    403: "the user is unknown, or is not allowed to do this",
    413: "the body is too large",
    429: "a limit of the server's managers; `Retry-After` says when to try again, if that is known",
    503: "the server's managers cannot do it now; `Retry-After` as for 429",
    504: "one of the server's managers did not answer in time; what hung is named",
}


class Spec:
    """The document of a server."""

    def __init__(self, owners: Iterable[type], base_url: str, version: str) -> None:
        """Describe the actions of some classes, and its own."""
        self._actions = [one for owner in (*owners, Spec) for one in declared(owner)]
        self._base_url = base_url
        self._version = version

    def add(self, owner: type) -> None:
        """Describe the actions of one more class."""
        self._actions += declared(owner)

    @action("GET spec", Right("read", "api"), answers={200: OBJECT}, errors={})
    async def get(self) -> dict[str, Any]:
        """Describe the actions: this document."""
        return document(self._actions, self._base_url, self._version)


def document(actions: Iterable[Action], base_url: str, version: str) -> dict[str, Any]:
    """Return the document; the server is at `base_url`, a path with slashes around it."""
    known, paths = list(actions), dict[str, dict[str, Any]]()
    for one in known:
        operation = paths.setdefault(f"/{one.path}", {})[one.method.lower()] = _operation(one)
        if created := operation["responses"].get("201"):
            created["links"] = dict(_links(one, known))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jupyter_rtc",
            "version": version,
            "description": "The actions on a Jupyter Server whose effects show in the shared tables.",
        },
        "servers": [{"url": f"{base_url}api/rtc"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`token <the server's token>`. A cookie and `?token=` are taken too, as everywhere"
                    " in Jupyter Server; with a cookie, the XSRF token must come along.",
                }
            },
            "schemas": {"Error": ERROR},
        },
    }


def _operation(one: Action) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": one.name,
        "tags": [one.path.partition("/")[0]],
        "summary": one.summary,
        "description": f"{one.description}\n\nNeeds the right to {one.needs}.".strip(),
        "parameters": [_parameter(name) for name in one.parameters],
        "responses": {str(status): answer for status, answer in sorted(_answers(one).items())},
    }
    if one.body is not None:
        content = {"application/json": {"schema": one.body}}
        operation["requestBody"] = {"required": bool(one.body["required"]), "content": content}
    return operation


def _parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": _PARTS.get(name, ""),
        "schema": {"type": "string", "minLength": 1},
    }


def _answers(one: Action) -> dict[int, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    found: dict[int, Any] = {
        status: {"description": reason, "content": error} for status, reason in (ALWAYS | _joined(one)).items()
    }
    for status, schema in one.answers.items():
        found[status] = {"description": HTTPStatus(status).phrase}
        if schema is not None:
            found[status]["content"] = {"application/json": {"schema": schema}}
        if status == HTTPStatus.CREATED:
            where = {"required": True, "description": "where it is", "schema": {"type": "string"}}
            found[status]["headers"] = {"Location": where}
    return found


def _links(one: Action, others: Iterable[Action]) -> Iterator[tuple[str, Any]]:
    """Yield what can be done with what an action makes: where its id is a part of the path."""
    here = re.escape(one.path.partition("/")[0])
    for other in others:
        if found := re.match(rf"{here}/{{(\w+)}}", other.path):
            part = found[1]
            yield other.name, {"operationId": other.name, "parameters": {part: f"$response.body#/{part}"}}


def _joined(one: Action) -> dict[int, str]:
    return {
        status: f"{reason}; {ALWAYS[status]}" if status in ALWAYS else reason for status, reason in one.errors.items()
    }
