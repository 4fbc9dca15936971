"""What anybody can ask for is done a little at a time, apart from everything else, and holds up no end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest
from relay.peer import eventually

from jupyter_rtc.machine.pool import Pool

LEAVING = """
import asyncio, threading
from jupyter_rtc.machine import Pool

async def main():
    pool, begun = Pool(), threading.Event()
    hanging = [asyncio.ensure_future(pool.run(lambda: (begun.set(), threading.Event().wait()))) for _ in range(6)]
    while not begun.is_set():
        await asyncio.sleep(0.01)
    print(await asyncio.to_thread(lambda: "saved"))

asyncio.run(main())
"""


async def test_results_and_errors_come_back() -> None:
    pool = Pool()
    assert await pool.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await pool.run(divmod, 7, 0)


async def test_a_few_things_are_done_at_a_time() -> None:
    pool, go, doing, most = Pool(2), threading.Event(), list[int](), list[int]()

    def work() -> None:
        doing.append(1)
        most.append(len(doing))
        go.wait()
        doing.pop()

    asked = [asyncio.ensure_future(pool.run(work)) for _ in range(10)]
    await eventually(lambda: len(doing) == 2)
    asked[0].cancel()  # its thread goes on, and counts until it is through
    asked[9].cancel()  # is not begun
    go.set()
    await asyncio.wait(asked)
    await eventually(lambda: not doing)
    assert max(most) == 2
    assert len(most) == 9


def test_a_process_ends_while_work_hangs() -> None:
    """Nor does what hangs take the threads in which documents are saved."""
    ended = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "saved\n"
