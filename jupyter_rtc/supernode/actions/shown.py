"""The shared tables, as actions use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .definition import ActionError


class ServiceError(Exception): ...


class Supernode(Protocol):
    """Who keeps the tables."""

    @property
    def tables(self) -> Mapping[str, Any]:
        """The tables that are switched on, by name: with `resource`, and `table.records` by id."""
        ...

    async def refresh(self, name: str, **what: Any) -> None:
        """Return when a table shows what there is; KeyError for none, ServiceError where it cannot be seen."""
        ...

    def hint(self, name: str) -> None:
        """Say that there may be something new for a table."""
        ...


class Shown:
    """What the tables show of the things that actions make and change."""

    def __init__(self, supernode: Supernode) -> None:
        """Look into the tables of `supernode`."""
        self._supernode = supernode

    def resource(self, table: str) -> str:
        """Return what the authorizer is asked about for a table."""
        if table not in self._supernode.tables:
            raise ActionError(404, f"there is no table {table!r}")
        resource: str = self._supernode.tables[table].resource
        return resource

    def hint(self, *tables: str) -> None:
        """Say that these may have changed."""
        for table in tables:
            self._supernode.hint(table)

    async def refresh(self, table: str, **what: Any) -> None:
        """Return when a table shows what there is."""
        try:
            await self._supernode.refresh(table, **what)
        except KeyError:
            raise ActionError(404, f"there is no table {table!r}") from None
        except ServiceError as error:
            raise ActionError(502, str(error)) from error

    async def record(self, table: str, id: str, model: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record of something that was just made or changed, with its id.

        It is what the table shows; where that is switched off, or does not show it, what is in `model`.
        """
        try:
            await self._supernode.refresh(table)
            record = self._supernode.tables[table].table.records[id]
        except (KeyError, ServiceError):
            record = model
        return {"id": id, **record}
