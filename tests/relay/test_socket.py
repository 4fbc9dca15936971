"""A real server and real WebSocket clients: sync, presence, and peers that are slow, broken or gone."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pycrdt import Doc, Map, Provider, Text
from websockets.asyncio.client import ClientConnection

from jupyter_rtc.relay import OpenRoom, PlainKind, Relay, Resident
from jupyter_rtc.wire import protocol

from .by_hand import append, in_memory, text_of
from .faulty import Faulty
from .peer import PATIENCE, Peer, eventually
from .people import WITH_PEOPLE

Rooms = Callable[[], Awaitable[dict[str, Any]]]


class TestSync:
    async def test_what_one_types_the_other_sees(self, server: Any) -> None:
        async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
            await ada.write("hello")
            await bob.until(lambda: bob.text == "hello")
            await bob.write(" world")
            await ada.until(lambda: ada.text == "hello world")
            assert bob.text == "hello world"

    async def test_who_comes_later_gets_everything(self, server: Any) -> None:
        async with server.connect("room") as one, Peer(one) as ada:
            await ada.write("hello")
            await ada.until(lambda: ada.synced)
            async with server.connect("room") as two, Peer(two) as bob:
                await bob.until(lambda: bob.text == "hello")

    async def test_what_was_typed_offline_arrives(self, server: Any) -> None:
        async with server.connect("room") as one, Peer(one) as ada:
            doc = Doc()
            doc["source"] = Text("from the train")
            async with server.connect("room") as two, Peer(two, doc) as bob:
                await ada.until(lambda: ada.text == "from the train")
                assert bob.text == "from the train"

    async def test_rooms_do_not_mix(self, server: Any, rooms: Rooms) -> None:
        async with server.connect("one") as one, server.connect("two") as two, Peer(one) as ada, Peer(two) as bob:
            await ada.write("hello")
            await bob.write("bonjour")
            await eventually(lambda: self._counted(rooms))
            assert (ada.text, bob.text) == ("hello", "bonjour")

    async def _counted(self, rooms: Rooms) -> bool:
        return {name: room["updates"] for name, room in (await rooms()).items()} == {"one": 1, "two": 1}

    async def test_providers_of_pycrdt(self, server: Any) -> None:
        docs = Doc(), Doc()
        async with (
            server.connect("room") as one,
            server.connect("room") as two,
            Provider(docs[0], Channel(one)) as ours,
            Provider(docs[1], Channel(two)) as theirs,
        ):
            await asyncio.wait_for(asyncio.gather(ours.synced.wait(), theirs.synced.wait()), PATIENCE)
            async with docs[1].events() as news:
                docs[0]["state"] = Map({"answer": 42})
                await asyncio.wait_for(anext(aiter(news)), PATIENCE)
            assert docs[1].get("state", type=Map).to_py() == {"answer": 42.0}

    async def test_a_large_document(self, server: Any) -> None:
        doc = Doc()
        doc["source"] = Text("x" * 12_000_000)
        async with server.connect("room") as one, Peer(one, doc) as ada:
            await ada.until(lambda: ada.synced)
            async with server.connect("room") as two, Peer(two) as bob:
                await bob.until(lambda: bob.text)
                assert bob.text == "x" * 12_000_000

    async def test_edits_keep_their_order_among_other_frames(self, server: Any) -> None:
        async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
            for number in range(200):
                await ada.write(f"{number},")
                if number % 10 == 0:
                    await ada.show(cursor=number)
            await bob.until(lambda: bob.text.count(",") == 200)
            assert bob.text == "".join(f"{number}," for number in range(200))


@pytest.mark.traits(ServerApp=WITH_PEOPLE)
class TestPresence:
    async def test_a_newcomer_learns_at_once_who_is_here(self, server: Any) -> None:
        async with server.connect("room") as one, Peer(one) as ada:
            await ada.show(cursor=3)
            await ada.until(lambda: any(frame[0] == 1 for frame in ada.frames))
            async with server.connect("room") as two, Peer(two) as bob:
                await bob.until(lambda: bob.others)
                assert bob.others[ada.doc.client_id]["cursor"] == 3

    async def test_the_server_says_who_it_is(self, server: Any) -> None:
        async with (
            server.connect("room", token="ada-token") as one,
            server.connect("room", token="bob-token") as two,
            Peer(one) as ada,
            Peer(two) as bob,
        ):
            await ada.show(user={"name": "God"})
            await bob.until(lambda: bob.others)
            user = bob.others[ada.doc.client_id]["user"]
            assert (user["name"], user["username"]) == ("Ada Author", "ada")

    async def test_somebody_with_a_large_picture_is_seen_and_types(
        self, server: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        picture = "data:image/png;base64," + "A" * 300_000
        mona = {"username": "mona", "name": "Mona Maler", "avatar_url": picture}
        for _ in range(2):
            async with (
                server.connect("room", token="mona-token") as one,
                server.connect("room", token="bob-token") as two,
                Peer(one) as eve,
                Peer(two) as bob,
            ):
                await eve.show(user=mona, cursor=3)
                await bob.until(lambda: bob.others)
                assert "avatar_url" not in bob.others[eve.doc.client_id]["user"]
                assert bob.others[eve.doc.client_id]["user"]["name"] == "Mona Maler"
                await eve.write("typed")
                await bob.until(lambda: bob.text.endswith("typed"))
                assert one.close_code is None
        assert caplog.text.count("what others are shown of mona leaves out") == 1

    @pytest.mark.parametrize("end", ["close", "abort"])
    async def test_who_leaves_is_gone_before_their_presence_expires(self, server: Any, rooms: Rooms, end: str) -> None:
        async with (
            server.connect("room", token="ada-token") as one,
            server.connect("room", token="bob-token") as two,
            Peer(one) as ada,
            Peer(two) as bob,
        ):
            await ada.show(cursor=3)
            await bob.until(lambda: bob.others)
            if end == "close":
                await ada.socket.close()
            else:
                ada.abort()
            await bob.until(lambda: not bob.others)
            assert len((await rooms())["room"]["members"]) == 1

    async def test_who_comes_back_is_seen_again_at_once(self, server: Any) -> None:
        async with server.connect("room", token="bob-token") as one, Peer(one) as bob:
            async with server.connect("room", token="ada-token") as two, Peer(two) as ada:
                await ada.show(cursor=3)
                await bob.until(lambda: bob.others)
            await bob.until(lambda: not bob.others)
            async with server.connect("room", token="ada-token") as three, Peer(three, ada.doc):
                await three.send(ada.presence())  # under the clock with which it left
                await bob.until(lambda: bob.others)
                assert bob.others[ada.doc.client_id]["cursor"] == 3

    async def test_who_fills_the_room_with_presence_is_closed_alone(self, server: Any) -> None:
        """Forty sockets show about as much as each may; then somebody comes who shows a little."""
        async with AsyncExitStack() as crowd:

            async def come() -> Peer:
                return await crowd.enter_async_context(Peer(await crowd.enter_async_context(server.connect("room"))))

            greedy = [await come() for _ in range(40)]
            for peer in greedy:
                await peer.show(text="x" * 250_000)
            # 33 of them are 8 MiB.
            await eventually(lambda: sum(peer.socket.close_code is not None for peer in greedy) == 7)
            ended = [(peer.socket.close_code, peer.socket.close_reason) for peer in greedy]
            assert set(ended) == {(None, None), (1008, "the room has no place for so much presence")}
            ada, other = await come(), greedy[ended.index((None, None))]
            await ada.show(cursor=3)
            await ada.until(lambda: len(ada.others) == 33)
            await other.until(lambda: ada.doc.client_id in other.others)
            assert ada.socket.close_code is None
            assert sum(peer.socket.close_code is not None for peer in greedy) == 7

    @pytest.mark.traits(Relay={"awareness_timeout": 1.0})
    async def test_who_is_silent_for_too_long_is_gone(self, server: Any) -> None:
        async with (
            server.connect("room", token="ada-token") as one,
            server.connect("room", token="bob-token") as two,
            Peer(one) as ada,
            Peer(two) as bob,
        ):
            await ada.show(cursor=3)
            await bob.until(lambda: bob.others)
            await bob.until(lambda: not bob.others)
            assert ada.socket.close_code is None
            await ada.show(cursor=4)
            await bob.until(lambda: bob.others)

    def test_nobody_is_shown_for_more_than_35_seconds_nor_forgotten_between_two_renewals(self) -> None:
        assert 2 * 15 <= Relay.awareness_timeout.default_value <= 35 - 2  # they renew it, and it is looked at


class TestSilence:
    @pytest.mark.traits(Relay={"keepalive_interval": 0.2})
    async def test_a_lone_client_that_says_nothing_hears_something(self, server: Any) -> None:
        async with server.connect("room") as only, Peer(only) as ada:
            await ada.until(lambda: ada.synced)
            count = len(ada.frames)
            await ada.until(lambda: len(ada.frames) >= count + 3)
            assert set(ada.frames[count:]) == {protocol.awareness([])}

    def test_it_hears_it_before_yjs_clients_give_up(self) -> None:
        assert Relay.keepalive_interval.default_value < 30 - 3  # they look every three seconds


SIZES = "a frame of 4097 bytes; at most 4096 are taken (Relay.max_frame_size)"


class Fleeting(PlainKind):
    """Rooms that are deleted as soon as somebody may come in: their names are free again."""

    deleted = False

    def owns(self, name: str) -> bool:
        """Own every name at first."""
        return not self.deleted

    async def admit(self, name: str) -> None:
        """Admit, and own nothing more."""
        self.deleted = True


class Listening(PlainKind, Resident):
    """One room, and who looks after it: hears what those in it are to be told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def owns(self, name: str) -> bool:
        """Own the room."""
        return name == "listens:to"

    def resident(self, room: OpenRoom) -> Resident:
        """Look after it."""
        return self

    def told(self, said: str) -> None:
        """Hear it."""
        self.heard.append(said)


