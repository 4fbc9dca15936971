"""The documents' routes. Tornado in, one method call, out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from posixpath import dirname
from typing import Any, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, authenticated

from ..relay import Allowances, ExhaustedError, NotAllowedError, RoomError, UserRights
from . import answers, settle
from .files.managed import FileError
from .files.recovery import RecoveryError
from .formats.kinds import BadRequest
from .opened.documents import Documents
from .past import restore
from .past.forks import Fork, Forks
from .past.history import History, HistoryError, Subject
from .past.timelines import Timelines

_PART = 1 << 24
"""How many bytes of an answer are written at a time."""

_STEPS = {"undo": -1, "redo": 1, "restore": 0}
_DONE = {"undo": "undone", "redo": "redone"}


@contextmanager
def _errors() -> Iterator[None]:
    """Answer with what the documents say is wrong."""
    try:
        yield
    except BadRequest as error:
        raise HTTPError(400, str(error)) from None
    except NotAllowedError as error:
        raise HTTPError(403, str(error)) from None
    except ExhaustedError as error:
        raise HTTPError(429, str(error)) from None
    except (FileError, RecoveryError, HistoryError) as error:
        raise HTTPError(error.status, str(error)) from None
    except RoomError as error:  # it went out of memory meanwhile, for one because the server stops
        raise HTTPError(503, error.reason) from None


def _object(handler: APIHandler, fields: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the body of a request, which must be a JSON object; `fields` says what should be in it.

    No body at all stands for `default`.
    """
    try:
        body = handler.get_json_body()
    except UnicodeDecodeError:
        raise HTTPError(400, "the body must be JSON in UTF-8") from None
    body = default if body is None else body
    if not isinstance(body, dict):
        raise HTTPError(400, f"the body must be a JSON object with {fields}")
    return body


class _Handler(APIHandler):
    """A route for users who may do with contents what its method says, and with each file what `rights` say."""

    auth_resource = "contents"

    @cached_property
    def rights(self) -> UserRights:
        """What the user may do."""
        return UserRights(self)


class _LargeHandler(_Handler):
    """A route that holds the whole of a document in memory, or of its past, until its answer has been read.

    How many such answers a user may be waiting for, and how long, the `allowances` say.
    """

    allowances: Allowances

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Hold all that in the context, and answer with what the documents say is wrong."""
        with _errors(), self.allowances.answers.taken(self.current_user.username):
            yield

    async def send(self, answer: bytes, kind: str = "application/json") -> None:
        """Answer; return when the client has read it, or is cut off: until then it is in memory."""
        self.set_header("Content-Type", kind)
        self.set_header("Content-Length", str(len(answer)))
        stream = cast(HTTP1Connection, self.request.connection).stream
        try:
            for at in range(0, len(answer), _PART):
                async with asyncio.timeout(self.allowances.answer_timeout):
                    self.write(answer[at : at + _PART])
                    await self.flush()
            self.finish(set_content_type=kind)
        except TimeoutError:
            stream.close()
        except StreamClosedError:  # the client went
            pass

    def compute_etag(self) -> None:
        """Leave out what would be computed from the whole content on the event loop."""


class _DocumentsHandler(_Handler):
    """A route of the documents."""

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
            await self.rights.require("read", path)
            session = await self.documents.session(
                path.strip("/"), body["format"], body["type"], self.current_user.username
            )
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
        wanted = [copy for copy in copies if path is None or copy.path == path.strip("/")]
        readable = [copy for copy in wanted if await self.rights.may_all("read", self.documents.paths_of(copy))]
        self.finish({"copies": [copy.described() for copy in readable]})


class _OneCopyHandler(_LargeHandler):
    """A route of one recovery copy."""

    def initialize(self, documents: Documents) -> None:
        """Take the documents whose copy it is."""
        self.documents = documents
        self.allowances = documents.relay.allowances


class CopyHandler(_OneCopyHandler):
    """``api/rtc/recovery/<id>``: one recovery copy."""

    @authenticated
    @authorized
    async def get(self, id: str) -> None:
        """Return a copy with its content; with the argument ``download``, the file itself."""
        with self.counted():
            copy = await self.documents.recovery.find(id)
            await self.rights.require("read", *self.documents.paths_of(copy))
            copy, data = await self.documents.recovery.read(id)
            if self.get_query_argument("download", ""):
                self.set_header("Content-Disposition", answers.attachment(restore.filename(copy)))
                await self.send(data, "application/octet-stream")
            else:
                await self.send(await self.documents.relay.asked.run(answers.copy_model, copy, data))

    @authenticated
    @authorized
    async def delete(self, id: str) -> None:
        """Remove a copy."""
        with _errors():
            copy = await self.documents.recovery.find(id)
            await self.rights.require("write", *self.documents.paths_of(copy))
            await self.documents.recovery.remove(id)
        self.set_status(204)
        self.finish()


class RestoreHandler(_OneCopyHandler):
    """``POST api/rtc/recovery/<id>/restore``: bring a recovery copy back."""

    @authenticated
    @authorized
    async def post(self, id: str) -> None:
        """Restore a copy into its document, or into a new file beside the original; return where it is."""
        into = _object(self, "the field into").get("into")
        if into not in ("document", "file"):
            raise HTTPError(400, f'into: "document" or "file" is required, not {json.dumps(into)}')
        with self.counted():
            copy = await self.documents.recovery.find(id)
            paths = self.documents.paths_of(copy)
            await self.rights.require("read", *paths)
            await self.rights.require("write", *(paths if into == "document" else map(dirname, paths)))
            if into == "document":
                copy = await restore.into_document(self.documents, id, self.current_user.username)
                self.finish({"into": into, "room": copy.room})
                return
            path = await restore.beside(self.documents, id)
        self.set_status(201)
        self.finish({"into": into, "path": path})


class ConflictsHandler(_DocumentsHandler):
    """``GET api/rtc/conflicts``: where both sides of a merge changed the same."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Return the conflicts of the open documents, the oldest first; of one file, where ``path`` names it."""
        with _errors():
            found = await settle.listed(self.documents, *_file(self))
        readable = [conflict for conflict in found if await self.rights.may_all("read", [conflict["path"]])]
        self.finish({"conflicts": readable})


