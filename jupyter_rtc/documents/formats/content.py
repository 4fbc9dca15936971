"""What a file holds, as a shared document, and back: one face for every type of document.

A `Content` knows one type of document (text, notebook, or whatever is registered with `jupyter_ydoc`). It
turns the body of a file into an `Original`, an `Original` into a shared document, a living shared document
into a value, and a value into the next body. Nothing here awaits, logs, reads a clock or a file.

    original = content.parse(body, trusted=True)        # in a thread
    made = content.build(original)                      # in a thread
    for update in made.updates:                         # on the event loop, with a pause after each
        doc.apply_update(update)

    with content.read(doc) as reading:                  # on the event loop, while people go on editing
        for _ in reading:
            await asyncio.sleep(0)                      # it is read as it is when this ends
    value = reading.value()                             # in a thread
    rendered = content.render(original, value)          # in a thread
    if rendered is not original:
        write(rendered.body)                            # and `rendered` is the next original

    update = outside(base, content, content.parse(changed_body))    # merge.py, in a thread
    kept = rendered(content, foreign_doc)                           # in the thread that made the document
    file.writelines(encoded(kept))
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import pycrdt
from jupyter_ydoc.ybasedoc import YBaseDoc
from jupyter_ydoc.ynotebook import YNotebook
from jupyter_ydoc.yunicode import YUnicode
from pycrdt import Array, Map, Text

from ...wire import clean
from . import ipynb, notebook
from .editing import edit_notebook
from .reading import Reading, Whole, watch
from .registered import RegisteredContent
from .shape import ContentError
from .style import relined
from .texts import edit_text
from .unkept import carried, carried_text, unkept, without
from .update import Built, Draft, genesis

__all__ = [
    "Body",
    "Built",
    "Content",
    "ContentError",
    "ContentOf",
    "Original",
    "Reading",
    "Value",
    "content_of",
    "encoded",
    "plain_value_of",
    "rendered",
    "value_of",
]

Doc: TypeAlias = "pycrdt.Doc[Any]"

_BOM = "\ufeff"
_PART = 1 << 20

Body: TypeAlias = "str | bytes | dict[str, Any]"
"""What a contents manager gives and takes as the content of a file: its text; or, for a notebook of a
contents manager that has no text, the notebook as a dict; bytes only for registered types that take them."""

Value: TypeAlias = Any
"""What a document holds, as plain Python: `str` of a text, `dict` of a notebook, else whatever the type's own
`get()` gives. Made by `Content.read`, taken by `Content.render`; never to be changed."""


AnOriginal = TypeVar("AnOriginal", bound="Original")


class Original(Protocol):
    """A file's body, parsed: what it says and how it says it, so that what nobody edits is written unchanged.

    Immutable; may be used from any thread.
    """

    @property
    def body(self) -> Body:
        """The body of the file, exactly as `Content.parse` was given it, or as `Content.render` made it."""

    @property
    def value(self) -> Value:
        """What `Content.read` gives for a document that was built from this and never edited."""


class ContentOf(Protocol[AnOriginal]):
    """One type of document: all that a file binding has to know of it."""

    kind: str
    """The type's name in a room id: ``notebook``, ``file``, ..."""
    version: str
    """The version of the shared document's schema, as jupyter_ydoc numbers it."""

    @property
    def lists(self) -> Collection[str]:
        """The names of the roots of the document that are arrays or maps, and hold no text."""

    def parse(self, body: Body, *, trusted: bool = False) -> AnOriginal:
        """Parse the body of a file. May run in any thread; holds the GIL for a few milliseconds at most.

        `trusted` says whether the outputs of a notebook may run scripts (`NotebookNotary.check_signature`).
        It is part of the document, and so of its genesis, and never written to the file. Other types ignore
        it.

        Raises ContentError where `body` cannot be a document of this type.
        """

    def build(self, original: AnOriginal) -> Built:
        """Make the shared document that equals `original`. May run in any thread."""

    def read(self, doc: Doc) -> Reading:
        """Begin to read a living document. On the event loop only: the thread that edits `doc`."""

    def render(self, original: AnOriginal, value: Value) -> AnOriginal:
        """Return what the file should hold now that its document holds `value`. May run in any thread.

        `original` is what the file holds: all of it that nobody edited stays as it is there, byte for byte.
        Returns `original` itself when nothing was edited; else its `body` is to be written, and once that is
        done it is the next original.
        """

    def carry(self, full: Value, kept: Value, now: AnOriginal) -> AnOriginal:
        """Return a file that somebody else wrote as it would be if it kept all of its document. May run in any thread.

        `full` is what the document said when it was saved last, `kept` the value that a read of the file gave then.
        """

    def unkept(self, full: Value, kept: Value) -> list[str]:
        """Return which parts of cells a notebook's file does not keep; nothing for other types."""

    def without(self, full: Value, parts: Sequence[str]) -> Value:
        """Return what a read of the file gave when its document said `full`, if it kept all but these parts."""

    def blank(self) -> AnOriginal:
        """Return what stands for the file of a document that has none."""

    def weight(self, value: Value) -> int:
        """Return how much a document holds of what people wrote, in characters; 0 where that is nothing.

        The outputs of a notebook do not count: they come and go with every run. May run in any thread.
        """

    def trusted(self, value: Value) -> bool:
        """Return whether every code cell of a notebook is trusted, so that it may be signed when it is saved.

        As `NotebookNotary.check_cells` has it. False for every other type.
        """

    def edit(self, doc: Doc, original: AnOriginal, live: Doc | None = None) -> None:
        """Make `doc` equal `original` with the smallest edits, in one transaction.

        What is equal is not touched: cells keep their Map, texts their characters. The trust of cells that are
        in the document already is left alone, unless outputs change that nobody vouches for. `live` is what `doc`
        will be merged into: cells that were edited there are neither deleted nor moved, and what was changed there in
        the same way is not changed again. Reached through `merge.outside`.
        """

    def watch(self, doc: Doc, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once, inside the first transaction that changes the content, not only `state`.

        Returns what unsubscribes; call it in any case, after the callback too, but not inside it. Every edit
        costs more as long as it is subscribed. The callback must not touch `doc`.
        """


Content: TypeAlias = ContentOf[Any]
"""A type of document, whatever its originals are."""


def content_of(kind: str, registered: Mapping[str, type[YBaseDoc]]) -> Content:
    """Return the content of the type `kind`: ours for texts and notebooks, else one that drives a class.

    `registered` are the classes of the entry points ``jupyter_ydoc``, by name. Raises KeyError where `kind`
    is not among them.
    """
    made_by = registered[kind]
    if issubclass(made_by, YNotebook):
        return NotebookContent(kind)
    if issubclass(made_by, YUnicode):
        return TextContent(kind)
    return RegisteredContent(kind, made_by)


def rendered(content: Content, doc: Doc, original: Original | None = None) -> Original:
    """Return the file that holds what a document does, one that nobody edits meanwhile, in the thread that made it.

    All that is as in `original` stays as it is there, as with `Content.render`; without it, it is a new file.
    """
    made: Original = content.render(content.blank() if original is None else original, value_of(content, doc))
    return made


def value_of(content: Content, doc: Doc) -> Value:
    """Return what a document holds, one that nobody edits meanwhile, in the thread that made it."""
    with content.read(doc) as reading:
        for _ in reading:
            pass
    return reading.value()


def plain_value_of(content: Content, doc: Doc) -> Value:
    """Return the same as lists, dicts and plain values."""
    value = value_of(content, doc)
    return [value.cells, value.meta] if isinstance(value, ipynb.Notebook) else value


def encoded(original: Original) -> Iterator[bytes | bytearray]:
    """Yield the bytes of a file in parts: joining and encoding 60 MB at once would hold up every other thread."""
    if isinstance(original, ipynb.Ipynb) and not isinstance(original.given, str):
        texts = original.texts()
    elif isinstance(original.body, bytes | bytearray):
        yield original.body
        return
    else:
        texts = iter([original.body if isinstance(original.body, str) else json.dumps(original.body, indent=1)])
    batch, size = [], 0
    for text in texts:
        for at in range(0, len(text), _PART):
            batch.append(text[at : at + _PART])
            size += len(batch[-1])
            if size >= _PART:
                yield _utf8("".join(batch))
                batch, size = [], 0
    yield _utf8("".join(batch))


def _utf8(text: str) -> bytes:
    """Encode a text; lone surrogates, which some contents managers let through, become U+FFFD as in the document."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return clean(text).encode()


@dataclass(frozen=True)
class Bare:
    """The body of a file, of which nothing else is known."""

    body: Body

    @property
    def value(self) -> Value:
        """The body."""
        return self.body


@dataclass(frozen=True)
class TextOriginal:
    """The text of a file."""

    body: str
    value: str


class TextContent:
    """A text file: YUnicode 1.0.0, one text ``source``.

    The document has neither the byte order mark nor the carriage returns of Windows; the file keeps both.
    """

    version = "1.0.0"
    lists = ("state",)

    def __init__(self, kind: str = "file") -> None:
        """Make the content of text files, under the name they have in room ids."""
        self.kind = kind

    def parse(self, body: Body, *, trusted: bool = False) -> TextOriginal:
        """See `Content.parse`."""
        if not isinstance(body, str):
            raise ContentError("not a text")
        return TextOriginal(body, clean(body.removeprefix(_BOM)).replace("\r\n", "\n"))

    def build(self, original: TextOriginal) -> Built:
        """See `Content.build`."""
        draft = Draft(genesis(self.kind, self.version, [original.value]))
        if original.value:
            draft.write("source", original.value)
        else:
            draft.nothing()
        return draft.built()

    def read(self, doc: Doc) -> Reading:
        """See `Content.read`. One slice: a text cannot be converted in parts."""
        text = doc.get("source", type=Text)
        return Whole(lambda: str(text))

    def render(self, original: TextOriginal, value: str) -> TextOriginal:
        """See `Content.render`."""
        if value == original.value:
            return original
        mark = _BOM if original.body.startswith(_BOM) else ""
        return TextOriginal(mark + relined(original.body.removeprefix(_BOM), value), value)

    def carry(self, full: str, kept: str, now: TextOriginal) -> TextOriginal:
        """See `Content.carry`."""
        return self.render(now, carried_text(full, kept, now.value))

    def unkept(self, full: str, kept: str) -> list[str]:
        """See `Content.unkept`."""
        return []

    def without(self, full: str, parts: Sequence[str]) -> str:
        """See `Content.without`."""
        return full

    def blank(self) -> TextOriginal:
        """See `Content.blank`."""
        return TextOriginal("", "")

    def weight(self, value: str) -> int:
        """See `Content.weight`."""
        return 0 if value.isspace() else len(value)

    def trusted(self, value: str) -> bool:
        """See `Content.trusted`."""
        return False

    def edit(self, doc: Doc, original: TextOriginal, live: Doc | None = None) -> None:
        """See `Content.edit`."""
        edit_text(
            doc.get("source", type=Text), original.value, None if live is None else str(live.get("source", type=Text))
        )

    def watch(self, doc: Doc, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Content.watch`."""
        return watch([doc.get("source", type=Text)], callback)


class NotebookContent:
    """A notebook file: YNotebook 2.0.0. See ipynb.py for the file and notebook.py for the document."""

    version = "2.0.0"
    lists = ("cells", "meta", "state")

    def __init__(self, kind: str = "notebook") -> None:
        """Make the content of notebooks, under the name they have in room ids."""
        self.kind = kind

    def parse(self, body: Body, *, trusted: bool = False) -> ipynb.Ipynb:
        """See `Content.parse`."""
        if not isinstance(body, str | dict):
            raise ContentError("neither text nor a dict")
        return ipynb.parse(body, trusted=trusted)

    def build(self, original: ipynb.Ipynb) -> Built:
        """See `Content.build`."""
        way = f"{self.version} {'trusted' if original.trusted else 'not trusted'}"
        draft = Draft(genesis(self.kind, way, original.texts()))
        notebook.build(draft, original)
        return draft.built()

    def read(self, doc: Doc) -> Reading:
        """See `Content.read`."""
        return notebook.NotebookReading(doc)

    def render(self, original: ipynb.Ipynb, value: ipynb.Notebook) -> ipynb.Ipynb:
        """See `Content.render`."""
        return ipynb.render(original, value)

    def carry(self, full: ipynb.Notebook, kept: ipynb.Notebook, now: ipynb.Ipynb) -> ipynb.Ipynb:
        """See `Content.carry`."""
        return ipynb.render(now, carried(full, kept, now.value))

    def unkept(self, full: ipynb.Notebook, kept: ipynb.Notebook) -> list[str]:
        """See `Content.unkept`."""
        return unkept(full, kept)

    def without(self, full: ipynb.Notebook, parts: Sequence[str]) -> ipynb.Notebook:
        """See `Content.without`."""
        return without(full, parts)

    def blank(self) -> ipynb.Ipynb:
        """See `Content.blank`. Written as nbformat writes."""
        return ipynb.parse(ipynb.NEW)

    def weight(self, value: ipynb.Notebook) -> int:
        """See `Content.weight`."""
        return sum(map(_weight, value.cells))

    def trusted(self, value: ipynb.Notebook) -> bool:
        """See `Content.trusted`."""
        return value.trusted

    def edit(self, doc: Doc, original: ipynb.Ipynb, live: Doc | None = None) -> None:
        """See `Content.edit`."""
        edit_notebook(doc, original, live)

    def watch(self, doc: Doc, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Content.watch`."""
        return watch([doc.get("cells", type=Array), doc.get("meta", type=Map)], callback)


def _weight(cell: dict[str, Any]) -> int:
    source, attachments = cell.get("source"), cell.get("attachments")
    written = len(source) if isinstance(source, str) and not source.isspace() else 0
    return written + (len(json.dumps(attachments)) if attachments else 0)
