"""Kernels: started, shut down, interrupted, restarted; what goes wrong; and several of these at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from .conftest import Client, refused, works_in

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def broken_spec(jp_data_dir: Path) -> str:
    """Install a kernel spec whose program is not there; return its name."""
    folder = jp_data_dir / "kernels" / "broken"
    folder.mkdir(parents=True)
    spec = {"argv": ["/nowhere/python", "{connection_file}"], "display_name": "Broken", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    return "broken"


async def test_a_kernel_is_started_and_jupyter_has_it(client: Client) -> None:
    answer = await client.act("POST", "kernels", {"name": "python3"})
    assert answer.status == 201
    assert answer.headers["Location"] == f"{client.app.base_url}api/rtc/kernels/{answer.body['id']}"
    assert [(kernel["id"], kernel["name"]) for kernel in await client.jupyter("kernels")] == [
        (answer.body["id"], "python3")
    ]


@pytest.mark.parametrize("body", [None, b"", {}])
async def test_without_a_name_the_default_kernel_is_started(client: Client, body: object) -> None:
    answer = await client.act("POST", "kernels", body)
    assert (answer.status, answer.body["name"]) == (201, "python3")


async def test_a_kernel_works_in_the_folder_that_is_named(client: Client, jp_root_dir: Path) -> None:
    (jp_root_dir / "work").mkdir()
    kernel = await client.kernel(path="/work/")
    assert works_in(client.process(kernel), jp_root_dir / "work")


async def test_a_kernel_spec_that_is_not_there(client: Client) -> None:
    reason = refused(await client.act("POST", "kernels", {"name": "fortran"}), 400, "name")
    assert reason == "name: there is no kernel spec 'fortran'"
    assert await client.jupyter("kernels") == []


@pytest.mark.traits(MappingKernelManager={"default_kernel_name": "fortran"})
async def test_a_server_without_a_default_kernel(client: Client) -> None:
    assert "no default kernel" in refused(await client.act("POST", "kernels"), 501)


async def test_a_kernel_that_does_not_start(client: Client, broken_spec: str) -> None:
    reason = refused(await client.act("POST", "kernels", {"name": broken_spec}), 502)
    assert "could not be started" in reason
    assert "/nowhere/python" in reason
    assert await client.jupyter("kernels") == []
    client.app.kernel_manager._pending_kernels.clear()  # which Jupyter leaves behind, and stumbles over when it stops


async def test_a_kernel_is_shut_down(client: Client) -> None:
    kernel = await client.kernel()
    process = client.process(kernel)
    answer = await client.act("DELETE", f"kernels/{kernel}")
    assert (answer.status, answer.body) == (204, None)
    assert await client.jupyter("kernels") == []
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize(("method", "action"), [("DELETE", ""), ("POST", "/interrupt"), ("POST", "/restart")])
@pytest.mark.parametrize("kernel", [NOBODY, "1", "..", "%00", "%F0%9F%90%8D", "x" * 2000, "%C2%A0", "a%2Fb"])
async def test_a_kernel_that_is_not_there(client: Client, method: str, action: str, kernel: str) -> None:
    refused(await client.act(method, f"kernels/{kernel}{action}"), 404)


async def test_a_busy_kernel_is_interrupted(client: Client) -> None:
    kernel = await client.kernel()
    running = await client.busy(kernel)
    assert (await client.act("POST", f"kernels/{kernel}/interrupt")).status == 204
    assert [reply["ename"] for reply in await running] == ["KeyboardInterrupt"]


async def test_a_kernel_whose_process_is_gone_is_not_interrupted(client: Client) -> None:
    kernel = await client.kernel()
    manager = client.app.kernel_manager.get_kernel(kernel)
    manager.stop_restarter()  # so that nothing starts another one
    await manager.provisioner.kill()
    await manager.provisioner.wait()
    refused(await client.act("POST", f"kernels/{kernel}/interrupt"), 409)


async def test_a_kernel_is_restarted_under_its_id(client: Client) -> None:
    kernel = await client.kernel()
    before = client.process(kernel)
    answer = await client.act("POST", f"kernels/{kernel}/restart")
    assert (answer.status, answer.body["id"]) == (200, kernel)
    assert client.process(kernel) != before
    assert [one["id"] for one in await client.jupyter("kernels")] == [kernel]


async def test_a_dead_kernel_is_restarted(client: Client) -> None:
    kernel = await client.kernel()
    before = client.process(kernel)
    os.kill(before, signal.SIGKILL)
    assert (await client.act("POST", f"kernels/{kernel}/restart")).status == 200
    assert client.process(kernel) != before
    answer = await client.act("POST", f"kernels/{kernel}/is_complete", {"code": "1"})
    assert answer.body == {"status": "complete"}


async def test_a_kernel_that_does_not_start_again(client: Client) -> None:
    kernel = await client.kernel()
    client.app.kernel_manager.get_kernel(kernel)._launch_args["cwd"] = "/nowhere"
    refused(await client.act("POST", f"kernels/{kernel}/restart"), 502)


async def test_shut_down_while_it_is_restarted(client: Client) -> None:
    """It is gone, and no process of it is left that nobody knows of."""
    kernel = await client.kernel()
    answers = await asyncio.gather(
        client.act("POST", f"kernels/{kernel}/restart"),
        client.act("POST", f"kernels/{kernel}/restart"),
        client.act("DELETE", f"kernels/{kernel}"),
        client.act("DELETE", f"kernels/{kernel}"),
    )
    assert sorted(answer.status for answer in answers[2:]) == [204, 404]
    assert {answer.status for answer in answers[:2]} <= {200, 404}
    assert await client.jupyter("kernels") == []
    assert processes_of(kernel) == []


async def test_interrupted_while_it_is_restarted(client: Client) -> None:
    kernel = await client.kernel()
    answers = await asyncio.gather(
        client.act("POST", f"kernels/{kernel}/restart"), client.act("POST", f"kernels/{kernel}/interrupt")
    )
    assert answers[0].status == 200
    assert answers[1].status in (204, 409)


def processes_of(kernel: str) -> list[str]:
    """Return the command lines of the processes that were started for a kernel."""
    assert sys.platform == "linux"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if kernel in command:
            found.append(command)
    return found