class ConflictHandler(_DocumentsHandler):
    """``DELETE api/rtc/conflicts/<id>``: one conflict."""

    @authenticated
    @authorized
    async def delete(self, id: str) -> None:
        """Dismiss a conflict of an open document, or of that of the file which ``path`` names."""
        with _errors():
            found = await settle.listed(self.documents, *_file(self))
            conflict = next((one for one in found if one["id"] == id), None)
            if conflict is None:
                where = _file(self)[0] or "an open document (the argument path names another)"
                raise HTTPError(404, f"there is no conflict {id!r} in {where}")
            await self.rights.require("write", conflict["path"])
            await settle.dismiss(self.documents, conflict["room"], id, self.current_user.username)
        self.set_status(204)
        self.finish()


class TimelineHandler(_Handler):
    """``GET api/collaboration/timeline/<path>``: a copy of a document that goes through its versions."""

    def initialize(self, timelines: Timelines) -> None:
        """Take the owner of timelines."""
        self.timelines = timelines

    @authenticated
    @authorized
    async def get(self, path: str) -> None:
        """Make one, and say when its versions were made, in seconds since the epoch, the oldest first."""
        with _errors():
            await self.rights.require("read", path)
            arguments = self.get_query_argument("format", ""), self.get_query_argument("type", "")
            timeline = await self.timelines.begin(path.strip("/"), *arguments, self.current_user.username)
            self.finish(
                {
                    "roomId": timeline.root,
                    "timestamps": [version.ended for version in timeline.chronicle.versions],
                    "forkRoom": timeline.name,
                    "sessionId": timeline.chronicle.past.stored.lineage,
                }
            )


class UndoRedoHandler(_Handler):
    """``PUT api/collaboration/undo_redo/<room>``: steps through a timeline, and its end."""

    def initialize(self, timelines: Timelines) -> None:
        """Take the owner of timelines."""
        self.timelines = timelines

    # Its own copy is no content: who may read may go through it.
    @authenticated
    @authorized("read")  # type: ignore[untyped-decorator]
    async def put(self, name: str) -> None:
        """Go back (``undo``) or forth (``redo``) so many steps, or end the timeline (``restore``)."""
        action, room = self.get_query_argument("action", ""), self.get_query_argument("forkRoom", "")
        if action not in _STEPS:
            raise HTTPError(400, f"action: undo, redo or restore, not {action!r}")
        with _errors():
            await self.rights.require("read", *self.timelines.paths(room))
            if action == "restore":
                if not await self.rights.may("write", "contents", self.timelines.paths(room)):
                    raise HTTPError(403, f"{self.current_user.username} may not write contents")
                self.timelines.end(room, self.current_user.username)
                self.finish({"code": 200, "status": "Document restored successfully"})
            elif await self.timelines.step(room, self.current_user.username, _STEPS[action] * _number(self, "steps")):
                self.finish({"status": _DONE[action]})
            else:
                self.finish({"error": f"No more {action} operations available"})