@pytest.mark.traits(ServerApp=WITH_PEOPLE)
class TestBrokenPeers:
    @pytest.mark.parametrize(
        "frame",
        [
            b"",
            b"garbage",
            b"\x00",
            b"\x00\x02\x05abc",
            b"\x00\x02\x03abc",
            b"\x00\x00\x02\x05\x01",
            b"\x01\x02\x00\x00",
            b"\x01\x06\x01\x05\x01\x02[]",
            b"\x02\x04save",
            b"\x7d",
            protocol.update(b"\x00\x00") + b"\x00",
            "text",
            b"\xff" * 100_000,
        ],
        ids=lambda frame: str(frame[:12]),
    )
    async def test_only_who_breaks_the_protocol_is_closed(self, server: Any, rooms: Rooms, frame: bytes | str) -> None:
        async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
            await ada.write("hello")
            await bob.until(lambda: bob.text == "hello")
            await bob.socket.send(frame)
            code, reason = await bob.closed()
            assert code == 1007
            assert reason
            heard = len(ada.frames)
            assert len((await rooms())["room"]["members"]) == 1
            await ada.write("!")
            await eventually(lambda: self._counts_updates(rooms, 2))
            assert len(ada.frames) == heard
            assert ada.socket.close_code is None

    async def _counts_updates(self, rooms: Rooms, count: int) -> bool:
        return bool((await rooms())["room"]["updates"] == count)

    @pytest.mark.traits(Relay={"max_frame_size": 1 << 12})
    async def test_a_frame_beyond_the_limit(self, server: Any) -> None:
        async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
            await bob.until(lambda: bob.synced)
            await bob.socket.send(b"\x00" * ((1 << 12) + 1))
            assert await bob.closed() == (1009, SIZES)
            await ada.write("x" * 4000)
            assert ada.socket.close_code is None

    @pytest.mark.traits(Relay={"max_frame_size": 1 << 12})
    @pytest.mark.parametrize("parts", ["whole", "in parts"])
    async def test_those_in_the_room_are_told_once_of_a_change_that_is_too_large(
        self, server: Any, caplog: pytest.LogCaptureFixture, parts: str
    ) -> None:
        server.extension.relay.add_kind(listening := Listening())
        for _ in range(3):
            async with server.connect("listens:to", token="mona-token") as one, Peer(one) as mona:
                await mona.until(lambda: mona.synced)
                await mona.socket.send(b"\0" * 4097 if parts == "whole" else [b"\0" * 4000, b"\0" * 97])
                assert (await mona.closed())[0] == 1009
        assert listening.heard == [f"A change that mona made is not in the document, for it is too large: {SIZES}"]
        assert caplog.text.count(f"room listens:to: closing mona: {SIZES}") == 3

    async def test_an_update_that_hurts_the_document(self, server: Any) -> None:
        # It refers to a parent that is a text's content, and fails half-way; the document is built again.
        async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
            doc = Doc(client_id=9)
            doc["t"] = Text(" world")
            await ada.socket.send(protocol.update(doc.get_update()))
            await bob.until(lambda: str(bob.doc.get("t", type=Text)) == " world")
            await bob.socket.send(protocol.update(b"\x01\x01\x0a\x00\x04\x00\t\x00\x01q\x00"))
            assert (await bob.closed())[0] == 1007
            await ada.write("hello")
            async with server.connect("room") as three, Peer(three) as carol:
                await carol.until(lambda: carol.synced and carol.text == "hello")
                assert str(carol.doc.get("t", type=Text)) == " world"
                assert ada.socket.close_code is None

    async def test_who_was_closed_may_come_back(self, server: Any) -> None:
        for _ in range(2):
            async with server.connect("room") as one, Peer(one) as ada:
                await ada.socket.send(b"garbage")
                assert (await ada.closed())[0] == 1007
        async with server.connect("room") as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)


