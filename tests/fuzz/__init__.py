"""Rooms in process, real frames of Yjs clients and of pycrdt, changed at random. See `__main__.py` for the long run."""
