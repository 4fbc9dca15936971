"""A thread of its own for what is slow: one call after the other, in order, and nobody waits for it at the end.

And how soon threads make way for others.
"""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from jupyter_rtc.machine.threads import OneThread, take_turns


class Held:
    """Calls that do not go on before they are told to; `calls` says which have begun."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def hold(self, name: object) -> object:
        """Wait."""
        self.calls.append(name)
        self.begun.set()
        self.go_on.wait()
        return name

    async def here(self, name: object) -> object:
        """Do not wait."""
        return name, threading.get_ident()


async def test_calls_are_made_in_order_and_what_can_wait_last() -> None:
    thread, held = OneThread("test"), Held()
    first = asyncio.ensure_future(thread.ask(held.hold, 0))
    await asyncio.to_thread(held.begun.wait)
    last = [asyncio.ensure_future(thread.ask_last(held.hold, name)) for name in ("x", "y")]
    later = [asyncio.ensure_future(thread.ask(held.hold, number)) for number in (1, 2)]
    await asyncio.sleep(0)
    assert held.calls == [0]
    held.go_on.set()
    assert await asyncio.gather(first, *later, *last) == [0, 1, 2, "x", "y"]
    assert held.calls == [0, 1, 2, "x", "y"]


async def test_coroutine_functions_stay_on_the_event_loop() -> None:
    thread, held = OneThread("test"), Held()
    assert await thread.ask(held.here, 1) == (1, threading.get_ident())
    assert await thread.ask(lambda: held.here(2)) == (2, threading.get_ident())


async def test_what_is_cancelled_before_its_turn_is_not_done() -> None:
    thread, held = OneThread("test"), Held()
    first = asyncio.ensure_future(thread.run(held.hold, 1))
    await asyncio.to_thread(held.begun.wait)
    second = asyncio.ensure_future(thread.run(held.hold, 2))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    held.go_on.set()
    assert await first == 1
    assert await thread.run(held.hold, 3) == 3
    assert held.calls == [1, 3]


@pytest.mark.parametrize(("raised", "seen"), [(ValueError, ValueError), (StopIteration, RuntimeError)])
async def test_what_a_call_raises_belongs_to_the_caller(raised: type[Exception], seen: type[Exception]) -> None:
    thread = OneThread("test")

    def fail() -> None:
        raise raised("why")

    with pytest.raises(seen, match="why"):
        await thread.run(fail)
    assert await thread.run(str, 1) == "1"


@pytest.mark.parametrize(("chosen", "found"), [(0.005, 0.001), (0.0002, 0.0002)], ids=["Python's own", "a shorter one"])
def test_threads_make_way_after_a_millisecond_at_most(chosen: float, found: float) -> None:
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(chosen)
        take_turns()
        assert sys.getswitchinterval() == pytest.approx(found, rel=0.01)  # Python counts whole microseconds
    finally:
        sys.setswitchinterval(before)
