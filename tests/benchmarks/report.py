"""The table: what a case's figure is called, what it aims at, and how rows become Markdown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cases
import file_cases
import neighbour
from measuring import Row, Sizes
from servers import SERVERS, Server

OURS = "jupyter_rtc"
FLOOR = "bare asyncio"
ROOMS = tuple(SERVERS)
FILES = tuple(name for name, server in SERVERS.items() if server.documents)
DURABLE = ("jupyter_rtc", "jupyter-server-ydoc", "y-websocket", "hocuspocus", "bare Tornado")


@dataclass(frozen=True)
class Case:
    """One situation: how it is measured, on which servers, and which of its figures counts."""

    title: str
    run: Callable[[Server, Sizes], Awaitable[Row] | AsyncIterator[Row]]
    """Where it yields rows, all servers are up at once and take turns from one to the next; the last row counts."""

    servers: tuple[str, ...]
    key: str
    unit: str
    goal: float | None = None
    """What our figure is not to exceed."""

    goal_of_floor: float | None = None
    """What our figure is not to exceed, as a multiple of the bare asyncio broadcast of the same run."""


CASES: dict[str, Case] = {
    "burst": Case("1,000 edits at once to 99 readers: CPU per delivery", cases.burst, ROOMS, "us", "us", 0.6),
    "paced": Case("100 edits a second to 49 readers: CPU per delivery", cases.paced, ROOMS, "us", "us", None, 1.25),
    "durable": Case(
        "5,000 edits to one reader, at most 50 on their way, kept: CPU per edit",
        cases.durable,
        DURABLE,
        "us",
        "us",
        50,
    ),
    "flood": Case("the same as fast as they go: CPU per edit", cases.flood, DURABLE, "us", "us"),
    "saved": Case(
        "the same, at most 50 on their way, in the document of a text file: CPU per edit",
        cases.saved,
        FILES,
        "us",
        "us",
    ),
    "crowd": Case(
        "1,000 readers, 10 of them typing twice a second: p99 latency", cases.crowd, ROOMS, "p99_ms", "ms", 250
    ),
    "cold": Case("a notebook of 2,000 cells and 25 MB opened: CPU", file_cases.cold, FILES, "s", "s", 0.8),
    "openers": Case("then opened by 20 people at once: CPU", file_cases.openers, FILES, "s", "s", 0.3),
    "neighbour": Case(
        "another room while a 60 MB notebook is edited and saved: p99 latency",
        neighbour.neighbour,
        FILES,
        "p99_ms",
        "ms",
        25,
    ),
}
"""Every case by the name it has on the command line."""

EXTRA_GOALS = {("openers", "peak_mb"): 350.0}
"""Goals for figures that are not a case's first one."""

Results = dict[str, dict[str, Row]]
"""Rows by case and server; a row that could not be measured has only `error`."""


def number(value: Any) -> str:
    """Write a figure with about three digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table whose columns line up."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    lines = [_line(head, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    return "\n".join(lines + [_line(row, widths) for row in rows])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "|" + "|".join(f" {cell:<{width}} " for cell, width in zip(row, widths, strict=True)) + "|"


def detail(name: str, rows: dict[str, Row]) -> str:
    """Write all figures of one case, a line for each server, with its ratio to ours."""
    case = CASES[name]
    keys: list[str] = []
    for row in rows.values():
        keys += [key for key in row if key not in keys and key != case.key]
    ours = rows.get(OURS, {}).get(case.key)
    lines = []
    for server, row in rows.items():
        figure = row.get(case.key)
        ratio = f"{figure / ours:.1f}" if figure is not None and ours else ""
        cells = [number(row[key]) if row.get(key) is not None else "" for key in keys]
        lines.append([server, "" if figure is None else number(figure), ratio, *cells])
    return f"### {name}: {case.title}\n\n" + table(["server", case.unit, "to ours", *keys], lines)


def summary(results: Results) -> str:
    """Write the main figure of every case and server in one table, with the ratio to ours in parentheses."""
    servers = [name for name in SERVERS if any(name in rows for rows in results.values())]
    lines = []
    for name, rows in results.items():
        case = CASES[name]
        ours = rows.get(OURS, {}).get(case.key)
        cells = [_cell(rows.get(server), case.key, ours, server) for server in servers]
        lines.append([f"{name}, {case.unit}", *cells, _verdict(name, rows)])
    return table(["case", *servers, "goal"], lines)


def _cell(row: Row | None, key: str, ours: float | None, server: str) -> str:
    if row is None:
        return "-"
    figure = row.get(key)
    if figure is None:
        return "failed"
    mark = "" if row.get("delivered") == "all" else " !"
    ratio = f" ({figure / ours:.1f}x)" if ours and server != OURS else ""
    return number(figure) + ratio + mark


def _verdict(name: str, rows: dict[str, Row]) -> str:
    case, floor = CASES[name], rows.get(FLOOR, {}).get(CASES[name].key)
    goal = case.goal
    if case.goal_of_floor is not None:
        goal = case.goal_of_floor * floor if floor else None
    if goal is None:
        return "-"
    ours = rows.get(OURS, {})
    if ours.get(case.key) is None:
        return f"<= {number(goal)}"
    met = ours[case.key] <= goal and ours.get("delivered") == "all"
    for (other, key), limit in EXTRA_GOALS.items():
        met = met and (other != name or ours[key] <= limit)
    return f"<= {number(goal)}: {'met' if met else 'MISSED'}"
