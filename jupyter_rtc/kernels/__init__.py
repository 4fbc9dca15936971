"""One channel to each kernel, here or behind a gateway: requests out; replies, outputs and input requests back."""

from .channel import Life, Told
from .channels import Channels, Hold
from .link import Machine, Pauses
from .lives import is_remote, started
from .message import KernelGone, Message, NoChannel, Unreachable
from .request import Request

__all__ = [
    "Channels",
    "Hold",
    "KernelGone",
    "Life",
    "Machine",
    "Message",
    "NoChannel",
    "Pauses",
    "Request",
    "Told",
    "Unreachable",
    "is_remote",
    "started",
]
