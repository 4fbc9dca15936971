"""Memory that rooms leave behind, given back to the operating system."""

from __future__ import annotations

import ctypes
import gc
import sys


def settle_in() -> None:
    """Take everything that is loaded by now for lasting: later passes of the garbage collector leave it alone.

    A pass goes over all objects and stops everything meanwhile; nearly all of them are the server's own code, and a
    pass over them takes a tenth of a second.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Free what only cycles keep alive, then return what is free to the operating system. May run in any thread.

    The C library keeps free memory in the gaps between what is still used: after many documents that is several times
    what the process needs. glibc can be told to return it; other C libraries have no such call, or no such need.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
