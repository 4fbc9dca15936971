"""What the benchmarks type: real Yjs updates, made before the clock starts, and big notebooks."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path
from typing import Any

from pycrdt import Array, Doc, Text, TransactionEvent


def typing(count: int, client: int, root: str = "t") -> list[bytes]:
    """Return `count` updates, each one more character typed by `client` at the end of its own text.

    They are valid in sequence on an empty document, and beside those of any other client.
    """
    doc: Doc[Any] = Doc(client_id=client)
    text = doc.get(root, type=Text)
    updates: list[bytes] = []
    watch = doc.observe(lambda event: updates.append(event.update))
    for number in range(count):
        text.insert(number, string.ascii_lowercase[number % 26])
    doc.unobserve(watch)
    return updates


def cell_typing(doc: Doc[Any], count: int) -> list[bytes]:
    """Return `count` updates, each one character typed into a cell of the notebook in `doc`."""
    updates: list[bytes] = []

    def keep(event: TransactionEvent) -> None:
        updates.append(event.update)

    cells = doc.get("cells", type=Array)
    watch = doc.observe(keep)
    for number in range(count):
        cells[number * 7 % len(cells)]["source"].insert(0, string.ascii_lowercase[number % 26])
    doc.unobserve(watch)
    return updates


def write_notebook(path: Path, cells: int, size: int) -> dict[str, Any]:
    """Write a notebook of `cells` code cells and about `size` bytes, most of it printed output; return it."""
    rng = random.Random(20)
    share = max(size // cells - 260, 10)
    lines = ["".join(rng.choices(string.ascii_letters + " ", k=71)) + "\n" for _ in range(500)]
    notebook: dict[str, Any] = {
        "cells": [_cell(number, share, lines) for number in range(cells)],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return notebook


def _cell(number: int, share: int, lines: list[str]) -> dict[str, Any]:
    # Each output line of 72 bytes takes about 88 in the file: indentation, quotes, comma.
    text = [lines[(number * 31 + line * 17) % len(lines)] for line in range(max(share // 88, 1))]
    return {
        "cell_type": "code",
        "execution_count": number + 1,
        "id": f"cell-{number:05d}",
        "metadata": {},
        "outputs": [{"name": "stdout", "output_type": "stream", "text": text}],
        "source": [f"# cell {number}\n", f"value = compute({number})\n", "print(value)"],
    }


def same_content(doc: Doc[Any], notebook: dict[str, Any]) -> bool:
    """Tell whether a document holds every cell of a notebook, in order, with its source and output text."""
    cells = doc.get("cells", type=Array)
    if len(cells) != len(notebook["cells"]):
        return False
    for held, wanted in zip(cells, notebook["cells"], strict=True):
        if held["id"] != wanted["id"] or str(held["source"]) != "".join(wanted["source"]):
            return False
        if _printed(held["outputs"]) != "".join(wanted["outputs"][0]["text"]):
            return False
    return True


def sources(doc: Doc[Any]) -> list[str]:
    """Return the source of every cell of the notebook in `doc`."""
    return [str(cell["source"]) for cell in doc.get("cells", type=Array)]


def _printed(outputs: Any) -> str:
    text = outputs[0]["text"]
    return str(text) if isinstance(text, str | Text) else "".join(str(part) for part in text)
