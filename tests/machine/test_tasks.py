"""Work beside everything else: it is held until it is through, what goes wrong is logged, and it can be ended."""

from __future__ import annotations

import asyncio
import gc
import logging
from asyncio import Event

import pytest

from jupyter_rtc.machine.tasks import Tasks

LOG = logging.getLogger("test_tasks")


async def fail(error: BaseException) -> None:
    """Raise an error."""
    raise error


async def test_a_task_that_only_it_knows_is_not_lost() -> None:
    done = Event()

    async def wait_for_nobody() -> None:
        await asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            await wait_for_nobody()
        finally:
            done.set()

    tasks = Tasks(LOG, "us")
    tasks.spawn(work())
    await asyncio.sleep(0)
    gc.collect()  # a task that nobody holds is destroyed here, with all that waits for nothing else
    await asyncio.sleep(0)
    assert not done.is_set()
    await tasks.stop()
    assert done.is_set()


async def test_what_goes_wrong_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks(LOG, "room text:file:1")
    await asyncio.wait([tasks.spawn(fail(KeyError("lost")))])
    assert [record.getMessage() for record in caplog.records] == ["room text:file:1: 'lost'"]


async def test_what_is_told_elsewhere_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks(LOG, "us", told=(LookupError,))
    await asyncio.wait([tasks.spawn(fail(KeyError("lost"))), tasks.spawn(fail(ValueError("wrong")))])
    assert [record.getMessage() for record in caplog.records] == ["us: wrong"]


async def test_who_awaits_a_task_has_what_it_returns() -> None:
    async def answer() -> int:
        return 42

    assert await Tasks(LOG, "us").spawn(answer()) == 42


async def test_to_stop_is_to_cancel_and_to_wait_for_the_end(caplog: pytest.LogCaptureFixture) -> None:
    ended = []

    async def work() -> None:
        try:
            await Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("work")

    tasks = Tasks(LOG, "us")
    task = tasks.spawn(work())
    await asyncio.sleep(0)
    await tasks.stop()
    assert (ended, task.cancelled(), caplog.records) == (["work"], True, [])
    await tasks.stop()
