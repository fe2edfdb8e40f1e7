from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.recovery.roles import RULING, Claim, Verdict, judge, next_epoch
from isthmus.recovery.states import ROLE

CLAIMS = st.builds(
    Claim, st.sampled_from(sorted(ROLE.states)), st.integers(1, 4), st.sampled_from(["", "20261122_040000"])
)


@pytest.mark.parametrize(
    ("own", "other", "verdict"),
    [
        (Claim("primary", 1), None, Verdict.STAY),
        (Claim("primary", 2), Claim("primary", 1), Verdict.STAY),
        (Claim("primary", 1), Claim("primary", 2), Verdict.FENCE),
        (Claim("primary", 1), Claim("standby", 2), Verdict.FENCE),
        (Claim("primary", 1), Claim("fenced", 2), Verdict.FENCE),
        (Claim("primary", 1), Claim("fenced", 1), Verdict.STAY),
        (Claim("primary", 1), Claim("independent", 2), Verdict.STAY),
        (Claim("primary", 2), Claim("primary", 2), Verdict.FENCE),
        (Claim("yielding", 1, "a"), Claim("primary", 2, "a"), Verdict.FOLLOW),
        (Claim("yielding", 1, "b"), Claim("primary", 2, "a"), Verdict.FENCE),
        (Claim("yielding", 1, "a"), Claim("standby", 1, "a"), Verdict.STAY),
        (Claim("standby", 1), Claim("primary", 1), Verdict.STAY),
        (Claim("standby", 1), Claim("primary", 3), Verdict.CATCH_UP),
        (Claim("fenced", 1), Claim("primary", 2), Verdict.STAY),
        (Claim("independent", 1), Claim("primary", 2), Verdict.STAY),
    ],
)
def test_what_another_sites_claim_means(own: Claim, other: Claim | None, verdict: Verdict) -> None:
    assert judge(own, other) is verdict


@given(CLAIMS, CLAIMS)
def test_of_two_sites_that_hear_each_other_at_most_one_goes_on_to_write(one: Claim, two: Claim) -> None:
    pairs = [(own, other) for own, other in ((one, two), (two, one)) if own.role in RULING]
    assert sum(judge(own, other) is Verdict.STAY for own, other in pairs) <= 1 or len(pairs) < 2


@given(st.lists(st.integers(1, 9), min_size=1))
def test_an_epoch_that_begins_is_higher_than_all_that_were_heard_of(heard: list[int]) -> None:
    assert all(next_epoch(*heard) > epoch for epoch in heard)


def test_no_site_is_what_no_site_can_be() -> None:
    with pytest.raises(ValueError, match="no site is 'king'"):
        Claim("king", 1)
    with pytest.raises(ValueError, match="epoch 0"):
        Claim("primary", 0)
