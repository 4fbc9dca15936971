"""Real kernels, and those who use their channels."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager

from jupyter_rtc.kernels import Channels, Hold, Life, Machine, Message, Request, Told
from jupyter_rtc.machine import Backoff, Tasks


class Listener:
    """Somebody who listens to a kernel, and remembers what happened.

    Attributes:
        hold: the hold on the kernel.
        heard: the messages on iopub.
        lives: what happened to the kernel, and why.
    """

    def __init__(self, channels: Channels, id: str, kernel: Any, listening: bool = True) -> None:
        """Hold a kernel's channel."""
        self.heard: list[Message] = []
        self.lives: list[tuple[Life, str]] = []
        told = Told(self.heard.append, lambda life, why: self.lives.append((life, why)))
        self.hold: Hold = channels.hold(id, kernel, listening=listening, told=told)

    async def run(self, code: str, **options: Any) -> Request:
        """Have the kernel execute some code."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": True, **options}
        return await self.hold.request("execute_request", content)


async def all_of(request: Request) -> list[Message]:
    """Return all that belongs to a request, when it is done."""
    messages: list[Message] = []
    while more := await request.more():
        messages += more
    return messages


def printed(messages: list[Message], name: str = "stdout") -> str:
    """Return what was printed."""
    streams = [message.content for message in messages if message.kind == "stream"]
    return "".join(content["text"] for content in streams if content["name"] == name)


def process(kernel: Any) -> int:
    """Return the process id of a kernel."""
    pid: int = kernel.provisioner.pid
    return pid


class Failures(logging.Handler):
    """Remembers what tasks have failed with."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a message."""
        self.messages.append(record.getMessage())


@pytest.fixture
def channels(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Channels]:
    """Return the channels to all kernels; none of their tasks may fail."""
    log, failures = logging.Logger("channels"), Failures()
    log.addHandler(failures)
    tasks = Tasks(log, "kernels")
    channels = Channels(Machine(tasks.spawn, Backoff))
    yield channels

    async def end() -> None:
        channels.close()
        await tasks.stop()

    jp_asyncio_loop.run_until_complete(end())
    assert failures.messages == []


@pytest.fixture
def kernel(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Start a real kernel, which is started again when it dies."""
    manager = AsyncIOLoopKernelManager(kernel_name="python3")
    jp_asyncio_loop.run_until_complete(manager.start_kernel())
    yield manager

    async def end() -> None:
        await manager.shutdown_kernel(now=True)
        manager.context.destroy(linger=0)

    jp_asyncio_loop.run_until_complete(end())


@pytest.fixture
def listen(channels: Channels, kernel: Any) -> Callable[..., Listener]:
    """Return a function that listens to the kernel."""
    return lambda **options: Listener(channels, "kernel", kernel, **options)
