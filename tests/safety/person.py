"""Somebody with a document open in a browser tab, who types numbered words and reloads when told to."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

from documents.peer import Peer, SessionRefused, end, until
from documents.process import Jupyter
from pycrdt import Text

from jupyter_rtc.wire.protocol import decode_state_vector

from .kinds import Kind, add_cell
from .tokens import Ledger

_IMPATIENCE = 0.1


class Person:
    """One person and her or his tab.

    What the front end does when a connection breaks is in `Peer`. When the server closes with 1003, or refuses
    before the first sync, the document is disposed, and the page is loaded again: a new and empty document, a new
    session. What was typed into the old one counts as typed.

    Attributes:
        name: lower case letters; the words typed begin with it.
        path: the file's path, followed as the front end does.
        peer: the document of the tab as it is now.
        reloads: how often the page was loaded again.
        in_pieces: whether words are typed key by key, so that others see, and programs save, half of one.
    """

    def __init__(self, server: Jupyter, kind: Kind, path: str, ledger: Ledger, name: str, rng: random.Random) -> None:
        """Prepare somebody who has not opened the file at `path` yet."""
        self.name = name
        self.path = path
        self.kind = kind
        self.reloads = 0
        self.in_pieces = True
        self.peer = self._new_peer(server)
        self._server = server
        self._ledger = ledger
        self._rng = rng
        self._reasons: list[str] = []
        self._tending: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ the tab

    async def open(self) -> Person:
        """Open the document, and wait until it is shown."""
        self._tending = asyncio.ensure_future(self._tend())
        await until(lambda: self.shown, lambda: f"{self.path} is not shown")
        return self

    def invent(self, other: Person) -> None:
        """Have a document that says what another person's does, of another history, and a session of no server's."""
        for text in other.kind.texts(other.peer):
            if self.kind.type == "file":
                self.peer.type(str(text))
            else:
                add_cell(self.peer, str(text), len(self.peer.cells))
        self.peer.room, self.peer.session = other.peer.room, "invented"

    async def leave(self) -> None:
        """Close the tab."""
        tending, self._tending = self._tending, None
        await end(tending)
        await self.peer.close()

    async def sleep(self) -> None:
        """Close the lid: the document stays in memory."""
        await self.leave()

    async def wake(self) -> None:
        """Open the lid: the front end connects with what it has."""
        if self.peer.session:  # else the page was just being loaded, which begins anew
            self.peer.connect()
        self._tending = asyncio.ensure_future(self._tend())

    @property
    def shown(self) -> bool:
        """Whether there is a document in the tab that can be typed into."""
        return not self.peer.dismissed and bool(self.peer.steps or self.peer.session == "invented")

    @property
    def settled(self) -> bool:
        """Whether the document is shown and in sync."""
        return self.shown and self.peer.online

    def said(self) -> str:
        """Return what the document says."""
        return self.kind.said(self.peer)

    def told(self) -> list[str]:
        """Return what the server told of recovery copies: in the document, and in the reasons of closed connections."""
        return [*self._reasons, *(reason for _, reason in self.peer.closes), str(self.peer.state.get("recovery"))]

    def describe(self) -> str:
        """Return how the tab stands: its connections, and how much of the document it has."""
        peer = self.peer
        stands = "gone" if peer.disposed else "online" if peer.online else "offline"
        clocks = sorted(decode_state_vector(peer.doc.get_state()).items())
        return (
            f"{self.name}: {stands}, loaded again {self.reloads} times, closes {peer.closes}, answers {peer.steps},"
            f" {len(peer.frames)} updates, could not read {peer.unread}, client {peer.doc.client_id}, has {clocks}"
        )

    async def save(self, patience: float) -> str:
        """Press Ctrl+S, and again where the connection is lost before the answer; return that.

        A server that gives none in `patience` seconds is taken to have none to give: then it is ``none``.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while True:
                    with suppress(ConnectionError):
                        if self.peer.online:
                            return await self.peer.begin_save()
                    await asyncio.sleep(_IMPATIENCE)
        return "none"

    async def _tend(self) -> None:
        """Open the page, and load it again whenever its document was disposed."""
        while True:
            if self.peer.disposed:
                await self.peer.close()
                self._reasons += [reason for _, reason in self.peer.closes]
                self.peer = self._new_peer(self._server)
                self.reloads += 1
            if not self.peer.session:
                with suppress(SessionRefused, OSError):
                    await self.peer.ask()
                    self.peer.connect()
            await asyncio.sleep(_IMPATIENCE)

    def _new_peer(self, server: Jupyter) -> Peer:
        token = "bob" if self.name.startswith("b") else "ada"
        return Peer(server, self.path, self.kind.type, self.kind.form, token)

    # ------------------------------------------------------------------ typing

    async def type_on(self, pause: float = 0.06) -> None:
        """Type words, one after the other, with about `pause` seconds between them."""
        while True:
            await self.type()
            await asyncio.sleep(self._rng.uniform(0, 2 * pause))

    async def type(self, count: int = 1) -> None:
        """Type a word somewhere, key by key; now and then add a cell for it, or delete one of the own words."""
        for _ in range(count):
            if not self.shown:
                await asyncio.sleep(0.02)
            elif self._rng.random() < 0.1:
                self._delete_own()
            elif self.kind.type == "notebook" and self._rng.random() < 0.1:
                token = self._ledger.next(self.name)
                add_cell(self.peer, f"{token}\n", self._rng.randrange(len(self.peer.cells) + 1))
                self._ledger.note(token)
            else:
                await self._type_keys()

    async def _type_keys(self) -> None:
        """Type a word in three pieces, each its own edit, with a moment between them; or all of it at once."""
        peer = self.peer
        texts = [text for text in self.kind.texts(peer) if self.kind.places(str(text))]
        if not texts:
            return  # nothing to type into, yet or any more
        token = self._ledger.next(self.name)
        text = self._rng.choice(texts)
        said = str(text)
        places = self.kind.places(said)
        if not self.in_pieces:
            _insert(text, said, self._rng.choice(places), f"{token}{self.kind.separator(self._rng)}")
            self._ledger.note(token)
            return
        _insert(text, said, self._rng.choice(places), token[:-1])
        for piece, before in ((token[-1], token[:-1]), (self.kind.separator(self._rng), token)):
            await asyncio.sleep(self._rng.choice((0, 0.005, 0.02)))
            said = str(text)
            if peer.dismissed:
                return  # the page is loaded again in the middle of the word, which is none then
            if before not in said:
                self._ledger.note(token)  # what was typed of it is gone: that counts as a loss
                return
            _insert(text, said, said.index(before) + len(before), piece)
            if piece == token[-1]:
                self._ledger.note(token)

    def _delete_own(self) -> None:
        own = f"⟦{self.name}"
        for text in self.kind.texts(self.peer):
            said = str(text)
            for token in (token for token in self._ledger.typed if token.startswith(own) and token in said):
                start = len(said[: said.index(token)].encode())
                del text[start : start + len(token.encode())]
                self._ledger.delete(token)
                return


def _insert(text: Text, said: str, at: int, piece: str) -> None:
    """Insert at the character `at` of a text that is `said`; pycrdt counts bytes of UTF-8."""
    text.insert(len(said[:at].encode()), piece)
