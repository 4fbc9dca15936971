"""The merge base: the state in which a document was last equal to its file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

import pycrdt

from ...relay import Mark, OpenRoom, Past, Relay, RoomGone, StoredRoom, StoreError
from ...wire import decode_state_vector, only_sets_values, whole_state
from ..formats.content import Content, Original, rendered, value_of
from ..merging.conflicts import Conflict, Merge, Note, merged, records, write
from ..merging.likeness import holds, is_later
from ..merging.lineage import note_taken
from ..merging.merge import document, outside
from ..merging.saves import base_of, descent

_TRIES = 3
_MOST_SAVES = 256
_LONGEST = 3600.0  # seconds after which nobody is taken to write back what a save held
_NOTHING = b"\x00\x00"

Spare: TypeAlias = "Callable[[Original], Awaitable[None]]"
"""What keeps a document as it was, as a file. Raises FileError where that cannot be."""


class OutsideEdit(NamedTuple):
    """What somebody else wrote into a file, as an update of its document.

    Attributes:
        update: the edit, with the records of conflicts, if they were made.
        before: the base that it was made of.
        base: the base that holds it.
        conflicts: where it meets what people typed.
        records: what is written of them into the document (see `conflicts.records`).
        left: the document as it was, where this edit may take something of it away that nobody took away.
        stale: whether the file was written from an earlier save than the last, so that it has less than the document.
    """

    update: bytes
    before: bytes
    base: bytes
    conflicts: Sequence[Conflict]
    records: Mapping[str, Any]
    left: Original | None = None
    stale: bool = False


class Save(NamedTuple):
    """A state in which a document was equal to its file.

    Attributes:
        seq: the number of the last update in it.
        hash: that of the file; empty where it is not known.
        logged: how many bytes of updates had been stored by then.
        time: when that was, in seconds of the monotonic clock.
    """

    seq: int
    hash: str
    logged: int
    time: float


class _Held(NamedTuple):
    """A state of a document, and the number of the last update in it."""

    seq: int
    state: bytes


class _Origin(NamedTuple):
    """The save that a file descends from; and the document, where the file has not all that was typed before that."""

    seq: int
    left: Original | None


class _Later(NamedTuple):
    """That a file was written from the end of what is stored; and what that is, where the file has not all of it."""

    left: Original | None


class BaseLostError(Exception):
    """The merge base cannot be had: the store cannot be read, or was folded beyond it."""


class MergeBase:
    """The state in which a document was last equal to its file: what the store has up to the update `seq`.

    It lives in the store, not in memory: it is needed only when somebody else changes the file. Where the store does
    not keep the room (another server with the same database has taken it over, say), memory has it meanwhile.

    Attributes:
        seq: the number of that update.
        fresh: whether the document was built in this life of the room, and not saved or merged with anything since.
        loaded: the clocks of the document as it was stored when the room came into memory.
    """

    def __init__(self, relay: Relay, room: OpenRoom) -> None:
        """Make the base of the document of `room`, at its beginning."""
        self.seq = self._begun = 0
        self.fresh = False
        self.loaded: Mapping[int, int] = {}
        self._saves: list[Save] = []  # what was the base lately, the newest last
        self._held: _Held | None = None  # the base itself, where the store does not keep it
        self._next: _Held | None = None  # what is about to be
        self._relay = relay
        self._room = room

    async def find(self, stored: StoredRoom, content: Content, original: Original, hash: str) -> OutsideEdit | None:
        """Find the base of a room that was stored, given its file as it is now; return what was written since.

        The file is our last save, or the one that a crash interrupted before it was known to be done; then None
        is returned. Else somebody else wrote it, beginning from our last save: their edit is returned, made for
        the document of the room as it is. Where it has what was typed since that save, it was written from there, or
        from what came later and the store has lost.

        Raises:
            BaseLostError: the file was written by somebody else, and the store was folded beyond our last save, or does
                not know it: its database was lost while the room was open.
        """
        saved, intended = stored.saved, stored.intended
        self.loaded = decode_state_vector(self._room.doc.get_state())
        self.begin(saved.seq if saved else 0, saved.hash if saved else "")
        self._begun = intended.seq if intended else 0
        if saved is None:
            raise BaseLostError("which part of the document the file held is not in the store")
        if saved.hash == hash:
            return None
        await self._ascertain(stored, content, original)
        later = await asyncio.to_thread(_later, stored, self.seq, content, original)
        if later:
            self.seq = stored.last
        edit = await self._noted(await self._since(stored, content, original, self._room.doc.get_update()))
        if edit.update == _NOTHING:  # the save that was begun last did reach the file; the next may be cut short, too
            self._add(self.seq, hash)
            self._room.mark(saved=Mark(self.seq, hash))
            return None
        edit = await asyncio.to_thread(_taken, edit, hash)
        return edit._replace(left=later.left) if later else edit

    def begin(self, seq: int, hash: str, *, fresh: bool = False) -> None:
        """Take the state after update `seq` for the base: the document was equal to the file with this hash then."""
        self.seq, self._begun, self.fresh = seq, 0, fresh
        self._saves = [self._save(seq, hash)]
        self._held = None

    async def state(self, hashes: Iterable[str]) -> bytes | None:
        """Return a state in which the document was equal to a file with one of these hashes; None if none is known."""
        known = {save.hash: save.seq for save in self._saves}
        seq = next((known[hash] for hash in hashes if hash and hash in known), None)
        if seq is None:
            return None
        try:
            stored = await self._stored()
        except BaseLostError:
            return None
        return await asyncio.to_thread(stored.state, seq) if stored.seq <= seq else None

    @contextmanager
    def assumed(self, seq: int) -> Iterator[None]:
        """Take the present state, after update `seq`, for the base; where the context raises, that is what it was."""
        was = self.seq, self._held, self._saves
        self.seq, self._held = seq, self._next if self._next and self._next.seq == seq else None
        self._saves = [self._save(seq, "")]
        try:
            yield
        except BaseException:
            self.seq, self._held, self._saves = was
            raise

    @asynccontextmanager
    async def outside(
        self, content: Content, original: Original, hash: str, edited: bool, spare: Spare
    ) -> AsyncIterator[OutsideEdit]:
        """Enter with the edit that somebody else made who changed the file to `original`; the base moves with it.

        `hash` is that of the file. The base is the newest save that the file descends from. The edit is made with an
        eye on what people have typed since, if that is another one than the last or the document was `edited`, and up
        to the moment in which the context is entered: there it must be merged at once, before anything else happens to
        the document. Where that raises, the base is what it was, so that the edit is found in the file again. Where the
        file has not all that people typed lately before the base, `spare` is first given what the document says.

        Raises:
            BaseLostError: the base cannot be had.
            RoomGone: the room is out of memory.
        """
        stored = await self._stored()
        await self._ascertain(stored, content, original)
        before = self.seq
        origin = await asyncio.to_thread(_origin, stored, self._reachable(stored), content, original)
        if origin and origin.left:
            await spare(origin.left)
        self.seq = origin.seq if origin else before
        try:
            seq = self._room.seq
            live = self._room.doc.get_update() if edited or self.seq < before else None
            edit = await self._noted(await self._since(stored, content, original, live))
        except BaseException:
            self.seq = before
            raise
        try:
            await self._keep(edit, hash)
            edit = await self._renewed(edit, seq, stored, content, original)
            yield edit._replace(stale=self.seq < before)
        except RoomGone:  # the next to open the document finds the edit in what is stored
            raise
        except Exception:
            self._room.replace(self.seq, edit.before)
            self.seq = before
            self._room.mark(saved=Mark(self.seq, self._hash))
            raise
        self._moved(edit, hash)

    async def _renewed(
        self, edit: OutsideEdit, seq: int, stored: StoredRoom, content: Content, original: Original
    ) -> OutsideEdit:
        """Return an edit, which was made of the document after update `seq`, as it is to be made of the present one."""
        for _ in range(_TRIES):
            if self._room.seq == seq:
                return edit
            # Somebody types, perhaps into what this edit takes away. Nobody has seen it: another takes its place.
            seq, live = self._room.seq, self._room.doc.get_update()
            edit = await self._noted(await asyncio.to_thread(_edit, stored, self.seq, content, original, live))
            await self._room.rebase(self.seq, edit.base)
            await self._room.secure(self._room.seq + 1)
        if self._room.seq != seq:  # people never rest, so nothing may come in between any more
            # The records are those of a moment ago: to look for conflicts takes as long as the edit itself.
            made, live = edit.records, self._room.doc.get_update()
            edit = _recorded(_edit(stored, self.seq, content, original, live, looking=False), made)
            self._room.replace(self.seq, edit.base)
        return edit

    def foresee(self) -> None:
        """Take note that the document as it is now may become the base: it is kept, if the store does not keep it."""
        self._next = None if self._is_kept() else _Held(self._room.seq, self._room.whole_state())

    async def intend(self, seq: int) -> None:
        """Make the log durable up to the update that is about to be written to the file.

        After a crash the file is then known as our own save, not taken for somebody's edit. Trouble with the store
        never stops a save.
        """
        self._begun = seq
        self._room.mark(intended=Mark(seq, ""))
        await self._room.secure(seq)
        if self._room.seq == seq:  # else it is too late, if trouble with the store shows only now
            self.foresee()

    def abandon(self, before: int = 0) -> None:
        """Take note that nothing of the save that was begun last is in the file: nobody begins from that.

        `before` is the number of the last update in an earlier one, of which the file may hold a part.
        """
        self._begun = max(self.seq, before)
        self._room.mark(intended=Mark(self._begun, ""))

    def settle(self, seq: int, hash: str) -> None:
        """Take note that the file, whose hash is `hash`, is equal to the document after update `seq`."""
        self.seq = seq
        self._add(seq, hash)
        self._held = self._next if self._next and self._next.seq == seq else None
        self.fresh = False
        self._room.mark(saved=Mark(seq, hash))

    async def include(self, edit: OutsideEdit, hash: str) -> None:
        """Move the base with an edit that the document has already, of a room that is not served yet.

        `hash` is that of the file which somebody else wrote.
        """
        await self._room.rebase(self.seq, edit.base)
        self._room.mark(saved=Mark(self.seq, hash))
        self._moved(edit, hash)
        self._room.record(edit.update)  # so that the document's past has it, like any other edit
        await self._room.secure(self._room.seq)

    async def _keep(self, edit: OutsideEdit, hash: str) -> None:
        """Make an outside edit part of the stored base, before anybody sees it.

        After a crash it is then not found in the file once more, as a second edit, while open pages hold the first.
        """
        await self._room.rebase(self.seq, edit.base)
        self._begun = self.seq  # the file holds nothing of a save that came later
        self._room.mark(saved=Mark(self.seq, hash), intended=Mark(self.seq, ""))
        await self._room.secure(self._room.seq + 1)

    def _moved(self, edit: OutsideEdit, hash: str) -> None:
        """Take note that the base holds an edit, as the document does; the states before it cannot be had any more."""
        self._hold(edit.base)
        self.fresh = False
        self._saves = [self._save(self.seq, hash)]

    @property
    def oldest(self) -> int:
        """The number of the last update in the oldest save that a file may descend from."""
        return min([self.seq, *(save.seq for save in self._saves)])

    @property
    def _hash(self) -> str:
        """The hash of the file that the base was last equal to; empty where it is not known."""
        return next((save.hash for save in self._saves if save.seq == self.seq), "")

    def _save(self, seq: int, hash: str) -> Save:
        return Save(seq, hash, self._room.logged, monotonic())

    def _add(self, seq: int, hash: str) -> None:
        """Take note of a save; those that are too old, or before half of the log that is folded, are forgotten."""
        now = self._save(seq, hash)
        most_updates = self._relay.keeper.compact_updates // 2
        most_bytes = max(self._relay.compact_bytes, self._room.stored_bytes) // 2
        self._saves = [
            save
            for save in self._saves[-_MOST_SAVES:]
            if save.hash != hash
            and now.time - save.time < _LONGEST
            and seq - save.seq < most_updates
            and now.logged - save.logged < most_bytes
        ]
        self._saves.append(now)

    def _reachable(self, stored: StoredRoom) -> list[int]:
        """Return the saves up to the base that the store still has, by the numbers of their last updates."""
        return [*(save.seq for save in self._saves if stored.seq <= save.seq < self.seq), self.seq]

    async def _ascertain(self, stored: StoredRoom, content: Content, original: Original) -> None:
        """Find out which of our saves somebody began from who wrote the file: that is the base.

        It is the last one; or a later one that was begun, and of which nobody knows whether it reached the disk: a
        crash or an error came between. It did if the file is that save, or has something that came with it.
        """
        is_stored = self._begun > self.seq and stored.seq <= self._begun <= stored.last
        if is_stored and await asyncio.to_thread(_reached, stored, self.seq, self._begun, content, original):
            self.seq = self._begun

    async def _since(self, stored: StoredRoom, content: Content, original: Original, live: bytes | None) -> OutsideEdit:
        """Return what somebody else wrote since the base."""
        if not stored.seq <= self.seq <= stored.last:
            raise BaseLostError("what the file was before is not in the store any more")
        return await asyncio.to_thread(_edit, stored, self.seq, content, original, live)

    async def _noted(self, edit: OutsideEdit) -> OutsideEdit:
        """Return an edit with the records of its conflicts in it."""
        if not edit.conflicts:
            return edit
        found = records(edit.conflicts, noted(self._room.name, "", await self._authors()))
        return await asyncio.to_thread(_recorded, edit, found)

    async def _authors(self) -> list[str]:
        """Return who has edited the document since the base, as far as the store knows."""
        try:
            past = await self._relay.store.past(self._room.name)
        except StoreError:
            return []
        return await asyncio.to_thread(_authors, past, self.seq) if past else []

    async def _stored(self) -> StoredRoom:
        """Return a record of the room that has the base."""
        if self._held and self._held.seq == self.seq:
            return StoredRoom(self._room.lineage, self._room.genesis, self._held.state, self.seq, (), None, None)
        try:
            stored = await self._relay.store.load(self._room.name)
        except StoreError as error:
            raise BaseLostError(f"what the file was before cannot be read from the store: {error}") from None
        if stored is None or stored.lineage != self._room.lineage:
            raise BaseLostError("what the file was before is not in the store")
        return stored

    def _is_kept(self) -> bool:
        """Say whether the store has all of the room, as far as it knows."""
        store = self._relay.store
        return not store.trouble and self._room.name not in store.partial

    def _hold(self, base: bytes) -> None:
        self._held = None if self._is_kept() else _Held(self.seq, base)


def _origin(stored: StoredRoom, seqs: Sequence[int], content: Content, original: Original) -> _Origin | None:
    """Find out which of the saves `seqs` a file descends from; None where there is but one."""
    if len(seqs) < 2 or not stored.seq <= seqs[-1] <= stored.last:
        return None

    def value(at: int) -> Any:
        """Return what a save said."""
        return value_of(content, stored.document(seqs[at]))

    found = base_of(len(seqs), value, original.value, lambda said: content.render(original, said) is original)
    return _Origin(seqs[found.at], rendered(content, stored.document(), original) if found.takes else None)


def noted(room: str, outside_by: str, typed_by: Sequence[str] = ()) -> Note:
    """Return what is to be said of conflicts that are found now."""
    return Note(room, datetime.now(UTC).isoformat(timespec="milliseconds"), typed_by, outside_by)


def _edit(
    stored: StoredRoom, seq: int, content: Content, original: Original, live: bytes | None, *, looking: bool = True
) -> OutsideEdit:
    """Make the edit; `looking` says whether to look for conflicts as well."""
    base = stored.state(seq)
    merge = merged(base, content, original, live) if looking else Merge(outside(base, content, original, live), [])
    doc = document(base)
    doc.apply_update(merge.update)
    return OutsideEdit(merge.update, base, whole_state(doc, [base]), merge.conflicts, {})


def _later(stored: StoredRoom, seq: int, content: Content, original: Original) -> _Later | None:
    """Find out whether a file was written from the end of what is stored, or from later on; not from update `seq`."""
    if stored.last <= seq:
        return None
    doc = stored.document()
    now = value_of(content, doc)
    if holds(original.value, now):
        return _Later(None)
    if stored.seq > seq:
        return None
    saved = value_of(content, document(stored.state(seq)))
    return _Later(rendered(content, doc, original)) if is_later(saved, now, original.value) else None


def _recorded(edit: OutsideEdit, made: Mapping[str, Any]) -> OutsideEdit:
    """Put records into an edit."""
    if not made:
        return edit
    doc = document(edit.base)
    update = pycrdt.merge_updates(edit.update, write(doc, made))
    return edit._replace(update=update, base=whole_state(doc, [edit.base]), records=made)


def _taken(edit: OutsideEdit, hash: str) -> OutsideEdit:
    """Put a note into an edit that it was taken from the file with this hash."""
    doc = document(edit.base)
    update = pycrdt.merge_updates(edit.update, note_taken(doc, edit.update, hash))
    return edit._replace(update=update, base=whole_state(doc, [edit.base]))


def _authors(past: Past, seq: int) -> list[str]:
    """Return who edited a document after update `seq`. What front ends set by themselves is no edit."""
    found: dict[str, None] = {}
    for (number, update), (author, _) in zip(past.stored.log, past.made, strict=True):
        if number > seq and author and author not in found and not only_sets_values(update):
            found[author] = None
    return list(found)


def _reached(stored: StoredRoom, saved: int, begun: int, content: Content, original: Original) -> bool:
    """Say whether the save `begun`, which followed the one `saved`, was in the file from which somebody began."""
    later = value_of(content, stored.document(begun))
    if content.render(original, later) is original:
        return True
    return stored.seq <= saved and descent(value_of(content, stored.document(saved)), later, original.value).has
