"""Several servers on one folder write a file at the same moment; another program holds it locked."""

from __future__ import annotations

import asyncio
import fcntl
from contextlib import suppress
from itertools import chain
from pathlib import Path

import pytest
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

from jupyter_rtc.documents import FileError, LocalFiles
from jupyter_rtc.documents.files.managed import Change, OvertakenError
from jupyter_rtc.documents.formats.content import TextContent

from .conftest import Opener
from .peer import until
from .process import Jupyter


async def append(files: LocalFiles, line: str) -> None:
    """Write a line at the end of a file, however often somebody else is quicker; make the file if there is none."""
    content = TextContent()
    while True:
        original, over = content.blank(), None
        with suppress(FileError):
            read = await files.read("a.txt", "file", "text")
            original, over = content.parse(read.body), read.info
        change = Change(content.render(original, original.value + line), False, over)
        with suppress(OvertakenError):
            await files.write("a.txt", "file", "text", change)
            return


@pytest.mark.parametrize("hooked", [False, True])
async def test_what_several_write_at_once_is_all_there(tmp_path: Path, hooked: bool) -> None:
    """Each of them compares and writes; nobody else writes between the two."""
    managers = [AsyncLargeFileManager(root_dir=str(tmp_path)) for _ in range(4)]
    for manager in managers if hooked else ():
        manager.register_pre_save_hook(lambda **_: None)
    servers = [LocalFiles(manager) for manager in managers]
    lines = [[f"server {number} line {count}\n" for count in range(50)] for number in range(4)]

    async def write(number: int) -> None:
        for line in lines[number]:
            await append(servers[number], line)

    await asyncio.gather(*map(write, range(4)))
    assert sorted((tmp_path / "a.txt").read_text().splitlines(keepends=True)) == sorted(chain(*lines))


async def test_a_file_that_another_program_holds_locked(jupyter: Jupyter, here: Path, join: Opener) -> None:
    """It is said, and saved once the lock is gone."""
    file = here / "a.txt"
    file.write_text("one\n")
    peer = await join(jupyter, f"{here.name}/a.txt")
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        peer.type("two\n")
        assert await peer.save() == "failed"
        assert "locked by another program" in peer.state["trouble"]
        assert file.read_text() == "one\n"
    await until(lambda: file.read_text() == "one\ntwo\n", file.read_text)
    await until(lambda: "trouble" not in peer.state, lambda: peer.state)
