"""The database is locked, gone, damaged, full or read-only: opening, editing and saving go on, and it is reported."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from .conftest import Opener, Starter
from .disks import small_disk_at
from .peer import Peer, until
from .process import Jupyter

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")

Fault = Callable[[Path], Any]


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the lock that a writer needs, as another process does."""
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.close()


@contextmanager
def full(database: Path) -> Iterator[None]:
    """Fill the disk that the database is on."""
    filler = database.with_name("filler")
    with filler.open("wb", buffering=0) as file:  # a buffer would be written once more at the end, in vain
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
    yield
    filler.unlink()


@contextmanager
def on_a_small_disk(server: Jupyter) -> Iterator[None]:
    """Put the store on a disk of a megabyte, while the server is down."""
    folder = server.database.parent
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def store_of(server: Jupyter) -> dict[str, Any]:
    """Return what the server says of its store."""
    return dict(server.request("GET", "api/rtc/rooms")[1]["store"])


async def work_goes_on(server: Jupyter, join: Opener, peers: list[Peer], word: str) -> None:
    """Type in a document that is open, and in one that is opened now; both reach everybody, and their files."""
    for path, text in (("a.txt", word), ("b.txt", f"{word}-b")):
        ada, bob = peers if path == "a.txt" else [await join(server, path), await join(server, path, token="bob")]
        ada.type(f"{text}\n")
        await until(lambda bob=bob, text=text: text in bob.text)
        await until(lambda path=path, text=text: text in (server.root / path).read_text())
        if path == "b.txt":
            await ada.close()
            await bob.close()


async def everything_is_kept(server: Jupyter, join: Opener, words: list[str]) -> None:
    """Kill the server and start it again: both documents have each word once, for all."""
    for path in ("a.txt", "b.txt"):
        again = await join(server, path)
        wanted = [word if path == "a.txt" else f"{word}-b" for word in words]
        await until(lambda again=again, wanted=wanted: again.text.split() == wanted, lambda again=again: again.text)
        await until(lambda path=path, wanted=wanted: (server.root / path).read_text().split() == wanted)
        await again.close()


async def prepared(server: Jupyter, join: Opener) -> list[Peer]:
    """Open a document with two people and type in it; make another file."""
    for name in ("a.txt", "b.txt"):
        (server.root / name).write_text("")
    peers = [await join(server, "a.txt"), await join(server, "a.txt", token="bob")]
    await work_goes_on(server, join, peers, "before")
    return peers


@pytest.mark.parametrize("fault", [locked, pytest.param(full, marks=as_root)])
async def test_a_database_that_cannot_be_written_for_a_while(start: Starter, join: Opener, fault: Fault) -> None:
    server = start()
    server.terminate()
    await asyncio.to_thread(server.wait)
    with on_a_small_disk(server) if fault is not locked else nullcontext():
        await asyncio.to_thread(server.start)
        peers = await prepared(server, join)
        with fault(server.database):
            await work_goes_on(server, join, peers, "during")
            assert await peers[0].save() == "success"
            await until(lambda: store_of(server)["trouble"])
            assert "Cannot write to the store" in server.log()
        await until(lambda: store_of(server)["trouble"] is None, lambda: store_of(server))
        await work_goes_on(server, join, peers, "after")
        server.kill()
        await asyncio.to_thread(server.start)
        await everything_is_kept(server, join, ["before", "during", "after"])
        assert all(code != 1003 for peer in peers for code, _ in peer.closes)
        server.kill()


