"""Conflicts that are recorded in documents, for those who settle them: listed, and dismissed."""

from __future__ import annotations

import asyncio
from typing import Any

from ..relay import StoredRoom, StoreError
from .conflicts import forget, recorded
from .documents import Documents
from .history import HistoryError, opened


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


async def dismiss(documents: Documents, id: str, path: str = "", form: str = "", kind: str = "") -> None:
    """Take the record of a conflict out of its document, which is opened if need be; returns when that is stored.

    The document is looked for as in `listed`, which says what is raised. Raises HistoryError, too, where there is no
    such conflict, and where its document cannot be opened.
    """
    for name in await _views(documents, path, form, kind):
        if id in await _recorded(documents, name):
            room = await opened(documents, name)
            documents.relay.edit(room, lambda doc: forget(doc, [id]))
            await documents.relay.keeper.settle()
            return
    where = path or "an open document (the argument path names another)"
    raise HistoryError(404, f"there is no conflict {id!r} in {where}")


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
        return await asyncio.to_thread(_stored, stored) if stored else {}
    except StoreError as error:
        raise HistoryError(503, f"the store cannot be read: {error}") from None


def _stored(stored: StoredRoom) -> dict[str, dict[str, Any]]:
    return recorded(stored.document())
