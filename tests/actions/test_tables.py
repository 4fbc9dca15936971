"""The refresh of tables: what is asked for is there when the answer comes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from .conftest import Client, refused


async def table(client: Client, name: str) -> dict[str, Any]:
    """Return the records of a table."""
    answer = await client.act("GET", f"tables/{name}")
    assert answer.status == 200
    records: dict[str, Any] = answer.body["records"]
    return records


@pytest.mark.parametrize("name", ["kernelspecs", "status", "terminals", "kernels", "sessions", "contents", "folders"])
async def test_every_table_is_refreshed(client: Client, name: str) -> None:
    answer = await client.act("POST", f"tables/{name}/refresh")
    assert (answer.status, answer.body) == (204, None)


@pytest.mark.traits(Supernode={"kernels_interval": 0.0})
async def test_what_an_action_makes_is_the_record_in_the_table(client: Client) -> None:
    kernel = (await client.act("POST", "kernels")).body
    assert {kernel["id"]: {key: kernel[key] for key in kernel if key != "id"}} == await table(client, "kernels")
    restarted = (await client.act("POST", f"kernels/{kernel['id']}/restart")).body
    assert (kernel["incarnation"], restarted["incarnation"]) == (0, 1)
    session = (await client.act("POST", "sessions", {"path": "a", "type": "file", "kernel_id": kernel["id"]})).body
    assert {session["id"]: {key: session[key] for key in session if key != "id"}} == await table(client, "sessions")


@pytest.mark.traits(Supernode={"shown": ["status"]})
async def test_without_the_tables_there_are_the_actions(client: Client) -> None:
    kernel = (await client.act("POST", "kernels")).body
    assert {"id", "name", "last_activity", "connections", "execution_state", "reason"} == set(kernel)
    session = (await client.act("POST", "sessions", {"path": "a", "type": "file", "kernel_id": kernel["id"]})).body
    assert session["kernel_id"] == kernel["id"]
    refused(await client.act("POST", "tables/kernels/refresh"), 404)


async def test_a_folder_is_looked_at(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "work").mkdir()
    (jp_root_dir / "work" / "a.txt").write_text("text")
    assert (await client.act("POST", "tables/contents/refresh", {"path": "/work/"})).status == 204
    assert {record["path"] for record in (await table(client, "contents")).values()} >= {"work", "work/a.txt"}


async def test_a_document_is_opened(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "a.txt").write_text("text")
    assert (await client.act("POST", "tables/contents/refresh", {"path": "a.txt", "content": True})).status == 204
    assert "a.txt" in {record["path"] for record in (await table(client, "contents")).values()}


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("kernels", {"path": "work"}, "path"),
        ("contents", {"content": True}, "path"),
        ("contents", {"path": "nowhere"}, "path"),
        ("contents", {"path": ".."}, "path"),
        ("contents", {"path": "x" * 300}, "path"),
        ("contents", {"path": "a.txt/b"}, "path"),
        ("contents", {"path": "a.txt", "content": True, "type": "drawing"}, "type"),
        ("contents", {"path": "a.txt", "content": True, "type": "file", "format": "json"}, "type"),
        ("contents", {"path": "loop"}, "path"),
        ("contents", {"path": "broken", "content": True}, "path"),
        ("folders", {"path": "nowhere"}, "path"),
    ],
)
async def test_what_cannot_be_looked_at(
    client: Client, jp_root_dir: Path, name: str, body: dict[str, Any], field: str
) -> None:
    (jp_root_dir / "a.txt").write_text("text")
    (jp_root_dir / "loop").symlink_to("loop")
    (jp_root_dir / "broken").symlink_to("nowhere")
    refused(await client.act("POST", f"tables/{name}/refresh", body), 400, field)


async def test_a_table_that_is_not_there(client: Client) -> None:
    refused(await client.act("POST", "tables/nothing/refresh"), 404)


async def test_two_refresh_at_once(client: Client) -> None:
    answers = await asyncio.gather(*(client.act("POST", "tables/kernels/refresh") for _ in range(5)))
    assert {answer.status for answer in answers} == {204}
