"""No save wipes out what a file holds without a recovery copy of it, and everybody is told of the copy."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from .conftest import Opener, Starter
from .examples import as_nbformat, code, notebook
from .listening import heard, sentences
from .peer import Peer, until
from .process import Jupyter

LINES = [f"line {number:04}\n" for number in range(1_000)]


def copies(server: Jupyter, peer: Peer) -> list[bytes]:
    """Return the recovery copies that a document names, the oldest first."""
    folder = server.data / "jupyter_rtc" / "recovery"
    found = [list((folder / id).glob("content*")) for id in peer.state.get("recovery", [])]
    return [file.read_bytes() for (file,) in found]


async def occupied(server: Jupyter) -> Path:
    """Put a file where the folder of recovery copies is, which the server tried when it started; return its path."""
    await until(lambda: "Recovery copies are kept in" in server.log())
    folder = server.data / "jupyter_rtc" / "recovery"
    folder.rmdir()
    folder.touch()
    return folder


def empty(peer: Peer) -> None:
    """Take away all that a text says."""
    del peer.source[0 : len(peer.text)]


class TestKept:
    async def test_a_text_that_is_emptied(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file, path = here / "a.txt", f"{here.name}/a.txt"
        file.write_bytes(b"one\r\ntwo\r\n")
        ada, bob = await join(jupyter, path), await join(jupyter, path, token="bob")
        async with heard(jupyter) as events:
            empty(ada)
            await until(lambda: file.read_bytes() == b"")
            await until(lambda: copies(jupyter, bob) == [b"one\r\ntwo\r\n"], lambda: bob.state)
            (id,) = bob.state["recovery"]
            said = f"Recovery copy {id} was kept: This is what the file held before a save that left nothing of it."
            await until(lambda: sentences(events, ada.room) == [said], lambda: events)
        line = f"room {ada.room}: recovery copy {id} of {path} was kept"
        assert any(line in text and "W " in text for text in jupyter.log().splitlines())
        rooms = await asyncio.to_thread(jupyter.rooms)
        assert rooms[ada.room]["recovery"] == 1

    async def test_a_notebook_of_which_little_is_left(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file = here / "a.ipynb"
        before = as_nbformat(notebook(*(code("".join(LINES[:100])) for _ in range(10))))
        file.write_text(before)
        ada = await join(jupyter, f"{here.name}/a.ipynb")
        del ada.cells[0:9]
        await until(lambda: len(json.loads(file.read_text())["cells"]) == 1)
        await until(lambda: copies(jupyter, ada) == [before.encode()])

    async def test_on_request_too(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.txt").write_text("text")
        ada = await join(jupyter, f"{here.name}/a.txt")
        ada.show(autosave=False)
        empty(ada)
        assert await ada.save() == "success"
        assert (here / "a.txt").read_text() == ""
        await until(lambda: copies(jupyter, ada) == [b"text"])

    async def test_both_views_of_a_file_name_it_and_so_does_the_next_life(self, start: Starter, join: Opener) -> None:
        server = start()
        (server.root / "a.ipynb").write_text(as_nbformat(notebook(code("one"))))
        note, text = await join(server, "a.ipynb"), await join(server, "a.ipynb", "file", "text")
        note.cells[0]["source"].clear()
        await until(
            lambda: len(note.state.get("recovery", [])) == 1 and note.state["recovery"] == text.state.get("recovery")
        )
        kept = note.state["recovery"]
        server.kill()
        for peer in (note, text):
            await peer.close()
        server.start()
        assert (await join(server, "a.ipynb")).state["recovery"] == kept


class TestNotKept:
    async def test_where_more_than_half_is_left_or_little_was_there(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        (here / "long.txt").write_text("".join(LINES))
        (here / "short.txt").write_text("".join(LINES[:400]))
        long, short = await join(jupyter, f"{here.name}/long.txt"), await join(jupyter, f"{here.name}/short.txt")
        del long.source[0:4_900]
        del short.source[0:3_990]
        for peer, left in ((long, 5_100), (short, 10)):
            assert await peer.save() == "success"
            assert len(peer.text) == left
            assert "recovery" not in peer.state

    async def test_while_somebody_deletes_step_by_step(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        """Every step is saved: 100 saves, and a copy only of what the first and the last of them wiped out."""
        file = here / "a.txt"
        file.write_text("".join(LINES))
        ada = await join(jupyter, f"{here.name}/a.txt")
        del ada.source[0:9_000]
        for _ in range(100):
            assert await ada.save() == "success"
            del ada.source[0:10]
        assert await ada.save() == "success"
        assert file.read_text() == ""
        await until(lambda: copies(jupyter, ada) == ["".join(LINES).encode(), LINES[-1].encode()])

    async def test_the_same_content_again_is_one_copy(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file = here / "a.txt"
        file.write_text("text")
        ada = await join(jupyter, f"{here.name}/a.txt")
        for _ in range(3):
            empty(ada)
            assert await ada.save() == "success"
            ada.type("text")
            assert await ada.save() == "success"
        await until(lambda: copies(jupyter, ada) == [b"text"])

    async def test_of_outputs(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        """They come and go with every run."""
        file = here / "a.ipynb"
        output = {"output_type": "stream", "name": "stdout", "text": "x" * 100_000}
        file.write_text(as_nbformat(notebook(code("print('x' * 100_000)", outputs=[output]))))
        ada = await join(jupyter, f"{here.name}/a.ipynb")
        del ada.cells[0]["outputs"][0]
        await until(lambda: file.stat().st_size < 10_000)
        assert await ada.save() == "success"
        assert "recovery" not in ada.state

    async def test_of_what_others_wiped_out(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        """A program that writes less into the file wiped it out, not a save of ours."""
        file = here / "a.txt"
        file.write_text("".join(LINES))
        ada = await join(jupyter, f"{here.name}/a.txt")
        file.write_text(LINES[0])
        await until(lambda: ada.text == LINES[0])
        ada.type("typed")
        assert await ada.save() == "success"
        assert file.read_text() == LINES[0] + "typed"
        assert "recovery" not in ada.state


class TestWhereNothingCanBeKept:
    async def test_the_save_waits(self, start: Starter, join: Opener) -> None:
        server = start()
        folder = await occupied(server)
        (server.root / "a.txt").write_text("text")
        ada = await join(server, "a.txt")
        empty(ada)
        await until(lambda: "this save would leave nothing of it" in ada.state.get("trouble", ""), lambda: ada.state)
        assert "no recovery copy can be written" in ada.state["trouble"]
        assert (server.root / "a.txt").read_text() == "text"
        folder.unlink()
        await until(lambda: (server.root / "a.txt").read_text() == "")
        await until(lambda: copies(server, ada) == [b"text"])
        await until(lambda: "trouble" not in ada.state)

    async def test_but_not_for_who_asks(self, start: Starter, join: Opener) -> None:
        server = start()
        await occupied(server)
        (server.root / "a.txt").write_text("text")
        ada = await join(server, "a.txt")
        empty(ada)
        await until(lambda: "trouble" in ada.state)
        assert (server.root / "a.txt").read_text() == "text"
        assert await ada.save() == "success"
        assert (server.root / "a.txt").read_text() == ""
        assert "a.txt is written without a copy of what it held" in server.log()
