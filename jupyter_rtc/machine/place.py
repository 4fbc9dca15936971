"""Where things are kept that are no files of the user's."""

from __future__ import annotations

from pathlib import Path

from jupyter_core.paths import jupyter_data_dir


def place(configured: str, name: str) -> Path:
    """Return the absolute path that somebody `configured`; else that of `name` in our folder of Jupyter's data."""
    if configured:
        return Path(configured).expanduser().absolute()
    return Path(jupyter_data_dir()) / "jupyter_rtc" / name
