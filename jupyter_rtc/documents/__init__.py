"""Files as shared documents: a room for each file, filled from it and saved to it."""

from .documents import Documents, Session
from .files import FileContent, FileError, FileInfo, Files, ManagedFiles
from .forks import Fork, Forks
from .history import History, HistoryError
from .kinds import BadRequest
from .local import LocalFiles, files_of
from .names import FileIds, HeldIds
from .recovery import Recovery, RecoveryCopy, RecoveryError
from .reverts import follow_reverts
from .timelines import Timelines

__all__ = [
    "BadRequest",
    "Documents",
    "FileContent",
    "FileError",
    "FileIds",
    "FileInfo",
    "Files",
    "Fork",
    "Forks",
    "HeldIds",
    "History",
    "HistoryError",
    "LocalFiles",
    "ManagedFiles",
    "Recovery",
    "RecoveryCopy",
    "RecoveryError",
    "Session",
    "Timelines",
    "files_of",
    "follow_reverts",
]
