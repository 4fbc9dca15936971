"""What the routes answer with, as JSON: what may be large is encoded here, in a thread."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from posixpath import basename
from typing import Any
from urllib.parse import quote

from ..relay import Version
from .files import trust
from .files.recovery import RecoveryCopy
from .formats.content import Original
from .past.history import Subject


def copy_model(copy: RecoveryCopy, data: bytes) -> bytes:
    """Return a copy as JSON, its content as the contents API has it. To be called in a thread."""
    content: Any
    if copy.name.form == "base64":
        content = b64encode(data).decode()
    else:
        content = data.decode()
        if copy.name.kind == "notebook":
            content = trust.as_read(content)
    return encoded({**copy.described(), "content": content})


def encoded(answer: dict[str, Any]) -> bytes:
    """Return an answer as JSON."""
    return json.dumps(answer).encode()


def attachment(name: str) -> str:
    """Return the header Content-Disposition of a file to be downloaded under a name (RFC 6266, appendix D).

    Programs that do not know ``filename*``, such as ``curl -OJ``, take ``filename``, which is ASCII.
    """
    plain = re.sub(r'[^ -~]|["\\%]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def about(version: Version) -> dict[str, Any]:
    """Return what is said of a version."""
    return {"id": version.seq, "begun": version.begun, "ended": version.ended, "authors": list(version.authors)}


def version_model(subject: Subject, version: Version, original: Original) -> bytes:
    """Return a version as JSON, as the contents API has a file. To be called in a thread."""
    content: Any = original.body
    form = "text"
    if subject.kind == "notebook":
        content, form = trust.as_read(content) if isinstance(content, str) else content, "json"
    elif isinstance(content, bytes):
        content, form = b64encode(content).decode(), "base64"
    model = {"name": basename(subject.path), "path": subject.path, "type": subject.kind, "format": form}
    return encoded({**model, "content": content, "version": about(version)})
