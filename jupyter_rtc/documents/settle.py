"""Conflicts that are recorded in documents, for those who settle them: listed, and dismissed."""

from __future__ import annotations

from typing import Any

from ..relay import StoredRoom, StoreError
from .merging.conflicts import forget, recorded
from .opened.documents import Documents
from .past.history import HistoryError, opened


async def listed(documents: Documents, path: str = "", form: str = "", kind: str = "") -> list[dict[str, Any]]:
    """Return the conflicts of the open documents, the oldest first; or those of one file, whether it is open or not.

    Where `path` names a file, `form` and `kind` say which of its documents is meant that are not open, as in
    `Documents.locate`.

    Raises:
        BadRequest: there is no such type, or not in this format.
        FileError: there is no such file, and never was.
        HistoryError: the store cannot be read.
    """
    found = [
        {"id": id, "path": at, "room": name, **record}
        for name, at in (await _views(documents, path, form, kind)).items()
        for id, record in (await _recorded(documents, name)).items()
    ]
    return sorted(found, key=lambda conflict: (conflict["time"], conflict["id"]))


async def dismiss(documents: Documents, name: str, id: str, user: str) -> None:
    """Take the record of a conflict out of the document in the room `name`; returns when that is stored.

    The document is opened for the user if need be; raises HistoryError or ExhaustedError where that cannot be.
    """
    async with opened(documents, name, user) as room:
        room.edit(lambda doc: forget(doc, [id]))
        documents.overview.noted(name)
        await documents.relay.keeper.settle()


async def _views(documents: Documents, path: str, form: str, kind: str) -> dict[str, str]:
    """Return the rooms to look into, with the paths of their files."""
    if not path:
        return documents.views()
    path, _, name = await documents.locate(path, form, kind)
    return documents.views(path) | ({str(name): path} if name else {})


async def _recorded(documents: Documents, name: str) -> dict[str, dict[str, Any]]:
    """Return the records in a document by their ids, whether it is in memory or in the store."""
    if room := documents.relay.get(name):
        return recorded(room.doc)
    try:
        stored = await documents.relay.store.load(name)
        return await documents.relay.asked.run(_stored, stored) if stored else {}
    except StoreError as error:
        raise HistoryError(503, f"the store cannot be read: {error}") from None


def _stored(stored: StoredRoom) -> dict[str, dict[str, Any]]:
    return recorded(stored.document())
