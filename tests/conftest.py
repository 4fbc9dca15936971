"""What the tests share: Jupyter folders of their own, and a real Jupyter Server with the extension in it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import settings
from traitlets.config import Config
from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from jupyter_rtc.app import JupyterRTC

# As if it were not installed. Before anything imports jsonschema, which would have it make a parser for IRIs, for a
# second or more in each process; nothing here asks for that.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

pytest_plugins = ["pytest_jupyter.jupyter_server"]

HERE = Path(__file__).parent

SERVERS = {
    "jp_configurable_serverapp",
    "gateway",
    "jupyter",
    "start",
    "server",
    "running",
    "two",
    "start_two",
    "prepare",
}
"""The fixtures that start a Jupyter Server, in this process or in one of its own, or connect to one."""

FOLDERS = ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that configures the server of a test; settle what Hypothesis does.

    Every run draws the same examples, so that one that fails is a fault of what was changed, and takes its time;
    `pytest --hypothesis-profile=fresh` draws others.
    """
    settings.register_profile("fixed", deadline=None, derandomize=True)
    settings.register_profile("fresh", deadline=None)
    settings.load_profile("fixed")
    config.addinivalue_line(
        "markers",
        "traits(Class={name: value}): configure the server of this test, as a configuration file would;"
        " `Relay.store_class` is MemoryStore unless it is given",
    )


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run tests: two for each core, for half of the time they wait for a server."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start a server or a browser, by their fixtures and their folder, and the slow folder."""
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        if folder == "browser":
            item.add_marker("browser")
        if folder in ("browser", "safety") or not SERVERS.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("server")
        if folder == "safety":
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep every test, and the processes that it starts, out of the user's own Jupyter folders."""
    with pytest.MonkeyPatch.context() as environment:
        for name in FOLDERS:
            environment.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield


class RunningServer:
    """A Jupyter Server in this process and on this event loop, which listens on a real port.

    Attributes:
        app: the server.
        extension: our extension in it.
        port: the TCP port.
        base_url: the path under which everything is served, with slashes around it.
        token: the token of the one who may do everything.
    """

    def __init__(self, app: ServerApp, port: int) -> None:
        """Describe `app`, which listens on `port`."""
        self.app = app
        self.port = port
        self.base_url: str = app.base_url
        self.token: str = app.identity_provider.token
        self.extension: JupyterRTC = next(iter(app.extension_manager.extension_apps["jupyter_rtc"]))

    def url(self, path: str, scheme: str = "ws") -> str:
        """Return the URL of `path`, which is relative to the base URL."""
        return f"{scheme}://127.0.0.1:{self.port}{self.base_url}{path}"

    def connect(self, name: str, *, token: str | None = None, path: str = "api/rtc/room", **options: Any) -> connect:
        """Connect a WebSocket to the room `name` with the server's token (""= none); to be awaited or entered."""
        token = self.token if token is None else token
        headers = {**({"Authorization": f"token {token}"} if token else {}), **options.pop("headers", {})}
        options = {"compression": None, "max_size": None, "proxy": None, **options}
        return connect(self.url(f"{path}/{quote(name)}"), additional_headers=headers, **options)

    async def end_kernels(self) -> None:
        """End all kernels, and every connection to them; else what they have not read yet is waited for a second."""
        await self.app.kernel_manager.shutdown_all(now=True)
        self.app.kernel_manager.context.destroy(linger=0)


@pytest.fixture
def jp_server_config(request: pytest.FixtureRequest) -> Config:
    """Return the server's configuration: our extension alone, and the test's `traits` marks."""
    config = Config(
        {
            "ServerApp": {"jpserver_extensions": {"jupyter_rtc": True, "jupyter_server_terminals": False}},
            "Relay": {"store_class": "jupyter_rtc.relay.MemoryStore"},
        }
    )
    for mark in reversed(list(request.node.iter_markers("traits"))):
        config.merge(Config(mark.kwargs))
    return config


@pytest.fixture
def server(jp_serverapp: ServerApp, http_server: Any, jp_http_port: int) -> RunningServer:
    """Run a Jupyter Server with the extension; `@pytest.mark.traits` configures it."""
    return RunningServer(jp_serverapp, jp_http_port)


@pytest.fixture
def rooms(jp_fetch: Any) -> Any:
    """Return a coroutine function that asks the server which rooms are open: by name, what it says of each."""

    async def ask() -> dict[str, Any]:
        answer = await jp_fetch("api", "rtc", "rooms")
        return {room["name"]: room for room in json.loads(answer.body)["rooms"]}

    return ask
