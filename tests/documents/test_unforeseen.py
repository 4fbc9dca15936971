"""A contents manager that raises what no contents manager should, or hangs: it is said, and everything else goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Opener, Starter
from .peer import Peer, until
from .process import Jupyter
from .test_opening import failure

FAILING = """
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from pathlib import Path

class Failing(AsyncLargeFileManager):
    '''Raises, or hangs, when it is to do what a file of this name says.'''

    async def fail(self, what):
        said = Path({said!r}, what)
        if said.exists():
            exec(said.read_text())

    async def get(self, path, *args, **more):
        if path.endswith("a.txt"):
            await self.fail("get")
        return await super().get(path, *args, **more)

    async def save(self, model, path="", **more):
        if path.endswith("slow.txt"):
            import asyncio
            await asyncio.sleep(600)
        await self.fail("save")
        return await super().save(model, path, **more)

c.ServerApp.contents_manager_class = Failing
"""


@pytest.fixture
def server(start: Starter, tmp_path: Path) -> Jupyter:
    """Return a server whose contents manager fails when the test says so, with a file in it."""
    server = start(FAILING.format(said=str(tmp_path)))
    (server.root / "a.txt").write_text("a")
    return server


@pytest.mark.parametrize("error", ["OSError(5, 'the disk is on fire')", "ValueError('no')", "RuntimeError()"])
async def test_a_document_that_cannot_be_opened_says_why(
    server: Jupyter, join: Opener, tmp_path: Path, error: str
) -> None:
    (tmp_path / "get").write_text(f"raise {error}")
    peer = Peer(server, "a.txt", "file", "text", "ada")
    code, reason = await failure(peer)
    assert code == 4500
    assert reason.startswith("Error initializing: a.txt: ")
    assert repr(eval(error)).partition("(")[0] in reason
    assert f"room {peer.room}: a.txt cannot be loaded\nTraceback" in server.log().replace("    ", "")
    await peer.close()
    for method, path in (
        ("GET", "api/collaboration/timeline/a.txt?format=text&type=file"),
        ("PUT", f"api/collaboration/fork/{peer.room}"),
    ):
        status, answer = await server.ask(method, path, {} if method == "PUT" else None)
        assert status == 503
        assert "Error initializing: a.txt: " in str(answer)
    (tmp_path / "get").unlink()
    assert (await join(server, "a.txt")).text == "a"


async def test_a_save_that_fails_tells_who_asked_for_it_why(server: Jupyter, join: Opener, tmp_path: Path) -> None:
    peer = await join(server, "a.txt")
    peer.show(autosave=False)
    peer.type("b")
    (tmp_path / "save").write_text("from tornado.web import HTTPError\nraise HTTPError(403, 'not on Sundays')")
    assert await peer.save() == "failed"
    assert peer.reasons == ["not on Sundays"]
    (tmp_path / "save").write_text("raise LookupError('a bug')")
    assert await peer.save() == "failed"
    assert peer.reasons[1:] == ["an error that nobody foresaw; the server's log has it"]
    (tmp_path / "save").unlink()
    assert await peer.save() == "success"
    assert len(peer.reasons) == 2
    rita = await join(server, "a.txt", token="rita")
    assert await rita.save() == "failed"
    assert rita.reasons == ["you may only read a.txt"]


async def test_a_save_that_is_cut_off_by_the_end_of_the_server_is_no_error(server: Jupyter, join: Opener) -> None:
    (server.root / "slow.txt").write_text("a")
    peer = await join(server, "slow.txt")
    frames = server.rooms()[peer.room]["frames_in"]
    peer.type("b")
    await until(lambda: server.rooms()[peer.room]["frames_in"] > frames)
    server.terminate()
    server.wait()
    log = server.log()
    assert f"room {peer.room}: not saved within 1.5 s (slow.txt)" in log
    assert "foresaw" not in log
    assert "Traceback" not in log
    server.start()
    assert (await join(server, "slow.txt")).text == "ab"
