"""Who is here: whose state is whose, who is believed, and what peers make of what they are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Awareness as PeerAwareness
from pycrdt import Doc, read_message

from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.awareness import Awareness, Identity, stirring
from jupyter_rtc.wire.protocol import AwarenessEntry, CloseCode, ProtocolError

ADA = Identity("ada", {"username": "ada", "name": "Ada", "color": "red"})
BOB = Identity("bob", {"username": "bob", "name": "Bob", "color": "blue"})


def payload(*entries: tuple[int, int, object]) -> bytes:
    """Return an awareness update of (client, clock, state) triples; a state that is no text is made JSON."""
    texts = [
        AwarenessEntry(client, clock, state if state is None or isinstance(state, str) else json.dumps(state))
        for client, clock, state in entries
    ]
    return read_message(protocol.awareness(texts)[1:])


class Peer:
    """A client with pycrdt's awareness; `hears` gives it what the server tells everybody."""

    def __init__(self, client: int) -> None:
        self.awareness = PeerAwareness(Doc(client_id=client))
        self.client = client

    def says(self, **state: Any) -> bytes:
        """Change the peer's state; return the update it sends."""
        self.awareness.set_local_state(state)
        return self.repeats()

    def repeats(self) -> bytes:
        """Return the update the peer sends when it connects again: its state, under the clock it has."""
        return self.awareness.encode_awareness_update([self.client])

    def echoes(self) -> bytes:
        """Return an update of everybody the peer knows, which is what clients answer to a query."""
        return self.awareness.encode_awareness_update(list(self.awareness.states))

    def hears(self, here: Awareness, clients: list[int] | None = None) -> None:
        """Take in what the server sends about `clients`."""
        self.awareness.apply_awareness_update(payload(*here.entries(clients)), "server")

    def sees(self, client: int) -> dict[str, Any] | None:
        """Return the state of a client as this peer sees it; None where it is not here."""
        return self.awareness.states.get(client)


@pytest.fixture
def here() -> Awareness:
    return Awareness()


class TestIdentity:
    def test_the_server_says_who_somebody_is(self, here: Awareness) -> None:
        here.apply(payload((1, 1, {"user": {"name": "God", "username": "root"}, "cursor": 3})), "a", ADA, 0)
        assert here.states() == [{"user": ADA.user, "cursor": 3}]

    def test_somebody_who_does_not_say_is_named_too(self, here: Awareness) -> None:
        here.apply(payload((1, 1, {"cursor": 3}), (2, 1, {"user": "God"})), "a", ADA, 0)
        assert [state["user"] for state in here.states()] == [ADA.user, ADA.user]

    def test_what_users_may_change_themselves_is_believed(self, here: Awareness) -> None:
        own = Identity("ada", ADA.user, frozenset({"color", "avatar_url"}))
        here.apply(payload((1, 1, {"user": {"name": "God", "color": "green"}})), "a", own, 0)
        assert here.states()[0]["user"] == {"username": "ada", "name": "Ada", "color": "green"}

    def test_what_the_server_does_not_know_stays(self, here: Awareness) -> None:
        here.apply(payload((1, 1, {"user": {"mood": "good"}})), "a", ADA, 0)
        assert here.states()[0]["user"]["mood"] == "good"

    def test_peers_are_sent_the_signed_state(self, here: Awareness) -> None:
        ada, bob = Peer(1), Peer(2)
        bob.hears(here, here.apply(ada.says(user={"name": "God"}, text="é🦀"), "a", ADA, 0))
        assert bob.sees(1) == {"user": ADA.user, "text": "é🦀"}


