"""An update that comes before the one it builds on: an outside edit, a crash and a restart come between the two."""

from __future__ import annotations

from typing import Any

import pytest
from pycrdt import Doc, Text, create_update_message

from .conftest import Opener, Starter
from .peer import until


@pytest.mark.parametrize("crash", [False, True])
async def test_nothing_of_it_is_lost(start: Starter, join: Opener, crash: bool) -> None:
    server = start()
    file = server.root / "a.txt"
    file.write_text("begin\n")
    ada = await join(server, "a.txt")
    elsewhere: Doc[Any] = Doc()
    elsewhere.apply_update(ada.doc.get_update())
    updates: list[bytes] = []
    subscription = elsewhere.observe(lambda event: updates.append(event.update))
    source = elsewhere.get("source", type=Text)
    for word in ("missing\n", "early\n"):
        source += word
    elsewhere.unobserve(subscription)
    missing, early = updates
    before = server.rooms()[ada.room]["updates"]
    ada.send(create_update_message(early))
    await until(lambda: server.rooms()[ada.room]["updates"] > before)
    for word in ("one\n", "two\n"):  # each becomes part of the stored base
        file.write_text(file.read_text() + word)
        await until(lambda word=word: word in ada.text)
    if crash:
        await until(lambda: server.rooms()[ada.room]["log_bytes"] < 1000)
        server.kill()
    else:
        server.terminate()
        server.wait()
    server.start()
    bob = await join(server, "a.txt", token="bob")
    await until(lambda: ada.online)
    assert "early" not in bob.text
    ada.send(create_update_message(missing))
    wanted = sorted(["begin", "early", "missing", "one", "two"])
    await until(lambda: sorted(bob.text.split()) == wanted, lambda: bob.text)
    await until(lambda: sorted(file.read_text().split()) == wanted, file.read_text)
