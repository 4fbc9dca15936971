"""The relay: moves CRDT updates between the peers of a room. Knows nothing of Jupyter documents."""

from .awareness import Identity
from .owner import PRESENCE, FreeRooms, PlainOwner, Presence, RoomError, RoomOwner
from .protocol import CloseCode
from .relay import Relay
from .room import Member, Room
from .sqlite import SQLiteStore
from .store import Mark, MemoryStore, Store, StoredRoom, StoreError
from .structure import only_sets_values
from .updates import deletions, whole_state

__all__ = [
    "PRESENCE",
    "CloseCode",
    "FreeRooms",
    "Identity",
    "Mark",
    "Member",
    "MemoryStore",
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
    "deletions",
    "only_sets_values",
    "whole_state",
]