class TestLongFields:
    """A picture as a ``data:`` URL is a field of the identity like any other, and front ends repeat all of them."""

    PICTURE = "data:image/png;base64," + "A" * 300_000
    EVE = Identity("eve", {"username": "eve", "name": "Eve", "avatar_url": PICTURE})

    def test_who_has_one_is_seen_without_it(self, here: Awareness) -> None:
        state = {"user": self.EVE.user, "cursor": 3}
        assert here.apply(payload((1, 1, state)), "e", self.EVE, 0) == [1]
        assert here.states() == [{"user": {"username": "eve", "name": "Eve"}, "cursor": 3}]
        assert self.EVE.long == {"avatar_url"}

    def test_it_takes_nothing_from_what_a_state_may_hold(self) -> None:
        here = Awareness(max_size=100)
        assert here.apply(payload((1, 1, {"user": self.EVE.user, "t": "x" * 70})), "e", self.EVE, 0) == [1]
        for more in ({"t": "x" * 101}, {"user": {"mood": "x" * 101}}, {"user": {"avatar_url": self.PICTURE + "B"}}):
            with pytest.raises(ProtocolError, match="too big"):
                here.apply(payload((1, 2, more)), "e", self.EVE, 0)

    @pytest.mark.parametrize("own", [frozenset(), frozenset({"avatar_url"})])
    @pytest.mark.parametrize("value", ["x" * 5000, ["x" * 5000], {"x": ["y"] * 5000}])
    def test_what_a_client_claims_is_held_to_the_same(
        self, here: Awareness, own: frozenset[str], value: object
    ) -> None:
        who = Identity("eve", {"username": "eve"}, own)
        here.apply(payload((1, 1, {"user": {"avatar_url": value, "mood": "x" * 4096}})), "e", who, 0)
        assert here.states() == [{"user": {"username": "eve", "mood": "x" * 4096}}]

    def test_a_usual_identity_is_shown_whole(self) -> None:
        link = {"avatar_url": "https://example.org/" + "x" * 2000}
        assert Identity("ada", {**ADA.user, **link}).long == frozenset()


class TestOwnership:
    def test_nobody_changes_the_state_of_another_user(self, here: Awareness) -> None:
        here.apply(payload((1, 1, {"cursor": 1})), "a", ADA, 0)
        assert here.apply(payload((1, 9, {"cursor": 666})), "b", BOB, 0) == []
        assert here.states()[0]["cursor"] == 1

    def test_nobody_removes_another_user(self, here: Awareness) -> None:
        here.apply(payload((1, 1, {})), "a", ADA, 0)
        assert here.apply(payload((1, 9, None)), "b", BOB, 0) == []
        assert len(here) == 1

    def test_a_member_takes_its_state_back(self, here: Awareness) -> None:
        ada, bob = Peer(1), Peer(2)
        bob.hears(here, here.apply(ada.says(cursor=1), "a", ADA, 0))
        ada.awareness.set_local_state(None)
        bob.hears(here, here.apply(ada.repeats(), "a", ADA, 0))
        assert (len(here), bob.sees(1)) == (0, None)

    def test_a_state_is_taken_back_with_the_clock_of_the_last_one(self, here: Awareness) -> None:
        here.apply(payload((1, 5, {})), "a", ADA, 0)
        assert here.apply(payload((1, 4, None)), "a", ADA, 0) == []
        assert here.apply(payload((1, 5, None)), "a", ADA, 0) == [1]

    def test_taking_back_twice_in_one_frame_is_once(self, here: Awareness) -> None:
        here.apply(payload((1, 5, {})), "a", ADA, 0)
        assert here.apply(payload((1, 6, None), (1, 6, None)), "a", ADA, 0) == [1]
        assert len(here) == 0

    def test_a_reconnection_overtakes_the_end_of_the_old_connection(self, here: Awareness) -> None:
        ada, bob = Peer(1), Peer(2)
        bob.hears(here, here.apply(ada.says(cursor=1), "old", ADA, 0))
        bob.hears(here, here.apply(ada.repeats(), "new", ADA, 1))
        bob.hears(here, here.remove("old"))
        assert bob.sees(1) == {"cursor": 1, "user": ADA.user}
        assert here.remove("new") == [1]

    def test_windows_of_one_user_do_not_take_each_others_states(self, here: Awareness) -> None:
        # Windows of one browser tell each other first, and pass on what they hear.
        here.apply(payload((1, 1, {"cursor": 1})), "left", ADA, 0)
        here.apply(payload((2, 1, {})), "right", ADA, 0)
        assert here.apply(payload((1, 2, {"cursor": 2})), "right", ADA, 0) == [1]
        here.remove("right")
        assert [state["cursor"] for state in here.states()] == [2]


