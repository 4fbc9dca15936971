"""The OpenAPI document: valid, and the same as the routes."""

from __future__ import annotations

import re

import pytest
from jsonschema import Draft202012Validator

from jupyter_rtc.supernode.actions import OWNERS, Action, declared
from jupyter_rtc.supernode.actions.handlers import ActionHandler

from .conftest import Client
from .test_requests import ACTIONS


async def test_it_describes_every_action_and_no_other(client: Client) -> None:
    answer = await client.act("GET", "spec")
    assert answer.status == 200
    described = {
        (method.upper(), path.lstrip("/"), operation["operationId"])
        for path, methods in answer.body["paths"].items()
        for method, operation in methods.items()
    }
    assert described == {(action.method, action.path, action.name) for action in ACTIONS.values()}
    assert answer.body["openapi"] == "3.1.0"
    assert answer.body["servers"] == [{"url": f"{client.app.base_url}api/rtc"}]


async def test_every_action_has_a_route_and_every_route_an_action(client: Client, server) -> None:
    routes = {
        (method, bound.action.path)
        for _, handler, options in (route for route in server.extension.handlers if len(route) == 3)
        if handler is ActionHandler
        for method, bound in options["actions"].items()
    }
    assert routes == {(action.method, action.path) for action in ACTIONS.values()}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
async def test_each_operation_says_all_that_a_client_needs(client: Client, action: Action) -> None:
    document = (await client.act("GET", "spec")).body
    operation = document["paths"][f"/{action.path}"][action.method.lower()]
    assert operation["summary"].endswith(".")
    assert [parameter["name"] for parameter in operation["parameters"]] == re.findall(r"{(\w+)}", action.path)
    assert {"400", "403", "413"} < set(operation["responses"])
    assert any(status.startswith("2") for status in operation["responses"])
    for status, response in operation["responses"].items():
        assert response["description"]
        assert ("content" in response) == (status != "204")
        assert ("Location" in response.get("headers", {})) == (status == "201")
    assert ("requestBody" in operation) == (action.body is not None)


def test_schemas_are_schemas() -> None:
    for owner in OWNERS:
        for action in declared(owner):
            for schema in (action.body, *action.answers.values()):
                if schema is not None:
                    Draft202012Validator.check_schema(schema)
