"""The documents' routes. Tornado in, one method call, out."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError, authenticated

from . import restore, trust
from .documents import BadRequest, Documents
from .files import FileError
from .recovery import RecoveryCopy, RecoveryError


@contextmanager
def _errors() -> Iterator[None]:
    """Answer with what the documents say is wrong."""
    try:
        yield
    except BadRequest as error:
        raise HTTPError(400, str(error)) from None
    except (FileError, RecoveryError) as error:
        raise HTTPError(error.status, str(error)) from None


def _object(handler: APIHandler, fields: str) -> dict[str, Any]:
    """Return the body of a request, which must be a JSON object; `fields` says what should be in it."""
    try:
        body = handler.get_json_body()
    except UnicodeDecodeError:
        raise HTTPError(400, "the body must be JSON in UTF-8") from None
    if not isinstance(body, dict):
        raise HTTPError(400, f"the body must be a JSON object with {fields}")
    return body


class _DocumentsHandler(APIHandler):
    """A route of the documents."""

    auth_resource = "contents"

    def initialize(self, documents: Documents) -> None:
        """Take the documents to look into."""
        self.documents = documents


class SessionHandler(_DocumentsHandler):
    """``PUT api/collaboration/session/<path>``: what a front end needs to connect to a file's document."""

    # It changes no content: who may read may open and watch.
    @authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def put(self, path: str) -> None:
        """Answer with the file's id and the lineage of its document; 201 if the id is new."""
        body = _object(self, "the fields format and type")
        for field in ("format", "type"):
            if not isinstance(body.get(field), str):
                raise HTTPError(400, f"{field}: a text is required")
        with _errors():
            session = await self.documents.session(path.strip("/"), body["format"], body["type"])
        self.set_status(201 if session.created else 200)
        self.finish(
            {
                "format": body["format"],
                "type": body["type"],
                "fileId": session.file_id,
                "sessionId": session.lineage,
            }
        )


class CopiesHandler(_DocumentsHandler):
    """``GET api/rtc/recovery``: what was kept beside the files."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Return the recovery copies, the oldest first; of one file, where the argument ``path`` names it."""
        path = self.get_query_argument("path", None)
        with _errors():
            copies = await self.documents.recovery.copies()
        wanted = [copy.described() for copy in copies if path is None or copy.path == path.strip("/")]
        self.finish({"copies": wanted})


class CopyHandler(_DocumentsHandler):
    """``api/rtc/recovery/<id>``: one recovery copy."""

    @authenticated
    @authorized
    async def get(self, id: str) -> None:
        """Return a copy with its content; with the argument ``download``, the file itself."""
        with _errors():
            copy, data = await self.documents.recovery.read(id)
        if self.get_query_argument("download", ""):
            self.set_attachment_header(restore.filename(copy))
            self.finish(data, set_content_type="application/octet-stream")
        else:
            self.finish(await asyncio.to_thread(_model, copy, data))

    @authenticated
    @authorized
    async def delete(self, id: str) -> None:
        """Remove a copy."""
        with _errors():
            await self.documents.recovery.remove(id)
        self.set_status(204)
        self.finish()

    def compute_etag(self) -> None:
        """Leave out what would be computed from the whole content on the event loop."""


class RestoreHandler(_DocumentsHandler):
    """``POST api/rtc/recovery/<id>/restore``: bring a recovery copy back."""

    @authenticated
    @authorized
    async def post(self, id: str) -> None:
        """Restore a copy into its document, or into a new file beside the original; return where it is."""
        into = _object(self, "the field into").get("into")
        if into not in ("document", "file"):
            raise HTTPError(400, f'into: "document" or "file" is required, not {json.dumps(into)}')
        with _errors():
            if into == "document":
                copy = await restore.into_document(self.documents, id, self.current_user.username)
                self.finish({"into": into, "room": copy.room})
                return
            path = await restore.beside(self.documents, id)
        self.set_status(201)
        self.finish({"into": into, "path": path})


def _model(copy: RecoveryCopy, data: bytes) -> bytes:
    """Return a copy as JSON, its content as the contents API has it. To be called in a thread."""
    content: Any
    if copy.name.form == "base64":
        content = b64encode(data).decode()
    else:
        content = data.decode()
        if copy.name.kind == "notebook":
            content = _notebook(content.removeprefix("\ufeff"))
    return json.dumps({**copy.described(), "content": content}).encode()


def _notebook(text: str) -> Any:
    try:
        return trust.as_read(text)
    except (LookupError, TypeError, AttributeError):  # of another format than today's: as it stands
        return json.loads(text)
