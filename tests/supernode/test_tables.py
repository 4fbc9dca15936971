"""A table: the difference with the fewest writes, values that any document can hold, and what stays behind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Map, TransactionEvent

from jupyter_rtc.relay import Room
from jupyter_rtc.supernode.tables import RECORDS, Records, Table
from jupyter_rtc.wire import json_safe

FIELDS = st.fixed_dictionaries({"state": st.sampled_from("abc"), "count": st.integers(0, 3), "info": st.none()})
LISTINGS = st.lists(st.dictionaries(st.sampled_from(["k1", "k2", "k3", "ä"]), FIELDS), max_size=8)


class Shown:
    """A table and its document.

    Attributes:
        updates: what was sent to those who watch.
    """

    def __init__(self) -> None:
        """Show an empty table."""
        self.table = Table()
        self.room = Room("table:test", "lineage")
        self.updates: list[bytes] = []

    def reconcile(self, records: Records) -> int:
        """Bring both up to date; return how many transactions it took."""
        number = 0
        subscription = self.room.doc.observe(self._note)
        for change in self.table.reconcile(records):
            self.room.edit(change.write)
            number += 1
        self.room.doc.unobserve(subscription)
        return number

    def _note(self, event: TransactionEvent) -> None:
        self.updates.append(event.update)

    @property
    def copy(self) -> Any:
        """What a client has that got every update."""
        doc: Doc[Any] = Doc()
        for update in self.updates:
            doc.apply_update(update)
        return doc.get(RECORDS, type=Map).to_py()


@given(LISTINGS)
def test_a_client_has_what_was_listed(listings: list[dict[str, Any]]) -> None:
    shown = Shown()
    for records in listings:
        shown.reconcile(records)
        assert shown.copy == records == shown.table.records
        assert shown.reconcile(records) == 0


def test_only_the_field_that_differs_is_written() -> None:
    shown = Shown()
    record = {"state": "idle", "banner": "a long text " * 100}
    assert shown.reconcile({"k": record}) == 1
    assert shown.reconcile({"k": record | {"state": "busy"}}) == 1
    assert len(shown.updates[-1]) < 100
    assert shown.copy == {"k": record | {"state": "busy"}}


def test_many_records_come_in_parts() -> None:
    shown = Shown()
    records = {str(number): {"a": number} for number in range(3001)}
    assert 1 < shown.reconcile(records) < 20
    assert shown.copy == records
    assert 1 < shown.reconcile({}) < 20
    assert shown.copy == {}


def test_a_room_that_comes_later_is_filled() -> None:
    table, doc = Table(), Doc[Any]()
    records = {str(number): {"a": number} for number in range(700)}
    list(table.reconcile(records))
    for change in table.fill():
        change.write(doc)
    assert doc.get(RECORDS, type=Map).to_py() == records


@pytest.mark.slow
def test_twenty_thousand_changes_leave_it_as_small_as_it_was() -> None:
    shown = Shown()
    record = {"execution_state": "idle", "reason": ""}
    shown.reconcile({"k": record})
    before = len(shown.room.doc.get_update())
    for number in range(20_000):
        shown.reconcile({"k": record | {"execution_state": ("busy", "idle")[number % 2]}})
    assert len(shown.updates) == 20_001
    assert len(shown.room.doc.get_update()) < before + 200


def test_what_records_that_went_leave_behind_is_known() -> None:
    shown = Shown()
    for number in range(2000):
        shown.reconcile({f"{number:036}": {"a": 1, "b": "text"}})
    assert shown.table.garbage == pytest.approx(len(shown.room.doc.get_update()), rel=0.2)
    list(shown.table.fill())
    assert shown.table.garbage == 0


WORST = [2**63, -(2**70), 10**400, float("nan"), float("inf"), "\ud800", {1: {None: b"x"}}, {"\udfff": [()]}, object()]


@pytest.mark.parametrize("value", WORST, ids=lambda value: type(value).__name__)
def test_what_a_document_cannot_hold_is_made_safe(value: Any) -> None:
    shown = Shown()
    shown.reconcile({"k\ud800": {"value": value}})
    assert shown.copy == json.loads(json.dumps(shown.table.records, allow_nan=False))
    safe = shown.table.records["k\ufffd"]["value"]
    assert json_safe(safe) == safe
    assert shown.reconcile({"k\ud800": {"value": value}}) == 0


def test_what_is_nested_without_end_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    json.dumps(json_safe(endless))


def test_plain_values_stay() -> None:
    plain = {"a": [1, 1.5, True, None, "ä😀", {"b": 2**53}], "c": -(2**53)}
    assert json_safe(plain) == plain
