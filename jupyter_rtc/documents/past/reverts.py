"""Files that are set back to a checkpoint of Jupyter Server: no event tells of it, so the method is followed."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import Any

from ..opened.documents import Documents

__all__ = ["follow_reverts"]


def follow_reverts(manager: Any, documents: Documents) -> None:
    """Let open documents follow their files when the contents manager `manager` restores a checkpoint.

    The method is replaced on this one object; an asynchronous one returns when the documents have followed, one that is
    not returns before that.
    """
    restore = manager.restore_checkpoint

    @wraps(restore)
    async def awaited(checkpoint_id: str, path: str) -> Any:
        """Restore a checkpoint; return when the documents have followed."""
        async with documents.reverting(path):
            return await restore(checkpoint_id, path)

    @wraps(restore)
    def called(checkpoint_id: str, path: str) -> Any:
        """Restore a checkpoint; the documents follow later."""
        result = restore(checkpoint_id, path)
        documents.reverted(path)
        return result

    manager.restore_checkpoint = awaited if inspect.iscoroutinefunction(restore) else called
