"""Files as shared documents: a room for each file, filled from it and saved to it."""

from .files.local import LocalFiles, files_of
from .files.managed import FileContent, FileError, FileInfo, Files, ManagedFiles
from .files.names import FileIds, HeldIds
from .files.recovery import Recovery, RecoveryCopy, RecoveryError
from .formats.kinds import BadRequest
from .opened.documents import Documents, Session
from .past.forks import Fork, Forks
from .past.history import History, HistoryError
from .past.reverts import follow_reverts
from .past.timelines import Timelines

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
