"""Ports for servers in processes of their own, which nobody else gets meanwhile."""

from __future__ import annotations

import socket
import weakref

HOST = "127.0.0.1"


def reserved(holder: object) -> int:
    """Return a free TCP port of this computer that stays reserved as long as `holder` lives.

    A socket is bound to it that does not listen. Then the system gives the port to nobody who wants any port, also
    while the server is down; the server, which asks for this one and lets addresses be used again, as Tornado does,
    gets it.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((HOST, 0))
    weakref.finalize(holder, held.close)
    port: int = held.getsockname()[1]
    return port
