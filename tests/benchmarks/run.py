"""Measure this server beside its alternatives and print the figures; `--help` tells the options."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import date
from inspect import isasyncgenfunction
from pathlib import Path

import meter
from measuring import QUICK, Row, Sizes
from report import CASES, Results, detail, summary
from servers import SERVERS, Missing


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"any of {', '.join(CASES)}; all without")
    parser.add_argument("--servers", default=",".join(SERVERS), help="names, with commas between; all without")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, for a look only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file too")
    chosen = parser.parse_args()
    chosen.servers = chosen.servers.split(",")
    for name, known in [(one, CASES) for one in chosen.cases] + [(one, SERVERS) for one in chosen.servers]:
        if name not in known:
            parser.error(f"{name!r} is none of {', '.join(known)}")
    return chosen


async def measure(case: str, names: Sequence[str], sizes: Sizes) -> dict[str, Row]:
    """Run one case on some servers; a failure becomes a row that tells it."""
    others = meter.Others()
    running = {name: SERVERS[name]() for name in names}
    gc.collect()
    gc.disable()  # a collection here would be taken for a delay there
    try:
        rows = await in_turns({name: CASES[case].run(server, sizes) for name, server in running.items()})
    finally:
        gc.enable()
        for server in running.values():
            server.close()
    load = others.load()
    return {name: row | {"others_load": load} for name, row in rows.items()}


async def in_turns(runs: dict[str, Awaitable[Row] | AsyncIterator[Row]]) -> dict[str, Row]:
    """Let each run go on to its next row, one after the other, again and again; return the last rows, by server.

    So what changes on the machine meanwhile changes the figures of all.
    """
    rows: dict[str, Row] = {}
    while runs:
        for name, run in [*runs.items()]:
            try:
                if isinstance(run, AsyncIterator):
                    rows[name] = await anext(run)
                    continue
                rows[name] = await run
            except StopAsyncIteration:
                pass
            except (Missing, OSError, TimeoutError) as error:
                rows[name] = {"error": f"{type(error).__name__}: {error}"}
            del runs[name]
    return rows


async def main() -> None:
    """Measure what was asked for, and print it."""
    chosen = options()
    sizes = QUICK if chosen.quick else Sizes()
    _many_files()
    if not meter.pin_clients():
        print("one core only: clients and servers share it, and the figures say little", file=sys.stderr)
    results: Results = {}
    for case in chosen.cases or CASES:
        results[case] = {}
        names = [name for name in CASES[case].servers if name in chosen.servers]
        for some in [names] if isasyncgenfunction(CASES[case].run) else [[name] for name in names]:
            results[case] |= (rows := await measure(case, some, sizes))
            print("\n".join(f"{case} {name} {row}" for name, row in rows.items()), file=sys.stderr, flush=True)
    about = {"date": date.today().isoformat(), "quick": chosen.quick, **meter.machine(), **versions(chosen.servers)}
    print("\n".join(f"{key}: {value}" for key, value in about.items()) + "\n")
    print("\n\n".join(detail(case, rows) for case, rows in results.items() if rows) + "\n")
    print(summary(results))
    if chosen.json:
        chosen.json.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")


def versions(servers: list[str]) -> dict[str, str]:
    """Return the versions of the servers that could be asked."""
    found: dict[str, str] = {}
    for name in servers:
        server = SERVERS[name]()
        try:
            found |= server.versions()
        except Missing as error:
            found[name] = str(error)
        finally:
            server.close()
    return found


def _many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    asyncio.run(main())