class TestEcho:
    def test_an_old_state_is_passed_over(self, here: Awareness) -> None:
        here.apply(payload((1, 1, {"cursor": 1})), "a", ADA, 0)
        here.apply(payload((1, 2, {"cursor": 2})), "a", ADA, 0)
        assert here.apply(payload((1, 1, {"cursor": 1})), "a", ADA, 0) == []
        assert here.apply(payload((1, 2, {"cursor": 1})), "a", ADA, 0) == []
        assert here.states()[0]["cursor"] == 2

    def test_a_client_repeats_what_it_hears(self, here: Awareness) -> None:
        ada, bob = Peer(1), Peer(2)
        here.apply(ada.says(cursor=1), "a", ADA, 0)
        here.apply(bob.says(cursor=2), "b", BOB, 0)
        bob.hears(here)
        assert here.apply(bob.echoes(), "b", BOB, 0) == []

    def test_a_late_echo_brings_nobody_back(self, here: Awareness) -> None:
        ada, silent = Peer(1), Peer(2)
        silent.hears(here, here.apply(ada.says(cursor=1), "a", ADA, 0))
        echo = silent.awareness.encode_awareness_update([1])
        here.remove("a")
        assert here.apply(echo, "silent", BOB, 0) == []
        assert len(here) == 0

    def test_a_newcomer_may_repeat_everybody_in_a_full_room(self) -> None:
        here = Awareness(max_states=4)
        for client in range(20):
            here.apply(payload((client, 1, {})), client, Identity(f"user {client}", {}), 0)
        newcomer = Peer(100)
        newcomer.hears(here)
        assert here.apply(newcomer.says(cursor=1), "newcomer", BOB, 0) == [100]
        assert here.apply(newcomer.echoes(), "newcomer", BOB, 0) == []

    @pytest.mark.parametrize("text", ["é" * 100, "x" * 80, '\\"' * 40])
    def test_a_big_state_may_be_repeated_by_everybody(self, text: str) -> None:
        # As peers write it, it is larger than it came: it was signed, and letters were escaped.
        here = Awareness(max_size=120)
        here.apply(payload((1, 1, f'{{"t":"{text}"}}')), "a", ADA, 0)
        entries = here.entries()
        assert len(entries[0].state or "") > 120
        assert here.apply(payload(*entries), "b", BOB, 0) == []


class TestReturn:
    def test_who_comes_back_is_shown_to_all_again(self, here: Awareness) -> None:
        ada, bob = Peer(1), Peer(2)
        bob.hears(here, here.apply(ada.says(cursor=1), "a", ADA, 0))
        bob.hears(here, here.remove("a"))
        assert bob.sees(1) is None
        bob.hears(here, here.apply(ada.repeats(), "again", ADA, 5))
        assert bob.sees(1) == {"cursor": 1, "user": ADA.user}

    def test_who_comes_back_is_heard_afterwards(self, here: Awareness) -> None:
        ada, bob = Peer(1), Peer(2)
        for connection in range(5):
            changed = here.apply(ada.repeats() if connection else ada.says(cursor=0), connection, ADA, 0)
            bob.hears(here, changed)
            ada.hears(here, changed)  # it learns its new clock as everybody does
            bob.hears(here, here.apply(ada.says(cursor=connection), connection, ADA, 0))
            assert (bob.sees(1) or {})["cursor"] == connection
            bob.hears(here, here.remove(connection))
            assert bob.sees(1) is None

    def test_who_comes_back_after_a_silence_is_shown_again(self, here: Awareness) -> None:
        ada, bob = Peer(1), Peer(2)
        bob.hears(here, here.apply(ada.says(cursor=1), "a", ADA, 0))
        bob.hears(here, here.expire(1))
        bob.hears(here, here.apply(ada.repeats(), "a", ADA, 2))
        assert bob.sees(1) is not None


class TestStirring:
    def test_clients_look_at_all_states_anew_and_see_the_same(self, here: Awareness) -> None:
        ada, bob = Peer(1), Peer(2)
        here.apply(ada.says(cursor=1), "a", ADA, 0)
        bob.hears(here)
        looked: list[set[int]] = []
        bob.awareness.observe(lambda topic, event: looked.append(set(bob.awareness.states)) if topic == "change" else 0)
        for number in range(3):
            bob.awareness.apply_awareness_update(payload(*stirring(2 * number + 1)), "server")
        assert looked == [{1, 2}] * 3

    def test_what_clients_echo_of_it_changes_nothing(self, here: Awareness) -> None:
        here.apply(payload((1, 1, {})), "a", ADA, 0)
        assert here.apply(payload((0, 2, None)), "a", ADA, 0) == []
        assert len(here) == 1


