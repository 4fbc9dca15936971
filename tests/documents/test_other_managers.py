"""Files that are not on the local disk: whatever is a contents manager will do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from .conftest import Opener, Starter
from .examples import code, markdown, notebook
from .peer import until
from .process import Jupyter

MANAGER = Path(__file__).with_name("memory_manager.py")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """Return a server whose files are in its memory."""
    source = MANAGER.read_text().replace("from __future__ import annotations\n", "")
    server = Jupyter(tmp_path_factory.mktemp("memory") / "home", source)
    server.start()
    yield server
    server.kill()


def write(server: Jupyter, path: str, content: Any) -> None:
    """Write a file through the server's own API."""
    kind = "file" if isinstance(content, str) else "notebook"
    form = "text" if isinstance(content, str) else "json"
    status, answer = server.request("PUT", f"api/contents/{path}", {"type": kind, "format": form, "content": content})
    assert status in (200, 201), answer


def read(server: Jupyter, path: str) -> Any:
    """Read a file through the server's own API."""
    return server.request("GET", f"api/contents/{path}")[1]["content"]


def sources(server: Jupyter, path: str) -> list[str]:
    """Return what the cells of a notebook say."""
    return [cell["source"] for cell in read(server, path)["cells"]]


async def test_a_text(server: Jupyter, join: Opener) -> None:
    write(server, "a.txt", "one\r\ntwo\r\n")
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    assert ada.text == "one\ntwo\n"
    ada.type("three\n")
    await until(lambda: read(server, "a.txt") == "one\r\ntwo\r\nthree\r\n")
    bob.type("four\n")
    assert await bob.save() == "success"
    assert read(server, "a.txt") == "one\r\ntwo\r\nthree\r\nfour\r\n"
    assert ada.state["dirty"] is False
    assert len(ada.state["hash"]) == 64


async def test_a_notebook(server: Jupyter, join: Opener) -> None:
    content = notebook(code("one", metadata={"own": 1}), markdown("two"), kernelspec={"name": "python3"})
    write(server, "a.ipynb", content)
    ada, bob = await join(server, "a.ipynb"), await join(server, "a.ipynb", token="bob")
    ada.type(" typed", 0)
    await until(lambda: sources(server, "a.ipynb") == ["one typed", "two"])
    saved = read(server, "a.ipynb")
    assert saved["metadata"] == content["metadata"]
    assert saved["cells"][0]["metadata"]["own"] == 1
    assert saved["cells"][1] == content["cells"][1]
    bob.type(" too", 1)
    assert await bob.save() == "success"
    assert sources(server, "a.ipynb") == ["one typed", "two too"]


async def test_without_an_edit_nothing_is_written(server: Jupyter, join: Opener) -> None:
    write(server, "b.ipynb", notebook(code("one")))
    before = server.request("GET", "api/contents/b.ipynb")[1]["last_modified"]
    peer = await join(server, "b.ipynb")
    assert await peer.save() == "success"
    assert server.request("GET", "api/contents/b.ipynb")[1]["last_modified"] == before


async def test_changed_outside(server: Jupyter, join: Opener) -> None:
    write(server, "c.txt", "one\n")
    write(server, "c.ipynb", notebook(code("one"), code("two")))
    text, note = await join(server, "c.txt"), await join(server, "c.ipynb")
    text.type("typed\n")
    note.type(" typed", 0)
    write(server, "c.txt", "outside\none\n")
    write(server, "c.ipynb", notebook(code("one"), code("two outside")))
    await until(lambda: text.text == read(server, "c.txt") == "outside\none\ntyped\n", lambda: text.text)
    await until(
        lambda: note.sources == sources(server, "c.ipynb") == ["one typed", "two outside"], lambda: note.sources
    )


async def test_renamed_and_deleted(server: Jupyter, join: Opener) -> None:
    write(server, "d.txt", "a")
    peer = await join(server, "d.txt")
    await server.move("d.txt", "e.txt")
    await until(lambda: peer.state["path"] == "e.txt")
    peer.type("b")
    await until(lambda: read(server, "e.txt") == "ab")
    assert server.request("DELETE", "api/contents/e.txt")[0] == 204
    peer.type("c")
    await until(lambda: f"room {peer.room}: the file is not up to date" in server.log())
    assert server.request("GET", "api/contents/e.txt")[0] == 404
    assert await peer.save() == "success"
    assert read(server, "e.txt") == "abc"


