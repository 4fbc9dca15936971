"""What an action is: declared once, beside the code that carries it out.

From the declaration come the route, the check of a request's body, the question to the authorizer, and the OpenAPI
document::

    class Terminals:
        @action("DELETE terminals/{name}", WRITE_TERMINALS, answers={204: None}, errors={404: "there is no such one"})
        async def delete(self, name: str) -> None:
            '''End a terminal.'''

The parts of the path come as positional arguments, the fields of the body as keyword arguments.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import cleandoc
from types import MappingProxyType
from typing import Any, TypeVar

Schema = Mapping[str, Any]
_Method = TypeVar("_Method", bound=Callable[..., Awaitable[Any]])
_MARK = "_action"


class ActionError(Exception):
    """An action is refused, or failed.

    Attributes:
        status: an HTTP status for it.
        field: of a request that is wrong, what in it: a field of the body, or a part of the path; else empty.
        retry_after: when to try again, as the HTTP header of this name has it; empty where nobody knows.
    """

    def __init__(self, status: int, reason: str, field: str = "", retry_after: str = "") -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.status = status
        self.field = field
        self.retry_after = retry_after


@dataclass(frozen=True)
class Right:
    """What the authorizer is asked for: an action, and a resource of Jupyter Server.

    An empty resource stands for the one that the owner of the action names: `resource(*parts of the path)`.
    """

    action: str
    resource: str


@dataclass(frozen=True)
class Created:
    """The answer to an action that made something: its record, and its path below ``api/rtc``."""

    record: Any
    location: str


@dataclass(frozen=True)
class Action:
    """The declaration of an action.

    Attributes:
        name: unique; the name of its class and its method, such as ``kernels_restart``.
        method: the HTTP method.
        path: below ``api/rtc``; its parts in braces are what the action is about.
        right: what the user must be allowed.
        files: the parts of the path and the fields of the body that are API paths of files and folders, each with what
            the user must be allowed there: ``read`` or ``write``.
        body: the JSON Schema of the body, an object; None where there is none.
        answers: the JSON Schema of the answer for each status of success; None for no content.
        errors: for each status of failure, when it comes.
        summary, description: what it does, in a line and in full.
        call: the name of the method.
    """

    name: str
    method: str
    path: str
    right: Right
    files: Mapping[str, str]
    body: Schema | None
    answers: Mapping[int, Schema | None]
    errors: Mapping[int, str]
    summary: str
    description: str
    call: str = field(repr=False)

    @property
    def needs(self) -> str:
        """What the user must be allowed, in words."""
        files = [f"{action} the file or folder `{name}`" for name, action in self.files.items()]
        return "; ".join([f"{self.right.action} {self.right.resource or 'what the table shows'}", *files])

    @property
    def parameters(self) -> list[str]:
        """The parts of the path that are in braces, in order."""
        return re.findall(r"{(\w+)}", self.path)


def action(
    route: str,
    right: Right,
    *,
    files: Mapping[str, str] = MappingProxyType({}),
    body: Schema | None = None,
    answers: Mapping[int, Schema | None],
    errors: Mapping[int, str],
) -> Callable[[_Method], _Method]:
    """Declare the decorated method as an action; its docstring says what it does.

    `route` is the method and the path; the rest is that of `Action`.
    """

    def mark(method: _Method) -> _Method:
        verb, path = route.split(" ")
        summary, _, description = cleandoc(method.__doc__ or "").partition("\n\n")
        owner = method.__qualname__.partition(".")[0].lower()
        name = f"{owner}_{method.__name__}"
        told = summary, description.replace("\n", " "), method.__name__
        declared = Action(name, verb, path, right, files, body, answers, errors, *told)
        setattr(method, _MARK, declared)
        return method

    return mark


def declared(owner: type) -> Iterator[Action]:
    """Yield the actions that a class declares, in the order of its source."""
    for value in vars(owner).values():
        if isinstance(found := getattr(value, _MARK, None), Action):
            yield found
