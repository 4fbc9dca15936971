"""Questions to real kernels: answered, late, in vain."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from awaiting import until

from .conftest import Answer, Client, refused
from .test_kernels import NOBODY

BODIES: dict[str, dict[str, Any]] = {
    "complete": {"code": "impor"},
    "inspect": {"code": "print"},
    "is_complete": {"code": "1"},
    "history": {"hist_access_type": "tail"},
    "comm_info": {},
}
pytestmark = pytest.mark.traits(Questions={"time_limit": 60.0})  # for a busy machine
impatient = pytest.mark.traits(Questions={"time_limit": 1.0})


async def ask(client: Client, kernel: str, question: str, **fields: Any) -> Answer:
    """Ask a kernel."""
    return await client.act("POST", f"kernels/{kernel}/{question}", {**BODIES[question], **fields})


async def test_answers_are_those_of_the_kernel(client: Client) -> None:
    kernel = await client.kernel()
    await client.execute(kernel, "some_number = 42", "some_number + 1")
    answer = await ask(client, kernel, "complete", code="some_num")
    assert answer.status == 200
    assert (answer.body["matches"], answer.body["cursor_start"], answer.body["cursor_end"]) == (["some_number"], 0, 8)
    answer = await ask(client, kernel, "complete", code="some_num + xyz", cursor_pos=8.0)
    assert answer.body["matches"] == ["some_number"]
    answer = await ask(client, kernel, "inspect", code="some_number", detail_level=1)
    assert (answer.body["found"], "42" in answer.body["data"]["text/plain"]) == (True, True)
    assert (await ask(client, kernel, "inspect", code="nothing")).body["found"] is False
    assert (await ask(client, kernel, "is_complete", code="for i in 1:")).body == {
        "status": "incomplete",
        "indent": "    ",
    }
    assert (await ask(client, kernel, "comm_info", target_name="jupyter.widget")).body["comms"] == {}


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({"hist_access_type": "tail", "n": 1}, ["a + 1"]),
        ({"hist_access_type": "range"}, ["a = 41", "a + 1"]),
        ({"hist_access_type": "range", "session": 0, "start": 1, "stop": 2}, ["a = 41"]),
        ({"hist_access_type": "range", "output": True, "start": 2}, [["a + 1", "42"]]),
        ({"hist_access_type": "search", "pattern": "a =*", "unique": True}, ["a = 41"]),
        ({"hist_access_type": "search", "unique": True, "n": 1}, ["a + 1"]),
    ],
)
async def test_history(client: Client, fields: dict[str, Any], lines: list[Any]) -> None:
    kernel = await client.kernel()
    await client.execute(kernel, "a = 41", "a + 1")
    answer = await ask(client, kernel, "history", **fields)
    assert answer.status == 200
    assert [line for _, _, line in answer.body["history"]] == lines


@pytest.mark.parametrize(
    ("question", "fields", "field"),
    [
        ("complete", {"code": 1}, "code"),
        ("complete", {"cursor_pos": 6}, "cursor_pos"),
        ("complete", {"cursor_pos": -1}, "cursor_pos"),
        ("complete", {"cursor_pos": 1.5}, "cursor_pos"),
        ("complete", {"cursor_pos": 1e300}, "cursor_pos"),
        ("inspect", {"detail_level": 2}, "detail_level"),
        ("inspect", {"cursor_pos": True}, "cursor_pos"),
        ("is_complete", {"timeout": 0}, "timeout"),
        ("is_complete", {"timeout": "1"}, "timeout"),
        ("history", {"hist_access_type": "all"}, "hist_access_type"),
        ("history", {"pattern": "*"}, "pattern"),
        ("history", {"hist_access_type": "range", "n": 1}, "n"),
        ("history", {"n": 10**6}, "n"),
        ("comm_info", {"target_name": None}, "target_name"),
        ("comm_info", {"code": "1"}, "code"),
    ],
)
async def test_wrong_questions(client: Client, question: str, fields: dict[str, Any], field: str) -> None:
    refused(await ask(client, await client.kernel(), question, **fields), 400, field)


@pytest.mark.parametrize("question", BODIES)
@pytest.mark.parametrize("kernel", [NOBODY, "1", "%00"])
async def test_a_kernel_that_is_not_there(client: Client, question: str, kernel: str) -> None:
    refused(await ask(client, kernel, question), 404)


async def test_many_questions_at_once_get_their_own_answers(client: Client) -> None:
    kernel = await client.kernel()
    await client.execute(kernel, "\n".join(f"name_{number}_ = {number}" for number in range(30)))
    answers = await asyncio.gather(*(ask(client, kernel, "complete", code=f"name_{number}_") for number in range(30)))
    assert [answer.body["matches"] for answer in answers] == [[f"name_{number}_"] for number in range(30)]


async def test_a_kernel_is_asked_while_it_starts(client: Client) -> None:
    for _ in range(3):
        assert (await ask(client, await client.kernel(), "is_complete")).body == {"status": "complete"}


@impatient
async def test_a_busy_kernel_does_not_answer_in_time(client: Client) -> None:
    kernel = await client.kernel()
    await client.busy(kernel)
    reason = refused(await ask(client, kernel, "complete"), 504)
    assert "within 1 s" in reason
    assert "within 0.1 s" in refused(await ask(client, kernel, "complete", timeout=0.1), 504)
    assert "within 1 s" in refused(await ask(client, kernel, "complete", timeout=1000), 504)
    await client.act("POST", f"kernels/{kernel}/interrupt")
    await until(lambda: waiting(client, kernel) == 0)
    assert (await ask(client, kernel, "is_complete")).status == 200


@pytest.mark.traits(Questions={"time_limit": 0.2, "max_waiting": 3})
async def test_questions_do_not_pile_up_in_a_busy_kernel(client: Client) -> None:
    kernel = await client.kernel()
    running = await client.busy(kernel)
    answers = [await ask(client, kernel, "is_complete") for _ in range(5)]
    assert [answer.status for answer in answers] == [504, 504, 504, 429, 429]
    await client.act("POST", f"kernels/{kernel}/interrupt")
    await running
    await until(lambda: waiting(client, kernel) == 0)
    assert (await ask(client, kernel, "is_complete", timeout=30)).status == 200


async def test_a_question_behind_an_error_is_answered(client: Client) -> None:
    """The kernel throws away what waits for it when something fails; not this."""
    kernel = await client.kernel()
    await client.execute(kernel, "1")
    replies, answer = await asyncio.gather(
        client.execute(kernel, "import time; time.sleep(0.5); 1/0", "2"), ask(client, kernel, "is_complete")
    )
    assert [reply["status"] for reply in replies] == ["error", "aborted"]
    assert answer.body == {"status": "complete"}


@pytest.mark.parametrize("end", ["kill", "shut down", "restart"])
async def test_a_kernel_that_goes_away_ends_the_question_at_once(client: Client, end: str) -> None:
    kernel = await client.kernel()
    await client.busy(kernel)
    asked = asyncio.ensure_future(ask(client, kernel, "complete"))
    await until(lambda: waiting(client, kernel) == 1)
    if end == "kill":
        os.kill(client.process(kernel), signal.SIGKILL)
    elif end == "restart":
        await client.act("POST", f"kernels/{kernel}/restart")
    else:
        await client.act("DELETE", f"kernels/{kernel}")
    assert "before it answered" in refused(await asked, 409)
    assert kernel not in client.questions._connected


def waiting(client: Client, kernel: str) -> int:
    """Return how many questions wait for a kernel's answer."""
    connected = client.questions._connected.get(kernel)
    return connected.hold.waiting if connected else 0


