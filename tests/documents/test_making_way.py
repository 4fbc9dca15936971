"""Threads that compute make way for the event loop."""

from __future__ import annotations

import pytest

from .conftest import Opener, Starter

TOLD = """
import os, sys


def before(contents_manager, **_):
    '''Write down how long threads compute before they make way.'''
    with open(os.path.join(contents_manager.root_dir, "interval"), "w") as file:
        file.write(str(sys.getswitchinterval()))


c.FileContentsManager.pre_save_hook = before
"""


async def test_a_server_has_its_threads_make_way_after_a_millisecond(start: Starter, join: Opener) -> None:
    server = start(TOLD)
    (server.root / "a.txt").write_text("begin\n")
    ada = await join(server, "a.txt")
    ada.type("typed\n")
    assert await ada.save() == "success"
    assert float((server.root / "interval").read_text()) == pytest.approx(0.001)
