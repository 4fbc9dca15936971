"""Requests that are wrong: each gets its reason, and nothing happens."""

from __future__ import annotations

import json
import logging

import pytest

from jupyter_rtc.supernode.actions import OWNERS, Action, declared

from .conftest import Client, refused

ACTIONS = {action.name: action for owner in OWNERS for action in declared(owner)}
WITH_BODY = [action for action in ACTIONS.values() if action.body is not None]
DEEP = b"[" * 100_000
WRONG = {
    "no JSON": b"{",
    "white space": b"\r",
    "no UTF-8": b'{"path": "\xff"}',
    "half a character": b'{"path": "\\ud800"}',
    "UTF-16": '{"path": "a"}'.encode("utf-16"),
    "nested too deep": DEEP,
    "an endless number": b'{"path": ' + b"1" * 10_000 + b"}",
    "not a number": b'{"path": NaN}',
    "a list": b"[]",
    "a text": b'"path"',
    "nothing": b"null",
    "a number": b"1",
}


def path_of(action: Action) -> str:
    """Return a path of an action, with things that are not there (there are tables)."""
    return action.path.format(id="nobody", name="kernels", path="nowhere")


@pytest.mark.parametrize("action", WITH_BODY, ids=lambda action: action.name)
@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
async def test_bodies_that_are_none(client: Client, action: Action, body: bytes) -> None:
    assert "body" in refused(await client.act(action.method, path_of(action), body), 400)


@pytest.mark.parametrize("action", WITH_BODY, ids=lambda action: action.name)
async def test_fields_that_are_not_there(client: Client, action: Action) -> None:
    assert action.body is not None
    given = {name: example(action, name) for name in action.body["required"]}
    reason = refused(await client.act(action.method, path_of(action), {**given, "colour": "red"}), 400, "colour")
    assert "there is no such field" in reason
    assert all(name in reason for name in action.body["properties"])


@pytest.mark.parametrize("action", WITH_BODY, ids=lambda action: action.name)
async def test_fields_of_another_type(client: Client, action: Action) -> None:
    assert action.body is not None
    given = {name: example(action, name) for name in action.body["required"]}
    for name in action.body["properties"]:
        for value in (None, [], {"a": 1}):
            answer = await client.act(action.method, path_of(action), {**given, name: value})
            assert json.dumps(value) in refused(answer, 400, name)


@pytest.mark.parametrize(
    ("action", "field"), [(action, name) for action in WITH_BODY if action.body for name in action.body["required"]]
)
async def test_fields_that_are_missing(client: Client, action: Action, field: str) -> None:
    assert action.body is not None
    given = {name: example(action, name) for name in action.body["required"] if name != field}
    assert refused(await client.act(action.method, path_of(action), given), 400, field) == f"{field}: is required"


@pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
async def test_a_body_that_is_too_large(client: Client, action: Action) -> None:
    body = json.dumps({"code": "x" * (1 << 20)}).encode()
    assert "1048576" in refused(await client.act(action.method, path_of(action), body), 413)


@pytest.mark.parametrize("name", [name for name, action in ACTIONS.items() if action.body is None])
async def test_a_body_where_none_belongs(client: Client, name: str) -> None:
    action = ACTIONS[name]
    assert "takes no body" in refused(await client.act(action.method, path_of(action), {"a": 1}), 400)


@pytest.mark.parametrize("path", ["kernels/%FF", "contents/%FF", "sessions/%ED%A0%80"])
async def test_addresses_that_are_no_text(client: Client, path: str) -> None:
    assert "unicode" in refused(await client.act("DELETE", path), 400)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "kernels", "POST"),
        ("GET", "kernels/x", "DELETE"),
        ("PATCH", "sessions", "POST"),
        ("TRACE", "terminals", "POST"),
        ("POST", "spec", "GET"),
        ("GET", "contents/x", "DELETE, PATCH, POST"),
    ],
)
async def test_methods_that_are_not_there(client: Client, method: str, path: str, allowed: str) -> None:
    answer = await client.act(method, path)
    refused(answer, 405)
    assert answer.headers["Allow"] == allowed


async def test_wrong_requests_are_no_errors_of_ours(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    await client.act("POST", "kernels", b"{")
    await client.act("POST", "kernels", {"name": "fortran"})
    await client.act("DELETE", "sessions/x")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def example(action: Action, name: str) -> object:
    """Return a value that a field may have."""
    assert action.body is not None
    schema = action.body["properties"][name]
    return schema["enum"][0] if "enum" in schema else "a"
