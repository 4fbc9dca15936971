"""What nobody edited stays as it is on disk, to the byte; and what a file has besides its content stays, too."""

from __future__ import annotations

import difflib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from .conftest import Opener, Starter
from .examples import WRITERS, as_nbformat, code, markdown, notebook
from .peer import Peer, until
from .process import Jupyter

ODD = {
    "cells": [
        {
            "cell_type": "code",
            "execution_count": 1,
            "id": "first",
            "metadata": {"big": 2**63 + 1, "one": 1.0, "tiny": 1e-300, "own": {"é": None}},
            "outputs": [
                {
                    "data": {"application/json": {"n": float("nan"), "i": float("inf"), "x": -0.0}},
                    "execution_count": 1,
                    "metadata": {},
                    "output_type": "execute_result",
                }
            ],
            "source": ["x = 1\n", "x"],
            "somebodys": [1.0, 2**64],
        },
        {"cell_type": "markdown", "id": "second", "metadata": {}, "source": "# head"},
    ],
    "metadata": {"z": 1.50, "kernelspec": {"name": "python3", "display_name": "Python 3"}, "a": 1e10},
    "nbformat": 4,
    "nbformat_minor": 5,
    "unknown": {"b": 1, "a": [2, 1.0]},
}

OLD = {
    "metadata": {"name": "old"},
    "nbformat": 3,
    "nbformat_minor": 0,
    "worksheets": [
        {
            "cells": [
                {"cell_type": "code", "collapsed": False, "input": ["print 1"], "language": "python", "outputs": []}
            ]
        }
    ],
}

TEXTS = {
    "Windows": b"one\r\ntwo\r\n",
    "mixed": b"one\r\ntwo\nthree\rfour\r\nfive",
    "no line break at the end": b"one\ntwo",
    "only line breaks": b"\n\n\n",
    "byte order mark": b"\xef\xbb\xbfone\r\ntwo\r\n",
    "odd characters": "a\0b\u2028c\u0085d\x0ce\U0001f600\n".encode(),
}

NOTEBOOKS = {
    **{name: write(ODD).encode() for name, write in WRITERS.items() if name != "nbformat"},
    "4.4, without ids": as_nbformat(notebook(code("x"), markdown("y"), minor=4)).encode(),
    "version 3": json.dumps(OLD, indent=1).encode(),
    "no cells": as_nbformat(notebook()).encode(),
}


def changed(before: bytes, after: bytes) -> list[str]:
    """Return the lines that a diff shows, with their signs."""
    lines = difflib.ndiff(before.decode().splitlines(True), after.decode().splitlines(True))
    return [line for line in lines if line[0] in "+-"]


