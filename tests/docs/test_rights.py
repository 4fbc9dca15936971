"""Tries every row of the tables in reference/rights.md: each request and message, with each kind of user."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jupyter_server.auth import Authorizer
from tornado.httpclient import AsyncHTTPClient
from websockets.exceptions import InvalidStatus

from jupyter_rtc.wire.protocol import Kind

from .pages import DOCS
from .test_docs import script

RIGHTS = script("make_rights")
USERS = {"nothing": (), "read": ("read",), "write": ("read", "write"), "execute": ("read", "write", "execute")}
ROWS = RIGHTS.rows()
# What stands for a part of a path that a test fills in: things that there are not, in a folder with rights of its own.
PARTS = {"<path>": "secret", "<name>": "kernels", "<id>": "nobody"}
PLACES = ("session", "timeline", "history")
BODIES = {
    ("PUT", "/api/collaboration/session/<>"): {"format": "text", "type": "file"},
    ("GET", "/api/collaboration/timeline/<>"): None,
    ("GET", "/api/rtc/history/<>"): None,
    ("POST", "/api/rtc/history/<>"): {"version": 1},
    ("POST", "/api/rtc/contents/<path>"): {"type": "file"},
    ("PATCH", "/api/rtc/contents/<path>"): {"path": "other/b.txt"},
    ("DELETE", "/api/rtc/contents/<path>"): None,
    ("POST", "/api/rtc/kernels"): {"name": "none", "path": "secret"},
    ("POST", "/api/rtc/sessions"): {"kernel_name": "none", "path": "secret/a.ipynb", "type": "notebook"},
    ("PATCH", "/api/rtc/sessions/<id>"): {"path": "secret/a.ipynb"},
    ("POST", "/api/rtc/terminals"): {"path": "secret"},
    ("POST", "/api/rtc/tables/<name>/refresh"): {"path": "secret"},
}


class Allowing(Authorizer):
    """Allows some actions, and nothing in the folder `closed`."""

    actions: tuple[str, ...] = ()
    closed = "no folder"

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        """Say whether it is allowed."""
        path = str(handler.path_kwargs.get("path", "")).strip("/")
        return action in self.actions and path.split("/")[0] != self.closed


class Asking:
    """Sends the requests of the table to a server.

    Attributes:
        authorizer: the one of the server.
    """

    def __init__(self, server: Any) -> None:
        """Send to `server`."""
        self._server = server
        self.authorizer: Allowing = server.app.authorizer

    async def status(self, row: Any) -> int:
        """Return the status of the answer to a request."""
        path = row.path.lstrip("/")
        for part, value in PARTS.items():
            path = path.replace(part, value)
        name = "secret/a.txt" if path.split("/")[2] in PLACES else PRESENCE if row.method == "WS" else "x"
        path = path.replace("<>", name)
        if row.method == "WS":
            return await self._handshake(path)
        body = BODIES.get((row.method, row.path))
        answer = await AsyncHTTPClient().fetch(
            self._server.url(path, "http"), method=row.method, body=body and json.dumps(body),
            headers={"Authorization": f"token {self._server.token}"}, allow_nonstandard_methods=True, raise_error=False,
        )  # fmt: skip
        return answer.code

    async def _handshake(self, path: str) -> int:
        place, _, name = path.rpartition("/")
        try:
            async with self._server.connect(name, path=place):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code


PRESENCE = "JupyterLab:globalAwareness"


@pytest.mark.traits(ServerApp={"authorizer_class": Allowing})
@pytest.mark.parametrize("kind", USERS)
async def test_each_request_with_each_kind_of_user(server: Any, kind: str) -> None:
    asking = Asking(server)
    asking.authorizer.actions = USERS[kind]
    for row in ROWS:
        allowed = row.action in USERS[kind]
        assert (await asking.status(row) != 403) is allowed, (kind, row)


@pytest.mark.traits(ServerApp={"authorizer_class": Allowing})
async def test_each_request_that_names_a_path_in_a_folder_that_is_closed(server: Any) -> None:
    """Those that know a file by an id are in tests/documents/test_paths.py."""
    asking = Asking(server)
    asking.authorizer.actions = USERS["execute"]
    named = [row for row in ROWS if (row.method, row.path) in BODIES]
    assert len(named) == len(BODIES)
    for closed in ("secret", "public"):
        asking.authorizer.closed = closed
        for row in named:
            assert (await asking.status(row) == 403) is (closed == "secret"), row


def test_the_tables_are_those_of_the_code() -> None:
    """Else run `python docs/make_rights.py`."""
    assert RIGHTS.render() == (DOCS / "reference" / "rights.md").read_text(encoding="utf-8")
    assert RIGHTS.MESSAGES.keys() == set(Kind)