class TestSlowPeers:
    @pytest.mark.traits(Relay={"max_outbox": 1 << 16})
    async def test_a_peer_that_never_reads_is_closed_and_delays_nobody(self, server: Any, rooms: Rooms) -> None:
        deaf = await connect_deaf(server, "room")
        async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
            for number in range(200):
                await ada.write("x" * 50_000)
                await bob.until(lambda size=50_000 * (number + 1): len(bob.text) == size)
                if len((await rooms())["room"]["members"]) == 2:
                    break
            else:
                pytest.fail("the deaf peer was not closed")
            deaf.transport.resume_reading()
            await asyncio.wait_for(deaf.wait_closed(), PATIENCE)
            assert deaf.close_code == 1013
            assert ada.socket.close_code is bob.socket.close_code is None

    @pytest.mark.traits(Relay={"max_outbox": 64 << 20})
    async def test_pongs_do_not_tear_large_frames_apart(self, server: Any) -> None:
        doc = Doc()
        doc["source"] = Text("x" * 500_000)
        async with server.connect("room") as one, Peer(one, doc), server.connect("room") as two, Peer(two) as bob:
            await bob.until(lambda: bob.text)
            slow = await connect_deaf(server, "room")
            for client in range(20):  # one question asked twice at once would be answered once
                await slow.send(protocol.step1(b"\x01" + protocol.write_uint(client) + b"\x00"))
            pings = asyncio.create_task(ping(slow, 100_000))
            slow.transport.resume_reading()
            states: list[Doc[Any]] = [Doc()]
            while len(states) <= 20:
                frame = await asyncio.wait_for(slow.recv(), PATIENCE)
                assert isinstance(frame, bytes)
                kind, payload = protocol.decode(frame)
                if kind in (protocol.Kind.UPDATE, protocol.Kind.STEP2):
                    states[-1].apply_update(payload)  # an edit after the state was encoded goes before it
                if kind is protocol.Kind.STEP2:
                    assert len(str(states[-1].get("source", type=Text))) == 500_000
                    states.append(Doc())
            pings.cancel()
            await slow.close()

    async def test_pongs_do_not_gather_for_who_reads_none(self, server: Any) -> None:
        deaf = await connect_deaf(server, "room")
        pings = b"\x89\xfd\0\0\0\0" + b"x" * 125
        for _ in range(400):
            deaf.transport.write(pings * 1000)
            await eventually(lambda: deaf.transport.get_write_buffer_size() == 0)
        pongs = 0
        feed = deaf.data_received

        def count(data: bytes) -> None:
            nonlocal pongs
            pongs += len(data) // 127
            feed(data)

        deaf.data_received = count
        deaf.transport.resume_reading()
        await deaf.close()
        assert pongs < 200_000  # some are in the buffers of the operating system


