"""Who may see a table, that nobody writes into one, and what becomes of one that is gone, switched off, or broken."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.auth import Authorizer, User
from pycrdt import Doc, Map
from relay.peer import Peer, eventually

from .asking import ALL, Server

TABLES = {
    "kernelspecs": "kernelspecs",
    "status": "api",
    "terminals": "terminals",
    "kernels": "kernels",
    "sessions": "sessions",
    "contents": "contents",
    "folders": "contents",
    "documents": "contents",
}


class NoKernels(Authorizer):
    """Everything is allowed, except to see kernels."""

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        """Say whether `user` may do `action` with `resource`."""
        return resource != "kernels"


class Odd:
    """A value that cannot be compared, as the arrays of numpy cannot."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("neither equal nor not")


class Moody(KernelSpecManager):
    """Finds kernelspecs only when it is in the mood, and `more` of them."""

    sulks = False
    more: dict[str, Any] = {}

    def get_all_specs(self) -> Any:
        """Return the kernelspecs."""
        if self.sulks:
            raise OSError("not today")
        return {**super().get_all_specs(), **self.more}


def records(peer: Peer) -> dict[str, Any]:
    """Return the records that a peer has."""
    found: dict[str, Any] = peer.doc.get("records", type=Map).to_py()
    return found


async def refused(server: Server, table: str) -> int:
    """Return the status with which a WebSocket is refused."""
    with pytest.raises(Exception, match="HTTP") as error:
        await server.running.connect(f"table:{table}")
    return int(error.value.response.status_code)


async def test_every_table_asks_for_the_right_to_read_what_it_shows(home: Server) -> None:
    assert {name: mirror.resource for name, mirror in home.supernode.tables.items()} == TABLES
    assert {table["name"] for table in (await home.ask("GET", "api/rtc/tables"))["tables"]} == set(ALL)


@pytest.mark.traits(ServerApp={"authorizer_class": NoKernels})
async def test_who_may_not_see_kernels_does_not_see_their_table(home: Server) -> None:
    assert await home.refused("GET", "api/rtc/tables/kernels") == 403
    assert await refused(home, "kernels") == 403
    assert await home.refused("GET", "api/rtc/tables/nonsense") == 404
    listed = {table["name"] for table in (await home.ask("GET", "api/rtc/tables"))["tables"]}
    assert listed == set(ALL) - {"kernels"}
    async with home.copies("status") as copies:
        assert copies.records["status"]


@pytest.mark.traits(Supernode={"shown": ["status"]})
async def test_a_table_that_is_switched_off_is_not_found(home: Server) -> None:
    assert await refused(home, "kernels") == 404
    assert await home.refused("GET", "api/rtc/tables/kernels") == 404
    with pytest.raises(KeyError):
        await home.supernode.refresh("kernels")
    home.supernode.hint("kernels")
    assert (await home.ask("GET", "api/rtc/tables/status"))["number"] == 1


@pytest.mark.traits(Supernode={"shown": ["folders"]})
async def test_folders_without_contents(home: Server) -> None:
    (home.root / "a.txt").write_text("a")
    await home.supernode.refresh("folders", path="")
    [folder] = (await home.ask("GET", "api/rtc/tables/folders"))["records"].values()
    assert "a.txt" in folder["children"]


async def test_nobody_writes_into_a_table(home: Server) -> None:
    async with home.running.connect("table:status") as one, Peer(one) as peer:
        await peer.until(lambda: peer.synced and records(peer))
        before = (await home.ask("GET", "api/rtc/tables/status"))["records"]

        def vandalise(doc: Doc[Any]) -> None:
            doc.get("records", type=Map)["status"]["kernels"] = 99
            doc.get("records", type=Map)["more"] = Map({"a": 1})

        await peer.edit(vandalise)
        async with home.copies("status") as copies:
            assert copies.records["status"].keys() == {"status"}
            assert copies.records["status"]["status"]["kernels"] == 0
        assert (await home.ask("GET", "api/rtc/tables/status"))["records"] == before


async def test_who_comes_back_goes_on(home: Server) -> None:
    doc: Doc[Any] = Doc()
    async with home.running.connect("table:kernels") as one, Peer(one, doc) as peer:
        await peer.until(lambda: peer.synced)
    kernel = await home.kernel()
    async with home.running.connect("table:kernels") as one, Peer(one, doc) as peer:
        await peer.until(lambda: kernel in records(peer))


