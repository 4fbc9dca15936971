"""When frames for a whole room leave: at once after a pause, else together with what comes in the next moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

import pytest

from jupyter_rtc.relay import FreeRooms, Identity, Member, Room
from jupyter_rtc.relay.connection import Connection
from jupyter_rtc.relay.effects import Broadcast
from jupyter_rtc.relay.outgoing import Outgoing
from jupyter_rtc.relay.served import ServedRoom

from .peer import eventually
from .wire import Socket


def served_to(count: int) -> tuple[ServedRoom, list[Socket]]:
    """Return a room with so many members, and their sockets."""
    served = ServedRoom(Room("room", "lineage"), FreeRooms(), unkept="", now=monotonic())
    sockets = [Socket() for _ in range(count)]
    for number, socket in enumerate(sockets):
        served.connections[Member(Identity(str(number), {}), True)] = Connection(socket, 1 << 20, lambda error: None)
    return served, sockets


def frames_of(*sockets: Socket) -> list[list[bytes]]:
    """Return what each socket was sent."""
    return [socket.frames for socket in sockets]


def add(outgoing: Outgoing, served: ServedRoom, *frames: bytes) -> None:
    """Take in frames for everybody."""
    for frame in frames:
        outgoing.add(served, Broadcast(frame, None))


async def test_after_a_pause_a_frame_leaves_at_once() -> None:
    outgoing, (served, sockets) = Outgoing(), served_to(3)
    now = monotonic()
    for later, frame in enumerate((b"a", b"b")):
        add(outgoing, served, frame)
        outgoing.at_once(now + later)
    assert frames_of(*sockets) == [[b"a", b"b"]] * 3


class Broken(Socket):
    """A socket that fails as no socket should."""

    def write(self, parts: Sequence[bytes], written: Callable[[], None]) -> bool:
        """Fail."""
        raise RuntimeError("broken")


async def test_a_socket_that_fails_is_given_up_and_stands_in_the_way_of_nobody() -> None:
    outgoing, (served, sockets) = Outgoing(), served_to(1)
    given_up: list[Exception] = []
    broken = Connection(Broken(), 1 << 20, given_up.append)
    served.connections = {Member(Identity("broken", {}), True): broken, **served.connections}
    add(outgoing, served, b"a")
    outgoing.at_once(monotonic())
    assert frames_of(*sockets) == [[b"a"]]
    assert [str(error) for error in given_up] == ["broken"]


async def test_what_comes_soon_after_leaves_together_in_order_and_once() -> None:
    outgoing, (served, (socket,)) = Outgoing(), served_to(1)
    now = monotonic()
    for frame in (b"a", b"b", b"c", b"d"):
        add(outgoing, served, frame)
        outgoing.at_once(now)
    assert socket.frames == [b"a"]
    await eventually(lambda: len(socket.frames) > 1)
    assert (socket.frames, len(socket.writes)) == ([b"a", b"b", b"c", b"d"], 2)
    outgoing.flush()
    assert len(socket.writes) == 2


async def test_the_end_of_the_turn_is_waited_for_where_more_may_come() -> None:
    outgoing, (served, (socket,)) = Outgoing(), served_to(1)
    add(outgoing, served, b"a")
    outgoing.soon(monotonic())
    add(outgoing, served, b"b")
    outgoing.soon(monotonic())
    assert socket.writes == []
    await eventually(lambda: socket.writes)
    assert (socket.frames, len(socket.writes)) == ([b"a", b"b"], 1)


@pytest.mark.parametrize(("members", "gap"), [(1, 0.0005), (10, 0.005), (50, 0.025), (1000, 0.025)])
async def test_the_moment_grows_with_the_room_up_to_a_bound(members: int, gap: float) -> None:
    served, _ = served_to(members)
    served.enqueue(Broadcast(b"a", None))
    served.flush(100.0)
    assert served.due == pytest.approx(100.0 + gap)


async def test_one_room_does_not_wait_for_another() -> None:
    outgoing, (busy, (first,)), (quiet, (second,)) = Outgoing(), served_to(1), served_to(1)
    now = monotonic()
    for frame in (b"a", b"b"):
        add(outgoing, busy, frame)
        outgoing.at_once(now)
    add(outgoing, quiet, b"c")
    outgoing.at_once(now)
    assert frames_of(first, second) == [[b"a"], [b"c"]]
    outgoing.flush()
    assert first.frames == [b"a", b"b"]


async def test_all_that_waits_can_be_sent_now() -> None:
    outgoing, (served, (socket,)) = Outgoing(), served_to(1)
    now = monotonic()
    for frame in (b"a", b"b"):
        add(outgoing, served, frame)
        outgoing.at_once(now)
    add(outgoing, served, b"c")
    outgoing.flush()
    assert socket.frames == [b"a", b"b", b"c"]
