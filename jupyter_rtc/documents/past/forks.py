"""Forks: copies of a document in which people work beside it, until they are merged into it or thrown away.

A fork has the history of its root, so that to merge it is to apply its edits, and nothing stands twice. Forks are
stored like any room, and their descriptions are files, so that they survive a restart of the server::

    <Forks.folder>/<id>.json        root_roomid, synchronize, title, description
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

from pycrdt import Map
from traitlets import Float, Integer, Unicode
from traitlets.config import LoggingConfigurable

from ...machine import Backoff, Tasks, place
from ...relay import ExhaustedError, OpenRoom, Resident, RoomError, StoredRoom, StoreError
from ...wire import CloseCode
from ..opened.documents import Documents
from .branches import Branch, BranchKind, branch_off
from .history import HistoryError, opened

__all__ = ["Fork", "Forks"]

_ID = re.compile(r"[0-9a-f]{32}")
_DAY = 86_400.0
_SEEK = 1.0, 30.0  # seconds from one try to open a document that is to be followed to the next, at first and at most

Hold: TypeAlias = "Callable[[], AbstractAsyncContextManager[OpenRoom]]"
"""Opens the document of a fork, and holds it. Raises HistoryError and ExhaustedError."""


@dataclass(frozen=True)
class Fork:
    """What is known of a fork: the room of its document, whether that document's later edits reach it, and words.

    `author` is the username of who made it; empty for one that was made before this was noted.
    """

    root_roomid: str
    synchronize: bool = False
    title: str = ""
    description: str = ""
    author: str = ""

    def described(self) -> dict[str, Any]:
        """Return what front ends are told of it."""
        return {key: value for key, value in asdict(self).items() if key != "author"}


class Forks(BranchKind, LoggingConfigurable):
    """The rooms of forks."""

    stored = True

    folder = Unicode(
        "", help="Where forks are described; by default `jupyter_rtc/forks` in Jupyter's data directory."
    ).tag(config=True)
    max_forks = Integer(
        20, min=0, help="How many forks a document may have at once; the next is refused with 409."
    ).tag(config=True)
    max_forks_per_user = Integer(
        100, min=0, help="How many forks a user may have of all documents; the next is refused with 429."
    ).tag(config=True)
    max_forks_in_total = Integer(
        1000, min=0, help="How many forks all users may have of all documents; the next is refused with 429."
    ).tag(config=True)
    max_fork_age = Float(
        90.0, min=0.0, help="Days without anybody in it after which a fork is thrown away; 0 keeps them for ever."
    ).tag(config=True)

    def __init__(self, documents: Documents, emit: Callable[[str, dict[str, Any]], None], **kwargs: Any) -> None:
        """Fork `documents`; `emit` sends an event, given the last part of its schema's name and its data."""
        super().__init__(**kwargs)
        self._documents = documents
        self._emit = emit
        self._folder = place(self.folder, "forks")
        self._forks = self._read()
        self._new: dict[str, StoredRoom] = {}
        self._open: set[str] = set()

    async def of(self, root: str) -> dict[str, Fork]:
        """Return the forks of a document, by the names of their rooms."""
        await self._clean()
        return {name: fork for name, fork in self._forks.items() if fork.root_roomid == root}

    async def create(self, fork: Fork, username: str) -> tuple[str, str]:
        """Make a fork; return the name of its room, and its lineage. Raises HistoryError and ExhaustedError."""
        root = fork.root_roomid
        if root in self._forks:
            raise HistoryError(400, "a fork cannot be forked again; fork the document")
        if not self._documents.owns(root):
            raise HistoryError(404, f"no document's room: {root}")
        await self._clean()
        self._refuse_greed(root, username)
        async with opened(self._documents, root, username):
            first = await self._copy(root)
        self._refuse_greed(root, username)  # others may have been made meanwhile
        name, fork = uuid4().hex, replace(fork, author=username)
        self._new[name], self._forks[name] = first, fork
        try:
            await asyncio.to_thread(self._write, name, fork)
            async with self._documents.relay.hold(name, username) as room:
                lineage = room.lineage
        except (OSError, RoomError, ExhaustedError) as error:
            del self._forks[name]
            await asyncio.to_thread(self._path(name).unlink, missing_ok=True)
            if isinstance(error, ExhaustedError):
                raise
            raise HistoryError(503, f"the fork cannot be kept: {error}") from None
        finally:
            del self._new[name]
        self._say(name, fork, username, "create")
        return name, lineage

    def _refuse_greed(self, root: str, username: str) -> None:
        """Raise HistoryError where a document, a user, or all of them, have as many forks as they may."""
        if sum(fork.root_roomid == root for fork in self._forks.values()) >= self.max_forks:
            raise HistoryError(409, f"this document has {self.max_forks} forks; merge or delete one")
        own = sum(fork.author == username for fork in self._forks.values())
        if own >= self.max_forks_per_user:
            raise HistoryError(429, f"{username} has {own} forks; merge or delete one")
        if len(self._forks) >= self.max_forks_in_total:
            raise HistoryError(429, f"there are {len(self._forks)} forks; merge or delete one")

    async def delete(self, name: str, merge: bool, username: str) -> None:
        """Throw a fork away; `merge` applies its edits to the document first, by `username`.

        Raises HistoryError and ExhaustedError.
        """
        fork = self._forks.get(name)
        if fork is None:
            raise HistoryError(404, f"no such fork: {name}")
        if merge:
            await self._merge(name, fork, username)
        await self._throw_away(name, username)

    async def _merge(self, name: str, fork: Fork, username: str) -> None:
        try:
            async with (
                self._documents.relay.hold(name, username) as branch,
                opened(self._documents, fork.root_roomid, username) as root,
            ):
                _merge(branch, root, username)
        except RoomError as error:
            raise HistoryError(409, error.reason) from None

    # ------------------------------------------------------------------ RoomKind

    def owns(self, name: str) -> bool:
        """Own the forks that there are."""
        return name in self._forks

    def root(self, name: str) -> str:
        """Return the name of the document's room."""
        return self._forks[name].root_roomid if name in self._forks else name

    async def load(self, room: OpenRoom, stored: StoredRoom | None) -> tuple[Resident, StoredRoom | None]:
        """Begin with the document as it was when the fork was made; and hold that, if it is to be followed."""
        first = None if stored else self._new.get(room.name)
        if not (stored or first):
            raise RoomError(CloseCode.NOT_FOUND, "what was stored of this fork is lost")
        with ExitStack() as held:
            follow = partial(self._opened_root, room) if self._forks[room.name].synchronize else None
            root = await self._root_of(follow, held) if follow else None
            if first:
                await branch_off(room, first, first.snapshot)
            fork = OpenFork(room, partial(self._noted, room.name), Tasks(self.log, f"room {room.name}"))
            fork.follow(root, follow, held.pop_all())
            return fork, first

    def _opened_root(self, room: OpenRoom) -> AbstractAsyncContextManager[OpenRoom]:
        """Hold the room of a fork's document, for whoever opened the fork. Raises HistoryError and ExhaustedError."""
        return opened(self._documents, self._forks[room.name].root_roomid, room.inside.opener)

    async def _root_of(self, follow: Hold, held: ExitStack) -> OpenRoom | None:
        """Hold the room of a fork's document; None where it cannot be opened for now."""
        try:
            async with follow() as root:
                return held.enter_context(root.held())
        except HistoryError:
            return None
        except ExhaustedError as error:
            raise RoomError(CloseCode.NOT_ALLOWED, str(error)) from None

    def _noted(self, name: str, is_open: bool) -> None:
        """Take note that a fork is open, or is not any more."""
        (self._open.add if is_open else self._open.discard)(name)
        self._touch(name)

    # ------------------------------------------------------------------ what is kept

    async def _copy(self, root: str) -> StoredRoom:
        """Return what the store is to begin with for a fork of a document that is open."""
        try:
            stored = await self._documents.relay.store.load(root)
        except StoreError as error:
            raise HistoryError(503, f"the store cannot be read: {error}") from None
        if stored is None:
            raise HistoryError(503, "the document is not in the store")
        state = await self._documents.relay.asked.run(stored.state, stored.last)
        return StoredRoom(stored.lineage, stored.genesis, state, 1, (), None, None)

    async def _clean(self) -> None:
        """Throw away the forks in which nobody was for too long."""
        before = time.time() - self.max_fork_age * _DAY
        for name in list(self._forks) if self.max_fork_age else ():
            if name not in self._open and self._last_used(name) < before:
                await self._throw_away(name, "")

    async def _throw_away(self, name: str, username: str) -> None:
        await self._documents.relay.discard(name)
        if fork := self._forks.pop(name, None):
            await asyncio.to_thread(self._path(name).unlink, missing_ok=True)
            self._say(name, fork, username, "delete")

    def _say(self, name: str, fork: Fork, username: str, action: str) -> None:
        self._emit("fork", {"fork_roomid": name, "fork_info": fork.described(), "username": username, "action": action})

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _read(self) -> dict[str, Fork]:
        """Return the forks that an earlier process made."""
        found: dict[str, Fork] = {}
        for path in self._folder.glob("*.json"):
            try:
                if _ID.fullmatch(path.stem):
                    found[path.stem] = Fork(**json.loads(path.read_bytes()))
            except (OSError, ValueError, TypeError) as error:
                self.log.warning("the fork %s cannot be read: %s", path, error)
        return found

    def _write(self, name: str, fork: Fork) -> None:
        """Describe a fork in a file, which appears whole."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(name)
        unfinished = path.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(fork)), encoding="utf-8")
        unfinished.replace(path)

    def _last_used(self, name: str) -> float:
        try:
            return self._path(name).stat().st_mtime
        except FileNotFoundError:
            return time.time()

    def _touch(self, name: str) -> None:
        with suppress(OSError):
            os.utime(self._path(name))


class OpenFork(Branch):
    """A fork that is open, which follows its document, if that is wanted."""

    def __init__(self, room: OpenRoom, noted: Callable[[bool], None], tasks: Tasks) -> None:
        """Look after `room`; `noted` is told when the fork is open, and when it is not any more."""
        self._room = room
        self._noted = noted
        self._tasks = tasks
        self._root: OpenRoom | None = None
        self._hold: Hold | None = None
        self._held = ExitStack()

    def follow(self, root: OpenRoom | None, hold: Hold | None, held: ExitStack) -> None:
        """Follow `root` once the fork is open; `held` lets it go. Where there is none, seek it by `hold`, if given."""
        self._root, self._hold, self._held = root, hold, held

    def opened(self) -> None:
        """Follow the document, and bring the fork up to date with it; or seek it until it can be opened."""
        self._noted(True)
        if self._root:
            self._begin(self._root)
        elif self._hold:
            self._tasks.spawn(self._seek(self._hold))

    async def _seek(self, hold: Hold) -> None:
        backoff = Backoff(*_SEEK)
        while not self._root:
            await asyncio.sleep(backoff.next())
            with suppress(HistoryError, ExhaustedError):
                async with hold() as root:
                    self._root = self._held.enter_context(root.held())
                    self._begin(root)

    def _begin(self, root: OpenRoom) -> None:
        self._held.callback(root.follow(self._follow))
        self._follow(None, "")

    def closed(self) -> None:
        """Follow the document no longer."""
        self._tasks.cancel()
        self._held.close()
        self._noted(False)

    def _follow(self, update: bytes | None, origin: str) -> None:
        """Bring an update of the document into its fork; or all that the fork lacks."""
        if self._root and self._room.genesis == self._root.genesis:
            missing = self._root.doc.get_update(self._room.doc.get_state()) if update is None else update
            self._room.merge(missing, origin)


def _merge(branch: OpenRoom, root: OpenRoom, username: str) -> None:
    """Bring the edits of a fork into its document, without what is said of the fork."""
    if branch.genesis != root.genesis:
        raise HistoryError(409, "the document has another history now; what is in the fork can be copied by hand")
    state: Map[Any] = root.doc.get("state", type=Map)
    before = state.to_py() or {}
    root.merge(branch.doc.get_update(root.doc.get_state()), username)
    after = state.to_py() or {}
    root.edit(lambda _: _set_back(state, before, after))


def _set_back(state: Map[Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    for key in after.keys() - before.keys():
        del state[key]
    for key, value in before.items():
        if after.get(key) != value:
            state[key] = value