async def test_the_document_of_another_table_is_not_mixed_in(home: Server) -> None:
    """As it would be after a restart: the server before had other kernels."""
    former: Doc[Any] = Doc()
    former.get("records", type=Map)["old"] = Map({"name": "python3"})
    async with home.running.connect("table:kernels") as one, Peer(one, former) as peer:
        code, reason = await peer.closed()
    assert code == 1003
    assert "made anew" in (reason or "")
    async with home.copies("kernels") as copies:
        assert copies.records["kernels"] == {}


@pytest.mark.traits(Relay={"eviction_delay": 0.1})
async def test_a_table_full_of_what_went_is_made_anew_when_nobody_has_it_open(home: Server) -> None:
    relay, mirror = home.running.extension.relay, home.supernode.tables["kernels"]
    assert relay is not None
    async with home.copies("kernels"):
        lineage = relay.get("table:kernels").lineage
    mirror.table.garbage = 2 << 20  # as it is after some ten thousand kernels
    await eventually(lambda: relay.get("table:kernels") is None)
    kernel = await home.kernel()
    async with home.copies("kernels") as copies:
        await copies.until(lambda: kernel in copies.records["kernels"])
        assert relay.get("table:kernels").lineage != lineage
        assert mirror.table.garbage == 0


async def test_one_that_is_much_too_full_is_made_anew_in_any_case(home: Server) -> None:
    async with home.running.connect("table:kernels") as one, Peer(one) as peer:
        await peer.until(lambda: peer.synced)
        home.supernode.tables["kernels"].table.garbage = 1 << 24
        await home.supernode.refresh("kernels")
        assert (await peer.closed())[0] == 1001
    async with home.copies("kernels") as copies:
        assert copies.records["kernels"] == {}


@pytest.mark.traits(ServerApp={"kernel_spec_manager_class": Moody})
async def test_a_service_that_fails_keeps_its_records_and_stops_no_other(home: Server, caplog: Any) -> None:
    specs = home.running.app.kernel_spec_manager
    await home.supernode.refresh("kernelspecs")
    before = (await home.ask("GET", "api/rtc/tables/kernelspecs"))["records"]
    assert before
    specs.sulks = True
    for _ in range(3):
        with pytest.raises(Exception, match="not today"):
            await home.supernode.refresh("kernelspecs")
    table = await home.ask("GET", "api/rtc/tables/kernelspecs")
    assert table["records"] == before
    assert "not today" in table["trouble"]
    assert len([record for record in caplog.records if "not today" in record.getMessage()]) == 1
    async with home.copies("kernels") as copies:
        kernel = await home.kernel()
        await copies.until(lambda: kernel in copies.records["kernels"])
    specs.sulks = False
    await home.supernode.refresh("kernelspecs")
    assert (await home.ask("GET", "api/rtc/tables/kernelspecs"))["trouble"] is None


def spec(value: object) -> dict[str, Any]:
    """Return what a manager says of a kernelspec, with a value in its metadata."""
    described = {"language": "none", "argv": [], "display_name": "none", "env": {}, "metadata": {"value": value}}
    return {"resource_dir": "", "spec": described}


@pytest.mark.traits(ServerApp={"kernel_spec_manager_class": Moody}, Supernode={"kernelspecs_interval": 0.05})
async def test_a_record_that_cannot_be_written_freezes_nothing_and_heals(home: Server, caplog: Any) -> None:
    specs = home.running.app.kernel_spec_manager
    async with home.copies("kernelspecs") as copies:
        specs.more = {"odd": spec(Odd())}
        await copies.until(lambda: "odd" in copies.records["kernelspecs"])
        # From the second look on it is compared with what it was.
        await eventually(lambda: home.supernode.tables["kernelspecs"].trouble)
        specs.more = {"odd": spec(Odd()), "later": spec(1), 5: spec(2)}
        await copies.until(lambda: {"later", "5"} <= copies.records["kernelspecs"].keys())
        trouble = (await home.ask("GET", "api/rtc/tables/kernelspecs"))["trouble"]
        assert "neither equal nor not" in trouble
        assert len([record for record in caplog.records if "cannot be brought up to date" in record.getMessage()]) == 1
        specs.more = {"later": spec(3)}
        await copies.until(lambda: "odd" not in copies.records["kernelspecs"])
        await eventually(lambda: home.supernode.tables["kernelspecs"].trouble is None)


