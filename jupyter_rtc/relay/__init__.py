"""The relay: moves CRDT updates between the peers of a room. Knows nothing of Jupyter documents."""

from .admission.allowances import Allowances, ExhaustedError
from .admission.rights import NotAllowedError, UserRights
from .keeper import Keeper
from .kinds import FreeRooms, PlainKind, Presence, RoomKind
from .member import Member
from .open_room import OpenRoom
from .relay import Relay
from .residents import PRESENCE, Kind, Resident, RoomError, RoomGone, Verdict
from .room import Room
from .storing.checkpoints import Watch, document, state_without
from .storing.memory_store import MemoryStore
from .storing.records import Bounds, Records
from .storing.sqlite import SQLiteStore
from .storing.store import Mark, Past, Record, Store, StoredRoom, StoreError, Version

__all__ = [
    "PRESENCE",
    "Allowances",
    "Bounds",
    "ExhaustedError",
    "FreeRooms",
    "Keeper",
    "Kind",
    "Mark",
    "Member",
    "MemoryStore",
    "NotAllowedError",
    "OpenRoom",
    "Past",
    "PlainKind",
    "Presence",
    "Record",
    "Records",
    "Relay",
    "Resident",
    "Room",
    "RoomError",
    "RoomGone",
    "RoomKind",
    "SQLiteStore",
    "Store",
    "StoreError",
    "StoredRoom",
    "UserRights",
    "Verdict",
    "Version",
    "Watch",
    "document",
    "state_without",
]