def common(one: bytes, other: bytes) -> int:
    """Return how many bytes two contents have in common at their beginning."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))


async def opened_and_closed(jupyter: Jupyter, join: Opener, path: str) -> None:
    """Open a document, save it without an edit, and close it again, long enough for any autosave."""
    ada = await join(jupyter, path)
    bob = await join(jupyter, path, token="bob")
    ada.show(cursors=[])
    assert await ada.save() == "success"
    assert ada.state["dirty"] is False
    await ada.close()
    assert await bob.save() == "success"
    await bob.close()


class TestUnedited:
    @pytest.mark.parametrize("name", TEXTS)
    async def test_a_text(self, jupyter: Jupyter, here: Path, join: Opener, name: str) -> None:
        (here / "a.txt").write_bytes(TEXTS[name])
        before = (here / "a.txt").stat()
        await opened_and_closed(jupyter, join, f"{here.name}/a.txt")
        assert (here / "a.txt").read_bytes() == TEXTS[name]
        assert (here / "a.txt").stat().st_mtime_ns == before.st_mtime_ns
        assert os.listdir(here) == ["a.txt"]

    @pytest.mark.parametrize("name", NOTEBOOKS)
    async def test_a_notebook(self, jupyter: Jupyter, here: Path, join: Opener, name: str) -> None:
        (here / "a.ipynb").write_bytes(NOTEBOOKS[name])
        before = (here / "a.ipynb").stat()
        await opened_and_closed(jupyter, join, f"{here.name}/a.ipynb")
        assert (here / "a.ipynb").read_bytes() == NOTEBOOKS[name]
        assert (here / "a.ipynb").stat().st_mtime_ns == before.st_mtime_ns
        assert os.listdir(here) == ["a.ipynb"]

    async def test_an_edit_that_was_taken_back(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        content = NOTEBOOKS["four spaces"]
        (here / "a.ipynb").write_bytes(content)
        peer = await join(jupyter, f"{here.name}/a.ipynb")
        peer.type("!", 1)
        await until(lambda: (here / "a.ipynb").read_bytes() != content)
        source = peer.cells[1]["source"]
        del source[len(source) - 1 :]
        await until(lambda: (here / "a.ipynb").read_bytes() == content)


class TestEdited:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"one\r\ntwo\r\n", b"one\r\ntwo\r\nnew\r\nlast"),
            (b"one\ntwo", b"one\ntwonew\nlast"),
            (b"\xef\xbb\xbfone\r\n", b"\xef\xbb\xbfone\r\nnew\r\nlast"),
            (b"one\r\ntwo\nthree\n", b"one\r\ntwo\nthree\nnew\nlast"),
        ],
    )
    async def test_a_text_keeps_its_ways(
        self, jupyter: Jupyter, here: Path, join: Opener, content: bytes, expected: bytes
    ) -> None:
        (here / "a.txt").write_bytes(content)
        peer = await join(jupyter, f"{here.name}/a.txt")
        peer.type("new\nlast")
        await until(lambda: (here / "a.txt").read_bytes() != content)
        assert (here / "a.txt").read_bytes() == expected

    @pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name not in ("version 3", "no cells")])
    async def test_one_cell_of_a_notebook(self, jupyter: Jupyter, here: Path, join: Opener, name: str) -> None:
        content = NOTEBOOKS[name]
        (here / "a.ipynb").write_bytes(content)
        peer = await join(jupyter, f"{here.name}/a.ipynb")
        peer.type("\nMARK", 1)
        await until(lambda: b"MARK" in (here / "a.ipynb").read_bytes())
        after = (here / "a.ipynb").read_bytes()
        cells = json.loads(after)["cells"]
        assert "".join(cells[1]["source"]) == peer.sources[1]
        assert {**cells[1], "source": 0} == {**json.loads(content)["cells"][1], "source": 0}
        # All around the source of that cell is as it was.
        assert len(content) - common(content, after) - common(content[::-1], after[::-1]) < 60
        if b"\n" in content.strip():
            assert len(changed(content, after)) <= 5

    async def test_a_notebook_of_an_older_version_is_converted_once_it_is_edited(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        (here / "a.ipynb").write_bytes(NOTEBOOKS["version 3"])
        peer = await join(jupyter, f"{here.name}/a.ipynb")
        assert peer.sources == ["print 1"]
        peer.type("\nprint 2", 0)
        await until(lambda: json.loads((here / "a.ipynb").read_bytes())["nbformat"] == 4)
        cells = json.loads((here / "a.ipynb").read_bytes())["cells"]
        assert ["".join(cell["source"]) for cell in cells] == ["print 1\nprint 2"]


class TestBeside:
    async def test_mode_and_symbolic_links(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "target.txt").write_text("a")
        (here / "target.txt").chmod(0o751)
        (here / "link.txt").symlink_to("target.txt")
        peer = await join(jupyter, f"{here.name}/link.txt")
        peer.type("b")
        await until(lambda: (here / "target.txt").read_text() == "ab")
        assert await peer.save() == "success"
        assert (here / "link.txt").is_symlink()
        assert stat.S_IMODE((here / "target.txt").stat().st_mode) == 0o751
        assert sorted(os.listdir(here)) == ["link.txt", "target.txt"]

    async def test_hard_links_and_owners(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        file, link = here / "a.txt", here / "link.txt"
        file.write_text("a")
        link.hardlink_to(file)
        if os.geteuid() == 0:
            os.chown(file, 1234, 4321)
        before = file.stat()
        peer = await join(jupyter, f"{here.name}/a.txt")
        peer.type("b")
        assert await peer.save() == "success"
        assert file.read_text() == link.read_text() == "ab"
        after = file.stat()
        assert (after.st_ino, after.st_uid, after.st_gid) == (before.st_ino, before.st_uid, before.st_gid)

    async def test_a_notebook_has_a_checkpoint_once_it_is_saved(
        self, jupyter: Jupyter, here: Path, join: Opener
    ) -> None:
        (here / "a.ipynb").write_text(as_nbformat(notebook(code("x"))))
        peer = await join(jupyter, f"{here.name}/a.ipynb")
        peer.type("y", 0)
        assert await peer.save() == "success"
        status, checkpoints = await jupyter.ask("GET", f"api/contents/{here.name}/a.ipynb/checkpoints")
        assert (status, len(checkpoints)) == (200, 1)

    @pytest.mark.parametrize(
        "name",
        ["a b.txt", "ünïcode 😀.txt", "50%.txt", "a%20b.txt", "a%2Fb.txt", "plus+&=;,'.txt", "#?.txt", "[1].txt"],
    )
    async def test_names_with_odd_characters(self, jupyter: Jupyter, here: Path, join: Opener, name: str) -> None:
        (here / name).write_text("a")
        peer = await join(jupyter, f"{here.name}/{name}")
        peer.type("b")
        assert await peer.save() == "success"
        assert (here / name).read_text() == "ab"
        assert peer.state["path"] == f"{here.name}/{name}"
        assert os.listdir(here) == [name]


def shown(*names: str) -> dict[str, Any]:
    """Return a code cell whose output could do harm."""
    data = {"text/html": "".join(names), "text/plain": "x"}
    return code("x", [{"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": 1}])


def trust(peer: Peer) -> list[bool]:
    """Return which cells a client takes for trusted."""
    return [cell["metadata"].get("trusted") for cell in peer.cells]


async def trust_lasts(jupyter: Jupyter, folder: Path, join: Opener) -> None:
    """Hold a server to this: what a user ran is trusted when it is opened next time, what one only saw is not."""
    prefix = folder.relative_to(jupyter.root)
    for name in ("ran", "seen"):
        (folder / f"{name}.ipynb").write_text(as_nbformat(notebook(shown(name), markdown("m"), shown(name))))
    ran, seen = [await join(jupyter, f"{prefix}/{name}.ipynb") for name in ("ran", "seen")]
    for at in (0, 2):
        ran.cells[at]["metadata"]["trusted"] = True
    for peer, name in ((ran, "ran"), (seen, "seen")):
        peer.type("y", 0)
        assert await peer.save() == "success"
        # Trust goes by content: a copy is another document, whose history knows nothing of who ran what.
        (folder / f"{name}-copy.ipynb").write_bytes((folder / f"{name}.ipynb").read_bytes())
    assert trust(await join(jupyter, f"{prefix}/ran-copy.ipynb")) == [True, None, True]
    assert trust(await join(jupyter, f"{prefix}/seen-copy.ipynb")) == [False, None, False]
    assert "trusted" not in (folder / "ran.ipynb").read_text()


class TestTrust:
    async def test_an_unsigned_notebook_is_not_trusted(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.ipynb").write_text(as_nbformat(notebook(shown("unsigned"))))
        assert trust(await join(jupyter, f"{here.name}/a.ipynb")) == [False]

    async def test_a_signed_notebook_is_trusted(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        (here / "a.ipynb").write_text(as_nbformat(notebook(shown("signed"))))
        status, _ = await jupyter.ask("POST", f"api/contents/{here.name}/a.ipynb/trust")
        assert status == 201
        peer = await join(jupyter, f"{here.name}/a.ipynb")
        assert trust(peer) == [True]
        assert "trusted" not in (here / "a.ipynb").read_text()

    async def test_trust_lasts(self, jupyter: Jupyter, here: Path, join: Opener) -> None:
        await trust_lasts(jupyter, here, join)


AFTER = '''
from pathlib import Path


def after(os_path, model, contents_manager, **_):
    """Write down what was saved."""
    with open("saved.log", "a") as log:
        log.write(f"{model['type']} {Path(os_path).read_text().count('!')}\\n")


c.FileContentsManager.post_save_hook = after
'''

BEFORE = '''
def before(model, path, contents_manager, **_):
    """Leave the outputs out of some notebooks."""
    if "strip" in path and model["type"] == "notebook":
        for cell in model["content"]["cells"]:
            cell["outputs"] = []


c.FileContentsManager.pre_save_hook = before
'''


class TestHooks:
    async def test_after_the_save(self, start: Starter, join: Opener) -> None:
        server = start(AFTER)
        saved = server.root.parent / "saved.log"
        (server.root / "a.ipynb").write_text(as_nbformat(notebook(code("x"))))
        (server.root / "a.txt").write_text("x")
        note, text = await join(server, "a.ipynb"), await join(server, "a.txt")
        note.type("!", 0)
        assert await note.save() == "success"
        assert saved.read_text() == "notebook 1\n"
        text.type("!!")
        await until(lambda: saved.read_text() == "notebook 1\nfile 2\n")

    async def test_before_the_save(self, start: Starter, join: Opener) -> None:
        server = start(BEFORE)
        (server.root / "strip.ipynb").write_text(as_nbformat(notebook(shown("output"))))
        ada, bob = await join(server, "strip.ipynb"), await join(server, "strip.ipynb", token="bob")
        ada.type("!", 0)
        assert await ada.save() == "success"
        cell = json.loads((server.root / "strip.ipynb").read_text())["cells"][0]
        assert ("".join(cell["source"]), cell["outputs"]) == ("x!", [])
        # What the hook leaves out of the file stays in the document, and nothing comes twice.
        bob.type("?", 0)
        assert await bob.save() == "success"
        await until(lambda: ada.sources == bob.sources == ["x!?"])
        assert len(ada.cells[0]["outputs"]) == 1
        await trust_lasts(server, server.root, join)
