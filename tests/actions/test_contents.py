"""Files and folders: created, copied, renamed, deleted; open documents follow."""

from __future__ import annotations

import asyncio
import os
from errno import EACCES
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from awaiting import until
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

from .conftest import Client, refused

keep_no_trash = pytest.mark.traits(AsyncLargeFileManager={"delete_to_trash": False})


@pytest.mark.parametrize(
    ("body", "name", "kind"),
    [
        (None, "untitled", "file"),
        ({"type": "file", "ext": ".txt"}, "untitled.txt", "file"),
        ({"type": "notebook"}, "Untitled.ipynb", "notebook"),
        ({"ext": ".ipynb"}, "Untitled.ipynb", "notebook"),
        ({"type": "directory"}, "Untitled Folder", "directory"),
    ],
)
@pytest.mark.parametrize("folder", ["", "a folder/é"])
async def test_created(client: Client, jp_root_dir: Path, folder: str, body: Any, name: str, kind: str) -> None:
    (jp_root_dir / folder).mkdir(parents=True, exist_ok=True)
    answer = await client.act("POST", f"contents/{quote(folder)}", body)
    path = f"{folder}/{name}".strip("/")
    assert answer.status == 201
    assert (answer.body["path"].strip("/"), answer.body["name"], answer.body["type"]) == (path, name, kind)
    assert answer.headers["Location"] == f"{client.app.base_url}api/rtc/contents/{quote(path)}"
    assert (jp_root_dir / path).exists()
    shown = await client.jupyter(f"contents/{quote(path)}?content=0")
    same = ("name", "type", "last_modified", "size", "writable", "mimetype")
    assert {key: shown[key] for key in same} == {key: answer.body[key] for key in same}


async def test_created_at_the_same_moment_they_have_names_of_their_own(client: Client, jp_root_dir: Path) -> None:
    answers = await asyncio.gather(*(client.act("POST", "contents", {"ext": ".txt"}) for _ in range(5)))
    assert len({answer.body["path"] for answer in answers}) == len(os.listdir(jp_root_dir)) == 5


async def test_copied(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "a.txt").write_text("text")
    (jp_root_dir / "work").mkdir()
    answer = await client.act("POST", "contents/work", {"copy_from": "/a.txt"})
    assert (answer.status, answer.body["path"].strip("/")) == (201, "work/a.txt")
    assert (jp_root_dir / "work" / "a.txt").read_text() == "text"
    assert (await client.act("POST", "contents", {"copy_from": "a.txt"})).body["name"] == "a-Copy1.txt"


async def test_a_folder_is_copied(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "work" / "sub").mkdir(parents=True)
    (jp_root_dir / "work" / "sub" / "a.txt").write_text("text")
    assert (await client.act("POST", "contents", {"copy_from": "work"})).status == 201
    assert (jp_root_dir / "work-Copy1" / "sub" / "a.txt").read_text() == "text"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"copy_from": "nowhere.txt"}, "copy_from"),
        ({"copy_from": "../a.txt"}, "copy_from"),
        ({"copy_from": ".hidden"}, "copy_from"),
        ({"copy_from": "/"}, "copy_from"),
        ({"copy_from": "work"}, "copy_from"),
        ({"copy_from": "loop"}, "copy_from"),
        ({"copy_from": "broken"}, "copy_from"),
        ({"copy_from": "a.txt", "type": "file"}, "type"),
        ({"copy_from": "a.txt", "ext": ".md"}, "ext"),
        ({"ext": "/../../x"}, "ext"),
        ({"ext": ".\0"}, "ext"),
        ({"ext": "." + "\U0001f40d" * 63}, "ext"),
        ({"type": "link"}, "type"),
    ],
)
async def test_what_is_not_created(client: Client, jp_root_dir: Path, body: dict[str, str], field: str) -> None:
    (jp_root_dir / "work").mkdir()
    for name in ("a.txt", ".hidden"):
        (jp_root_dir / name).write_text("")
    (jp_root_dir / "loop").symlink_to("loop")
    (jp_root_dir / "broken").symlink_to("nowhere")
    refused(await client.act("POST", "contents/work", body), 400, field)
    assert os.listdir(jp_root_dir / "work") == []