async def test_a_document_that_cannot_take_a_change_is_made_anew(home: Server, monkeypatch: Any) -> None:
    tables = home.supernode.tables
    async with home.running.connect("table:kernels") as one, Peer(one) as peer:
        await peer.until(lambda: peer.synced)

        def panic(*arguments: object) -> None:
            raise BaseException("the engine panics")

        monkeypatch.setattr(home.running.extension.relay.get("table:kernels"), "edit", panic)
        kernel = await home.kernel()
        assert (await peer.closed())[0] == 1001
        assert "the engine panics" in (tables["kernels"].trouble or "")
        monkeypatch.undo()
    async with home.copies("kernels") as copies:
        await copies.until(lambda: kernel in copies.records["kernels"])
    await eventually(lambda: tables["kernels"].trouble is None)


@pytest.mark.traits(ServerApp={"kernel_spec_manager_class": Moody}, Supernode={"poll_interval": 0})
async def test_what_changes_while_the_room_of_a_table_is_opened_is_in_it(
    home: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay, mirror = home.running.extension.relay, home.supernode.tables["kernelspecs"]
    await mirror.look()
    busy = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        executor.submit(busy.wait)

        async def text() -> set[str]:
            async with relay.hold(mirror.name) as room:
                return set(room.doc.get("records", type=Map))

        opening = asyncio.ensure_future(text())
        await eventually(lambda: executor._work_queue.qsize() > 0)  # the room is filled, and looked through in a thread
        monkeypatch.setattr(Moody, "more", {"new": {"resource_dir": "", "spec": {"display_name": "new"}}})
        await mirror.look()
        busy.set()
        assert await opening == set(mirror.table.records) >= {"new"}


async def test_many_hints_are_one_look_and_a_missed_one_is_made_up_for(home: Server) -> None:
    manager = home.running.app.session_manager
    listed = []
    inner = manager.list_sessions

    async def counted() -> Any:
        listed.append(1)
        return await inner()

    manager.list_sessions = counted
    for _ in range(1000):
        home.supernode.hint("sessions")
    await home.supernode.refresh("sessions")
    await eventually(lambda: listed)
    assert len(listed) < 10


async def test_it_leaves_everything_as_it_was_found(home: Server) -> None:
    app = home.running.app
    kernel = await home.kernel()
    parts = [app.kernel_manager, app.session_manager, app.kernel_manager.get_kernel(kernel)]
    parts.append(app.web_app.settings["terminal_manager"])
    methods = ("save_session", "notify_connect", "start_kernel", "restart_kernel", "terminate", "on_eof")

    def wrapped() -> list[str]:
        return [name for part in parts for name in methods if name in vars(part)]

    await eventually(lambda: len(wrapped()) >= len(methods))
    await home.supernode.stop()
    assert wrapped() == []


async def test_it_is_quiet_when_nothing_happens(home: Server) -> None:
    """Every table is looked at many times over, and not a frame is sent."""
    async with home.copies() as copies:
        kernel = await home.kernel()
        await home.ask("POST", "api/terminals")
        await home.supernode.refresh("contents", path="")
        await copies.until(lambda: copies.records["kernels"].get(kernel, {}).get("info"))
        await copies.until(lambda: copies.records["terminals"] and copies.records["contents"])
        quiet = 0
        while quiet < 20:  # what began before is through
            before = sum(mirror.table.garbage for mirror in home.supernode.tables.values()), len(copies.seen)
            for name in ALL:
                await home.supernode.refresh(name)
            await asyncio.sleep(0.01)
            after = sum(mirror.table.garbage for mirror in home.supernode.tables.values()), len(copies.seen)
            quiet = quiet + 1 if after == before else 0
        frames = dict(copies.frames)
        for _ in range(50):
            for name in ALL:
                await home.supernode.refresh(name)
        (home.root / "last").mkdir()  # comes after whatever was sent before
        await copies.until(lambda: any(record["path"] == "last" for record in copies.records["contents"].values()))
        assert {name: copies.frames[name] for name in TABLES if name not in ("contents", "folders")} == {
            name: number for name, number in frames.items() if name not in ("contents", "folders")
        }
