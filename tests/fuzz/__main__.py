"""The long run: many trials in child processes, in which a crash, a hang or a lack of memory is a finding too.

Usage, in the folder tests::

    python -m fuzz [--trials 50000] [--first 0] [--fresh] [--found folder]

About eight frames are changed in each trial. `--fresh` records new sessions with Node.js (and npm) in place of those in
seeds.txt. What is found is written to the folder, a file of steps for each; put into tests/fuzz/corpus, it is tried by
the tests for ever.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import trial

_MEMORY = 1 << 30
_PATIENCE = 20.0
"""Seconds of CPU for one trial, of which each takes some ten milliseconds."""
_CHUNK = 500


def written(steps: list[trial.Step]) -> str:
    """Return steps as a file of the corpus holds them."""
    return "".join(f"{peer} {frame.hex()}\n" for peer, frame in steps)


def read(text: str) -> list[trial.Step]:
    """Return the steps in a file of the corpus."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(int(peer), bytes.fromhex(frame)) for peer, frame in (line.split(" ") for line in lines)]


def work(seeds: str, first: int, last: int) -> None:
    """Carry out trials, and say of each when it begins and how it ends."""
    import resource
    import signal

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, wherever it is
    recorded = trial.sessions(Path(seeds).read_text(encoding="utf-8"))
    for number in range(first, last):
        print(number, end=" ", flush=True)
        signal.setitimer(signal.ITIMER_PROF, _PATIENCE)
        try:
            counts = trial.run(trial.steps(recorded, number))
        except BaseException as error:
            print("!", repr(error)[:300].replace("\n", " "), flush=True)
        else:
            print(*counts.values(), flush=True)


def chunk(seeds: str, first: int, last: int) -> tuple[Counter[str], dict[int, str]]:
    """Have a child process carry out trials, and another one go on where it ended."""
    counts: Counter[str] = Counter()
    found: dict[int, str] = {}
    while first < last:
        command = [sys.executable, "-m", "fuzz", "--work", seeds, str(first), str(last)]
        ended = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
        lines = ended.stdout.splitlines()
        for line in lines:
            number, _, said = line.partition(" ")
            first = int(number) + 1
            if said.startswith("!"):
                found[int(number)] = said[2:]
            elif said:
                counts.update(dict(zip(trial.COUNTS, map(int, said.split()), strict=True)))
            else:
                found[int(number)] = f"the process ended with {ended.returncode}: {ended.stderr[-200:]}"
        if not lines:
            found[first] = f"the process did not begin: {ended.stderr[-300:]}"
            break
    return counts, found


def fresh(sessions: int, seed: int) -> str:
    """Record new sessions."""
    from relay.node import installed

    packages = installed()
    script = packages / "seeds.mjs"
    script.write_text(Path(__file__).with_name("seeds.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    run = ["node", str(script), str(sessions), str(seed)]
    return subprocess.run(run, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Carry out what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=50_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--found", type=Path, default=Path("found"))
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given: Any = parser.parse_args()
    if given.work:
        work(given.work[0], int(given.work[1]), int(given.work[2]))
        return
    given.found.mkdir(parents=True, exist_ok=True)
    seeds = trial.SEEDS
    if given.fresh:
        seeds = given.found / "seeds.txt"
        seeds.write_text(fresh(200, time.time_ns() % 2**32), encoding="utf-8")
    recorded = trial.sessions(seeds.read_text(encoding="utf-8"))
    total: Counter[str] = Counter()
    findings = 0
    starts = range(given.first, given.first + given.trials, _CHUNK)
    with ThreadPoolExecutor(given.processes) as pool:
        ends = [min(start + _CHUNK, given.first + given.trials) for start in starts]
        for counts, found in pool.map(chunk, [str(seeds.resolve())] * len(starts), starts, ends):
            total.update(counts)
            for number, what in found.items():
                findings += 1
                print(f"{number}: {what}")
                text = f"# {what}\n{written(trial.steps(recorded, number))}"
                (given.found / f"{number}.txt").write_text(text, encoding="utf-8")
    print(f"{given.trials} trials: {dict(total)}; {findings} findings")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
