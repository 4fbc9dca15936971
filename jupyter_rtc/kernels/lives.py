"""How it stands with the process of a kernel, as far as its manager knows."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from jupyter_client.manager import KernelManager
from jupyter_server.gateway.managers import GatewayKernelManager

from .message import KernelGone


def is_remote(kernel: KernelManager) -> bool:
    """Say whether a kernel runs behind a gateway."""
    return isinstance(kernel, GatewayKernelManager)


async def started(kernel: KernelManager) -> None:
    """Wait until it is known where a kernel listens; a gateway knows it before we know of the kernel.

    Raises KernelGone if it does not start, or was shut down.
    """
    if is_remote(kernel):
        return
    ready = None
    while ready is not kernel.ready:  # a restart has its own
        ready = kernel.ready
        try:
            await asyncio.shield(asyncio.wrap_future(ready) if isinstance(ready, Future) else ready)
        except Exception as error:  # whatever kept it from starting
            raise KernelGone(f"the kernel is dead: {error}") from error
    if kernel.shutting_down:
        raise KernelGone("the kernel was shut down")
