"""The refresh of a shared table."""

from __future__ import annotations

from typing import Any

from .definition import Right, action
from .forms import PATH, fields
from .paths import normal
from .shown import Shown


class Tables:
    """The shared tables."""

    def __init__(self, shown: Shown) -> None:
        """Act on the tables that are shown."""
        self._shown = shown

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
        errors={
            404: "there is no such table, or it is switched off",
            502: "what it shows cannot be seen for now",
        },
    )
    async def refresh(self, name: str, **what: Any) -> None:
        """List a table again.

        The answer comes when the table shows what there is. The fields are for the table `contents`, which needs a
        `path`.
        """
        if "path" in what:
            what["path"] = normal(what["path"], "path")
        await self._shown.refresh(name, **what)

    def resource(self, name: str) -> str:
        """Return what the authorizer is asked about: who may read a table may refresh it."""
        return self._shown.resource(name)
