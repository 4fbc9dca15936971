"""API paths, as they come from outside."""

from __future__ import annotations

from .definition import ActionError


def normal(path: str, field: str) -> str:
    """Return an API path without slashes around it and doubled ones; ActionError for one that leads elsewhere."""
    if "\0" in path:
        raise ActionError(400, "must not contain NUL", field)
    parts = [part for part in path.split("/") if part]
    if "." in parts or ".." in parts:
        raise ActionError(400, "must not contain . or .. as a part", field)
    return "/".join(parts)
