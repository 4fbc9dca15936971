"""The shared tables, as actions use them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..patience import Patience
from ..service import MissingError, ServiceError
from ..supernode import Supernode
from .definition import ActionError


class Shown:
    """What the tables show of the things that actions make and change."""

    def __init__(self, supernode: Supernode, patience: Patience) -> None:
        """Look into the tables of `supernode`."""
        self._supernode = supernode
        self._patience = patience

    def resource(self, table: str) -> str:
        """Return what the authorizer is asked about for a table; of one that is not there, about the server's API."""
        mirror = self._supernode.tables.get(table)
        return mirror.resource if mirror else "api"

    def hint(self, *tables: str) -> None:
        """Say that these may have changed."""
        for table in tables:
            self._supernode.hint(table)

    async def refresh(self, table: str, **what: Any) -> None:
        """Return when a table shows what there is; `what` says which files or folders are meant."""
        try:
            await self._supernode.refresh(table, **what)
        except KeyError:
            raise ActionError(404, f"there is no table {table!r}") from None
        except (MissingError, OSError) as error:
            raise ActionError(400, str(error), "path") from None
        except ValueError as error:
            raise ActionError(400, str(error), "type") from None
        except ServiceError as error:
            raise ActionError(502, str(error)) from error

    async def record(self, table: str, id: str, model: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record of something that was just made or changed, with its id.

        It is what the table shows; where that is switched off, or does not show it, what is in `model`.
        """
        try:
            async with asyncio.timeout(self._patience.record):
                await self._supernode.refresh(table)
            record: Mapping[str, Any] = self._supernode.tables[table].table.records[id]
        except (KeyError, ServiceError, TimeoutError):
            record = model
        return {"id": id, **record}
