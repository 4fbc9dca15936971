"""The refresh of a shared table."""

from __future__ import annotations

from typing import Any

from .definition import ActionError, Right, action
from .forms import PATH, fields, flag, text
from .paths import normal
from .shown import Shown

_OF_FILES = ("contents", "folders")


class Tables:
    """The shared tables."""

    def __init__(self, shown: Shown) -> None:
        """Act on the tables that are shown."""
        self._shown = shown

    @action(
        "POST tables/{name}/refresh",
        Right("read", ""),
        files={"path": "read"},
        body=fields(
            path={**PATH, "description": "contents, folders: look at this file or folder from now on"},
            content=flag("of a file, open its document", default=False),
            type=text("of the document: notebook, file, or another that jupyter_ydoc knows"),
            format={"enum": ["text", "base64", "json"], "description": "of the document"},
        ),
        answers={204: None},
        errors={
            404: "there is no such table, or it is switched off",
            502: "what it shows cannot be seen for now",
        },
    )
    async def refresh(self, name: str, **what: Any) -> None:
        """List a table again.

        The answer comes when the table shows what there is. The tables `contents` and `folders` show what somebody
        asked for, here.
        """
        for field in what:
            if name not in _OF_FILES:
                raise ActionError(400, f"is for the tables {' and '.join(_OF_FILES)}", field)
        if what and "path" not in what:
            raise ActionError(400, "is required with the other fields", "path")
        if "path" in what:
            what["path"] = normal(what["path"], "path")
        await self._shown.refresh(name, **what)

    def resource(self, name: str) -> str:
        """Return what the authorizer is asked about: who may read a table may refresh it."""
        return self._shown.resource(name)
