"""The channel to a kernel behind a real gateway, over a network that can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from awaiting import PATIENCE, until
from documents.process import Jupyter
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import GatewayMappingKernelManager

from jupyter_rtc.kernels import Channels, KernelGone, Life, Unreachable

from .conftest import Listener, all_of, printed
from .proxy import HOST, Proxy

JSON = "c.ZMQChannelsWebsocketConnection.kernel_ws_protocol = ''\n"
"""A gateway that speaks JSON only, as those do that know no subprotocol."""


@pytest.fixture(params=["", JSON], ids=["v1", "json"])
def gateway(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Jupyter]:
    """Run the server that has the kernels."""
    server = Jupyter(tmp_path / "gateway", request.param)
    server.start()
    yield server
    if server.alive():
        server.terminate()
        server.wait(PATIENCE)


@pytest.fixture
def proxy(gateway: Jupyter, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Proxy]:
    """Lead to the gateway, and have Jupyter Server's own client use that."""
    proxy = Proxy(gateway.port)
    jp_asyncio_loop.run_until_complete(proxy.connect())
    GatewayClient.clear_instance()
    GatewayClient.instance(url=f"http://{HOST}:{proxy.port}", auth_token="bob")
    yield proxy
    jp_asyncio_loop.run_until_complete(proxy.cut())
    GatewayClient.clear_instance()


@pytest.fixture
def listen(
    proxy: Proxy, channels: Channels, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Iterator[Callable[..., Listener]]:
    """Start a kernel at the gateway, and return a function that listens to it."""
    manager = GatewayMappingKernelManager()
    id = jp_asyncio_loop.run_until_complete(manager.start_kernel())
    yield lambda **options: Listener(channels, id, manager.get_kernel(id), **options)
    channels.close()


async def test_requests_outputs_input_and_buffers(listen: Callable[..., Listener]) -> None:
    listener, other = listen(), listen()
    request = await listener.run("print('name', input('who? '))", allow_stdin=True)
    messages: list[Any] = []
    while more := await request.more():
        messages += more
        for message in more:
            if message.kind == "input_request":
                await request.answer(message, "ada")
    assert printed(messages) == "name ada\n"
    assert (await request.reply).content["status"] == "ok"
    assert printed(await all_of(await other.run("print(2)"))) == "2\n"
    code = """
def opened(comm, message):
    comm.on_msg(lambda message: comm.send({"length": len(message["buffers"][0])}, buffers=[b"back", b""]))
get_ipython().kernel.comm_manager.register_target("echo", opened)
"""
    await all_of(await listener.run(code))
    await all_of(await listener.hold.request("comm_open", {"comm_id": "1", "target_name": "echo", "data": {}}))
    sent = await listener.hold.request("comm_msg", {"comm_id": "1", "data": {}}, buffers=[b"there", b"\0" * 1000])
    answer = next(message for message in await all_of(sent) if message.kind == "comm_msg")
    assert answer.content["data"] == {"length": 5}
    assert [bytes(buffer) for buffer in answer.buffers] == [b"back", b""]


async def test_a_cell_goes_on_while_the_network_is_cut_and_its_outputs_come_afterwards(
    listen: Callable[..., Listener], proxy: Proxy, gateway: Jupyter, tmp_path: Path
) -> None:
    listener, mark = listen(), tmp_path / "mark"
    code = f"""
import os, time
print('before', flush=True)
while not os.path.exists({str(mark)!r}): time.sleep(0.01)
print('after')
"""
    request = await listener.run(code)
    messages: list[Any] = []
    while not printed(messages):
        messages += await request.more()
    await proxy.cut()
    await until(lambda: listener.lives[-1][0] is Life.LOST)
    with pytest.raises(Unreachable):
        await listener.run("1")

    async def is_noticed() -> bool:
        """The gateway keeps what the kernel says from when it has noticed, too."""
        return (await gateway.ask("GET", "api/kernels"))[1][0]["connections"] == 0

    await until(is_noticed)
    mark.touch()
    await proxy.connect()
    await until(lambda: listener.lives[-1][0] is Life.BACK)
    messages += await all_of(request)
    assert printed(messages) == "before\nafter\n"
    assert (await request.reply).content["status"] == "ok"
    assert printed(await all_of(await listener.run("print(2)"))) == "2\n"
    assert listener.hold.incarnation == 0


async def test_a_reply_that_was_lost_with_the_connection_ends_its_request(
    listen: Callable[..., Listener], proxy: Proxy, gateway: Jupyter
) -> None:
    listener = listen()
    await all_of(await listener.run("1"))
    with gateway.stopped():  # it takes what is sent into its buffers; the network is cut before it reads that
        request = await listener.run("print(1)")
        await proxy.cut()
    await until(lambda: listener.lives[-1][0] is Life.LOST)
    await proxy.connect()
    with suppress(Unreachable):
        assert printed(await all_of(request)) == "1\n"  # it came through nevertheless
    assert printed(await all_of(await listener.run("print(2)"))) == "2\n"


async def test_a_gateway_that_has_lost_the_kernel_ends_its_requests(
    listen: Callable[..., Listener], gateway: Jupyter
) -> None:
    listener = listen()
    request = await listener.run("import time; time.sleep(600)")
    gateway.kill()
    await until(lambda: listener.lives[-1][0] is Life.LOST)
    gateway.start()
    with pytest.raises(KernelGone, match="is not at the gateway any more"):
        await all_of(request)
    assert listener.lives[-1] == (Life.ENDED, "is not at the gateway any more")


async def test_a_kernel_that_is_restarted_at_the_gateway(listen: Callable[..., Listener], gateway: Jupyter) -> None:
    listener = listen()
    request = await listener.run("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass")
    kernel = gateway.request("GET", "api/kernels")[1][0]["id"]
    await gateway.ask("POST", f"api/kernels/{kernel}/restart")
    with pytest.raises(KernelGone, match="was restarted"):
        await all_of(request)
    assert printed(await all_of(await listener.run("print(2)"))) == "2\n"
    assert listener.hold.incarnation == 1