@pytest.mark.parametrize(
    ("link", "to", "source", "into"),
    [
        ("up", "..", "up", ""),
        ("here", ".", "here", ""),
        ("work/up", "..", "work", ""),
        ("work/deep/back", "../../work/deep", "work", ""),
        ("work/other", "../other", "work", "other"),
    ],
)
async def test_a_folder_that_leads_to_itself_is_not_copied(
    client: Client, jp_root_dir: Path, link: str, to: str, source: str, into: str
) -> None:
    for folder in ("work/deep", "other"):
        (jp_root_dir / folder).mkdir(parents=True)
    (jp_root_dir / link).symlink_to(to)
    before = os.listdir(jp_root_dir), os.listdir(jp_root_dir / "other")
    refused(await client.act("POST", f"contents/{into}", {"copy_from": source}), 400, "copy_from")
    assert (os.listdir(jp_root_dir), os.listdir(jp_root_dir / "other")) == before


async def test_a_folder_whose_links_lead_to_the_same_in_millions_of_ways_is_not_copied(
    client: Client, jp_root_dir: Path
) -> None:
    below = jp_root_dir / "last"
    below.mkdir()
    for number in range(23):
        level = jp_root_dir / f"level{number}"
        level.mkdir()
        for name in ("one", "two"):
            (level / name).symlink_to(below)
        below = level
    asked = [client.act("POST", "contents", {"copy_from": below.name}) for _ in range(6)]
    for answer in await asyncio.gather(*asked):
        assert "more than 10000 folders" in refused(answer, 400, "copy_from")


async def test_a_folder_with_links_to_others_is_copied(client: Client, jp_root_dir: Path) -> None:
    for folder in ("work", "other"):
        (jp_root_dir / folder).mkdir()
    (jp_root_dir / "other" / "a.txt").write_text("text")
    for name in ("one", "two"):
        (jp_root_dir / "work" / name).symlink_to("../other")
    assert (await client.act("POST", "contents", {"copy_from": "work"})).status == 201
    assert (jp_root_dir / "work-Copy1" / "two" / "a.txt").read_text() == "text"


async def test_where_nothing_is_created(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "a.txt").write_text("")
    (jp_root_dir / ".hidden").mkdir()
    refused(await client.act("POST", "contents/a.txt"), 400, "path")
    refused(await client.act("POST", "contents/nowhere"), 404)
    refused(await client.act("POST", "contents/.hidden"), 404)
    refused(await client.act("POST", f"contents/{'x' * 300}"), 404)
    assert os.listdir(jp_root_dir / ".hidden") == []


async def test_renamed(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "work").mkdir()
    (jp_root_dir / "a.txt").write_text("text")
    answer = await client.act("PATCH", "contents/a.txt", {"path": "/work/b.txt"})
    assert (answer.status, answer.body["path"], answer.body["name"]) == (200, "work/b.txt", "b.txt")
    assert (jp_root_dir / "work" / "b.txt").read_text() == "text"
    assert not (jp_root_dir / "a.txt").exists()
    assert (await client.act("PATCH", "contents/work%2Fb.txt", {"path": "work/b.txt"})).status == 200
    assert (await client.act("PATCH", "contents/work", {"path": "w"})).body["type"] == "directory"


@pytest.mark.parametrize(
    ("old", "new", "status", "field"),
    [
        ("nowhere", "b", 404, ""),
        (".hidden", "b", 404, ""),
        ("", "b", 400, "path"),
        ("a.txt", "", 400, "path"),
        ("a.txt", "/", 400, "path"),
        ("a.txt", "../b", 400, "path"),
        ("a.txt", "work/../b", 400, "path"),
        ("a.txt", ".b", 400, "path"),
        ("a.txt", "b\0", 400, "path"),
        ("a.txt", "x" * 300, 400, "path"),
        ("a.txt", "nowhere/b", 400, "path"),
        ("a.txt", "a.txt/b", 400, "path"),
        ("work", "work/sub", 400, "path"),
        ("a.txt", "c.txt", 409, ""),
    ],
)
async def test_not_renamed(client: Client, jp_root_dir: Path, old: str, new: str, status: int, field: str) -> None:
    (jp_root_dir / "work").mkdir()
    for name in ("a.txt", "c.txt", ".hidden"):
        (jp_root_dir / name).write_text(name)
    refused(await client.act("PATCH", f"contents/{old}", {"path": new}), status, field)
    assert sorted(os.listdir(jp_root_dir)) == [".hidden", "a.txt", "c.txt", "work"]
    assert (jp_root_dir / "c.txt").read_text() == "c.txt"


