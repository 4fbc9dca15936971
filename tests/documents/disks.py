"""Disks that are full, and files that cannot be written: the real ones, by mounting."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")


@contextmanager
def small_disk_at(folder: Path, size: str) -> Iterator[Path]:
    """Make a folder that is a disk of its own; `size` is written as mount(8) has it."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(file: Path) -> Iterator[None]:
    """Make a file read-only, for root, too, whom permissions do not stop: it is mounted over itself."""
    if os.geteuid() != 0:
        file.chmod(0o444)
        yield
        file.chmod(0o644)
        return
    subprocess.run(["mount", "--bind", file, file], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", file], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", file], check=True)
