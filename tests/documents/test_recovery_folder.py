"""The folder of recovery copies: real files, kept durably, once, privately, and a bounded number of them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from pycrdt import Doc

from jupyter_rtc.documents.files.names import DocumentName
from jupyter_rtc.documents.files.recovery import Recovery, RecoveryCopy, RecoveryError
from jupyter_rtc.documents.formats.content import Content, NotebookContent, TextContent, encoded, rendered

from .examples import as_nbformat, built, code, notebook

TEXT = DocumentName("text", "file", "an-id")
NOTEBOOK = DocumentName("json", "notebook", "an-id")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where the copies are kept; the folder is not there yet."""
    return tmp_path / "data" / "recovery"


class Announced(list[RecoveryCopy]):
    """The copies that were announced as new."""

    def hear(self, copy: RecoveryCopy, new: bool) -> None:
        """Take note of one that came, or went."""
        if new:
            self.append(copy)


def recovery(folder: Path, announced: Announced | None = None, **options: Any) -> Recovery:
    """Return what keeps copies in a folder."""
    heard = Announced() if announced is None else announced
    return Recovery(heard.hear, folder=str(folder), **options)


async def keep(copies: Recovery, text: str, path: str = "sub/a.txt", author: str = "ada") -> RecoveryCopy:
    """Keep a text."""
    return await copies.keep(TEXT, path, TextContent().parse(text), author=author, reason="It was typed in vain.")


def modes(folder: Path) -> set[int]:
    """Return the permissions of a folder and all that is in it."""
    return {path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}


SAID: list[dict[str, Any]] = [
    *({key: None} for key in ("id", "path", "room", "author", "reason", "time", "size", "hash")),
    *({key: ["a"]} for key in ("path", "room", "time", "size")),
    *({"time": time} for time in ("now", True, 1e300, float("nan"), float("inf"), -1e300)),
    *({"size": size} for size in (3.0, -1, 2**70, "3")),
    *({"room": room} for room in ("", "room", "a:b", "\ud800:b:c")),
    {"path": "\ud800"},
    {"id": "0" * 32},
    {"more": 1},
]
"""What may stand in the place of what is said of a copy."""


def replaced(content: str | bytes) -> Callable[[Path], None]:
    """Return what puts something else in the place of all that is said of a copy."""

    def spoil(copy: Path) -> None:
        (copy / "about.json").write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def a_folder_for_a_file(copy: Path) -> None:
    for name in ("about.json", "content.txt"):
        (copy / name).unlink()
        (copy / name).mkdir()


def a_folder_for_the_content(copy: Path) -> None:
    (copy / "content.txt").unlink()
    (copy / "content.txt").mkdir()


def a_file_for_the_folder(copy: Path) -> None:
    shutil.rmtree(copy)
    copy.write_text("bad")


def a_link_elsewhere(copy: Path) -> None:
    copy.rename(copy.with_name("elsewhere"))
    copy.symlink_to("elsewhere")


def a_link_to_itself(copy: Path) -> None:
    shutil.rmtree(copy)
    copy.symlink_to(copy.name)


def a_link_for_the_content(copy: Path) -> None:
    (copy / "content.txt").rename(copy / "other")
    (copy / "content.txt").symlink_to("other")


def a_pipe(copy: Path) -> None:
    (copy / "about.json").unlink()
    os.mkfifo(copy / "about.json")


def nothing_said(copy: Path) -> None:
    (copy / "about.json").unlink()


