"""Whether a notebook's outputs may run scripts, as Jupyter's notary has it.

A signature is made of everything in the notebook; here the cells are decoded one by one for it, so that a large
notebook does not hold up other threads. Source: ``nbformat/sign.py`` (NotebookNotary), nbformat 5.11.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from logging import Logger, LoggerAdapter
from typing import Any

from nbformat.sign import MemorySignatureStore, NotebookNotary, SignatureStore, SQLiteSignatureStore

from ..formats.content import Original
from ..formats.ipynb import Ipynb
from ..formats.shape import TRANSIENT, is_json

_NEED_TRUST = ("execute_result", "display_data")
# What is raised where the parts of a file are of other kinds than nbformat thinks: it would fail likewise.
_UNREADABLE = (LookupError, TypeError, AttributeError)
# Seconds to wait for another program that has the database locked: on the thread that made it, the event loop's, where
# contents managers ask it that are asynchronous; and elsewhere.
_PATIENCE, _PATIENCE_ELSEWHERE = 0.02, 2.0


class SignaturesError(Exception):
    """The database of signatures cannot be written; the text says why."""


class Signatures(SignatureStore):
    """The database of a notary's signatures, which may be asked in any thread, and stops nobody.

    nbformat's own belongs to the thread that made it, waits there for five seconds where another program has it locked,
    and raises what SQLite does. This one has a connection for each thread. Where it cannot be asked, nothing is signed,
    and the log says so, once.
    """

    def __init__(self, path: str, log: Logger | LoggerAdapter[Any]) -> None:
        """Use the database at `path`; it belongs to the event loop of this thread."""
        super().__init__()
        self._path = path
        self._told = log
        self._home = threading.get_ident()
        self._local = threading.local()
        self._trouble = False

    def check_signature(self, digest: str, algorithm: str) -> bool:
        """Say whether there is this signature; False where that cannot be found out."""
        with suppress(SignaturesError):
            return bool(self._ask(lambda store: store.check_signature(digest, algorithm)))
        return False

    def store_signature(self, digest: str, algorithm: str) -> None:
        """Keep a signature, if that is possible."""
        with suppress(SignaturesError):
            self.keep(digest, algorithm)

    def keep(self, digest: str, algorithm: str) -> None:
        """Keep a signature. Raises SignaturesError where that is not possible."""
        self._ask(lambda store: store.store_signature(digest, algorithm))

    def remove_signature(self, digest: str, algorithm: str) -> None:
        """Forget a signature, if that is possible."""
        with suppress(SignaturesError):
            self._ask(lambda store: store.remove_signature(digest, algorithm))

    def close(self) -> None:
        """Close the connection of this thread."""
        if store := self._local.__dict__.pop("store", None):
            store.close()

    def _ask(self, question: Callable[[SignatureStore], Any]) -> Any:
        try:
            store = self._local.__dict__.get("store") or self._connect()
            answer = question(store)
        except (sqlite3.Error, OSError) as error:
            self.close()  # what it has begun is undone by that
            if not self._trouble:
                self._told.warning("%s cannot be used, so that notebooks count as not trusted: %s", self._path, error)
            self._trouble = True
            raise SignaturesError(f"{self._path}: {error}") from None
        self._trouble = False
        return answer

    def _connect(self) -> SignatureStore:
        here = threading.get_ident() == self._home
        self._local.store = _Connection(self._path, _PATIENCE if here else _PATIENCE_ELSEWHERE)
        store: SignatureStore = self._local.store
        return store


class _Connection(SQLiteSignatureStore):
    """A connection to a database of signatures: one that cannot be opened now is not moved away."""

    def __init__(self, path: str, patience: float) -> None:
        self._patience = patience
        super().__init__(path)  # type: ignore[no-untyped-call]

    def _connect_db(self, db_file: str) -> sqlite3.Connection:
        kinds = sqlite3.PARSE_DECLTYPES | sqlite3.PARSE_COLNAMES
        db = sqlite3.connect(db_file, timeout=self._patience, detect_types=kinds)
        try:
            self.init_db(db)  # type: ignore[no-untyped-call]
        except sqlite3.Error:
            db.close()
            raise
        return db


def share(notary: NotebookNotary, log: Logger | LoggerAdapter[Any]) -> None:
    """Let a notary be asked in any thread; one whose signatures are kept in a way of its own stays as it is."""
    store = notary.store
    if type(store) is not SQLiteSignatureStore:
        return
    notary.store = MemorySignatureStore() if store.db_file == ":memory:" else Signatures(store.db_file, log)
    with suppress(sqlite3.Error):  # it was made in another thread
        store.close()


def is_shared(notary: NotebookNotary) -> bool:
    """Say whether a notary may be asked in any thread."""
    return isinstance(notary.store, Signatures | MemorySignatureStore)


def is_signed(notary: NotebookNotary, original: Original) -> bool:
    """Say whether a notebook has been signed. May run in any thread, once the notary is shared."""
    found = signature(notary, original)
    return bool(found and notary.store.check_signature(found, notary.algorithm))


def sign(notary: NotebookNotary, original: Original) -> None:
    """Sign a notebook. May run in any thread, once the notary is shared.

    Raises SignaturesError where the signature cannot be kept.
    """
    found = signature(notary, original)
    if found and isinstance(notary.store, Signatures):
        notary.store.keep(found, notary.algorithm)
    elif found:
        notary.store.store_signature(found, notary.algorithm)


def is_harmless(original: Ipynb) -> bool:
    """Say whether a notebook shows nothing that needs trust: the notary would sign it, whoever wrote it."""
    return not any(
        output.get("output_type") in _NEED_TRUST
        for cell in original.value.cells
        if cell["cell_type"] == "code"
        for output in cell["outputs"]
    )


def signature(notary: NotebookNotary, original: Original) -> str | None:
    """Return a notebook's signature; None for what is no notebook of today's format. May run in any thread."""
    if not isinstance(original, Ipynb):
        return None
    try:
        notebook = json.loads(original.frame.removeprefix("\ufeff"), strict=False)  # a NUL holds the cells' place
        _drop_transient(notebook)
        return str(notary.compute_signature({**notebook, "cells": _Cells(original)}))
    except (ValueError, *_UNREADABLE):
        return None


def as_read(text: str) -> Any:
    """Return what nbformat makes of the text of a notebook: lines joined, transient metadata left out.

    Where it would not read the notebook, as it stands.
    """
    notebook = json.loads(text.removeprefix("\ufeff"))
    try:
        _drop_transient(notebook)
        for cell in notebook["cells"]:
            _join_lines(cell)
    except _UNREADABLE:
        return json.loads(text.removeprefix("\ufeff"))
    return notebook


class _Cells(list[Any]):
    """The cells of a notebook as nbformat reads them, each decoded when it is asked for; to be iterated only."""

    def __init__(self, original: Ipynb) -> None:
        super().__init__()
        self._original = original

    def __iter__(self) -> Iterator[Any]:
        for cell in self._original.cells:
            decoded = json.loads(cell.text)
            _join_lines(decoded)
            yield decoded


def _drop_transient(notebook: dict[str, Any]) -> None:
    for key in TRANSIENT:
        notebook["metadata"].pop(key, None)


def _join_lines(cell: dict[str, Any]) -> None:
    """Join the lines of a cell and take its trust away: ``rejoin_lines`` and ``strip_transient`` of nbformat."""
    cell["metadata"].pop("trusted", None)
    if "source" in cell:
        cell["source"] = _joined(cell["source"])
    for attachment in (cell.get("attachments") or {}).values():
        _join_bundle(attachment)
    for output in cell.get("outputs") or () if cell["cell_type"] == "code" else ():
        if output.get("output_type") in _NEED_TRUST:
            _join_bundle(output.get("data", {}))
        elif "text" in output:
            output["text"] = _joined(output["text"])


def _join_bundle(bundle: dict[str, Any]) -> None:
    for mime, data in bundle.items():
        if not is_json(mime):
            bundle[mime] = _joined(data)


def _joined(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) and all(isinstance(line, str) for line in value) else value
