"""A contents manager that is not the local disk: files in memory, and no hashes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_server.services.contents.checkpoints import AsyncCheckpoints
from jupyter_server.services.contents.manager import AsyncContentsManager
from tornado.web import HTTPError

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


class NoCheckpoints(AsyncCheckpoints):
    """Keeps no checkpoints."""

    async def create_checkpoint(self, contents_mgr: Any, path: str) -> Any:
        """Make none."""
        return {"id": "none", "last_modified": EPOCH}

    async def list_checkpoints(self, path: str) -> list[Any]:
        """Find none."""
        return []

    async def rename_all_checkpoints(self, old_path: str, new_path: str) -> None:
        """Have none to rename."""

    async def delete_all_checkpoints(self, path: str) -> None:
        """Have none to delete."""


class MemoryManager(AsyncContentsManager):
    """Keeps files in a dictionary. It knows of no arguments but those that a contents manager must know.

    A file called ``trouble`` makes every save fail, in the way that its content says.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.files: dict[str, tuple[Any, str, str, datetime]] = {}
        self.saves = 0

    async def get(self, path: str, content: bool = True, type: str | None = None, format: str | None = None) -> Any:
        """Return a file's model, or that of the only folder."""
        path = path.strip("/")
        if path == "":
            return self._model("", [await self.get(name, content=False) for name in self.files], "directory", "json")
        if path not in self.files:
            raise HTTPError(404, f"no such file: {path}")
        body, kind, form, when = self.files[path]
        return self._model(
            path, json.loads(json.dumps(body)) if content else None, kind, form if content else None, when
        )

    async def save(self, model: dict[str, Any], path: str = "") -> Any:
        """Keep a file."""
        path = path.strip("/")
        match self.files.get("trouble", ("",))[0] if path != "trouble" else "":
            case "http":
                raise HTTPError(507, "no space")
            case "error":
                raise RuntimeError("a bug in a contents manager")
        self.saves += 1
        body = model["content"]
        form = "json" if model["type"] == "notebook" else model.get("format") or "text"
        self.files[path] = (body, model["type"], form, EPOCH + timedelta(seconds=self.saves))
        return await self.get(path, content=False)

    async def delete_file(self, path: str) -> None:
        """Forget a file."""
        del self.files[path.strip("/")]

    async def rename_file(self, old_path: str, new_path: str) -> None:
        """Keep a file under another name."""
        self.files[new_path.strip("/")] = self.files.pop(old_path.strip("/"))

    async def file_exists(self, path: str) -> bool:
        """Say whether there is a file."""
        return path.strip("/") in self.files

    async def dir_exists(self, path: str) -> bool:
        """Say whether it is the only folder."""
        return path.strip("/") == ""

    async def is_hidden(self, path: str) -> bool:
        """Hide nothing."""
        return False

    def _model(self, path: str, content: Any, kind: str, form: str | None, when: datetime = EPOCH) -> dict[str, Any]:
        return {
            "name": path,
            "path": path,
            "type": kind,
            "format": form,
            "content": content,
            "mimetype": None,
            "writable": True,
            "created": EPOCH,
            "last_modified": when,
        }


c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 (given by the configuration loader)
c.ServerApp.contents_manager_class = MemoryManager
c.MemoryManager.checkpoints_class = NoCheckpoints
c.Documents.poll_interval = 0.2
