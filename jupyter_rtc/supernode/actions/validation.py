"""Reads the body of a request, and holds it to the schema of the action. Pure."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from .definition import ActionError, Schema


def fields(raw: bytes, schema: Schema | None, limit: int) -> dict[str, Any]:
    """Return the fields of a body, which may be missing where nothing is required.

    Raises ActionError: 413 for more than `limit` bytes, 400 with the field for what the schema does not allow.
    """
    if len(raw) > limit:
        raise ActionError(413, f"the body is larger than {limit} bytes")
    value = _parsed(raw) if raw else {}
    if schema is None:
        if value not in ({}, None):
            raise ActionError(400, "this action takes no body")
        return {}
    found = best_match(Draft202012Validator(schema).iter_errors(value))
    if found is not None:
        raise _refused(found)
    whole = {name for name, kind in schema["properties"].items() if kind.get("type") == "integer"}
    return {name: int(given) if name in whole else given for name, given in value.items()}  # in JSON, 1.0 is one


def _parsed(raw: bytes) -> Any:
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:  # of the bytes, or half a character that is written as an escape
        raise ActionError(400, "the body must be JSON in UTF-8") from None
    except RecursionError:
        raise ActionError(400, "the body is nested too deep") from None
    except ValueError as error:
        raise ActionError(400, f"the body must be JSON: {error}") from None
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _refused(error: ValidationError) -> ActionError:
    """Say what is wrong, and in which field, in words rather than in those of JSON Schema."""
    field = str(error.absolute_path[0]) if error.absolute_path else ""
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        field = next(name for name in error.instance if name not in known)
        return ActionError(400, f"there is no such field; there are: {', '.join(known) or 'none'}", _short(field))
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return ActionError(400, "is required", missing)
    if error.validator == "type" and not field:
        return ActionError(400, "the body must be a JSON object")
    return ActionError(400, _reason(error), field)


def _reason(error: ValidationError) -> str:
    value = _short(json.dumps(error.instance))
    said = error.schema.get("description", "")
    if error.validator == "type":
        wanted = error.validator_value
        return f"must be of the type {wanted if isinstance(wanted, str) else ' or '.join(wanted)}, not {value}"
    if error.validator == "enum":
        return f"must be one of {', '.join(json.dumps(one) for one in error.validator_value)}, not {value}"
    return f"{value} is not allowed" + (f": {said}" if said else "")


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}..."