class TestClocks:
    def test_those_that_no_client_counts_to_are_refused(self, here: Awareness) -> None:
        with pytest.raises(ProtocolError, match="clock"):
            here.apply(payload((1, 2**31 + 1, {})), "a", ADA, 0)
        assert len(here) == 0

    def test_a_client_that_has_counted_for_years_is_seen(self, here: Awareness) -> None:
        assert here.apply(payload((1, 2**31, {})), "a", ADA, 0) == [1]
        assert here.apply(payload((1, 2**31 + 2**24, {})), "a", ADA, 0) == [1]

    def test_nobody_counts_on_so_far_that_there_are_no_numbers_left(self, here: Awareness) -> None:
        # A number beyond 2^53 - 1 makes a browser drop the whole frame, and with it everybody else's state.
        here.apply(payload((1, 5, {})), "a", ADA, 0)
        with pytest.raises(ProtocolError, match="clock"):
            here.apply(payload((1, 6 + 2**24, {})), "a", ADA, 0)
        here.remove("a")
        with pytest.raises(ProtocolError, match="clock"):
            here.apply(payload((1, 6 + 2**24, {})), "again", ADA, 0)


class TestNamesakes:
    """Somebody who shows another user's client as one's own, under a clock that the other never reaches."""

    def test_while_it_is_here_it_stays_its_users(self, here: Awareness) -> None:
        ada = Peer(1)
        here.apply(ada.says(cursor=1), "a", ADA, 0)
        assert here.apply(payload((1, 2**31, {"cursor": 666})), "b", BOB, 0) == []
        assert here.apply(ada.says(cursor=2), "a", ADA, 1) == [1]

    def test_its_user_finds_it_free_after_a_moment_without_a_connection(self, here: Awareness) -> None:
        ada, carol = Peer(1), Peer(2)
        carol.hears(here, here.apply(ada.says(cursor=1), "a", ADA, 0))
        carol.hears(here, here.remove("a"))
        assert here.apply(payload((1, 2**31, {"cursor": 666})), "b", BOB, 59) == []
        carol.hears(here, here.apply(ada.repeats(), "again", ADA, 59))
        assert (carol.sees(1) or {})["user"] == ADA.user

    def test_it_stays_its_users_as_long_as_the_connection_lasts(self, here: Awareness) -> None:
        """A window in the background renews nothing for hours."""
        ada = Peer(1)
        here.apply(ada.says(cursor=1), "a", ADA, 0)
        assert here.expire(1) == [1]
        assert here.apply(payload((1, 9, {})), "b", BOB, 10_000) == []
        assert here.apply(ada.says(cursor=2), "a", ADA, 10_000) == [1]
        here.expire(10_001)
        here.remove("a")
        assert here.apply(payload((1, 9, {})), "b", BOB, 10_059) == []
        assert here.apply(payload((1, 9, {})), "b", BOB, 10_060) == [1]

    def test_it_may_be_anybodys_in_the_end(self, here: Awareness) -> None:
        """A program with no cookie is another user whenever it comes back."""
        here.apply(payload((1, 5, {})), "a", ADA, 0)
        here.remove("a")
        assert here.apply(payload((1, 6, {})), "b", BOB, 60) == [1]

    def test_nobody_makes_the_room_forget_who_left(self, here: Awareness) -> None:
        here.apply(payload((1, 5, {})), "a", ADA, 0)
        here.remove("a")
        for client in range(2, 20_000):
            here.apply(payload((client, 1, {})), "b", BOB, 0)
            here.remove("b")
        assert here.apply(payload((1, 9, {})), "b", BOB, 1) == []


