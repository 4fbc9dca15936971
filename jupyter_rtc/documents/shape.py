"""What a shared document says of each part of a notebook file, and how to tell whether it still says so.

A file writes things in several ways that are one and the same in the document: a text as a string or as a
list of lines, 1 or 1.0, a cell with or without an empty list of outputs. `project` takes the way of the file
to the way of the document, `same` compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any

from .update import clean

DEEPEST = 200
"""How deep a notebook may be nested: all that walks through it is recursive, and must not fail in mid-save."""


class ContentError(ValueError):
    """The body of a file cannot be what it is said to be: a notebook that is not JSON, for instance."""


class Shape(Enum):
    """A kind of place in a notebook file; `JSON` is any place without rules of its own."""

    JSON = auto()
    NOTEBOOK = auto()
    NOTEBOOK_METADATA = auto()
    CELL = auto()
    CELL_METADATA = auto()
    SOURCE = auto()
    ATTACHMENTS = auto()
    BUNDLE = auto()
    LINES = auto()
    OUTPUTS = auto()
    OUTPUT = auto()


# JupyterLab writes these two into the document, whoever opened it, unless they are there; so they are there.
_METADATA: Mapping[str, Any] = {
    "kernelspec": {"name": "", "display_name": ""},
    "language_info": {"name": ""},
}
TRANSIENT = frozenset({"orig_nbformat", "orig_nbformat_minor", "signature"})
"""What nbformat drops of the metadata when it reads a notebook (nbformat/v4/rwbase.py: strip_transient)."""
_CELL_TYPES = frozenset({"code", "markdown", "raw"})
_MEMBERS: Mapping[Shape, Mapping[str, Shape]] = {
    Shape.NOTEBOOK: {"metadata": Shape.NOTEBOOK_METADATA},
    Shape.CELL: {
        "source": Shape.SOURCE,
        "metadata": Shape.CELL_METADATA,
        "outputs": Shape.OUTPUTS,
        "attachments": Shape.ATTACHMENTS,
    },
    Shape.OUTPUT: {"data": Shape.BUNDLE, "text": Shape.LINES},
}
_ITEMS: Mapping[Shape, Shape] = {Shape.ATTACHMENTS: Shape.BUNDLE, Shape.OUTPUTS: Shape.OUTPUT}


def part(shape: Shape, key: str = "") -> Shape:
    """Return the shape of the member `key`, or of the items, of a place of the shape `shape`."""
    if shape is Shape.BUNDLE:
        return Shape.JSON if is_json(key) else Shape.LINES
    return _ITEMS.get(shape) or _MEMBERS.get(shape, {}).get(key, Shape.JSON)


def project(shape: Shape, raw: Any) -> Any:
    """Return what a document says where the file says `raw`; `raw` has floats for all numbers.

    Lone surrogates stay (`same` knows). Raises ContentError where `raw` cannot stand in a notebook.
    """
    if shape is Shape.LINES or shape is Shape.SOURCE:
        return _text(shape, raw)
    if shape is Shape.CELL:
        return _cell(raw)
    if shape is Shape.OUTPUTS:
        return [_output(output) for output in raw] if isinstance(raw, list) else raw
    if shape is Shape.OUTPUT:
        return _output(raw)
    if shape is Shape.BUNDLE or shape is Shape.ATTACHMENTS:
        return {k: project(part(shape, k), v) for k, v in raw.items()} if isinstance(raw, dict) else raw
    if shape is Shape.CELL_METADATA:
        return {k: v for k, v in raw.items() if k != "trusted"} if isinstance(raw, dict) else {}
    if shape is Shape.NOTEBOOK_METADATA:
        kept = {k: v for k, v in raw.items() if k not in TRANSIENT} if isinstance(raw, dict) else {}
        return {**_METADATA, **kept}
    if shape is Shape.NOTEBOOK:
        return {
            "metadata": project(Shape.NOTEBOOK_METADATA, raw.get("metadata")),
            "nbformat": raw.get("nbformat"),
            "nbformat_minor": raw.get("nbformat_minor", 0.0),
        }
    return raw


def same(projected: Any, value: Any) -> bool:
    """Return whether a document that was built from `projected` says `value`.

    Numbers are equal whatever their type, but never to a bool; NaN and the infinities are null in a document,
    and lone surrogates U+FFFD (see `update.encode`).
    """
    if isinstance(projected, dict):
        return isinstance(value, dict) and len(projected) == len(value) and _same_dict(projected, value)
    if isinstance(projected, list):
        return isinstance(value, list) and len(projected) == len(value) and _same_list(projected, value)
    if isinstance(projected, str):
        return isinstance(value, str) and (projected == value or clean(projected) == value)
    if projected is None or isinstance(projected, bool):
        return projected is value
    if isinstance(value, bool):
        return False
    return bool(projected == value or (value is None and projected - projected != 0))


def is_deep(raw: Any) -> bool:
    """Return whether a JSON value is nested deeper than `DEEPEST`."""
    level = [raw]
    for _ in range(DEEPEST):
        level = [x for part in level if isinstance(part, list | dict) for x in _items(part)]
    return bool(level)


def is_json(mime: str) -> bool:
    """Return whether what stands in a bundle under this MIME type is JSON; else it is text."""
    return mime == "application/json" or (mime.startswith("application/") and mime.endswith("+json"))


def _items(value: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _same_dict(projected: dict[str, Any], value: dict[str, Any]) -> bool:
    for key, item in projected.items():
        name = key if key in value else clean(key)
        if name not in value or not same(item, value[name]):
            return False
    return True


def _same_list(projected: list[Any], value: list[Any]) -> bool:
    types = set(map(type, projected))
    if types <= {float, str} and types >= set(map(type, value)) and projected == value:
        return True  # thousands of numbers, compared without a step of Python for each
    return all(map(same, projected, value))


def _text(shape: Shape, raw: Any) -> Any:
    if isinstance(raw, list):
        try:
            raw = "".join(raw)
        except TypeError:
            return raw
    if shape is Shape.SOURCE and isinstance(raw, str) and "\r" in raw:
        # Editors count a line break as one character.
        return raw.replace("\r\n", "\n")
    return raw


def _cell(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict) or not isinstance(raw.get("cell_type"), str):
        raise ContentError("a cell has no cell_type")
    cell: dict[str, Any] = {}
    for key, value in raw.items():
        shape = _MEMBERS[Shape.CELL].get(key)
        cell[key] = value if shape is None else project(shape, value)
    cell.pop("execution_state", None)  # in a document, that is not part of the file
    if not isinstance(cell.get("source"), str):
        raise ContentError("a cell has no source")
    cell.setdefault("metadata", {})
    if cell["cell_type"] == "code":
        if not isinstance(cell.setdefault("outputs", []), list):
            raise ContentError("the outputs of a cell are not a list")
        return cell
    if cell["cell_type"] not in _CELL_TYPES:
        cell["cell_type"] = "raw"  # a front end knows three types, and breaks on any other
    if not cell.get("attachments", True):
        del cell["attachments"]
    return cell


def _output(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ContentError("an output is not an object")
    # As nbformat joins lines (nbformat/v4/rwbase.py: rejoin_lines).
    kind = raw.get("output_type")
    if kind == "stream":
        text = _text(Shape.LINES, raw.get("text"))
        return {**raw, "text": text if isinstance(text, str) else ""}
    key = "data" if kind in ("execute_result", "display_data") else "text"
    return {**raw, key: project(part(Shape.OUTPUT, key), raw[key])} if key in raw else raw