async def test_what_was_wiped_out_comes_back(server: Jupyter, join: Opener) -> None:
    write(server, "lost.txt", "one")
    write(server, "lost.ipynb", notebook(code("one"), markdown("two"), minor=4))
    text, note = await join(server, "lost.txt"), await join(server, "lost.ipynb")
    text.source.clear()
    for cell in note.cells:
        cell["source"].clear()
    for peer in (text, note):
        assert await peer.save() == "success"
        await until(lambda peer=peer: peer.state.get("recovery"))
    assert (read(server, "lost.txt"), sources(server, "lost.ipynb")) == ("", ["", ""])
    paths = []
    for peer in (text, note, note):
        url = f"api/rtc/recovery/{peer.state['recovery'][0]}/restore"
        paths.append((await server.ask("POST", url, {"into": "file"}))[1]["path"])
        assert (await server.ask("POST", url, {"into": "document"}))[0] == 200
    assert len(set(paths)) == 3
    assert read(server, quote(paths[0])) == "one"
    assert [sources(server, quote(path)) for path in paths[1:]] == [["one", "two"]] * 2
    await until(lambda: read(server, "lost.txt") == text.text == "one")
    await until(lambda: sources(server, "lost.ipynb") == note.sources == ["one", "two"])


@pytest.mark.parametrize("trouble", ["http", "error"])
async def test_a_save_that_fails(server: Jupyter, join: Opener, trouble: str) -> None:
    """Whatever it raises: the answer comes, nothing is lost, and it is tried again."""
    name = f"{trouble}.txt"
    write(server, name, "a")
    peer = await join(server, name)
    write(server, "trouble", trouble)
    peer.type("b")
    assert await peer.save() == "failed"
    assert read(server, name) == "a"
    assert not peer.closes
    write(server, "trouble", "")
    await until(lambda: read(server, name) == "ab")


async def test_a_file_that_is_not_there(server: Jupyter) -> None:
    status, answer = await server.session("none.txt", "text", "file")
    assert status == 404
    assert "none.txt" in answer["message"]


async def test_what_an_output_may_do_is_not_for_a_contents_manager_to_say(server: Jupyter, join: Opener) -> None:
    data = {"text/html": "<script>", "text/plain": "x"}
    shown = code("x", [{"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": 1}])
    write(server, "f.ipynb", notebook(shown))
    peer = await join(server, "f.ipynb")
    assert peer.cells[0]["metadata"]["trusted"] is False


WITHIN_A_SECOND = """
class Coarse(MemoryManager):
    # Its times are whole seconds, and all of this happens within one. `meanwhile` is what somebody else writes there
    # once we have saved, read it back, and look at it again.
    looks = 0

    async def save(self, model, path=""):
        answer = await super().save(model, path)
        body, kind, form, _ = self.files[path.strip("/")]
        self.files[path.strip("/")] = body, kind, form, EPOCH
        self.looks = 0
        return await self.get(path, content=False)

    async def get(self, path, content=True, **how):
        if path.strip("/") == "a.txt" and not content:
            self.looks += 1
            if self.looks > 2 and "meanwhile" in self.files:
                self.files["a.txt"] = self.files.pop("meanwhile")[0], "file", "text", EPOCH
        return await super().get(path, content=content, **how)


c.ServerApp.contents_manager_class = Coarse
c.Coarse.checkpoints_class = NoCheckpoints
"""


async def test_an_edit_in_the_second_of_our_save(start: Starter, join: Opener) -> None:
    """Without a hash, and with a time and a size that stay as they were, what is in the file decides."""
    server = start(MANAGER.read_text().replace("from __future__ import annotations\n", "") + WITHIN_A_SECOND)
    write(server, "a.txt", "one\ntwo\n")
    ada, bob = await join(server, "a.txt"), await join(server, "a.txt", token="bob")
    ada.type("typed\n")
    assert await ada.save() == "success"
    write(server, "meanwhile", "ONE\ntwo\ntyped\n")
    await until(lambda: read(server, "a.txt").startswith("ONE"))
    bob.type("more\n")
    await until(lambda: ada.text == bob.text == "ONE\ntwo\ntyped\nmore\n", lambda: ada.text)
    assert await bob.save() == "success"
    assert read(server, "a.txt") == ada.text
