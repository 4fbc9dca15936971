"""The relay: moves CRDT updates between the peers of a room. Knows nothing of Jupyter documents."""

from .awareness import Identity
from .checkpoints import Limits, Watch, document, versions
from .owner import PRESENCE, FreeRooms, PlainOwner, Presence, RoomError, RoomOwner
from .protocol import CloseCode
from .relay import Relay
from .room import Member, Room
from .sqlite import SQLiteStore
from .store import Checkpoint, Mark, MemoryStore, Past, Store, StoredRoom, StoreError, Version
from .structure import only_sets_values
from .updates import deletions, whole_state

__all__ = [
    "PRESENCE",
    "Checkpoint",
    "CloseCode",
    "FreeRooms",
    "Identity",
    "Limits",
    "Mark",
    "Member",
    "MemoryStore",
    "Past",
    "PlainOwner",
    "Presence",
    "Relay",
    "Room",
    "RoomError",
    "RoomOwner",
    "SQLiteStore",
    "Store",
    "StoreError",
    "StoredRoom",
    "Version",
    "Watch",
    "deletions",
    "document",
    "only_sets_values",
    "versions",
    "whole_state",
]
