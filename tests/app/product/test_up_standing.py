from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.app.product import standing as stands
from isthmus.app.product.standing import (
    BACKING_OFF,
    FAILED,
    PART,
    RESTING,
    RUNNING,
    STARTING,
    STOPPED,
    STOPPING,
    Standing,
    asked_to_stop,
    begun,
    ended,
    passed,
    pause,
    ready,
)
from isthmus.app.upconfig import Restarting

_CODES = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 130, -9, -15])
_RULES = st.builds(
    Restarting,
    tries=st.integers(0, 6),
    first_wait_s=st.floats(0.01, 5),
    longest_wait_s=st.floats(5, 100),
    steady_s=st.floats(0, 100),
    grace_s=st.floats(0, 30),
)
_HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("ended"), _CODES),
        st.tuples(st.sampled_from(["ready", "stop"]), st.just(0)),
        st.tuples(st.just("time"), st.integers(0, 200)),
    ),
    max_size=60,
)


@settings(max_examples=600)
@given(_RULES, _HAPPENINGS, st.booleans(), st.sampled_from([0.0, 30.0]), st.floats(0, 1))
def test_whatever_happens_a_part_stands_as_the_rules_say(
    rules: Restarting, happenings: list[tuple[str, int]], tells: bool, every_s: float, dice: float
) -> None:
    now, one = 1.0, begun(1.0, tells=tells)
    stopped, last = False, 0
    for what, value in happenings:
        before = one
        if what == "time":
            now += value
            one, act = passed(now, one)
            assert (act == "start") == (
                before.state in (BACKING_OFF, RESTING) and one.due is not None and now >= one.due
            )
            assert act != "kill" or before.state == STOPPING
            if act == "start":
                assert not stopped, "what was asked to end is never started again"
                one = begun(now, tells=tells, before=one)
                assert one.restarts == before.restarts + 1
        elif what == "ready":
            one = ready(now, one)
        elif what == "stop":
            one, act = asked_to_stop(now, one, rules)
            assert (act == "terminate") == (before.state in (STARTING, RUNNING))
            stopped = True
        elif one.alive:
            one, last = ended(now, one, value, rules, every_s=every_s, dice=dice), value
        assert one.state in PART.states
        assert one.state != before.state or one.failures == before.failures or not one.alive
        assert one.state not in (BACKING_OFF, RESTING) or one.due is not None, "nothing would ever start it again"
        assert not stopped or one.state in (STOPPING, STOPPED, FAILED)
        if one.state == FAILED and before.state != FAILED:
            assert last == 2 or (rules.tries and one.failures >= rules.tries and not every_s and last != 4)
        if one.state == BACKING_OFF and before.alive:
            assert last != 2
            assert one.due is not None
            assert 0.499 * rules.first_wait_s <= one.due - now <= 1.001 * rules.longest_wait_s
        if one.state == RESTING and before.alive:
            assert (last, one.failures) == (0, 0)


@given(_RULES, st.integers(1, 2000), st.floats(0, 1))
def test_a_pause_doubles_up_to_its_bound_and_chance_only_shortens_it(
    rules: Restarting, failures: int, dice: float
) -> None:
    whole = pause(failures, rules)
    assert whole == min(rules.longest_wait_s, rules.first_wait_s * 2.0 ** min(failures - 1, 64))
    assert whole / 2 <= pause(failures, rules, dice) <= whole
    assert pause(failures, rules) <= pause(failures + 1, rules)


def test_a_part_that_crashes_is_given_up_after_so_many_failures_in_a_row() -> None:
    rules, now, one, starts = Restarting(tries=5), 1.0, begun(1.0, tells=True), 1
    while one.state != FAILED:
        one = ended(now, one, -9, rules)
        if one.due is not None:
            now = one.due
            one, act = passed(now, one)
            assert act == "start"
            one, starts = begun(now, tells=True, before=one), starts + 1
    assert (starts, one.failures, one.why) == (5, 5, "it was ended by signal 9")


def test_a_part_that_ran_long_had_no_failure_before() -> None:
    rules = Restarting(tries=2, steady_s=60)
    one = Standing(RUNNING, 100.0, failures=1)
    assert ended(159.0, one, 1, rules).state == FAILED
    assert ended(160.0, one, 1, rules).failures == 1
    assert ended(160.0, one, 1, rules).state == BACKING_OFF


def test_wrong_input_is_never_tried_again_and_what_is_held_is_always_waited_for() -> None:
    one, rules = Standing(RUNNING, 1.0, failures=100), Restarting(tries=1)
    assert ended(2.0, one, 2, rules).state == FAILED
    assert ended(2.0, one, 4, rules).state == BACKING_OFF


def test_a_part_that_says_nothing_is_ready_when_it_has_run_for_a_moment() -> None:
    quiet, telling = begun(1.0, tells=False), begun(1.0, tells=True)
    assert passed(1.0 + stands.SETTLES_S, quiet)[0].state == RUNNING
    assert passed(1e6, telling)[0].state == STARTING


def test_a_part_that_does_not_end_is_killed_once() -> None:
    one, act = asked_to_stop(10.0, Standing(RUNNING, 1.0), Restarting(grace_s=5))
    assert act == "terminate"
    assert passed(14.9, one) == (one, "")
    one, act = passed(15.0, one)
    assert (act, one.state) == ("kill", STOPPING)
    assert passed(1e6, one)[1] == ""
    assert ended(16.0, one, -9, Restarting()).state == STOPPED
