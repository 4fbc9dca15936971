"""Questions to a kernel: complete, inspect, is_complete, history, comm_info."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_client.jsonutil import json_clean
from jupyter_client.manager import KernelManager
from jupyter_server.services.kernels.kernelmanager import MappingKernelManager
from traitlets import Float, Integer
from traitlets.config import LoggingConfigurable

from ...kernels import Channels, Hold, KernelGone, Life, NoChannel, Told, Unreachable
from .definition import ActionError, Right, Schema, action
from .forms import OBJECT, fields, flag, reply, text, whole

# As the kernel's WebSocket, over which these messages go in Jupyter Server.
_EXECUTE = Right("execute", "kernels")
_ERRORS = {
    403: "`MappingKernelManager.allowed_message_types` leaves out this question",
    404: "there is no such kernel",
    409: "the kernel is dead; or it died, was restarted or was shut down before it answered",
    429: "too many questions wait for this kernel's answer",
    501: "the questions of this kind of kernel cannot be asked from here",
    502: "the gateway that has the kernel cannot be reached",
    504: "the kernel did not answer in time: it is busy, or cannot answer this",
}
_CODE = {"type": "string", "description": "the code"}
_CURSOR = whole("where in the code, in characters; its end where it is left out", 0)
_TIMEOUT: Schema = {
    "type": "number",
    "minimum": 0.01,
    "description": "seconds to wait for the answer, no longer than `Questions.time_limit`",
}
_TEXTS: Schema = {"type": "array", "items": {"type": "string"}}
_HISTORY = {
    "range": ("session", "start", "stop"),
    "tail": ("n",),
    "search": ("pattern", "n", "unique"),
}


class Questions(LoggingConfigurable):
    """Asks kernels, over the channel to each.

    A busy kernel answers when it has done what it does. What it is asked meanwhile waits in the kernel, also after
    nobody waits for the answer any more.
    """

    time_limit = Float(10.0, min=0.01, help="Seconds in which a kernel must answer a question.").tag(config=True)

    idle_time = Float(
        60.0, min=0.0, help="Seconds after the last question before a kernel's connection is closed."
    ).tag(config=True)

    max_waiting = Integer(
        50, min=1, help="How many questions may wait for the answer of one kernel; more are refused with 429."
    ).tag(config=True)

    def __init__(self, manager: Callable[[], MappingKernelManager], channels: Channels, **kwargs: Any) -> None:
        """Ask the kernels of what `manager` returns, over `channels`."""
        super().__init__(**kwargs)
        self._find = manager
        self._channels = channels
        self._connected: dict[str, _Connected] = {}

    @action(
        "POST kernels/{id}/complete",
        _EXECUTE,
        body=fields("code", code=_CODE, cursor_pos=_CURSOR, timeout=_TIMEOUT),
        answers={
            200: reply(
                matches=_TEXTS, cursor_start={"type": "integer"}, cursor_end={"type": "integer"}, metadata=OBJECT
            )
        },
        errors=_ERRORS,
    )
    async def complete(
        self, id: str, *, code: str, cursor_pos: int | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Ask how code may go on."""
        content = {"code": code, "cursor_pos": _cursor(code, cursor_pos)}
        return await self._ask(id, "complete_request", content, timeout)

    @action(
        "POST kernels/{id}/inspect",
        _EXECUTE,
        body=fields(
            "code",
            code=_CODE,
            cursor_pos=_CURSOR,
            detail_level=whole("1 for more", 0, 1, default=0),
            timeout=_TIMEOUT,
        ),
        answers={200: reply(found={"type": "boolean"}, data=OBJECT, metadata=OBJECT)},
        errors=_ERRORS,
    )
    async def inspect(
        self,
        id: str,
        *,
        code: str,
        cursor_pos: int | None = None,
        detail_level: int = 0,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Ask what is known of the name at the cursor."""
        content = {"code": code, "cursor_pos": _cursor(code, cursor_pos), "detail_level": detail_level}
        return await self._ask(id, "inspect_request", content, timeout)

    @action(
        "POST kernels/{id}/is_complete",
        _EXECUTE,
        body=fields("code", code=_CODE, timeout=_TIMEOUT),
        answers={
            200: {
                "type": "object",
                "required": ["status"],
                "properties": {
                    "status": {"type": "string", "description": "complete, incomplete, invalid or unknown"},
                    "indent": {"type": "string"},
                },
            }
        },
        errors=_ERRORS,
    )
    async def is_complete(self, id: str, *, code: str, timeout: float | None = None) -> dict[str, Any]:
        """Ask whether code can be run as it stands, or goes on in another line."""
        return await self._ask(id, "is_complete_request", {"code": code}, timeout)

    @action(
        "POST kernels/{id}/history",
        _EXECUTE,
        body=fields(
            "hist_access_type",
            hist_access_type={"enum": list(_HISTORY)},
            output=flag("with the outputs", default=False),
            raw=flag("as it was typed, not as it was transformed", default=True),
            session=whole("range: of which session; 0 is this one, negative ones count back", default=0),
            start=whole("range: the first line", default=1),
            stop=whole("range: the line after the last; to the end where it is left out"),
            n=whole("tail, search: how many lines at most", 0, 10_000, default=10),
            pattern=text("search: what the lines are like, with * and ?", default="*"),
            unique=flag("search: each line once", default=False),
            timeout=_TIMEOUT,
        ),
        answers={200: reply(history={"type": "array", "items": {"type": "array"}})},
        errors=_ERRORS,
    )
    async def history(
        self, id: str, *, hist_access_type: str, timeout: float | None = None, **options: Any
    ) -> dict[str, Any]:
        """Ask for what was run before.

        Each line is `[session, line number, input]`, or `[session, line number, [input, output]]`.
        """
        for field in sorted(options.keys() - {"output", "raw", *_HISTORY[hist_access_type]}):
            raise ActionError(400, f"does not go with the access type {hist_access_type}", field)
        defaults = {"session": 0, "start": 1, "stop": None, "n": 10, "pattern": "*", "unique": False}
        content = {"output": False, "raw": True, "hist_access_type": hist_access_type}
        content |= {field: defaults[field] for field in _HISTORY[hist_access_type]} | options
        return await self._ask(id, "history_request", content, timeout)

    @action(
        "POST kernels/{id}/comm_info",
        _EXECUTE,
        body=fields(target_name=text("only the comms of this target"), timeout=_TIMEOUT),
        answers={200: reply(comms=OBJECT)},
        errors=_ERRORS,
    )
    async def comm_info(
        self, id: str, *, target_name: str | None = None, timeout: float | None = None
    ) -> dict[str, Any]:
        """Ask which comms are open: by comm id, `{"target_name": ...}`."""
        content = {} if target_name is None else {"target_name": target_name}
        return await self._ask(id, "comm_info_request", content, timeout)

    def close(self) -> None:
        """Let go of all kernels."""
        for connected in self._connected.values():
            connected.close()
        self._connected = {}

    async def _ask(self, id: str, kind: str, content: dict[str, Any], timeout: float | None) -> dict[str, Any]:
        kernel = self._kernel(id, kind)
        limit = min(timeout or self.time_limit, self.time_limit)
        try:
            async with asyncio.timeout(limit):
                with self._hold(id, kernel) as hold:
                    cleaned: dict[str, Any] = json_clean(await hold.ask(kind, content))
                    return cleaned
        except TimeoutError:
            state = getattr(kernel, "execution_state", None) or "busy"
            raise ActionError(504, f"the kernel did not answer within {limit:g} s; its state is {state}") from None
        except KernelGone as error:
            raise ActionError(409, str(error)) from None
        except NoChannel as error:
            raise ActionError(501, str(error)) from None
        except Unreachable as error:
            raise ActionError(502, str(error)) from error

    def _kernel(self, id: str, kind: str) -> KernelManager:
        manager = self._find()
        if id not in manager:
            raise ActionError(404, f"there is no kernel {id!r}")
        if (allowed := manager.allowed_message_types) and kind not in allowed:
            raise ActionError(403, f"MappingKernelManager.allowed_message_types does not allow {kind}")
        kernel = manager.get_kernel(id)
        if getattr(kernel, "execution_state", "") == "dead":
            raise ActionError(409, "the kernel is dead")
        return kernel

    @contextmanager
    def _hold(self, id: str, kernel: KernelManager) -> Iterator[Hold]:
        """Give the hold on a kernel, which is closed when nobody has asked for it for a while, or the kernel ends."""
        connected = self._connected.get(id)
        if connected is None or connected.is_closed:
            connected = self._connected[id] = _Connected(self._channels, id, kernel, lambda: self._let_go(id))
        if connected.hold.waiting >= self.max_waiting:
            raise ActionError(429, f"{connected.hold.waiting} questions wait for this kernel's answer already")
        connected.begin()
        try:
            yield connected.hold
        finally:
            connected.end(self.idle_time)

    def _let_go(self, id: str) -> None:
        if connected := self._connected.pop(id, None):
            connected.close()


class _Connected:
    """A hold on a kernel, and the timer that closes it."""

    def __init__(self, channels: Channels, id: str, kernel: KernelManager, over: Callable[[], object]) -> None:
        """Hold a kernel; `over` is called when the kernel ends, and when nobody has asked for it for a while."""
        self.is_closed = False
        self._over = over
        self._asking = 0
        self._timer: asyncio.TimerHandle | None = None
        self.hold = channels.hold(id, kernel, told=Told(changed=self._changed))

    def begin(self) -> None:
        """Somebody asks."""
        self._asking += 1
        self._stop_timer()

    def end(self, idle_time: float) -> None:
        """Somebody has an answer, or waits no more: close the hold so many seconds after the last of them."""
        self._asking -= 1
        if not self._asking and not self.is_closed:
            self._timer = asyncio.get_running_loop().call_later(idle_time, self._over)

    def close(self) -> None:
        """Let go of the kernel."""
        self.is_closed = True
        self._stop_timer()
        self.hold.close()

    def _changed(self, life: Life, why: str) -> None:
        if life is Life.ENDED:
            self._over()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _cursor(code: str, position: int | None) -> int:
    if position is None:
        return len(code)
    if position > len(code):
        raise ActionError(400, f"is beyond the code, which has {len(code)} characters", "cursor_pos")
    return position
