"""Several updates as one: in any order, with gaps and overlaps, none of what they hold is lost."""

from __future__ import annotations

import random
from typing import Any

import pycrdt
from pycrdt import Array, Doc, Map, Text
from relay.by_hand import append, observed

from jupyter_rtc.wire.merging import merged
from jupyter_rtc.wire.protocol import NO_CHANGE
from jupyter_rtc.wire.structure import examine


def written_by_three(chance: random.Random) -> list[bytes]:
    """Return the updates of three people who write and delete, and now and then see what the others did."""
    docs: list[Doc[Any]] = [Doc(client_id=number) for number in (1, 2, 300)]
    made: list[bytes] = []
    for doc in docs:
        doc.observe(lambda event: made.append(event.update))
    for _ in range(chance.randint(5, 40)):
        doc = chance.choice(docs)
        text, act = doc.get("source", type=Text), chance.random()
        if act < 0.5:
            text.insert(chance.randint(0, len(text)), chance.choice(["a", "bc", "def"]))
        elif act < 0.7 and len(text):
            at = chance.randrange(len(text))
            del text[at : at + 1]
        elif act < 0.8:
            doc.get("keys", type=Map)[chance.choice("abc")] = chance.random()
        elif act < 0.9:
            doc.get("list", type=Array).extend([chance.randint(0, 9)] * chance.randint(1, 3))
        else:
            doc.apply_update(chance.choice(docs).get_update(doc.get_state()))
    return made


def content(*updates: bytes) -> tuple[Any, ...]:
    """Return what a document shows that was given updates."""
    doc: Doc[Any] = Doc()
    for update in updates:
        doc.apply_update(update)
    shown = doc.get("source", type=Text), doc.get("keys", type=Map), doc.get("list", type=Array)
    return str(shown[0]), shown[1].to_py(), shown[2].to_py()


def test_nothing_is_lost() -> None:
    for seed in range(300):
        merges_without_loss(seed)


def merges_without_loss(seed: int) -> None:
    """Merge what three people wrote in any order and in parts, some of it twice; compare with what they see."""
    chance = random.Random(seed)
    made = written_by_three(chance)
    wanted = content(*made)
    shuffled = chance.sample(made, len(made))
    parts = chance.randint(1, 4)
    heaps = [shuffled[part::parts] for part in range(parts)]
    doc: Doc[Any] = Doc()
    for update in made[: chance.randint(1, len(made))]:
        doc.apply_update(update)
    heaps.append([doc.get_update()])  # which overlaps
    some = [merged(heap) for heap in heaps if heap]
    for update in some:
        examine(update)
    assert content(merged(chance.sample(some, len(some)))) == wanted, seed


def test_blocks_are_joined() -> None:
    doc: Doc[Any] = Doc(client_id=5)
    made = [update for letter in "hello wörld 😂!" for update in observed(doc, append(letter))]
    assert merged(made) == doc.get_update()
    assert merged(made[::-1]) == doc.get_update()
    assert merged([merged(made[5:]), merged(made[:7])]) == doc.get_update()


def test_nothing_is_no_change() -> None:
    assert merged([]) == merged([NO_CHANGE, NO_CHANGE]) == NO_CHANGE


def test_a_block_of_which_half_is_known_is_cut() -> None:
    doc: Doc[Any] = Doc(client_id=5)
    (first,) = observed(doc, lambda doc: doc.get("list", type=Array).extend([1, "two", [3]]))
    (later,) = observed(doc, lambda doc: doc.get("list", type=Array).extend(["four", 5]))
    doc.apply_update(later)
    assert content(merged([later, doc.get_update(), first])) == content(first, later)
    assert content(merged([pycrdt.get_update(first, b"\x01\x05\x01"), first])) == content(first)
