"""What users ask for has threads of its own: documents are opened and saved however long that takes."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from awaiting import until
from pycrdt import Text

_MANY = 6
"""The HTTP client of the tests asks for ten things at once."""


async def opened(jp_fetch: Any, path: str) -> dict[str, Any]:
    """Open a document."""
    body = json.dumps({"format": "text", "type": "file"})
    answer = await jp_fetch("api", "collaboration", "session", path, method="PUT", body=body)
    session: dict[str, Any] = json.loads(answer.body)
    return session


@pytest.mark.traits(Allowances={"max_answers": 100, "max_answers_in_total": 100})
async def test_a_document_is_opened_and_saved_while_many_wait_for_the_past_of_one(
    server: Any, jp_fetch: Any, jp_root_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there are threads for all else that is slow: each is held up at a long history."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_MANY))
    gate, keeper = threading.Event(), server.extension.relay.keeper
    versions = keeper.versions
    held = []

    def slowly(*args: Any) -> Any:
        held.append(args)
        gate.wait()
        return versions(*args)

    monkeypatch.setattr(keeper, "versions", slowly)
    for name in ("a.txt", "b.txt"):
        (jp_root_dir / name).write_text("one\n")
    await opened(jp_fetch, "a.txt")
    asking = [asyncio.ensure_future(jp_fetch("api", "rtc", "history", "a.txt")) for _ in range(_MANY)]
    try:
        await until(lambda: bool(held))
        session = await asyncio.wait_for(opened(jp_fetch, "b.txt"), 30)
        documents = server.extension.documents
        room = documents.relay.get(f"text:file:{session['fileId']}")
        room.edit(lambda doc: doc.get("source", type=Text).insert(0, "typed\n"))
        await until(lambda: (jp_root_dir / "b.txt").read_text() == "typed\none\n")
        assert not any(asked.done() for asked in asking)
    finally:
        gate.set()
        answers = await asyncio.gather(*asking)
    assert {answer.code for answer in answers} == {200}
