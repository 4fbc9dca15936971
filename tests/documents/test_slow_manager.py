"""A contents manager that is not asynchronous, and takes its time: nobody else waits for it."""

from __future__ import annotations

import asyncio

from awaiting import PATIENCE

from .conftest import Opener, Starter
from .peer import until
from .process import Jupyter

# It waits as long as there is a file called `hold`, and says in `calls` when a call has begun, and that it is through.
# Two at once would be too much for it.
MANAGER = """
import time
from pathlib import Path

from jupyter_server.services.contents.largefilemanager import LargeFileManager


class Slow(LargeFileManager):
    running = 0

    def get(self, path, *args, **more):
        return self.slowly(f"get {path}", super().get, path, *args, **more)

    def save(self, model, path=""):
        return self.slowly(f"save {path}", super().save, model, path)

    def slowly(self, name, method, *args, **more):
        if self.running:  # `save` calls `get`
            return method(*args, **more)
        self.running += 1
        try:
            self.note(f"{name} begins")
            while Path("hold").exists():
                time.sleep(0.01)
            return method(*args, **more)
        finally:
            self.note(f"{name} ends")
            self.running -= 1

    def note(self, line):
        with open("calls", "a") as calls:
            calls.write(line + "\\n")


c.ServerApp.contents_manager_class = Slow
c.Documents.poll_interval = 0.1
c.Supernode.contents_interval = 0.1
"""


def calls(server: Jupyter) -> list[str]:
    """Return what the manager was asked for."""
    return (server.root.parent / "calls").read_text().splitlines()


def is_held(server: Jupyter) -> bool:
    """Say whether a call has begun that is not through."""
    return calls(server)[-1].endswith("begins")


async def test_edits_arrive_while_a_look_lasts(start: Starter, join: Opener) -> None:
    """Looks that nobody asked for, of the tables too, and a save: others type, and it is all saved in the end."""
    server = start(MANAGER)
    hold = server.root.parent / "hold"
    for number in range(20):
        (server.root / f"{number}.txt").write_text("one\n")
    peers = [await join(server, f"{number}.txt") for number in range(20)]
    bob = await join(server, "0.txt", token="bob")
    hold.touch()
    await until(lambda: is_held(server))
    for number, peer in enumerate(peers):
        peer.type(f"typed {number}\n")
    await until(lambda: bob.text == "one\ntyped 0\n")
    saving = [peer.begin_save() for peer in peers]
    bob.type("more\n")
    await until(lambda: peers[0].text == bob.text == "one\ntyped 0\nmore\n")
    assert is_held(server)
    assert not any(answer.done() for answer in saving)
    hold.unlink()
    assert set(await asyncio.wait_for(asyncio.gather(*saving), 60)) == {"success"}
    await until(lambda: (server.root / "0.txt").read_text() == bob.text)
    assert [(server.root / f"{number}.txt").read_text() for number in range(1, 20)] == [
        f"one\ntyped {number}\n" for number in range(1, 20)
    ]
    log = calls(server)
    assert [line.split()[-1] for line in log] == ["begins", "ends"] * (len(log) // 2)  # one after the other
    assert "Traceback" not in server.log()


async def test_a_call_that_never_returns_keeps_no_server_from_stopping(start: Starter, join: Opener) -> None:
    server = start(MANAGER)
    hold = server.root.parent / "hold"
    (server.root / "a.txt").write_text("one\n")
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    hold.touch()
    await until(lambda: is_held(server))
    ada.type("typed\n")
    await until(lambda: "typed" in bob.text)
    hold.unlink()
    assert await ada.save() == "success"
    hold.touch()
    await until(lambda: is_held(server))
    server.terminate()
    assert await asyncio.to_thread(server.wait, PATIENCE) == 0
