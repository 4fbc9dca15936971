"""How long it takes until a change is in a table: from the change to the moment a client of the table's room has it.

The server polls nothing here: what comes was told. A change over REST is timed from the moment its request is sent, one
on the disk from the moment it is done, and what a kernel does from the moment another client is told of it by
Jupyter's own WebSocket; clients, and who acts, are in one process, so there is one clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import meter
from clients import Address, Peer, body, request
from keeping import Kept
from pycrdt import Doc, Map
from servers import TOKEN
from websockets.asyncio.client import ClientConnection

PUSHED = ("status", "terminals", "kernels", "sessions", "contents", "folders", "documents")
UNPOLLED = [f"--Supernode.{table}_interval=0" for table in PUSHED if table != "folders"]
PATIENCE = 30.0


class Copy:
    """A table as a client has it."""

    def __init__(self, peer: Peer) -> None:
        """Follow what comes to `peer`, which has just joined the table's room."""
        self._peer = peer
        self._doc: Doc[Any] = Doc()
        self._doc.apply_update(body(peer.state, 2))
        self._records = self._doc.get("records", type=Map)
        self._next = 0
        self._news = asyncio.Event()
        peer.watcher = self._news.set

    @classmethod
    async def join(cls, server: Kept, table: str) -> Copy:
        """Join the room of a table."""
        room = server.room("any")
        target = f"/api/rtc/room/table:{table}?token={TOKEN}"
        return cls(await Peer.join(Address(room.host, room.port, target)))

    @property
    def records(self) -> dict[str, Any]:
        """The records there now."""
        return self._records.to_py() or {}

    async def settle(self) -> None:
        """Let pass what comes until nothing does: it belongs to what was before."""
        last = -1
        while last != self._peer.updates:
            last = self._peer.updates
            await asyncio.sleep(0.5)
        if self._next < last:
            await self.until(lambda _: self._next == last)

    async def until(self, holds: Callable[[dict[str, Any]], object]) -> float:
        """Return when that came with which something held of the records; what came before counts too."""
        while True:
            self._news.clear()
            while self._next < len(self._peer.arrivals):
                arrived, message = self._peer.arrivals[self._next]
                self._next += 1
                self._doc.apply_update(body(message, 2))
                if holds(self.records):
                    return arrived
            await asyncio.wait_for(self._news.wait(), PATIENCE)


