"""The names of documents' rooms, and where the ids of files in them come from."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

_NAME = re.compile(r"([^:/]+):([^:/]+):([\w-]+)")


class DocumentName(NamedTuple):
    """The name of a document's room, taken apart: ``<format>:<type>:<file id>``."""

    form: str
    kind: str
    file_id: str

    @classmethod
    def parse(cls, name: str) -> DocumentName | None:
        """Take a room's name apart; return None where it is no document's."""
        match = _NAME.fullmatch(name)
        return cls(*match.groups()) if match else None

    def __str__(self) -> str:
        return ":".join(self)


class FileIds(Protocol):
    """What is used of jupyter_server_fileid's manager."""

    def index(self, path: str) -> str | None:
        """Return the id of the file at `path`, giving it one where it has none."""
        ...

    def get_id(self, path: str) -> str | None:
        """Return the id of the file at `path`, or None."""
        ...

    def get_path(self, id: str) -> str | None:
        """Return the path of a file, or None."""
        ...
