"""The versions of a document: which there are, what each held, and what of them is kept when the log is folded."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Doc, Map, Text

from jupyter_rtc.relay.storing.checkpoints import SEAL, Limits, document, fold, sealed, state_without, versions
from jupyter_rtc.relay.storing.store import Past, StoredRoom, Version

HOUR, DAY = 3600.0, 86_400.0
ALL = Limits(200, 1 << 30, 1e9)


def watch(doc: Doc[Any], callback: Callable[[], None]) -> Callable[[], None]:
    """Call back when the text changes."""
    text = doc.get("text", type=Text)
    subscription = text.observe(lambda _: callback())
    return lambda: text.unobserve(subscription)


class Typist:
    """Types into a document, and keeps what a store would: its first state, its log, who made it and when."""

    def __init__(self, text: str = "", now: float = 1000.0) -> None:
        self.now = now
        self.author = "ann"
        self.doc: Doc[Any] = Doc()
        self.text = self.doc.get("text", type=Text)
        self.state = self.doc.get("state", type=Map)
        self.text += text
        self.stored = StoredRoom("1f", 7, self.doc.get_update(), 1, (), None, None)
        self.made: tuple[tuple[str, float], ...] = ()
        self.checkpoints: tuple[Any, ...] = ()
        self.said: dict[int, str] = {1: text}
        self.doc.observe(self._note)

    @property
    def past(self) -> Past:
        return Past(self.stored, self.made, self.checkpoints)

    def _note(self, event: Any) -> None:
        self.stored = replace(self.stored, log=(*self.stored.log, (self.stored.last + 1, event.update)))
        self.made = (*self.made, (self.author, self.now))

    def type(self, text: str, after: float, author: str = "ann", at: int | None = None) -> int:
        """Type `text` some seconds `after` the last thing, and return the number of the update."""
        self.now += after
        self.author = author
        self.text.insert(len(str(self.text)) if at is None else at, text)
        self.said[self.stored.last] = str(self.text)
        return self.stored.last

    def book(self, after: float = 0.0) -> None:
        """Write what is no edit."""
        self.now += after
        self.author = "bookkeeper"
        self.state["hash"] = str(self.now)

    def seal(self) -> None:
        """Let what is there be a version."""
        last = self.stored.last + 1
        self.stored = replace(self.stored, log=(*self.stored.log, (last, SEAL)))
        self.made += (("", self.now),)

    def fold(self, limits: Limits = ALL, until: int | None = None, now: float | None = None) -> None:
        """Fold the log as a store does."""
        until = self.stored.last if until is None else until
        snapshot, kept = fold(self.past, until, watch, limits, self.now if now is None else now)
        folded = sum(seq <= until for seq, _ in self.stored.log)
        self.stored = replace(self.stored, seq=until, snapshot=snapshot, log=self.stored.log[folded:])
        self.made = self.made[folded:]
        self.checkpoints = tuple(kept)

    def versions(self, limits: Limits = ALL, now: float | None = None) -> list[Version]:
        return versions(self.past, watch, limits, self.now if now is None else now)


def text_of(doc: Doc[Any]) -> str:
    return str(doc.get("text", type=Text))


def test_a_document_that_nobody_edited_has_one_version() -> None:
    typist = Typist("as it was")
    typist.book()
    (only,) = typist.versions()
    assert only == Version(1, 1000.0, 1000.0, ())
    assert text_of(document(typist.past, 1)) == "as it was"


def test_a_pause_and_a_minute_end_a_version_and_bookkeeping_is_none() -> None:
    typist = Typist("0")
    typist.type("a", 5)
    first = typist.type("b", 1.5, "bob")
    typist.book(3)
    second = typist.type("c", 4, "")
    typist.book(10)
    found = typist.versions()
    assert found == [
        Version(1, 1005.0, 1005.0, ()),
        Version(first, 1005.0, 1006.5, ("ann", "bob")),
        Version(second, 1013.5, 1013.5, ("",)),
    ]
    assert [text_of(document(typist.past, version.seq)) for version in found] == ["0", "0ab", "0abc"]
    for _ in range(130):  # somebody types without a pause
        typist.type("x", 1)
    assert [version.ended - version.begun for version in typist.versions(now=0.0)[3:]] == [59.0, 59.0, 9.0]


def test_a_seal_ends_a_version_that_stays_while_others_beside_it_go() -> None:
    typist = Typist("0")
    typist.type("a", 5)
    before = typist.type("b", 0.5)
    typist.seal()
    del typist.text[1:3]  # at the same moment
    typist.type("c", 0.5)
    said = [text_of(document(typist.past, version.seq)) for version in typist.versions()]
    assert said == ["0", "0ab", "0c"]
    for hour in range(3):
        typist.type("d", 3600)
        if hour == 1:
            typist.fold()
        found = typist.versions()
        assert (before, True) in [(version.seq, version.sealed) for version in found]
        assert "0ab" in [text_of(document(typist.past, version.seq)) for version in found]


def test_what_was_folded_is_sealed_by_what_comes_next() -> None:
    typist = Typist("0")
    typist.type("a", 5)
    typist.fold()
    typist.seal()
    typist.type("b", 0.1)
    typist.fold()
    assert [(version.sealed, text_of(document(typist.past, version.seq))) for version in typist.versions()] == [
        (False, "0"),
        (True, "0a"),
        (False, "0ab"),
    ]


@pytest.mark.parametrize("folded", [False, True])
def test_what_is_put_under_the_log_is_not_in_the_versions_before(folded: bool) -> None:
    """An outside edit becomes a part of the snapshot, and is merged into what was typed since that."""
    typist = Typist("0")
    typist.type("a", 5)
    base: Doc[Any] = Doc()
    base.apply_update(typist.stored.snapshot)
    before = base.get_state()
    with base.transaction():
        base.get("text", type=Text).insert(0, "outside ")
    typist.checkpoints = tuple(sealed(typist.past, watch, ALL, typist.now))
    typist.stored = replace(typist.stored, snapshot=base.get_update())
    typist.author = ""
    typist.doc.apply_update(base.get_update(before))
    typist.type("b", 0.1)
    if folded:
        typist.fold()
    found = [(version.sealed, text_of(document(typist.past, version.seq))) for version in typist.versions()]
    assert found == [(False, "0"), (True, "0a"), (False, "outside 0ab")]


def test_sealed_versions_give_way_to_each_other() -> None:
    typist = Typist("0")
    for number in range(2000):
        typist.type(str(number), 1)
        typist.seal()
    found = typist.versions(ALL._replace(versions=50))
    assert len(found) <= 50
    assert found[0].ended < typist.now - 1900


@pytest.mark.parametrize("times", [1, 3])
def test_folding_keeps_every_version_with_its_authors_and_its_content(times: int) -> None:
    typist = Typist("begin ")
    for number in range(30):
        typist.type(f"{number} ", 20, random.Random(number).choice(["ann", "bob"]))
        if number % 3 == 0:
            del typist.text[2:4]
            typist.said[typist.stored.last] = str(typist.text)
    typist.book(1)
    before = typist.versions(now=0.0)
    said = {version.seq: text_of(document(typist.past, version.seq)) for version in before}
    assert said == {version.seq: typist.said[version.seq] for version in before}
    for step in range(1, times + 1):
        typist.fold(until=before[len(before) * step // times - 1].seq, now=0.0)
    assert typist.versions(now=0.0) == before
    typist.fold(until=typist.stored.last, now=0.0)
    assert typist.stored.log == ()
    after = typist.versions(now=0.0)
    assert after == [*before[:-1], before[-1]._replace(seq=typist.stored.last)]
    for version in after[:-1]:
        assert text_of(document(typist.past, version.seq)) == typist.said[version.seq]
    assert text_of(typist.stored.document()) == str(typist.text)


def test_versions_are_dense_where_recent_and_sparse_where_old() -> None:
    typist = Typist()
    for _ in range(3000):
        typist.type("x", 600)
    found = typist.versions()
    assert len(found) <= 200
    ages = [typist.now - version.ended for version in found[1:]]
    assert ages == sorted(ages, reverse=True)
    assert sum(age < HOUR for age in ages) >= 6
    assert max(older - newer for older, newer in pairwise(ages) if older < 2 * HOUR) <= 1200
    for older, newer in pairwise(ages):
        assert older - newer <= max(1200, older / 3)
    few = typist.versions(ALL._replace(versions=20))
    assert 8 <= len(few) <= 20
    assert few[-1].seq == found[-1].seq


def test_what_is_thinned_out_goes_to_the_next_version() -> None:
    typist = Typist()
    typist.type("a", 10, "ann")
    last = typist.type("b", 10, "bob")
    found = typist.versions(now=typist.now + DAY)
    assert [(version.seq, version.authors) for version in found] == [(1, ()), (last, ("ann", "bob"))]
    assert (found[1].begun, found[1].ended) == (1010.0, 1020.0)
    typist.fold(now=typist.now + DAY)
    assert typist.versions(now=typist.now + DAY) == found


def test_what_is_too_old_is_let_go_but_for_what_the_rest_is_compared_with() -> None:
    typist = Typist("first ")
    typist.type("old ", 10)
    old = typist.type("older ", 10 * DAY)
    new = typist.type("new", 30 * DAY)
    limits = Limits(200, 1 << 30, 20 * DAY)
    assert [version.seq for version in typist.versions(limits)] == [old, new]
    typist.fold(limits)
    assert len(typist.checkpoints) == 2
    assert text_of(document(typist.past, old)) == "first old older "
    assert text_of(document(typist.past, new)) == "first old older new"


def test_a_clock_that_is_put_back_leaves_what_was_typed_apart() -> None:
    typist = Typist("0")
    first = typist.type("a", 5)
    second = typist.type("b", -HOUR)
    third = typist.type("c", 5)
    assert [version.seq for version in typist.versions()] == [1, first, second, third]
    assert all(version.begun <= version.ended for version in typist.versions())


def test_a_clock_that_was_wrong_for_a_while_makes_no_version_twice() -> None:
    """It stood at 1970 between two edits: those before it are not older than they are for that."""
    typist = Typist("0", now=400 * DAY)
    for after in (5, -399 * DAY, 399 * DAY, 5):
        typist.type("x", after)
    for _ in range(2):
        found = [version.seq for version in typist.versions(Limits(200, 1 << 30, 90 * DAY))]
        assert found == sorted(set(found))
        assert {2, typist.stored.last} <= set(found)
        typist.fold(Limits(200, 1 << 30, 90 * DAY))
    assert text_of(document(typist.past, typist.stored.last)) == "0xxxx"


def test_bytes_are_bounded_and_the_oldest_go_first() -> None:
    typist = Typist()
    noise = random.Random(1)
    for _ in range(50):
        typist.type(noise.randbytes(1000).hex(), 100)
    typist.fold(ALL._replace(size=20_000), now=0.0)
    sizes = [len(data) for _, data in typist.checkpoints]
    assert sum(sizes[1:]) <= 20_000 < sum(sizes[1:]) + 2 * max(sizes[1:])
    for version, _ in typist.checkpoints:
        assert text_of(document(typist.past, version.seq)) == typist.said[version.seq]
    typist.fold(ALL._replace(size=0))
    assert [version.seq for version, _ in typist.checkpoints] == [typist.stored.last]


@pytest.mark.slow
def test_ten_thousand_edits_of_a_megabyte_take_a_fraction_of_it() -> None:
    noise = random.Random(2)
    typist = Typist("".join(noise.choices("abcdefgh ijkl\n", k=1 << 20)))
    log, made = [], []
    subscription = typist.doc.observe(lambda event: log.append((len(log) + 2, event.update)))
    size, at = 1 << 20, 0
    for number in range(10_000):
        at = noise.randrange(size) if number % 40 == 0 else at + 1
        typist.text.insert(at, noise.choice("abcdef "))
        size += 1
        if number % 7 == 0:
            del typist.text[at : at + 1]
            size -= 1
    typist.doc.unobserve(subscription)
    made = [("ann", 1000.0 + number) for number in range(len(log))]
    typist.stored, typist.made = replace(typist.stored, log=tuple(log)), tuple(made)
    typist.now = 1000.0 + len(log)
    typist.fold()
    assert len(typist.checkpoints) > 20
    assert sum(len(data) for _, data in typist.checkpoints[1:]) < (1 << 20) // 4
    assert text_of(document(typist.past, typist.stored.last)) == str(typist.text)


def test_a_snapshot_without_a_log_is_a_version_by_itself() -> None:
    """A store that had trouble gets a room's whole state, and nothing of the way there."""
    typist = Typist("a")
    typist.type("b", 10)
    typist.fold()
    typist.type("c", 10)
    lost = typist.type("d", 10)
    typist.stored = replace(typist.stored, seq=lost, snapshot=typist.doc.get_update(), log=())
    typist.made = ()
    assert [version.seq for version in typist.versions()] == [1, 2, lost]
    last = typist.type("e", 10)
    found = typist.versions()
    assert [version.seq for version in found] == [1, 2, lost, last]
    typist.fold()
    assert [version for version, _ in typist.checkpoints] == found
    assert [text_of(document(typist.past, seq)) for seq in (1, 2, lost, last)] == ["a", "ab", "abcd", "abcde"]


