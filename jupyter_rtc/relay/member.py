"""One peer in a room, and the updates that are held while it is in quarantine. Pure."""

from __future__ import annotations

from ..wire import CloseCode, Identity, ProtocolError

_MOST_HELD = 10_000
"""How many updates are held. They become one as soon as the peer's document is judged."""


class Member:
    """One peer in a room: who it is, and whether its edits count (`writable`).

    A peer is in quarantine until its state vector shows that its document has the history of the room's.

    Attributes:
        identity: who it is, as the server knows.
        writable: whether its edits count.
        quarantined: whether it is in quarantine: it is sent no content, and none of its updates is applied.
        state_vector: the peer's state vector, as of its last step 1; None before the first.
        held: the updates of a quarantined peer that may write, in the order in which they came.
        has_content: whether a quarantined peer that may only read has text or cells, which would stand twice in its
            page; nothing else of its document is kept.
        told: whether the peer was told that its edits do not count.
    """

    __slots__ = (
        "_answers",
        "_held_size",
        "has_content",
        "held",
        "identity",
        "quarantined",
        "state_vector",
        "told",
        "writable",
    )

    def __init__(self, identity: Identity, writable: bool) -> None:
        """Make a member that has said nothing yet."""
        self.identity = identity
        self.writable = writable
        self.quarantined = True
        self.state_vector: bytes | None = None
        self.held: list[bytes] = []
        self.told = self.has_content = False
        self._held_size = 0
        self._answers = 1

    @property
    def held_size(self) -> int:
        """The size of the held updates, in bytes."""
        return self._held_size

    @property
    def answered(self) -> bool:
        """Whether the peer has answered each step 1 of the room: `held` has the whole of its document."""
        return self._answers == 0

    def hold(self, update: bytes, *, answer: bool = False) -> None:
        """Keep an update; `answer` says whether it answers a step 1. Raises ProtocolError where they are too many."""
        self.held.append(update)
        self._held_size += len(update)
        if len(self.held) > _MOST_HELD:
            raise ProtocolError("too many updates before the sync", CloseCode.NOT_ALLOWED)
        if answer:
            self.answer()

    def answer(self) -> None:
        """Count an answer to a step 1 of the room."""
        self._answers = max(0, self._answers - 1)

    def quarantine(self) -> None:
        """Put the peer in quarantine, for the room's document has another history from now on."""
        self.quarantined = True
        self.held = []
        self._held_size = 0
        self._answers = 0

    def ask_again(self) -> None:
        """Count one more step 1 that the room sends to the peer."""
        self._answers += 1

    def replace_held(self, number: int, state: bytes) -> None:
        """Replace the first `number` held updates by one that holds them all, `state`."""
        self.held[:number] = [state]
        self._held_size = sum(map(len, self.held))
