"""The stored rooms whose names clients made up: who began each, and how many bytes it takes.

Nothing ends such a room, and no file has what it holds, so that the store never drops it. What users may begin, and how
large that may grow, is therefore bounded for each and for all.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..storing.store import Begun, Store
from .allowances import Allowance, Allowances, ExhaustedError

__all__ = ["Charge", "Charges"]


class Charge:
    """What one stored room takes of the allowances of whoever began it.

    Attributes:
        user: the username; empty where it is not known, or was the server itself: then only all together are bounded.
        size: how many bytes are stored of the room.
    """

    def __init__(self, user: str, size: int, rooms: Allowance, bytes_stored: Allowance) -> None:
        """Count a room of `size` bytes for `user`."""
        self.user = user
        self.size = size
        self._rooms = rooms
        self._bytes = bytes_stored
        rooms.count(user)
        bytes_stored.count(user, size)

    def refusal(self, more: int) -> str:
        """Return why the room may not grow by so many bytes, in a sentence; an empty text where it may."""
        try:
            self._bytes.check(self.user, more)
        except ExhaustedError as error:
            return str(error)
        return ""

    def grown(self, size: int) -> None:
        """Take note of how many bytes are stored of the room now."""
        self._bytes.count(self.user, size - self.size)
        self.size = size

    def end(self) -> None:
        """Count the room no longer."""
        self._bytes.count(self.user, -self.size)
        self._rooms.count(self.user, -1)


class Charges:
    """All of them. What was stored before this process began is read when it is first asked for."""

    def __init__(self, store: Store, allowances: Allowances) -> None:
        """Count the rooms in `store`."""
        self._store = store
        self._rooms = allowances.free_rooms
        self._bytes = allowances.free_bytes
        self._charges: dict[str, Charge] = {}
        self._known = False

    def __iter__(self) -> Iterator[Begun]:
        """Go over the rooms, the largest first."""
        found = [Begun(name, charge.user, charge.size) for name, charge in self._charges.items()]
        return iter(sorted(found, key=lambda begun: -begun.size))

    async def read(self) -> None:
        """Count what is stored already, the first time. Raises StoreError; then it is tried again by the next call."""
        if self._known:
            return
        found = await self._store.begun()
        if not self._known:  # nobody else read it meanwhile
            self._known = True
            for name, user, size in found:
                if name not in self._charges:
                    self._charges[name] = Charge(user, size, self._rooms, self._bytes)

    def get(self, name: str) -> Charge | None:
        """Return the charge of a room, or None where there is none of this name, as far as is known."""
        return self._charges.get(name)

    def refuse_more(self, user: str) -> None:
        """Raise ExhaustedError where a user, or all together, may begin no more rooms, or have no bytes left."""
        self._rooms.check(user, 1)
        self._bytes.check(user, 1)

    def begin(self, name: str, user: str) -> Charge:
        """Count a room that a user begins, in place of what is counted under its name."""
        self.forget(name)
        charge = self._charges[name] = Charge(user, 0, self._rooms, self._bytes)
        return charge

    def forget(self, name: str) -> None:
        """Count a room no longer: it was deleted."""
        if charge := self._charges.pop(name, None):
            charge.end()
