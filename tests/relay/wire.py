"""A peer's socket without a network: what is written to it can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jupyter_rtc.wire import websocket


class Socket:
    """A transport without a network: takes everything at once while the peer `reads`, else one write at a time.

    Attributes:
        reads: whether the peer reads.
        writes: the parts of each write.
        closed: the code and the reason with which it was closed.
    """

    framing = websocket

    def __init__(self, *, reads: bool = True) -> None:
        """Make a transport to a peer that reads, or does not."""
        self.reads = reads
        self.writes: list[tuple[bytes, ...]] = []
        self.closed: list[tuple[int, str]] = []
        self._written: Callable[[], None] | None = None

    def write(self, parts: Sequence[bytes], written: Callable[[], None]) -> bool:
        """Take a write; all is out at once if the peer reads."""
        assert self._written is None, "one write at a time"
        self.writes.append(tuple(parts))
        if not self.reads:
            self._written = written
        return self.reads

    def close(self, code: int, reason: str) -> None:
        """Take note of the goodbye."""
        self.closed.append((code, reason))

    def take(self) -> None:
        """Take what is being written, as a peer does that reads a little."""
        written, self._written = self._written, None
        if written is not None:
            written()

    @property
    def busy(self) -> bool:
        """Whether the peer has not taken the last write yet."""
        return self._written is not None

    @property
    def received(self) -> bytes:
        """Everything that was written."""
        return b"".join(b"".join(parts) for parts in self.writes)

    @property
    def frames(self) -> list[bytes]:
        """The payloads of the WebSocket frames that were written."""
        data, payloads = self.received, []
        while data:
            size, begin = data[1], 2
            if size > 125:
                begin = 4 if size == 126 else 10
                size = int.from_bytes(data[2:begin], "big")
            payloads.append(data[begin : begin + size])
            data = data[begin + size :]
        return payloads
