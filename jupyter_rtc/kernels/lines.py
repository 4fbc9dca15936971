"""Lines to all kinds of kernels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from jupyter_client.manager import KernelManager
from jupyter_server.gateway.managers import GatewayKernelManager
from zmq.asyncio import Context

from .gateway import GatewayLine
from .line import Line, LineBroken, ShellLine


class NoLine(Exception):
    """This kind of kernel cannot be asked from here; the text says why."""


class Lines:
    """Opens lines to kernels."""

    def __init__(self) -> None:
        """Open none yet."""
        self._context: Context | None = None

    def open(self, id: str, kernel: KernelManager, closed: Callable[[], object] = lambda: None) -> Line:
        """Connect to a kernel that has `started`; `closed` is called when the line is of no more use.

        Raises NoLine where there is no way to the kernel.
        """
        if is_remote(kernel):
            return GatewayLine(id, closed)
        if not kernel.shell_port:
            raise NoLine("this kernel is not reached over ZeroMQ, nor through a gateway")
        if self._context is None:
            self._context = Context()
        return ShellLine(kernel, self._context, closed)

    def close(self) -> None:
        """Let go of all kernels."""
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None


def is_remote(kernel: KernelManager) -> bool:
    """Say whether a kernel runs behind a gateway."""
    return isinstance(kernel, GatewayKernelManager)


async def started(kernel: KernelManager) -> None:
    """Wait until it is known where a kernel listens; a gateway knows it before we know of the kernel.

    Raises LineBroken if it does not start.
    """
    if is_remote(kernel):
        return
    ready = kernel.ready
    try:
        await asyncio.shield(asyncio.wrap_future(ready) if isinstance(ready, Future) else ready)
    except Exception as error:  # whatever kept it from starting
        raise LineBroken(f"the kernel is dead: {error}") from error


async def answer(line: Line, kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """Ask a kernel until it answers, and return the content of its reply. Raises what `Line.ask` does."""
    while True:
        reply = await line.ask(kind, content)
        # After an error a kernel throws away what waits for it; this is meant for what is to be run.
        if reply.get("status") != "aborted":
            return reply
