"""The channel to a kernel here: what it carries, and what happens when the kernel goes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from awaiting import until
from jupyter_client.session import Session

from jupyter_rtc.kernels import Channels, KernelGone, Life, Told

from .conftest import Listener, all_of, printed, process

Listen = Callable[..., Listener]


async def test_a_request_gets_its_reply_and_its_outputs_in_order(listen: Listen) -> None:
    request = await listen().run("print('a'); import sys; print('b', file=sys.stderr); 40 + 2")
    messages = await all_of(request)
    kinds = [message.kind for message in messages]
    assert kinds[:2] == ["status", "execute_input"]
    assert kinds[-2:] == ["execute_result", "status"]
    assert (printed(messages), printed(messages, "stderr")) == ("a\n", "b\n")
    assert messages[-2].content["data"] == {"text/plain": "42"}
    assert messages[-1].content["execution_state"] == "idle"
    assert (await request.reply).content["status"] == "ok"
    assert {message.parent_id for message in messages} == {request.id}


async def test_the_outputs_of_two_requests_at_once_are_not_mixed_up(listen: Listen) -> None:
    first, second = listen(), listen()
    mark = "parents = globals().get('parents', []); parents.append(get_ipython().kernel.get_parent())"
    requests = [await first.run(mark), await second.run(mark)]
    for request in requests:
        await all_of(request)
    speak = """
kernel = get_ipython().kernel
for number in range(100):
    for index, parent in enumerate(parents):
        content = {"name": "stdout", "text": f"{index} {number},"}
        kernel.session.send(kernel.iopub_socket, "stream", content, parent=parent)
"""
    assert printed(await all_of(await second.run(speak))) == ""
    for index, request in enumerate(requests):
        wanted, messages = "".join(f"{index} {number}," for number in range(100)), []
        while len(printed(messages)) < len(wanted):
            messages += await request.more(late=True)
        assert printed(messages) == wanted


async def test_what_others_ask_is_heard_and_belongs_to_no_request_of_ours(listen: Listen, kernel: Any) -> None:
    listener = listen()
    ours = await listener.run("import time; time.sleep(0.2); print('ours')")
    stream, session = kernel.connect_shell(), Session(key=kernel.session.key)
    content = {"code": "print('theirs')", "silent": False, "store_history": True, "user_expressions": {}}
    session.send(stream, "execute_request", {**content, "allow_stdin": False, "stop_on_error": True})
    await until(lambda: "theirs" in printed(listener.heard))
    assert printed(await all_of(ours)) == "ours\n"
    theirs = [message for message in listener.heard if message.parent.get("session") == session.session]
    assert printed(theirs) == "theirs\n"
    stream.close()


async def test_the_state_of_the_kernel_is_what_it_says(listen: Listen, tmp_path: Path) -> None:
    listener = listen()
    assert listener.hold.state == "unknown"
    request = await listener.run("input()", allow_stdin=True)
    messages = await request.more()
    while all(message.channel != "stdin" for message in messages):
        messages += await request.more()
    assert listener.hold.state == "busy"
    await request.answer(messages[-1], "")
    await all_of(request)
    assert listener.hold.state == "idle"
    assert (Life.CONNECTED, "") in listener.lives


async def test_input_is_asked_for_and_answered(listen: Listen) -> None:
    listener = listen()
    request = await listener.run(
        "from getpass import getpass; print(input('name? '), getpass('word? '))", allow_stdin=True
    )
    asked, messages = [], []
    while more := await request.more():
        messages += more
        for message in more:
            if message.kind == "input_request":
                asked.append((message.content["prompt"], message.content["password"]))
                await request.answer(message, "ada" if len(asked) == 1 else "secret")
    assert asked == [("name? ", False), ("word? ", True)]
    assert printed(messages) == "ada secret\n"


async def test_buffers_go_both_ways(listen: Listen) -> None:
    listener = listen()
    code = """
def opened(comm, message):
    comm.on_msg(lambda message: comm.send({"length": len(message["buffers"][0])}, buffers=[b"back", b""]))
