"""Hooks into other people's objects: methods that tell nobody what they did, and traits.

They are called in the middle of Jupyter's own work, such as the start of a kernel. Whatever goes wrong in a hook is in
the log, and nowhere else.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import wraps
from typing import Any, TypeAlias

from traitlets import HasTraits
from traitlets.log import get_logger

from ..machine import logged

After: TypeAlias = Callable[[bool], object]
"""Called when a method is through, with whether it succeeded."""


class Wraps:
    """Methods of objects that were wrapped, each on one instance, and how to undo it.

    Who wraps the same method before or after us is left as they are: where ours is not the outermost any more, it
    stays and does nothing.
    """

    def __init__(self) -> None:
        """Wrap nothing yet."""
        self._undo: list[Callable[[], None]] = []

    def after(self, owner: Any, name: str, then: After, before: Callable[[], object] | None = None) -> None:
        """Call `then` whenever the method `name` of `owner` is through, and `before` when it is called.

        A method that the object has not is passed over.
        """
        inner = getattr(owner, name, None)
        if inner is None:
            return
        had = name in vars(owner)
        alive = True

        @wraps(inner)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if not alive:
                return inner(*args, **kwargs)
            if before:
                _hook(name, before)
            return _followed(lambda: inner(*args, **kwargs), lambda done: _hook(name, then, done))

        def undo() -> None:
            nonlocal alive
            alive = False
            if vars(owner).get(name) is not wrapped:
                return
            if had:
                setattr(owner, name, inner)
            else:
                delattr(owner, name)

        setattr(owner, name, wrapped)
        self._undo.append(undo)

    def observe(self, owner: Any, names: Collection[str], changed: Callable[[Any], object]) -> None:
        """Call `changed` with each change of the traits of `owner` that have these names, as far as it has them."""
        known = [name for name in names if isinstance(owner, HasTraits) and owner.has_trait(name)]

        def observed(change: Any) -> None:
            _hook(change["name"], changed, change)

        if known:
            owner.observe(observed, known)
            self._undo.append(lambda: owner.unobserve(observed, known))

    def undo(self) -> None:
        """Leave every object as it was found."""
        while self._undo:
            self._undo.pop()()


class Hooks:
    """Hooks into methods of a part of the server, which go over to whatever takes the place of that part."""

    def __init__(self, owner: Callable[[], Any], then: Mapping[str, After]) -> None:
        """Hook nothing yet; `owner` returns the part of this moment, None for none, and `then` is by method."""
        self._owner = owner
        self._then = then
        self._hooked: Any = None
        self._wraps = Wraps()

    def follow(self) -> None:
        """Hook into the part that is there now, if that was not done yet."""
        owner = self._owner()
        if owner is self._hooked:
            return
        self.undo()
        self._hooked = owner
        for name, then in self._then.items():
            self._wraps.after(owner, name, then)

    def undo(self) -> None:
        """Leave the part as it was found."""
        self._wraps.undo()
        self._hooked = None


def _followed(call: Callable[[], Any], then: After) -> Any:
    try:
        result = call()
    except BaseException:
        then(False)
        raise
    if inspect.iscoroutine(result):
        return _awaited(result, then)
    if isinstance(result, asyncio.Future):
        result.add_done_callback(lambda done: then(not done.cancelled() and done.exception() is None))
    else:
        then(True)
    return result


async def _awaited(result: Awaitable[Any], then: After) -> Any:
    try:
        answer = await result
    except BaseException:
        then(False)
        raise
    then(True)
    return answer


def _hook(name: str, hook: Callable[..., object], *arguments: object) -> None:
    """Call one of our hooks into `name`; what it raises must not come out in the middle of another's work."""
    with logged(get_logger(), f"a hook into {name}"):
        hook(*arguments)
