"""The names of documents' rooms."""

from __future__ import annotations

import re
from typing import NamedTuple

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
