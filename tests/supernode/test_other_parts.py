"""Servers with other parts: a gateway, contents that are not on the local disk, other extensions, no terminals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from awaiting import PATIENCE
from documents.process import Jupyter
from relay.peer import eventually
from traitlets import HasTraits, Integer

from jupyter_rtc.supernode.wraps import Wraps

from .copying import Copies

MEMORY = Path(__file__).parent.parent / "documents" / "memory_manager.py"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Jupyter]]:
    """Return a function that starts a server."""
    servers: list[Jupyter] = []

    def begin(config: str = "") -> Jupyter:
        servers.append(Jupyter(tmp_path / f"server{len(servers)}", config))
        servers[-1].start()
        return servers[-1]

    yield begin
    whole = all(server.alive() for server in servers)
    for server in reversed(servers):  # who has a gateway first, as long as that is there
        if whole:
            server.terminate()
            server.wait(PATIENCE)
        server.kill()


def records(server: Jupyter, table: str) -> dict[str, Any]:
    """Return the records of a table."""
    status, answer = server.request("GET", f"api/rtc/tables/{table}")
    assert status == 200, answer
    found: dict[str, Any] = answer["records"]
    return found


async def test_the_kernels_and_kernelspecs_of_a_gateway(start: Callable[..., Jupyter]) -> None:
    gateway = start()
    config = f"c.GatewayClient.url = {gateway.url('')!r}\nc.GatewayClient.auth_token = 'bob'\n"
    server = start(config + "c.Supernode.kernels_interval = 0.1")
    async with Copies(server.url("api/rtc/room", "ws"), "ada", "kernels", "kernelspecs", "status") as copies:
        await copies.until(lambda: copies.records["kernelspecs"])
        for spec in copies.records["kernelspecs"].values():
            assert spec["host"] == gateway.url("")
        _, kernel = await server.ask("POST", "api/kernels", {"name": "python3"})
        await copies.until(lambda: kernel["id"] in copies.records["kernels"])
        _, models = await gateway.ask("GET", "api/kernels")
        assert copies.records["kernels"].keys() == {model["id"] for model in models}

        def shown() -> dict[str, Any]:
            record: dict[str, Any] = copies.records["kernels"][kernel["id"]]
            return record

        def is_introduced() -> bool:
            """It has said what it is, and whoever asked has left again."""
            return shown()["execution_state"] == "idle" and shown()["info"] and shown()["connections"] == 0

        await copies.until(is_introduced)
        assert shown()["info"]["language_info"]["name"] == "python"
        assert shown()["incarnation"] == 0
        await server.ask("POST", f"api/kernels/{kernel['id']}/restart")
        await copies.until(lambda: shown()["incarnation"] == 1)
        await copies.until(is_introduced)
        assert (await gateway.ask("DELETE", f"api/kernels/{kernel['id']}"))[0] == 204  # behind the server's back
        await copies.until(lambda: copies.records["kernels"] == {})
        await copies.until(lambda: copies.records["status"]["status"]["kernels"] == 0)


async def test_a_gateway_that_goes_away(start: Callable[..., Jupyter]) -> None:
    gateway = start()
    config = f"c.GatewayClient.url = {gateway.url('')!r}\nc.GatewayClient.auth_token = 'bob'\n"
    server = start(config + "c.Supernode.kernels_interval = 0.1")
    kernel = (await server.ask("POST", "api/kernels", {"name": "python3"}))[1]["id"]
    await eventually(lambda: kernel in records(server, "kernels"))
    gateway.kill()
    await eventually(lambda: server.request("GET", "api/rtc/tables/kernels")[1]["trouble"])
    assert kernel in records(server, "kernels")
    assert "api/rtc" not in [line for line in server.log().splitlines() if "Traceback" in line]
    assert len([line for line in server.log().splitlines() if "table kernels: cannot be listed" in line]) == 1
    assert (await server.ask("GET", "api/rtc/tables/sessions"))[0] == 200


async def test_a_contents_manager_that_is_not_the_local_disk(start: Callable[..., Jupyter]) -> None:
    server = start(f"load_subconfig({str(MEMORY)!r})\nc.Supernode.contents_interval = 0")
    async with Copies(server.url("api/rtc/room", "ws"), "ada", "contents", "folders") as copies:
        body = {"type": "file", "format": "text", "content": "a"}
        assert (await server.ask("PUT", "api/contents/a.txt", body))[0] == 201
        status, answer = await server.ask("POST", "api/rtc/tables/contents/refresh", {"path": ""})
        assert status in (200, 204), answer

        def names() -> set[str]:
            return {record["path"] for record in copies.records["contents"].values()}

        def children() -> set[str]:
            return {name for folder in copies.records["folders"].values() for name in folder["children"]}

        await copies.until(lambda: names() == {"", "a.txt"})
        await server.ask("PUT", "api/contents/b.txt", body)
        await copies.until(lambda: names() == {"", "a.txt", "b.txt"})
        await copies.until(lambda: children() == {"a.txt", "b.txt"})
        await server.ask("DELETE", "api/contents/a.txt")
        await copies.until(lambda: names() == {"", "b.txt"})
        await copies.until(lambda: children() == {"b.txt"})


async def test_a_server_without_terminals(start: Callable[..., Jupyter]) -> None:
    config = "c.ServerApp.jpserver_extensions['jupyter_server_terminals'] = True\nc.ServerApp.terminals_enabled = False"
    server = start(config)
    assert records(server, "terminals") == {}
    assert "Traceback" not in server.log()


class Thing:
    """Something with methods that tell nobody."""

    def double(self, number: int) -> int:
        """Return twice as much."""
        return 2 * number

    async def fail(self) -> None:
        """Raise an error."""
        raise ValueError("no")


async def test_a_wrapped_method_does_what_it_did_and_tells() -> None:
    thing, wraps, told = Thing(), Wraps(), list[bool]()
    wraps.after(thing, "double", told.append)
    wraps.after(thing, "fail", told.append)
    wraps.after(thing, "missing", told.append)
    assert thing.double(2) == 4
    with pytest.raises(ValueError, match="no"):
        await thing.fail()
    assert told == [True, False]
    assert Thing().double(1) == 2
    wraps.undo()
    assert vars(thing) == {}


def test_who_wraps_the_same_method_is_left_alone() -> None:
    thing, ours, theirs, told = Thing(), Wraps(), Wraps(), list[str]()
    ours.after(thing, "double", lambda _: told.append("ours"))
    theirs.after(thing, "double", lambda _: told.append("theirs"))
    ours.undo()
    assert thing.double(2) == 4
    assert told == ["theirs"]
    theirs.undo()
    assert thing.double(2) == 4
    assert told == ["theirs"]


class Counter(HasTraits):
    """Something with a trait, and a method whose result comes later."""

    number = Integer(0)

    def later(self) -> asyncio.Future[int]:
        """Return a future that is done."""
        done = asyncio.get_running_loop().create_future()
        done.set_result(1)
        return done


async def test_an_error_in_a_hook_comes_out_nowhere_but_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """As where a hook into `start_kernel` fails: the kernel starts nevertheless."""

    def broken(*arguments: object) -> None:
        raise OSError(f"the hook fails {len(caplog.records)}")

    thing, counter, wraps = Thing(), Counter(), Wraps()
    wraps.after(thing, "double", broken, broken)
    wraps.after(thing, "fail", broken)
    wraps.after(counter, "later", broken)
    wraps.observe(counter, ("number", "missing"), broken)
    assert thing.double(2) == 4
    with pytest.raises(ValueError, match="no"):
        await thing.fail()
    assert await counter.later() == 1
    counter.number = 5
    await asyncio.sleep(0)  # a future calls back in the next turn
    assert len([record for record in caplog.records if "the hook fails" in record.getMessage()]) == 5
    wraps.undo()
    counter.number = 6
    assert len(caplog.records) == 5