class TestLife:
    async def test_the_list_of_rooms(self, server: Any, rooms: Rooms) -> None:
        assert await rooms() == {}
        async with server.connect("a/b") as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            room = (await rooms())["a/b"]
            assert len(room["lineage"]) == 32
            assert [member["writable"] for member in room["members"]] == [True]
            assert room["updates"] == 0
            assert room["frames_in"] == 2

    @pytest.mark.parametrize(
        "_store",
        [
            pytest.param("memory", marks=pytest.mark.traits(Relay={"store_class": "jupyter_rtc.relay.MemoryStore"})),
            pytest.param("sqlite", marks=pytest.mark.traits(Relay={"store_class": "jupyter_rtc.relay.SQLiteStore"})),
        ],
    )
    @pytest.mark.traits(Relay={"eviction_delay": 0.05})
    async def test_a_room_that_nobody_uses_is_dropped_and_goes_on_later(
        self, server: Any, rooms: Rooms, _store: str
    ) -> None:
        async with server.connect("room") as one, Peer(one) as ada:
            await ada.write("hello")
            await ada.until(lambda: ada.synced)
            lineage = (await rooms())["room"]["lineage"]
        await eventually(lambda: self._empty(rooms))
        append(" again")(ada.doc)
        async with server.connect("room") as two, server.connect("room") as one, Peer(one, ada.doc), Peer(two) as bob:
            await bob.until(lambda: bob.text == "hello again")
            assert (await rooms())["room"]["lineage"] == lineage

    async def _empty(self, rooms: Rooms) -> bool:
        return not await rooms()

    @pytest.mark.traits(Relay={"eviction_delay": 0.05})
    async def test_a_room_in_use_stays(self, server: Any, rooms: Rooms) -> None:
        async with server.connect("used") as one, server.connect("left") as two, Peer(one) as ada, Peer(two) as bob:
            await ada.until(lambda: ada.synced)
            await bob.until(lambda: bob.synced)
            await bob.socket.close()
            await eventually(lambda: self._only_used(rooms))
            await ada.write("still here")
            assert ada.socket.close_code is None

    async def _only_used(self, rooms: Rooms) -> bool:
        return list(await rooms()) == ["used"]

    async def test_who_is_gone_during_the_handshake_keeps_nothing_from_the_others(
        self, server: Any, rooms: Rooms
    ) -> None:
        async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
            await ada.until(lambda: ada.synced)
            await bob.until(lambda: bob.synced)
            for turns in range(40):
                await ask_and_reset(server, "room", turns)
                await ada.write(f"{turns} ")
            await bob.until(lambda: bob.text == "".join(f"{turns} " for turns in range(40)))
            await eventually(lambda: self._has_members(rooms, 2))

    async def _has_members(self, rooms: Rooms, count: int) -> bool:
        return len((await rooms())["room"]["members"]) == count

    async def test_a_room_that_is_deleted_during_the_handshake_does_not_begin_as_a_free_one(
        self, server: Any, rooms: Rooms
    ) -> None:
        server.extension.relay._rooms.kinds.insert(0, Fleeting())
        async with server.connect("fork") as socket:
            await asyncio.wait_for(socket.wait_closed(), PATIENCE)
            assert (socket.close_code, socket.close_reason) == (4404, "no such room any more: fork")
        assert "fork" not in await rooms()

    @pytest.mark.parametrize("end", ["close", "abort"])
    @pytest.mark.traits(Relay={"store_class": Faulty, "eviction_delay": 0.05})
    async def test_who_leaves_while_the_room_is_loaded_does_not_stay_in_it(
        self, server: Any, rooms: Rooms, end: str
    ) -> None:
        store = server.extension.relay.store
        store.open.clear()
        peer = Peer(await server.connect("room", close_timeout=0.1))
        await asyncio.wait_for(store.asked.wait(), PATIENCE)
        if end == "close":
            await peer.socket.close()
        else:
            peer.abort()
        coming_back = in_memory(server.extension.relay, "room")
        store.open.set()
        await coming_back
        await eventually(lambda: self._empty(rooms))  # a room that somebody is in stays
        assert server.extension.relay.get("room") is None

    async def test_what_is_typed_while_a_room_is_quiet_arrives_after_it(self, server: Any) -> None:
        async with server.connect("room") as one, server.connect("room") as two, Peer(one) as ada, Peer(two) as bob:
            await ada.until(lambda: ada.synced)
            room = server.extension.relay.get("room")
            with room.quiet():
                for letter in "hello":
                    await ada.write(letter)
                await bob.socket.ping()  # which the server answers meanwhile
                assert (bob.text, text_of(room.doc)) == ("", "")
            await bob.until(lambda: bob.text == "hello")
            with room.quiet():
                await ada.write("!")
                await bob.until(lambda: bob.text == "hello!")  # for it ends by itself

    async def test_a_server_that_stops_says_so(self, server: Any) -> None:
        async with server.connect("room") as one, server.connect("other") as two, Peer(one) as ada, Peer(two) as bob:
            await ada.until(lambda: ada.synced)
            await bob.until(lambda: bob.synced)
            await server.app.extension_manager.stop_all_extensions()
            assert (await ada.closed())[0] == 1001
            assert (await bob.closed())[0] == 1001


class Channel:
    """A WebSocket as pycrdt's Provider wants it."""

    path = "room"

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def __aiter__(self) -> Channel:
        return self

    async def __anext__(self) -> bytes:
        return await self.recv()

    async def send(self, message: bytes) -> None:
        await self._socket.send(message)

    async def recv(self) -> bytes:
        message = await self._socket.recv()
        assert isinstance(message, bytes)
        return message


async def ask_and_reset(server: Any, name: str, turns: int) -> None:
    """Ask for a WebSocket, and cut the connection so many turns of the event loop later: the server gets a reset."""
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.sendall(
            f"GET {server.base_url}api/rtc/room/{name}?token={server.token} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        for _ in range(turns):
            await asyncio.sleep(0)


async def connect_deaf(server: Any, name: str) -> ClientConnection:
    """Connect a client that has small buffers and reads nothing until its transport is told to resume."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", server.port))
    deaf: ClientConnection = await server.connect(name, sock=raw, ping_interval=None, max_queue=None)
    deaf.transport.pause_reading()
    return deaf


async def ping(client: ClientConnection, times: int) -> None:
    """Ask for pongs, and wait for none."""
    for number in range(times):
        await client.ping(f"{number:0125}".encode())
        await asyncio.sleep(0)
