"""Paths: their one form, the ids that stand for them, and what becomes of both when a file is moved."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from jupyter_server_fileid.manager import ArbitraryFileIdManager, LocalFileIdManager

from jupyter_rtc.documents import FileError
from jupyter_rtc.documents.files.names import DocumentName, HeldIds, api_path, path_after

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .peer import SessionRefused, until
from .process import Jupyter

LOG = logging.getLogger("test")
LOCAL_IDS = "c.FileIdExtension.file_id_manager_class = 'jupyter_server_fileid.manager.LocalFileIdManager'\n"


@pytest.mark.parametrize("path", ["a", "/a", "a/", "./a", "b/../a", "//a", "b/./../a//"])
def test_a_path_has_one_form(path: str) -> None:
    assert api_path(path) == "a"


@pytest.mark.parametrize("path", ["..", "../root/a", "a/../../root/a", "/../a"])
def test_a_path_that_leads_out_of_the_root_is_none(path: str) -> None:
    with pytest.raises(FileError) as refused:
        api_path(path)
    assert refused.value.status == 404


@pytest.mark.parametrize("manager", [ArbitraryFileIdManager, LocalFileIdManager])
@pytest.mark.parametrize("name", ["a.txt", "a\\b.txt", "\\", "ä ü.txt", "a\\", "path-YQ", "d/a\\b.txt", "d/a%5Cb.txt"])
def test_every_path_has_an_id_that_stands_for_it_alone(tmp_path: Path, manager: type, name: str) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    ids = HeldIds(manager(root_dir=str(root), db_path=str(tmp_path / "ids.db")), LOG)
    paths = [name, name.replace("\\", "/").strip("/") or "x", "other"]
    for path in dict.fromkeys(paths):
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(path)
    made = {path: ids.index(path) for path in dict.fromkeys(paths)}
    assert len(set(made.values())) == len(made)
    for path, id in made.items():
        assert id is not None
        assert (ids.get_path(id), ids.get_id(path)) == (path, id)
        assert DocumentName.parse(f"text:file:{id}") == ("text", "file", id)


def test_two_servers_with_one_database_give_a_file_one_id_in_the_same_moment(tmp_path: Path) -> None:
    where = {"root_dir": str(tmp_path), "db_path": str(tmp_path / "ids.db")}
    first, given = ArbitraryFileIdManager(**where), []

    class Second(ArbitraryFileIdManager):
        """Has looked for an id and found none when the other server gives it."""

        def _uuid(self) -> str:
            given.append(first.index("a.txt"))
            return str(super()._uuid())

    assert HeldIds(Second(**where), LOG).index("a.txt") == given[0]


def test_a_file_moved_by_way_of_a_link_keeps_the_folder_it_was_opened_in(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "f").mkdir()
    (tmp_path / "link").symlink_to("d")

    def real(path: str) -> str:
        return str((tmp_path / path).resolve())

    assert path_after("d/a", "link/a", "link/b", real) == "d/b"
    assert path_after("link/a", "d/a", "d/b", real) == "link/b"
    assert path_after("d/e/a", "link/e", "link/g", real) == "d/g/a"
    assert path_after("link/e/a", "d/e/a", "f/a", real) == "f/a"
    assert path_after("d/a", "link/c", "link/b", real) is None
    assert path_after("d/ab", "d/a", "d/b", real) is None
    assert path_after("d/a", "d", "g", lambda path: None) == "g/a"
    assert path_after("d/a", "link/a", "link/b", lambda path: None) is None


@pytest.mark.parametrize("config", ["", LOCAL_IDS], ids=["any", "local"])
async def test_names_with_a_backslash_open_and_are_files_of_their_own(
    start: Starter, join: Opener, config: str
) -> None:
    server = start(config)
    (server.root / "a").mkdir()
    (server.root / "a" / "b.txt").write_text("in the folder")
    (server.root / "a\\b.txt").write_text("beside it")
    inside, beside = await join(server, "a/b.txt"), await join(server, "a\\b.txt")
    assert (inside.text, beside.text) == ("in the folder", "beside it")
    assert inside.room != beside.room
    for peer in (inside, beside):
        peer.type("!")
        assert await peer.save() == "success"
    assert (server.root / "a\\b.txt").read_text() == "beside it!"
    await beside.close()
    server.kill()
    server.start()
    again = await join(server, "a\\b.txt")
    assert (again.room, again.text) == (beside.room, "beside it!")
    await server.move("a\\b.txt", "c.txt")
    await until(lambda: again.state["path"] == "c.txt")


async def test_a_path_by_way_of_the_folder_above_is_no_second_document(
    jupyter: Jupyter, here: Path, join: Opener
) -> None:
    (here / "a.txt").write_text("a")
    peer = await join(jupyter, f"{here.name}/a.txt")
    with pytest.raises(SessionRefused):
        await join(jupyter, f"../{jupyter.root.name}/{here.name}/a.txt")
    assert (await join(jupyter, f"b/../{here.name}/a.txt")).room == peer.room


@pytest.mark.parametrize("config", ["", LOCAL_IDS], ids=["any", "local"])
async def test_a_notebook_renamed_through_a_link_keeps_its_room(start: Starter, join: Opener, config: str) -> None:
    server = start(config)
    (server.root / "d").mkdir()
    (server.root / "link").symlink_to("d")
    (server.root / "d" / "a.ipynb").write_text(as_nbformat(notebook(code("one"))))
    peer = await join(server, "d/a.ipynb")
    await server.move("link/a.ipynb", "link/b.ipynb")
    await until(lambda: peer.state["path"] == "d/b.ipynb", lambda: peer.state)
    peer.type(" typed", cell=0)
    assert await peer.save() == "success"
    assert "one typed" in (server.root / "d" / "b.ipynb").read_text()
    assert not (server.root / "d" / "a.ipynb").exists()
    assert (await join(server, "d/b.ipynb")).room == peer.room


COUNTING = """
from pathlib import Path
from jupyter_server_fileid.manager import LocalFileIdManager
from jupyter_rtc.documents.opened.binding import FileBinding

