"""Whether a notebook's outputs may run scripts, as Jupyter's notary has it.

A signature is made of everything in the notebook; here the cells are decoded one by one for it, so that a large
notebook does not hold up other threads. Source: ``nbformat/sign.py`` (NotebookNotary), nbformat 5.11.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nbformat.sign import NotebookNotary

from .content import Original
from .ipynb import Ipynb
from .shape import TRANSIENT, is_json

_NEED_TRUST = ("execute_result", "display_data")
# What is raised where the parts of a file are of other kinds than nbformat thinks: it would fail likewise.
_UNREADABLE = (LookupError, TypeError, AttributeError)


def is_harmless(original: Ipynb) -> bool:
    """Say whether a notebook shows nothing that needs trust: the notary would sign it, whoever wrote it."""
    return not any(
        output.get("output_type") in _NEED_TRUST
        for cell in original.value.cells
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
    )


def signature(notary: NotebookNotary, original: Original) -> str | None:
    """Return a notebook's signature; None for what is no notebook of today's format. May run in any thread."""
    if not isinstance(original, Ipynb):
        return None
    try:
        notebook = json.loads(original.frame.removeprefix("\ufeff"), strict=False)  # a NUL holds the cells' place
        _drop_transient(notebook)
        return str(notary.compute_signature({**notebook, "cells": _Cells(original)}))
    except (ValueError, *_UNREADABLE):
        return None


def as_read(text: str) -> Any:
    """Return what nbformat makes of the text of a notebook: lines joined, transient metadata left out.

    Where it would not read the notebook, as it stands.
    """
    notebook = json.loads(text.removeprefix("\ufeff"))
    try:
        _drop_transient(notebook)
        for cell in notebook["cells"]:
            _join_lines(cell)
    except _UNREADABLE:
        return json.loads(text.removeprefix("\ufeff"))
    return notebook


class _Cells(list[Any]):
    """The cells of a notebook as nbformat reads them, each decoded when it is asked for; to be iterated only."""

    def __init__(self, original: Ipynb) -> None:
        super().__init__()
        self._original = original

    def __iter__(self) -> Iterator[Any]:
        for cell in self._original.cells:
            decoded = json.loads(cell.text)
            _join_lines(decoded)
            yield decoded


def _drop_transient(notebook: dict[str, Any]) -> None:
    for key in TRANSIENT:
        notebook["metadata"].pop(key, None)


def _join_lines(cell: dict[str, Any]) -> None:
    """Join the lines of a cell and take its trust away: ``rejoin_lines`` and ``strip_transient`` of nbformat."""
    cell["metadata"].pop("trusted", None)
    if "source" in cell:
        cell["source"] = _joined(cell["source"])
    for attachment in (cell.get("attachments") or {}).values():
        _join_bundle(attachment)
    for output in cell.get("outputs") or () if cell["cell_type"] == "code" else ():
        if output.get("output_type") in _NEED_TRUST:
            _join_bundle(output.get("data", {}))
        elif "text" in output:
            output["text"] = _joined(output["text"])


def _join_bundle(bundle: dict[str, Any]) -> None:
    for mime, data in bundle.items():
        if not is_json(mime):
            bundle[mime] = _joined(data)


def _joined(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) and all(isinstance(line, str) for line in value) else value
