"""Sessions: which kernel a notebook, a console or a file works with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from posixpath import basename
from typing import Any

from jupyter_server.services.sessions.sessionmanager import SessionManager

from .definition import ActionError, Created, Right, action
from .forms import KERNEL_NAME, PATH, SESSION, fields, text
from .jupyter import managing, starting
from .kernels import Kernels
from .paths import normal
from .shown import Shown
from .turns import Turns

_WRITE = Right("write", "sessions")
_GONE = "there is no such session"
_TYPE = text("notebook, console or file", minLength=1, maxLength=256)
_NAME = text(
    "what the kernel is told to work for; the last part of the path where it is left out", minLength=1, maxLength=4096
)
_KERNEL_ID = text("a running kernel, which is taken whatever kernel_name says")
_NO_KERNEL = "there is no such kernel or kernel spec"


class Sessions:
    """The sessions of the server's session manager, whichever that is at the moment.

    There is one session for each path, and so one kernel, also when several ask for it at the same moment.
    """

    def __init__(self, manager: Callable[[], SessionManager], kernels: Kernels, shown: Shown, turns: Turns) -> None:
        """Act on the sessions of what `manager` returns; `turns` are those of paths, and of sessions and kernels."""
        self._find = manager
        self._kernels = kernels
        self._shown = shown
        self._turns = turns

    @action(
        "POST sessions",
        _WRITE,
        files={"path": "read"},
        body=fields(
            "path",
            "type",
            path={**PATH, "minLength": 1},
            type=_TYPE,
            name=_NAME,
            kernel_name=KERNEL_NAME,
            kernel_id=_KERNEL_ID,
        ),
        answers={200: SESSION, 201: SESSION},
        errors={
            400: _NO_KERNEL,
            501: "no kernel is named, and the server has no default one",
            502: "it does not start",
        },
    )
    async def create(
        self,
        *,
        path: str,
        type: str,
        name: str | None = None,
        kernel_name: str | None = None,
        kernel_id: str | None = None,
    ) -> Created | dict[str, Any]:
        """Begin a session, and start a kernel for it.

        The session that a path has already is the answer (200), whatever else the request says.
        """
        path = _given(path)
        async with self._turns.of("the beginning of a session", f"path {path}"):
            if there := await self._at(path):
                return await self._record(there)
            if kernel_id is not None:
                self._kernels.check(kernel_id, "kernel_id")
            else:
                await self._kernels.check_spec(kernel_name, "kernel_name")
            with starting():
                model = await self._manager.create_session(
                    path=path, name=name or basename(path), type=type, kernel_name=kernel_name, kernel_id=kernel_id
                )
        return Created(await self._record(model), f"sessions/{model['id']}")

    @action(
        "PATCH sessions/{id}",
        _WRITE,
        files={"path": "read"},
        body=fields(
            path={**PATH, "minLength": 1}, type=_TYPE, name=_NAME, kernel_name=KERNEL_NAME, kernel_id=_KERNEL_ID
        ),
        answers={200: SESSION},
        errors={400: _NO_KERNEL, 404: _GONE, 409: "another session has this path", 502: "the kernel does not start"},
    )
    async def update(
        self, id: str, *, kernel_name: str | None = None, kernel_id: str | None = None, **changes: str
    ) -> dict[str, Any]:
        """Change a session: move it to another path, rename it, give it another kernel.

        A kernel that no session has any more is shut down.
        """
        turns = [f"session {id}"]
        if "path" in changes:
            changes["path"] = _given(changes["path"])
            turns.append(f"path {changes['path']}")
        async with self._turns.of("the change of a session", *turns):
            before = await self._get(id)
            if (there := await self._at(changes.get("path", ""))) and there["id"] != id:
                raise ActionError(409, f"{there['path']} has a session already: {there['id']}")
            kernel = await self._kernel_for(before, kernel_name, kernel_id)
            try:
                after = await self._change(id, {**changes, "kernel_id": kernel})
            except ActionError:  # it ended meanwhile
                if kernel != kernel_id:
                    await self._leave(kernel)
                raise
            if before["kernel"]["id"] != kernel:
                await self._leave(before["kernel"]["id"])
        return await self._record(after)

    @action("DELETE sessions/{id}", _WRITE, answers={204: None}, errors={404: _GONE})
    async def delete(self, id: str) -> None:
        """End a session, and shut its kernel down."""
        async with self._turns.of("the end of a session", f"session {id}"):
            kernel = (await self._get(id))["kernel"]["id"]
            async with self._turns.of("the end of a kernel", f"kernel {kernel}"):
                with managing(_GONE):
                    await self._manager.delete_session(id)
        self._shown.hint("sessions", "kernels")

    @property
    def _manager(self) -> Any:
        return self._find()

    async def _get(self, id: str) -> dict[str, Any]:
        with managing(_GONE):
            model: dict[str, Any] = await self._manager.get_session(session_id=id)
        return model

    async def _at(self, path: str) -> dict[str, Any] | None:
        """Return the session of a path, if it has one whose kernel is still there."""
        if not path or not await self._manager.session_exists(path):
            return None
        model: dict[str, Any] = await self._manager.get_session(path=path)
        return model

    async def _kernel_for(self, session: dict[str, Any], name: str | None, id: str | None) -> str:
        """Return the kernel that a session shall have: `id`, or a new one called `name`, or else its own."""
        if id is not None:
            self._kernels.check(id, "kernel_id")
            return id
        if name is None:
            return str(session["kernel"]["id"])
        about = {field: session[field] for field in ("path", "name", "type")}
        await self._kernels.check_spec(name, "kernel_name")
        with starting():
            started: str = await self._manager.start_kernel_for_session(session["id"], kernel_name=name, **about)
        return started

    async def _change(self, id: str, changes: dict[str, str]) -> dict[str, Any]:
        with managing(_GONE):
            await self._manager.update_session(id, **changes)
        return await self._get(id)

    async def _leave(self, kernel: str) -> None:
        """Shut a kernel down, if no session has it."""
        if all(session["kernel"]["id"] != kernel for session in await self._manager.list_sessions()):
            with suppress(ActionError):
                await self._kernels.delete(kernel)

    async def _record(self, model: dict[str, Any]) -> dict[str, Any]:
        self._shown.hint("kernels")
        known = {field: model[field] for field in ("path", "name", "type")}
        return await self._shown.record("sessions", model["id"], {**known, "kernel_id": model["kernel"]["id"]})


def _given(path: str) -> str:
    if path := normal(path, "path"):
        return path
    raise ActionError(400, "must name something", "path")
