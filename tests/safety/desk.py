"""One file, the people who have it open, and the programs that write it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from awaiting import until
from documents.process import Jupyter
from jupyter_server.services.contents.fileio import path_to_intermediate

from .kinds import Kind
from .person import Person
from .tokens import TOKEN, Ledger, Verdict


class Desk:
    """One file, and the people who have it open.

    Attributes:
        kind: what kind of file it is.
        path: its API path; whoever moves the file says so here.
        ledger: what was typed into it.
        people: those who have it open as what it is.
        others: those who have it open in another view.
        complaints: what went wrong besides.
        patience: after how many seconds all waiting ends.
    """

    def __init__(self, server: Jupyter, kind: Kind, path: str, rng: random.Random, patience: float) -> None:
        """Write the file. All waiting ends after `patience` seconds."""
        self.kind = kind
        self.path = path
        self.ledger = Ledger()
        self.people: list[Person] = []
        self.others: list[Person] = []
        self.complaints: list[str] = []
        self.rng = rng
        self._server = server
        self.patience = patience
        content = kind.start()
        self.file.write_text(content)
        for token in TOKEN.findall(content):
            self.ledger.note(token)

    @property
    def file(self) -> Path:
        """The file on disk."""
        return self._server.root / self.path

    async def seat(self, name: str, kind: Kind | None = None, path: str = "") -> Person:
        """Let one more person open the file, or (if a kind is given) another view of it."""
        person = Person(self._server, kind or self.kind, path or self.path, self.ledger, name, self.rng)
        (self.others if kind else self.people).append(person)
        return await person.open()

    def stranger(self, name: str) -> Person:
        """Return somebody who has a document of another history, with all that is in the real one, and no tab yet."""
        person = Person(self._server, self.kind, self.path, self.ledger, name, self.rng)
        person.invent(self.people[0])
        self.people.append(person)
        return person

    async def leave(self) -> None:
        """Let everybody close the tab."""
        await asyncio.gather(*(person.leave() for person in self.people + self.others))
        self.people, self.others = [], []

    # ------------------------------------------------------------------ programs

    async def edit_outside(self) -> None:
        """Let a program put a word into the file: it reads, changes and writes it at one stroke."""
        async with self.at_one_stroke() as content:
            self.write(self._edited(content))

    @asynccontextmanager
    async def at_one_stroke(self) -> AsyncIterator[str]:
        """Give what the file holds, and keep the server from changing it meanwhile.

        A program that writes what it has read a moment ago takes back whatever came between, and nobody can know
        that it did not mean to. So the server's process stands still meanwhile; and it is let go on first if it is
        just writing the file.
        """
        while True:
            with self._server.stopped():
                if self.whole():
                    yield self.file.read_text()
                    return
            if not self._server.alive():
                raise AssertionError(f"{self.path}: left half written by a server that is gone")
            await asyncio.sleep(0.01)

    def whole(self) -> bool:
        """Say whether the file is not one that a server left half written when it was killed."""
        return not Path(path_to_intermediate(str(self.file))).exists()

    def write(self, content: str) -> None:
        """Write the file as programs do: in place, or by renaming another one."""
        if self.rng.random() < 0.5:
            self.file.write_text(content)
            return
        new = self.file.with_name(f".{self.file.name}.new")
        new.write_text(content)
        new.replace(self.file)

    def _edited(self, content: str) -> str:
        token = self.ledger.next("out")
        self.ledger.note(token)
        return self.kind.edited(content, token, self.rng)

    async def write_in_halves(self, pause: float) -> None:
        """Let a program empty the file, wait, write a half, wait, and write the rest; all that time it has it open."""
        async with self.at_one_stroke() as content:
            new = self._edited(content).encode()
            file = self.file.open("wb", buffering=0)
        with file:
            for part in (new[: len(new) // 2], new[len(new) // 2 :]):
                await asyncio.sleep(pause)
                file.write(part)

    async def break_for(self, seconds: float) -> None:
        """Let a program fail while it writes the file; after a while somebody puts it right."""
        async with self.at_one_stroke() as content:
            self.file.write_bytes(self.kind.broken(content))
        await asyncio.sleep(seconds)
        self.write(self._edited(content))

    # ------------------------------------------------------------------ the verdict

    async def wait(self, condition: Callable[[], bool], complaint: str) -> None:
        """Wait until something is the case; complain if that takes too long."""
        try:
            await until(condition, timeout=self.patience)
        except AssertionError:
            self.complaints.append(complaint)

    async def saved(self, person: Person) -> None:
        """Wait until the file says what a person's document does; not for ever."""
        await self.wait(
            lambda: person.settled and self.kind.written(self.file) == person.said(),
            "the file was not up to date in time",
        )

    def expect(self, said: str) -> None:
        """Complain unless the file says this now."""
        if self.kind.written(self.file) != said:
            self.complaints.append("the file was not up to date in time")

    def expect_nothing(self) -> None:
        """Complain if there is a file now."""
        if self.file.exists():
            self.complaints.append("the file was made anew by itself")

    def judge(self, copies: list[str]) -> Verdict:
        """Return what became of the words: in each client, and on disk; `copies` are the recovery copies."""
        views = {person.name: person.said() for person in self.people + self.others}
        views["disk"] = self.kind.written(self.file)
        same = [{person.name for person in self.people} | {"disk"}]
        if self.others:
            views["disk in the other view"] = self.others[0].kind.written(self.file)
            same.append({person.name for person in self.others} | {"disk in the other view"})
        verdict = self.ledger.judge(views, copies, same)
        verdict.differing += self.complaints
        for person in self.people + self.others:
            verdict.differing += [f"{person.name} could not read a frame: {error}" for error in person.peer.unread]
        away = [person.name for person in self.people + self.others if not person.settled]
        if away:
            verdict.differing.append(f"not in sync: {', '.join(away)}")
        return verdict
