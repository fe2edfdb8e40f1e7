"""When to try again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.failure import Failure, Kind, next_try_s, passing

KINDS = st.sampled_from(list(Kind))
PASSING = st.sampled_from([kind for kind in Kind if passing(kind)])
SPREADS = st.floats(0, 1)


@given(KINDS, st.integers(1, 30), st.integers(1, 30), SPREADS, st.none() | st.floats(0, 1e6))
def test_another_try_comes_exactly_where_it_may_help_and_attempts_are_left(
    kind: Kind, attempts: int, most: int, spread: float, after_s: float | None
) -> None:
    wait = next_try_s(Failure(kind, "x", after_s), attempts, most, spread)
    assert (wait is not None) == (passing(kind) and attempts < most)
    if wait is not None:
        asked = min(after_s or 0.0, 3600.0)
        assert max(2.0, asked) <= wait <= 1.5 * max(600.0, asked)


@given(PASSING, st.integers(1, 30), SPREADS)
def test_waits_never_shrink_from_try_to_try(kind: Kind, attempts: int, spread: float) -> None:
    first = next_try_s(Failure(kind, "x"), attempts, 99, spread)
    second = next_try_s(Failure(kind, "x"), attempts + 1, 99, spread)
    assert first is not None
    assert second is not None
    assert first <= second


@given(PASSING, st.integers(1, 10), SPREADS, SPREADS)
def test_the_dice_only_lengthen_by_up_to_a_half(kind: Kind, attempts: int, one: float, other: float) -> None:
    least, some, most = (next_try_s(Failure(kind, "x"), attempts, 99, spread) for spread in (0.0, one, 1.0))
    assert least is not None
    assert some is not None
    assert most == pytest.approx(1.5 * least)
    assert least <= some <= most


def test_the_first_waits_are_two_eight_and_thirty_two_seconds() -> None:
    slow = Failure(Kind.TIMEOUT, "slow")
    assert [next_try_s(slow, attempts, 9, 0.0) for attempts in (1, 2, 3, 4, 5, 6)] == [2, 8, 32, 128, 512, 600]


def test_a_server_that_asks_for_patience_gets_it_for_an_hour_at_most() -> None:
    assert next_try_s(Failure(Kind.THROTTLED, "429", 120.0), 1, 9, 0.0) == 120
    assert next_try_s(Failure(Kind.THROTTLED, "429", 1e9), 1, 9, 0.0) == 3600


def test_what_nobody_can_help_by_waiting_is_not_tried_again() -> None:
    for kind in (Kind.FORBIDDEN, Kind.GONE, Kind.DENIED, Kind.NOT_AN_IMAGE, Kind.TOO_LARGE, Kind.CRASHED):
        assert next_try_s(Failure(kind, "x"), 1, 9, 0.5) is None
