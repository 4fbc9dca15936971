"""Who the accidents happen to: a server, a file of each kind, and the people who have it open."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from awaiting import PATIENCE
from documents.disks import small_disk_at
from documents.process import SOON, Jupyter

from .desk import Desk
from .kinds import KINDS
from .person import Person
from .tokens import Verdict

NAMES = ("ada", "bob", "cleo", "dora", "emil", "finn", "gina", "hugo", "iris", "jack")


@dataclass(frozen=True)
class Contestant:
    """A server under test.

    Attributes:
        name: what it is called.
        python: the interpreter of the environment that it is installed in.
        config: what it is configured with, as Python.
        eviction: the same, to drop rooms from memory soon after everybody has left.
        store: where it keeps documents besides the files; a pattern of paths in the folder of the server.
    """

    name: str
    python: str
    config: str
    eviction: str
    store: str


OURS = Contestant("jupyter_rtc", sys.executable, "", "c.Relay.eviction_delay = 0.3", "data/jupyter_rtc/*")


class World:
    """A server, and a desk for each kind of file.

    Attributes:
        contestant: which server it is.
        server: its process.
        desks: one for each kind of file.
        rng: where all chance comes from.
    """

    def __init__(self, contestant: Contestant, home: Path, seed: str, patience: float = PATIENCE) -> None:
        """Prepare it all in the folder `home`; nothing is started yet. All waiting ends after `patience` seconds."""
        self.contestant = contestant
        self.rng = random.Random(seed)
        self.server: Jupyter
        self.desks: list[Desk] = []
        self._home = home
        self._patience = patience
        self._stack = ExitStack()

    # ------------------------------------------------------------------ life

    async def begin(self, config: str = "", people: int = 2, disk: bool = False) -> None:
        """Start the server, configured with `config` too, and let people open the files; on a small `disk`?"""
        self.server = Jupyter(self._home, f"{self.contestant.config}\n{config}", python=self.contestant.python)
        if disk:
            self._stack.enter_context(small_disk_at(self.server.root / "disk", "1m"))
        for kind in KINDS:
            path = f"disk/{kind.file}" if disk else kind.file
            self.desks.append(Desk(self.server, kind, path, random.Random(self.rng.random()), self._patience))
        await self.start()
        await asyncio.gather(*(desk.seat(name) for desk in self.desks for name in NAMES[:people]))

    async def start(self) -> None:
        """Start the server, again."""
        await asyncio.to_thread(self.server.start)

    def wipe_store(self) -> None:
        """Remove whatever the server keeps besides the files."""
        for path in self.store_files():
            path.unlink()

    def read_store(self) -> dict[Path, bytes]:
        """Return what the server keeps besides the files."""
        return {path: path.read_bytes() for path in self.store_files()}

    def write_store(self, content: dict[Path, bytes]) -> None:
        """Let the server have kept what it did when that was read."""
        self.wipe_store()
        for path, data in content.items():
            path.write_bytes(data)

    def store_files(self) -> list[Path]:
        """Return the files of the server's store."""
        return sorted(path for path in self._home.glob(self.contestant.store) if path.is_file())

    @property
    def database(self) -> Path:
        """The database in the store."""
        return next(path for path in self.store_files() if path.suffix == ".db")

    async def ended(self) -> None:
        """Wait until the server has ended as it was told to; complain, and kill it, if that takes too long."""
        try:
            await asyncio.to_thread(self.server.wait)
        except subprocess.TimeoutExpired:
            for desk in self.desks:
                desk.complaints.append(f"the server did not end within {SOON:g} s")
            self.server.kill()

    async def end(self) -> None:
        """Close all tabs, and end the server."""
        for desk in self.desks:
            await desk.leave()
        self.server.kill()
        self._stack.close()

    # ------------------------------------------------------------------ what people do

    @property
    def people(self) -> list[Person]:
        """Everybody who has a file open."""
        return [person for desk in self.desks for person in desk.people + desk.others]

    @asynccontextmanager
    async def typing(self, pause: float = 0.06) -> AsyncIterator[None]:
        """Let everybody type meanwhile, a word about every `pause` seconds."""
        tasks = [asyncio.ensure_future(person.type_on(pause)) for person in self.people]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    @asynccontextmanager
    async def losing_connections(self) -> AsyncIterator[None]:
        """Let people lose their connections meanwhile: a cable is pulled, a lid is closed for a moment."""
        over = asyncio.Event()
        task = asyncio.ensure_future(self._lose_connections(over))
        try:
            yield
        finally:
            over.set()
            await task  # who is away comes back first

    async def _lose_connections(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self.a_while(0.05, 0.3)
            person = self.rng.choice(self.people)
            if self.rng.random() < 0.5:
                person.peer.drop()
            else:
                await person.sleep()
                await self.a_while(0.1, 1.5)
                await person.wake()

    async def a_while(self, low: float, high: float) -> None:
        """Let some time pass: from `low` to `high` seconds."""
        await asyncio.sleep(self.rng.uniform(low, high))

    async def in_sync(self) -> None:
        """Wait until everybody who has the same view of a file says the same; not for ever."""
        for desk in self.desks:
            for people in filter(None, (desk.people, desk.others)):
                await desk.wait(lambda people=people: _agree(people), "people did not come to say the same")

    async def evicted(self) -> None:
        """Wait until the server has dropped the rooms of documents; not for ever."""
        deadline = asyncio.get_running_loop().time() + self._patience
        while asyncio.get_running_loop().time() < deadline:
            status, answer = await self.server.ask("GET", "api/rtc/rooms")
            if status != 200:
                await asyncio.sleep(3)  # it does not tell
                return
            if not any(room["name"].count(":") == 2 for room in answer["rooms"]):
                return
            await asyncio.sleep(0.05)
        for desk in self.desks:
            desk.complaints.append("the room stayed in memory")

    # ------------------------------------------------------------------ the end

    async def verdicts(self) -> dict[str, Verdict]:
        """Wait until all is well, not for ever; return what became of the words of each file."""
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            copies = await self.copies()
            found = {desk.kind.name: desk.judge(copies) for desk in self.desks}
            if asyncio.get_running_loop().time() > deadline or all(verdict.clean for verdict in found.values()):
                return found
            await asyncio.sleep(0.1)

    async def scene(self) -> str:
        """Return how the server's rooms and everybody's tabs stand, for whoever wants to know why a run failed."""
        lines = [person.describe() for person in self.people]
        with suppress(OSError):
            _, answer = await self.server.ask("GET", "api/rtc/rooms")
            lines.append(json.dumps(answer, indent=1, ensure_ascii=False))
        return "\n".join(lines)

    async def copies(self) -> list[str]:
        """Return the recovery copies that people were told of: in their document, or when they were sent away."""
        told = "".join(text for person in self.people for text in person.told())
        found: list[str] = []
        with suppress(OSError):
            status, answer = await self.server.ask("GET", "api/rtc/recovery")
            for copy in answer["copies"] if status == 200 else ():
                if copy["id"] in told:
                    _, content = await self.server.ask("GET", f"api/rtc/recovery/{copy['id']}?download=1")
                    found.append(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
        return found


def _agree(people: list[Person]) -> bool:
    return all(person.settled for person in people) and len({person.said() for person in people}) == 1
