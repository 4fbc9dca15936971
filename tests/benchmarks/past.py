"""Measure what the past of a document costs: ``python tests/benchmarks/past.py``, alone on the machine.

Two notebooks, of 1 MB and of 2,000 cells and 25 MB, edited ten thousand times within an hour: what folding the log
takes and leaves, and what it takes to list the versions, to make the oldest, and to go back to it.
"""

from __future__ import annotations

import random
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any, TypeVar

from pycrdt import Array, Doc

from jupyter_rtc.documents.formats.content import NotebookContent, rendered
from jupyter_rtc.documents.merging.changes import difference
from jupyter_rtc.documents.merging.merge import outside
from jupyter_rtc.relay.storing.checkpoints import Limits, document, fold, versions
from jupyter_rtc.relay.storing.store import Past, StoredRoom

EDITS = 10_000
LIMITS = Limits(200, 32 << 20, 90 * 86_400.0)
CONTENT = NotebookContent()

_T = TypeVar("_T")


def notebook(cells: int, size: int) -> dict[str, Any]:
    """Return a notebook with code and pictures: so many cells, about so many bytes."""
    noise = random.Random(1)
    source = 30
    picture = max(0, (size // cells - 600) * 3 // 4)

    def cell(number: int) -> dict[str, Any]:
        lines = "".join(f"x{number} = {noise.random()}\n" for _ in range(source // 3))
        data = {"image/png": b64encode(noise.randbytes(picture)).decode(), "text/plain": "<Figure>"}
        output = {"output_type": "display_data", "metadata": {}, "data": data}
        return {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {},
            "execution_count": number,
            "source": lines,
            "outputs": [output],
        }

    return {"cells": [cell(number) for number in range(cells)], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def typed(state: bytes) -> Past:
    """Return the past of a document in which somebody typed, with pauses, here and there."""
    noise = random.Random(2)
    doc: Doc[Any] = Doc()
    doc.apply_update(state)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    cells: Array[Any] = doc.get("cells", type=Array)
    text, at = cells[0]["source"], 0
    for number in range(EDITS):
        if number % 40 == 0:
            text = cells[noise.randrange(len(cells))]["source"]
            at = noise.randrange(len(text))
        if at and noise.random() < 0.15:
            at -= 1
            del text[at : at + 1]
        else:
            text.insert(at, noise.choice("abcdefgh "))
            at += 1
    doc.unobserve(subscription)
    began = time.time() - 3600
    made = tuple(("ada", began + 90 * (number // 250) + 0.2 * (number % 250)) for number in range(len(updates)))
    stored = StoredRoom("1f", 7, state, 1, tuple(enumerate(updates, 2)), None, None)
    return Past(stored, made, ())


def timed(name: str, work: Callable[[], _T]) -> _T:
    """Do something three times, and print the shortest time it took."""
    best = 1e9
    for _ in range(3):
        begun = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - begun)
    print(f"  {name}: {best * 1000:.0f} ms")
    return result


def main() -> None:
    """Measure, and print."""
    for cells, size in ((50, 1 << 20), (2000, 25 << 20)):
        original = CONTENT.parse(notebook(cells, size))
        state = CONTENT.build(original).snapshot()
        past = typed(state)
        now = time.time()
        print(f"{cells} cells, {len(state) / 2**20:.1f} MiB, {EDITS} edits:")
        timed("fold without checkpoints", lambda past=past: past.stored.state(past.stored.last))
        snapshot, chain = timed(
            "fold", lambda past=past, now=now: fold(past, past.stored.last, CONTENT.watch, LIMITS, now)
        )
        oldest, steps = len(chain[0].data), sum(len(data) for _, data in chain[1:])
        whole = len(snapshot) + oldest + steps
        print(f"  {len(chain)} checkpoints: the oldest {oldest / 2**20:.2f} MiB, the others {steps / 2**10:.0f} KiB")
        print(f"  in the store after folding: {whole / len(snapshot):.2f} x the document")
        kept = Past(StoredRoom("1f", 7, snapshot, past.stored.last, (), None, None), (), tuple(chain))
        timed("list, all of it in the log", lambda past=past, now=now: versions(past, CONTENT.watch, LIMITS, now))
        found = timed("list, all of it folded", lambda kept=kept, now=now: versions(kept, CONTENT.watch, LIMITS, now))
        first = timed(
            "make the oldest version", lambda kept=kept, found=found: rendered(CONTENT, document(kept, found[0].seq))
        )
        last = timed(
            "make the newest version", lambda kept=kept, found=found: rendered(CONTENT, document(kept, found[-1].seq))
        )
        timed("compare the two", lambda first=first, last=last: difference(first.value, last.value, ("", "")))
        timed("go back to the oldest", lambda snapshot=snapshot, first=first: outside(snapshot, CONTENT, first))


if __name__ == "__main__":
    main()
