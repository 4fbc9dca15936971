"""Saves that fail at different points, and a program that writes the file in between: everything is there once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .conftest import Opener, Starter
from .disks import as_root, small_disk_at
from .peer import until
from .test_damaged_record import query

HOOK = '''
import os


def hook(os_path, **more):
    """Fail once the file is written, as a hook may that hands it on to somebody."""
    if os.path.exists(os.path.join(os.path.dirname(os_path), "fail")):
        raise OSError("nobody takes it")


c.FileContentsManager.post_save_hook = hook
'''


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Fill a disk for a while."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError:
            pass
    yield
    filler.unlink()


@as_root
async def test_one_that_reached_the_file_and_one_that_did_not(start: Starter, join: Opener) -> None:
    server = start(HOOK)
    with small_disk_at(server.root / "disk", "1m") as folder:
        file = folder / "a.txt"
        file.write_text("begin\n")
        peer = await join(server, "disk/a.txt")
        (folder / "fail").touch()
        peer.type("first\n")
        await until(lambda: file.read_text() == "begin\nfirst\n")
        await until(lambda: "warning" in peer.state, lambda: peer.state)
        new = folder / "new"
        new.write_text("outside begin\nfirst\n")
        with filled(folder):
            peer.type("second, which is a good deal longer than all the rest\n")
            await until(lambda: "No space" in peer.state.get("trouble", ""), lambda: peer.state)
            os.replace(new, file)
            expected = "outside begin\nfirst\nsecond, which is a good deal longer than all the rest\n"
            await until(lambda: "outside" in peer.text)
            assert peer.text == expected
        (folder / "fail").unlink()
        await until(lambda: file.read_text() == peer.text == expected, lambda: (peer.text, file.read_text()), 30)
        await peer.close()
        server.kill()


@as_root
async def test_one_that_did_not_reach_the_file_and_a_program_that_writes_much_the_same(
    start: Starter, join: Opener
) -> None:
    server = start()
    with small_disk_at(server.root / "disk", "1m") as folder:
        file, new = folder / "a.txt", folder / "new"
        file.write_text("begin\n")
        new.write_text("begin\nimport sys\n")
        peer = await join(server, "disk/a.txt")
        with filled(folder):
            peer.type("import os\n")
            await until(lambda: "No space" in peer.state.get("trouble", ""), lambda: peer.state)
            os.replace(new, file)
            await until(lambda: "sys" in peer.text)
            assert sorted(peer.text.split()) == ["begin", "import", "import", "os", "sys"]
        await until(lambda: file.read_text() == peer.text, lambda: (peer.text, file.read_text()), 30)
        await peer.close()
        server.kill()


@as_root
async def test_one_that_never_was_before_a_crash(start: Starter, join: Opener) -> None:
    server = start()
    with small_disk_at(server.root / "disk", "1m") as folder:
        file, new = folder / "a.txt", folder / "new"
        file.write_text("begin\n")
        new.write_text("begin\nimport sys\n")
        peer = await join(server, "disk/a.txt")
        with filled(folder):
            peer.type("import os\n")
            await until(lambda: "No space" in peer.state.get("trouble", ""), lambda: peer.state)
            await until(lambda: query(server, "SELECT 1 FROM rooms WHERE intended_seq = saved_seq"))
            server.kill()
            os.replace(new, file)
        await asyncio.to_thread(server.start)
        await until(lambda: "sys" in peer.text)
        assert sorted(peer.text.split()) == ["begin", "import", "import", "os", "sys"]
        await peer.close()
        server.kill()
