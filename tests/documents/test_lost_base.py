"""What was typed and what others wrote, when the store knows no more what both began with: both are kept."""

from __future__ import annotations

from .conftest import Opener, Starter
from .peer import Peer, until
from .process import Jupyter
from .test_sparing import copies


async def unsaved(server: Jupyter, join: Opener, taken: int = 0) -> Peer:
    """Open a file, type (and take that many characters away) without saving, and lose the database meanwhile."""
    (server.root / "a.txt").write_text("")
    peer = await join(server, "a.txt")
    peer.show(autosave=False)
    peer.type("one\n")
    assert await peer.save() == "success"
    peer.type("typed\n")
    del peer.source[:taken]
    for file in (server.data / "jupyter_rtc").glob("rooms.db*"):
        file.unlink()
    peer.type("more\n")
    # What is stored from now on begins with what was typed: the state of the last save is gone.
    await until(lambda: "changes are stored again" in server.log())
    return peer


async def both_kept(server: Jupyter, peer: Peer) -> None:
    """Hold the server to this: the document says what was typed, and what the file said is in a recovery copy."""
    await until(lambda: copies(server, peer) == [b"zero\none\n"], lambda: peer.state)
    assert await peer.save() == "success"
    assert (server.root / "a.txt").read_text() == peer.text == "one\ntyped\nmore\n"
    # From here on there is a base again.
    (server.root / "a.txt").write_text("zero\none\ntyped\nmore\n")
    await until(lambda: peer.text == "zero\none\ntyped\nmore\n")
    assert len(peer.state["recovery"]) == 1


async def test_while_it_is_open(start: Starter, join: Opener) -> None:
    server = start()
    peer = await unsaved(server, join)
    (server.root / "a.txt").write_text("zero\none\n")
    await both_kept(server, peer)


async def test_while_the_server_is_down(start: Starter, join: Opener) -> None:
    server = start()
    peer = await unsaved(server, join)
    await peer.close()
    server.kill()
    (server.root / "a.txt").write_text("zero\none\n")
    server.start()
    peer.connect()
    await until(lambda: len(peer.steps) == 2)
    await both_kept(server, peer)


async def test_what_the_server_saved_last_is_known_nevertheless(start: Starter, join: Opener) -> None:
    server = start()
    peer = await unsaved(server, join, taken=len("one\n"))
    await peer.close()
    server.kill()
    server.start()
    peer.connect()
    await until(lambda: len(peer.steps) == 2)
    assert await peer.save() == "success"
    assert (server.root / "a.txt").read_text() == peer.text == "typed\nmore\n"
    assert copies(server, peer) == []  # what the file held is nobody else's work
