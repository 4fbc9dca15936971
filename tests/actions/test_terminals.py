"""Terminals: opened and ended."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from .conftest import Client, refused, works_in

with_terminals = pytest.mark.traits(
    ServerApp={"jpserver_extensions": {"jupyter_rtc": True, "jupyter_server_terminals": True}}
)


@with_terminals
async def test_a_terminal_is_opened_and_ended(client: Client) -> None:
    answer = await client.act("POST", "terminals")
    assert answer.status == 201
    name = answer.body["name"]
    assert answer.headers["Location"] == f"{client.app.base_url}api/rtc/terminals/{name}"
    assert answer.body["id"] == name
    assert [terminal["name"] for terminal in await client.jupyter("terminals")] == [name]
    answer = await client.act("DELETE", f"terminals/{name}")
    assert (answer.status, answer.body) == (204, None)
    assert await client.jupyter("terminals") == []


@with_terminals
@pytest.mark.parametrize(("path", "folder"), [("work", "work"), ("/work/sub", "work"), ("", "."), ("nowhere/x", ".")])
async def test_its_shell_begins_in_the_folder_that_is_named(
    client: Client, jp_root_dir: Path, path: str, folder: str
) -> None:
    (jp_root_dir / "work").mkdir()
    name = (await client.act("POST", "terminals", {"path": path})).body["name"]
    process = client.app.web_app.settings["terminal_manager"].terminals[name].ptyproc.pid
    assert works_in(process, jp_root_dir / folder)


@with_terminals
@pytest.mark.parametrize("path", ["..", "work/../..", "\0"])
async def test_a_folder_outside_the_root(client: Client, path: str) -> None:
    refused(await client.act("POST", "terminals", {"path": path}), 400, "path")
    assert await client.jupyter("terminals") == []


@with_terminals
@pytest.mark.parametrize("name", ["7", "..", "%00", "%F0%9F%90%8D", "a%2Fb"])
async def test_a_terminal_that_is_not_there(client: Client, name: str) -> None:
    refused(await client.act("DELETE", f"terminals/{name}"), 404)


@with_terminals
async def test_two_end_one_terminal(client: Client) -> None:
    name = (await client.act("POST", "terminals")).body["name"]
    answers = await asyncio.gather(*(client.act("DELETE", f"terminals/{name}") for _ in range(2)))
    assert sorted(answer.status for answer in answers) == [204, 404]
    assert await client.jupyter("terminals") == []


async def test_a_server_without_terminals(client: Client) -> None:
    assert "jupyter_server_terminals" in refused(await client.act("POST", "terminals"), 501)
    assert "jupyter_server_terminals" in refused(await client.act("DELETE", "terminals/1"), 501)