def test_a_checkpoint_is_what_it_was_though_the_snapshot_holds_more_now() -> None:
    """An outside edit is put into the snapshot before it is merged into the document."""
    typist = Typist("a")
    typist.type("b", 10)
    typist.fold()
    outside: Doc[Any] = Doc()
    outside.apply_update(typist.stored.snapshot)
    outside.get("text", type=Text).insert(2, "!")
    typist.stored = replace(typist.stored, snapshot=outside.get_update())
    assert text_of(document(typist.past, 2)) == "ab"
    typist.author, typist.now = "", typist.now + 10
    typist.doc.apply_update(outside.get_update(typist.doc.get_state()))
    assert text_of(document(typist.past, 3)) == "ab!"
    typist.fold()
    assert [text_of(document(typist.past, seq)) for seq in (1, 2, 3)] == ["a", "ab", "ab!"]


@pytest.mark.parametrize("folded", [False, True])
def test_an_edit_can_be_left_out_with_what_builds_on_it(folded: bool) -> None:
    """The snapshot may have it, too."""
    typist = Typist("a")
    typist.type("b", 10)
    outside: Doc[Any] = Doc(client_id=9)
    outside.apply_update(typist.doc.get_update())
    outside.get("text", type=Text).insert(2, "!")
    if folded:
        typist.fold()
        typist.stored = replace(typist.stored, snapshot=outside.get_update())
    typist.type("c", 0.1, at=0)
    typist.doc.apply_update(outside.get_update(typist.doc.get_state()))
    assert text_of(typist.doc) == "cab!"
    typist.type("d", 10, at=0)
    typist.type("e", 10, at=5)
    found: Doc[Any] = Doc()
    found.apply_update(state_without(typist.past, [{9: 1}]))
    # After what builds on the edit, nothing more of the same client can be had.
    assert text_of(found) == "dcab"


