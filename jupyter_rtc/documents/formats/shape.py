"""What a shared document says of each part of a notebook file, and how to tell whether it still says so.

A file writes things in several ways that are one and the same in the document: a text as a string or as a
list of lines, 1 or 1.0, a cell with or without an empty list of outputs. `project` takes the way of the file
to the way of the document, `same` compares the two.

Any client may write anything into a shared document, and any program into a file. Whatever stands in the place of
a cell, of an output or of a part of one, `project` makes a cell, an output or such a part of it, and loses no text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import Any

from ...wire import clean

DEEPEST = 200
"""How deep a notebook may be nested: all that walks through it is recursive, and must not fail in mid-save."""
_FLATTENED = DEEPEST - 10  # what a document nests deeper than this; an output that becomes text adds a few levels
MAJOR = 4
"""The one version of the notebook format that is read and written as it is (``nbformat``)."""
_SAFE_INTEGER = (1 << 53) - 1


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
    """Return what a document says where the file, or a client, says `raw`, any JSON with floats for all numbers.

    Never raises; what it returned before, it returns again. Lone surrogates stay (`same` knows).
    """
    if shape is Shape.LINES or shape is Shape.SOURCE:
        return _text(shape, raw)
    if shape is Shape.CELL:
        return _cell(raw)
    if shape is Shape.OUTPUTS:
        return [_output(output) for output in _listed(raw)]
    if shape is Shape.OUTPUT:
        return _output(raw)
    if shape is Shape.ATTACHMENTS:
        return {k: project(Shape.BUNDLE, v) for k, v in raw.items()} if isinstance(raw, dict) else {}
    if shape is Shape.BUNDLE:
        bundle = raw if isinstance(raw, dict) else {"text/plain": said(raw)}
        return {k: project(part(shape, k), v) for k, v in bundle.items()}
    if shape is Shape.CELL_METADATA:
        return {k: v for k, v in raw.items() if k != "trusted"} if isinstance(raw, dict) else {}
    if shape is Shape.NOTEBOOK_METADATA:
        return {**_METADATA, **_lasting(raw)}
    if shape is Shape.NOTEBOOK:
        return {
            "metadata": project(Shape.NOTEBOOK_METADATA, raw.get("metadata")),
            "nbformat": raw.get("nbformat"),
            "nbformat_minor": raw.get("nbformat_minor", 0.0),
        }
    return raw


def frame_of(raw: Any) -> dict[str, Any]:
    """Return what a document says of its notebook's frame, without members that cannot stand in a file.

    A file keeps its own in their place.
    """
    members = raw if isinstance(raw, dict) else {}
    version = {key: members.get(key) for key in ("nbformat", "nbformat_minor")}
    known = all(map(is_whole, version.values())) and version["nbformat"] == MAJOR
    metadata = {"metadata": _lasting(members["metadata"])} if isinstance(members.get("metadata"), dict) else {}
    return {**metadata, **(version if known else {})}


def is_whole(value: Any) -> bool:
    """Return whether a JSON value is a whole number that is the same in every language."""
    return isinstance(value, float) and value.is_integer() and abs(value) <= _SAFE_INTEGER


def is_output(raw: Any) -> bool:
    """Return whether a JSON value is an output, if perhaps of an unknown type, and needs not be made one."""
    return isinstance(raw, dict) and isinstance(raw.get("output_type"), str)


def said(raw: Any) -> str:
    """Return the text of a JSON value that stands in the place of a text: JSON where it is none, "" for null."""
    if raw is None or isinstance(raw, str):
        return raw or ""
    if isinstance(raw, list) and all(isinstance(line, str) for line in raw):
        return "".join(raw)
    return _json(raw)


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
    return bool(_level(raw, DEEPEST))


def flatten(raw: Any) -> None:
    """Put its JSON, as a text, in the place of everything in a decoded JSON value that is too deep for a file."""
    for part in _level(raw, _FLATTENED):
        for key, item in list(part.items() if isinstance(part, dict) else enumerate(part)):
            if isinstance(item, list | dict):
                part[key] = _json(item)


def is_json(mime: str) -> bool:
    """Return whether what stands in a bundle under this MIME type is JSON; else it is text."""
    return mime == "application/json" or (mime.startswith("application/") and mime.endswith("+json"))


def _level(raw: Any, depth: int) -> list[Any]:
    """Return the arrays and objects in a JSON value that `depth` others contain, without recursion."""
    level = [raw] if isinstance(raw, list | dict) else []
    for _ in range(depth):
        if not level:
            break
        level = [inner for outer in level for inner in _containers(outer)]
    return level


def _containers(outer: list[Any] | dict[str, Any]) -> Iterator[Any]:
    items = outer.values() if isinstance(outer, dict) else outer
    if not {list, dict}.isdisjoint(map(type, items)):  # a million numbers need no step of Python for each
        yield from (item for item in items if isinstance(item, list | dict))


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


def _json(raw: Any) -> str:
    """Return a JSON value as a text, the same each time: shared maps have no order."""
    return json.dumps(raw, ensure_ascii=False, sort_keys=True)


def _listed(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else [] if raw is None else [raw]


def _lasting(metadata: Any) -> dict[str, Any]:
    """Return the metadata of a notebook without what is never in a file."""
    return {k: v for k, v in metadata.items() if k not in TRANSIENT} if isinstance(metadata, dict) else {}


def _text(shape: Shape, raw: Any) -> Any:
    """Return a text whose lines may be a list; in the place of a source or a stream's text, always a text."""
    if shape is Shape.SOURCE:
        text = said(raw)
        # Editors count a line break as one character.
        return text.replace("\r\n", "\n") if "\r" in text else text
    return "".join(raw) if isinstance(raw, list) and all(isinstance(line, str) for line in raw) else raw


def _cell(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raw = {"cell_type": "raw", "source": raw}
    members = _MEMBERS[Shape.CELL]
    cell = {key: project(members[key], value) if key in members else value for key, value in raw.items()}
    cell.pop("execution_state", None)  # in a document, that is not part of the file
    kind = cell.get("cell_type")
    if not isinstance(kind, str):
        cell["cell_type"] = "code" if "outputs" in cell else "raw"
    elif kind not in _CELL_TYPES:
        cell["cell_type"] = "raw"  # a front end knows three types, and breaks on any other
    cell.setdefault("source", "")
    cell.setdefault("metadata", {})
    if cell["cell_type"] == "code":
        cell.setdefault("outputs", [])
        cell.setdefault("execution_count", None)
    if not cell.get("attachments", True) and (cell["cell_type"] != "code" or raw["attachments"] != {}):
        del cell["attachments"]
    return cell


def _output(raw: Any) -> dict[str, Any]:
    if not is_output(raw):
        return {"output_type": "stream", "name": "stdout", "text": said(raw)}
    # As nbformat joins lines (nbformat/v4/rwbase.py: rejoin_lines).
    kind = raw["output_type"]
    if kind == "stream":
        return {**raw, "text": said(raw.get("text"))}
    if kind in ("execute_result", "display_data"):
        return {**raw, "data": project(Shape.BUNDLE, raw["data"])} if "data" in raw else raw
    return {**raw, "text": said(raw["text"])} if isinstance(raw.get("text"), list) else raw
