"""SIGTERM and SIGINT end the server soon, with sockets open, and everything that was typed is kept."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from awaiting import PATIENCE

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook, stream
from .peer import Peer, until
from .process import Jupyter

SLOW = '''
import os, time


def before(path, contents_manager, **_):
    """Take as long as a slow disk does, if there is a file that says so."""
    slow = os.path.join(contents_manager.root_dir, "slow")
    if os.path.exists(slow):
        os.rename(slow, slow + "-now")
        time.sleep(1.0)


c.FileContentsManager.pre_save_hook = before
'''

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Open a terminal; yield the two ends of it, the user's and the program's."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


async def ended(server: Jupyter) -> None:
    """Wait until the server has ended, in good time."""
    assert await asyncio.to_thread(server.wait) == 0, server.log()[-2000:]


async def arrived(server: Jupyter, peer: Peer, join: Opener, path: str) -> Peer:
    """Type a word, and return another client when it has it: the server has it then."""
    other = await join(server, path, token="bob")
    peer.type("typed\n")
    await until(lambda: other.text == peer.text)
    return other


async def left(*peers: Peer) -> None:
    """Close tabs."""
    for peer in peers:
        await peer.close()


async def kept(server: Jupyter, join: Opener, ada: Peer, bob: Peer) -> None:
    """See that the word is in the file, or else in the store: on a busy machine a save may not be done in time."""
    await left(ada, bob)
    saved = "not saved within" not in server.log()
    assert not saved or (server.root / "a.txt").read_text() == "begin\ntyped\n", server.log()[-3000:]
    await asyncio.to_thread(server.start)
    again = await join(server, "a.txt")
    assert (again.text, again.session) == ("begin\ntyped\n", ada.session)
    assert await again.save() == "success"
    assert (server.root / "a.txt").read_text() == again.text


@SIGNALS
async def test_what_was_just_typed_is_kept(start: Starter, join: Opener, number: signal.Signals) -> None:
    server = start(
        "c.Documents.save_delay = 60.0\nc.Documents.max_save_delay = 60.0\nc.SQLiteStore.commit_interval = 60"
    )
    (server.root / "a.txt").write_text("begin\n")
    ada = await join(server, "a.txt")
    bob = await arrived(server, ada, join, "a.txt")
    os.kill(server.pid, number)
    await ended(server)
    assert [peer.closes[0][0] for peer in (ada, bob)] == [1001, 1001]
    await kept(server, join, ada, bob)


@SIGNALS
async def test_asking_again_cuts_nothing_off(start: Starter, join: Opener, number: signal.Signals) -> None:
    server = start(SLOW + "c.Documents.save_delay = 60.0\nc.Documents.max_save_delay = 60.0\n")
    (server.root / "a.txt").write_text("begin\n")
    ada = await join(server, "a.txt")
    bob = await arrived(server, ada, join, "a.txt")
    (server.root / "slow").touch()
    os.kill(server.pid, number)
    await until(lambda: (server.root / "slow-now").exists() or "not saved within" in server.log())
    for again in (number, signal.SIGTERM, signal.SIGINT):
        os.kill(server.pid, again)
    await ended(server)
    assert "not everything is stored" not in server.log()
    await kept(server, join, ada, bob)


async def test_what_cannot_be_saved_in_time_is_stored(start: Starter, join: Opener) -> None:
    server = start(SLOW.replace("1.0", "5.0") + "c.Documents.save_delay = 60.0\nc.Documents.max_save_delay = 60.0\n")
    (server.root / "a.txt").write_text("begin\n")
    ada = await join(server, "a.txt")
    bob = await arrived(server, ada, join, "a.txt")
    (server.root / "slow").touch()
    server.terminate()
    await until(lambda: not server.alive() or "not saved within" in server.log())
    server.kill()
    await left(ada, bob)
    await asyncio.to_thread(server.start)
    again = await join(server, "a.txt")
    assert again.text == "begin\ntyped\n"
    assert await again.save() == "success"
    assert (server.root / "a.txt").read_text() == again.text


async def test_at_a_terminal_one_is_asked_first(start: Starter, join: Opener) -> None:
    server = start()
    server.terminate()
    await ended(server)
    (server.root / "a.txt").write_text("begin\n")
    with terminal() as (ours, theirs):
        await asyncio.to_thread(server.start, terminal=theirs)
        ada = await join(server, "a.txt")
        server.interrupt()
        await until(lambda: "Shut down this Jupyter server" in server.log())
        os.write(ours, b"n\n")
        await until(lambda: "resuming operation" in server.log())
        bob = await arrived(server, ada, join, "a.txt")
        await asyncio.to_thread(interrupt_twice, server)
        await ended(server)
    await kept(server, join, ada, bob)


def interrupt_twice(server: Jupyter) -> None:
    """Do what people do who do not want to be asked."""
    asked = server.log().count("interrupted")
    deadline = time.monotonic() + PATIENCE
    while server.log().count("interrupted") == asked:
        assert time.monotonic() < deadline
        server.interrupt()  # the first may come before the answer to the last question has put its handler back
        time.sleep(0.2)
    server.interrupt()


async def test_while_a_large_notebook_is_being_saved(start: Starter, join: Opener) -> None:
    server = start(SLOW.replace("1.0", "0.0") + "c.Documents.save_delay = 0.1\n")
    lines = ["x" * 70 + "\n"] * 160
    cells = [code(f"cell {number}\n", [stream(lines)]) for number in range(2000)]
    file = server.root / "large.ipynb"
    file.write_text(as_nbformat(notebook(*cells)))
    ada = await join(server, "large.ipynb")
    bob = await join(server, "large.ipynb", token="bob")
    (server.root / "slow").touch()
    ada.type("typed\n", 7)
    await until((server.root / "slow-now").exists)
    ada.type("last\n", 7)
    await until(lambda: bob.sources[7] == ada.sources[7])
    server.terminate()
    await ended(server)
    wanted = ada.sources[7]
    await left(ada, bob)
    json.loads(file.read_text())
    await asyncio.to_thread(server.start)
    again = await join(server, "large.ipynb")
    assert again.sources[7] == wanted == "cell 7\ntyped\nlast\n"
    await until(lambda: "last" in file.read_text())


HELD = '''
import asyncio, os
from jupyter_rtc.relay import SQLiteStore


class HeldStore(SQLiteStore):
    """Takes for ever to be durable, if there is a file that says so; that file is renamed then."""

    async def flush(self):
        if os.path.exists("root/held"):
            os.rename("root/held", "root/held-now")
            await asyncio.sleep(60)
        await super().flush()


c.Relay.store_class = HeldStore
c.Documents.save_delay = 0.1
'''


async def test_what_is_about_to_be_written_is_not_taken_for_written(start: Starter, join: Opener) -> None:
    """A store that is full drops rooms that are in their files; this one is not, though a save took note of it."""
    server = start(HELD)
    (server.root / "a.txt").write_text("begin\n")
    ada = await join(server, "a.txt")
    (server.root / "held").touch()
    ada.type("typed\n")
    await until((server.root / "held-now").exists)
    server.terminate()
    await ended(server)
    await ada.close()
    assert (server.root / "a.txt").read_text() == "begin\n"
    with closing(sqlite3.connect(server.database)) as database:
        assert database.execute("SELECT released FROM rooms").fetchall() == [(None,)]
    await asyncio.to_thread(server.start)
    assert (await join(server, "a.txt")).text == "begin\ntyped\n"
