"""A server that was killed and has lost its store, or got an older one; what two people had open then."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from .conftest import Opener
from .examples import as_nbformat, code, notebook
from .peer import Peer, until
from .process import Jupyter

NAMES = ("a.txt", "a.ipynb", "old.ipynb")


def write_files(root: Path) -> None:
    """Write a text, a notebook, and a notebook of a version that knows no cell ids."""
    (root / "a.txt").write_text("begin\nend\n")
    (root / "a.ipynb").write_text(as_nbformat(notebook(code("begin\n"), code("end\n"))))
    (root / "old.ipynb").write_text(as_nbformat(notebook(code("begin\n"), code("end\n"), minor=4)))


def said(peer: Peer) -> str:
    """Return what a client's document says."""
    return "\n".join(peer.sources) if peer.kind == "notebook" else peer.text


def words(text: str) -> list[str]:
    """Return the words of a text in the order of the alphabet."""
    return sorted(text.split())


def on_disk(file: Path) -> str:
    """Return what a file says: of a notebook, the sources of its cells; nothing while it is being written."""
    if file.suffix != ".ipynb":
        return file.read_text()
    try:
        return "\n".join("".join(cell["source"]) for cell in json.loads(file.read_text())["cells"])
    except json.JSONDecodeError:
        return ""


def write(peer: Peer, word: str, *, first: bool = False) -> None:
    """Type a word on a line of its own: in a text at the end, or the beginning; in a notebook in the last cell, or the
    first one.
    """
    source = peer.source if peer.kind == "file" else peer.cells[0 if first else len(peer.cells) - 1]["source"]
    source.insert(0 if first else len(source), f"{word}\n")


def state_of(server: Jupyter, name: str) -> str:
    """Return what tells where the words of a file went: the file, the recovery copies, the server's log."""
    kept = "".join(f"\n--- recovery copy {id}\n{text}" for id, text in copies(server).items())
    return f"\n--- {name}\n{on_disk(server.root / name)}{kept}\n--- log\n{server.log()}"


async def saved(server: Jupyter, name: str, *expected: str) -> None:
    """Wait until a file says certain words, each once."""
    file = server.root / name
    await until(lambda: words(on_disk(file)) == sorted(expected), lambda: state_of(server, name))


async def known(server: Jupyter, name: str, *peers: Peer) -> None:
    """Wait until clients know that their document was saved as the file is now.

    A file is on disk a moment before they do. Who is cut off in that moment, before the store is lost, has a document
    of which nobody can tell from which file it goes on.
    """
    file = server.root / name

    def are_told() -> bool:
        hash = hashlib.sha256(file.read_bytes()).hexdigest()
        return all(peer.state.get("hash") == hash for peer in peers)

    await until(are_told, lambda: ([peer.state for peer in peers], state_of(server, name)))


async def refused(peer: Peer) -> str:
    """Wait until a client is told that its document has another history; return what its user reads."""
    await until(lambda: [code for code, _ in peer.closes if code == 1003], lambda: (peer.closes, said(peer)))
    reason = peer.closes[-1][1]
    assert len(reason.encode()) <= 123
    told = json.loads(reason)
    assert (told["reason"], told["reloadable"]) == ("unknown_session", True)
    text: str = told["errorReason"]
    return text


def copies(server: Jupyter) -> dict[str, str]:
    """Return what the recovery copies say, by id."""
    found = {}
    for file in (server.root.parent / "data" / "jupyter_rtc" / "recovery").glob("[!.]*/content*"):
        with suppress(FileNotFoundError):
            found[file.parent.name] = on_disk(file)
    return found


def is_logged(server: Jupyter, word: str) -> bool:
    """Say whether the store has an update with a word."""
    with closing(sqlite3.connect(server.database)) as database:
        return bool(database.execute("SELECT 1 FROM log WHERE instr(data, ?)", (word.encode(),)).fetchall())


def wipe(server: Jupyter) -> None:
    """Delete the store of a server that does not run."""
    files = list((server.root.parent / "data" / "jupyter_rtc").glob("rooms.db*"))
    assert files
    for file in files:
        file.unlink()


def back_up(server: Jupyter) -> Callable[[], None]:
    """Copy the store of a server that does not run; return what puts it back."""
    store, backup = server.database.parent, server.database.parent.with_name("backup")
    shutil.copytree(store, backup)

    def put_back() -> None:
        shutil.rmtree(store)
        backup.rename(store)

    return put_back


class Lost:
    """A server that was killed, and lost its store, while two people had a document open."""

    def __init__(self, server: Jupyter, name: str, ada: Peer, bob: Peer, join: Opener) -> None:
        self._join = join
        self.server = server
        self.name = name
        self.ada = ada
        self.bob = bob

    async def again(self) -> None:
        """Start the server again."""
        await asyncio.to_thread(self.server.start)

    async def carol(self, word: str = "carol") -> Peer:
        """Start the server again, and return a client of the document that was built anew; she types a word."""
        await self.again()
        carol = await self._join(self.server, self.name)
        write(carol, word, first=True)
        return carol

    async def back(self, *peers: Peer) -> None:
        """Let clients connect that were offline."""
        for peer in peers:
            peer.connect()


Loser = Callable[[], Coroutine[Any, Any, Lost]]
