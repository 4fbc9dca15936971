"""A room: one shared document, the awareness around it, and its members. Sans-I/O.

Frames and the time go in, effects come out; nothing here awaits, logs, reads a clock or touches a socket. The
caller (`Relay`) carries the effects out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pycrdt
from pycrdt import Doc, TransactionEvent

from ..wire import (
    NO_CHANGE,
    Awareness,
    CloseCode,
    Intake,
    Kind,
    Places,
    ProtocolError,
    Survey,
    TaintedError,
    UnfaithfulError,
    answered,
    deletion,
    examine,
    examined,
    guarded,
    marked,
    merged,
    news,
    protocol,
)
from .admission.allowances import ExhaustedError, Shares, waits_alone
from .effects import Broadcast, Effect, Judge, Persist, Refuse, Request, Send, Show
from .member import Member

_MAX_TAIL = 1 << 20
_LONGEST_TAIL = 1000


class EditError(Exception):
    """An edit of the server's own raised `error` half-way; `effects` are those of what it had done before."""

    def __init__(self, error: BaseException, effects: list[Effect]) -> None:
        super().__init__(str(error))
        self.error = error
        self.effects = effects


class _Applied(NamedTuple):
    """An update of a peer that was applied.

    Attributes:
        update: the update, as it is to be stored and sent.
        before: updates of the server's own that were applied before it, such as the deletion of an emoji it cuts.
        after: updates of the server's own that were applied after it: they delete misplaced items that were pending.
        waits: whether a part of it is pending.
    """

    update: bytes
    before: list[bytes]
    after: list[bytes]
    waits: bool