class TestLeaving:
    def test_all_states_of_a_member_go(self, here: Awareness) -> None:
        bob = Peer(3)
        bob.hears(here, here.apply(payload((1, 1, {}), (2, 1, {})), "a", ADA, 0))
        bob.hears(here, here.apply(bob.says(cursor=1), "b", BOB, 0))
        bob.hears(here, here.remove("a"))
        assert set(bob.awareness.states) == {3}
        assert [entry.client for entry in here.entries()] == [3]

    def test_a_member_without_a_state_leaves_no_trace(self, here: Awareness) -> None:
        assert here.remove("nobody") == []

    def test_only_what_was_not_renewed_expires(self, here: Awareness) -> None:
        here.apply(payload((1, 1, {})), "a", ADA, 10)
        here.apply(payload((2, 1, {})), "b", BOB, 10)
        here.apply(payload((2, 2, {})), "b", BOB, 20)
        assert here.expire(10) == []
        assert here.expire(20) == [1]
        assert [entry.client for entry in here.entries()] == [2]

    def test_an_echo_by_others_renews_nobody(self, here: Awareness) -> None:
        here.apply(payload((1, 1, {})), "a", ADA, 10)
        here.apply(payload((1, 1, {})), "b", BOB, 20)
        assert here.expire(20) == [1]

    def test_those_who_left_are_not_remembered_for_ever(self, here: Awareness) -> None:
        for client in range(3000):
            here.apply(payload((client, 5, {})), "a", ADA, 0)
            here.remove("a")
        clocks = [entry.clock for entry in here.entries(range(3000))]
        assert clocks == [0] * 2000 + [5] * 1000
        for client in range(3000, 15_000):
            here.apply(payload((client, 5, {})), client, Identity(f"user{client}", {}), 0)
            here.remove(client)
        assert [entry.clock for entry in here.entries(range(15_000))] == [0] * 5000 + [5] * 10_000


class TestLimits:
    def test_states_of_one_member(self) -> None:
        here = Awareness(max_states=3)
        here.apply(payload((1, 1, {}), (2, 1, {}), (3, 1, {})), "a", ADA, 0)
        with pytest.raises(ProtocolError, match="too many"):
            here.apply(payload((1, 2, {}), (4, 1, {})), "a", ADA, 0)
        assert [(entry.client, entry.clock) for entry in here.entries()] == [(1, 1), (2, 1), (3, 1)]
        assert here.apply(payload((4, 1, {})), "b", BOB, 0) == [4]

    def test_states_of_one_frame(self) -> None:
        with pytest.raises(ProtocolError, match="too many"):
            Awareness().apply(payload(*((client, 1, {}) for client in range(65))), "a", ADA, 0)

    def test_a_frame_of_countless_echoes_is_refused(self, here: Awareness) -> None:
        here.apply(payload((1, 1, {})), "a", ADA, 0)
        with pytest.raises(ProtocolError, match="too many"):
            here.apply(payload(*[(1, 1, "{}")] * 20_000), "b", BOB, 0)

    def test_size_of_a_state(self) -> None:
        here = Awareness(max_size=100)
        assert here.apply(payload((1, 1, {"t": "x" * 90})), "a", ADA, 0) == [1]
        with pytest.raises(ProtocolError, match="too big") as refused:
            here.apply(payload((1, 2, {"t": "x" * 101})), "a", ADA, 0)
        assert refused.value.code is CloseCode.NOT_ALLOWED
        assert len(here.states()[0]["t"]) == 90


