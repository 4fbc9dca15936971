"""Keeps one table like the service that it shows, and gives it to whoever is in its room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from logging import Logger, LoggerAdapter
from time import monotonic
from typing import Any

from ..machine import Backoff
from ..relay import Member, OpenRoom, PlainKind, Relay, Resident, StoredRoom, Verdict
from .patience import Patience
from .records import MAPS
from .service import Service, ServiceError
from .tables import RECORDS, Change, Table

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_LONGEST_REST = 1.0
_SHARE = 20  # looking takes at most a twentieth of the time
_MUCH_GARBAGE = 1 << 20
_TOO_MUCH_GARBAGE = 1 << 23


class Mirror(PlainKind, Resident):
    """One table: looks at its service, and fills the room that shows it, ``table:<name>``: the only one of its kind.

    It looks when the service says so, and every `interval` seconds besides. However often it is told meanwhile, it
    looks once more. Looking takes a twentieth of the time, however often something changes; more only where a look by
    itself takes longer than a twentieth of a second, for between two it rests a second at most.

    Attributes:
        table: the records.
        trouble: why the service cannot be listed for now, in a sentence; None while all is well.
    """

    writable = False
    mapped = True

    def __init__(
        self, service: Service, relay: Relay, interval: float, patience: Patience, log: Logger | LoggerAdapter[Any]
    ) -> None:
        """Show `service` in a room of `relay`; nothing is looked at yet. `interval` 0 turns polling off."""
        self.resource = service.resource
        self.table = Table(MAPS)
        self.trouble: str | None = None
        self._service = service
        self._relay = relay
        self._interval = interval
        self._patience = patience
        self._log = log
        self._room: OpenRoom | None = None
        self._paths: frozenset[str] = frozenset()
        self._hinted = asyncio.Event()
        self._turn = asyncio.Lock()
        self._looks = 0
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)

    @property
    def name(self) -> str:
        """The name of the room."""
        return f"table:{self._service.name}"

    def overview(self) -> dict[str, Any]:
        """Return the table's name and its room's, how many records there are, and what is wrong, if anything is."""
        name, number = self._service.name, len(self.table.records)
        return {"name": name, "room": self.name, "number": number, "trouble": self.trouble}

    def hint(self) -> None:
        """Say that there may be something new."""
        self._hinted.set()

    async def run(self) -> None:
        """Keep the table like the service, until cancelled."""
        unwatch = self._watch()
        try:
            while True:
                begun = monotonic()
                self._hinted.clear()
                with suppress(ServiceError):
                    await self.look()
                took = monotonic() - begun
                await asyncio.sleep(min(_SHARE * took, _LONGEST_REST))
                await self._until_due(_SHARE * took)
        finally:
            unwatch()

    def _watch(self) -> Callable[[], object]:
        """Watch the service, and return what ends that; one that cannot be watched is polled."""
        try:
            return self._service.watch(self.hint)
        except Exception as error:  # whatever is in the place of Jupyter's own manager
            self._log.error("table %s: cannot be watched, it is polled: %s", self._service.name, error, exc_info=error)
            self._interval = self._interval or _LONGEST_PAUSE
            return lambda: None

    async def look(self) -> None:
        """Return when the table shows what there was when this was called, or later.

        Raises ServiceError where the service cannot be listed.
        """
        wanted = self._looks + 1
        async with self._turn:
            if self._looks < wanted:  # else somebody else has looked, and has begun after this was called
                self._looks += 1
                await self._look()
        if self.trouble:
            raise ServiceError(self.trouble)

    @property
    def is_watched(self) -> bool:
        """Whether somebody is in the room."""
        return bool(self._room and self._room.members)

    async def _until_due(self, least: float) -> None:
        """Wait for a hint, or until it is time to look without one, in `least` seconds or later.

        While there is trouble, time alone counts.
        """
        if self.trouble:
            await asyncio.sleep(self._backoff.next())
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(max(self._interval, least) if self._interval else None):
                await self._hinted.wait()

    async def _look(self) -> None:
        longest = self._patience.look
        try:
            async with asyncio.timeout(longest):
                records = await self._service.list()
        except TimeoutError as error:
            late = error if str(error) else TimeoutError(f"no answer in {longest:g} s")
            self._stumbled("cannot be listed, it stays as it is", late)
            return
        except Exception as error:  # whatever a manager raises: its table stays as it is, and no other is concerned
            self._stumbled("cannot be listed, it stays as it is", error, traced=True)
            return
        try:
            await self._write(records)
        except Exception as error:  # of ours, or a record that no table can hold: what can be written is
            self._stumbled("cannot be brought up to date", error, traced=True)
            return
        if self.trouble:
            self._log.info("table %s: up to date again", self._service.name)
        self.trouble = None
        self._backoff.reset()
        if self.table.garbage > _TOO_MUCH_GARBAGE and self._room:
            await self._relay.discard(self.name)

    async def _write(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Bring the table, and the document that shows it, up to date."""
        paths = frozenset(str(record["path"]) for record in records.values() if "path" in record)
        if not paths <= self._paths:
            self._paths |= paths
            if self._room:  # whoever may not read one of the files is gone before it is written down
                await self._relay.ask_rights()
        for change in self.table.reconcile(records):
            if self._room:
                await self._show(self._room, change)
        self._paths = paths

    async def _show(self, room: OpenRoom, change: Change) -> None:
        try:
            room.edit(change.write)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the PanicException of pycrdt is no Exception
            self.table.take_back(change)
            await self._relay.discard(self.name)  # it is not like the table any more, and is made anew from that
            raise ServiceError(repr(error)) from error
        await asyncio.sleep(0)

    def _stumbled(self, what: str, error: Exception, traced: bool = False) -> None:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if self.trouble is None:
            self._log.warning("table %s: %s: %s", self._service.name, what, text, exc_info=error if traced else None)
        self.trouble = text

    # ------------------------------------------------------------------ RoomKind, Resident

    def owns(self, name: str) -> bool:
        """Own the room of this table."""
        return name == self.name

    def paths(self, name: str) -> Collection[str]:
        """Return the paths in the records, and in those that are about to be written."""
        return self._paths

    def lists(self, name: str) -> Collection[str]:
        """Name the map of records."""
        return (RECORDS,)

    async def load(self, room: OpenRoom, stored: StoredRoom | None) -> tuple[Resident, StoredRoom | None]:
        """Fill a room with the records: a history of its own, unlike that of any room before."""
        async with self._turn:
            for change in self.table.fill():
                with room.doc.transaction():
                    change.write(room.doc)
                await asyncio.sleep(0)
            room.inside.begin(0, room.doc.client_id)
            self._room = room  # in this turn: what changes from now on is written into it
        return self, None

    async def foreign(self, member: Member, updates: Sequence[bytes]) -> Verdict:
        """Keep out a document that has not this table's history: of a former server, or of its own making.

        Merged with this one's, records that went long ago would be there again, and others would be hidden.
        """
        return Verdict("This table was made anew. Reload the page.")

    @asynccontextmanager
    async def release(self) -> AsyncIterator[bool]:
        """Keep the room, so that who comes back goes on; unless it is full of what records left that went."""
        yield self.table.garbage > _MUCH_GARBAGE

    def closed(self) -> None:
        """Write into no room any more."""
        self._room = None
