"""Rooms that branch off from a document: timelines and forks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from ...relay import Member, OpenRoom, PlainKind, Resident, StoredRoom, Verdict
from ...wire import document_of, whole_state
from ..opened.documents import Documents


class BranchKind(PlainKind):
    """Copies of documents. Each begins with the history of its document, and takes in no other."""

    _documents: Documents

    def root(self, name: str) -> str:
        """Return the name of the room of the document that a branch is a copy of; of what is no branch, its own."""
        raise NotImplementedError

    def paths(self, name: str) -> Collection[str]:
        """Return those of the document."""
        return self._documents.paths(self.root(name))

    def lists(self, name: str) -> Collection[str]:
        """Return those of the document."""
        return self._documents.lists(self.root(name))


class Branch(Resident):
    """Looks after one of them while it is open."""

    async def foreign(self, member: Member, updates: Sequence[bytes]) -> Verdict:
        """Let no other history in: this is a copy of one document."""
        brought = await asyncio.to_thread(document_of, updates)
        return Verdict("this is a copy of another document", whole_state(brought, updates))


async def branch_off(branch: OpenRoom, root: StoredRoom, state: bytes) -> None:
    """Fill an empty room with a `state` of the document `root`; it is update number 1 of the room, and all in one."""
    first = StoredRoom(root.lineage, root.genesis, state, 1, (), None, None)
    doc = await asyncio.to_thread(first.document)
    room = branch.inside
    room.lineage = root.lineage
    room.replace(doc)
    room.begin(1, root.genesis, waiting=await asyncio.to_thread(first.waiting, doc))
