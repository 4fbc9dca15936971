"""Files on the local disk are noticed by name, whatever way leads to them, and as long as they are watched."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from jupyter_rtc.machine.watcher import Watcher

from .peer import until

LOG = logging.getLogger("test_watcher")


class Watch:
    """A watcher, and the names that it told."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.told: list[str] = []
        self.watcher = Watcher(self.told.append, LOG)

    async def notices(self, change: Callable[[], object], *names: str) -> None:
        """Make a change again and again until the watcher, which may have to begin first, tells of all these names."""
        await until(lambda: bool(self.told))  # the look that follows the start
        self.told.clear()
        await until(lambda: change() is None and {*names} <= {*self.told}, lambda: self.told)


@asynccontextmanager
async def watching(**files: Path) -> AsyncIterator[Watch]:
    """Watch files."""
    watch = Watch()
    for name, path in files.items():
        watch.watcher.watch(name, str(path))
    try:
        yield watch
    finally:
        await watch.watcher.stop()


def written(*paths: Path) -> Callable[[], None]:
    """Return what writes into files."""

    def write() -> None:
        for path in paths:
            with path.open("a") as file:
                file.write("more\n")

    return write


def replaced(path: Path) -> Callable[[], None]:
    """Return what puts another file in the place of one."""

    def replace() -> None:
        other = path.with_name("other")
        other.write_text("other\n")
        other.replace(path)

    return replace


async def test_a_file_that_is_written_or_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("")
    async with watching(a=file) as watch:
        await watch.notices(written(file), "a")
        await watch.notices(replaced(file), "a")


async def test_a_file_behind_links(tmp_path: Path) -> None:
    """That of the file, and that of its folder; the link itself may come to lead elsewhere."""
    for name in ("folder", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "alias").symlink_to("folder")
    target, link = tmp_path / "elsewhere" / "b.txt", tmp_path / "folder" / "a.txt"
    target.write_text("")
    link.symlink_to(target)
    async with watching(a=tmp_path / "alias" / "a.txt") as watch:
        await watch.notices(written(target), "a")
        await watch.notices(replaced(link), "a")


async def test_two_names_of_one_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("")
    async with watching(notebook=file, text=file) as watch:
        await watch.notices(written(file), "notebook", "text")
        watch.watcher.unwatch("text")
        await watch.notices(written(file), "notebook")
        assert {*watch.told} == {"notebook"}


async def test_a_file_that_was_moved(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in ("old.txt", "new.txt", "other.txt"))
    for file in (old, new, other):
        file.write_text("")
    async with watching(a=old, other=other) as watch:
        watch.watcher.watch("a", str(new))
        await watch.notices(written(old, other), "other")
        assert {*watch.told} == {"other"}
        await watch.notices(written(new), "a")


async def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    """It is watched once another file is."""
    file, other = tmp_path / "folder" / "a.txt", tmp_path / "other.txt"
    async with watching(a=file) as watch:
        file.parent.mkdir()
        watch.watcher.watch("other", str(other))
        await watch.notices(written(file), "a")
