"""The tables as JSON, for who has no CRDT. Tornado in, one method call, out."""

from __future__ import annotations

from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError, authenticated

from ..relay import UserRights
from .supernode import Supernode


class _Reading(APIHandler):
    """Answers with what the user may read of the tables of a supernode."""

    def initialize(self, supernode: Supernode) -> None:
        """Take the supernode whose tables these are."""
        self.tables = supernode.tables
        self.rights = UserRights(self)


class TablesHandler(_Reading):
    """``GET api/rtc/tables``: which tables there are."""

    @authenticated
    async def get(self) -> None:
        """Return an overview of the tables that the user may read; 403 where there is none."""
        readable = [mirror for mirror in self.tables.values() if await self.rights.may("read", mirror.resource)]
        if self.tables and not readable:
            raise HTTPError(403, f"{self.current_user.username} may read no table")
        self.finish({"tables": [mirror.overview() for mirror in readable]})


class TableHandler(_Reading):
    """``GET api/rtc/tables/<name>``: a table, for who has no CRDT."""

    @authenticated
    async def get(self, name: str) -> None:
        """Return the records of a table; 403 without the right to read what it shows, 404 where there is none.

        Of files, those are left out that the user may not read.
        """
        mirror = self.tables.get(name)
        resource = mirror.resource if mirror else "api"
        if not await self.rights.may("read", resource):
            raise HTTPError(403, f"{self.current_user.username} may not read {resource}")
        if mirror is None:
            raise HTTPError(404, f"there is no table {name!r}")
        records = {
            id: record
            for id, record in list(mirror.table.records.items())
            if "path" not in record or await self.rights.may_all("read", [record["path"]])
        }
        self.finish(mirror.overview() | {"number": len(records), "records": records})