def counted(cls, name):
    made = getattr(cls, name)
    def called(self, *args):
        with Path({folder!r}, name).open("a") as file:
            file.write(".")
        return made(self, *args)
    setattr(cls, name, called)

counted(LocalFileIdManager, "_sync_all")
counted(FileBinding, "look")
c.Documents.poll_interval = 0.05
"""


async def test_a_deleted_file_has_the_folders_looked_through_ever_less_often(
    start: Starter, join: Opener, tmp_path: Path
) -> None:
    def count(what: str) -> int:
        counted = tmp_path / what
        return counted.stat().st_size if counted.exists() else 0

    server = start(LOCAL_IDS + COUNTING.format(folder=str(tmp_path)))
    for name in ("gone.txt", "replaced.txt"):
        (server.root / name).write_text("text")
        await join(server, name)
    new = server.root / "new.txt"
    new.write_text("replaced")
    new.rename(server.root / "replaced.txt")
    (server.root / "gone.txt").unlink()
    begun, synced = count("look"), count("_sync_all")
    await until(lambda: count("look") >= begun + 100)
    assert count("_sync_all") - synced <= 10


@pytest.fixture
def ids_of(start: Starter) -> Callable[[Jupyter], Path]:
    """Return a function that returns the path of a server's database of file ids."""
    return lambda server: server.database.parent.parent / "file_id_manager.db"


async def test_while_another_program_has_the_file_ids_locked_people_type_on_and_files_open_after_it(
    start: Starter, join: Opener, ids_of: Callable[[Jupyter], Path]
) -> None:
    server = start()
    for name in ("a.txt", "b.txt", "c.txt"):
        (server.root / name).write_text(name)
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    locked = sqlite3.connect(ids_of(server), isolation_level=None)
    locked.execute("BEGIN EXCLUSIVE")
    opening = [asyncio.ensure_future(join(server, name)) for name in ("b.txt", "c.txt")]
    for number in range(20):
        ada.type(f"{number} ")
        await until(lambda number=number: f"{number} " in bob.text)
    assert not any(one.done() for one in opening)
    locked.execute("ROLLBACK")
    locked.close()
    assert [peer.text for peer in await asyncio.gather(*opening)] == ["b.txt", "c.txt"]


async def test_where_the_file_ids_are_damaged_documents_open_nevertheless(
    start: Starter, join: Opener, ids_of: Callable[[Jupyter], Path]
) -> None:
    server = start()
    (server.root / "a.txt").write_text("begin\n")
    server.kill()
    ids_of(server).write_bytes(b"no database" * 1000)
    await asyncio.to_thread(server.start)
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    ada.type("typed\n")
    await until(lambda: bob.text == ada.text)
    await ada.save()
    assert (server.root / "a.txt").read_text() == ada.text
    assert (await server.ask("PATCH", "api/contents/a.txt", {"path": "moved.txt"}))[0] == 200
    bob.type("after\n")
    await until(lambda: "after" in (server.root / "moved.txt").read_text())
