"""What kernels say of themselves, asked by a client of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from .json_safe import json_safe
from .service import Changed

_TOLD = ("language_info", "banner", "protocol_version", "supported_features")
_PATIENCE = 60.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0


class Introductions:
    """Asks each kernel what it is (``kernel_info_request``), and again after a restart."""

    def __init__(self, told: Changed) -> None:
        """Call `told` whenever a kernel has answered."""
        self._told = told
        self._answers: dict[str, Any] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def of(self, id: str) -> dict[str, Any] | None:
        """Return what a kernel said; None as long as it has not answered."""
        return self._answers.get(id)

    def ask(self, id: str, kernel: Any) -> None:
        """Ask the kernel with this id, which the kernel manager `kernel` runs."""
        self.forget(id)
        self._asking[id] = asyncio.ensure_future(self._ask(id, kernel))

    def forget(self, id: str) -> None:
        """Ask no longer, and know nothing of the kernel."""
        self._answers.pop(id, None)
        if asking := self._asking.pop(id, None):
            asking.cancel()

    async def _ask(self, id: str, kernel: Any) -> None:
        """Ask until there is an answer, and until the server has noticed that the kernel is there.

        A kernel is `starting` until the server hears it on a channel on which the first words may get lost.
        """
        pause = _FIRST_PAUSE
        while (answer := await self._answer(kernel)) is None or kernel.execution_state == "starting":
            if answer is not None:
                self._heard(id, answer)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._heard(id, answer)

    def _heard(self, id: str, answer: Mapping[str, Any]) -> None:
        told = json_safe({name: answer.get(name) for name in _TOLD})
        if told != self._answers.get(id):
            self._answers[id] = told
            self._told()

    async def _answer(self, kernel: Any) -> Mapping[str, Any] | None:
        """Return what the kernel answers; None if it does not, for it may be busy, or die meanwhile.

        The client has a session of its own: one with the manager's (``kernel.client()``) would take the answers away
        from every other client that has it too.
        """
        client = None
        try:
            await asyncio.wrap_future(kernel.ready) if hasattr(kernel.ready, "add_done_callback") else None
            client = kernel.client_factory(parent=kernel)
            client.load_connection_info(kernel.get_connection_info(session=False))
            client.start_channels(shell=True, iopub=False, stdin=False, hb=False, control=False)  # noqa: S604
            asked = client.kernel_info()
            async with asyncio.timeout(_PATIENCE):
                while True:
                    message = await client.get_shell_msg(timeout=None)
                    if message["parent_header"].get("msg_id") == asked:
                        content: Mapping[str, Any] = message["content"]
                        return content
        except Exception:  # whatever a kernel that is not there, or its provisioner, makes of it
            return None
        finally:
            if client:
                client.stop_channels()
