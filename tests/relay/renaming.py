"""Tornado as another version may have it: with a private name that it calls otherwise, wherever it uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType

from tornado.websocket import WebSocketHandler, WebSocketProtocol, WebSocketProtocol13

OWNERS = (WebSocketHandler, WebSocketProtocol, WebSocketProtocol13)


def rename(name: str) -> Callable[[], None]:
    """Give a method of Tornado's WebSockets, or an attribute, another name; return what undoes that."""
    new = f"{name}_renamed"
    undo: list[Callable[[], None]] = []
    for owner in OWNERS:
        if name in vars(owner):
            method = vars(owner)[name]
            delattr(owner, name)
            setattr(owner, new, method)
            undo += [lambda owner=owner, method=method: setattr(owner, name, method), lambda o=owner: delattr(o, new)]
    for function in functions():
        code = function.__code__
        if name in code.co_names:
            names = tuple(new if used == name else used for used in code.co_names)
            function.__code__ = code.replace(co_names=names)
            undo.append(lambda function=function, code=code: setattr(function, "__code__", code))
    assert undo, f"nothing is called {name}"
    return lambda: [step() for step in undo] and None


def functions() -> Iterator[FunctionType]:
    """Yield all methods of Tornado's WebSockets."""
    for owner in OWNERS:
        yield from (value for value in vars(owner).values() if isinstance(value, FunctionType))
