"""Documents of types that we do not know ourselves, by way of the class registered for them with jupyter_ydoc."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import Any, TypeAlias

import pycrdt
from jupyter_ydoc.ybasedoc import YBaseDoc

from .reading import Reading, Whole, watch
from .shape import ContentError
from .update import Built, Draft, genesis

Doc: TypeAlias = "pycrdt.Doc[Any]"
_LISTS = (pycrdt.Array, pycrdt.Map, pycrdt.XmlFragment)

_MOST_CLIENTS = 2**53
_PLAIN = (str, bool, int, float, list, dict, type(None))


@dataclass(frozen=True)
class RegisteredOriginal:
    """The body of a file of a registered type, and the document that its class made of it."""

    body: Any
    value: Any
    built: Built


class RegisteredContent:
    """A type that somebody registered as an entry point ``jupyter_ydoc``: its class does all the work.

    So it is converted in one piece, and only as sparing with edits as the class is.

    The class is given no document but copies of its own. It may write into one as soon as it has it, when it is read,
    or whenever something changes; in the shared document that would be an edit that nobody is sent.
    """

    def __init__(self, kind: str, made_by: type[YBaseDoc]) -> None:
        """Make the content of the type `kind`, whose documents `made_by` knows how to fill."""
        example = made_by()
        self.kind = kind
        self.version: str = example.version
        self._made_by = made_by
        self.lists = ["state", *(name for name, root in example.ydoc.items() if isinstance(root, _LISTS))]
        self._roots = {name: type(root) for name, root in example.ydoc.items() if name != "state" and root is not None}

    def parse(self, body: Any, *, trusted: bool = False) -> RegisteredOriginal:
        """See `Content.parse`."""
        text = body if isinstance(body, str) else repr(body)
        author = genesis(self.kind, self.version, [text])
        try:
            doc, value = self._filled(author, body)
            if not _same(value, self._filled(author, body)[1]):
                # It makes up ids or times: nobody else has this history, so nobody may take theirs for it.
                doc, value = self._filled(SystemRandom().randrange(1, _MOST_CLIENTS), body)
        except BaseException as error:  # whatever somebody else's class raises
            if not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):
                raise
            raise ContentError(f"not what {self.kind} takes: {error!r}") from error
        update = doc.get_update()
        if update == pycrdt.Doc().get_update():
            draft = Draft(doc.client_id)
            draft.nothing()
            return RegisteredOriginal(body, value, draft.built())
        return RegisteredOriginal(body, value, Built(doc.client_id, (update,), lambda: update))

    def build(self, original: RegisteredOriginal) -> Built:
        """See `Content.build`."""
        return original.built

    def read(self, doc: Doc) -> Reading:
        """See `Content.read`. One slice."""
        return Whole(lambda: self._value(doc))

    def render(self, original: RegisteredOriginal, value: Any) -> RegisteredOriginal:
        """See `Content.render`."""
        return original if value == original.value else replace(original, body=value, value=value)

    def carry(self, full: Any, kept: Any, now: RegisteredOriginal) -> RegisteredOriginal:
        """See `Content.carry`. In one piece, too."""
        return self.render(now, full) if _same(now.value, kept) else now

    def unkept(self, full: Any, kept: Any) -> list[str]:
        """See `Content.unkept`."""
        return []

    def without(self, full: Any, parts: Sequence[str]) -> Any:
        """See `Content.without`."""
        return full

    def blank(self) -> RegisteredOriginal:
        """See `Content.blank`. For `render` only: no document was built from it."""
        return RegisteredOriginal(None, None, Built(0, (), bytes))

    def weight(self, value: Any) -> int:
        """See `Content.weight`. Of what is neither text nor bytes, as Python writes it."""
        if isinstance(value, str):
            return 0 if value.isspace() else len(value)
        return len(value) if isinstance(value, bytes | bytearray) else len(repr(value))

    def trusted(self, value: Any) -> bool:
        """See `Content.trusted`."""
        return False

    def edit(self, doc: Doc, original: RegisteredOriginal, live: Doc | None = None) -> None:
        """See `Content.edit`. As sparing as the class is; what it does to the ``state`` is undone."""
        state = doc.get("state", type=pycrdt.Map)
        said = {key: state[key] for key in state.keys()}  # noqa: SIM118
        plain = {key: value for key, value in said.items() if isinstance(value, _PLAIN)}
        shared = self._made_by(doc)  # makes an undo manager, which no transaction may be open for
        with doc.transaction():
            shared.set(original.body)
        shared.unobserve()
        with doc.transaction():
            for key in [key for key in state if key not in said]:
                del state[key]
            state.update({key: value for key, value in plain.items() if state.get(key) != value})

    def watch(self, doc: Doc, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Content.watch`."""
        return watch([doc.get(name, type=kind) for name, kind in self._roots.items()], callback)

    def _filled(self, author: int, body: Any) -> tuple[Doc, Any]:
        """Return a document with the content of a file, made under this client id, and what the class reads in it."""
        doc: Doc = pycrdt.Doc(client_id=author)
        shared = self._made_by(doc)
        shared.set(body)
        value = shared.get()
        shared.unobserve()
        return doc, value

    def _value(self, doc: Doc) -> Any:
        copy: Doc = pycrdt.Doc()
        copy.apply_update(doc.get_update())
        shared = self._made_by(copy)
        value = shared.get()
        shared.unobserve()
        return value


def _same(one: Any, other: Any) -> bool:
    """Say whether two values are equal, or texts of JSON that differ in the order of keys only."""
    if one == other or not (isinstance(one, str) and isinstance(other, str)):
        return bool(one == other)
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False
