"""How deeply shared types contain each other: refused before anybody's reader runs out of stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment
from relay.by_hand import observed

from jupyter_rtc.wire.nesting import DEEPEST_TYPES, Nesting
from jupyter_rtc.wire.protocol import CloseCode, ProtocolError, write_uint
from jupyter_rtc.wire.structure import examine


def maps(doc: Doc[Any]) -> Iterator[Callable[[Doc[Any]], object]]:
    """Yield edits, each of which puts a map into the last one."""
    here = doc.get("root", type=Map)
    while True:
        yield lambda _, here=here: here.update({"ключ": Map()})
        here = here["ключ"]


def arrays(doc: Doc[Any]) -> Iterator[Callable[[Doc[Any]], object]]:
    """Yield edits, each of which puts two arrays into the last one, of which the second is the next."""
    here = doc.get("root", type=Array)
    while True:
        yield lambda _, here=here: here.extend([Array(), Array()])
        here = here[1]


def elements(doc: Doc[Any]) -> Iterator[Callable[[Doc[Any]], object]]:
    """Yield edits, each of which puts an element into the last one."""
    here = doc.get("root", type=XmlFragment)
    while True:
        yield lambda _, here=here: here.children.append(XmlElement("div"))
        here = here.children[0]


@pytest.mark.parametrize("nest", [maps, arrays, elements])
class TestTooDeep:
    def test_one_level_an_update(self, nest: Callable[..., Any]) -> None:
        doc: Doc[Any] = Doc()
        nesting, edits = Nesting(), nest(doc)
        for _ in range(DEEPEST_TYPES):
            for update in observed(doc, next(edits)):
                nesting.refuse_depth(examine(update).types)
        (last,) = observed(doc, next(edits))
        for _ in range(2):
            with pytest.raises(ProtocolError, match="nested too deeply") as refused:
                nesting.refuse_depth(examine(last).types)
            assert refused.value.code is CloseCode.MALFORMED

    def test_all_levels_in_one_update(self, nest: Callable[..., Any]) -> None:
        """As a peer brings them that made them offline; two peers, so that they stand in another order."""
        docs: list[Doc[Any]] = [Doc(client_id=1), Doc(client_id=2)]
        for level in range(DEEPEST_TYPES + 1):
            doc, other = docs[level % 2], docs[1 - level % 2]
            edits = nest(doc)
            for _ in range(level):
                next(edits)
            nesting = Nesting()
            nesting.refuse_depth(examine(doc.get_update()).types)
            next(edits)(doc)
            other.apply_update(doc.get_update())
        with pytest.raises(ProtocolError, match="nested too deeply"):
            Nesting().refuse_depth(examine(docs[0].get_update()).types)


def test_a_notebook_of_any_length_is_welcome() -> None:
    """Cells that are appended, one by one, in front and behind; twenty thousand types."""
    doc: Doc[Any] = Doc()
    nesting = Nesting()
    cells = doc.get("cells", type=Array)
    for number in range(4000):
        cell = Map({"source": Text("x = 1 🙂"), "metadata": Map(), "outputs": Array([Map({"text": Text("1")})])})
        for update in observed(doc, lambda _, number=number, cell=cell: cells.insert(number % 2 * len(cells), cell)):
            nesting.refuse_depth(examine(update).types)
    nesting.refuse_depth(examine(doc.get_update()).types)
    assert len(cells) == 4000


def test_what_is_refused_is_not_counted() -> None:
    doc: Doc[Any] = Doc()
    nesting, edits = Nesting(), maps(doc)
    updates = [update for _ in range(DEEPEST_TYPES + 5) for update in observed(doc, next(edits))]
    for update in updates[:DEEPEST_TYPES]:
        nesting.refuse_depth(examine(update).types)
    with pytest.raises(ProtocolError):
        nesting.refuse_depth(examine(updates[DEEPEST_TYPES]).types)
    beside: Doc[Any] = Doc()
    for update in observed(beside, lambda doc: doc.get("root", type=Map).update({"a": Map()})):
        nesting.refuse_depth(examine(update).types)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_types_beside_each_other_take_linear_time() -> None:
    """400,000 of them, in 3 MB: with the square of that, this would take hours."""
    doc: Doc[Any] = Doc(client_id=5)
    count = 400_000
    header = b"\x01" + write_uint(count) + b"\x05\x00"
    update = header + b"\x27\x01\x01a\x01k\x01" * count + b"\x00"
    nesting = Nesting()
    nesting.refuse_depth(examine(update).types)
    nesting.refuse_depth(examine(observed(doc, next(maps(doc)))[0]).types)
