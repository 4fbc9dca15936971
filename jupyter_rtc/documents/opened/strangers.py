"""Peers whose document has another history than the room's: what becomes of what they brought."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

from ...machine import Pool
from ...relay import Mark, Member, Past, Relay, StoredRoom, StoreError, Verdict, state_without
from ...wire import covers
from ..files.managed import FileError
from ..files.recovery import Recovery, RecoveryError
from ..formats.content import Original
from ..formats.update import NO_CHANGE
from ..merging.lineage import Brought, Weighed, examine, lacking, made_elsewhere, may_double, reconcile, recorded, weigh
from .base import noted
from .pair import Pair

_TRIES = 2
_MOST_KNOWN = 8
_MOST_BYTES = 1 << 27

_ONLY_READS = "This document began anew. Reload it to read on."
_CONTAINED = "Nothing was lost. Reload to go on."
_MERGED = "Your changes were merged. Reload to see them."
_CHANGED = "It was changed outside, and what it was before is lost: the document as it was open is saved over it."
_WHY = "It was typed into a document with another history than the one here, and could not be merged."
_OLDER = "It was stored before the file was saved last, and not all of it is in the file as it was."
_REVERTED = "This is what it said before its file was set back to what it was."
_TAKEN = "This is what it said before another program's edit of its file, which has not all that was typed here lately."
_REMAINS = "It was found in a damaged record of the document, which began anew without it."

_Result = TypeVar("_Result")


class StrangersHost(Protocol):
    """What is needed of the documents: where their rooms are served, where copies are kept, who thinks when."""

    relay: Relay
    recovery: Recovery
    thinking: Pool


@dataclass(frozen=True)
class Stranger:
    """Another history of the document, as far as peers have brought it.

    Attributes:
        brought: all that they brought, together.
        fork: a state of the room's history with that content; None where there is none.
        reason: what its peers are told.
        copies: the ids of its recovery copies: the first, which its peers are told of, and the last.
    """

    brought: Brought
    fork: bytes | None
    reason: str
    copies: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Return about how many bytes of memory it takes."""
        return len(self.brought.state) + len(self.fork or b"")


