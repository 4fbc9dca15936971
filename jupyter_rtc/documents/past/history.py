"""The past of a document: its versions, what each held, what differs between two, and the way back to one.

A version is made from what the store keeps, off the event loop, whether its room is in memory or not. To go back
is an edit like any other: the document is set to what it held, with the smallest edits, by who asked for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from ...relay import OpenRoom, Past, RoomError, StoreError, Version, document
from ...wire import CloseCode
from ..files.names import DocumentName
from ..formats.content import Content, Original, rendered
from ..formats.ipynb import Ipynb
from ..merging.changes import difference
from ..opened.documents import Documents
from .restore import bring_back

__all__ = ["Chronicle", "History", "HistoryError", "Subject", "opened"]


class HistoryError(Exception):
    """A past version cannot be had: `status` is an HTTP status for it, the text the reason.

    404: there is no such document or version. 409: not as things are. 429: one user asks for too many. 503: the store
    cannot be read, or there is no room for more.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Subject(NamedTuple):
    """Whose past it is: the document of the file at `path`; `name` is None where nobody opened it yet."""

    path: str
    kind: str
    name: DocumentName | None


class Chronicle(NamedTuple):
    """What is kept of a document's past, and the versions that can be made of it, the oldest first."""

    past: Past
    versions: list[Version]

    def original(self, content: Content, seq: int) -> Original:
        """Return the file as version `seq` would be written, as trusted as it was. May run in any thread."""
        original = rendered(content, document(self.past, seq))
        if isinstance(original, Ipynb) and content.trusted(original.value):
            return replace(original, trusted=True)
        return original


class History:
    """Looks into the past of documents, and brings them back to it.

    Attributes:
        allowances: how much of it each user may have in memory.
        asked: the threads in which it is read.
    """

    def __init__(self, documents: Documents) -> None:
        """Look into the past of `documents`."""
        self._documents = documents
        self.allowances = documents.relay.allowances
        self.asked = documents.relay.asked

    async def subject(self, path: str, form: str, kind: str) -> Subject:
        """Return whose past is asked for; `form` and `kind` may be empty. Raises BadRequest and FileError."""
        return Subject(*await self._documents.locate(path, form, kind))

    def content(self, subject: Subject) -> Content:
        """Return the type of a document."""
        return self._documents.kinds.content(subject.kind)

    async def chronicle(self, subject: Subject) -> Chronicle | None:
        """Return what is known of a document's past; None if it has none. Raises HistoryError."""
        if subject.name is None:
            return None
        return await self.of(str(subject.name), self.content(subject))

    async def of(self, room: str, content: Content) -> Chronicle | None:
        """Return what is known of the past of the document in `room`. Raises HistoryError."""
        try:
            past = await self._documents.relay.store.past(room)
        except StoreError as error:
            raise HistoryError(503, f"the store cannot be read: {error}") from None
        if past is None:
            return None
        return Chronicle(past, await self.asked.run(self._versions, past, content))

    async def version(self, subject: Subject, seq: int) -> tuple[Version, Original]:
        """Return a version and the file that it would be. Raises HistoryError."""
        chronicle, version = await self._version(subject, seq)
        return version, await self.asked.run(chronicle.original, self.content(subject), version.seq)

    async def difference(self, subject: Subject, old: int, new: int) -> dict[str, Any]:
        """Return what differs between two versions (see `changes.difference`). Raises HistoryError."""
        chronicle, _ = await self._version(subject, old)
        await self._version(subject, new)
        return await self.asked.run(_differ, chronicle, self.content(subject), old, new)

    async def restore(self, subject: Subject, seq: int, author: str) -> None:
        """Bring a document back to a version, as an edit by the user `author`.

        Raises:
            HistoryError: there is no such version, or the document cannot be opened.
            ExhaustedError: the document is not in memory, and the user may bring no more there.
        """
        _, original = await self.version(subject, seq)
        name = str(subject.name)
        content, documents = self.content(subject), self._documents
        await bring_back(opened(documents, name, author), content, original, author, self.asked)

    async def _version(self, subject: Subject, seq: int) -> tuple[Chronicle, Version]:
        chronicle = await self.chronicle(subject)
        for version in chronicle.versions if chronicle else ():
            if chronicle and version.seq == seq:
                return chronicle, version
        raise HistoryError(404, f"{subject.path} has no version {seq}; versions are thinned out as they grow old")

    def _versions(self, past: Past, content: Content) -> list[Version]:
        return self._documents.relay.keeper.versions(past, content.watch)


@asynccontextmanager
async def opened(documents: Documents, name: str, user: str) -> AsyncIterator[OpenRoom]:
    """Hold the room of a document in the context, opened for a user if need be. Raises HistoryError, ExhaustedError."""
    async with AsyncExitStack() as held:
        try:
            await documents.admit(name)
            room = await held.enter_async_context(documents.relay.hold(name, user))
        except RoomError as error:
            status = {CloseCode.NOT_FOUND: 404, CloseCode.BAD_CONTENT: 409}.get(CloseCode(error.code), 503)
            raise HistoryError(status, error.reason) from None
        yield room


def _differ(chronicle: Chronicle, content: Content, old: int, new: int) -> dict[str, Any]:
    before, after = chronicle.original(content, old), chronicle.original(content, new)
    return difference(before.value, after.value, (f"version {old}", f"version {new}"))
