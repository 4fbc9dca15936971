"""What a user may do: asked of Jupyter Server's Authorizer, with the path of each file that it is about.

``Authorizer.is_authorized(handler, user, action, resource)`` is told no path: an Authorizer that decides by path reads
it from the request of the handler, as ``handler.request.path`` or ``handler.path_kwargs``. But the path of a file is in
the URL of few of our requests, and in those under another address than that of Jupyter's own contents API. So about a
file it is shown the handler that this server would give to a request of the same user for the file itself,
``api/contents/<path>``: whatever guards the contents API guards everything that is made of contents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from copy import copy
from posixpath import normpath
from typing import Any, cast
from urllib.parse import quote

from jupyter_core.utils import ensure_async
from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join

__all__ = ["NotAllowedError", "UserRights"]

_METHODS = {"read": "GET", "write": "PUT"}
_AT_ONCE = 100


class NotAllowedError(Exception):
    """A user may not do something; the text says who and what."""


class UserRights:
    """What the user of one request may do. Nothing is asked twice."""

    def __init__(self, handler: JupyterHandler) -> None:
        """Ask for the user of `handler`, who is authenticated."""
        self._handler = handler
        self._answers: dict[tuple[str, str, str | None], bool] = {}

    async def may(self, action: str, resource: str, paths: Iterable[str] = ()) -> bool:
        """Say whether the user may do `action` (``read``, ``write``, ``execute``) with `resource`, and with files.

        The Authorizer is asked about the resource with the request as it came; then, as often as there are `paths`,
        about ``contents`` with the request for that file.
        """
        return await self._ask(action, resource, None) and await self.may_all(action, paths)

    async def may_all(self, action: str, paths: Iterable[str]) -> bool:
        """Say whether the user may ``read`` or ``write`` all of some files and folders, by their API paths."""
        for path in paths:
            if not await self._ask(action, "contents", path):
                return False
        return True

    async def require(self, action: str, *paths: str) -> None:
        """Raise NotAllowedError unless the user may ``read`` or ``write`` all of some files and folders."""
        for path in paths:
            if not await self._ask(action, "contents", path):
                raise NotAllowedError(f"{self._handler.current_user.username} may not {action} {path or 'the root'}")

    async def _ask(self, action: str, resource: str, path: str | None) -> bool:
        authorizer = self._handler.authorizer
        if type(authorizer) is AllowAllAuthorizer:
            return True
        normal = None if path is None else normpath(f"/{path}").strip("/")
        key = action, resource, normal
        if key not in self._answers:
            if len(self._answers) % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)  # what many files are asked for must not keep others waiting
            asking = self._handler if normal is None else self._request_for(normal, action)
            answer = authorizer.is_authorized(asking, self._handler.current_user, action, resource)
            self._answers[key] = bool(await ensure_async(answer))
        return self._answers[key]

    def _request_for(self, path: str, action: str) -> JupyterHandler:
        """Return the handler of a request for a file or folder, which nobody sends and nobody answers."""
        ours, application = self._handler, self._handler.application
        request = copy(ours.request)
        request.method = _METHODS[action]
        request.path = url_path_join(ours.base_url, "api/contents", quote(path, errors="surrogateescape"))
        request.uri, request.query, request.body = request.path, "", b""
        request.arguments, request.query_arguments, request.body_arguments = {}, {}, {}
        request.connection = cast(Any, _Nobody())
        route: Any = application.find_handler(request)
        asking: JupyterHandler = route.handler_class(application, request, **route.handler_kwargs)
        asking.path_args = [_text(value) for value in route.path_args]
        asking.path_kwargs = {name: _text(value) for name, value in route.path_kwargs.items()}
        for name, value in vars(ours).items():  # the user, and what the identity provider knows of them
            vars(asking).setdefault(name, value)
        return asking


class _Nobody:
    """The connection of a request that nobody sends."""

    context = None

    def set_close_callback(self, callback: Any) -> None:
        """Call nobody: it is never closed."""


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")
