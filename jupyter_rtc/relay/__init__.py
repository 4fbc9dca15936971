"""The relay: moves CRDT updates between the peers of a room. Knows nothing of Jupyter documents."""

from .allowances import Allowances, ExhaustedError
from .awareness import Identity
from .checkpoints import Watch, document, state_without
from .keeper import Keeper
from .kinds import FreeRooms, PlainKind, Presence, RoomKind
from .member import Member
from .memory import settle_in
from .memory_store import MemoryStore
from .notifications import Notifications
from .open_room import OpenRoom
from .place import place
from .pool import Pool
from .protocol import CloseCode, ProtocolError, covers, decode_state_vector
from .readback import Read
from .relay import Relay
from .residents import PRESENCE, Kind, Resident, RoomError, RoomGone, Verdict
from .rights import NotAllowedError, UserRights
from .room import Room
from .sqlite import SQLiteStore
from .store import Mark, Past, Store, StoredRoom, StoreError, Version
from .structure import deletions, only_sets_values
from .tasks import Tasks, logged
from .threads import OneThread, take_turns
from .updates import delete_misplaced, document_of, refuse_misplaced, salvaged, whole_state

__all__ = [
    "PRESENCE",
    "Allowances",
    "CloseCode",
    "ExhaustedError",
    "FreeRooms",
    "Identity",
    "Keeper",
    "Kind",
    "Mark",
    "Member",
    "MemoryStore",
    "NotAllowedError",
    "Notifications",
    "OneThread",
    "OpenRoom",
    "Past",
    "PlainKind",
    "Pool",
    "Presence",
    "ProtocolError",
    "Read",
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
    "Tasks",
    "UserRights",
    "Verdict",
    "Version",
    "Watch",
    "covers",
    "decode_state_vector",
    "delete_misplaced",
    "deletions",
    "document",
    "document_of",
    "logged",
    "only_sets_values",
    "place",
    "refuse_misplaced",
    "salvaged",
    "settle_in",
    "state_without",
    "take_turns",
    "whole_state",
]
