"""Items where no client puts them: characters in a list or under a key, and items between two places.

Reading a list with such a character does not end. So nothing here reads one that was let in by mistake: what the room
holds is compared as bytes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fuzz.trial import LISTS, SEEDS, sessions
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from jupyter_rtc.relay import Member, Room, StoredRoom
from jupyter_rtc.relay.effects import Broadcast, Persist
from jupyter_rtc.wire import protocol
from jupyter_rtc.wire.awareness import Identity
from jupyter_rtc.wire.merging import merged
from jupyter_rtc.wire.places import Ids, Places
from jupyter_rtc.wire.protocol import ProtocolError, write_uint

from .by_hand import GENESIS, Peer, observed

HAN = "漢".encode()


def notebook(cells: int) -> Room:
    """Return the room of a notebook with so many cells, each a map with a text."""
    doc: Doc[Any] = Doc(client_id=GENESIS)
    with doc.transaction():
        shared = doc.get("cells", type=Array)
        doc.get("state", type=Map)["dirty"] = False
        for number in range(cells):
            shared.append(Map({"id": str(number), "source": Text("x = 1"), "outputs": Array(["out"])}))
    room = Room("room", "lineage", lists=LISTS)
    room.doc.apply_update(doc.get_update())
    room.begin(1, GENESIS, doc.get_update())
    return room


def item(info: int, *place: bytes, content: bytes, clock: int = 0, client: int = 5) -> bytes:
    """Return an update of one item."""
    return b"".join([b"\x01\x01", *map(write_uint, (client, clock)), bytes([info]), *place, content, b"\x00"])


def id_of(client: int, clock: int) -> bytes:
    """Return how an id is written."""
    return write_uint(client) + write_uint(clock)


def short(data: bytes) -> bytes:
    """Return bytes after their length."""
    return bytes([len(data)]) + data


ROOT = b"\x01" + short(b"cells")
TEXT, EMBED, FORMAT, VALUE = 4, 5, 6, 8
HOLDS = {TEXT: short(HAN), EMBED: short(b"{}"), FORMAT: short(b"bold") + short(b"true")}
CLOCKS = {"dirty": 0, "cell": 1, "id": 2, "source": 3, "first character": 4, "outputs": 9, "output": 10}
"""Where in a notebook of one cell everything is."""


def writer(room: Room) -> Member:
    """Return a member that may write."""
    member = Member(Identity("mallory", {"username": "mallory"}), True)
    room.join(member)
    room.receive(member, protocol.step1(protocol.EMPTY_STATE), 0.0)
    room.receive(member, protocol.step1(room.doc.get_state()), 0.0)
    return member


def refused(room: Room, update: bytes) -> bool:
    """Say whether a room refuses an update, and nothing is changed then."""
    before = room.whole_state(), room.seq
    try:
        room.receive(writer(room), protocol.update(update), 0.0)
    except ProtocolError as error:
        said = error.reason
    else:
        return False
    assert said == "an item where no client puts it"
    assert (room.whole_state(), room.seq) == before
    return True


@pytest.mark.parametrize("kind", HOLDS)
class TestRefused:
    def test_in_a_list_without_anything(self, kind: int) -> None:
        assert refused(notebook(0), item(kind, ROOT, content=HOLDS[kind]))

    def test_in_a_nested_list_and_in_a_map(self, kind: int) -> None:
        for inside in ("outputs", "cell"):
            parent = b"\x00" + id_of(GENESIS, CLOCKS[inside])
            assert refused(notebook(1), item(kind, parent, content=HOLDS[kind]))

    @pytest.mark.parametrize("side", [0x80, 0x40])
    def test_beside_what_is_in_a_list_or_under_a_key(self, kind: int, side: int) -> None:
        for beside in ("cell", "output", "id", "source", "dirty"):
            assert refused(notebook(1), item(kind | side, id_of(GENESIS, CLOCKS[beside]), content=HOLDS[kind]))

    def test_under_a_key(self, kind: int) -> None:
        assert refused(notebook(1), item(kind | 0x20, b"\x01" + short(b"state") + short(b"a"), content=HOLDS[kind]))

    def test_beside_what_was_deleted(self, kind: int) -> None:
        room = notebook(2)
        room.edit(lambda doc: doc.get("cells", type=Array).pop(0))
        for beside in (CLOCKS["cell"], CLOCKS["cell"] + 10):
            assert refused(room, item(kind | 0x80, id_of(GENESIS, beside), content=HOLDS[kind]))

    def test_beside_what_the_server_put_there(self, kind: int) -> None:
        room = notebook(0)
        room.edit(lambda doc: doc.get("cells", type=Array).append("new"))
        assert refused(room, item(kind | 0x80, id_of(room.doc.client_id, 0), content=HOLDS[kind]))

    def test_in_the_update_that_makes_the_list(self, kind: int) -> None:
        """Whichever of the two comes first in it."""
        made = item(0x27, b"\x01" + short(b"meta") + short(b"k"), content=b"\x00", client=9)
        for client in (5, 12):
            inside = item(kind, b"\x00" + id_of(9, 0), content=HOLDS[kind], client=client)
            assert refused(notebook(0), merged([made, inside]))

    def test_when_it_goes_on_at_what_its_author_typed(self, kind: int) -> None:
        """Who types is not looked at again, as long as they go on."""
        room = notebook(1)
        member = writer(room)
        first = item(TEXT | 0x80, id_of(GENESIS, CLOCKS["first character"]), content=b"\x01a")
        room.receive(member, protocol.update(first), 0.0)
        room.receive(member, protocol.update(item(TEXT | 0x80, id_of(5, 0), content=b"\x01b", clock=1)), 0.0)
        room.receive(member, protocol.update(item(VALUE, ROOT, content=b"\x01\x7e", clock=2)), 0.0)
        for beside in (id_of(5, 2), id_of(GENESIS, CLOCKS["cell"])):
            assert refused(room, item(kind | 0x80, beside, content=HOLDS[kind], clock=3))


def test_an_item_between_two_places_is_refused() -> None:
    """After a character, before what is under a key: a restart would take away the character, as if that was there."""
    beside = id_of(GENESIS, CLOCKS["first character"]) + id_of(GENESIS, CLOCKS["id"])
    assert refused(notebook(1), item(TEXT | 0xC0, beside, content=b"\x01a"))


class TestWaiting:
    """What waits cannot be judged before that is here on which it depends; who brings that is not blamed."""

    LATE = item(TEXT | 0x80, id_of(7, 0), content=short(HAN))
    BETWEEN = item(TEXT | 0xC0, id_of(GENESIS, CLOCKS["first character"]), id_of(7, 0), content=b"\x01a")
    MISSING = item(VALUE, ROOT, content=b"\x01\x7e", client=7)

    @pytest.mark.parametrize("late", [LATE, BETWEEN], ids=["in a list", "between two places"])
    def test_nothing_is_there_in_its_place(self, late: bytes) -> None:
        room = notebook(1)
        log = [room.whole_state()]
        for update in (late, self.MISSING):
            effects = room.receive(writer(room), protocol.update(update), 0.0)
            log += [effect.update for effect in effects if isinstance(effect, Persist)]
        assert Places(LISTS, room.doc.get_update()).misplaced == {}
        assert len(room.doc.get("cells", type=Array).to_py()) == 2
        stored = StoredRoom("lineage", GENESIS, log[0], 1, tuple(enumerate(log[1:], 2)), None, None)
        assert merged([stored.document().get_update()]) == merged([room.doc.get_update()])

    def test_what_says_itself_where_it_is_need_not_wait(self) -> None:
        waits = item(TEXT, ROOT, content=short(HAN), clock=3)
        assert refused(notebook(1), waits)


class TestTaken:
    """What clients do write."""

    def test_what_y_websocket_sends(self) -> None:
        for session in sessions(SEEDS.read_text(encoding="utf-8")):
            room = Room("room", "lineage", lists=LISTS)
            member = writer(room)
            for frame in session:
                room.receive(member, frame, 0.0)
            assert room.seq > 0

    def test_texts_in_all_places_and_values_of_all_kinds(self) -> None:
        room = notebook(1)
        peer = Peer(room)
        peer.join()

        def fill(doc: Doc[Any]) -> None:
            cells, state = doc.get("cells", type=Array), doc.get("state", type=Map)
            cells[0]["source"].insert(2, "漢字😂")
            cells[0]["source"].insert_embed(1, {"an": "image"}, {"bold": True})
            cells[0]["source"].format(0, 3, {"italic": True})
            cells.extend(["漢字", b"\xff", Array(["字", Text("漢")]), Map({"漢": "字"})])
            state["漢"] = "字"
            state["text"] = Text("漢字")
            state["doc"] = Doc()
            fragment = doc.get("page", type=XmlFragment)
            paragraph = fragment.children.append(XmlElement("p", {"title": "漢"}))
            paragraph.children.append(XmlText("漢字"))
            doc.get("source", type=Text).insert(0, "漢字")

        with_it = peer.edit(fill)
        assert any(isinstance(effect, Persist) for effect in with_it)
        peer.edit(lambda doc: doc.get("cells", type=Array)[0]["source"].insert(0, "字"))
        assert room.doc.get("cells", type=Array).to_py() == peer.doc.get("cells", type=Array).to_py()

    def test_a_text_in_what_was_deleted_meanwhile(self) -> None:
        room = notebook(1)
        slow = Peer(room)
        slow.join()
        typed = observed(slow.doc, lambda doc: doc.get("cells", type=Array)[0]["source"].insert(2, "漢"))
        room.edit(lambda doc: doc.get("cells", type=Array).pop(0))
        again = Room("room", "lineage", lists=LISTS)
        again.doc.apply_update(room.doc.get_update())
        again.begin(1, GENESIS)
        for update in typed:
            assert not refused(again, update)
            assert not refused(room, update)


class TestStored:
    """What was stored by a server that let it in is deleted before anybody reads the document."""

    def test_a_document_of_it(self) -> None:
        doc = notebook(1).doc
        doc.apply_update(item(TEXT | 0x80, id_of(GENESIS, CLOCKS["cell"]), content=short(HAN)))
        assert Places(LISTS, doc.get_update()).misplaced == {5: [(0, 1)]}

    def test_a_state_in_which_the_clients_come_in_any_order(self) -> None:
        docs = [Doc(client_id=client) for client in (3, 1, 2)]
        for number in range(30):
            doc = docs[number % 3]
            for other in docs:
                doc.apply_update(other.get_update(doc.get_state()))
            cells = doc.get("cells", type=Array)
            cells.insert(number // 2, Map({"source": Text("ab")}))
            cells[number // 3]["source"].insert(1, "漢")
        assert Places(LISTS, docs[2].get_update()).misplaced == {}


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=30))
def test_ids_are_a_set(runs: list[tuple[int, int]]) -> None:
    ids, known = Ids(), set()
    for start, length in runs:
        ids.add(1, start, start + length)
        known |= set(range(start, start + length))
    assert {clock for clock in range(60) if (1, clock) in ids} == known


def test_a_room_that_is_edited_while_it_is_surveyed_knows_the_edit() -> None:
    """A file changed while its room was opened: its cell is in the document, and not in the bytes that were read."""
    room = Room("room", "lineage", lists=("cells",))
    author: Doc[Any] = Doc(client_id=9)
    author.get("cells", type=Array).append(Map({"id": "a"}))
    room.doc.apply_update(author.get_update())
    room.begin(1, 9)
    survey = room.survey()
    room.edit(lambda doc: doc.get("cells", type=Array).append(Map({"id": "b"})))
    survey.found()
    room.surveyed(survey)
    page: Doc[Any] = Doc(client_id=10)
    page.apply_update(room.doc.get_update())
    before = page.get_state()
    page.get("cells", type=Array).append(Map({"id": "c"}))
    ada = Member(Identity("ada", {}), True)
    room.join(ada)
    room.receive(ada, protocol.step1(before), 0.0)
    room.receive(ada, protocol.update(page.get_update(before)), 0.0)
    assert [cell["id"] for cell in room.doc.get("cells", type=Array).to_py()] == ["a", "b", "c"]


def test_a_survey_goes_on_in_a_thread_while_its_document_is_edited() -> None:
    room = Room("room", "lineage", lists=("cells",))
    with ThreadPoolExecutor(1) as thread:
        for number in range(200):
            found = thread.submit((survey := room.survey()).found)
            effects = room.edit(lambda doc, number=number: doc.get("meta", type=Map).update({str(number): number}))
            assert [type(effect) for effect in effects] == [Persist, Broadcast]
            found.result()
            room.surveyed(survey)
