"""A server whose tables are kept, its REST API, and a second client with copies of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import RunningServer
from traitlets.config import Config

from .asking import Server


@pytest.fixture
def jp_server_config(jp_server_config: Config) -> Config:
    """Return the configuration of a server with terminals too."""
    extensions = {"jupyter_rtc": True, "jupyter_server_fileid": True, "jupyter_server_terminals": True}
    jp_server_config.ServerApp.jpserver_extensions.update(extensions)
    return jp_server_config


@pytest.fixture
def home(
    server: RunningServer, jp_fetch: Any, jp_root_dir: Any, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Iterator[Server]:
    """Return a server whose tables are kept; what runs in it is ended with the test."""
    supernode = server.extension.supernode
    assert supernode is not None

    async def begin() -> None:
        supernode.start()

    jp_asyncio_loop.run_until_complete(begin())
    asking = Server(server, jp_fetch, jp_root_dir)
    yield asking
    asking.close()
    jp_asyncio_loop.run_until_complete(supernode.stop())
    jp_asyncio_loop.run_until_complete(server.end_kernels())
