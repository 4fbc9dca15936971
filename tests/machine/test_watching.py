"""Changes on the local disk are told whatever the operating system has to give, and whatever one folder is called."""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from relay.peer import eventually

from jupyter_rtc.machine import Look, Watcher

LOG = logging.getLogger("test_watching")
NO_TEXT = os.fsdecode(b"\xff")


class Told:
    """What the system told of: the paths, and how often anything may have changed."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.paths: set[str] = set()
        self.anything = 0

    def __call__(self, name: str) -> None:
        """Be told of a folder: a callback that fails must end nothing."""
        raise ValueError("the callback fails")


class Noted(Watcher):
    """A watcher that notes what the system has told it; it looks, and tries again, often."""

    def __init__(self, told: Told) -> None:
        """Watch nothing yet."""
        super().__init__(told, LOG, Look(0.02, poll=0.05, retry=0.3))
        self._noted = told

    def _tell(self, changed: Collection[str] | None) -> None:
        if changed is None:
            self._noted.anything += 1
        else:
            self._noted.paths |= set(changed)
        super()._tell(changed)


@asynccontextmanager
async def watching(*folders: Path) -> AsyncIterator[Told]:
    """Watch folders."""
    told = Told()
    watcher = Noted(told)
    watcher.watch_folders(map(str, folders))
    try:
        yield told
    finally:
        await watcher.stop()


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open nothing any more; what it has open already goes on."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    with open(os.devnull) as one:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (one.fileno() + 20, limits[1]))
            with suppress(OSError):
                while True:
                    taken.append(os.dup(one.fileno()))
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for descriptor in taken:
                os.close(descriptor)


async def told_of(told: Told, *files: Path) -> None:
    """Write files again and again until all are told of."""

    def written() -> bool:
        for file in files:
            file.write_text("more")
        return {str(file) for file in files} <= told.paths

    told.paths.clear()
    await eventually(written)


async def test_when_the_system_has_no_more_to_give_folders_are_looked_at_until_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with no_more_files():
        told = Told()
        watcher = Noted(told)
        watcher.watch_folders([str(tmp_path)])
        await eventually(lambda: told.anything > 3)
        assert told.paths == set()
    assert len([one for one in caplog.records if "are looked for" in one.getMessage()]) == 1
    await told_of(told, tmp_path / "a.txt")
    await watcher.stop()


async def test_a_folder_that_cannot_be_watched_costs_no_other_its_notifications(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad" / NO_TEXT
    good.mkdir()
    bad.mkdir(parents=True)
    async with watching(good, bad) as told:
        await told_of(told, good / "a.txt")
        before = told.anything
        await eventually(lambda: told.anything > before + 3)


async def test_a_changed_file_whose_name_is_no_text_ends_nothing(tmp_path: Path) -> None:
    async with watching(tmp_path) as told:
        await told_of(told, tmp_path / "a.txt")
        before = told.anything
        (tmp_path / NO_TEXT).write_text("more")
        await eventually(lambda: told.anything > before)
        await told_of(told, tmp_path / "a.txt")


async def test_when_it_is_stopped_nothing_is_told(tmp_path: Path) -> None:
    told = Told()
    watcher = Noted(told)
    watcher.watch_folders([str(tmp_path)])
    await told_of(told, tmp_path / "a.txt")
    watcher.cancel()
    watcher.watch_folders([str(tmp_path)])
    await told_of(told, tmp_path / "a.txt")
    await watcher.stop()
    before = told.anything, set(told.paths)
    (tmp_path / "b.txt").write_text("more")
    assert (told.anything, told.paths) == before
