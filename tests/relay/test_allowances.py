"""What each user may take, and all together: counted, given back, and refused with a word that says what it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Text
from tornado.httpclient import HTTPClientError
from traitlets.config import Config
from websockets.exceptions import InvalidStatus

from jupyter_rtc.relay import ExhaustedError, FreeRooms, MemoryStore, Relay, RoomError, SQLiteStore, StoredRoom
from jupyter_rtc.relay.admission.allowances import Allowance, Holding, Shares
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.protocol import AwarenessEntry, CloseCode

from .by_hand import append, in_memory, observed, text_of
from .peer import Peer, eventually
from .test_relay import Built, Client, gone, relay_with

ADA, BOB = "ada", "bob"


class TestAllowance:
    def test_one_user_and_all_have_so_much(self) -> None:
        sockets = Allowance("sockets", 2, 3)
        sockets.take(ADA)
        sockets.take(ADA)
        with pytest.raises(ExhaustedError, match="ada may have 2 sockets"):
            sockets.take(ADA)
        sockets.take(BOB)
        with pytest.raises(ExhaustedError, match="there may be 3 sockets"):
            sockets.take(BOB)
        sockets.give_back(ADA)
        sockets.take(BOB)

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), max_size=40))
    def test_holdings_grow_and_shrink_within_it(self, steps: list[tuple[int, int]]) -> None:
        allowance = Allowance("bytes", 10, 15)
        users = [ADA, ADA, BOB, "carol"]
        holdings, held = [Holding(allowance, user) for user in users], [0] * 4
        for number, amount in steps:
            wanted = [*held[:number], amount, *held[number + 1 :]]
            own = sum(some for user, some in zip(users, wanted, strict=True) if user == users[number])
            fits = amount <= held[number] or (own <= 10 and sum(wanted) <= 15)
            try:
                holdings[number].hold(amount)
                assert fits
                held = wanted
            except ExhaustedError:
                assert not fits
            assert allowance.in_total == sum(held)

    def test_what_is_taken_for_a_while_is_given_back_whatever_happens(self) -> None:
        answers = Allowance("answers", 1, 1)
        for _ in range(3):
            with pytest.raises(LookupError), answers.taken(ADA):
                raise LookupError
        with answers.taken(ADA), pytest.raises(ExhaustedError), answers.taken(BOB):
            pass
        assert answers.in_total == 0


def limited(**traits: int) -> dict[str, Any]:
    """Return what configures a relay with these allowances."""
    return {"Relay": {"store_class": MemoryStore, "eviction_delay": 0.05}, "Allowances": traits}


class TestRooms:
    async def test_a_user_and_all_bring_so_many_into_memory_and_what_leaves_makes_place(self) -> None:
        async with relay_with(config=limited(max_rooms=2, max_rooms_in_total=3)) as relay:
            ada = [Client(relay, await in_memory(relay, name, ADA)) for name in ("a", "b")]
            with pytest.raises(ExhaustedError, match="ada may have 2 rooms in memory"):
                await in_memory(relay, "c", ADA)
            for _ in range(3):  # those that are there are open to everybody
                assert await in_memory(relay, "a", ADA) is await in_memory(relay, "a", BOB) is ada[0].room
            Client(relay, await in_memory(relay, "c", BOB))
            with pytest.raises(ExhaustedError, match="there may be 3 rooms in memory"):
                await in_memory(relay, "d", BOB)
            await in_memory(relay, "the-servers-own")
            for client in ada:
                relay.leave(client.room, client.member)
            await eventually(lambda: gone(relay, "a") and gone(relay, "b"))

            async def may() -> bool:
                try:
                    return bool(await in_memory(relay, "d", ADA))
                except ExhaustedError:
                    return False

            await eventually(may)

    async def test_a_room_that_cannot_be_opened_takes_no_place(self) -> None:
        async with relay_with(config=limited(max_rooms=1)) as relay:
            for _ in range(3):
                with pytest.raises(Exception, match="no such room"):
                    await in_memory(relay, "nobody:owns:this", ADA)
            await in_memory(relay, "a", ADA)

    @pytest.mark.traits(Allowances={"max_rooms_in_total": 1})
    async def test_one_too_many_is_refused_at_the_handshake_and_by_the_session(
        self, server: Any, jp_fetch: Any, jp_root_dir: Any
    ) -> None:
        (jp_root_dir / "a.txt").write_text("a")
        async with server.connect("a") as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            with pytest.raises(InvalidStatus) as refused:
                await server.connect("b")
            assert refused.value.response.status_code == 429
            body = json.dumps({"format": "text", "type": "file"})
            with pytest.raises(HTTPClientError) as answer:
                await jp_fetch("api/collaboration/session/a.txt", method="PUT", body=body)
            assert answer.value.code == 429
            async with server.connect("a") as two, Peer(two) as bob:
                await bob.until(lambda: bob.synced)


class TestFreeRooms:
    """Rooms under names that clients make up: nothing ends them, and no file has what they hold."""

    async def test_what_a_user_began_may_grow_so_far_and_what_was_there_stays_editable(self) -> None:
        async with relay_with(config=limited(max_free_bytes=10_000)) as relay:
            ada, bob = (
                Client(relay, await in_memory(relay, "ada", ADA)),
                Client(relay, await in_memory(relay, "bob", BOB), BOB),
            )
            guest = Client(relay, ada.room, BOB)
            ada.write("x" * 6000)
            await eventually(lambda: guest.updates)
            guest.doc.apply_update(guest.updates[0])
            before = ada.room.doc.get_state()
            guest.write("y" * 6000)  # it is Ada's room that grows
            ((code, reason),) = guest.socket.closed
            assert (code, "ada may have 10000 bytes of stored free rooms" in reason) == (CloseCode.NOT_ALLOWED, True)
            assert ada.room.doc.get_state() == before
            bob.write("z" * 6000)
            ada.write("x" * 3000)
            assert [ada.socket.closed, bob.socket.closed] == [[], []]

    async def test_in_a_full_room_there_is_place_again_once_something_is_deleted(self) -> None:
        config = limited(max_free_bytes=10_000) | {"Keeper": {"compact_updates": 2}}
        config["Relay"] |= {"keepalive_interval": 0.1}
        async with relay_with(config=config) as relay:
            ada = Client(relay, await in_memory(relay, "ada", ADA), ADA)
            ada.write("x" * 9000)
            again = Client(relay, ada.room, ADA)
            again.doc.apply_update(ada.room.doc.get_update())
            ada.write("y" * 2000)
            assert ada.socket.closed[0][0] == CloseCode.NOT_ALLOWED
            again.send(protocol.step2(again.doc.get_update()))  # it is greeted, and says what everybody has
            for _ in range(3):
                for update in observed(again.doc, lambda doc: doc.get("source", type=Text).__delitem__(slice(0, 2900))):
                    again.send(protocol.update(update))
            assert again.socket.closed == []
            await eventually(lambda: relay.allowances.free_bytes.in_total < 2000)
            again.write("y" * 6000)
            assert again.socket.closed == []
            assert text_of(ada.room.doc) == "x" * 300 + "y" * 6000

    async def test_what_is_stored_counts_after_a_restart_and_until_it_is_deleted(self, tmp_path: Path) -> None:
        config = limited(max_free_rooms=2, max_free_rooms_in_total=3)
        config["Relay"]["store_class"] = SQLiteStore
        config["SQLiteStore"] = {"path": str(tmp_path / "rooms.db")}
        async with relay_with(config=config) as relay:
            Client(relay, await in_memory(relay, "a", ADA), ADA).write("x" * 1000)
            await in_memory(relay, "b", ADA)
        async with relay_with(config=config) as relay:
            with pytest.raises(RoomError, match="ada may have 2 stored free rooms") as refused:
                await in_memory(relay, "c", ADA)
            assert refused.value.code == CloseCode.NOT_ALLOWED
            assert relay.get("c") is None
            assert [(begun.name, begun.user) for begun in relay.charges] == [("a", ADA), ("b", ADA)]
            assert relay.allowances.free_bytes.in_total > 1000
            await in_memory(relay, "a", ADA)
            await in_memory(relay, "c", BOB)
            with pytest.raises(RoomError, match="there may be 3 stored free rooms"):
                await in_memory(relay, "d", BOB)
            await relay.discard("a")
            assert relay.allowances.free_bytes.in_total < 1000
            await in_memory(relay, "d", ADA)

    async def test_a_room_that_goes_on_with_another_history_is_still_its_users(self) -> None:
        async with relay_with(config=limited()) as relay:
            room = await in_memory(relay, "a", ADA)
            stored = StoredRoom("f" * 32, 5, Doc().get_update(), 0, (), None, None)
            assert room.adopt(stored)
            assert [begun.user for begun in await relay.store.begun()] == [ADA]

    @pytest.mark.traits(Allowances={"max_free_rooms_in_total": 2})
    async def test_one_too_many_is_refused_at_the_handshake_until_one_is_deleted(
        self, server: Any, jp_fetch: Any
    ) -> None:
        for name in ("a", "b/c"):
            async with server.connect(name) as one, Peer(one) as ada:
                await ada.until(lambda: ada.synced)
                await ada.write("text")
        with pytest.raises(InvalidStatus) as refused:
            await server.connect("d")
        assert refused.value.response.status_code == 429
        async with server.connect("a") as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)
            listed = json.loads((await jp_fetch("api/rtc/rooms")).body)["free"]
            assert {room["name"] for room in listed} == {"a", "b/c"}
            assert all(room["size"] > 0 and room["user"] for room in listed)
            for name, status in (("nobody", 404), ("text:file:x", 404)):
                with pytest.raises(HTTPClientError) as answer:
                    await jp_fetch("api/rtc/rooms", name, method="DELETE")
                assert answer.value.code == status
            assert (await jp_fetch("api/rtc/rooms", "a", method="DELETE")).code == 204
            assert (await ada.closed())[0] == CloseCode.GOING_AWAY
        assert (await jp_fetch("api/rtc/rooms/b/c", method="DELETE")).code == 204
        assert json.loads((await jp_fetch("api/rtc/rooms")).body)["free"] == []
        async with server.connect("d") as one, Peer(one) as ada:
            await ada.until(lambda: ada.synced)


class TestShares:
    @given(st.lists(st.tuples(st.sampled_from([ADA, BOB, ""]), st.integers(0, 12)), max_size=40))
    def test_what_users_hold_together_is_within_the_allowance_of_whoever_adds_to_it(
        self, steps: list[tuple[str, int]]
    ) -> None:
        allowance = Allowance("bytes", 6, 9)
        shares = Shares(allowance, 8)
        held = 0
        for user, size in steps:
            try:
                shares.hold(user, size)
                held = size
            except ExhaustedError:
                assert size > held
            assert allowance.in_total == held <= 8
        shares.begin(20)  # what was stored before is counted, whatever is allowed
        assert allowance.in_total == 20
        shares.begin(0)
        allowance.take(ADA, 6)
        allowance.take(BOB, 3)


class TestWaiting:
    """Updates that build on others which have not come."""

    @pytest.mark.parametrize(
        ("traits", "taken"),
        [({"max_waiting": 5000}, 2), ({"max_waiting_in_total": 5000}, 1), ({"max_room_waiting": 1500}, 0)],
    )
    async def test_so_much_waits_in_all_rooms_and_a_room(self, traits: dict[str, int], taken: int) -> None:
        """Ada brings 2000 bytes to one room, and Bob; then Ada to another: once, and once more."""
        async with relay_with(config=limited(**traits)) as relay:
            one, other = await in_memory(relay, "one"), await in_memory(relay, "other")
            clients = [
                Client(relay, one, ADA),
                Client(relay, one, BOB),
                Client(relay, other, ADA),
                Client(relay, other, ADA),
            ]
            missing = []
            for client in clients:
                first, early = [*observed(client.doc, append("first")), *observed(client.doc, append("x" * 2000))]
                missing.append(first)
                before = client.room.doc.get_state()
                client.send(protocol.update(early))
                assert client.room.doc.get_state() == before
            closed = [client.socket.closed for client in clients]
            refused = [bool(one) for one in closed]
            assert refused == {2: [False, False, False, True], 1: [False, False, True, True], 0: [True] * 4}[taken]
            for (code, reason), *_ in filter(None, closed):
                assert (code, "bytes of updates that wait" in reason) == (CloseCode.NOT_ALLOWED, True)
            clients[0].send(protocol.update(missing[0]))
            assert len(text_of(one.doc)) == (2005 if taken else 0)
            if taken:  # what waits no longer makes place
                assert relay.allowances.waiting.in_total < 2100 * taken
                again = Client(relay, other, ADA)
                again.send(
                    protocol.update([*observed(again.doc, append("a")), *observed(again.doc, append("x" * 900))][1])
                )
                assert again.socket.closed == []
                clients.append(again)
            for client in clients:
                relay.leave(client.room, client.member)
            await eventually(lambda: gone(relay, "one") and gone(relay, "other"))
            assert relay.allowances.waiting.in_total == 0

    async def test_what_waits_when_a_room_is_loaded_counts_for_all_together(self, tmp_path: Path) -> None:
        config = limited()
        config["Relay"]["store_class"] = SQLiteStore
        config["SQLiteStore"] = {"path": str(tmp_path / "rooms.db")}
        counted = []
        for _ in range(2):
            async with relay_with(config=config) as relay:
                client = Client(relay, await in_memory(relay, "a"), ADA)
                if not counted:
                    _, early = [*observed(client.doc, append("first")), *observed(client.doc, append("x" * 2000))]
                    client.send(protocol.update(early))
                counted.append(relay.allowances.waiting.in_total)
            assert relay.allowances.waiting.in_total == 0
        assert min(counted) > 2000


class TestHeld:
    """Updates of peers whose document has another history, before it is seen to what they hold."""

    @pytest.mark.parametrize("traits", [{"max_held": 3000}, {"max_held_in_total": 3000}])
    async def test_so_much_is_held_and_given_back_when_the_peer_leaves(self, traits: dict[str, int]) -> None:
        relay = Relay([Built()], config=Config(limited(**traits)))
        room = await in_memory(relay, "room")
        first, second = Client(relay, room), Client(relay, room)
        for client in (first, second):
            client.write("x" * 2000)
        assert first.socket.closed == []
        ((code, reason),) = second.socket.closed
        assert (code, "bytes of updates in quarantine" in reason) == (CloseCode.NOT_ALLOWED, True)
        relay.leave(room, first.member)
        assert (first.member.held, relay.allowances.held.in_total) == ([], 0)
        third = Client(relay, room)
        third.write("x" * 2000)
        assert third.socket.closed == []
        await relay.close()

    async def test_what_was_heard_is_held_no_more(self) -> None:
        async with relay_with(Built()) as relay:
            away = Client(relay, await in_memory(relay, "room"), "away")
            append("typed elsewhere")(away.doc)
            away.send(protocol.step1(away.doc.get_state()))
            away.send(protocol.step2(away.doc.get_update()))
            assert relay.allowances.held.in_total > 0
            await eventually(lambda: away.socket.closed)
            relay.leave(away.room, away.member)
            await eventually(lambda: relay.allowances.held.in_total == 0)


class TestAwareness:
    @pytest.mark.parametrize("traits", [{"max_awareness": 3500}, {"max_awareness_in_total": 3500}])
    async def test_so_much_is_shown_in_all_rooms(self, traits: dict[str, int]) -> None:
        relay = Relay([FreeRooms()], config=Config(limited(max_awareness_rate=1 << 20, **traits)))
        clients = [Client(relay, await in_memory(relay, name)) for name in ("a", "b")]
        big = [AwarenessEntry(1, 1, json.dumps({"t": "x" * 2000}))]
        for client in clients:
            client.send(protocol.awareness(big))
        assert clients[0].socket.closed == []
        assert clients[1].socket.closed[0][0] == CloseCode.NOT_ALLOWED
        clients[0].send(protocol.awareness([AwarenessEntry(1, 2, "{}")]))
        again = Client(relay, clients[1].room)
        again.send(protocol.awareness([AwarenessEntry(2, 1, json.dumps({"t": "x" * 2000}))]))
        assert again.socket.closed == []
        relay.leave(again.room, again.member)
        relay.leave(clients[0].room, clients[0].member)
        assert relay.allowances.awareness.in_total == 0
        await relay.close()

    async def test_many_small_states_count_for_what_is_kept_with_them(self) -> None:
        async with relay_with(config=limited(max_awareness=10_000)) as relay:
            client = Client(relay, await in_memory(relay, "room"))
            client.send(protocol.awareness([AwarenessEntry(number, 1, "{}") for number in range(1, 11)]))
            assert client.socket.closed == []
            client.send(protocol.awareness([AwarenessEntry(number, 1, "{}") for number in range(11, 21)]))
            ((code, reason),) = client.socket.closed
            assert (code, "bytes of awareness" in reason) == (CloseCode.NOT_ALLOWED, True)

    @pytest.mark.parametrize(
        ("traits", "shown", "reason"),
        [
            ({"max_states": 2}, [10, 10, 10], "too many awareness states"),
            ({"max_state_size": 2000}, [2001], "awareness state too big"),
            ({"max_room_states": 3}, [10, 10], "no place for so much"),
            ({"max_room_awareness": 4000}, [1500], "no place for so much"),
        ],
    )
    async def test_a_connection_and_a_room_hold_so_much(
        self, traits: dict[str, int], shown: list[int], reason: str
    ) -> None:
        async with relay_with(config=limited(**traits)) as relay:
            room = await in_memory(relay, "room")
            here, greedy = [Client(relay, room) for _ in range(2)], Client(relay, room)
            for number, client in enumerate(here):
                client.send(protocol.awareness([AwarenessEntry(number, 1, json.dumps({"t": "x" * 1200}))]))
            greedy.send(
                protocol.awareness(
                    [AwarenessEntry(at, 1, json.dumps({"t": "x" * size})) for at, size in enumerate(shown, 9)]
                )
            )
            ((code, why),) = greedy.socket.closed
            assert (code, reason in why) == (CloseCode.NOT_ALLOWED, True)
            assert [client.socket.closed for client in here] == [[], []]
            assert len(room.awareness) == 2
