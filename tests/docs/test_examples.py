"""Runs the examples of the documentation against a real server."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest
from awaiting import PATIENCE, until
from jupyter_core.paths import jupyter_data_dir
from jupyter_server_fileid.manager import ArbitraryFileIdManager
from pycrdt import Text

from .pages import DOCS, README, blocks

WRITTEN_WITH = ("localhost:8888", "my-token")


def example(page: Path, mark: str) -> str:
    """Return the one Python example of a page that bears a mark."""
    (found,) = (block.code for block in blocks(page) if block.language == "python" and block.mark == mark)
    return found


async def run(code: str, server) -> str:
    """Run an example in a process of its own, on our server instead of the one it names; return what it prints."""
    address, token = WRITTEN_WITH
    assert address in code
    assert token in code
    code = code.replace(address, f"127.0.0.1:{server.port}{server.base_url.rstrip('/')}").replace(token, server.token)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_the_readme_s_script_connects_to_a_free_room(server) -> None:
    """What it writes is in the room, also when it runs a second time."""
    code = example(README, "runs")
    for times in (1, 2):
        assert (await run(code, server)).endswith("Hello from Python. \n")
        room = server.extension.relay.get("my-room")
        assert str(room.doc.get("notes", type=Text)) == "Hello from Python. " * times


async def test_the_script_that_appends_to_a_file(server, jp_root_dir: Path) -> None:
    """Its line is in the file a moment later, after what stood there."""
    file = jp_root_dir / "notes.txt"
    file.write_text("A line from a person.\n")
    await run(example(DOCS / "how-to" / "connect-a-yjs-client.md", "runs"), server)
    await until(lambda: file.read_text() == "A line from a person.\nA line from a script.\n", file.read_text)


@pytest.mark.traits(Questions={"time_limit": 60.0})
async def test_the_script_that_acts_on_the_server(server, jp_root_dir: Path) -> None:
    """It prints what the page says, and leaves nothing behind."""
    page = DOCS / "how-to" / "act-on-the-server.md"
    (shown,) = (block.code for block in blocks(page) if not block.language)
    assert await run(example(page, "runs"), server) == shown
    assert server.app.kernel_manager.list_kernels() == []
    assert [name for name in os.listdir(jp_root_dir) if not name.startswith(".")] == []


@pytest.mark.traits(Relay={"store_class": "jupyter_rtc.relay.SQLiteStore"})
async def test_the_script_that_backs_up_the_store(server, tmp_path: Path) -> None:
    """While the server runs and somebody types, it copies all that is stored by then, readable by nobody else."""
    await run(example(README, "runs"), server)
    await server.extension.relay.store.flush()
    ids = ArbitraryFileIdManager(root_dir=str(tmp_path), db_path=str(Path(jupyter_data_dir(), "file_id_manager.db")))
    id = ids.index("thesis.ipynb")
    code = example(DOCS / "how-to" / "back-up.md", "backup")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=tmp_path)
    assert await process.wait() == 0
    with closing(sqlite3.connect(tmp_path / "rooms-copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert ("my-room",) in copy.execute("SELECT name FROM rooms").fetchall()
    with closing(sqlite3.connect(tmp_path / "file-ids-copy.db")) as copy:
        assert (id,) in copy.execute("SELECT id FROM Files").fetchall()
    for name in ("rooms-copy.db", "file-ids-copy.db"):
        assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o600
