"""What a server emits as events, as JupyterLab hears it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import websockets

from .process import Jupyter

SESSION = "https://schema.jupyter.org/jupyter_collaboration/session/v1"
STORE = "https://schema.jupyter.org/jupyter_rtc/store/v1"
FORK = "https://schema.jupyter.org/jupyter_collaboration/fork/v1"


@asynccontextmanager
async def heard(server: Jupyter, schema: str = SESSION) -> AsyncIterator[list[dict[str, Any]]]:
    """Subscribe to a server's events; yield the list to which those of a schema are added as they come."""
    events: list[dict[str, Any]] = []
    async with websockets.connect(server.url("api/events/subscribe?token=ada", "ws"), proxy=None) as socket:

        async def listen() -> None:
            async for message in socket:
                event = json.loads(message)
                if event["schema_id"] == schema:
                    events.append(event)

        task = asyncio.ensure_future(listen())
        try:
            yield events
        finally:
            task.cancel()


def sentences(events: list[dict[str, Any]], room: str) -> list[str]:
    """Return what was said of a room, as a front end shows it: nothing but INFO, which opens no dialog."""
    said = [event for event in events if event["room"] == room and "msg" in event]
    assert {event["level"] for event in said} <= {"INFO"}
    return [event["msg"] for event in said]