class ForkHandler(_Handler):
    """``api/collaboration/fork/<room>``: copies of a document to work in beside it."""

    def initialize(self, forks: Forks) -> None:
        """Take the owner of forks."""
        self.forks = forks

    @authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Return the forks of a document's room: by the name of its room what is known of each."""
        with _errors():
            await self.rights.require("read", *self.forks.paths(name))
            self.finish({fork: about.described() for fork, about in (await self.forks.of(name)).items()})

    @authenticated
    @authorized
    async def put(self, name: str) -> None:
        """Fork a document's room; the body may say ``title``, ``description`` and ``synchronize``."""
        body = _object(self, "the fields title, description and synchronize", {})
        for field, kind, what in (("title", str, "text"), ("description", str, "text"), ("synchronize", bool, "bool")):
            if not isinstance(body.get(field) or kind(), kind):
                raise HTTPError(400, f"{field}: a {what} is required")
        fork = Fork(name, bool(body.get("synchronize")), body.get("title") or "", body.get("description") or "")
        with _errors():
            await self.rights.require("write", *self.forks.paths(name))
            made, lineage = await self.forks.create(fork, self.current_user.username)
            self.set_status(201)
            self.finish({"sessionId": lineage, "fork_roomid": made, "fork_info": fork.described()})

    @authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Throw a fork away, with ``merge=true`` after its edits were applied to the document."""
        merge = self.get_query_argument("merge", "")
        if merge not in ("true", "false"):
            raise HTTPError(400, f"merge: true or false, not {merge!r}")
        with _errors():
            await self.rights.require("write", *self.forks.paths(name))
            await self.forks.delete(name, merge == "true", self.current_user.username)
            self.finish()


class HistoryHandler(_LargeHandler):
    """``api/rtc/history/<path>``: the versions of a document, and the way back to one."""

    def initialize(self, history: History) -> None:
        """Take the past of documents."""
        self.history = history
        self.allowances = history.allowances

    @authenticated
    @authorized
    async def get(self, path: str) -> None:
        """Return the versions; with ``version`` what one holds; with ``from`` and ``to`` what differs between two."""
        with self.counted():
            await self.rights.require("read", path)
            await self.send(await self._answer(await self._subject(path)))

    @authenticated
    @authorized
    async def post(self, path: str) -> None:
        """Bring the document back to the ``version`` in the body."""
        version = _object(self, "the field version").get("version")
        if not isinstance(version, int) or isinstance(version, bool):
            raise HTTPError(400, "version: the id of a version is required, a number")
        with self.counted():
            await self.rights.require("write", path)
            subject = await self._subject(path)
            await self.history.restore(subject, version, self.current_user.username)
            self.finish({"path": subject.path, "restored": version})

    async def _answer(self, subject: Subject) -> bytes:
        """Return what is asked for of a document's past."""
        if "version" in self.request.arguments:
            version, original = await self.history.version(subject, _number(self, "version"))
            return await self.history.asked.run(answers.version_model, subject, version, original)
        if "from" in self.request.arguments or "to" in self.request.arguments:
            old, new = _number(self, "from"), _number(self, "to")
            found = await self.history.difference(subject, old, new)
            about = {"path": subject.path, "type": subject.kind, "from": old, "to": new}
            return await self.history.asked.run(answers.encoded, {**about, **found})
        chronicle = await self.history.chronicle(subject)
        versions = [answers.about(one) for one in (chronicle.versions if chronicle else ())]
        room = str(subject.name) if chronicle else None
        return answers.encoded({"path": subject.path, "room": room, "versions": versions})

    async def _subject(self, path: str) -> Subject:
        form, kind = self.get_query_argument("format", ""), self.get_query_argument("type", "")
        return await self.history.subject(path.strip("/"), form, kind)


def _file(handler: APIHandler) -> tuple[str, str, str]:
    """Return the path, the format and the type in the arguments of a request; empty where they are not there."""
    path, form, kind = (handler.get_query_argument(name, "") for name in ("path", "format", "type"))
    return path.strip("/"), form, kind


def _number(handler: APIHandler, name: str) -> int:
    text = handler.get_query_argument(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise HTTPError(400, f"{name}: a whole number is required, not {text!r}")
    return int(text)
