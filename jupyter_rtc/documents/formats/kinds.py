"""The types of documents that are registered, and the formats in which files of a type come."""

from __future__ import annotations

from importlib.metadata import entry_points

from .content import Content, content_of

_FORMS = {"notebook": ("json",), "file": ("text",)}
_ALL_FORMS = ("text", "json", "base64")


class BadRequest(ValueError):
    """A request names a format or a type that cannot be; the text says which and why."""


class Kinds:
    """The types of documents: the entry points ``jupyter_ydoc`` of what is installed."""

    def __init__(self) -> None:
        """Find them."""
        self._points = {point.name: point for point in entry_points(group="jupyter_ydoc")}

    def check(self, form: str, kind: str) -> None:
        """Raise BadRequest where there is no such type, or not in this format."""
        if kind not in self._points:
            raise BadRequest(f"type: nobody registered {kind!r}; there are {', '.join(sorted(self._points))}")
        forms = _FORMS.get(kind, _ALL_FORMS)
        if form not in forms:
            raise BadRequest(f"format: a {kind} comes as {' or '.join(forms)}, not {form!r}")

    def usual(self, path: str, form: str, kind: str) -> tuple[str, str]:
        """Return the format and the type in which the file at `path` is opened, the usual ones where they are empty.

        A file that ends in ``.ipynb`` is a notebook. Raises BadRequest as `check` does.
        """
        kind = kind or ("notebook" if path.endswith(".ipynb") else "file")
        form = form or _FORMS.get(kind, _ALL_FORMS)[0]
        self.check(form, kind)
        return form, kind

    def content(self, kind: str) -> Content:
        """Return the type of documents that is called `kind`; KeyError where nobody registered it."""
        return content_of(kind, {kind: self._points[kind].load()})
