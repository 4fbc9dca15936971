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
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from pycrdt import Map
from traitlets import Float, Integer, Unicode
from traitlets.config import LoggingConfigurable

from ..relay import CloseCode, ExhaustedError, Follower, Room, RoomError, StoredRoom, StoreError, place
from .branches import BranchOwner, branch_off
from .documents import Documents
from .history import HistoryError, opened

__all__ = ["Fork", "Forks"]

_ID = re.compile(r"[0-9a-f]{32}")
_DAY = 86_400.0


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


class Forks(BranchOwner, LoggingConfigurable):
    """Owns the rooms of forks."""

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
        self._following: dict[str, tuple[str, Follower]] = {}

    async def of(self, root: str) -> dict[str, Fork]:
        """Return the forks of a document, by the names of their rooms."""
        await self._clean()
        return {name: fork for name, fork in self._forks.items() if fork.root_roomid == root}

    async def create(self, fork: Fork, username: str) -> tuple[str, Room]:
        """Make a fork; return its name, and its room. Raises HistoryError and ExhaustedError."""
        root = fork.root_roomid
        if root in self._forks:
            raise HistoryError(400, "a fork cannot be forked again; fork the document")
        if not self._documents.owns(root):
            raise HistoryError(404, f"no document's room: {root}")
        await self._clean()
        self._refuse_greed(root, username)
        await opened(self._documents, root, username)
        first = await self._copy(root)
        self._refuse_greed(root, username)  # others may have been made meanwhile
        name, fork = uuid4().hex, replace(fork, author=username)
        self._new[name], self._forks[name] = first, fork
        try:
            await asyncio.to_thread(self._write, name, fork)
            room = await self._documents.relay.open(name, username)
        except (OSError, RoomError, ExhaustedError) as error:
            del self._forks[name]
            await asyncio.to_thread(self._path(name).unlink, missing_ok=True)
            if isinstance(error, ExhaustedError):
                raise
            raise HistoryError(503, f"the fork cannot be kept: {error}") from None
        finally:
            del self._new[name]
        self._say(name, fork, username, "create")
        return name, room

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
        relay = self._documents.relay
        try:
            room = await relay.open(name, username)
        except RoomError as error:
            raise HistoryError(409, error.reason) from None
        root = await opened(self._documents, fork.root_roomid, username)
        if room.genesis != root.genesis:
            raise HistoryError(409, "the document has another history now; what is in the fork can be copied by hand")
        state: Map[Any] = root.doc.get("state", type=Map)
        before = state.to_py() or {}
        relay.merge(root, room.doc.get_update(root.doc.get_state()), username)
        after = state.to_py() or {}
        relay.edit(root, lambda _: _set_back(state, before, after))  # that is said of the fork

    # ------------------------------------------------------------------ RoomOwner

    def owns(self, name: str) -> bool:
        """Own the forks that there are."""
        return name in self._forks

    def root(self, name: str) -> str:
        """Return the name of the document's room."""
        return self._forks[name].root_roomid if name in self._forks else name

    async def load(self, room: Room, stored: StoredRoom | None) -> StoredRoom | None:
        """Begin with the document as it was when the fork was made; and open that, if it is to be followed."""
        if self._forks[room.name].synchronize:
            try:
                await opened(self._documents, self._forks[room.name].root_roomid, room.opener)
            except HistoryError:  # it may be gone: then there is nothing more to follow
                pass
            except ExhaustedError as error:
                raise RoomError(CloseCode.NOT_ALLOWED, str(error)) from None
        if stored:
            return None
        first = self._new.get(room.name)
        if first is None:
            raise RoomError(CloseCode.NOT_FOUND, "what was stored of this fork is lost")
        await branch_off(room, first, first.snapshot)
        return first

    def opened(self, room: Room) -> None:
        """Follow the document, if that is wanted, and bring the fork up to date with it."""
        fork = self._forks[room.name]
        if fork.synchronize:
            self._following[room.name] = fork.root_roomid, partial(self._follow, room)
            self._documents.relay.follow(*self._following[room.name])
            if root := self._documents.relay.get(fork.root_roomid):
                self._follow(room, root, None, "")
        self._touch(room.name)

    def closed(self, room: Room) -> None:
        """Follow the document no longer."""
        if following := self._following.pop(room.name, None):
            self._documents.relay.unfollow(*following)
        self._touch(room.name)

    def _follow(self, room: Room, root: Room, update: bytes | None, author: str) -> None:
        """Bring an update of the document into its fork; or all that the fork lacks."""
        if room.genesis == root.genesis:
            missing = root.doc.get_update(room.doc.get_state()) if update is None else update
            self._documents.relay.merge(room, missing, author)

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
            if self._documents.relay.get(name) is None and self._last_used(name) < before:
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


def _set_back(state: Map[Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    for key in after.keys() - before.keys():
        del state[key]
    for key, value in before.items():
        if after.get(key) != value:
            state[key] = value
