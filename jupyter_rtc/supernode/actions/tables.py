"""The refresh of a shared table."""

from __future__ import annotations

from typing import Any

from .definition import ActionError, Right, action
from .forms import PATH, fields
from .mirror import Mirror
from .paths import normal


class Tables:
    """The shared tables."""

    def __init__(self, mirror: Mirror) -> None:
        """Act on the tables of `mirror`."""
        self._mirror = mirror

    @action(
        "POST tables/{name}/refresh",
        Right("read", ""),
        body=fields(
            path=PATH,
            content={"type": "boolean", "default": False},
            type={"enum": ["directory", "file", "notebook"]},
            format={"enum": ["text", "base64", "json"]},
        ),
        answers={204: None},
        errors={404: "there is no such table, or it is switched off"},
    )
    async def refresh(self, name: str, **what: Any) -> None:
        """List a table again.

        The answer comes when the table shows what there is. The fields are for the table `contents`, which needs a
        `path`.
        """
        if "path" in what:
            what["path"] = normal(what["path"], "path")
        try:
            await self._mirror.refresh(name, **what)
        except KeyError:
            raise ActionError(404, f"there is no table {name!r}") from None
