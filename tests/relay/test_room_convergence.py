"""Random clients with random edits, deliveries, losses and returns: in the end all hold the same document."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pycrdt import Array, Doc, Map, Text

from jupyter_rtc.relay.effects import Broadcast, Effect, Persist, Refuse, Send
from jupyter_rtc.relay.member import Member
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.awareness import Identity
from jupyter_rtc.wire.protocol import Kind

from .by_hand import clocks, observed, room_with, whole

CLIENTS = 4
READER = 3


def content(doc: Doc[Any]) -> tuple[str, Any, Any]:
    """Return everything the clients share."""
    return (
        str(doc.get("source", type=Text)),
        doc.get("list", type=Array).to_py(),
        doc.get("state", type=Map).to_py(),
    )


class Client:
    """A client whose frames travel: they are delivered in order, later, or lost with the connection."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.doc: Doc[Any] = Doc(client_id=100 + number)
        self.member: Member | None = None
        self.to_room: deque[bytes] = deque()
        self.to_client: deque[bytes] = deque()

    def hear(self, frame: bytes) -> None:
        """Take in a frame, as y-protocols does."""
        kind, payload = protocol.decode(frame)
        if kind is Kind.STEP1:
            self.to_room.append(protocol.step2(self.doc.get_update(payload)))
        elif kind in (Kind.STEP2, Kind.UPDATE):
            self.doc.apply_update(payload)


class RoomAndClients(RuleBasedStateMachine):
    """A room, its clients, and what is on its way between them."""

    @initialize()
    def open(self) -> None:
        self.room = room_with("hello")
        self.times_restored = 0
        self._restore(self.room.doc)
        self.replica: Doc[Any] = Doc(client_id=99)
        self.replica.apply_update(self.room.doc.get_update())
        self.stored_seq = 1
        self.clients = [Client(number) for number in range(CLIENTS)]
        for client in self.clients:  # all have had the document before; a front end shows none that it has not
            client.doc.apply_update(self.room.doc.get_update())

    @rule(number=st.integers(0, CLIENTS - 1))
    def connect(self, number: int) -> None:
        client = self.clients[number]
        if client.member is None:
            client.member = Member(Identity(f"user {number}", {}), writable=number != READER)
            if number == READER:  # who loads the page again each time
                client.doc = Doc(client_id=client.doc.client_id + CLIENTS)
            self._carry_out(self.room.join(client.member))
            client.to_room.append(protocol.step1(client.doc.get_state()))

    @rule(number=st.integers(0, CLIENTS - 1))
    def lose(self, number: int) -> None:
        client = self.clients[number]
        if client.member is not None:
            self._carry_out(self.room.leave(client.member))
            client.member = None
            client.to_room.clear()
            client.to_client.clear()

    @rule(number=st.integers(0, CLIENTS - 2), at=st.floats(0, 1), text=st.text("abc", min_size=1, max_size=4))
    def type_text(self, number: int, at: float, text: str) -> None:
        def edit(doc: Doc[Any]) -> None:
            source = doc.get("source", type=Text)
            source.insert(int(at * len(source)), text)

        self._edit(number, edit)

    @rule(number=st.integers(0, CLIENTS - 2), at=st.floats(0, 1), count=st.integers(1, 5))
    def delete_text(self, number: int, at: float, count: int) -> None:
        def edit(doc: Doc[Any]) -> None:
            source = doc.get("source", type=Text)
            start = int(at * len(source))
            if start < len(source):
                del source[start : min(start + count, len(source))]

        self._edit(number, edit)

    @rule(number=st.integers(0, CLIENTS - 2), value=st.integers(0, 9), key=st.sampled_from("xyz"))
    def change_list_and_map(self, number: int, value: int, key: str) -> None:
        def edit(doc: Doc[Any]) -> None:
            items = doc.get("list", type=Array)
            if value < 3 and len(items):
                del items[value % len(items)]
            else:
                items.insert(0, value)
            doc.get("state", type=Map)[key] = value

        self._edit(number, edit)

    @rule(text=st.text("ABC", min_size=1, max_size=3))
    def server_edits(self, text: str) -> None:
        self._carry_out(self.room.edit(lambda doc: doc.get("source", type=Text).insert(0, text)))

    @rule(number=st.integers(0, CLIENTS - 1), count=st.integers(1, 4))
    def room_hears(self, number: int, count: int) -> None:
        for _ in range(count):
            self._room_hears(self.clients[number])

    @rule(number=st.integers(0, CLIENTS - 1), count=st.integers(1, 4))
    def client_hears(self, number: int, count: int) -> None:
        client = self.clients[number]
        for _ in range(min(count, len(client.to_client))):
            client.hear(client.to_client.popleft())

    @rule()
    def forget_the_encoded_state(self) -> None:
        self.room.forget_full_state()

    @rule()
    def restore_from_the_store(self) -> None:
        # Each of the server's documents has a client id of its own.
        self._restore(self.replica)

    @invariant()
    @precondition(lambda self: hasattr(self, "room"))
    def what_is_stored_is_the_document(self) -> None:
        assert content(self.replica) == content(self.room.doc)
        assert self.stored_seq == self.room.seq

    def teardown(self) -> None:
        """Deliver everything: all hold the same document, and again when all have connected once more."""
        if not hasattr(self, "room"):
            return
        for reconnect in (False, True):
            for number in range(CLIENTS):
                if reconnect:
                    self.lose(number)
                self.connect(number)
            self._deliver_everything()
            contents = [content(client.doc) for client in self.clients]
            assert contents == [content(self.room.doc)] * CLIENTS
            assert [clocks(client.doc) for client in self.clients] == [clocks(self.room.doc)] * CLIENTS

    def _deliver_everything(self) -> None:
        while any(client.to_room or client.to_client for client in self.clients):
            for client in self.clients:
                self._room_hears(client)
                if client.to_client:
                    client.hear(client.to_client.popleft())

    def _restore(self, source: Doc[Any]) -> None:
        self.times_restored += 1
        again: Doc[Any] = Doc(client_id=1000 + self.times_restored)
        again.apply_update(source.get_update())
        self.room.replace(again)

    def _edit(self, number: int, change: Any) -> None:
        client = self.clients[number]
        for update in observed(client.doc, change):
            if client.member is not None and update != protocol.NO_CHANGE:
                client.to_room.append(protocol.update(update))

    def _room_hears(self, client: Client) -> None:
        if client.member is not None and client.to_room:
            self._carry_out(self.room.receive(client.member, client.to_room.popleft(), 0))

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert not isinstance(effect, Refuse), "the reader made no edit"
            if isinstance(effect, Persist):
                self.stored_seq += 1
                assert effect.seq == self.stored_seq
                self.replica.apply_update(effect.update)
            for client in self.clients:
                if isinstance(effect, Send) and effect.member is client.member:
                    client.to_client.append(whole(effect.frame))
                elif isinstance(effect, Broadcast) and client.member not in (None, effect.sender):
                    client.to_client.append(effect.frame)


TestRoomAndClients = RoomAndClients.TestCase
TestRoomAndClients.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
