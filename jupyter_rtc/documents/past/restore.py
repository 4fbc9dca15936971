"""Bringing back what a document was: a recovery copy into it, or into a new file beside it; any version into it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from posixpath import basename, dirname, splitext
from typing import Any, Protocol

from ...machine import Pool
from ...relay import OpenRoom, Relay, RoomError
from ...wire import CloseCode
from ..files.managed import FileError, Files
from ..files.recovery import Recovery, RecoveryCopy, RecoveryError
from ..formats.content import Content, ContentError, Original
from ..formats.kinds import Kinds
from ..merging.merge import outside

_LONGEST_STEM = 180  # bytes: what is added to it must fit into the 255 that file systems allow
_TRIES = 100
_STATUS = {CloseCode.NOT_FOUND: 404, CloseCode.BAD_CONTENT: 409, CloseCode.GOING_AWAY: 503}


class Place(Protocol):
    """What is needed of the documents to bring something back to them.

    Attributes:
        relay: where their rooms are served.
        recovery: where the copies are.
        kinds: the types of documents.
    """

    relay: Relay
    recovery: Recovery
    kinds: Kinds

    @property
    def files(self) -> Files:
        """Where their files are now."""

    def path_of(self, file_id: str) -> str | None:
        """Return the path of a file, or None where it is gone."""

    async def attend(self, name: str) -> None:
        """Raise FileError where the file of the document in the room of this name is gone."""

    async def admit(self, name: str) -> None:
        """Raise RoomError where there can be no room of this name."""


async def into_document(place: Place, id: str, author: str) -> RecoveryCopy:
    """Make a document equal to a copy of it, with the smallest edits, as an edit of the user `author`.

    It is an edit like any other: what people type meanwhile survives, as do their undo and the document's history.
    The room is opened if it is not in memory.

    Raises:
        RecoveryError: there is no such copy, or its document cannot be opened.
        FileError: the file cannot be looked at; with the status 409 where it is gone.
        ExhaustedError: the document is not in memory, and the user may bring no more there.
    """
    copy, data = await place.recovery.read(id)
    await place.attend(copy.room)
    try:
        await place.admit(copy.room)
        content, original = await _parsed(place, copy, data)
        await bring_back(place.relay.hold(copy.room, author), content, original, author, place.relay.asked)
    except RoomError as error:
        reason = f"the document of {copy.path} cannot be opened: {error.reason}"
        raise RecoveryError(_STATUS.get(CloseCode(error.code), 500), reason) from None
    place.recovery.log.info("room %s: %s restored recovery copy %s of %s", copy.room, author, id, copy.path)
    return copy


async def beside(place: Place, id: str) -> str:
    """Write a copy into a new file beside the original, wherever that is now; return the new file's path.

    Raises:
        RecoveryError: there is no such copy, or it is of a type that nobody registers any more.
        FileError: the new file cannot be written.
    """
    copy, data = await place.recovery.read(id)
    _, original = await _parsed(place, copy, data)
    path = place.path_of(copy.name.file_id) or copy.path
    for number in range(1, _TRIES):
        new = _new_path(path, copy, f" {number}" if number > 1 else "")
        try:
            await place.files.create(new, copy.name.kind, copy.name.form, original)
        except FileError as error:
            if error.status != 409:
                raise
        else:
            return new
    raise FileError(409, f"{path}: there are {_TRIES} files beside it already that were recovered")


async def bring_back(
    hold: AbstractAsyncContextManager[OpenRoom], content: Content, original: Original, author: str, asked: Pool
) -> None:
    """Make a document equal `original`, as `set_to` does, in the room that `hold` gives."""
    async with hold as room:
        await set_to(room, content, original, author, asked)


async def set_to(room: OpenRoom, content: Content, original: Original, author: str, asked: Pool) -> None:
    """Make the document of a room equal `original`, as an edit by `author` among those that others make meanwhile.

    The differences are found in the threads of `asked`; one after the other, for what two who bring back the same
    found in one state of the document would stand there twice. Raises RoomGone, and changes nothing, where the room
    went out of memory before it was done.
    """
    async with room.turn:
        with room.quiet():
            seq, state = room.seq, room.whole_state()
            update = await asked.run(outside, state, content, original)
            if room.seq != seq:  # it took too long for people to wait: what they are at stays
                update = await asked.run(outside, state, content, original, room.whole_state())
            room.seal()
            room.merge(update, author)


def filename(copy: RecoveryCopy, path: str = "", number: str = "") -> str:
    """Return how a file with the content of a copy is called, such as ``thesis (recovered 2026-11-23 14.05).ipynb``.

    `path` is that of the original, if it is not that of the copy; `number` tells apart those of the same minute. The
    time is the server's local one.
    """
    stem, suffix = splitext(basename(path or copy.path))
    when = datetime.fromtimestamp(copy.time).strftime("%Y-%m-%d %H.%M")
    short = stem.encode()[:_LONGEST_STEM].decode(errors="ignore")
    return f"{short} (recovered {when}){number}{copy.suffix or suffix[:32]}"


def _new_path(path: str, copy: RecoveryCopy, number: str) -> str:
    folder = dirname(path)
    return f"{folder}/{filename(copy, path, number)}" if folder else filename(copy, path, number)


async def _parsed(place: Place, copy: RecoveryCopy, data: bytes) -> tuple[Content, Original]:
    def parse() -> tuple[Content, Original]:
        """Do it, in a thread."""
        content = place.kinds.content(copy.name.kind)
        body: Any = data if copy.name.form == "base64" else data.decode()
        return content, content.parse(body)

    try:
        return await place.relay.asked.run(parse)
    except KeyError:
        raise RecoveryError(409, f"nobody registered the type {copy.name.kind} of recovery copy {copy.id}") from None
    except (ContentError, UnicodeDecodeError) as error:
        raise RecoveryError(409, f"recovery copy {copy.id} is no {copy.name.kind}: {error}") from None
