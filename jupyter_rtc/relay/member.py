"""One peer in a room, and what it brought while nobody knew whose history its document has. Pure."""

from __future__ import annotations

from ..wire import CloseCode, Identity, ProtocolError

_MOST_HELD = 10_000
"""How many updates are held. They are seen to, and become one, as soon as the peer has said what it has."""


class Member:
    """One peer in a room: who it is, and whether its edits count (`writable`).

    As long as the server does not know that the peer's document has the history of the room's, the peer is aside:
    it is sent no content, and `held` keeps what it brings, if it may write. Of one that may only read nothing is kept
    but `has_content`: whether its document holds text or cells, which would stand twice in its page. `state_vector`
    is what it said to know, None before it said anything. `told` is whether it knows already that its edits do not
    count.
    """

    __slots__ = (
        "_answers",
        "_held_size",
        "aside",
        "has_content",
        "held",
        "identity",
        "state_vector",
        "told",
        "writable",
    )

    def __init__(self, identity: Identity, writable: bool) -> None:
        """Make a member that has said nothing yet."""
        self.identity = identity
        self.writable = writable
        self.aside = True
        self.state_vector: bytes | None = None
        self.held: list[bytes] = []
        self.told = self.has_content = False
        self._held_size = 0
        self._answers = 1

    @property
    def held_size(self) -> int:
        """How many bytes of updates it brought that are held."""
        return self._held_size

    @property
    def answered(self) -> bool:
        """Whether it has answered what the room asked it: `held` has the whole of its document."""
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
        """Take note that it answered a step 1."""
        self._answers = max(0, self._answers - 1)

    def put_aside(self) -> None:
        """Forget what is known of its document: the room's has another history from now on."""
        self.aside = True
        self.held = []
        self._held_size = 0
        self._answers = 0

    def ask_again(self) -> None:
        """Take note that the room asked once more what the member has."""
        self._answers += 1

    def replace_held(self, number: int, state: bytes) -> None:
        """Keep one update in place of the first `number` of those that are held."""
        self.held[:number] = [state]
        self._held_size = sum(map(len, self.held))
