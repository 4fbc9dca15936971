"""Files as shared documents: a room for each file, filled from it and saved to it."""

from .documents import BadRequest, Documents, Session
from .files import FileContent, FileError, FileInfo, Files, ManagedFiles
from .local import LocalFiles
from .names import FileIds
from .recovery import Recovery, RecoveryCopy, RecoveryError

__all__ = [
    "BadRequest",
    "Documents",
    "FileContent",
    "FileError",
    "FileIds",
    "FileInfo",
    "Files",
    "LocalFiles",
    "ManagedFiles",
    "Recovery",
    "RecoveryCopy",
    "RecoveryError",
    "Session",
]
