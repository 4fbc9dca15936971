"""Documents of types that we do not know ourselves, by way of the class registered for them with jupyter_ydoc."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import pycrdt
from jupyter_ydoc.ybasedoc import YBaseDoc

from .reading import Reading, Whole, watch
from .shape import ContentError
from .update import Built, Draft, genesis

Doc: TypeAlias = "pycrdt.Doc[Any]"


@dataclass(frozen=True)
class RegisteredOriginal:
    """The body of a file of a registered type, and the document that its class made of it."""

    body: Any
    value: Any
    built: Built


class RegisteredContent:
    """A type that somebody registered as an entry point ``jupyter_ydoc``: its class does all the work.

    So it is converted in one piece, and only as deterministic and as sparing with edits as the class is.
    """

    def __init__(self, kind: str, made_by: type[YBaseDoc]) -> None:
        """Make the content of the type `kind`, whose documents `made_by` knows how to fill."""
        self.kind = kind
        self.version: str = made_by().version
        self._made_by = made_by

    def parse(self, body: Any, *, trusted: bool = False) -> RegisteredOriginal:
        """See `Content.parse`."""
        text = body if isinstance(body, str) else repr(body)
        doc: Doc = pycrdt.Doc(client_id=genesis(self.kind, self.version, [text]))
        empty = doc.get_update()
        shared = self._made_by(doc)
        try:
            shared.set(body)
            value = shared.get()
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ContentError(f"not what {self.kind} takes: {error!r}") from error
        update = doc.get_update()
        if update == empty:
            draft = Draft(doc.client_id)
            draft.nothing()
            return RegisteredOriginal(body, value, draft.built())
        return RegisteredOriginal(body, value, Built(doc.client_id, (update,), lambda: update))

    def build(self, original: RegisteredOriginal) -> Built:
        """See `Content.build`."""
        return original.built

    def read(self, doc: Doc) -> Reading:
        """See `Content.read`. One slice."""
        return Whole(lambda: self._made_by(doc).get())

    def render(self, original: RegisteredOriginal, value: Any) -> RegisteredOriginal:
        """See `Content.render`."""
        return original if value == original.value else replace(original, body=value, value=value)

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
        """See `Content.edit`. As sparing as the class is."""
        shared = self._made_by(doc)  # makes an undo manager, which no transaction may be open for
        with doc.transaction():
            shared.set(original.body)

    def watch(self, doc: Doc, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Content.watch`."""
        self._made_by(doc)  # gives the roots their types
        return watch([root for name, root in doc.items() if name != "state" and root is not None], callback)
