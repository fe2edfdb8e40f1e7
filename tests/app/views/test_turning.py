from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.app.views.recovery import AlarmSeen, OtherSeen, RecoverySeen, RoundSeen, rpo_of
from isthmus.app.views.turning import ACTS, Guide, guide_of, offered
from isthmus.faces.console.words import _all_texts

NOW = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
OTHER = OtherSeen("south", "standby", 1, NOW - timedelta(seconds=5), "20260501_075900", NOW, 0, 10**9, "1")
PRIMARY = RecoverySeen("north", "south", "http", "primary", 1, NOW, shows="20260501_075900", other=OTHER)
STANDBY = RecoverySeen(
    "south", "north", "http", "standby", 1, NOW, shows="20260501_075900",
    other=replace(OTHER, site="north", role="primary", made=NOW - timedelta(hours=1)),
)  # fmt: skip


def verdicts(guide: Guide) -> dict[str, str]:
    return {look.name: look.verdict for look in guide.looks}


def test_a_switchover_of_a_pair_that_runs_is_possible_without_reserve() -> None:
    guide = guide_of("switchover", PRIMARY)
    assert guide.possible
    assert set(verdicts(guide).values()) == {"well"}
    assert guide.word == "south"


@pytest.mark.parametrize(
    ("change", "look"),
    [
        ({"role": "standby"}, "role"),
        ({"answers": False}, "road"),
        ({"other": None}, "follows"),
        ({"other": replace(OTHER, role="independent")}, "follows"),
        ({"other": replace(OTHER, epoch=2)}, "follows"),
    ],
)
def test_a_switchover_is_not_possible_where_the_other_could_not_take_over(
    change: dict[str, object], look: str
) -> None:
    guide = guide_of("switchover", replace(PRIMARY, **change))
    assert not guide.possible
    assert verdicts(guide)[look] == "wrong"


@pytest.mark.parametrize(
    ("change", "look"),
    [
        ({"other": replace(OTHER, made=NOW - timedelta(minutes=3))}, "heard"),
        ({"other": replace(OTHER, missing=4)}, "missing"),
        ({"other": replace(OTHER, barrier="20260501_075800")}, "level"),
        ({"stopped": True}, "stopped"),
        ({"alarms": (AlarmSeen("GAP", "gone", "carry"),)}, "alarms"),
    ],
)
def test_what_only_delays_a_switchover_is_told_and_may_be_passed_over(
    change: dict[str, object], look: str
) -> None:
    guide = guide_of("switchover", replace(PRIMARY, **change))
    assert guide.possible
    assert verdicts(guide)[look] == "beware"


def test_a_switchover_that_began_may_be_gone_on_with() -> None:
    taken = replace(OTHER, role="primary", epoch=2)
    assert guide_of("switchover", replace(PRIMARY, role="yielding", other=taken)).possible


def test_a_failover_wants_a_round_that_came_whole_and_is_confirmed_by_this_sites_own_name() -> None:
    guide = guide_of("failover", STANDBY)
    assert guide.possible
    assert guide.word == "south"
    nothing = guide_of("failover", replace(STANDBY, shows=""))
    assert (nothing.possible, verdicts(nothing)["whole"]) == (False, "wrong")


def test_a_failover_warns_where_the_primary_was_just_heard() -> None:
    assert STANDBY.other is not None
    lives = replace(STANDBY, other=replace(STANDBY.other, made=NOW))
    assert verdicts(guide_of("failover", lives))["lives"] == "beware"
    assert guide_of("failover", lives).possible


def test_a_failback_wants_a_primary_of_a_later_epoch() -> None:
    taken = replace(OTHER, role="primary", epoch=2)
    fenced = replace(PRIMARY, role="fenced", other=taken)
    assert guide_of("failback", fenced).possible
    assert not guide_of("failback", replace(fenced, other=replace(taken, epoch=1))).possible
    assert not guide_of("failback", replace(fenced, other=None)).possible


@pytest.mark.parametrize("role", ["primary", "standby", "yielding", "fenced", "independent"])
def test_an_act_is_offered_only_where_its_role_is_well(role: str) -> None:
    for act in ACTS:
        seen = replace(PRIMARY, role=role)
        fits = verdicts(guide_of(act, seen))["role"] == "well"
        assert (act not in offered(seen)) or fits


TIMES = st.datetimes(datetime(2026, 5, 1), datetime(2026, 5, 2)).map(lambda one: one.replace(tzinfo=UTC))
SEEN = st.builds(
    RecoverySeen,
    st.just("north"),
    st.just("south"),
    st.sampled_from(["http", "gate"]),
    st.sampled_from(["primary", "standby", "yielding", "fenced", "independent"]),
    st.integers(1, 3),
    st.just(NOW),
    shows=st.sampled_from(["", "20260501_075900"]),
    answers=st.booleans(),
    stopped=st.booleans(),
    lag=st.integers(0, 2),
    missing=st.integers(0, 2),
    other=st.none()
    | st.builds(
        OtherSeen, st.just("south"), st.sampled_from(["primary", "standby", "fenced"]), st.integers(1, 3), TIMES,
        st.sampled_from(["", "20260501_075900"]), st.none(), st.integers(0, 1), st.just(0), st.just(""),
    ),
)  # fmt: skip


@given(SEEN, st.sampled_from(ACTS))
def test_whatever_is_found_has_words_whose_places_are_filled(seen: RecoverySeen, act: str) -> None:
    for look in guide_of(act, seen).looks:  # type: ignore[arg-type]
        for text in _all_texts()[f"recovery.look.{look.name}.{look.verdict}"]:
            assert text.format_map(look.values)


ROUNDS = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 600), st.sampled_from(["FINISH", "DROPPED"])), max_size=12
)


@given(ROUNDS)
def test_the_rpo_is_never_negative_grows_by_the_clock_and_falls_only_when_a_round_arrives(
    given_rounds: list[tuple[int, int, str]],
) -> None:
    begin = NOW - timedelta(days=1)
    rounds = [
        RoundSeen("restore", "", "", False, state, None, 0, 0, begin + timedelta(seconds=at), None,
                  begin + timedelta(seconds=at + took), "")
        for at, took, state in given_rounds
    ]  # fmt: skip
    points = rpo_of(rounds, NOW)
    assert all(seconds >= 0 for _, seconds in points)
    assert [at for at, _ in points] == sorted(at for at, _ in points)
    for (at, before), (then, after) in itertools.pairwise(points):
        passed = (then - at).total_seconds()
        assert abs(after - (before + passed)) < 1e-6 or (passed == 0 and after <= before)
    assert bool(points) == any(one.state == "FINISH" for one in rounds)
