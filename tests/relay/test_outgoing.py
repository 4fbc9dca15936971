"""When frames for a whole room leave: at once after a pause, else together with what comes in the next moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from time import monotonic

import pytest

from jupyter_rtc.machine.pace import Pace
from jupyter_rtc.relay import FreeRooms, Member, Room
from jupyter_rtc.relay.connection import Connection
from jupyter_rtc.relay.effects import Broadcast, Show
from jupyter_rtc.relay.outgoing import Outgoing
from jupyter_rtc.relay.served import ServedRoom
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.awareness import Identity
from jupyter_rtc.wire.protocol import AwarenessEntry

from .peer import eventually
from .wire import Socket

PACE = Pace(1 << 16)


def served_to(count: int) -> tuple[ServedRoom, list[Socket]]:
    """Return a room with so many members, and their sockets."""
    served = ServedRoom(Room("room", "lineage"), FreeRooms(), unkept="", now=monotonic())
    sockets = [Socket() for _ in range(count)]
    for number, socket in enumerate(sockets):
        served.connections[Member(Identity(str(number), {}), True)] = Connection(
            socket, 1 << 20, lambda error: None, served.presence
        )
    return served, sockets


def frames_of(*sockets: Socket) -> list[list[bytes]]:
    """Return what each socket was sent."""
    return [socket.frames for socket in sockets]


def add(outgoing: Outgoing, served: ServedRoom, *frames: bytes) -> None:
    """Take in frames for everybody."""
    for frame in frames:
        outgoing.add(served, Broadcast(frame, None))


async def test_after_a_pause_a_frame_leaves_at_once() -> None:
    outgoing, (served, sockets) = Outgoing(PACE), served_to(3)
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
    outgoing, (served, sockets) = Outgoing(PACE), served_to(1)
    given_up: list[Exception] = []
    broken = Connection(Broken(), 1 << 20, given_up.append, served.presence)
    served.connections = {Member(Identity("broken", {}), True): broken, **served.connections}
    add(outgoing, served, b"a")
    outgoing.at_once(monotonic())
    assert frames_of(*sockets) == [[b"a"]]
    assert [str(error) for error in given_up] == ["broken"]


async def test_what_comes_soon_after_leaves_together_in_order_and_once() -> None:
    outgoing, (served, (socket,)) = Outgoing(PACE), served_to(1)
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
    outgoing, (served, (socket,)) = Outgoing(PACE), served_to(1)
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
    served.flush(100.0, PACE)
    assert served.due == pytest.approx(100.0 + gap)


async def test_one_room_does_not_wait_for_another() -> None:
    outgoing, (busy, (first,)), (quiet, (second,)) = Outgoing(PACE), served_to(1), served_to(1)
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
    outgoing, (served, (socket,)) = Outgoing(PACE), served_to(1)
    now = monotonic()
    for frame in (b"a", b"b"):
        add(outgoing, served, frame)
        outgoing.at_once(now)
    add(outgoing, served, b"c")
    outgoing.flush()
    assert socket.frames == [b"a", b"b", b"c"]


class Crowd:
    """A room in which clients show themselves, and two peers of which the second reads when the test lets it."""

    def __init__(self, pace: Pace) -> None:
        self.outgoing = Outgoing(pace)
        self.served, (self.quick, self.slow) = served_to(2)
        self.slow.reads = False
        self.clock = 0

    def take_in(self, now: float, client: int, size: int = 0, username: str = "ada") -> None:
        """Let a client of a user show a state of so many bytes."""
        self.clock += 1
        entry = AwarenessEntry(client, self.clock, json.dumps({"t": "x" * size, "n": self.clock}))
        payload = protocol.decode(protocol.awareness([entry])).payload
        changed = self.served.room.awareness.apply(payload, username, Identity(username, {}), now)
        self.outgoing.add(self.served, Show(changed, None))

    def show(self, now: float, client: int, size: int = 0, username: str = "ada") -> None:
        """Let a client show a state, which leaves if it may."""
        self.take_in(now, client, size, username)
        self.leave(now)

    def leave(self, now: float) -> None:
        """Write what may leave at a time at which nothing has left lately."""
        self.served.due = now
        self.outgoing.at_once(now)

    def seen(self, socket: Socket) -> list[dict[int, int]]:
        """Return, of each awareness frame that a peer was sent, the number that each client's state has."""
        frames = [frame for frame in socket.frames if frame[0] == 1]
        return [
            {entry.client: json.loads(entry.state or "")["n"] for entry in protocol.decode_awareness(payload)}
            for _, payload in map(protocol.decode, frames)
        ]


async def test_presence_that_gathers_leaves_once_in_its_newest_state() -> None:
    crowd = Crowd(PACE)
    for _ in range(3):
        crowd.take_in(1.0, 7)
    crowd.leave(1.0)
    assert crowd.seen(crowd.quick) == [{7: 3}]


async def test_a_slow_peer_is_sent_all_edits_and_the_newest_presence_only() -> None:
    crowd = Crowd(Pace(1 << 30))
    for number in range(1, 101):
        add(crowd.outgoing, crowd.served, b"\x00\x02\x01" + bytes([number]))
        crowd.show(float(number), 1, size=250_000)
    while crowd.slow.busy:
        crowd.slow.take()
    edits = [frame[-1] for frame in crowd.slow.frames if frame[0] == 0]
    assert edits == list(range(1, 101))
    assert crowd.seen(crowd.slow) == [{1: 1}, {1: 100}]
    assert crowd.seen(crowd.quick) == [{1: number} for number in range(1, 101)]


async def test_who_shows_too_much_is_shown_less_often_and_in_the_newest_state_at_last() -> None:
    crowd = Crowd(Pace(1 << 16))
    for tick in range(1000):  # ten seconds of a flood
        crowd.show(100 + tick / 100, 1, size=100_000)
        if tick % 100 == 0:
            crowd.show(100 + tick / 100, 2, username="bob")
    size = sum(len(frame) for frame in crowd.quick.frames)
    assert size < (10 + 4 + 2) * (1 << 16)
    assert crowd.seen(crowd.quick)[-1][1] < crowd.clock
    assert [number for seen in crowd.seen(crowd.quick) for client, number in seen.items() if client == 2]
    assert crowd.served.withholds
    crowd.outgoing.add(crowd.served, Show((), None))
    crowd.leave(200.0)
    assert crowd.seen(crowd.quick)[-1] == {1: crowd.served.room.awareness.entries([1])[0].clock}
    assert not crowd.served.withholds


async def test_who_leaves_is_gone_at_once_however_much_they_showed() -> None:
    crowd = Crowd(Pace(1))
    for tick in range(10):
        crowd.show(100 + tick / 100, 1, size=1000)
    crowd.outgoing.add(crowd.served, Show(crowd.served.room.awareness.remove("ada"), None))
    crowd.leave(101.0)
    assert crowd.quick.frames[-1] == protocol.awareness([AwarenessEntry(1, 10, None)])
