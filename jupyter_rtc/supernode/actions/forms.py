"""The JSON Schemas of what actions take and give; their descriptions are those of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from .definition import Schema


def fields(*required: str, **properties: Schema) -> Schema:
    """Return the schema of an object with these fields and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def record(**properties: Schema) -> Schema:
    """Return the schema of a record: it has these fields, and a later version may add some."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def text(description: str, **more: Any) -> Schema:
    """Return the schema of a text without NUL, which neither files nor processes take."""
    return {
        "type": "string",
        "pattern": r"^[^\u0000]*$",
        "description": description,
        **more,
    }


def whole(description: str, least: int = -(2**31), most: int = 2**31 - 1, **more: Any) -> Schema:
    """Return the schema of a whole number that fits into 32 bits."""
    return {"type": "integer", "minimum": least, "maximum": most, "description": description, **more}


def flag(description: str, default: bool) -> Schema:
    """Return the schema of a choice."""
    return {"type": "boolean", "description": description, "default": default}


TIME: Schema = {"type": "string", "description": "ISO 8601, UTC"}
KERNEL_NAME = text("the name of a kernel spec; the server's default where it is left out", minLength=1)
PATH = text("an API path: relative to the server's root, with slashes", maxLength=4096)
OBJECT: Schema = {"type": "object"}

KERNEL = record(
    id={"type": "string"},
    name={"type": "string", "description": "the kernel spec"},
    last_activity={**TIME, "type": ["string", "null"]},
    connections={"type": "integer"},
    execution_state={"type": "string"},
    reason={"type": "string"},
)
TERMINAL = record(id={"type": "string"}, name={"type": "string"}, last_activity=TIME)
SESSION = record(
    id={"type": "string"},
    path={"type": "string"},
    name={"type": ["string", "null"]},
    type={"type": "string"},
    kernel_id={"type": "string"},
)
CONTENT = record(
    name={"type": "string"},
    path={"type": "string"},
    type={"type": "string", "enum": ["directory", "file", "notebook"]},
    writable={"type": "boolean"},
    created=TIME,
    last_modified=TIME,
    size={"type": ["integer", "null"]},
    mimetype={"type": ["string", "null"]},
    format={"type": ["string", "null"]},
)

_STATUS: Schema = {"enum": ["ok", "error"], "description": "of an error there are ename, evalue and traceback instead"}


def reply(**properties: Schema) -> Schema:
    """Return the schema of a kernel's reply, as the messaging protocol has it."""
    return {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": _STATUS,
            "ename": {"type": "string"},
            "evalue": {"type": "string"},
            "traceback": {"type": "array", "items": {"type": "string"}},
            **properties,
        },
    }


ERROR: Schema = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "message": {"type": "string"},
        "reason": {"type": ["string", "null"]},
        "field": {"type": "string", "description": "what is wrong: a field of the body, or a part of the path"},
    },
}