get_ipython().kernel.comm_manager.register_target("echo", opened)
"""
    await all_of(await listener.run(code))
    comm = await listener.hold.request("comm_open", {"comm_id": "1", "target_name": "echo", "data": {}})
    assert [message.kind for message in await all_of(comm)] == ["status", "status"]
    sent = await listener.hold.request("comm_msg", {"comm_id": "1", "data": {}}, buffers=[b"there", b"\0" * 1000])
    answer = next(message for message in await all_of(sent) if message.kind == "comm_msg")
    assert answer.content["data"] == {"length": 5}
    assert [bytes(buffer) for buffer in answer.buffers] == [b"back", b""]


async def test_control_is_answered_while_the_kernel_is_busy(listen: Listen) -> None:
    listener = listen()
    running = await listener.run("input()", allow_stdin=True)
    info = await listener.hold.request("kernel_info_request", {}, on="control")
    assert (await info.reply).content["status"] == "ok"
    assert not running.reply.done()


STUBBORN = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
print('begun', flush=True)
while True: pass
"""


@pytest.mark.parametrize("end", ["kill", "restart", "restart at once", "shut down"])
async def test_requests_end_with_the_kernel_and_what_it_has_said_is_kept(listen: Listen, kernel: Any, end: str) -> None:
    listener = listen()
    running = await listener.run(STUBBORN)
    waiting = await listener.run("1")
    messages = []
    while not printed(messages):
        messages += await running.more()
    if end == "kill":
        os.kill(process(kernel), signal.SIGKILL)
        how = "died"
    elif end == "restart":
        await kernel.restart_kernel()
        how = "was restarted"
    elif end == "restart at once":
        await kernel.restart_kernel(now=True)
        how = "was restarted or shut down"
    else:
        await kernel.shutdown_kernel()
        how = "was shut down"
    for request in (running, waiting):
        with pytest.raises(KernelGone, match=f"the kernel {how} before it answered"):
            await all_of(request)
        with pytest.raises(KernelGone):
            await request.reply
    assert (Life.ENDED, how) in listener.lives
    assert listener.hold.incarnation == 1
    if end == "shut down":
        with pytest.raises(KernelGone, match="shut down"):
            await listener.run("1")
    else:
        assert printed(await all_of(await listener.run("print(2)"))) == "2\n"
        assert [life for life, _ in listener.lives] == [Life.CONNECTED, Life.ENDED, Life.CONNECTED]


async def test_a_listener_hears_the_next_process_though_it_asks_nothing(listen: Listen, kernel: Any) -> None:
    listener = listen()
    await all_of(await listener.run("1"))
    os.kill(process(kernel), signal.SIGKILL)
    await until(lambda: [life for life, _ in listener.lives] == [Life.CONNECTED, Life.ENDED, Life.CONNECTED])
    await until(lambda: listener.hold.state == "idle")


async def test_a_kernel_that_dies_again_and_again_is_given_up(listen: Listen, kernel: Any) -> None:
    listener = listen()
    await all_of(await listener.run("1"))
    kernel._restarter.stop()
    kernel._restarter.restart_limit = 0  # as if it had died often enough
    os.kill(process(kernel), signal.SIGKILL)
    await until(lambda: listener.hold.incarnation == 1)
    asked = asyncio.ensure_future(listener.run("1"))
    kernel._restarter.start()
    with pytest.raises(KernelGone, match="dead"):
        await asked
    with pytest.raises(KernelGone, match="dead"):
        await listener.run("1")
    assert listener.lives[-1] == (Life.ENDED, "died, and cannot be restarted")


async def test_a_request_that_is_given_up_disturbs_nobody(listen: Listen) -> None:
    first, second = listen(), listen()
    running = await first.run("import time; time.sleep(0.3); print('late')")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await second.hold.ask("kernel_info_request", {})
    assert second.hold.waiting == 1
    given_up = await second.run("print('nobody')")
    given_up.close()
    assert printed(await all_of(running)) == "late\n"
    assert printed(await all_of(await second.run("print('again')"))) == "again\n"
    assert second.hold.waiting == 0
    assert given_up.dropped == 0


async def test_a_hold_that_is_closed_ends_its_requests_and_the_last_one_the_connection(
    listen: Listen, channels: Channels
) -> None:
    with listen().hold as once:  # the kernel is there, and its manager's own connection too
        await once.ask("kernel_info_request", {})
    channels.close()
    descriptors = len(os.listdir("/proc/self/fd"))
    first, second = listen(), listen()
    asked = [await holder.run("import time; time.sleep(0.2)") for holder in (first, second)]
    first.hold.close()
    assert await asked[0].more() in ([], *[[message] for message in first.heard])
    assert [message.kind for message in await all_of(asked[1])][-1] == "status"
    running = await second.run("import time; time.sleep(60)")
    second.hold.close()
    with pytest.raises(KernelGone, match="closed"):
        await running.reply
    channels.close()
    await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)


