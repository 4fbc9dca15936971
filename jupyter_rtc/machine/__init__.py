"""This machine: tasks, threads, memory, and files as the operating system sees them."""

from .backoff import Backoff
from .locks import LockedError, is_open_for_writing, locked, try_lock
from .memory import give_back, settle_in
from .pace import Pace
from .place import place
from .pool import Pool
from .tasks import Tasks, logged
from .threads import OneThread, take_turns
from .watcher import Look, Watcher

__all__ = [
    "Backoff",
    "LockedError",
    "Look",
    "OneThread",
    "Pace",
    "Pool",
    "Tasks",
    "Watcher",
    "give_back",
    "is_open_for_writing",
    "locked",
    "logged",
    "place",
    "settle_in",
    "take_turns",
    "try_lock",
]