class Strangers:
    """Sees to what the peers of one room brought that have another history.

    Peers of one such history share what was typed into it: it is taken in once, whoever of them brings it.
    """

    def __init__(self, host: StrangersHost, pair: Pair) -> None:
        """See to those of the room of `pair`."""
        self._host = host
        self._room = pair.room
        self._content = pair.content
        self._file = pair.file
        self._base = pair.base
        self._autosave = pair.autosave
        self._known: list[Stranger] = []

    async def judge(self, member: Member, updates: Sequence[bytes]) -> Verdict:
        """Take in what a member brought, and say how it stands; nothing else may load or save the document meanwhile.

        The room may have another document afterwards, and another genesis. Raises ProtocolError where what was
        brought cannot be read.
        """
        if not member.writable:
            return Verdict(_ONLY_READS)
        original = self._file.original
        brought = await self._think(partial(examine, self._content, original, updates))
        known = next((known for known in self._known if known.brought.clocks.keys() & brought.clocks.keys()), None)
        if await self._is_ours(member, brought, known) or (brought.empty and not known):
            return Verdict()
        state = brought.state
        if known:
            both = (known.brought.state, brought.state)
            brought = await self._think(partial(examine, self._content, original, both))
        elif self._adopt(brought):
            self._host.relay.log.info("room %s: %s goes on with the history that a peer brought", *self._whose)
            return Verdict()
        try:
            stranger = await self._take_in(member, brought, known)
        except RecoveryError as error:
            self._host.relay.log.error("room %s: %s: a peer stays aside with its edits: %s", *self._whose, error)
            return Verdict("", state, settled=False)
        self._remember(stranger, known)
        return Verdict(stranger.reason, state)

    async def reconcile(self, original: Original, *, edited: bool) -> bytes:
        """Return what somebody else's file adds to the document, where nobody knows any more what it was before.

        What cannot be merged then is kept as a recovery copy of the file: the document goes on, and is saved over it.
        Raises FileError where that cannot be kept.
        """
        live = self._room.whole_state()
        update = await self._think(partial(reconcile, self._content, original, live, edited=edited))
        if update is not None:
            return update
        await self._set_aside(original, _CHANGED)
        return NO_CHANGE

    async def set_aside(self, left: Original) -> None:
        """Keep the document as it was stored; the file was written from a later state, and has not all of it.

        Raises FileError where that cannot be kept.
        """
        await self._set_aside(left, _OLDER)

    async def spare(self, left: Original) -> None:
        """Keep the document as it is before it is set back. Raises FileError where that cannot be."""
        await self._set_aside(left, _REVERTED)

    async def keep_typed(self, left: Original) -> None:
        """Keep the document as it is before an edit of the file takes away what was typed lately.

        Raises FileError where that cannot be.
        """
        await self._set_aside(left, _TAKEN)

    async def salvage(self, updates: Sequence[bytes]) -> None:
        """Keep what a damaged record of the document still held, if the document has not all of it."""
        live = self._room.whole_state()
        left = await self._think(partial(lacking, self._content, self._file.original, updates, live))
        if left is None:
            return
        try:
            await self._host.recovery.keep(self._file.name, self._file.path, left, author="", reason=_REMAINS)
        except RecoveryError as error:
            self._host.relay.log.error("room %s: %s: of its damaged record, %s", *self._whose, error)

    @property
    def _whose(self) -> tuple[str, str]:
        """The names of the room and of the file, as every line of the log has them."""
        return self._room.name, self._file.path

    async def _set_aside(self, original: Original, reason: str) -> None:
        try:
            await self._host.recovery.keep(self._file.name, self._file.path, original, author="", reason=reason)
        except RecoveryError as error:
            raise FileError(503, f"{self._file.path} and what is stored of it cannot be merged, and {error}") from None

    async def _is_ours(self, member: Member, brought: Brought, known: Stranger | None) -> bool:
        """Say whether a document may be synced as it is: nothing of it is in the room's as somebody else's edit.

        Where it has what the room's history has lost, the room has that again afterwards, if possible.
        """
        if self._room.genesis not in brought.clocks:
            return False
        if made_elsewhere(self._room.doc, brought):
            return await self._restore(brought)
        doubt = await self._doubt(brought.clocks)
        if doubt is None or known:
            return doubt is None
        base, live = doubt  # of one moment: what others type meanwhile is in neither
        whole = await self._think(partial(examine, self._content, self._file.original, [brought.state, base]))
        perhaps: bool = await self._think(partial(may_double, self._content, base, live, whole))
        return not perhaps

    async def _restore(self, brought: Brought) -> bool:
        """Go on with the end of the history that the store has lost and somebody brought; return whether that is done.

        What was taken from the file in its place is taken out again; nobody has seen it, or written on at it. Who knew
        the file as it is but not all that is stored was away meanwhile: somebody else has put it back as it was.
        """
        file, room, seq = self._file, self._room, self._room.seq
        doubt = await self._doubt(brought.clocks)
        knew = covers(brought.clocks, self._base.loaded) and file.info.hash in brought.hashes
        if doubt is None or not knew:
            return False
        without, _ = doubt
        whole = await self._think(partial(examine, self._content, file.original, [without, brought.state]))
        saved = Mark(seq if whole.original is file.original else 0, file.info.hash)
        stored = StoredRoom(room.lineage, room.genesis, whole.state, seq, (), None, saved)
        doc = await self._think(stored.document)
        if stored.waiting(doc) != NO_CHANGE or room.inside.shown or room.seq != seq:
            return False
        if not room.adopt(stored):
            return False
        self._base.begin(saved.seq, file.info.hash)
        self._known = []
        self._host.relay.log.info("room %s: %s has the end of its history again, which a peer brought", *self._whose)
        return True

    async def _doubt(self, clocks: Mapping[int, int]) -> tuple[bytes, bytes] | None:
        """Return the document, as stored, without and with those doubted edits that one with these clocks lacks.

        None where it has all of them, or what came before them is not kept.
        """
        unknown = [edit for edit in self._room.inside.doubted if not covers(clocks, edit)]
        try:
            past = await self._host.relay.store.past(self._room.name) if unknown else None
        except StoreError:
            return None
        return await self._think(partial(_without_and_with, past, unknown)) if past else None

    def _adopt(self, brought: Brought) -> bool:
        """Go on with another history where that costs nobody anything; return whether that is done.

        The store was lost: the document was just built anew, and nobody has edited it. The other one was equal to the
        file as it is now, if not all of it was saved.
        """
        original, hash = self._file.original, self._file.info.hash
        is_file = brought.original is original
        fits = brought.genesis and (is_file or hash in brought.hashes)
        if not (fits and self._base.fresh) or self._autosave.edited:
            return False
        # Where there are edits in it, nobody can tell which part of it the file holds: there is no base.
        saved = Mark(int(is_file), hash)
        lineage = brought.lineage or self._room.lineage
        stored = StoredRoom(lineage, brought.genesis, brought.state, 1, (), None, saved)
        if not self._room.adopt(stored):
            return False
        self._base.begin(saved.seq, hash, fresh=True)
        self._known = []
        return True

    async def _take_in(self, member: Member, brought: Brought, known: Stranger | None) -> Stranger:
        merged = None if known else recorded(self._room.doc, brought.clocks)
        if merged:
            return Stranger(brought, None, _MERGED)
        base = None
        if known:
            base = known.fork
        elif merged is None:  # else a part of it was merged, and nobody knows any more which
            base = await self._base.state(brought.hashes)
        weighed = await self._weigh(brought, base, member.identity.username)
        if weighed.update is None:
            if weighed.contained and not (known and known.copies):
                return Stranger(brought, weighed.fork, known.reason if known else _CONTAINED)
            return await self._copy(member, brought, known)
        if weighed.update != NO_CHANGE:
            await self._room.merge_durably(weighed.update, member.identity.username)
        reason = known.reason if known and weighed.contained else _CONTAINED if weighed.contained else _MERGED
        return Stranger(brought, weighed.fork, reason)

    async def _weigh(self, brought: Brought, base: bytes | None, username: str) -> Weighed:
        """Weigh a document against the room's as it is at the return; or was a moment before, if it never rests."""
        with self._room.quiet():
            for _ in range(_TRIES):
                seq, live = self._room.seq, self._room.whole_state()
                note = noted(self._room.name, username)
                weighed = await self._think(partial(weigh, self._content, brought, base, live, note))
                if self._room.seq == seq:
                    break
            return weighed

    async def _copy(self, member: Member, brought: Brought, known: Stranger | None) -> Stranger:
        """Keep a document as a recovery copy. The first of a history stays; what comes later replaces the last."""
        if known and known.copies:
            unchanged: bool = await self._think(partial(self._is_same, known.brought, brought))
            if unchanged:
                return replace(known, brought=brought)
        recovery, author = self._host.recovery, member.identity.username
        copy = await recovery.keep(self._file.name, self._file.path, brought.original, author=author, reason=_WHY)
        first, *later = (known and known.copies) or (copy.id,)
        with suppress(RecoveryError):  # somebody else removed it
            for old in {*later} - {copy.id}:
                await recovery.remove(old)
        copies = (first,) if copy.id == first else (first, copy.id)
        return Stranger(brought, None, f"Kept as recovery copy {first}", copies)

    def _is_same(self, one: Brought, other: Brought) -> bool:
        return self._content.render(one.original, other.original.value) is one.original

    async def _think(self, work: Callable[[], _Result]) -> _Result:
        """Do something in a thread; of what may be large, there is a bounded number at once."""
        return await self._host.thinking.run(work)

    def _remember(self, stranger: Stranger, known: Stranger | None) -> None:
        self._known = [other for other in self._known if other is not known] + [stranger]
        while len(self._known) > _MOST_KNOWN or sum(other.size for other in self._known[:-1]) > _MOST_BYTES:
            del self._known[0]


def _without_and_with(past: Past, edits: Sequence[Mapping[int, int]]) -> tuple[bytes, bytes]:
    return state_without(past, edits), past.stored.state(past.stored.last)