@keep_no_trash
async def test_deleted(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "a.txt").write_text("")
    (jp_root_dir / "empty").mkdir()
    for name in ("a.txt", "empty"):
        answer = await client.act("DELETE", f"contents/{name}")
        assert (answer.status, answer.body) == (204, None)
        assert not (jp_root_dir / name).exists()
        refused(await client.act("DELETE", f"contents/{name}"), 404)


@keep_no_trash
async def test_a_folder_that_is_not_empty_stays(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "work").mkdir()
    (jp_root_dir / "work" / "a.txt").write_text("")
    assert "not empty" in refused(await client.act("DELETE", "contents/work"), 409)
    assert (jp_root_dir / "work" / "a.txt").exists()


@pytest.mark.traits(AsyncLargeFileManager={"delete_to_trash": False, "always_delete_dir": True})
async def test_unless_the_contents_manager_is_told_otherwise(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "work").mkdir()
    (jp_root_dir / "work" / "a.txt").write_text("")
    assert (await client.act("DELETE", "contents/work")).status == 204
    assert not (jp_root_dir / "work").exists()


class Guarded(AsyncLargeFileManager):
    """Files that stay, like those of a folder that the server may not write."""

    async def delete_file(self, path: str) -> None:
        """Refuse it."""
        with self.perm_to_403(path):
            raise PermissionError(EACCES, "Permission denied")


@pytest.mark.traits(ServerApp={"contents_manager_class": Guarded})
async def test_what_may_not_be_written_stays(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "a.txt").write_text("")
    assert "Permission denied" in refused(await client.act("DELETE", "contents/a.txt"), 403)


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("", 400, "path"),
        ("/", 400, "path"),
        ("a/..", 400, "path"),
        ("%2E%2E/%2E%2E", 400, "path"),
        ("%00", 400, "path"),
        (".hidden", 404, ""),
        ("nowhere", 404, ""),
        ("x" * 300, 404, ""),
        ("a.txt/b", 404, ""),
        ("%F0%9F%90%8D%0A", 404, ""),
    ],
)
async def test_not_deleted(client: Client, jp_root_dir: Path, path: str, status: int, field: str) -> None:
    for name in ("a.txt", ".hidden"):
        (jp_root_dir / name).write_text("")
    refused(await client.act("DELETE", f"contents/{path}"), status, field)
    assert len(os.listdir(jp_root_dir)) == 2


@pytest.mark.traits(AsyncLargeFileManager={"delete_to_trash": False, "allow_hidden": True})
async def test_where_hidden_files_are_shown_they_are_files(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / ".hidden").write_text("")
    assert (await client.act("PATCH", "contents/.hidden", {"path": ".secret"})).status == 200
    assert (await client.act("DELETE", "contents/.secret")).status == 204


async def test_an_open_document_follows_its_file(client: Client, server: Any, jp_root_dir: Path) -> None:
    (jp_root_dir / "a.txt").write_text("text")
    body = {"format": "text", "type": "file"}
    session = (await client.ask("PUT", "api/collaboration/session/a.txt", body)).body
    room = f"text:file:{session['fileId']}"
    async with server.connect(room, path="api/collaboration/room"):
        await client.act("PATCH", "contents/a.txt", {"path": "b.txt"})

        async def followed() -> bool:
            rooms = (await client.act("GET", "rooms")).body["rooms"]
            return next(one["path"] for one in rooms if one["name"] == room) == "b.txt"

        await until(followed)
