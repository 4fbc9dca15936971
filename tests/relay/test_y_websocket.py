"""The client that most Yjs applications use, unmodified: y-websocket's `WebsocketProvider`, against a real server."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from awaiting import until
from documents.process import Jupyter

from .node import PAGE, Page, installed

Opener = Callable[[str], Coroutine[Any, Any, Page]]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which Node.js finds the packages and the page."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "node_modules").symlink_to(installed() / "node_modules")
    shutil.copy(PAGE, folder)
    return folder


@pytest.fixture
def jupyter(packages: Path, tmp_path: Path) -> Iterator[Jupyter]:
    """Return a server process of this test's own."""
    server = Jupyter(tmp_path / "home")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def visit(packages: Path, jupyter: Jupyter, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Opener]:
    """Return a coroutine function that opens a page in the room for ada or bob."""
    pages: list[Page] = []

    async def open_page(token: str) -> Page:
        page = await Page.open(packages, jupyter.url("api/rtc/room", "ws"), "a/room", token)
        pages.append(page)
        await page.until(lambda: page.online)
        return page

    yield open_page

    async def close() -> None:
        await asyncio.gather(*(page.close() for page in pages))

    jp_asyncio_loop.run_until_complete(close())


async def agree(pages: list[Page], words: list[str]) -> None:
    """Wait until all pages show the same text, which has each of `words` once and nothing else."""
    texts = lambda: [page.text.split() for page in pages]  # noqa: E731
    await until(lambda: len(texts()[0]) >= len(words) and texts() == texts()[:1] * len(pages), texts)
    assert sorted(texts()[0]) == sorted(words)


async def test_two_people_type_and_see_each_other(visit: Opener) -> None:
    ada, bob = await visit("ada"), await visit("bob")
    ada.do(show={"cursor": 1, "user": {"username": "somebody else"}})
    bob.do(show={"cursor": 2})
    await ada.until(lambda: [state["cursor"] for state in ada.others] == [2])
    await bob.until(lambda: [state["cursor"] for state in bob.others] == [1])
    assert (ada.names, bob.names) == (["bob"], ["ada"])
    for number in range(50):
        ada.do(append=f"ada{number} ")
        bob.do(prepend=f"bob{number} ")
    await agree([ada, bob], [f"{name}{number}" for name in ("ada", "bob") for number in range(50)])
    await bob.close()
    await ada.until(lambda: not ada.others)
    assert ada.said == bob.said == ""


async def test_the_server_is_killed_and_comes_back(visit: Opener, jupyter: Jupyter) -> None:
    """What was typed right before, while it was away, and after: on both pages, once; and so are the people."""
    ada, bob = await visit("ada"), await visit("bob")
    words = []
    for number in range(3):
        for page, name in ((ada, "ada"), (bob, "bob")):
            page.do(show={"number": number}, append=f"{name}{number} ")
            words.append(f"{name}{number}")
        jupyter.kill()
        for page in (ada, bob):
            await page.until(lambda page=page: not page.online and not page.others)
        ada.do(prepend=f"ada-alone{number} ")
        bob.do(append=f"bob-alone{number} ")
        words += [f"ada-alone{number}", f"bob-alone{number}"]
        jupyter.start()
        await agree([ada, bob], words)
        await ada.until(lambda: ada.names == ["bob"])
        await bob.until(lambda: bob.names == ["ada"])
    # And who comes now finds it as they have it.
    await agree([ada, bob, await visit("bob")], words)


SPLICES = {  # in units of UTF-16, of "a😂b "
    "insert between the halves": ([2, 0, "X"], "aXb "),
    "delete the first half": ([1, 1, ""], "ab "),
    "delete the second half": ([2, 1, ""], "ab "),
    "exchange the second half": ([2, 1, "\ude00"], "a\ufffdb "),  # which makes another emoji, in its own page
    "replace each half by a word": ([1, 2, "one"], "aoneb "),
}


@pytest.mark.parametrize("case", SPLICES)
async def test_a_page_cuts_an_emoji_in_half(visit: Opener, jupyter: Jupyter, case: str) -> None:
    """Both pages, a newcomer, and one that comes after a restart have the same text, and go on."""
    splice, wanted = SPLICES[case]
    ada, bob = await visit("ada"), await visit("bob")
    pages = [ada, bob]

    async def all_have(text: str) -> None:
        texts = lambda: [page.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for page in pages]  # noqa: E731
        await until(lambda: texts() == [text] * len(pages), texts)

    ada.do(append="a😂b ")
    await all_have("a😂b ")
    ada.do(splice=splice)
    await all_have(wanted)
    bob.do(append="bob ")
    ada.do(append="and ")
    await bob.until(lambda: len(bob.text) == len(wanted) + 8)
    words = bob.text
    await all_have(words)
    pages.append(await visit("bob"))
    await all_have(words)
    jupyter.kill()
    jupyter.start()
    for page in pages:
        await page.until(lambda page=page: page.online)
    pages.append(await visit("bob"))
    ada.do(append="after")
    await all_have(words + "after")
