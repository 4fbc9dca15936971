"""Files and folders: create, copy, rename, delete."""

from __future__ import annotations

from collections.abc import Callable
from posixpath import dirname
from typing import Any

from jupyter_server.services.contents.filemanager import FileContentsManager
from jupyter_server.services.contents.manager import ContentsManager

from ...machine import OneThread, Pool
from .copies import CopyError, check
from .definition import ActionError, Created, Right, action
from .forms import CONTENT, PATH, fields
from .jupyter import managing_contents
from .paths import normal
from .shown import Shown
from .turns import Turns

_WRITE = Right("write", "contents")
_GONE = "there is nothing at this path"
_TYPE = {"enum": ["directory", "file", "notebook"], "default": "file"}
_EXT = {
    "type": "string",
    "pattern": r"^\.[^/\\\u0000]+$",
    "maxLength": 64,
    "description": "how the name of the new file ends, with the dot; a notebook's always ends in .ipynb",
}


class Contents:
    """What the server's contents manager has. Open documents follow what happens to their files."""

    def __init__(
        self, manager: Callable[[], ContentsManager], thread: Callable[[], OneThread], shown: Shown, turns: Turns
    ) -> None:
        """Act on the contents of what `manager` returns; `turns` are taken by folder: no name is given twice."""
        self._find = manager
        self._thread = thread
        self._shown = shown
        self._turns = turns
        self._pool = Pool()

    @action(
        "POST contents/{path}",
        _WRITE,
        files={"path": "write", "copy_from": "read"},
        body=fields(type=_TYPE, ext=_EXT, copy_from={**PATH, "minLength": 1}),
        answers={201: CONTENT},
        errors={400: "the path is that of a file; what is to be copied is not there", 404: "there is no such folder"},
    )
    async def create(self, path: str, *, type: str = "", ext: str = "", copy_from: str | None = None) -> Created:
        """Create an empty file, notebook or folder in a folder, or a copy of what is at `copy_from`.

        The server gives it a name that is free; rename it for another one. A copy has the type of its original:
        `type` and `ext` must be left out.
        """
        folder = await self._visible(path)
        await self._must_be_folder(folder)
        async with self._turns.of(f"the creation of something in {folder or 'the root'}", f"folder {folder}"):
            if copy_from is None:
                with managing_contents("ext"):
                    made = await self._ask(self._manager.new_untitled, path=folder, type=type, ext=ext)
            else:
                if type or ext:
                    raise ActionError(400, "a copy has that of its original", "type" if type else "ext")
                made = await self._copy(copy_from, folder)
        self._shown.hint("contents", "folders")
        return Created(_record(made), f"contents/{made['path'].strip('/')}")

    @action(
        "PATCH contents/{path}",
        _WRITE,
        files={"path": "write"},
        body=fields("path", path={**PATH, "minLength": 1, "description": "the new path"}),
        answers={200: CONTENT},
        errors={400: "the new path is not usable", 404: _GONE, 409: "there is something at the new path"},
    )
    async def rename(self, old: str, *, path: str) -> dict[str, Any]:
        """Rename or move a file or folder."""
        old, new = await self._existing(old), normal(path, "path")
        if not new or await self._hidden(new):
            raise ActionError(400, f"{path!r} cannot be the path of a file or folder", "path")
        if new.startswith(f"{old}/"):
            raise ActionError(400, "a folder cannot be moved into itself", "path")
        with managing_contents("path"):
            if not await self._ask(self._manager.dir_exists, dirname(new)):
                raise ActionError(400, f"there is no folder {dirname(new)!r}", "path")
            model = await self._ask(self._manager.update, {"path": new}, old)
        self._shown.hint("contents", "folders")
        return _record(model)

    @action(
        "DELETE contents/{path}",
        _WRITE,
        files={"path": "write"},
        answers={204: None},
        errors={
            403: "not writable",
            404: _GONE,
            409: "a folder that is not empty, where the contents manager spares it",
        },
    )
    async def delete(self, path: str) -> None:
        """Delete a file or folder; where the server has a trash, it goes there."""
        path = await self._existing(path)
        with managing_contents("path", wrong=409):  # for there is nothing wrong with the request
            await self._ask(self._manager.delete, path)
        self._shown.hint("contents", "folders")

    @property
    def _manager(self) -> ContentsManager:
        return self._find()

    async def _ask(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._thread().ask(method, *args, **kwargs)

    async def _copy(self, original: str, folder: str) -> dict[str, Any]:
        source = normal(original, "copy_from")
        if not source or await self._hidden(source, "copy_from"):
            raise ActionError(400, f"there is no file or folder {original!r}", "copy_from")
        if folder == source or folder.startswith(f"{source}/"):
            raise ActionError(400, "a folder cannot be copied into itself", "copy_from")
        with managing_contents("copy_from"):
            if not await self._ask(self._manager.exists, source):
                raise ActionError(400, f"there is no file or folder {original!r}", "copy_from")
            if isinstance(self._manager, FileContentsManager):
                places = self._manager._get_os_path(source), self._manager._get_os_path(folder)
                try:
                    await self._pool.run(check, *places)
                except CopyError as error:
                    raise ActionError(400, str(error), "copy_from") from None
            model: dict[str, Any] = await self._ask(self._manager.copy, source, folder)
        return model

    async def _must_be_folder(self, path: str) -> None:
        with managing_contents("path"):
            if await self._ask(self._manager.file_exists, path):
                raise ActionError(400, f"{path!r} is no folder", "path")
            if not await self._ask(self._manager.dir_exists, path):
                raise ActionError(404, f"there is no folder {path!r}")

    async def _existing(self, path: str) -> str:
        found = await self._visible(path)
        if not found:
            raise ActionError(400, "the root stays as it is", "path")
        with managing_contents("path"):
            if not await self._ask(self._manager.exists, found):
                raise ActionError(404, f"there is no file or folder {path!r}")
        return found

    async def _visible(self, path: str) -> str:
        """Return a path of an address in its normal form; ActionError for a hidden one, unless those are shown."""
        found = normal(path, "path")
        try:
            hidden = await self._hidden(found)
        except ActionError:  # a name that nothing can have
            hidden = True
        if hidden:
            raise ActionError(404, f"there is no file or folder {path!r}")
        return found

    async def _hidden(self, path: str, field: str = "path") -> bool:
        with managing_contents(field):
            return bool(path) and not self._manager.allow_hidden and await self._ask(self._manager.is_hidden, path)


def _record(model: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a file without its content."""
    return {field: model.get(field) for field in CONTENT["required"]}