def remount(folder: Path, options: str) -> None:
    """Mount a disk again with other options."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@as_root
async def test_a_database_that_is_read_only_from_the_start(start: Starter, join: Opener) -> None:
    server = start()
    server.terminate()
    await asyncio.to_thread(server.wait)
    with on_a_small_disk(server):
        folder = server.database.parent
        for options in ("ro", "rw"):
            remount(folder, options)
            if options == "ro":
                await asyncio.to_thread(server.start)
                peers = await prepared(server, join)
                assert await peers[0].save() == "success"
                assert "Cannot write to" in store_of(server)["trouble"]
            else:
                await until(lambda: store_of(server)["trouble"] is None, lambda: store_of(server))
                await work_goes_on(server, join, peers, "after")
        server.kill()


def remove(database: Path) -> None:
    """Remove the database and what belongs to it."""
    for file in database.parent.glob("rooms.db*"):
        file.unlink()


def remove_folder(database: Path) -> None:
    """Remove the whole folder."""
    shutil.rmtree(database.parent)


def replace(database: Path) -> None:
    """Put an empty database in its place."""
    remove(database)
    sqlite3.connect(database).close()
    database.touch()


def damage_header(database: Path) -> None:
    """Overwrite its first bytes."""
    with database.open("r+b") as file:
        file.write(b"garbage all over the header of the file")


def damage_all(database: Path) -> None:
    """Overwrite everything, the write-ahead log too."""
    for file in database.parent.glob("rooms.db*"):
        with file.open("r+b") as opened:
            opened.write(os.urandom(file.stat().st_size))


def truncate(database: Path) -> None:
    """Cut the file and its log in two."""
    for file in database.parent.glob("rooms.db*"):
        os.truncate(file, file.stat().st_size // 2)


FATES = [remove, remove_folder, replace, damage_header, damage_all, truncate]


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.__name__)
async def test_a_database_that_is_lost_while_the_server_runs(start: Starter, join: Opener, fate: Fault) -> None:
    server = start('c.SQLiteStore.journal_mode = "TRUNCATE"' if fate in (damage_header, damage_all, truncate) else "")
    peers = await prepared(server, join)
    fate(server.database)
    await work_goes_on(server, join, peers, "during")
    await until(lambda: store_of(server) != {"trouble": None, "damage": None} or not server.alive())
    await until(lambda: store_of(server)["trouble"] is None, lambda: store_of(server))
    await work_goes_on(server, join, peers, "after")
    await until(lambda: store_of(server)["trouble"] is None, lambda: store_of(server))
    session = peers[0].session
    server.kill()
    await asyncio.to_thread(server.start)
    await everything_is_kept(server, join, ["before", "during", "after"])
    assert (await join(server, "a.txt")).session == session
    assert all(code != 1003 for peer in peers for code, _ in peer.closes)


@pytest.mark.parametrize("fate", [remove, damage_header, truncate], ids=lambda fate: fate.__name__)
async def test_a_database_that_is_lost_while_the_server_is_down(start: Starter, join: Opener, fate: Fault) -> None:
    server = start()
    peers = await prepared(server, join)
    for peer in peers:
        await peer.close()
    server.terminate()
    await asyncio.to_thread(server.wait)
    fate(server.database)
    await asyncio.to_thread(server.start)
    fresh = [await join(server, "a.txt"), await join(server, "a.txt", token="bob")]
    await work_goes_on(server, join, fresh, "after")
    if fate is not remove:
        assert "set it aside" in (store_of(server)["damage"] or "")
        assert "set it aside" in server.log()
    assert store_of(server)["trouble"] is None
    await everything_is_kept(server, join, ["before", "after"])


async def reload_when_told(peers: list[Peer], join: Opener, server: Jupyter) -> list[Peer]:
    """Return the same people once each is in the document again; who is told to reload does so."""
    there = []
    for peer in peers:
        await until(lambda peer=peer: peer.online or peer.disposed)
        there.append(await join(server, "a.txt", token=peer.token) if peer.disposed else peer)
    return there


@pytest.mark.parametrize("outside", ["", "outside\n"])
async def test_what_was_saved_while_the_database_was_locked_stands_once_after_a_crash(
    start: Starter, join: Opener, outside: str
) -> None:
    """The file has what the store has not; so have those who typed it, who come back with it."""
    server = start()
    peers = await prepared(server, join)
    with locked(server.database):
        peers[0].type("during\n")
        await until(lambda: "during" in (server.root / "a.txt").read_text())
        peers[1].type("unsaved\n")
        await until(lambda: "unsaved" in peers[0].text)
        server.kill()
    with (server.root / "a.txt").open("a") as file:
        file.write(outside)
    await asyncio.to_thread(server.start)
    wanted = ["before", "during", outside.strip() or "unsaved"]
    again = await reload_when_told(peers, join, server)
    for view in (lambda: again[0].text, lambda: again[1].text, (server.root / "a.txt").read_text):
        await until(lambda view=view: view().split() == wanted, view)
    # Where it was changed outside, nobody knows from what state: what came back with people is kept beside it.
    kept = [copy["id"] for copy in server.request("GET", "api/rtc/recovery")[1]["copies"]]
    assert bool(kept) == bool(outside)
    assert all(f"recovery copy {id}" in server.log() for id in kept)
    assert all("unsaved" in server.request("GET", f"api/rtc/recovery/{id}")[1]["content"] for id in kept)


@as_root
async def test_what_was_saved_while_nothing_could_be_noted_stands_once_after_a_crash(
    start: Starter, join: Opener, tmp_path: Path
) -> None:
    """The disk of the database is full, so that not even the note finds a place that the file is ahead."""
    with small_disk_at(tmp_path / "disk", "1m") as disk:
        server = start(f"c.SQLiteStore.path = {str(disk / 'rooms.db')!r}")
        peers = await prepared(server, join)
        fill(disk)
        peers[0].type("during\n" + "-" * 300_000 + "\n")
        await until(lambda: "during" in (server.root / "a.txt").read_text())
        await until(lambda: "may stand twice" in server.log())
        said = [line for line in server.log().splitlines() if "may stand twice" in line or "going on while" in line]
        assert all(line.endswith("(a.txt)") for line in said)
        peers[1].type("unsaved\n")
        await until(lambda: "unsaved" in peers[0].text)
        server.kill()
        (disk / "full").unlink()
        await asyncio.to_thread(server.start)
        again = await reload_when_told(peers, join, server)
        for view in (lambda: again[0].text, lambda: again[1].text, (server.root / "a.txt").read_text):
            await until(lambda view=view: view().replace("-", "").split() == ["before", "during", "unsaved"], view)


def fill(disk: Path) -> None:
    """Leave no place on a disk."""
    with suppress(OSError), (disk / "full").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