def half_written(copy: Path) -> None:
    said = (copy / "about.json").read_bytes()
    (copy / "about.json").write_bytes(said[: len(said) // 2])


SPOILS = [
    *(replaced(content) for content in ("", "null", "[]", "7", "{}", '"text"', "[" * 100_000, b"\xff\xfe", "NaN")),
    replaced("{" + " " * (1 << 21) + "}"),
    a_folder_for_a_file,
    a_folder_for_the_content,
    a_file_for_the_folder,
    a_link_elsewhere,
    a_link_to_itself,
    a_link_for_the_content,
    a_pipe,
    nothing_said,
    half_written,
]


class TestKeep:
    async def test_a_text(self, folder: Path) -> None:
        announced = Announced()
        copies = recovery(folder, announced)
        before = time.time()
        copy = await keep(copies, "\ufeffone\r\ntwo — ✓")
        assert (copy.path, copy.room, copy.author) == ("sub/a.txt", "text:file:an-id", "ada")
        assert copy.reason == "It was typed in vain."
        assert before <= copy.time <= time.time()
        assert announced == [copy]
        assert (folder / copy.id / "content.txt").read_bytes() == "\ufeffone\r\ntwo — ✓".encode()
        assert await copies.read(copy.id) == (copy, "\ufeffone\r\ntwo — ✓".encode())
        assert await copies.copies() == await copies.known("an-id") == [copy]
        assert await copies.known("another-id") == []

    async def test_a_notebook_opens_as_one(self, folder: Path) -> None:
        original = NotebookContent().parse(as_nbformat(notebook(code("print(1)"), code("2"))))
        copy = await recovery(folder).keep(NOTEBOOK, "a.md", original, author="", reason="Because.")
        read = nbformat.read(folder / copy.id / "content.ipynb", as_version=4)
        assert [cell.source for cell in read.cells] == ["print(1)", "2"]

    async def test_it_is_there_after_a_restart(self, folder: Path) -> None:
        copy = await keep(recovery(folder), "text")
        assert await recovery(folder).copies() == [copy]
        assert await recovery(folder).known("an-id") == [copy]

    async def test_the_same_again_is_one_copy(self, folder: Path) -> None:
        announced = Announced()
        copies = recovery(folder, announced)
        first = await keep(copies, "text")
        assert await asyncio.gather(*(keep(copies, "text") for _ in range(5))) == [first] * 5
        assert await keep(recovery(folder, announced), "text") == first
        assert announced == [first]
        others = [await keep(copies, "text", author="bob"), await keep(copies, "text", path="b.txt")]
        assert await copies.copies() == [first, *others]

    async def test_nobody_else_may_read_it(self, folder: Path) -> None:
        old = os.umask(0)
        try:
            await keep(recovery(folder), "secret")
        finally:
            os.umask(old)
        assert modes(folder) == {0o700, 0o600}

    @pytest.mark.parametrize(
        "path", ["none", ".hidden", "a.b c", "x." + "y" * 200, "../up.txt", "about.json", "a.tar.gz"]
    )
    async def test_any_path(self, folder: Path, path: str) -> None:
        copies = recovery(folder)
        copy = await keep(copies, "text", path)
        assert await copies.read(copy.id) == (copy, b"text")
        assert os.listdir(folder) == [copy.id]
        assert len(os.listdir(folder / copy.id)) == 2

    async def test_it_holds_up_nobody(self, folder: Path) -> None:
        original = TextContent().parse("x" * 60_000_000)
        work = recovery(folder).keep(TEXT, "a.txt", original, author="ada", reason="Because.")
        turns, keeping = 0, asyncio.ensure_future(work)
        while not keeping.done():
            await asyncio.sleep(0)
            turns += 1
        assert (await keeping).size == 60_000_000
        assert turns > 20


class TestTrouble:
    async def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        announced = Announced()
        copies = recovery(tmp_path / "file" / "recovery", announced)
        with pytest.raises(RecoveryError, match="Not a directory") as caught:
            await keep(copies, "text")
        assert caught.value.status == 507
        assert announced == []

    @as_root
    async def test_a_full_disk(self, small: Path) -> None:
        copies = recovery(small / "recovery")
        kept = await keep(copies, "small")
        with pytest.raises(RecoveryError, match="No space left"):
            await keep(copies, "0123456789abcdef" * 10_000)
        assert await copies.copies() == [kept]
        assert os.listdir(small / "recovery") == [kept.id]

    @as_root
    async def test_a_read_only_disk(self, small: Path) -> None:
        copies = recovery(small / "recovery")
        kept = await keep(copies, "small")
        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", small], check=True)
        for work in (keep(copies, "more"), copies.remove(kept.id)):
            with pytest.raises(RecoveryError, match="Read-only file system"):
                await work
        assert await copies.copies() == [kept]
        assert await keep(copies, "small") == kept

    async def test_ids_that_are_none(self, folder: Path) -> None:
        copies = recovery(folder)
        copy = await keep(copies, "text")
        for id in ("", "..", copy.id[:-1], copy.id.upper() + "\n", f"../recovery/{copy.id}", f"{copy.id}/", "0" * 32):
            for work in (copies.read(id), copies.remove(id)):
                with pytest.raises(RecoveryError) as caught:
                    await work
                assert caught.value.status == 404
        assert await copies.copies() == [copy]

    async def test_what_is_not_whole_is_not_there_and_is_made_anew(self, folder: Path) -> None:
        copies = recovery(folder)
        cut, gone, odd = [await keep(copies, name) for name in ("cut", "gone", "odd")]
        (folder / cut.id / "content.txt").write_text("c")
        (folder / gone.id / "content.txt").unlink()
        (folder / odd.id / "about.json").write_text(json.dumps({"room": "odd"}))
        assert await copies.copies() == []
        announced = Announced()
        again = recovery(folder, announced)
        for name in ("cut", "gone", "odd"):
            copy = await keep(again, name)
            assert (await again.read(copy.id))[1] == name.encode()
        assert len(announced) == 3

    @pytest.mark.parametrize("spoil", [*SAID, *SPOILS], ids=lambda spoil: getattr(spoil, "__name__", str(spoil)[:40]))
    async def test_a_copy_that_somebody_spoilt_is_left_alone_and_said_once(
        self, folder: Path, caplog: pytest.LogCaptureFixture, spoil: Any
    ) -> None:
        first, bad, last = [await keep(recovery(folder), name) for name in ("first", "bad", "last")]
        if callable(spoil):
            spoil(folder / bad.id)
        else:
            said = json.loads((folder / bad.id / "about.json").read_text()) | spoil
            (folder / bad.id / "about.json").write_text(json.dumps(said))
        caplog.clear()
        announced = Announced()
        copies = recovery(folder, announced, max_copies=2)
        for _ in range(2):
            assert await copies.copies() == [first, last]
            assert await copies.known("an-id") == [first, last]
        for work in (copies.read, copies.find, copies.remove):
            with pytest.raises(RecoveryError, match="no recovery copy"):
                await work(bad.id)
        (warning,) = caplog.messages
        assert bad.id in warning
        assert bad.id in os.listdir(folder)
        assert await keep(copies, "new") in await copies.copies()
        again = await keep(copies, "bad")  # what is wanted under this name takes the place of what is there
        assert (await copies.read(again.id))[1] == b"bad"

    async def test_what_cannot_be_a_copy_is_no_reason_for_anything(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        copy = await keep(recovery(folder), "text")
        caplog.clear()
        (folder / "notes.txt").write_text("by hand")
        (folder / ".old").symlink_to("nowhere")
        (folder / ".loop").symlink_to(".loop")
        os.utime(folder / ".old", (0, 0), follow_symlinks=False)
        for name in ("folder", "aa"):
            (folder / name).mkdir()
        assert await recovery(folder).copies() == [copy]
        assert caplog.messages == []
        assert {"notes.txt", "folder", "aa", ".loop"} <= set(os.listdir(folder))
        assert ".old" not in os.listdir(folder)

    async def test_a_folder_that_cannot_be_written_is_said_at_the_start(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        (tmp_path / "file").touch()
        await recovery(tmp_path / "file").check()
        await recovery(tmp_path / "recovery").check()
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert f"{tmp_path / 'file'} (" in caplog.messages[0]
        assert "Recovery.folder" in caplog.messages[0]
        assert str(tmp_path / "recovery") in caplog.messages[1]
        assert os.listdir(tmp_path / "recovery") == []

    async def test_what_a_crash_left_goes_with_time(self, folder: Path) -> None:
        copy = await keep(recovery(folder), "text")
        young, old = folder / ".young", folder / ".old"
        for draft in (young, old):
            draft.mkdir()
            (draft / "content.txt").write_text("half")
        os.utime(old, (0, 0))
        assert await recovery(folder).copies() == [copy]
        assert young.exists()
        assert not old.exists()

    @pytest.mark.slow
    async def test_a_kill_leaves_all_or_nothing(self, folder: Path) -> None:
        """A process that keeps copies without end is killed again and again."""
        for number in range(3):
            said = await asyncio.to_thread(killed_after, folder, number)
            assert set(said) <= {copy.id for copy in await recovery(folder).copies()}
        for copy in await recovery(folder).copies():
            _, data = await recovery(folder).read(copy.id)
            assert data == copy.reason.encode() * 10_000


def killed_after(folder: Path, number: int) -> list[str]:
    """Let a process keep copies, and kill it after the third or so; return the ids of those that it said it kept."""
    command = [sys.executable, "-c", ENDLESS, str(folder), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(3 + number)]
        child.kill()
        said += child.stdout.readlines()
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


ENDLESS = """
import asyncio, sys
from jupyter_rtc.documents.formats.content import TextContent
from jupyter_rtc.documents.files.names import DocumentName
from jupyter_rtc.documents.files.recovery import Recovery

async def main():
    recovery = Recovery(lambda copy, new: None, folder=sys.argv[1])
    for number in range(10_000):
        text = f"{sys.argv[2]}-{number} "
        original = TextContent().parse(text * 10_000)
        copy = await recovery.keep(DocumentName("text", "file", "id"), "a", original, author="", reason=text)
        print(copy.id, flush=True)

asyncio.run(main())
"""


class TestBounds:
    async def test_in_number(self, folder: Path) -> None:
        copies = recovery(folder, max_copies=3)
        made = [await keep(copies, f"text {number}") for number in range(5)]
        assert await copies.copies() == made[2:]
        assert set(os.listdir(folder)) == {copy.id for copy in made[2:]}

    async def test_in_bytes(self, folder: Path) -> None:
        copies = recovery(folder, max_bytes=100)
        made = [await keep(copies, str(number) * 30) for number in range(5)]
        assert await copies.copies() == made[2:]
        largest = await keep(copies, "x" * 100)
        assert await copies.copies() == [largest]
        with pytest.raises(RecoveryError, match="101 bytes") as caught:
            await keep(copies, "x" * 101)
        assert caught.value.status == 413
        assert await copies.copies() == [largest]

    async def test_in_age(self, folder: Path) -> None:
        old, new = [await keep(recovery(folder), text) for text in ("old", "new")]
        about = folder / old.id / "about.json"
        about.write_text(json.dumps({**json.loads(about.read_text()), "time": time.time() - 100}))
        assert len(await recovery(folder, max_age=110.0).copies()) == 2
        assert await recovery(folder, max_age=90.0).copies() == [new]
        assert os.listdir(folder) == [new.id]

    async def test_a_new_one_stays_whatever_the_clock_says(self, folder: Path) -> None:
        copy = await keep(recovery(folder), "from the future")
        about = folder / copy.id / "about.json"
        about.write_text(json.dumps({**json.loads(about.read_text()), "time": time.time() + 1e6}))
        copies = recovery(folder, max_copies=1)
        new = await keep(copies, "now")
        assert await copies.copies() == [new]

    async def test_one_that_was_removed_is_gone(self, folder: Path) -> None:
        copies = recovery(folder)
        one, two = await keep(copies, "one"), await keep(copies, "two")
        assert await copies.remove(one.id) == one
        assert await copies.copies() == await copies.known("an-id") == [two]
        assert os.listdir(folder) == [two.id]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def written(content: Content, body: Any) -> bytes:
    """Return the file of a document that was built from a file, when nothing is known of that."""
    return b"".join(encoded(rendered(content, built(content, content.parse(body)))))


class TestRendered:
    def test_a_text(self) -> None:
        assert written(TextContent(), "one\ntwo ✓") == "one\ntwo ✓".encode()
        assert written(TextContent(), "") == b""

    def test_a_notebook_as_nbformat_writes_it(self) -> None:
        body = as_nbformat(notebook(code("print(1)\n2"), code("3")))
        assert json.loads(written(NotebookContent(), body)) == json.loads(body)
        assert written(NotebookContent(), body).decode() == body

    def test_a_notebook_of_a_manager_that_knows_no_text(self) -> None:
        original = NotebookContent().parse(dict(notebook(code("1"))))
        assert json.loads(b"".join(encoded(original)))["cells"][0]["source"] == "1"

    def test_a_document_without_anything(self) -> None:
        blank = nbformat.reads(b"".join(encoded(rendered(NotebookContent(), Doc()))), as_version=4)
        assert blank.cells == []
        nbformat.validate(blank)

    def test_as_the_original_is_written(self) -> None:
        content = TextContent()
        original = content.parse("\ufeffone\r\ntwo\r\n")
        doc = built(content, content.parse("one\ntwo\nthree\n"))
        assert b"".join(encoded(rendered(content, doc, original))) == "\ufeffone\r\ntwo\r\nthree\r\n".encode()
