"""Open files of the local disk are glanced at together, and only those that changed are looked at."""

from __future__ import annotations

import asyncio
import os

from .conftest import Opener, Starter
from .peer import until
from .process import Jupyter

# A disk that tells of no change; `looks` says at which file the server looks, and when it glances at all.
QUIET_DISK = """
from jupyter_rtc.documents.files.local import LocalFiles
from jupyter_rtc.machine.watcher import Watcher


class Noted:
    stat, glance = LocalFiles.stat, LocalFiles.glance

    @staticmethod
    def note(line):
        with open("looks", "a") as looks:
            looks.write(line + "\\n")


async def stat(self, path, kind):
    Noted.note(path)
    return await Noted.stat(self, path, kind)


async def glance(self, paths):
    Noted.note("all")
    return await Noted.glance(self, paths)


LocalFiles.stat, LocalFiles.glance = stat, glance
Watcher.watch = lambda self, name, path: None
c.Documents.poll_interval = 0.05
c.Documents.settle_delay = 0.05
"""


def looks(server: Jupyter) -> list[str]:
    """Return at what the server looked."""
    return (server.root.parent / "looks").read_text().splitlines()


async def glances(server: Jupyter) -> int:
    """Wait until the server glances and looks at nothing, ten times; return how many looks there were until then."""
    before = len(looks(server))
    await until(lambda: len(looks(server)) >= before + 10 and {*looks(server)[-10:]} == {"all"}, lambda: looks(server))
    return len(looks(server))


async def test_of_many_open_files_only_the_one_that_changed_is_looked_at(start: Starter, join: Opener) -> None:
    server = start(QUIET_DISK)
    for number in range(20):
        (server.root / f"{number}.txt").write_text("one\n")
    peers = [await join(server, f"{number}.txt") for number in range(20)]
    before = await glances(server)
    (server.root / "7.txt").write_text("outside\none\n")
    await until(lambda: peers[7].text == "outside\none\n")
    after = await glances(server)
    assert {*looks(server)[before:after]} == {"all", "7.txt"}


async def test_a_glance_finds_what_a_look_does(start: Starter, join: Opener) -> None:
    """An edit that keeps size and time of modification; a file that goes, and comes back; one that is broken."""
    server = start(QUIET_DISK)
    file, book = server.root / "a.txt", server.root / "a.ipynb"
    file.write_text("one\n")
    book.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    text, notebook = await join(server, "a.txt"), await join(server, "a.ipynb")
    await glances(server)
    then = file.stat()
    file.write_text("two\n")
    os.utime(file, ns=(then.st_atime_ns, then.st_mtime_ns))
    await until(lambda: text.text == "two\n")
    file.unlink()
    await until(lambda: "does not exist any more" in text.state.get("trouble", ""))
    file.write_text("three\n")
    await until(lambda: text.text == "three\n" and not text.state.get("trouble"))
    good = book.read_text()
    book.write_text(good[:20])
    await until(lambda: bool(notebook.state.get("trouble")))
    book.write_text(good)
    await until(lambda: not notebook.state.get("trouble"))
    await asyncio.gather(text.close(), notebook.close())
