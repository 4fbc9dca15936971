"""Bytes of the Yjs protocols and of WebSockets: frames, updates, awareness. No event loop, no server."""

from . import protocol, websocket
from .awareness import Awareness, Identity, stirring
from .causality import marked
from .intake import Intake, Survey, is_long, prepared
from .json_safe import JSON, LONE_SURROGATE, clean, json_safe
from .merging import deletion, merged
from .places import Places
from .protocol import EMPTY_STATE, NO_CHANGE, CloseCode, Kind, ProtocolError, clip_reason, covers, decode_state_vector
from .readback import Read, UnfaithfulError, compare, proved, read_again
from .shapes import Id
from .structure import deletions, examine, only_sets_values
from .surrogates import cut_in, halved
from .updates import (
    BadEntryError,
    Replica,
    TaintedError,
    answered,
    delete_misplaced,
    document_of,
    examined,
    guarded,
    news,
    refuse_misplaced,
    restored,
    salvaged,
    unmet,
    whole_state,
)
from .websocket import MessageReader, Opcode, masked, unmasked

__all__ = [
    "EMPTY_STATE",
    "JSON",
    "LONE_SURROGATE",
    "NO_CHANGE",
    "Awareness",
    "BadEntryError",
    "CloseCode",
    "Id",
    "Identity",
    "Intake",
    "Kind",
    "MessageReader",
    "Opcode",
    "Places",
    "ProtocolError",
    "Read",
    "Replica",
    "Survey",
    "TaintedError",
    "UnfaithfulError",
    "answered",
    "clean",
    "clip_reason",
    "compare",
    "covers",
    "cut_in",
    "decode_state_vector",
    "delete_misplaced",
    "deletion",
    "deletions",
    "document_of",
    "examine",
    "examined",
    "guarded",
    "halved",
    "is_long",
    "json_safe",
    "marked",
    "masked",
    "merged",
    "news",
    "only_sets_values",
    "prepared",
    "protocol",
    "proved",
    "read_again",
    "refuse_misplaced",
    "restored",
    "salvaged",
    "stirring",
    "unmasked",
    "unmet",
    "websocket",
    "whole_state",
]
