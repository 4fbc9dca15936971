"""What the tables have to show, made from what Jupyter's own REST API answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .asking import Server

ROUNDING = 60


def rounded(time: str) -> str:
    """Return a time as the tables show it, rounded down to a minute."""
    moment = datetime.fromisoformat(time)
    return moment.replace(second=0, microsecond=0).isoformat().replace("+00:00", "Z")


async def kernels(server: Server) -> dict[str, Any]:
    """Return the kernels, without what REST does not know."""
    return {
        model["id"]: {
            "name": model["name"],
            "last_activity": rounded(model["last_activity"]),
            "connections": model["connections"],
            "execution_state": model["execution_state"],
            "reason": model.get("reason", ""),
        }
        for model in await server.ask("GET", "api/kernels")
    }


async def sessions(server: Server) -> dict[str, Any]:
    """Return the sessions."""
    return {
        model["id"]: {
            "path": model["path"],
            "name": model["name"],
            "type": model["type"],
            "kernel_id": model["kernel"]["id"],
            "state": "created",
        }
        for model in await server.ask("GET", "api/sessions")
    }


async def terminals(server: Server) -> dict[str, Any]:
    """Return the terminals."""
    return {
        model["name"]: {"name": model["name"], "last_activity": rounded(model["last_activity"])}
        for model in await server.ask("GET", "api/terminals")
    }


async def status(server: Server) -> dict[str, Any]:
    """Return the status, without the last activity, which this request changes."""
    answer = await server.ask("GET", "api/status")
    return {"status": {name: answer[name] for name in ("started", "connections", "kernels")}}


async def kernelspecs(server: Server) -> dict[str, Any]:
    """Return the kernelspecs."""
    answer = await server.ask("GET", "api/kernelspecs")
    return {
        name: {**model, "default": name == answer["default"], "host": None}
        for name, model in answer["kernelspecs"].items()
    }


async def folder(server: Server, path: str) -> dict[str, Any]:
    """Return the files and folders in a folder, and itself, by path, without what REST does not know."""
    answer = await server.ask("GET", f"api/contents/{path}".rstrip("/"))
    names = ("name", "path", "type", "writable", "created", "last_modified", "size", "mimetype")
    return {model["path"].strip("/"): {name: model[name] for name in names} for model in [answer, *answer["content"]]}


ASKED = {
    "kernels": kernels,
    "sessions": sessions,
    "terminals": terminals,
    "status": status,
    "kernelspecs": kernelspecs,
}


def only(records: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """Return records with those fields only that records of the other kind have."""
    fields = next(iter(like.values()), {}).keys()
    return {id: {name: record[name] for name in fields if name in record} for id, record in records.items()}
