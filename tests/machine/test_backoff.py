"""Pauses between attempts."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from jupyter_rtc.machine import Backoff


def test_the_pauses_grow_to_the_longest_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(0.5, 3)
    assert backoff.pause == 0
    assert [backoff.next() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    assert backoff.pause == 3
    backoff.reset()
    assert (backoff.pause, backoff.next()) == (0, 0.5)


def test_a_first_pause_beyond_the_longest_is_the_longest() -> None:
    assert Backoff(10, 3).next() == 3


@given(st.integers(), st.integers(1, 20))
def test_with_jitter_a_pause_is_shorter_by_up_to_a_half(seed: int, attempts: int) -> None:
    plain, shaken = Backoff(1, 60), Backoff(1, 60, jitter=Random(seed))
    for _ in range(attempts):
        longest = plain.next()
        assert longest / 2 <= shaken.next() <= longest
        assert shaken.pause == longest
