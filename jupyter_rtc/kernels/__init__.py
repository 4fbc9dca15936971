"""Own connections to the shells of kernels, here and behind a gateway: requests out, their replies back."""

from .line import Line, LineBroken, Unreachable
from .lines import Lines, NoLine, answer, is_remote, started

__all__ = ["Line", "LineBroken", "Lines", "NoLine", "Unreachable", "answer", "is_remote", "started"]
