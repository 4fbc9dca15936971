"""The routes of the actions. Tornado in, one method call, out."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from jupyter_client.jsonutil import json_default
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_escape, url_path_join
from tornado.web import HTTPError, authenticated

from ...relay import NotAllowedError, UserRights
from ..patience import Patience
from .definition import Action, ActionError, Created, declared
from .turns import Turns
from .validation import fields

_LARGEST = 1 << 20  # bytes of a body


class _Bound(NamedTuple):
    """An action, and the object that carries it out."""

    action: Action
    owner: Any


def routes(
    owners: Iterable[Any], turns: Turns, patience: Patience
) -> list[tuple[str, type[APIHandler], dict[str, Any]]]:
    """Return the routes of all actions that the classes of `owners` declare, who take `turns`."""
    found: dict[str, dict[str, _Bound]] = {}
    for owner in owners:
        for action in declared(type(owner)):
            found.setdefault(action.path, {})[action.method] = _Bound(action, owner)
    shared = {"turns": turns, "patience": patience}
    return [(_pattern(path), ActionHandler, {"actions": actions, **shared}) for path, actions in found.items()]


def _pattern(path: str) -> str:
    """Return the regular expression of a route; only an API path may have slashes, or be empty."""
    return "/api/rtc/" + re.sub(r"{\w+}", "([^/]+)", path.replace("/{path}", "(?:/(.*))?"))


class _Refused(HTTPError):
    """An action was refused; `answer` says why in the form of Jupyter's own API, and which field is wrong."""

    def __init__(self, error: ActionError) -> None:
        super().__init__(error.status)
        self.retry_after = error.retry_after
        self.answer = {"message": str(error), "reason": None, **({"field": error.field} if error.field else {})}


class ActionHandler(APIHandler):
    """The actions of one route, by their HTTP methods."""

    def initialize(self, actions: Mapping[str, _Bound], turns: Turns, patience: Patience) -> None:
        """Take the actions."""
        self.actions = actions
        self._turns = turns
        self._task: asyncio.Task[Any] | None = None
        self._patience = patience
        self._limit: asyncio.Timeout | None = None
        self.rights = UserRights(self)

    @authenticated
    async def post(self, *parts: str | None) -> None:
        """Carry out the action."""
        self._task = asyncio.current_task()
        try:
            async with asyncio.timeout(None) as limit:
                self._limit = limit
                answer = await self._act([part or "" for part in parts])
        except TimeoutError:
            if not limit.expired():
                raise
            raise HTTPError(504, "the client has gone, and nothing came of it in time") from None
        self._answer(answer)

    get = put = patch = delete = post

    def on_connection_close(self) -> None:
        """Give up what nobody waits for: at once while it waits for its turn, in a moment while it has it.

        A manager may never answer, and others want their turn.
        """
        super().on_connection_close()
        if self._task:
            self._turns.abandon(self._task)
        if self._limit and not self._limit.expired():
            with suppress(RuntimeError):  # it is through
                self._limit.reschedule(asyncio.get_running_loop().time() + self._patience.abandoned)

    async def _act(self, found: list[str]) -> Any:
        action, owner = self._bound()
        try:
            await self._authorize(action.right.action, action.right.resource or owner.resource(*found))
            given = fields(self.request.body, action.body, _LARGEST)
            for name, value in (*zip(action.parameters, found, strict=True), *given.items()):
                if name in action.files:
                    await self.rights.require(action.files[name], value)
            return await getattr(owner, action.call)(*found, **given)
        except NotAllowedError as error:
            raise HTTPError(403, str(error)) from None
        except ActionError as error:
            raise _Refused(error) from error.__cause__

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the error, in JSON."""
        if status_code == 405:
            self.set_header("Allow", ", ".join(sorted(self.actions)))
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, _Refused):
            if error.retry_after:
                self.set_header("Retry-After", error.retry_after)
            self.finish(json.dumps(error.answer))
        else:
            super().write_error(status_code, **kwargs)

    def compute_etag(self) -> None:
        """Leave out what would be computed from the whole answer on the event loop."""

    def _bound(self) -> _Bound:
        assert self.request.method is not None
        if self.request.method not in self.actions:
            raise HTTPError(405)
        return self.actions[self.request.method]

    async def _authorize(self, action: str, resource: str) -> None:
        if not await self.rights.may(action, resource):
            raise HTTPError(403, f"{self.current_user.username} may not {action} {resource}")

    def _answer(self, answer: Any) -> None:
        if answer is None:
            self.set_status(204)
            self.finish()
            return
        if isinstance(answer, Created):
            self.set_status(201)
            self.set_header("Location", url_path_join(self.base_url, "api/rtc", url_escape(answer.location)))
            answer = answer.record
        self.finish(json.dumps(answer, default=json_default))
