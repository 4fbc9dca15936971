"""Notebooks for the tests to open."""

from __future__ import annotations

import json
from typing import Any

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def code_cell(number: int, source: str) -> dict[str, Any]:
    """Return a code cell that was never run."""
    empty: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    return {**empty, "id": f"cell-{number}", "source": source.splitlines(keepends=True)}


def notebook(*sources: str) -> str:
    """Return the file content of a notebook with one code cell for each source."""
    cells = [code_cell(number, source) for number, source in enumerate(sources)]
    document = {"cells": cells, "metadata": {"kernelspec": KERNEL}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, indent=1) + "\n"
