"""The rows of the tables: what each field is. Pure.

Times are ISO 8601 in UTC, ending in ``Z``. What JSON cannot hold is made safe by the table.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict

MAPS = frozenset(("children",))
"""The fields that are shared maps themselves, not plain JSON: they may be large, and change entry by entry."""


class KernelSpecRecord(TypedDict):
    """A kind of kernel that can be started; its id is its name.

    `default` says whether it is the one that is started where none is named; `spec` and `resources` are as
    ``GET api/kernelspecs`` has them; `host` is the URL of the gateway that has it, null for this server.
    """

    name: str
    default: bool
    spec: dict[str, Any]
    resources: dict[str, str]
    host: str | None


class StatusRecord(TypedDict):
    """The server, as ``GET api/status`` describes it; the only id is ``status``."""

    started: str
    last_activity: str
    connections: int
    kernels: int


class TerminalRecord(TypedDict):
    """A terminal; its id is its name."""

    name: str
    last_activity: str


class KernelRecord(TypedDict):
    """A kernel, by its id.

    `execution_state` is starting, idle, busy, restarting, dead or unknown; `reason` says why it failed last, or is
    empty; `incarnation` is how often it was restarted, by itself or by somebody (behind a gateway: through this
    server); `info` is what the kernel says of itself (`language_info`, `banner`, `protocol_version`,
    `supported_features`), null until it has answered.
    """

    name: str
    last_activity: str | None
    connections: int
    execution_state: str
    reason: str
    incarnation: int
    info: dict[str, Any] | None


class SessionRecord(TypedDict):
    """A session, by its id: what somebody works with, and its kernel.

    `state` is pending while its kernel is being started, error if that failed, else created.
    """

    path: str
    name: str | None
    type: str
    kernel_id: str | None
    state: str


class DocumentRecord(TypedDict):
    """An open document, by the name of its room.

    `lineage` identifies its history; `hash` is that of its file as it was last seen;
    `members` are those who have it open: the user, and whether edits count;
    `dirty` is whether there is something to save; `save_error` is why the file is not up to date, null while all is
    well; `conflicts` is how many places are recorded in it that both people and a program changed; `recovery` are the
    ids of the file's recovery copies.
    """

    path: str
    type: str
    file_id: str
    hash: str
    lineage: str
    members: list[dict[str, Any]]
    dirty: bool
    last_saved: str | None
    save_error: str | None
    conflicts: int
    recovery: list[str]


class ContentRecord(TypedDict):
    """A file or a folder, by its file id; by ``path:`` and its path where it was never opened and so has none.

    `type` is directory, file or notebook; `size` is in bytes, null for a folder; `format`, `hash`, `hash_algorithm` and
    `room`, the room of its document, are null unless it is open; `fetched` is whether it is.
    """

    name: str
    path: str
    type: str
    writable: bool
    created: str | None
    last_modified: str | None
    size: int | None
    mimetype: str | None
    format: str | None
    hash: str | None
    hash_algorithm: str | None
    room: str | None
    fetched: bool


class FolderRecord(TypedDict):
    """A folder, by its file id: the file ids of what is in it, by name."""

    path: str
    children: dict[str, str]


def iso(time: datetime | str | None, rounding: float = 0) -> str | None:
    """Return a time as text, rounded down to a multiple of `rounding` seconds if that is not 0.

    A time without a zone is taken for UTC; what is text already stays as it is.
    """
    if time is None or isinstance(time, str):
        return time
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if rounding:
        stamp = time.timestamp()
        time = datetime.fromtimestamp(stamp - stamp % rounding, UTC)
    return time.isoformat().replace("+00:00", "Z")
