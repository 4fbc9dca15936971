"""A document made anew: one with another history that says what one says which can be given to nobody. Pure."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from .store import StoredRoom

_XML = (XmlElement, XmlFragment, XmlText)
_SHARED = (Array, Map, Text, *_XML)


def anew(doc: Doc[Any]) -> StoredRoom:
    """Return a room that begins with what is in a document, as far as it can be read.

    Nobody says what the roots of a document are: one that has characters is a text, one that has keys a map. Documents
    in documents are left out.
    """
    made: Doc[Any] = Doc()
    with made.transaction():
        for name in sorted(doc.keys()):
            kind = _kind(doc, name)
            _fill(made.get(name, type=kind), doc.get(name, type=kind))
    return StoredRoom(uuid4().hex, made.client_id, made.get_update(), 1, (), None, None)


def _kind(doc: Doc[Any], name: str) -> type[Any]:
    """Find out what a root is. What has characters must not be taken for an array: pycrdt may never come to its end."""
    within = doc.get(name, type=Text).diff()
    if any(not isinstance(part, _SHARED) for part, _ in within):
        return Text
    if len(doc.get(name, type=Map)):
        return Map
    return XmlFragment if within and all(isinstance(part, _XML) for part, _ in within) else Array


def _fill(new: Any, old: Any) -> None:
    """Put into an empty shared type what is in another one of its kind."""
    if isinstance(old, Map):
        for key, value in old.items():
            new[key] = _empty(value)
            if isinstance(value, _SHARED):
                _fill(new[key], value)
    elif isinstance(old, Array):
        for at, value in enumerate(old):
            new.append(_empty(value))
            if isinstance(value, _SHARED):
                _fill(new[at], value)
    elif isinstance(old, Text | XmlText):
        _write(new, old)
    else:
        for child in old.children:
            _fill(new.children.append(_empty(child)), child)


def _write(new: Text | XmlText, old: Text | XmlText) -> None:
    for part, attributes in old.diff():
        if isinstance(part, str):
            new.insert(len(new), part, attributes or {})  # else it takes on those of what is before it
        elif not isinstance(part, (*_SHARED, Doc)):
            new.insert_embed(len(new), part, attributes or {})


def _empty(value: Any) -> Any:
    """Return a shared type of the kind of one, to be filled; a plain value as it is."""
    if isinstance(value, XmlElement):
        return XmlElement(value.tag, _attributes(value))
    if isinstance(value, _SHARED):
        return type(value)()
    return None if isinstance(value, Doc) else value


def _attributes(element: XmlElement) -> dict[str, Any]:
    pairs: Any = element.attributes  # which is annotated as what yields itself
    return {name: value for name, value in pairs}  # noqa: C416  # a dict cannot be made of it
