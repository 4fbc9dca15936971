"""What a manager refuses is passed on, and one that never answers holds up nobody for ever."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from awaiting import until
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.services.sessions.sessionmanager import SessionManager
from tornado.web import HTTPError

from .conftest import Client, refused


class Limited(HTTPError):
    """What a hub answers, with its headers."""

    def __init__(self, status: int) -> None:
        super().__init__(status, f"the hub says {status}")
        self.headers = {"Retry-After": "7"}


class Hub(AsyncMappingKernelManager):
    """Starts kernels within limits, or never comes to an end with it.

    Attributes:
        refuses: the status with which it refuses everything, if it does.
        hanging: how many calls hang.
        hangs: whether the next call hangs.
        comes_to: set, it ends what hangs.
    """

    refuses: int | None = None
    hangs = False
    hanging = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.comes_to = asyncio.Event()

    async def start_kernel(self, **options: Any) -> str:
        """Start a kernel, if at all."""
        await self._answer()
        return str(await super().start_kernel(**options))

    async def shutdown_kernel(self, kernel_id: str, *args: Any, **options: Any) -> None:
        """Shut a kernel down, if at all."""
        await self._answer()
        await super().shutdown_kernel(kernel_id, *args, **options)

    async def _answer(self) -> None:
        if self.refuses:
            raise Limited(self.refuses)
        if self.hangs:
            self.hangs = False
            self.hanging += 1
            try:
                await self.comes_to.wait()
            finally:
                self.hanging -= 1


class Quota(AsyncLargeFileManager):
    """Makes no files any more."""

    refuses = 507

    async def new_untitled(self, *args: Any, **options: Any) -> Any:
        """Refuse."""
        raise Limited(self.refuses)


class Stuck(AsyncLargeFileManager):
    """Makes no file before it comes to; `called` says how many it was asked for."""

    called = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.comes_to = asyncio.Event()

    async def new_untitled(self, *args: Any, **options: Any) -> Any:
        """Make a file, at last."""
        self.called += 1
        await self.comes_to.wait()
        return await super().new_untitled(*args, **options)


class Forgetful(SessionManager):
    """Never comes to an end with the list of its sessions, as long as it hangs."""

    hangs = False

    async def list_sessions(self) -> Any:
        """Return the sessions, if at all."""
        if self.hangs:
            await asyncio.Event().wait()
        return await super().list_sessions()


hub = pytest.mark.traits(ServerApp={"kernel_manager_class": Hub})
SESSION = {"path": "a.ipynb", "type": "notebook"}


async def begin(client: Client, path: str, body: Any) -> asyncio.StreamWriter:
    """Ask for an action on a connection of its own, and wait for no answer."""
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    data = json.dumps(body)
    head = f"POST {client.app.base_url}api/rtc/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n"
    token = f"Authorization: token {client.app.identity_provider.token}\r\n\r\n"
    writer.write((head + token + data).encode())
    return writer


@hub
@pytest.mark.parametrize(("status", "answered"), [(403, 403), (429, 429), (503, 503), (401, 502), (500, 502)])
async def test_what_a_hub_refuses_is_passed_on(client: Client, status: int, answered: int) -> None:
    kernel = await client.kernel()
    client.app.kernel_manager.refuses = status
    for method, path, body in [
        ("POST", "kernels", {}),
        ("POST", "sessions", SESSION),
        ("DELETE", f"kernels/{kernel}", None),
    ]:
        answer = await client.act(method, path, body)
        assert f"the hub says {status}" in refused(answer, answered)
        assert answer.headers.get("Retry-After") == ("7" if answered == status else None)
    client.app.kernel_manager.refuses = None


@pytest.mark.traits(ServerApp={"contents_manager_class": Quota})
@pytest.mark.parametrize(("status", "answered"), [(507, 507), (429, 429), (401, 502)])
async def test_what_a_contents_manager_refuses_is_passed_on(client: Client, status: int, answered: int) -> None:
    client.app.contents_manager.refuses = status
    answer = await client.act("POST", "contents", {})
    assert f"the hub says {status}" in refused(answer, answered)
    assert answer.headers.get("Retry-After") == ("7" if answered == status else None)


@hub
async def test_what_never_ends_is_given_up(client: Client) -> None:
    manager = client.app.kernel_manager

    async def given_up(method: str, path: str, body: Any = None) -> str:
        """Return why an action is refused whose manager never answers."""
        manager.hangs = True
        client.patience.action = 0.5
        reason = refused(await client.act(method, path, body), 504)
        client.patience.action = 120.0
        manager.hangs = False
        assert manager.hanging == 0
        return reason

    assert "the beginning of a session has not come to an end" in await given_up("POST", "sessions", SESSION)
    assert (await client.act("POST", "sessions", SESSION)).status == 201
    kernel = (await client.jupyter("sessions"))[0]["kernel"]["id"]
    assert "the end of a kernel has not come to an end" in await given_up("DELETE", f"kernels/{kernel}")
    assert (await client.act("DELETE", f"kernels/{kernel}")).status == 204


@hub
async def test_who_waits_for_what_does_not_end_is_told(client: Client) -> None:
    manager = client.app.kernel_manager
    manager.hangs = True
    first = asyncio.ensure_future(client.act("POST", "sessions", SESSION))
    await until(lambda: manager.hanging == 1)
    client.patience.turn = 0.2
    reason = refused(await client.act("POST", "sessions", SESSION), 504)
    assert reason.startswith("path a.ipynb: the beginning of a session has been under way for")
    manager.comes_to.set()
    assert (await first).status == 201


@hub
async def test_a_turn_ends_with_its_client(client: Client) -> None:
    client.patience.abandoned = 0.1
    manager = client.app.kernel_manager
    manager.hangs = True
    writer = await begin(client, "sessions", SESSION)
    await until(lambda: manager.hanging == 1)
    writer.close()
    assert (await client.act("POST", "sessions", SESSION)).status == 201
    assert manager.hanging == 0


@pytest.mark.traits(ServerApp={"contents_manager_class": Stuck})
async def test_one_whose_client_has_gone_leaves_the_queue_and_never_acts(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.patience.abandoned = 1000.0
    manager = client.app.contents_manager
    first = asyncio.ensure_future(client.act("POST", "contents", {"type": "file"}))
    await until(lambda: manager.called == 1)
    gone = await begin(client, "contents", {"type": "notebook"})
    last = asyncio.ensure_future(client.act("POST", "contents", {"type": "file"}))
    gone.close()
    await until(lambda: any("504 POST" in record.getMessage() for record in caplog.records))
    manager.comes_to.set()
    assert (await first).status == (await last).status == 201
    assert manager.called == 2
    assert {model["type"] for model in (await client.jupyter("contents"))["content"]} == {"file"}


@pytest.mark.traits(ServerApp={"session_manager_class": Forgetful}, Supernode={"sessions_interval": 0.05})
async def test_a_table_that_gets_no_answer_says_so_and_holds_up_no_action(client: Client, server: Any) -> None:
    client.patience.look, client.patience.record = 1.0, 0.2
    manager, table = client.app.session_manager, server.extension.supernode.tables["sessions"]
    manager.hangs = True
    assert (await client.act("POST", "sessions", SESSION)).status == 201
    await until(lambda: table.trouble)
    assert "no answer in 1 s" in (await client.ask("GET", "api/rtc/tables/sessions")).body["trouble"]
    manager.hangs, client.patience.look = False, 60.0
    await until(lambda: table.trouble is None)
