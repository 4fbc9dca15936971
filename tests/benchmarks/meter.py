"""CPU time and memory of another process, and which core it may use (Linux)."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SERVER_CORE, CLIENT_CORE = 0, 1


def pin_clients() -> bool:
    """Keep this process on the clients' core; return False where the machine has only one core."""
    if (os.cpu_count() or 1) < 2:
        return False
    os.sched_setaffinity(0, {CLIENT_CORE})
    return True


@contextmanager
def on_server_core() -> Iterator[None]:
    """Start processes inside: they stay on the servers' core, and this one goes back to its own."""
    before = os.sched_getaffinity(0)
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {SERVER_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu(pid: int) -> float:
    """Return the CPU seconds, user and system, that a process and its descendants have used so far.

    The kernel's CPU clock of a process counts all its threads, also those that have ended, in nanoseconds;
    /proc/<pid>/stat holds the same time cut to hundredths of a second. The clock's number is made as
    clock_getcpuclockid(3) makes it. Descendants that have ended and were waited for are taken from stat.
    """
    return sum(time.clock_gettime((~one) << 3 | 2) + _waited_for(one) for one in family(pid))


def _waited_for(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and all its descendants that are alive."""
    found = [pid]
    for one in found:
        for thread in os.listdir(f"/proc/{one}/task"):
            with suppress(FileNotFoundError, ProcessLookupError):  # the thread has just ended
                children = Path(f"/proc/{one}/task/{thread}/children").read_text()
                found.extend(int(child) for child in children.split())
    return found


def peak_memory(pid: int) -> float:
    """Return the largest resident size of a process since its start or the last `forget_peak`, in MB (10^6)."""
    return _status(pid, "VmHWM")


def memory(pid: int) -> float:
    """Return the resident size of a process now, in MB (10^6)."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(name)


def forget_peak(pid: int) -> None:
    """Start the peak of a process's memory anew (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def quiet(pid: int, span: float = 1.5, limit: float = 120.0) -> float:
    """Wait until a process has used less than 2 % of a core for `span` seconds; return its CPU seconds then.

    Work that a server puts off, such as a debounced save, is so counted with the work that caused it.
    """
    deadline = time.monotonic() + limit
    last = cpu(pid)
    while time.monotonic() < deadline:
        await asyncio.sleep(span)
        now = cpu(pid)
        if now - last < 0.02 * span:
            return now
        last = now
    return last


class Others:
    """How much of the machine other programs used meanwhile: a share of one core; it tells a noisy run.

    Valid once the servers that were measured have ended, for then their time is in `os.times`.
    """

    def __init__(self) -> None:
        self._start = self._now()

    def load(self) -> float:
        """Return the cores that were busy with neither this process nor its children, on average."""
        wall, busy, own = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(0.0, busy - own) / wall

    @staticmethod
    def _now() -> tuple[float, float, float]:
        ticks = [int(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, sum(os.times()[:4])


def machine() -> dict[str, str]:
    """Describe this machine: processor, cores, kernel, Python."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
    }