async def test_malformed_messages_end_nothing(listen: Listen, kernel: Any) -> None:
    """Sent by the kernel itself, on its own iopub socket: unsigned, torn, no JSON, no object, too deep."""
    listener = listen()
    code = """
from jupyter_client.session import DELIM
kernel = get_ipython().kernel
session, socket, header = kernel.session, kernel.iopub_thread.socket, kernel.session.msg_header("stream")
def send(*parts, signature=None):
    parts = list(parts)
    kernel.iopub_thread.send_multipart([b"stream", DELIM, signature or session.sign(parts), *parts])
parent = session.pack(kernel.get_parent()["header"])
good = session.pack(header)
send(good, parent, b"{}", b'{"text": "x", "name": "stdout"}', signature=b"0" * 64)
send(good)
send(b"[]", parent, b"{}", b"{}")
send(b"{}", parent, b"{}", b"{}")
send(good, b'"a"', b"{}", b"{}")
send(good, b'{"msg_id": 5}', b"{}", b"{}")
send(good, parent, b"{}", b"\\xff")
send(b'{"msg_type": "status"}', parent, b"{}", b"[" * 100000)
status = session.msg_header("status")
send(session.pack(status), parent, b"{}", b"[]")
send(session.pack(status), parent, b"{}", b"[" * 100000)
kernel.iopub_thread.send_multipart([b"nothing"])
print("still here")
"""
    messages = await all_of(await listener.run(code))
    assert "still here\n" in [
        message.content["text"] for message in messages if message.kind == "stream" and whole(message)
    ]
    assert printed(await all_of(await listener.run("print(1)"))) == "1\n"


def whole(message: Any) -> bool:
    """Say whether the content of a message can be read."""
    try:
        return bool(message.content)
    except ValueError:
        return False


async def test_a_callback_that_fails_is_heard_in_the_log_only(channels: Channels, kernel: Any, listen: Listen) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("no")

    with channels.hold("kernel", kernel, listening=True, told=Told(fail, fail)):
        assert printed(await all_of(await listen().run("print(1)"))) == "1\n"


async def test_output_that_nobody_takes_is_kept_up_to_a_bound_and_the_rest_is_counted(listen: Listen) -> None:
    listener = listen()
    request = await listener.run(
        "from IPython.display import display\nfor _ in range(100): display({'text/plain': 'x' * (1 << 20)}, raw=True)"
    )
    assert (await request.reply).content["status"] == "ok"
    await until(lambda: listener.hold.state == "idle")
    messages = await all_of(request)
    shown = [message for message in messages if message.kind == "display_data"]
    assert request.dropped == 100 - len(shown) > 0
    assert messages[-1].content == {"execution_state": "idle"}


async def test_a_kernel_that_prints_without_pause_costs_little_while_nobody_listens(listen: Listen) -> None:
    """Its ZeroMQ sends nothing of it: measured in processor time, against that of one who listens."""
    asker = listen(listening=False)
    await asker.run("import sys\nwhile True: print('x' * 100, flush=True)")
    await until(lambda: asker.hold.waiting == 1)
    silent = await spent_in(0.5)
    listener = listen()
    await until(lambda: len(listener.heard) > 100)
    listening = await spent_in(0.5)
    assert silent < listening / 4, (silent, listening)
    listener.hold.close()
    heard = len(listener.heard)
    await asyncio.sleep(0.1)
    assert len(listener.heard) == heard


async def spent_in(seconds: float) -> float:
    """Return the processor time of this process in so many seconds."""
    begun = time.process_time()
    await asyncio.sleep(seconds)
    return time.process_time() - begun


async def test_others_have_their_turns_while_a_kernel_prints_without_pause(listen: Listen) -> None:
    listener = listen()
    await listener.run("while True: print('x', flush=True)")
    await until(lambda: len(listener.heard) > 100)
    reply = await listener.hold.request("kernel_info_request", {}, on="control")
    assert (await reply.reply).content["status"] == "ok"


async def test_questions_of_several_holders_are_answered_at_once(listen: Listen) -> None:
    first, second = listen(listening=False), listen(listening=False)
    replies = await asyncio.gather(
        first.hold.ask("kernel_info_request", {}), second.hold.ask("is_complete_request", {"code": "1"})
    )
    assert [reply["status"] for reply in replies] == ["ok", "complete"]
