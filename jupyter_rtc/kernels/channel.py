"""The one channel to a kernel, shared by everybody here who uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, NamedTuple

from jupyter_client.manager import KernelManager
from traitlets.log import get_logger

from .link import Buffers, Connect, Link, Machine
from .lives import started
from .message import KernelGone, Message, Unreachable
from .request import Request

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_LONGEST_SEARCH = 30.0
_MOST_BUSY = 100


class Life(Enum):
    """What happens to the connection to a kernel, and to the kernel."""

    CONNECTED = "connected"
    """A process of the kernel is heard: the first, or one after a restart."""
    LOST = "lost"
    """The connection was lost, and is sought again."""
    BACK = "back"
    """The connection is there again."""
    ENDED = "ended"
    """The process of the kernel died, or was told to end. There may be another."""


class Told(NamedTuple):
    """Whom a hold tells what: `heard` every message on iopub, whoever asked; `changed` what happens, and why."""

    heard: Callable[[Message], object] = lambda message: None
    changed: Callable[[Life, str], object] = lambda life, why: None


class KernelChannel:
    """The shell, iopub, stdin and control of a kernel, as long as somebody holds it.

    Each process of the kernel has a link of its own, which is made when it is first needed. When the process ends, so
    do the requests that were sent to it. Whoever listens has the next process linked to as soon as it is there.

    Attributes:
        state: what the kernel says on iopub that it is (idle, busy, starting); `unknown` while it is not listened to.
        incarnation: how many processes of the kernel have ended since this channel was opened.
    """

    def __init__(self, kernel: KernelManager, connect: Connect, machine: Machine) -> None:
        """Make a channel to the kernel of a manager, with links that `connect` makes; nothing is connected yet."""
        self.kernel = kernel
        self.state = "unknown"
        self.incarnation = 0
        self._connect = connect
        self._machine = machine
        self._link: Link | None = None
        self._linking = asyncio.Lock()
        self._tuned: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._holds: dict[object, tuple[bool, Told]] = {}
        self._requests: dict[str, tuple[object, Request]] = {}
        self._busy: set[str] = set()
        self._ending = ""
        self._dead = self._closed = False

    # ------------------------------------------------------------------ those who hold it

    def held(self, holder: object, listening: bool, told: Told) -> None:
        """Take note of somebody who uses the channel; who is `listening` needs iopub."""
        self._holds[holder] = listening, told
        if listening:
            self._keep_listening()

    def let_go(self, holder: object) -> bool:
        """Forget somebody; return whether that was the last."""
        self._holds.pop(holder, None)
        for owner, request in list(self._requests.values()):
            if owner is holder:
                request.close()
        if self._link and self._tuned and not self._is_listening:
            self._link.listen(False)
            self._forget_state()
            self._stop_tuning(KernelGone("nobody listens to the kernel any more"))
        if not self._holds:
            self.close()
        return not self._holds

    def close(self) -> None:
        """Let go of the kernel; requests that are under way end."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        self._drop(KernelGone("the connection to the kernel was closed before it answered"))

    # ------------------------------------------------------------------ requests

    async def request(
        self, holder: object, kind: str, content: Mapping[str, Any], on: str, buffers: Buffers = ()
    ) -> Request:
        """Send a message on shell or control; for who listens, when it is sure that what comes of it is heard.

        Raises:
            KernelGone: the kernel does not start, or ends before the message is sent.
            Unreachable: it cannot be sent for now.
            NoChannel: there is no way to kernels of this kind.
        """
        listening = self._is_listening_for(holder)
        link = await self._linked()
        if listening and self._tuned:
            await asyncio.shield(self._tuned)
        if link is not self._link:
            raise KernelGone("the kernel ended before it was asked")
        message = link.message(kind, content, None)
        request = self._expect(holder, link, message, on)
        await self._send(request, link, message, buffers)
        return request

    def waiting(self, holder: object) -> int:
        """Return how many requests of somebody are not replied to."""
        return sum(owner is holder and not request.is_answered for owner, request in self._requests.values())

    def _expect(self, holder: object, link: Link, message: Mapping[str, Any], on: str) -> Request:
        async def answer(asked: Message, value: str) -> None:
            reply = link.message("input_reply", {"status": "ok", "value": value}, asked.header)
            await link.send("stdin", reply, ())

        heard = holder is None or self._is_listening_for(holder)
        request = Request(message["header"], on, heard, answer, lambda id: self._requests.pop(id, None))
        self._requests[request.id] = holder, request
        return request

    async def _send(self, request: Request, link: Link, message: Mapping[str, Any], buffers: Buffers = ()) -> None:
        try:
            await link.send(request.channel, message, buffers)
        except BaseException:
            self._requests.pop(request.id, None)
            raise

    async def _inquire(self, link: Link, on: str) -> Request:
        """Ask the kernel something for ourselves."""
        message = link.message("kernel_info_request", {}, None)
        request = self._expect(None, link, message, on)
        await self._send(request, link, message)
        return request

    # ------------------------------------------------------------------ the link

    def _is_listening_for(self, holder: object) -> bool:
        return self._holds.get(holder, (False,))[0]

    @property
    def _is_listening(self) -> bool:
        return any(listening for listening, _ in self._holds.values())

    async def _linked(self) -> Link:
        """Return the link to the process of this moment; it is made if there is none.

        Raises what `request` does.
        """
        async with self._linking:
            if self._link:
                return self._link
            await started(self.kernel)
            if self._dead or self._closed:
                raise KernelGone("the kernel is dead" if self._dead else "the connection to the kernel was closed")
            link = self._connect(self)
            try:
                await link.open()
                if self._closed:
                    raise KernelGone("the connection to the kernel was closed")
            except BaseException:
                link.close()
                raise
            self._link, self._ending = link, ""
            self.kernel.add_restart_callback(self._given_up, "dead")
            if self._is_listening:
                self._tune(link)
            return link

    def _given_up(self) -> None:
        """The manager has restarted a kernel that died too often: not in its own turn."""
        asyncio.get_running_loop().call_soon(self._die)

    def _die(self) -> None:
        self._dead = True
        self._drop(KernelGone("the kernel is dead"))
        self._tell(Life.ENDED, "died, and cannot be restarted")

    def _drop(self, error: KernelGone) -> None:
        """Let go of the link, and end what was sent over it."""
        link, self._link = self._link, None
        if link:
            self.kernel.remove_restart_callback(self._given_up, "dead")
            link.close()
        self._forget_state()
        self._stop_tuning(error)
        requests, self._requests = self._requests, {}
        for _, request in requests.values():
            request.end(error)

    # ------------------------------------------------------------------ listening

    def _keep_listening(self) -> None:
        """See to it that iopub of the present process is heard, or of the next one."""
        if self._link and not self._tuned:
            self._tune(self._link)
        elif not self._link:
            self._spawn(self._link_again())

    async def _link_again(self) -> None:
        pauses = self._machine.pauses(_FIRST_PAUSE, _LONGEST_SEARCH)
        while self._is_listening:
            try:
                await self._linked()
                return
            except Unreachable:
                await asyncio.sleep(pauses.next())
            except Exception as error:  # it is shut down, it does not start, there is no way to it: who asks is told
                get_logger().debug("there is no listening to a kernel: %s", error)
                return

    def _tune(self, link: Link) -> None:
        self._tuned = asyncio.get_running_loop().create_future()
        self._tuned.add_done_callback(lambda tuned: tuned.cancelled() or tuned.exception())
        link.listen(True)
        self._spawn(self._nudge(link, self._tuned))

    async def _nudge(self, link: Link, tuned: asyncio.Future[None]) -> None:
        """Have the kernel say something on iopub until it is heard.

        A subscription takes effect when the kernel knows of it; what it says before, nobody hears. Recent ones greet
        a subscriber. The others are asked something, on control, where also a busy kernel hears it, and on shell, for
        some hear nothing else; never a second time before the first is answered.
        """
        pauses = self._machine.pauses(_FIRST_PAUSE, _LONGEST_PAUSE)
        asked: dict[str, Request] = {}
        while not tuned.done():
            for on in ("control", "shell"):
                if on not in asked or asked[on].reply.done():
                    with suppress(Unreachable):  # a gateway that is sought
                        asked[on] = await self._inquire(link, on)
                        asked[on].close()
            told: list[asyncio.Future[Any]] = [tuned, *(request.reply for request in asked.values())]
            if asked:
                await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([tuned], timeout=pauses.next())

    def _stop_tuning(self, error: KernelGone) -> None:
        tuned, self._tuned = self._tuned, None
        if tuned and not tuned.done():
            tuned.set_exception(error)

    def _spawn(self, work: Any) -> None:
        task = self._machine.spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------------ Receiver

    def take(self, message: Message) -> None:
        """Hand a message to whoever asked, and what is on iopub to whoever listens."""
        try:
            if message.channel == "iopub":
                self._hear(message)
            _, request = self._requests.get(message.parent_id, (None, None))
            if request:
                request.take(message)
        except (ValueError, RecursionError) as error:  # its content is malformed
            get_logger().debug("a message of a kernel is passed over: %s", error)

    def _hear(self, message: Message) -> None:
        if self._tuned and not self._tuned.done():
            self._tuned.set_result(None)
            self._tell(Life.CONNECTED, "")
        if message.kind == "status":
            self._note(str(message.content.get("execution_state")), message.parent_id)
        elif message.kind == "shutdown_reply":
            self._ending = "was restarted" if message.content.get("restart") else "was shut down"
        for _, told in list(self._holds.values()):
            _call(told.heard, message)

    def _note(self, state: str, parent: str) -> None:
        """Take note of a state: what is answered on control, beside an execution, does not make the kernel idle."""
        if state == "busy" and len(self._busy) < _MOST_BUSY:
            self._busy.add(parent)
        elif state == "idle":
            self._busy.discard(parent)
        self.state = "busy" if self._busy and state == "idle" else state

    def ended(self, how: str) -> None:
        """End what the process was asked; link to the next one, where somebody listens."""
        how = self._ending or how
        self.incarnation += 1
        self._drop(KernelGone(f"the kernel {how} before it answered"))
        self._tell(Life.ENDED, how)
        if self._is_listening and not self._closed:
            self._keep_listening()

    def _forget_state(self) -> None:
        self.state = "unknown"
        self._busy.clear()

    def lost(self, why: str) -> None:
        """Say that the connection was lost."""
        self._tell(Life.LOST, why)

    def back(self) -> None:
        """Find out what was lost with the connection."""
        self._tell(Life.BACK, "")
        if self._link:
            for on in ("shell", "control"):
                if before := [one for _, one in self._requests.values() if one.channel == on and not one.is_done]:
                    self._spawn(self._ask_after(self._link, before, on))

    async def _ask_after(self, link: Link, before: list[Request], on: str) -> None:
        """End those requests whose replies were lost: the kernel answers in order, and answers this one after them."""
        with suppress(KernelGone, Unreachable):  # it is lost again, or has ended
            last = await self._inquire(link, on)
            while await last.more():
                pass
            last.close()
            for request in before:
                if not request.is_done:
                    request.end(Unreachable("the connection to the gateway was lost, and the kernel's answer with it"))

    def _tell(self, life: Life, why: str) -> None:
        for _, told in list(self._holds.values()):
            _call(told.changed, life, why)


def _call(callback: Callable[..., object], *arguments: object) -> None:
    """Tell somebody something: what goes wrong there concerns nobody else."""
    try:
        callback(*arguments)
    except Exception as error:  # whatever it is, it is in the log
        get_logger().error("a callback of a kernel's channel: %s", error, exc_info=error)
