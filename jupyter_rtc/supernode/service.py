"""What a table is filled from: something that can be listed, and that says when to list it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

Changed: TypeAlias = Callable[[], None]
"""Says "look again"; it may be said too often, and from anywhere on the event loop."""


class ServiceError(Exception):
    """A service cannot be listed for now; the text says why."""


class MissingError(ServiceError):
    """There is no such file or folder, or it is not to be shown; the text says which."""


class Service(Protocol):
    """One part of Jupyter Server, whose state a table shows.

    Attributes:
        name: the name of the table.
        resource: what Jupyter Server's Authorizer is asked about, as the server's own handlers of this part ask.
    """

    name: str
    resource: str

    async def list(self) -> Mapping[str, Mapping[str, Any]]:
        """Return all there is now, by id. Raises whatever goes wrong: the table keeps what it has."""
        ...

    def watch(self, changed: Changed) -> Callable[[], None]:
        """Call `changed` whenever there may be something new; returns what ends it."""
        ...