class Delays:
    """Makes changes of all kinds to a server, and notes how late each comes."""

    def __init__(self, server: Kept, copies: dict[str, Copy], number: int) -> None:
        """Make each change `number` times; `copies` are of all tables that are pushed."""
        self._server = server
        self._copies = copies
        self._number = number
        self._late: dict[str, list[float]] = defaultdict(list)

    def report(self) -> None:
        """Print the median and the 99th percentile of each kind of change."""
        for kind, late in self._late.items():
            some = sorted(1000 * one for one in late)
            median, most = some[len(some) // 2], some[int(0.99 * len(some))]
            print(f"{kind}: p50 {median:.1f} ms, p99 {most:.1f} ms, of {len(some)}", flush=True)

    async def executions(self, kernel: str, channels: ClientConnection) -> None:
        """Let a kernel become busy and idle; it is compared with what its WebSocket says."""
        await self._copies["kernels"].settle()
        for _ in range(self._number):
            told = await self._execute(channels)
            for state in ("busy", "idle"):
                shown = await self._until("kernels", lambda all, s=state: all[kernel]["execution_state"] == s)
                self._late[f"kernels: {state}, after a socket of the kernel was told"].append(shown - told[state])

    async def connections(self, connect: Callable[[], Any], kernel: str) -> None:
        """Connect to a kernel."""
        for number in range(2, self._number // 4 + 2):
            await connect()
            told = time.monotonic()
            shown = await self._until("kernels", lambda all, n=number: all[kernel]["connections"] == n)
            self._late["kernels: connected, after the socket is open"].append(shown - told)
            shown = await self._until("status", lambda all, n=number: all["status"]["connections"] == n)
            self._late["status: connected, after the socket is open"].append(shown - told)

    async def sessions(self, kernel: str) -> None:
        """Make sessions for one kernel, and rename each."""
        for number in range(self._number):
            about = {"path": f"{number}.ipynb", "name": "a", "type": "notebook", "kernel": {"id": kernel}}
            id = await self._over_rest(
                "sessions: made", "POST", "/api/sessions", about, lambda all, n=number: len(all) == n + 1
            )
            await self._over_rest(
                "sessions: renamed",
                "PATCH",
                f"/api/sessions/{id['id']}",
                {"path": "b"},
                lambda all, i=id["id"]: all[i]["path"] == "b",
            )
            await self._ask("PATCH", f"/api/sessions/{id['id']}", {"path": f"old{number}"})

    async def terminals(self) -> None:
        """Open terminals, and kill the shell of each."""
        for _ in range(self._number // 2):
            before = set(meter.family(self._server.pid))
            await self._over_rest("terminals: opened", "POST", "/api/terminals", None, len)
            for shell in set(meter.family(self._server.pid)) - before:
                os.kill(shell, signal.SIGKILL)
            gone = time.monotonic()
            shown = await self._until("terminals", lambda all: not all)
            self._late["terminals: its shell ended"].append(shown - gone)

    async def files(self, folder: Path) -> None:
        """Save a file, and make one, in a folder that is looked at: on the disk, and over REST."""
        await self._ask("POST", "/api/rtc/tables/contents/refresh", {"path": folder.name})
        for number in range(1, self._number + 1):
            (folder / "0.txt").write_text("x" * number)
            saved = time.monotonic()
            shown = await self._until("contents", lambda all, n=number: _size(all, f"{folder.name}/0.txt") == n)
            self._late["contents: a file saved on the disk"].append(shown - saved)
            (folder / f"made{number}").touch()
            saved = time.monotonic()
            shown = await self._until("folders", lambda all, n=number: f"made{n}" in _children(all))
            self._late["folders: a file made on the disk"].append(shown - saved)
            content = {"type": "file", "format": "text", "content": "y" * number}
            path = f"{folder.name}/1.txt"
            await self._over_rest(
                "contents: a file saved over REST",
                "PUT",
                f"/api/contents/{path}",
                content,
                lambda all, n=number, p=path: _size(all, p) == n,
            )

    async def documents(self) -> None:
        """Open documents, and come into the room of each."""
        for number in range(self._number // 2):
            (self._server.files / f"{number}.txt").write_text("x")
            about = {"format": "text", "type": "file"}
            path = f"/api/collaboration/session/{number}.txt"
            session = await self._over_rest(
                "documents: opened", "PUT", path, about, lambda all, n=number: f"{n}.txt" in _paths(all)
            )
            room, server = f"text:file:{session['fileId']}", self._server.room("any")
            come = time.monotonic()
            await Peer.join(Address(server.host, server.port, f"/api/collaboration/room/{room}?token={TOKEN}"))
            shown = await self._until("documents", lambda all, r=room: len(all[r]["members"]) == 1)
            self._late["documents: somebody comes"].append(shown - come)

    async def _over_rest(
        self, kind: str, method: str, path: str, content: Any, holds: Callable[[dict[str, Any]], object]
    ) -> Any:
        sent = time.monotonic()
        asking = asyncio.ensure_future(self._ask(method, path, content))
        shown = await self._until(kind.partition(":")[0], holds)
        self._late[f"{kind}, after the request is sent"].append(shown - sent)
        return await asking

    async def _execute(self, channels: ClientConnection) -> dict[str, float]:
        """Have a kernel run nothing; return when the socket told that it is busy, and idle again."""
        header = {"msg_id": os.urandom(8).hex(), "username": "", "session": "bench", "msg_type": "execute_request"}
        content = {"code": "pass", "silent": False, "store_history": False, "user_expressions": {}}
        message = {"header": {**header, "version": "5.3"}, "parent_header": {}, "metadata": {}, "content": content}
        await channels.send(json.dumps({**message, "channel": "shell"}))
        told: dict[str, float] = {}
        while "idle" not in told:
            answer = json.loads(await channels.recv())
            if answer["parent_header"].get("msg_id") == header["msg_id"] and answer["msg_type"] == "status":
                told[answer["content"]["execution_state"]] = time.monotonic()
        return told

    async def _ask(self, method: str, path: str, content: Any = None) -> Any:
        return (await request(self._server.room("any"), method, f"{path}?token={TOKEN}", content))[1]

    async def _until(self, table: str, holds: Callable[[dict[str, Any]], object]) -> float:
        return await self._copies[table].until(holds)


def _size(records: dict[str, Any], path: str) -> int | None:
    return next((one["size"] for one in records.values() if one["path"] == path), None)


def _children(folders: dict[str, Any]) -> set[str]:
    return {name for folder in folders.values() for name in folder["children"]}


def _paths(documents: dict[str, Any]) -> set[str]:
    return {record["path"] for record in documents.values()}
