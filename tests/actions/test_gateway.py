"""Kernels that run behind a gateway, here a second Jupyter Server: started, asked, restarted, shut down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from awaiting import PATIENCE, until
from documents.process import Jupyter
from jupyter_client.asynchronous.client import AsyncKernelClient


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Jupyter]:
    """Run the server that has the kernels."""
    server = Jupyter(tmp_path / "gateway")
    server.start()
    yield server
    server.terminate()
    server.wait(PATIENCE)


@pytest.fixture
def server(tmp_path: Path, gateway: Jupyter) -> Iterator[Jupyter]:
    """Run a server that gets its kernels from the gateway."""
    config = f"""
c.GatewayClient.url = {gateway.url("")!r}
c.GatewayClient.auth_token = "bob"
c.Questions.time_limit = 20.0
"""
    server = Jupyter(tmp_path / "server", config)
    server.start()
    yield server
    server.kill()  # it has no kernels of its own


async def test_the_kernels_of_a_gateway(server: Jupyter, gateway: Jupyter) -> None:
    status, kernel = await server.ask("POST", "api/rtc/kernels", {"name": "python3"})
    assert status == 201
    assert [one["id"] for one in gateway.request("GET", "api/kernels")[1]] == [kernel["id"]]
    path = f"api/rtc/kernels/{kernel['id']}"

    answers = await asyncio.gather(
        server.ask("POST", f"{path}/complete", {"code": "impor"}),
        server.ask("POST", f"{path}/is_complete", {"code": "1"}),
    )
    assert [status for status, _ in answers] == [200, 200]
    assert answers[0][1]["matches"] == ["import"]
    assert answers[1][1] == {"status": "complete"}

    assert (await server.ask("POST", f"{path}/restart"))[0] == 200
    assert await server.ask("POST", f"{path}/is_complete", {"code": "1"}) == (200, {"status": "complete"})
    assert (await server.ask("POST", f"{path}/interrupt"))[0] == 204
    assert (await server.ask("DELETE", path))[0] == 204
    assert gateway.request("GET", "api/kernels")[1] == []
    assert (await server.ask("POST", f"{path}/is_complete", {"code": "1"}))[0] == 404


async def test_a_kernel_spec_that_the_gateway_has_not(server: Jupyter) -> None:
    status, error = await server.ask("POST", "api/rtc/kernels", {"name": "fortran"})
    assert (status, error["field"]) == (400, "name")


async def test_a_session_at_a_gateway(server: Jupyter, gateway: Jupyter) -> None:
    body = {"path": "a.ipynb", "type": "notebook"}
    answers = await asyncio.gather(*(server.ask("POST", "api/rtc/sessions", body) for _ in range(2)))
    assert sorted(status for status, _ in answers) == [200, 201]
    assert len(gateway.request("GET", "api/kernels")[1]) == 1
    assert (await server.ask("DELETE", f"api/rtc/sessions/{answers[0][1]['id']}"))[0] == 204
    assert gateway.request("GET", "api/kernels")[1] == []


@pytest.mark.parametrize("end", ["restart", "shut down"])
async def test_a_kernel_that_goes_away_ends_the_question_at_once(
    server: Jupyter, gateway: Jupyter, tmp_path: Path, end: str
) -> None:
    kernel = (await server.ask("POST", "api/rtc/kernels", {}))[1]["id"]
    path = f"api/rtc/kernels/{kernel}"
    assert (await server.ask("POST", f"{path}/is_complete", {"code": "1"}))[0] == 200
    await busy(gateway, kernel, tmp_path / "busy")
    asked = asyncio.ensure_future(server.ask("POST", f"{path}/complete", {"code": "1"}))
    await asyncio.sleep(0.5)  # on its way; should it come too late, it is answered, or there is no such kernel
    if end == "restart":
        assert (await server.ask("POST", f"{path}/restart"))[0] == 200
    else:
        assert (await server.ask("DELETE", path))[0] == 204
    status, error = await asked
    assert status == 409, error


async def busy(gateway: Jupyter, kernel: str, mark: Path) -> None:
    """Keep a kernel of the gateway busy for a minute; return when it is."""
    client = AsyncKernelClient()
    client.load_connection_file(str(gateway.root.parent / "runtime" / f"kernel-{kernel}.json"))
    client.start_channels(iopub=False, stdin=False, hb=False, control=False)
    client.execute(f"import time; open({str(mark)!r}, 'w').close()\nfor _ in range(6000): time.sleep(0.01)")
    await until(mark.exists)
    client.shell_channel.stop()
    client.context.destroy(linger=0)


async def test_a_gateway_that_is_not_there(server: Jupyter, gateway: Jupyter) -> None:
    kernel = (await server.ask("POST", "api/rtc/kernels", {}))[1]["id"]
    gateway.kill()
    for path, body in [
        (f"kernels/{kernel}/is_complete", {"code": "1"}),
        ("kernels", {}),
        ("kernels", {"name": "python3"}),
    ]:
        status, error = await server.ask("POST", f"api/rtc/{path}", body)
        assert status == 502, error
        assert error["message"]
