"""A file that is half written, empty, broken, away, or no text for a while is no edit: nothing typed is lost by it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter
from .test_outside import PATIENCE, joined, tokens


def latin(file: Path) -> None:
    """Write a text in another encoding."""
    file.write_bytes("caf\xe9\n".encode("latin-1"))


def binary(file: Path) -> None:
    """Write what is no text at all."""
    file.write_bytes(bytes(range(256)) * 10)


def folder(file: Path) -> None:
    """Make a folder."""
    file.mkdir()


def pipe(file: Path) -> None:
    """Make a pipe, which to open may take for ever."""
    os.mkfifo(file)


def loop(file: Path) -> None:
    """Make a symbolic link that leads nowhere but to itself."""
    file.symlink_to(file.name)


async def leave(server: Jupyter, peer: Peer, killed: bool) -> None:
    """Let a client save and leave, and the room with it: the server is killed, or drops the room from memory."""
    assert await peer.save() == "success"
    await peer.close()
    if killed:
        server.kill()
    else:
        await until(lambda: not server.rooms())


async def test_a_file_that_is_written_in_halves(jupyter: Jupyter, here: Path, join: Opener) -> None:
    """Between the halves it rests much longer than `settle_delay`, and is whole for all that anybody can see."""
    file = here / "a.txt"
    file.write_text("one\ntwo\nthree\n")
    peer, other = [await join(jupyter, f"{here.name}/a.txt", token=token) for token in ("ada", "bob")]
    with file.open("w") as writer:
        writer.write("one\ntw")
        writer.flush()
        peer.source.insert(0, "typed\n")
        await asyncio.sleep(1.5)
        assert file.read_text() == "one\ntw"
        assert other.text == "typed\none\ntwo\nthree\n"
        writer.write("o\nthree\noutside\n")
    await until(lambda: peer.text == other.text == "typed\none\ntwo\nthree\noutside\n", lambda: peer.text)
    await until(lambda: file.read_text() == peer.text)


async def test_a_file_that_is_written_on_and_on(jupyter: Jupyter, here: Path, join: Opener) -> None:
    """As a log is. It is not written over, and people are told so, until it comes to rest."""
    file = here / "a.log"
    file.write_text("begin\n")
    peer = await join(jupyter, f"{here.name}/a.log")
    with file.open("w") as writer:
        writer.write("begin\n")
        answer = peer.begin_save()
        peer.type("typed\n")
        lines = 0
        while not answer.done() or "another program is writing" not in str(peer.state.get("trouble")):
            writer.write(f"line{lines}\n")
            writer.flush()
            lines += 1
            assert lines < 1200
            await asyncio.sleep(0.05)
        assert answer.result() == "failed"
        assert "typed" not in file.read_text()
    expected = sorted(["begin", "typed", *(f"line{number}" for number in range(lines))])
    await until(lambda: tokens(peer.text) == expected, lambda: peer.text, PATIENCE)
    await until(lambda: file.read_text() == peer.text)
    await until(lambda: "trouble" not in peer.state, lambda: peer.state)


@pytest.mark.parametrize("broken", ['{"cells": [', "<<<<<<< HEAD\n"])
async def test_a_notebook_that_is_broken(jupyter: Jupyter, here: Path, join: Opener, broken: str) -> None:
    file = here / "a.ipynb"
    file.write_text(as_nbformat(notebook(code("one"), code("two"))))
    peer = await join(jupyter, f"{here.name}/a.ipynb")
    file.write_text(broken)
    peer.type(" typed", 0)
    # A save on request finds it out for certain, and does not write over what somebody is about to complete.
    assert await peer.save() == "failed"
    assert peer.sources == ["one typed", "two"]
    assert file.read_text() == broken
    file.write_text(as_nbformat(notebook(code("one"), code("two outside"))))
    await until(lambda: peer.sources == ["one typed", "two outside"])
    await until(lambda: "typed" in file.read_text())
    assert await peer.save() == "success"


@pytest.mark.parametrize("put", [latin, binary, folder, pipe, loop])
async def test_what_is_no_text(jupyter: Jupyter, here: Path, join: Opener, put: Callable[[Path], object]) -> None:
    file = here / "a.txt"
    file.write_text("one\n")
    peer = await join(jupyter, f"{here.name}/a.txt")
    file.unlink()
    put(file)
    before = os.lstat(file)
    peer.type("typed\n")
    assert await peer.save() == "failed"
    await until(lambda: peer.state.get("trouble"))
    assert peer.text == "one\ntyped\n"
    assert os.lstat(file)[:7] == before[:7]  # mode, number, owner and size
    file.rmdir() if file.is_dir() else file.unlink()
    file.write_text("one\noutside\n")
    await until(lambda: tokens(peer.text) == ["one", "outside", "typed"], lambda: (peer.text, peer.state))
    await until(lambda: file.read_text() == peer.text)
    await until(lambda: "trouble" not in peer.state, lambda: peer.state)


async def test_a_text_that_is_empty(start: Starter, join: Opener) -> None:
    """The program never rests for as long as it takes for the file to be read."""
    server = start("c.Documents.settle_delay = 2")
    file = server.root / "a.txt"
    file.write_text("one\ntwo\n")
    peer, other = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    with file.open("w") as writer:  # truncated here
        for line in ("one\n", "two\n", "three\n"):
            await asyncio.sleep(0.05)
            writer.write(line)
            writer.flush()
            assert peer.text.startswith("one\ntwo\n")
    await until(lambda: peer.text == other.text == "one\ntwo\nthree\n")


async def test_a_file_that_is_away(jupyter: Jupyter, here: Path, join: Opener) -> None:
    file = here / "a.txt"
    file.write_text("one\n")
    peer = await join(jupyter, f"{here.name}/a.txt")
    file.rename(here / "aside.txt")
    peer.type("typed\n")
    await until(lambda: f"room {peer.room}: the file is not up to date" in jupyter.log())
    assert os.listdir(here) == ["aside.txt"]
    (here / "aside.txt").write_text("outside\none\n")
    (here / "aside.txt").rename(file)
    await until(lambda: peer.text == "outside\none\ntyped\n")
    await until(lambda: file.read_text() == peer.text)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_file_that_is_written_while_its_document_comes_back(start: Starter, join: Opener, killed: bool) -> None:
    """A half of it is there when a page returns with what was typed offline: it is neither merged nor written."""
    server = start("c.Relay.eviction_delay = 0.2")
    file = server.root / "a.txt"
    file.write_text("one\ntwo\n")
    peer = await join(server, "a.txt")
    peer.type("three\n")
    await leave(server, peer, killed)
    peer.type("typed\n")
    with file.open("w") as writer:
        writer.write("one\ntw")
        writer.flush()
        if killed:
            await asyncio.to_thread(server.start)
        peer.connect()
        await peer.ready()
        await asyncio.sleep(1.2)  # longer than `max_save_delay`
        assert peer.text == "one\ntwo\nthree\ntyped\n"
        assert file.read_text() == "one\ntw"
        writer.write("o\nthree\noutside\n")
    await until(lambda: tokens(peer.text) == ["one", "outside", "three", "two", "typed"], lambda: peer.text)
    await until(lambda: file.read_text() == peer.text)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("name", ["a.txt", "a.ipynb"])
async def test_a_file_that_was_emptied_while_nobody_had_it_open(
    start: Starter, join: Opener, name: str, killed: bool
) -> None:
    server = start("c.Relay.eviction_delay = 0.2")
    file = server.root / name
    whole = as_nbformat(notebook(code("one"))) if name == "a.ipynb" else "one"
    file.write_text(whole.replace("one", "on"))
    ada = await join(server, name)
    ada.type("e", None if name == "a.txt" else 0)
    await leave(server, ada, killed)
    file.write_text("")
    if killed:
        await asyncio.to_thread(server.start)
    ada.connect()
    bob = await join(server, name, token="bob")
    shown = lambda: bob.text if name == "a.txt" else joined(bob)  # noqa: E731
    assert shown() == "one"
    ada.type(" typed", None if name == "a.txt" else 0)
    await until(lambda: "was emptied outside" in str(bob.state.get("trouble")), lambda: bob.state)
    await until(lambda: shown() == "one typed", shown)
    assert file.read_text() == ""
    file.write_text(whole.replace("one", "outside one"))
    await until(lambda: shown() == "outside one typed", shown)
    await until(lambda: "outside one typed" in file.read_text())
