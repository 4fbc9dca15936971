"""Write the table of reference/limits.md, with the defaults in the code; a test compares the two.

Run it after a change of a limit: ``python docs/make_limits.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from traitlets import Int

sys.path.append(str(Path(__file__).parent))

from make_reference import configurables, own_traits

PAGE = Path(__file__).parent / "reference" / "limits.md"
MARK = "<!-- Written by docs/make_limits.py. -->\n"
NO_LIMITS = {"Relay.compact_bytes", "Keeper.compact_updates"}
"""The options that are whole numbers, and say when something is done, not how much there may be."""


class Row(NamedTuple):
    """One thing that is counted.

    Attributes:
        what: it, in words.
        options: of whom or what it is counted -> the option that says how much there may be.
        beyond: what happens then, with the close code or the status that a client sees.
        cure: what is to be done by whoever sees that.
    """

    what: str
    options: dict[str, str]
    beyond: str
    cure: str


def _each(name: str) -> dict[str, str]:
    return {"a user": f"Allowances.{name}", "all": f"Allowances.{name}_in_total"}


_RAISE = "raise the option"
ROWS = (
    Row(
        "WebSockets of rooms", _each("max_sockets"), "429 at the handshake", "close tabs; end programs that leave some"
    ),
    Row(
        "rooms in memory that somebody's request brought there",
        _each("max_rooms"),
        "429, or 1008 where the last place was taken meanwhile",
        "close documents: a room leaves `Relay.eviction_delay` after its last member",
    ),
    Row(
        "bytes of frames that have not come whole",
        _each("max_unfinished"),
        "1008",
        "connect again; send less at a time",
    ),
    Row(
        "bytes of updates in quarantine, of documents with a foreign history",
        _each("max_held"),
        "1008",
        "reload the page",
    ),
    Row(
        "bytes of updates that wait for missing ones",
        {"a room": "Allowances.max_room_waiting", **_each("max_waiting")},
        "1008",
        "connect again: the sync brings what is missing; mend a client that leaves out updates",
    ),
    Row(
        "bytes of presence in all rooms",
        _each("max_awareness"),
        "1008",
        "show less; connect again",
    ),
    Row("presence states of a connection", {"each": "Allowances.max_states"}, "1008", "show less; connect again"),
    Row("characters of a presence state", {"each": "Allowances.max_state_size"}, "1008", "show less; connect again"),
    Row(
        "presence states in a room",
        {"a room": "Allowances.max_room_states"},
        "1008 for those who hold more than an equal share",
        "show less; connect again",
    ),
    Row(
        "bytes of presence in a room",
        {"a room": "Allowances.max_room_awareness"},
        "1008 for those who hold more than an equal share",
        "show less; connect again",
    ),
    Row(
        "bytes a second of presence that others are sent",
        {"a user": "Allowances.max_awareness_rate"},
        "shown less often, in the newest state",
        "nothing",
    ),
    Row(
        "free rooms that are stored",
        _each("max_free_rooms"),
        "429 at the handshake of a new one",
        "[delete some](../how-to/back-up.md#free-rooms)",
    ),
    Row(
        "bytes of free rooms that are stored",
        _each("max_free_bytes"),
        "429 at the handshake of a new one; 1008 for whoever adds to one",
        "delete something in them; [delete some](../how-to/back-up.md#free-rooms)",
    ),
    Row(
        "answers that hold a whole document: history, recovery copies",
        _each("max_answers"),
        "429",
        "read the answer before; ask again",
    ),
    Row(
        "forks",
        {"a document": "Forks.max_forks", "a user": "Forks.max_forks_per_user", "all": "Forks.max_forks_in_total"},
        "409 for one document, else 429",
        "merge or delete one",
    ),
    Row(
        "timelines",
        {"a user": "Timelines.max_timelines_per_user", "all": "Timelines.max_timelines"},
        "the one that was idle longest goes; where none is idle, 429 for a user, 503 for all",
        "close a timeline",
    ),
    Row(
        "bytes of a frame",
        {"each": "Relay.max_frame_size"},
        "1009",
        "take the large part out again, or send it in parts",
    ),
    Row("bytes that wait for a slow reader", {"a connection": "Relay.max_outbox"}, "1013", "connect again"),
    Row(
        "questions that wait for a kernel's answer",
        {"a kernel": "Questions.max_waiting"},
        "429",
        "ask again later",
    ),
    Row(
        "files and folders that are looked at for tables",
        {"all": "Supernode.max_paths"},
        "the oldest is forgotten",
        "ask for it again",
    ),
    Row(
        "past versions of a document",
        {"a document": "Keeper.max_checkpoints"},
        "the oldest become one",
        "nothing",
    ),
    Row(
        "bytes of past versions",
        {"a document": "Keeper.max_checkpoint_bytes"},
        "the oldest become one",
        "nothing",
    ),
    Row(
        "bytes of a room in the store",
        {"a room": "Keeper.room_limit"},
        "its log is folded; nothing is refused",
        "save the document",
    ),
    Row(
        "bytes of the store",
        {"all": "SQLiteStore.size_limit"},
        "rooms whose file has everything are dropped",
        "nothing, or " + _RAISE,
    ),
    Row(
        "bytes that wait to be stored",
        {"all": "SQLiteStore.queue_limit"},
        "rooms are stored in part, which they are told",
        "mend the disk",
    ),
    Row(
        "damaged databases that were set aside",
        {"all": "SQLiteStore.max_damaged"},
        "the oldest is deleted",
        "nothing",
    ),
    Row("recovery copies", {"all": "Recovery.max_copies"}, "the oldest is removed", "nothing, or " + _RAISE),
    Row("bytes of recovery copies", {"all": "Recovery.max_bytes"}, "the oldest is removed", "nothing, or " + _RAISE),
)


def options() -> dict[str, Int[int, int]]:
    """Return the options that are whole numbers, but for those that are no limits."""
    found = {f"{cls.__name__}.{name}": trait for cls in configurables() for name, trait in own_traits(cls).items()}
    return {name: trait for name, trait in found.items() if isinstance(trait, Int) and name not in NO_LIMITS}


def render() -> str:
    """Return the page: what stands in it before the table, and the table."""
    before = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    known = options()
    head = "| what is counted | of whom | option | default | beyond it | what to do |\n|---|---|---|---|---|---|\n"
    return f"{before}{MARK}\n{head}" + "".join(
        f"| {row.what if first else ''} | {whose} | `{option}` | {_size(known[option].default())} |"
        f" {row.beyond if first else ''} | {row.cure if first else ''} |\n"
        for row in ROWS
        for first, (whose, option) in zip([True, False, False], row.options.items(), strict=False)
    )


def _size(value: int | None) -> str:
    """Return a number as one would say it."""
    assert value is not None
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return f"{value:,}"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