class Room:
    """One shared document, its awareness, its members.

    Attributes:
        name: the room's name, as in its URL.
        doc: the shared document. Only `receive` and `edit` change it.
        awareness: who is there.
        members: the peers.
        seq: the number of the last update; it grows by one with each.
        lineage: the identity of the document's history.
        genesis: the client id that built the document first; 0 where any history is welcome.
        doubted: the state vectors of edits that were found in the file, and that a lost part of the document's history
            may have made before: a peer that lacks such an edit and has others that we lack is quarantined before it
            syncs.
        full: why the document may not grow, in a sentence; empty while it may. Deletions are applied nevertheless.
        opener: the username of the peer for whom the room was opened; empty where the server itself needed it.
        shown: whether the document was sent to any peer since the room was opened.
        given: the number of the last update in the state that was last encoded for a peer.
    """

    def __init__(
        self,
        name: str,
        lineage: str,
        awareness: Awareness | None = None,
        waits: Shares | None = None,
        *,
        mapped: bool = False,
        lists: Collection[str] = (),
    ) -> None:
        """Make an empty room, where any history is welcome until it begins with one of its own.

        `waits` counts the updates that wait in it, and says how many may. `mapped` says whether values of maps are
        content of the document (see `Kind.mapped`), and `lists` are the names of its roots that hold no text.
        """
        self.name = name
        self.lineage = lineage
        self.genesis = 0
        self.doubted: Sequence[Mapping[int, int]] = ()
        self.full = self.opener = ""
        self.shown = False
        self._mapped = mapped
        self.given = 0
        self.seq = 0
        self.doc: Doc[Any] = Doc()
        self.awareness = Awareness() if awareness is None else awareness
        self.members: set[Member] = set()
        self._full: tuple[bytes, ...] | None = None
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._intake = Intake(lists)
        self._waits_of = waits or waits_alone()

    def count(self) -> int:
        """Return the number of one more update, which the document has already."""
        self.seq += 1
        return self.seq

    def begin(
        self,
        seq: int,
        genesis: int,
        snapshot: bytes | None = None,
        waiting: bytes = NO_CHANGE,
        places: Places | None = None,
    ) -> None:
        """Begin to count, once `doc` holds what was stored or read from a file.

        `seq` is the number of the last update in it, `genesis` the client id that built it first; `snapshot` is
        its whole state as one update, where that is at hand, `waiting` its pending updates, and `places` the index
        of its items (see `wire.Places`).
        """
        self.seq, self.genesis = seq, genesis
        self._intake.begin(self.doc, waiting, places)
        self._waits_of.begin(0 if waiting == NO_CHANGE else len(waiting))
        self.forget_full_state()
        if snapshot is not None:
            self._full = (protocol.step2_header(len(snapshot)), snapshot)

    def survey(self) -> Survey:
        """Prepare for the first update: begin what `Survey.found` does in any thread, and `surveyed` takes."""
        return self._intake.survey(self.doc)

    def surveyed(self, survey: Survey) -> None:
        """Take what was found, unless the document was edited meanwhile."""
        self._intake.surveyed(self.doc, survey)

    def end(self) -> None:
        """Count nothing of the room any more."""
        self._waits_of.begin(0)

    def replace(self, doc: Doc[Any]) -> None:
        """Serve another document from now on, one that holds the same updates."""
        self.doc = doc
        self._full = None
        self._intake.forget()

    def join(self, member: Member) -> list[Effect]:
        """Let a member in: ask for what it has, and tell it who is there."""
        self.members.add(member)
        effects: list[Effect] = [Send(member, protocol.step1(self.doc.get_state()))]
        if len(self.awareness):
            effects.append(Show(self.awareness.clients(), member))
        return effects

    def leave(self, member: Member) -> list[Effect]:
        """Let a member go; the others learn it at once."""
        self.members.discard(member)
        return self._announce(self.awareness.remove(member))

    def expire(self, before: float) -> list[Effect]:
        """Remove awareness states that nobody renewed since the time `before` (seconds, of `receive`'s clock)."""
        return self._announce(self.awareness.expire(before))

    def receive(self, member: Member, frame: bytes, now: float) -> list[Effect]:
        """Take in one frame of a member at the time `now` (seconds); return what is to be done.

        Raises:
            ProtocolError: the frame is not part of the protocol; nothing changed.
            TaintedError: the frame's update failed half-way.
        """
        kind, payload = protocol.decode(frame)
        if kind is Kind.UPDATE:
            return self._update(member, payload, frame)
        if kind is Kind.AWARENESS:
            return self._announce(self.awareness.apply(payload, member, member.identity, now))
        if kind is Kind.STEP1:
            return self._step1(member, payload)
        if kind is Kind.STEP2:
            return self._step2(member, payload)
        if kind is Kind.QUERY_AWARENESS:
            return [Show(self.awareness.clients(), member)]
        return [Request(member, *protocol.decode_request(payload))]

    def edit(self, change: Callable[[Doc[Any]], object]) -> list[Effect]:
        """Make an edit of the server's own in one transaction; return the effects of its update.

        Raises EditError where `change` raises; what it did before that stays in the document.
        """
        failure: BaseException | None = None
        with self._observed() as updates:
            try:
                with self.doc.transaction():
                    change(self.doc)
            except BaseException as error:  # the PanicException of pycrdt too, for a value that it cannot hold
                failure = error
        effects = self._take(updates, "")
        if failure:
            raise EditError(failure, effects)
        return effects

    def merge(self, update: bytes, author: str) -> list[Effect]:
        """Apply an update that the server made elsewhere (on a fork of this document), however large it is."""
        with self._observed() as changes:
            for part in reversed(self._intake.trust(self.doc, update)):
                guarded(self.doc.apply_update, part)
        return self._take(changes, author)

    def whole_state(self) -> bytes:
        """Return the document's state as one update, pending updates included."""
        state, waiting = self.doc.get_update(), self._intake.waiting(self.doc)
        return state if waiting == NO_CHANGE else marked(merged([state, waiting]))

    def full_state(self) -> list[bytes | tuple[bytes, ...]]:
        """Return the frames that bring an empty document up to date.

        The state is encoded once and shared by all who join. The updates since then go before it, as one: a peer
        keeps them until it has what they build on, and takes itself for synced when that comes, with nothing stale.
        """
        if self._full is None:
            state = self.doc.get_update()
            self._full = (protocol.step2_header(len(state)), state)
        if len(self._tail) > 1:
            self._tail = [merged(self._tail)]
        return [*self._waits(), *map(protocol.update, self._tail), self._full]

    def newest(self) -> bytes | None:
        """Return what newcomers are sent, where that is the document as it is."""
        return self._full[-1] if self._full and not self._tail else None

    def quarantine_all(self) -> list[Effect]:
        """Put all members in quarantine, because the document has another history now."""
        effects = []
        for member in self.members:
            if not member.quarantined:
                member.quarantine()
                effects += self._ask(member)
        return effects

    def forget_full_state(self) -> None:
        """Give back the memory of the encoded full state; the next newcomer has it encoded again."""
        self._full, self._tail, self._tail_size = None, [], 0

    def welcome(self, member: Member) -> list[Effect]:
        """End a member's quarantine: answer its step 1, and apply the updates that were held."""
        held, member.held = member.held, []
        member.quarantined = False
        effects = [] if member.state_vector is None else self._answer(member, member.state_vector)
        if not member.writable:  # it may have been allowed to write when it brought this
            return effects + [Refuse(member, update) for update in held]
        if held:  # as one update: of several, those before a faulty one would be in the document and never sent
            for update in held:
                examined(pycrdt.get_state, update)
            brought = merged(held) if len(held) > 1 else held[0]
            # The member may have sent its whole document, most of which the room's has already.
            known = self.doc.get_state()
            effects += self._late(member, examined(lambda update: pycrdt.get_update(update, known), brought))
        return effects

    def _step1(self, member: Member, state_vector: bytes) -> list[Effect]:
        member.state_vector = state_vector
        if self._is_ours(state_vector):
            return self.welcome(member)
        was_in, member.quarantined = not member.quarantined, True
        clocks = protocol.decode_state_vector(state_vector)
        shared = was_in or bool(clocks.keys() & protocol.decode_state_vector(self.doc.get_state()).keys())
        if not member.writable:
            member.has_content |= shared
            return self._judge(member)
        if shared:
            # Its answer to the first step 1 leaves out what both state vectors have: it is not the whole document.
            return self._ask(member)
        return [Judge(member)] if member.answered else []

    def _ask(self, member: Member) -> list[Effect]:
        """Ask a member for the whole of its document."""
        member.ask_again()
        return [Send(member, protocol.step1(protocol.EMPTY_STATE))]

    def _answer(self, member: Member, state_vector: bytes) -> list[Effect]:
        self.shown, self.given = True, self.seq
        try:
            before, state = guarded(self._written, state_vector)
        except TaintedError:
            raise UnfaithfulError("it cannot be written") from None
        return [*(Send(member, frame) for frame in before), Send(member, state, state=True)]

    def _written(self, state_vector: bytes) -> tuple[list[Any], Any]:
        """Return the frames that bring a document of this state up to date: what goes before the state, and that."""
        if state_vector == protocol.EMPTY_STATE:
            *before, state = self.full_state()
            return before, state
        return self._waits(), protocol.step2(answered(self.doc.get_update, state_vector))

    def _waits(self) -> list[bytes]:
        """Return the frame of the pending updates: a peer needs them as soon as the missing ones come."""
        waiting = self._intake.waiting(self.doc)
        return [] if waiting == NO_CHANGE else [protocol.update(waiting)]

    def _step2(self, member: Member, update: bytes) -> list[Effect]:
        if self._is_quarantined(member):
            return self._hold(member, update, answer=True)
        return self._late(member, update)

    def _update(self, member: Member, update: bytes, frame: bytes) -> list[Effect]:
        if self._is_quarantined(member):
            return self._hold(member, update, answer=False)
        if not member.writable:
            return self._refuse(member, update)
        self._refuse_growth(update)
        username = member.identity.username
        if follows := self._intake.follows(update):
            guarded(self.doc.apply_update, update)
            self._intake.followed(follows)  # only now: what is refused must not count as here
            return self._accept(update, frame, member, username)
        applied = self._apply(update, username)
        if applied.update is not update:
            frame = protocol.update(applied.update)
        return self._took(applied, frame, member)

    def _is_quarantined(self, member: Member) -> bool:
        return member.quarantined and self.genesis != 0

    def _judge(self, member: Member) -> list[Effect]:
        """Let a peer in that may only read, if its document is empty; else it is told to load the room's."""
        if member.state_vector is None or not (member.has_content or member.answered):
            return []
        return [Judge(member)] if member.has_content else self.welcome(member)

    def _hold(self, member: Member, update: bytes, *, answer: bool) -> list[Effect]:
        outline = examine(update)
        if not member.writable:
            member.has_content |= outline.listed or (self._mapped and update != NO_CHANGE)
            if answer:
                member.answer()
            return self._judge(member)
        asks_nothing = member.state_vector is None
        first = not member.held
        member.hold(update, answer=answer)
        if asks_nothing and first:
            # Without a state vector, only its whole document can show which history it has.
            return self._ask(member)
        if not member.answered:
            return []
        if asks_nothing and answer and self._is_ours(examined(pycrdt.get_state, update)):
            return self.welcome(member)
        return [Judge(member)]

    def _is_ours(self, state_vector: bytes) -> bool:
        """Say whether a document with this state vector has the history of the room's, or none yet."""
        clocks = protocol.decode_state_vector(state_vector)
        if not clocks or not self.genesis:
            return True
        sure = all(protocol.covers(clocks, doubted) for doubted in self.doubted)
        known = sure or protocol.covers(protocol.decode_state_vector(self.doc.get_state()), clocks)
        return known and self.genesis in clocks

    def _late(self, member: Member, update: bytes) -> list[Effect]:
        """Apply the step 2 of a peer: its edits from offline. Mostly there are none, and nothing is broadcast."""
        if update == NO_CHANGE:
            return []
        before = self.doc.get_state()
        if not member.writable:
            # Each step 2 repeats all deletions that its document ever had: they alone are no edit.
            added = news(update, before)
            return self._refuse(member, added) if added != NO_CHANGE else []
        self._refuse_growth(update)
        username = member.identity.username
        with self._observed() as changes:
            applied = self._apply(update, username)
        # A pending update changes nothing before the missing one comes, but must not get lost.
        if not (changes or applied.waits):
            return []
        return self._took(applied, protocol.update(applied.update), member)

    def _refuse(self, member: Member, update: bytes) -> list[Effect]:
        """Drop the edit of a peer that may only read."""
        examined(pycrdt.get_state, update)
        return [Refuse(member, update)]

    def _refuse_growth(self, update: bytes) -> None:
        """Raise ProtocolError where the document may not grow, and an update has more than deletions."""
        if self.full and news(update, self.doc.get_state()) != NO_CHANGE:
            raise ProtocolError(self.full, CloseCode.NOT_ALLOWED)

    def _accept(self, update: bytes, frame: bytes, sender: Member | None, author: str) -> list[Effect]:
        self.seq += 1
        if self._full is not None:
            self._tail.append(update)
            self._tail_size += len(update)
            if self._tail_size > _MAX_TAIL or len(self._tail) > _LONGEST_TAIL:
                self.forget_full_state()
        return [Persist(self.seq, update, author), Broadcast(frame, sender)]

    def presence(self, clients: Iterable[int]) -> bytes:
        """Return the frame of the newest states of clients."""
        return protocol.awareness(self.awareness.entries(clients))

    def _announce(self, clients: list[int]) -> list[Effect]:
        return [Show(clients, None)] if clients else []

    def _apply(self, update: bytes, user: str) -> _Applied:
        """Apply an update of a user's, and what has to be done before and after it."""
        admitted = self._intake.admit(self.doc, update)
        try:
            self._waits_of.hold(user, admitted.plan.size)
        except ExhaustedError as error:
            raise ProtocolError(str(error), CloseCode.NOT_ALLOWED) from None
        before = self._made(admitted.first)
        for step in admitted.plan.steps:
            guarded(self.doc.apply_update, step)
        unfit = self._intake.took(self.doc, admitted)
        return _Applied(admitted.update, before, self._made(deletion(unfit)), admitted.plan.waits)

    def _made(self, update: bytes) -> list[bytes]:
        """Make an edit of the server's own that nobody has yet; return it, if it changes anything."""
        if update == NO_CHANGE:
            return []
        with self._observed() as made:
            guarded(self.doc.apply_update, update)
        self.forget_full_state()
        return made

    def _took(self, applied: _Applied, frame: bytes, member: Member) -> list[Effect]:
        username = member.identity.username
        effects = self._take(applied.before, username)
        effects += self._accept(applied.update, frame, member, username)
        return effects + self._take(applied.after, "")

    def _take(self, updates: list[bytes], author: str) -> list[Effect]:
        for update in updates:
            self._intake.note(update)
        accepted = (self._accept(update, protocol.update(update), None, author) for update in updates)
        return [effect for effects in accepted for effect in effects]

    @contextmanager
    def _observed(self) -> Iterator[list[bytes]]:
        """Collect the updates that the document makes inside. Only for what is not on the hot path."""
        updates: list[bytes] = []

        def note(event: TransactionEvent) -> None:
            """Keep the update of a transaction, if it changed anything."""
            if event.update != NO_CHANGE:
                updates.append(event.update)

        subscription = self.doc.observe(note)
        try:
            yield updates
        finally:
            self.doc.unobserve(subscription)
