"""Frames that are never finished, and dear ones: what they may take of memory and time, and that it comes back."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from jupyter_rtc.relay import Allowances, Member, OpenRoom, PlainKind, Resident
from jupyter_rtc.wire import MessageReader, protocol

from .peer import Peer, eventually

Rooms = Callable[[], Awaitable[dict[str, Any]]]
BEGIN = b"\x82\xfe\xff\xff\0\0\0\0"
"""The header of a frame of 65,535 bytes."""


async def begin_frame(peer: Peer, size: int) -> None:
    """Send the header of a frame and so many bytes of it, once nothing else is sent."""
    await peer.until(lambda: peer.synced)
    peer.socket.transport.write(BEGIN + b"x" * size)


async def arrived(count: int) -> None:
    """Wait until the server has a part of so many frames."""
    await eventually(lambda: sum(reader.unfinished > 500 for reader in readers()) == count)


class TestBounds:
    @pytest.mark.traits(Allowances={"max_unfinished": 100_000})
    async def test_one_user_has_so_many_bytes_of_them_and_others_have_theirs(self, server: Any, rooms: Rooms) -> None:
        cookie = await a_cookie(server)
        async with (
            server.connect("room", **cookie) as one,
            server.connect("room", **cookie) as two,
            server.connect("room") as three,
            Peer(one) as first,
            Peer(two) as second,
            Peer(three) as other,
        ):
            for number, peer in enumerate((first, other)):
                await begin_frame(peer, 60_000)
                await arrived(number + 1)
            await begin_frame(second, 60_000)
            code, reason = await second.closed()
            assert code == 1008
            assert "100000 bytes of unfinished frames" in (reason or "")
            assert first.socket.close_code is other.socket.close_code is None
            other.abort()
            first.socket.transport.write(b"\0" * 5535)  # it has come whole, and is no frame
            assert (await first.closed())[0] == 1007

    @pytest.mark.traits(Allowances={"max_unfinished_in_total": 1100})
    async def test_all_have_so_many_bytes_of_them_and_what_is_finished_makes_place(
        self, server: Any, rooms: Rooms
    ) -> None:
        for _ in range(2):
            async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
                await begin_frame(ada, 600)
                await arrived(1)
                await begin_frame(bob, 600)
                assert (await bob.closed())[0] == 1008
                assert ada.socket.close_code is None
                ada.abort()
            await eventually(lambda: not (gc.collect(), readers())[1])  # what matters here is that there is place again

    @pytest.mark.traits(Relay={"frame_timeout": 1.0})
    async def test_one_that_is_not_finished_in_time_ends_its_connection(self, server: Any) -> None:
        async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
            await begin_frame(ada, 10)
            await bob.write("typed meanwhile")
            assert await ada.closed() == (1008, "a frame that was not finished in time")
            assert bob.socket.close_code is None

    @pytest.mark.traits(Relay={"frame_timeout": 1.0})
    async def test_each_frame_has_its_own_time(self, server: Any) -> None:
        """A stream of frames each of which begins in the packet that ends the one before."""
        async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
            await ada.until(lambda: ada.synced)
            frame = b"\x82\x83\0\0\0\0\x01\x01\x00"
            ada.socket.transport.write(frame[:4])
            for number in range(30):
                await asyncio.sleep(0.05)
                ada.socket.transport.write(frame[4:] + frame[:4])
                if number % 10 == 0:
                    await bob.write(str(number))
            ada.socket.transport.write(frame[4:])
            await ada.until(lambda: ada.text == "01020")
            assert ada.socket.close_code is None

    async def test_what_was_sent_of_them_goes_with_the_connection(self, server: Any, rooms: Rooms) -> None:
        """At once, and not when somebody looks for cycles."""
        gc.collect()
        gc.disable()
        try:
            async with server.connect("room") as one, Peer(one) as ada:
                await begin_frame(ada, 60_000)
                await arrived(1)
                ada.abort()
            await eventually(lambda: readers() == [])
        finally:
            gc.enable()


class TestShareOfTime:
    @pytest.mark.parametrize("what", ["together", "with pings between"])
    async def test_others_get_their_turn_between_the_frames_of_one_packet(self, server: Any, what: str) -> None:
        server.extension.relay.add_kind(slow := Slow())
        async with server.connect("takes:long") as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            counting = asyncio.create_task(slow.count_turns())
            request = b"\x82\x86\0\0\0\0\x02\x04save"
            ping = b"\x89\x80\0\0\0\0" if what != "together" else b""
            frames = [request[:1] + b"\x87" + request[2:] + bytes((number,)) for number in range(20)]
            ada.socket.transport.write(ping.join(frames))
            await eventually(lambda: len(slow.served) == 20)
            counting.cancel()
        assert list(slow.served) == list(range(20))
        assert len(set(slow.served.values())) == 20  # each in a turn of its own

    async def test_a_question_that_is_repeated_in_one_packet_is_answered_once(self, server: Any) -> None:
        async with server.connect("room") as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            question = protocol.step1(b"\x00")
            packet = bytes((0x82, 0x80 | len(question), 0, 0, 0, 0)) + question
            other = protocol.awareness([])
            end = bytes((0x82, 0x80 | len(b"\x03"), 0, 0, 0, 0)) + b"\x03"
            before = len(ada.frames)
            ada.socket.transport.write(packet * 100 + end)
            await ada.until(lambda: ada.frames[-1] == other)
            assert [frame[:2] for frame in ada.frames[before:]] == [b"\x00\x01", other[:2]]


async def a_cookie(server: Any) -> dict[str, Any]:
    """Return what two connections of one person use: the cookie of a browser that has come in with the token."""
    async with server.connect("elsewhere") as one:
        cookies = [header.split(";")[0] for header in one.response.headers.get_all("Set-Cookie")]
    return {"headers": {"Cookie": "; ".join(cookies)}}


class Slow(PlainKind, Resident):
    """One room, and who looks after it, where each request takes two milliseconds.

    Attributes:
        served: the turn of the event loop in which each request was served, by its number.
    """

    def __init__(self) -> None:
        self.turn = 0
        self.served: dict[int, int] = {}

    def owns(self, name: str) -> bool:
        """Own the room."""
        return name == "takes:long"

    def resident(self, room: OpenRoom) -> Resident:
        """Look after it."""
        return self

    def requested(self, member: Member, name: str, number: int) -> None:
        """Take long."""
        self.served[number] = self.turn
        begun = time.monotonic()
        while time.monotonic() - begun < 0.002:
            pass

    async def count_turns(self) -> None:
        """Count the turns of the event loop."""
        while True:
            self.turn += 1
            await asyncio.sleep(0)


def readers() -> list[MessageReader]:
    """Return the readers of all connections that are in memory."""
    return [thing for thing in gc.get_objects() if type(thing) is MessageReader]


@pytest.mark.traits(Allowances={"max_sockets": 2, "max_sockets_in_total": 3})
async def test_a_user_and_all_have_so_many_sockets_and_closed_ones_make_place(server: Any) -> None:
    cookie = await a_cookie(server)
    async with server.connect("room", **cookie), server.connect("room", **cookie):
        with pytest.raises(InvalidStatus) as refused:
            await server.connect("room", **cookie)
        assert refused.value.response.status_code == 429
        async with server.connect("room"):
            with pytest.raises(InvalidStatus) as refused:
                await server.connect("room")
            assert refused.value.response.status_code == 429
    for _ in range(5):
        async with server.connect("room", **cookie) as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)


def test_a_class_of_fifty_behind_one_address_and_a_crowd_of_a_thousand_reach_none_of_it() -> None:
    """By the defaults: a person with thirty documents in two windows, each with its tables; a thousand who open one."""
    allowances = Allowances()
    for student in range(50):
        for _ in range(2 * (30 + 12)):
            allowances.sockets.take(f"student {student}")
    for opener in range(1000):
        allowances.sockets.take(f"opener {opener}")
        allowances.unfinished.take(f"opener {opener}", 1 << 18)
