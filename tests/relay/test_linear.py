"""What a frame costs grows with its size, and not faster: in lines of Python that run, and in memory.

Both are the same at each run, as seconds are not. What yrs does is not counted: `benchmarks/` has its time.
"""

from __future__ import annotations

import random
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text

from jupyter_rtc.relay import Member
from jupyter_rtc.wire import Identity, protocol
from jupyter_rtc.wire.merging import merged
from jupyter_rtc.wire.readback import proved

from .by_hand import room_with

SIZE, TIMES = 200, 4
MORE = 2
"""How much more than so many times as much it may be, for tables grow in steps; the square would be four times it."""


def typed_here_and_there(count: int) -> list[bytes]:
    """One person types letters, each at another place."""
    chance = random.Random(1)
    doc: Doc[Any] = Doc(client_id=9)
    text = doc.get("source", type=Text)
    for number in range(count):
        text.insert(chance.randrange(number + 1), "x")
    return [doc.get_update()]


def typed_backwards(count: int) -> list[bytes]:
    """Each letter stands before the one before."""
    doc: Doc[Any] = Doc(client_id=9)
    for _ in range(count):
        doc.get("source", type=Text).insert(0, "x")
    return [doc.get_update()]


def deleted_every_second(count: int) -> list[bytes]:
    """Every second letter of a long text is deleted."""
    doc: Doc[Any] = Doc(client_id=9)
    text = doc.get("source", type=Text)
    text += "xy" * count
    before = doc.get_update()
    state = doc.get_state()
    for number in range(count):
        del text[number : number + 1]
    return [before, doc.get_update(state)]


def by_many_clients(count: int) -> list[bytes]:
    """Each letter was typed by somebody else."""
    updates = []
    for number in range(count):
        doc: Doc[Any] = Doc(client_id=1000 + number)
        doc.get("source", type=Text).insert(0, "x")
        updates.append(doc.get_update())
    return [merged(updates)]


def keys_of_a_map(count: int) -> list[bytes]:
    """A map has many keys."""
    doc: Doc[Any] = Doc(client_id=9)
    with doc.transaction():
        for number in range(count):
            doc.get("meta", type=Map)[f"key {number}"] = number
    return [doc.get_update()]


def one_key_again_and_again(count: int) -> list[bytes]:
    """A key is set many times."""
    doc: Doc[Any] = Doc(client_id=9)
    for number in range(count):
        doc.get("meta", type=Map)["key"] = number
    return [doc.get_update()]


def cells(count: int) -> list[bytes]:
    """A notebook has many cells."""
    doc: Doc[Any] = Doc(client_id=9)
    with doc.transaction():
        for number in range(count):
            cell = Map({"id": str(number), "source": Text("x"), "metadata": Map({}), "outputs": Array([])})
            doc.get("cells", type=Array).append(cell)
    return [doc.get_update()]


def numbers(count: int) -> list[bytes]:
    """A value is long."""
    doc: Doc[Any] = Doc(client_id=9)
    doc.get("meta", type=Map)["plot"] = [number / 7 for number in range(50 * count)]
    return [doc.get_update()]


def what_waits(count: int) -> list[bytes]:
    """A frame has to wait for the one that comes after it."""
    doc: Doc[Any] = Doc(client_id=9)
    text = doc.get("source", type=Text)
    text += "begin"
    first, state = doc.get_update(), doc.get_state()
    for _ in range(count):
        text.insert(2, "x")
    return [doc.get_update(state), first]


def halves_of_emoji(count: int) -> list[bytes]:
    """Characters that JavaScript counts as two, each in a place of its own."""
    doc: Doc[Any] = Doc(client_id=9)
    for _ in range(count):
        doc.get("source", type=Text).insert(0, "\N{GRINNING FACE}")
    return [doc.get_update()]


FRAMES = (
    typed_here_and_there,
    typed_backwards,
    deleted_every_second,
    by_many_clients,
    keys_of_a_map,
    one_key_again_and_again,
    cells,
    numbers,
    what_waits,
    halves_of_emoji,
)


def lines_of(work: Callable[[], object]) -> int:
    """Return how many lines of Python run."""
    count = 0

    def line(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        nonlocal count
        count += 1
        return line

    tracing = sys.gettrace()
    sys.settrace(line)
    try:
        work()
    finally:
        sys.settrace(tracing)
    return count


def memory_of(work: Callable[[], object]) -> int:
    """Return how many bytes of memory Python takes at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def received_and_given_out(updates: list[bytes]) -> Callable[[], object]:
    """Return the work of a room that takes in updates, is asked for all of them, and is read back."""
    room, member = room_with("begun"), Member(Identity("ada", {}), True)
    room.join(member)
    first = room.whole_state()
    room.receive(member, protocol.step1(room.doc.get_state()), 0.0)
    frames = [protocol.update(update) for update in updates]

    def work() -> object:
        for frame in frames:
            room.receive(member, frame, 0.0)
        room.receive(member, protocol.step1(protocol.EMPTY_STATE), 0.0)
        return proved(lambda: room.doc, [first, *updates])

    return work


@pytest.mark.slow
@pytest.mark.parametrize("make", FRAMES)
@pytest.mark.parametrize("measured", [lines_of, memory_of])
def test_many_times_as_much_costs_so_many_times_as_much(
    make: Callable[[int], list[bytes]], measured: Callable[[Callable[[], object]], int]
) -> None:
    measured(received_and_given_out(make(10)))  # what is compiled, imported or kept at first use
    few, many = (received_and_given_out(make(size)) for size in (SIZE, TIMES * SIZE))
    assert measured(many) < MORE * TIMES * measured(few)