def test_an_update_that_has_to_wait_appears_in_the_version_in_which_it_fits() -> None:
    typist = Typist("a")
    made: list[bytes] = []
    far: Doc[Any] = Doc()
    far.apply_update(typist.stored.snapshot)
    far.observe(lambda event: made.append(event.update))
    far.get("text", type=Text).insert(1, "1")
    far.get("text", type=Text).insert(2, "2")
    for update in reversed(made):
        typist.author, typist.now = "far", typist.now + 10
        typist.stored = replace(typist.stored, log=(*typist.stored.log, (typist.stored.last + 1, update)))
        typist.made = (*typist.made, ("far", typist.now))
    typist.fold(until=2)
    assert text_of(document(typist.past, 3)) == "a12"
    typist.fold()
    assert [text_of(document(typist.past, version.seq)) for version, _ in typist.checkpoints] == ["a", "a12"]


def test_what_did_not_change_is_not_written_anew() -> None:
    typist = Typist("a")
    for _ in range(5):
        typist.type("b", 100)
    typist.fold()
    before = typist.checkpoints
    typist.type("c", 100)
    typist.fold(now=typist.now)
    assert typist.checkpoints[0].data is before[0].data
    assert zlib.decompress(typist.checkpoints[-1].data) != b""


EDITS = st.lists(
    st.tuples(st.sampled_from(["type", "delete", "book", "fold", "half"]), st.integers(0, 40), st.floats(0.1, 500)),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(EDITS)
def test_every_version_holds_what_it_held(edits: list[tuple[str, int, float]]) -> None:
    typist = Typist("begin")
    for number, (what, at, after) in enumerate(edits):
        if what == "type":
            typist.type(f"<{number}>", after, at=min(at, len(str(typist.text))))
        elif what == "delete" and (length := len(str(typist.text))) > 1:
            typist.now, typist.author = typist.now + after, "bob"
            del typist.text[at % length : at % length + 1]
            typist.said[typist.stored.last] = str(typist.text)
        elif what == "book":
            typist.book(after)
        elif what in ("fold", "half") and typist.stored.log:
            until = typist.stored.last if what == "fold" else typist.stored.log[len(typist.stored.log) // 2][0]
            typist.fold(Limits(10, 1 << 20, 1e9), until)
    found = typist.versions()
    assert [version.seq for version in found] == sorted({version.seq for version in found})
    for version in found:
        if version.seq in typist.said:
            assert text_of(document(typist.past, version.seq)) == typist.said[version.seq]
    assert text_of(document(typist.past, found[-1].seq)) == str(typist.text)