async def test_a_kernel_that_was_restarted_is_asked_again(client: Client) -> None:
    kernel = await client.kernel()
    assert (await ask(client, kernel, "is_complete")).status == 200
    await client.act("POST", f"kernels/{kernel}/restart")
    assert (await ask(client, kernel, "is_complete")).body == {"status": "complete"}


async def test_a_dead_kernel_is_not_asked(client: Client) -> None:
    kernel = await client.kernel()
    client.app.kernel_manager.get_kernel(kernel).execution_state = "dead"
    assert "dead" in refused(await ask(client, kernel, "is_complete"), 409)


@pytest.mark.traits(Questions={"idle_time": 0.3})
async def test_a_connection_that_is_not_used_is_closed(client: Client, tmp_path: Path) -> None:
    kernel = await client.kernel()
    await ask(client, kernel, "is_complete")
    await until(lambda: kernel not in client.questions._connected)
    descriptors = len(os.listdir("/proc/self/fd"))
    begun = tmp_path / "begun"
    code = f"import time; open({str(begun)!r}, 'w').close(); time.sleep(1)"
    running = asyncio.ensure_future(client.execute(kernel, code))
    await until(begun.exists)
    assert (await ask(client, kernel, "is_complete")).status == 200  # not closed while somebody waits
    await running
    await until(lambda: kernel not in client.questions._connected)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
    assert (await ask(client, kernel, "is_complete")).status == 200


@pytest.mark.traits(MappingKernelManager={"allowed_message_types": ["complete_request"]})
async def test_message_types_that_are_not_allowed_are_not_sent(client: Client) -> None:
    kernel = await client.kernel()
    assert "inspect_request" in refused(await ask(client, kernel, "inspect"), 403)
    assert (await ask(client, kernel, "complete")).status == 200


@pytest.mark.traits(MappingKernelManager={"transport_encryption": "required"})
async def test_an_encrypted_kernel_is_asked(client: Client, jp_data_dir: Any) -> None:
    folder = jp_data_dir / "kernels" / "curve"
    folder.mkdir(parents=True)
    spec = {
        "argv": ["python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Encrypted",
        "language": "python",
        "metadata": {"supported_encryption": "curve"},
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    kernel = await client.kernel(name="curve")
    assert client.app.kernel_manager.get_kernel(kernel).curve_publickey
    assert (await ask(client, kernel, "is_complete")).body == {"status": "complete"}


async def test_others_get_their_own_replies(client: Client) -> None:
    """The questions have a session of their own: who executes gets all that is meant for him."""
    kernel = await client.kernel()
    replies, *answers = await asyncio.gather(
        client.execute(kernel, *("1",) * 20), *(ask(client, kernel, "is_complete") for _ in range(20))
    )
    assert [reply["status"] for reply in replies] == ["ok"] * 20
    assert {answer.status for answer in answers} == {200}
