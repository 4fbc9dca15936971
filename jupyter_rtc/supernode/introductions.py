"""What kernels say of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from traitlets.log import get_logger

from ..kernels import Channels, is_remote
from ..machine import Backoff, Tasks
from ..wire import json_safe
from .service import Changed

_TOLD = ("language_info", "banner", "protocol_version", "supported_features")
_PATIENCE = 60.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0


class Introductions:
    """Asks each kernel what it is (``kernel_info_request``), and again after a restart."""

    def __init__(self, channels: Channels, told: Changed) -> None:
        """Ask over `channels`; call `told` whenever a kernel has answered."""
        self._channels = channels
        self._told = told
        self._answers: dict[str, Any] = {}
        self._tasks = Tasks(get_logger(), "introductions")
        self._asking: dict[str, asyncio.Task[None]] = {}

    def of(self, id: str) -> dict[str, Any] | None:
        """Return what a kernel said; None as long as it has not answered."""
        return self._answers.get(id)

    def ask(self, id: str, kernel: Any) -> None:
        """Ask the kernel with this id, which the kernel manager `kernel` runs."""
        self.forget(id)
        self._asking[id] = self._tasks.spawn(self._ask(id, kernel))

    def forget(self, id: str) -> None:
        """Ask no longer, and know nothing of the kernel."""
        self._answers.pop(id, None)
        if asking := self._asking.pop(id, None):
            asking.cancel()

    async def _ask(self, id: str, kernel: Any) -> None:
        """Ask until there is an answer, and until the server has noticed that the kernel is there.

        A kernel is `starting` until the server hears it on a channel on which the first words may get lost; one of a
        gateway, until the gateway is asked again.
        """
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while (reply := await self._answer(id, kernel)) is None or self._is_unnoticed(kernel):
            if reply is not None:
                self._heard(id, reply)
            await asyncio.sleep(backoff.next())
        self._heard(id, reply)

    def _is_unnoticed(self, kernel: Any) -> bool:
        return not is_remote(kernel) and kernel.execution_state == "starting"

    def _heard(self, id: str, reply: Mapping[str, Any]) -> None:
        told = json_safe({name: reply.get(name) for name in _TOLD})
        if told != self._answers.get(id):
            self._answers[id] = told
            self._told()

    async def _answer(self, id: str, kernel: Any) -> Mapping[str, Any] | None:
        """Return what the kernel answers; None if it does not, for it may be busy, or die meanwhile."""
        try:
            async with asyncio.timeout(_PATIENCE):
                with self._channels.hold(id, kernel) as hold:
                    return await hold.ask("kernel_info_request", {})
        except Exception:  # whatever a kernel that is not there, its provisioner, or its gateway makes of it
            return None
