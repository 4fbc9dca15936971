"""Real-time collaboration for Jupyter: a relay of shared documents, as a Jupyter Server extension."""

from __future__ import annotations

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    """Tell Jupyter Server where the extension is."""
    from .app import JupyterRTC

    return [{"module": "jupyter_rtc", "app": JupyterRTC}]