class TestFullRoom:
    """Beyond a bound on all states together, an equal share is what each member may hold."""

    @pytest.mark.slow
    def test_a_thousand_people_have_a_place(self, here: Awareness) -> None:
        """Each with a large state, in three windows, who renew it and leave."""
        for client in range(3000):
            who = Identity(f"user{client // 3}", {"username": f"user{client // 3}", "avatar_url": "x" * 1000})
            for clock in (1, 2):
                assert here.apply(payload((client, clock, {"cursors": ["x" * 1000]})), client, who, 0) == [client]
        assert len(here) == 3000
        for client in range(3000):
            here.remove(client)
        assert here.apply(payload(*((client, 9, {}) for client in range(64))), "a", ADA, 60) == list(range(64))

    def test_many_who_fill_it_keep_nobody_out(self) -> None:
        here = Awareness(room_size=100_000)
        for member in range(4):
            here.apply(payload((member, 1, {"t": "x" * 20_000})), member, ADA, 0)
        for member in range(4, 50):
            with pytest.raises(ProtocolError) as refused:
                here.apply(payload((member, 1, {"t": "x" * 20_000})), member, ADA, 0)
            assert (refused.value.code, len(here)) == (CloseCode.NOT_ALLOWED, 4)
        for client in range(100, 300):
            assert here.apply(payload((client, 1, {"t": "x" * 100})), client, BOB, 0) == [client]
        # It is full: now the first four are refused too, as soon as they renew their states.
        with pytest.raises(ProtocolError, match="no place"):
            here.apply(payload((0, 2, {"t": "x" * 20_000})), 0, ADA, 0)
        assert here.apply(payload((0, 2, {"t": "x" * 100})), 0, ADA, 0) == [0]

    def test_many_states(self) -> None:
        here = Awareness(max_states=10, room_states=20)
        for member in range(2):
            here.apply(payload(*((10 * member + at, 1, {}) for at in range(10))), member, ADA, 0)
        assert here.apply(payload((100, 1, {})), "b", BOB, 0) == [100]
        with pytest.raises(ProtocolError, match="no place"):
            here.apply(payload(*((101 + at, 1, {}) for at in range(6))), "b", BOB, 0)
        with pytest.raises(ProtocolError, match="no place"):  # the renewal of one who holds more than its share now
            here.apply(payload((0, 2, {})), 0, ADA, 0)
        assert here.remove(0) == list(range(10))
        assert here.apply(payload((10, 2, {})), 1, ADA, 0) == [10]
        assert len(here) == 11

    def test_what_is_taken_back_makes_place(self) -> None:
        here = Awareness(room_size=1000)
        here.apply(payload((1, 1, {"t": "x" * 400}), (2, 1, {"t": "x" * 300})), "a", ADA, 0)
        with pytest.raises(ProtocolError, match="no place"):
            here.apply(payload((3, 1, {"t": "x" * 300})), "a", ADA, 0)
        assert here.apply(payload((1, 1, None)), "a", ADA, 0) == [1]
        assert here.apply(payload((3, 1, {"t": "x" * 300})), "a", ADA, 0) == [3]
        assert here.expire(1) == [2, 3]
        assert here.apply(payload((4, 1, {"t": "x" * 900})), "a", ADA, 0) == [4]


class TestGarbage:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "3",
            '"text"',
            '{"a":NaN}',
            '{"a":Infinity}',
            '{"a":1e999}',
            '{"a":' + "[" * 100_000,
            '{"a":' + "9" * 5000 + "}",
        ],
        ids=lambda text: text[:16] or "empty",
    )
    def test_what_is_no_json_object_is_refused(self, here: Awareness, text: str) -> None:
        with pytest.raises(ProtocolError):
            here.apply(payload((1, 1, {}), (2, 1, text)), "a", ADA, 0)
        assert len(here) == 0

    @pytest.mark.parametrize("depth", range(100, 2000, 50))
    def test_json_of_any_depth_is_refused_or_sent_on(self, here: Awareness, depth: int) -> None:
        try:
            here.apply(payload((1, 1, '{"a":' + "[" * depth + "]" * depth + "}")), "a", ADA, 0)
        except ProtocolError:
            assert len(here) == 0
        else:
            assert (here.entries()[0].state or "").count("[") == depth

    def test_a_half_character_is_sent_on_as_json(self, here: Awareness) -> None:
        bob = Peer(2)
        bob.hears(here, here.apply(payload((1, 1, '{"a":"\\ud800"}')), "a", ADA, 0))
        assert (bob.sees(1) or {})["a"] == "\ud800"

    @given(st.binary(max_size=40))
    def test_any_update_is_taken_or_a_protocol_error(self, update: bytes) -> None:
        here = Awareness()
        here.apply(payload((1, 1, {"cursor": 1})), "a", ADA, 0)
        try:
            here.apply(update, "b", BOB, 0)
        except ProtocolError:
            assert len(here) == 1
        assert here.states()[0] == {"cursor": 1, "user": ADA.user}

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
    def test_what_peers_are_sent_is_strict_json(self, value: Any) -> None:
        here = Awareness()
        try:
            here.apply(payload((1, 1, {"value": value})), "a", ADA, 0)
        except ProtocolError:
            return
        (entry,) = here.entries()
        assert json.loads(entry.state or "", parse_constant=pytest.fail)["user"] == ADA.user
