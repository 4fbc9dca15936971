"""Sessions: one for each path, whoever asks and when; moved, given another kernel, ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .conftest import Answer, Client, refused
from .test_kernels import NOBODY, broken_spec

__all__ = ["broken_spec"]

NOTEBOOK = {"path": "work/a.ipynb", "type": "notebook"}


async def begin(client: Client, **fields: Any) -> Answer:
    """Begin a session, of a notebook unless something else is said."""
    return await client.act("POST", "sessions", {**NOTEBOOK, **fields})


async def kernels(client: Client) -> list[str]:
    """Return the ids of the kernels that Jupyter has."""
    return [kernel["id"] for kernel in await client.jupyter("kernels")]


async def test_a_session_begins_with_a_kernel_and_jupyter_has_it(client: Client) -> None:
    answer = await begin(client, kernel_name="python3")
    assert answer.status == 201
    assert answer.headers["Location"] == f"{client.app.base_url}api/rtc/sessions/{answer.body['id']}"
    assert {key: answer.body[key] for key in ("path", "name", "type")} == {**NOTEBOOK, "name": "a.ipynb"}
    (session,) = await client.jupyter("sessions")
    assert (session["id"], session["path"], session["kernel"]["id"]) == (
        answer.body["id"],
        "work/a.ipynb",
        answer.body["kernel_id"],
    )


async def test_a_path_has_one_session(client: Client) -> None:
    first = await begin(client)
    again = await begin(client, path="/work//a.ipynb/", type="console", kernel_name="fortran")
    assert (again.status, again.body) == (200, first.body)
    assert len(await kernels(client)) == 1


async def test_two_who_open_one_notebook_at_the_same_moment_get_one_kernel(client: Client) -> None:
    answers = await asyncio.gather(*(begin(client) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 200, 201]
    assert len({answer.body["id"] for answer in answers}) == 1
    assert len(await kernels(client)) == len(await client.jupyter("sessions")) == 1


async def test_the_session_of_jupyter_s_own_api_is_taken(client: Client) -> None:
    theirs = await client.ask("POST", "api/sessions", {**NOTEBOOK, "name": "a.ipynb"})
    ours = await begin(client)
    assert (ours.status, ours.body["id"]) == (200, theirs.body["id"])


async def test_a_running_kernel_is_taken(client: Client) -> None:
    kernel = await client.kernel()
    answer = await begin(client, kernel_id=kernel, kernel_name="fortran")
    assert (answer.status, answer.body["kernel_id"]) == (201, kernel)
    assert await kernels(client) == [kernel]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kernel_name": "fortran"}, "kernel_name"),
        ({"kernel_id": NOBODY}, "kernel_id"),
        ({"kernel_id": ""}, "kernel_id"),
        ({"path": "../a.ipynb"}, "path"),
        ({"path": "/"}, "path"),
        ({"path": ""}, "path"),
        ({"path": "a\0"}, "path"),
        ({"path": "a" * 5000}, "path"),
        ({"type": ""}, "type"),
        ({"name": "\0"}, "name"),
    ],
)
async def test_what_is_wrong_begins_nothing(client: Client, fields: dict[str, str], field: str) -> None:
    refused(await begin(client, **fields), 400, field)
    assert await kernels(client) == await client.jupyter("sessions") == []


async def test_odd_names_are_names(client: Client) -> None:
    path = "odd \U0001f40d/\n%2F?#&é.ipynb"
    assert (await begin(client, path=path)).body["path"] == path
    assert [session["path"] for session in await client.jupyter("sessions")] == [path]


async def test_a_kernel_that_does_not_start(client: Client, broken_spec: str) -> None:
    refused(await begin(client, kernel_name=broken_spec), 502)
    assert await client.jupyter("sessions") == []
    assert (await begin(client)).status == 201
    client.app.kernel_manager._pending_kernels.clear()


@pytest.mark.traits(MappingKernelManager={"default_kernel_name": "fortran"})
async def test_a_server_without_a_default_kernel(client: Client) -> None:
    refused(await begin(client), 501)


async def test_a_session_moves(client: Client) -> None:
    before = (await begin(client)).body
    answer = await client.act("PATCH", f"sessions/{before['id']}", {"path": "b.ipynb", "name": "b.ipynb"})
    assert (answer.status, answer.body) == (200, {**before, "path": "b.ipynb", "name": "b.ipynb"})
    assert (await client.jupyter(f"sessions/{before['id']}"))["path"] == "b.ipynb"
    assert (await client.act("PATCH", f"sessions/{before['id']}", {})).body == answer.body


async def test_a_session_does_not_move_onto_another(client: Client) -> None:
    first, second = (await begin(client)).body, (await begin(client, path="b.ipynb")).body
    refused(await client.act("PATCH", f"sessions/{second['id']}", {"path": first["path"]}), 409)
    assert (await client.jupyter(f"sessions/{second['id']}"))["path"] == "b.ipynb"


async def test_a_session_gets_another_kernel_and_the_old_one_ends(client: Client) -> None:
    before = (await begin(client)).body
    answer = await client.act("PATCH", f"sessions/{before['id']}", {"kernel_name": "python3"})
    assert answer.status == 200
    assert answer.body["kernel_id"] != before["kernel_id"]
    assert await kernels(client) == [answer.body["kernel_id"]]


async def test_the_old_kernel_goes_on_where_another_session_has_it(client: Client) -> None:
    notebook = (await begin(client)).body
    await begin(client, path="console-1", type="console", kernel_id=notebook["kernel_id"])
    other = await client.kernel()
    answer = await client.act("PATCH", f"sessions/{notebook['id']}", {"kernel_id": other})
    assert answer.body["kernel_id"] == other
    assert set(await kernels(client)) == {other, notebook["kernel_id"]}


@pytest.mark.parametrize(
    ("fields", "field"), [({"kernel_name": "fortran"}, "kernel_name"), ({"kernel_id": NOBODY}, "kernel_id")]
)
async def test_a_kernel_that_is_not_there_changes_nothing(client: Client, fields: dict[str, str], field: str) -> None:
    before = (await begin(client)).body
    refused(await client.act("PATCH", f"sessions/{before['id']}", {**fields, "path": "b.ipynb"}), 400, field)
    session = await client.jupyter(f"sessions/{before['id']}")
    assert (session["path"], session["kernel"]["id"]) == (before["path"], before["kernel_id"])


async def test_a_session_that_ends_while_it_gets_another_kernel_leaves_none(client: Client) -> None:
    before = (await begin(client)).body
    changed, _ = await asyncio.gather(
        client.act("PATCH", f"sessions/{before['id']}", {"kernel_name": "python3"}),
        client.act("DELETE", f"kernels/{before['kernel_id']}"),
    )
    expected = [changed.body["kernel_id"]] if changed.status == 200 else []
    assert changed.status in (200, 404)
    assert await kernels(client) == expected


async def test_a_session_ends_with_its_kernel(client: Client) -> None:
    session = (await begin(client)).body
    assert (await client.act("DELETE", f"sessions/{session['id']}")).status == 204
    assert await kernels(client) == await client.jupyter("sessions") == []
    refused(await client.act("DELETE", f"sessions/{session['id']}"), 404)


async def test_a_session_ends_once(client: Client) -> None:
    session = (await begin(client)).body
    answers = await asyncio.gather(
        client.act("DELETE", f"sessions/{session['id']}"),
        client.act("DELETE", f"sessions/{session['id']}"),
        client.act("DELETE", f"kernels/{session['kernel_id']}"),
    )
    assert {answer.status for answer in answers} == {204, 404}
    assert await kernels(client) == await client.jupyter("sessions") == []


async def test_a_session_whose_kernel_is_gone_is_gone(client: Client) -> None:
    session = (await begin(client)).body
    await client.act("DELETE", f"kernels/{session['kernel_id']}")
    refused(await client.act("PATCH", f"sessions/{session['id']}", {"name": "b"}), 404)
    assert (await begin(client)).status == 201


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("id", [NOBODY, "1", "%00", "%F0%9F%90%8D", "x" * 2000])
async def test_a_session_that_is_not_there(client: Client, method: str, id: str) -> None:
    refused(await client.act(method, f"sessions/{id}", {} if method == "PATCH" else None), 404)
