"""The documents' routes. Tornado in, one method call, out."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError, authenticated

from .documents import BadRequest, Documents
from .files import FileError


class SessionHandler(APIHandler):
    """``PUT api/collaboration/session/<path>``: what a front end needs to connect to a file's document."""

    auth_resource = "contents"

    def initialize(self, documents: Documents) -> None:
        """Take the documents to look into."""
        self.documents = documents

    # It changes no content: who may read may open and watch.
    @authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def put(self, path: str) -> None:
        """Answer with the file's id and the lineage of its document; 201 if the id is new."""
        try:
            body = self.get_json_body()
        except UnicodeDecodeError:
            raise HTTPError(400, "the body must be JSON in UTF-8") from None
        if not isinstance(body, dict):
            raise HTTPError(400, "the body must be a JSON object with the fields format and type")
        for field in ("format", "type"):
            if not isinstance(body.get(field), str):
                raise HTTPError(400, f"{field}: a text is required")
        try:
            session = await self.documents.session(path.strip("/"), body["format"], body["type"])
        except BadRequest as error:
            raise HTTPError(400, str(error)) from None
        except FileError as error:
            raise HTTPError(error.status, str(error)) from None
        self.set_status(201 if session.created else 200)
        self.finish(
            {
                "format": body["format"],
                "type": body["type"],
                "fileId": session.file_id,
                "sessionId": session.lineage,
            }
        )
