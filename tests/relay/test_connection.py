"""One peer's sending side: nothing waits, nothing is reordered or torn apart, and nothing grows without bound."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_rtc.relay.connection import Connection
from jupyter_rtc.wire import websocket

from .wire import Socket

LARGE = 1 << 16


def presence(clients: Iterable[int]) -> bytes:
    """Return what stands for the newest states of clients."""
    return f"<{','.join(map(str, clients))}>".encode()


def connection(socket: Socket, limit: int = 1 << 20) -> tuple[Connection, list[str]]:
    """Return a connection over `socket`, and the list to which it says why it gives its peer up."""
    complaints: list[str] = []
    return Connection(socket, limit, lambda error: complaints.append(type(error).__name__), presence), complaints


class TestSending:
    def test_everything_leaves_at_once_while_the_peer_reads(self) -> None:
        socket = Socket()
        peer, _ = connection(socket)
        peer.send(b"one")
        peer.send(b"two")
        assert socket.writes == [(b"one",), (b"two",)]
        assert peer.waiting == 0

    def test_what_the_socket_does_not_take_waits(self) -> None:
        socket = Socket(reads=False)
        peer, _ = connection(socket)
        for data in (b"one", b"two", b"three"):
            peer.send(data)
        assert socket.writes == [(b"one",)]
        assert peer.waiting == len(b"twothree")

    def test_what_gathered_leaves_in_one_write(self) -> None:
        socket = Socket(reads=False)
        peer, _ = connection(socket)
        for data in (b"one", b"two", b"three"):
            peer.send(data)
        socket.take()
        assert socket.writes == [(b"one",), (b"twothree",)]
        assert peer.waiting == 0

    def test_small_frames_leave_together_up_to_a_limit(self) -> None:
        socket = Socket(reads=False)
        peer, _ = connection(socket)
        peer.send(b"first")
        for _ in range(5):
            peer.send(b"x" * (LARGE // 2))
        for _ in range(4):
            socket.take()
        assert [len(parts[0]) for parts in socket.writes] == [5, LARGE, LARGE, LARGE // 2]

    def test_a_large_frame_leaves_alone_and_uncopied(self) -> None:
        socket = Socket(reads=False)
        peer, _ = connection(socket)
        header, large = b"head", b"x" * (LARGE + 1)
        for parts in ((b"first",), (b"small",), (header, large), (b"after",)):
            peer.send(*parts)
        for _ in range(4):
            socket.take()
        assert [len(parts) for parts in socket.writes] == [1, 1, 2, 1]
        assert socket.writes[2][0] is header
        assert socket.writes[2][1] is large
        assert socket.received == b"firstsmall" + header + large + b"after"

    def test_the_parts_of_a_frame_leave_in_one_write(self) -> None:
        # Between two writes the socket's own pongs may leave.
        socket = Socket(reads=False)
        peer, _ = connection(socket)
        large = b"x" * LARGE
        peer.send(b"first")
        peer.send(b"head", large)
        socket.take()
        assert socket.writes[1:] == [(b"head", large)]

    def test_the_peer_reads_again(self) -> None:
        socket = Socket(reads=False)
        peer, _ = connection(socket)
        peer.send(b"one")
        peer.send(b"two")
        socket.reads = True
        socket.take()
        peer.send(b"three")
        assert socket.received == b"onetwothree"
        assert peer.waiting == 0

    @given(
        st.lists(
            st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=3)
            | st.sampled_from(["take", "read", "stop"])
        )
    )
    def test_order_is_kept_and_nothing_is_lost(self, steps: list[list[bytes] | str]) -> None:
        socket = Socket(reads=False)
        peer, complaints = connection(socket)
        sent = b""
        for step in steps:
            if isinstance(step, list):
                peer.send(*step)
                sent += b"".join(step)
            elif step == "take":
                socket.take()
            else:
                socket.reads = step == "read"
            assert sent.startswith(socket.received)
            assert len(sent) == len(socket.received) + peer.waiting
        socket.reads = True
        socket.take()
        assert (socket.received, peer.waiting, complaints) == (sent, 0, [])


class TestTooSlow:
    def test_the_outbox_has_a_limit(self) -> None:
        socket = Socket(reads=False)
        peer, complaints = connection(socket, limit=10)
        peer.send(b"x" * 1000)  # under way, not waiting
        peer.send(b"y" * 10)
        assert complaints == []
        peer.send(b"z")
        assert complaints == ["TooSlowError"]

    def test_parts_count_too(self) -> None:
        peer, complaints = connection(Socket(reads=False), limit=10)
        peer.send(b"under way")
        peer.send(b"12345", b"67890", b"!")
        assert complaints == ["TooSlowError"]

    def test_who_reads_in_time_is_never_too_slow(self) -> None:
        socket = Socket(reads=False)
        peer, complaints = connection(socket, limit=10)
        for _ in range(100):
            peer.send(b"x" * 10)
            peer.send(b"y" * 10)
            socket.take()
            socket.take()
        assert complaints == []


class TestState:
    def test_a_state_of_any_size_may_wait_behind_something_else(self) -> None:
        socket = Socket(reads=False)
        peer, complaints = connection(socket, limit=10)
        peer.send(b"under way")
        peer.send_state(b"head", b"x" * 1000)
        peer.send(b"y" * 10)
        assert (complaints, peer.waiting) == ([], 1014)
        peer.send(b"z")
        assert complaints == ["TooSlowError"]

    def test_a_second_one_counts_while_the_first_waits(self) -> None:
        peer, complaints = connection(Socket(reads=False), limit=10)
        peer.send(b"under way")
        peer.send_state(b"x" * 1000)
        peer.send_state(b"x" * 10)
        assert complaints == []
        peer.send_state(b"x")
        assert complaints == ["TooSlowError"]

    def test_the_next_one_does_not_count_once_the_first_is_under_way(self) -> None:
        socket = Socket(reads=False)
        peer, complaints = connection(socket, limit=10)
        peer.send(b"under way")
        for _ in range(3):
            peer.send_state(b"x" * 1000)
            socket.take()
        assert complaints == []
        peer.send(b"y" * 11)
        assert complaints == ["TooSlowError"]

    @given(st.integers(0, 30), st.integers(1, 30))
    def test_small_ones_that_leave_with_others_keep_no_allowance(self, before: int, size: int) -> None:
        socket = Socket(reads=False)
        peer, complaints = connection(socket, limit=100)
        peer.send(b"under way")
        peer.send(b"b" * before)
        peer.send_state(b"x" * size)
        socket.take()
        peer.send(b"y" * 100)
        assert complaints == []
        peer.send(b"z")
        assert complaints == ["TooSlowError"]


class TestPresence:
    def test_states_are_sent_at_once_while_the_peer_reads(self) -> None:
        socket = Socket()
        peer, _ = connection(socket)
        peer.show([1, 2])
        peer.show([1])
        assert socket.frames == [b"<1,2>", b"<1>"]

    def test_only_the_newest_states_are_sent_after_what_waits_and_count_for_nothing(self) -> None:
        socket = Socket(reads=False)
        peer, complaints = connection(socket, limit=10)
        peer.send(b"under way")
        for _ in range(1000):
            peer.show([1, 2])
            peer.show([3])
        peer.send(b"0123456789")
        assert (complaints, peer.waiting) == ([], 10)
        for _ in range(3):
            socket.take()
        assert socket.writes == [(b"under way",), (b"0123456789",), (websocket.message(b"<1,2,3>"),)]
        peer.show([2])
        socket.take()
        assert socket.received.endswith(b"<2>")

    def test_none_are_sent_after_the_goodbye(self) -> None:
        socket = Socket(reads=False)
        peer, _ = connection(socket)
        peer.send(b"one")
        peer.show([1])
        peer.close(1013)
        socket.take()
        peer.show([1])
        assert socket.received == b"one"


class TestClosing:
    @pytest.mark.parametrize("reads", [True, False])
    def test_nothing_is_sent_after_the_goodbye(self, reads: bool) -> None:
        socket = Socket(reads=reads)
        peer, _ = connection(socket)
        peer.send(b"one")
        peer.send(b"two")
        peer.close(1013, "reads too slowly")
        sent = socket.received
        peer.send(b"three")
        socket.take()
        assert socket.received == sent
        assert socket.closed == [(1013, "reads too slowly")]
        assert (peer.closed, peer.waiting) == (True, 0)

    def test_goodbye_is_said_once(self) -> None:
        socket = Socket()
        peer, _ = connection(socket)
        peer.close(1007)
        peer.close(1001)
        assert socket.closed == [(1007, "")]

    def test_a_socket_that_is_gone_is_not_closed(self) -> None:
        socket = Socket()
        peer, _ = connection(socket)
        peer.detach()
        peer.send(b"one")
        peer.close(1001)
        assert (socket.writes, socket.closed) == ([], [])
