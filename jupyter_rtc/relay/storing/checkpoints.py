"""The versions of a room's document: found in its log, kept as checkpoints when the log is folded. Pure.

A version is where a run of edits ended: people paused, a minute was over, or something else was about to change the
document. The last is an update in the log that changes nothing (`SEAL`). While the log is there, it holds
every version. When it is folded, what it held becomes a chain of checkpoints: the oldest is a whole state, each
further one the update that leads from the one before it to the next. So a version costs what was changed, not
what the document weighs; and to let one go is to take two steps of the chain at once.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, TypeAlias

from pycrdt import Doc, get_state

from ...wire import NO_CHANGE, Id, Read, Replica, covers, cut_in, decode_state_vector, document_of, halved, whole_state
from .store import Checkpoint, Past, Version

__all__ = ["SEAL", "Limits", "Watch", "document", "fold", "state_without", "versions"]

SEAL = NO_CHANGE
"""An update that ends a version: what comes after it belongs to the next, however soon it comes."""

_PAUSE, _LONGEST_RUN = 2.0, 60.0
_DENSITY = 256.0
_LEAST_BYTES = 1 << 18

Watch: TypeAlias = Callable[[Doc[Any], Callable[[], None]], Callable[[], None]]
"""Calls back in the first transaction that changes the content of a document; returns what ends it."""


class Limits(NamedTuple):
    """How much of the past is kept: so many versions, bytes, and seconds.

    Besides, what is kept takes half of what the document takes at most, or 256 KiB where that is more; the oldest
    version, which is a whole document, not counted.
    """

    versions: int
    size: int
    age: float


def versions(past: Past, watch: Watch, limits: Limits, now: float) -> list[Version]:
    """Return the versions of a document that can be had, the oldest first; the last one is the present.

    They are dense where they are recent and sparse where they are old: what is t seconds old is at least t/256 from
    the next; t/128, t/64, ... where there would be too many of them. Sealed ones give way to each other only. `watch`
    tells edits from bookkeeping; `now` is in seconds since the epoch. May run in any thread.
    """
    return _thinned(_all(past, past.stored.last, watch, now), limits, now)


def document(past: Past, seq: int) -> Doc[Any]:
    """Return a document as it was after update `seq`, that of one of its versions. May run in any thread."""
    return next(_walk(past, [seq]))


def state_without(past: Past, edits: Collection[Mapping[int, int]]) -> bytes:
    """Return the present state without some edits, which are given by their clocks; what builds on them waits in it.

    Versions that were folded are left out as a whole where they hold such an edit. May run in any thread.
    """
    kept = [
        update
        for _, update, _ in _steps(past)
        if not any(covers(decode_state_vector(get_state(update)), edit) for edit in edits)
    ]
    return whole_state(document_of(kept), kept)


def fold(
    past: Past, until: int, watch: Watch, limits: Limits, now: float, read: Read | None = None
) -> tuple[bytes, list[Checkpoint]]:
    """Return the state after update `until`, and the checkpoints that take the place of the log up to there.

    May run in any thread. Raises UnfaithfulError where that state is not the document, whose content `read` tells.
    """
    _, snapshot = past.stored.proved(until, read)
    found = _all(past, until, watch, now)
    found[-1] = found[-1]._replace(seq=max(until, found[-1].seq))  # what came after its last edit was none
    return snapshot, _chain(past, _thinned(found, limits, now), min(limits.size, max(_LEAST_BYTES, len(snapshot) // 2)))


def sealed(past: Past, watch: Watch, limits: Limits, now: float) -> list[Checkpoint]:
    """Return the checkpoints of all that there was until now, with the last version sealed.

    They hold what the log has, too, which stays. What is put into the snapshot afterwards is in none of them. May run
    in any thread.
    """
    found = _all(past, past.stored.last, watch, now)
    found[-1] = found[-1]._replace(seq=past.stored.last, sealed=True)
    size = min(limits.size, max(_LEAST_BYTES, len(past.stored.snapshot) // 2))
    return _chain(past, _thinned(found, limits, now), size)


def _chain(past: Past, kept: Sequence[Version], size: int) -> list[Checkpoint]:
    """Return the checkpoints of versions, the oldest left out where they take more than `size` bytes."""
    whole, steps = dict(past.checkpoints[:1]), dict(past.checkpoints[1:])
    found: list[Checkpoint] = []
    before = b""
    for version, doc in zip(kept, _walk(past, [version.seq for version in kept]), strict=True):
        known = steps.get(version) if before else whole.get(version)
        found.append(Checkpoint(version, known or _packed(doc, before)))
        before = doc.get_state()
    return _shortened(past, found, size)


def _packed(doc: Doc[Any], before: bytes) -> bytes:
    return zlib.compress(doc.get_update(before) if before else doc.get_update(), 1)


def _all(past: Past, until: int, watch: Watch, now: float) -> list[Version]:
    """Return every version up to update `until`: those of the checkpoints, then those of the log."""
    stored = past.stored
    found = [checkpoint.version for checkpoint in past.checkpoints]
    if not found or stored.seq > found[-1].seq:
        # What the snapshot began with; or came without a log, because the store had trouble. Nobody knows when.
        begun = past.made[0][1] if past.made else now
        found.append(Version(stored.seq, begun, begun, ()))
    return [*found[:-1], *_runs(found[-1], _edits(past, until, watch))]


def _edits(past: Past, until: int, watch: Watch) -> Iterator[Version | None]:
    """Yield each update of the log that changed the content as a version, up to number `until`; None for a seal."""
    fired = False

    def fire() -> None:
        """Take note that the content was changed."""
        nonlocal fired
        fired = True

    stored = past.stored
    begun = max([stored.seq, *(checkpoint.version.seq for checkpoint in past.checkpoints[-1:])])
    cut = _cut(past, until)
    replica = next(_replicas(past, [begun], cut))
    end = watch(replica.doc, fire)
    for (seq, update), (author, when) in zip(stored.log, past.made, strict=True):
        if seq > until:
            break
        if seq <= begun:
            continue
        if update == SEAL:
            yield None
            continue
        replica.give(halved(update, cut) if cut else update)
        if fired:
            fired = False
            end()
            end = watch(replica.doc, fire)
            yield Version(seq, when, when, (author,))
    end()


def _runs(run: Version, edits: Iterable[Version | None]) -> Iterator[Version]:
    """Yield a version, and the runs of edits after it, joined where they follow each other without a pause or a seal.

    A clock that is put back is a pause.
    """
    whole = True  # no edit belongs to it any more
    for edit in edits:
        if edit is None:
            run, whole = run._replace(sealed=True), True
        elif not whole and abs(edit.begun - run.ended) < _PAUSE and edit.ended - run.begun < _LONGEST_RUN:
            run = _joined(run, edit)
        else:
            yield run
            run, whole = edit, False
    yield run


def _joined(older: Version, newer: Version) -> Version:
    authors = dict.fromkeys(older.authors + newer.authors)
    return newer._replace(begun=min(older.begun, newer.begun), authors=tuple(authors))


def _thinned(found: list[Version], limits: Limits, now: float) -> list[Version]:
    """Leave out versions: those that are too old, and, the older they are, those close to another."""
    # What the first that is not too old is compared with stays, however old; and all after it, whatever the clock said.
    old = takewhile(lambda version: version.ended < now - limits.age, found[1:])
    found = found[len(list(old)) :]
    density = _DENSITY
    kept = _spaced(found, density, now)
    while len(kept) > max(1, limits.versions):
        density /= 2
        kept = _spaced(found, density, now) if density > 1e-9 else kept[-max(1, limits.versions) :]
    return kept


def _spaced(found: list[Version], density: float, now: float) -> list[Version]:
    kept = [found[-1]]
    sealed: Version | None = None
    for version in reversed(found[1:-1]):
        beside = sealed if version.sealed else kept[-1]
        if beside and abs(beside.ended - version.ended) < (now - version.ended) / density:
            kept[-1] = _joined(version, kept[-1])
            continue
        kept.append(version)
        if version.sealed:
            sealed = version
    if len(found) > 1:
        kept.append(found[0])
    return kept[::-1]


def _shortened(past: Past, chain: list[Checkpoint], size: int) -> list[Checkpoint]:
    """Let the oldest versions go, until all but the oldest one left take `size` bytes at most."""
    first, room = len(chain) - 1, size
    while first and (room := room - len(chain[first].data)) >= 0:
        first -= 1
    if first == 0:
        return chain
    oldest = chain[first].version
    return [Checkpoint(oldest, _packed(document(past, oldest.seq), b"")), *chain[first + 1 :]]


def _walk(past: Past, seqs: Sequence[int]) -> Iterator[Doc[Any]]:
    """Yield the document after each of the updates `seqs`, in ascending order: the same object, going forward."""
    return (replica.doc for replica in _replicas(past, seqs, _cut(past, seqs[-1]) if seqs else set()))


def _replicas(past: Past, seqs: Sequence[int], cut: set[Id]) -> Iterator[Replica]:
    """Yield what `_walk` does, as it can go on; `cut` are the characters that are cut on the way."""
    replica = Replica()
    steps = _steps(past)
    step = next(steps, None)
    for seq in seqs:
        while step and step[0] <= seq:
            _, update, is_state = step
            (replica.give_state if is_state else replica.give)(halved(update, cut) if cut else update)
            step = next(steps, None)
        yield replica


def _cut(past: Past, until: int) -> set[Id]:
    """Return which characters are cut on the way to update `until`."""
    return cut_in(lambda: (update for seq, update, _ in _steps(past) if seq <= until))


def _steps(past: Past) -> Iterator[tuple[int, bytes, bool]]:
    """Yield the updates that lead to the present, with their numbers, and whether a document gave them of itself."""
    end = -1
    for (end, *_), data in past.checkpoints:
        yield end, zlib.decompress(data), True
    # The snapshot may hold more than the chain does: a checkpoint is what it was at its time.
    yield end + 1, past.stored.snapshot, True
    for seq, update in past.stored.log:
        yield seq, update, False
