from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.limits import BREAKER, Breaker, Bucket, Gate
from isthmus.acquire.fetch.settings import Storage
from isthmus.acquire.fetch.turns import Lane, Turns

DOWN = Failure(Kind.UNREACHABLE, "down")
MISSING = Failure(Kind.GONE, "404")


def gate(concurrency: int = 2, rate: float = 0.0, burst: int = 1, failures: int = 3) -> Gate:
    settings = Storage(hosts=("*",), concurrency=concurrency, rate=rate, burst=burst, failures=failures, open_s=10)
    return Gate.of(settings, 0.0)


def test_a_breaker_opens_after_failures_in_a_row_lets_one_try_and_closes_when_it_is_well() -> None:
    breaker = Breaker(limit=3, open_s=10)
    for failure in (DOWN, DOWN, None, DOWN, MISSING, DOWN, DOWN):
        breaker.note(failure, 0.0)
        assert breaker.rest_s(0.0) == 0
    breaker.note(DOWN, 5.0)
    assert breaker.rest_s(5.0) == 10
    breaker.note(DOWN, 9.0)  # one begun before, which does not prolong it
    assert breaker.rest_s(14.0) == 1
    assert breaker.rest_s(15.0) == 0
    assert breaker.state == "half-open"
    breaker.note(DOWN, 16.0)
    assert breaker.rest_s(16.0) == 10
    assert breaker.rest_s(26.0) == 0
    breaker.note(None, 27.0)
    assert breaker.state == "closed"


def test_a_server_that_asks_for_patience_is_left_alone_for_so_long() -> None:
    breaker = Breaker(limit=1, open_s=10)
    breaker.note(Failure(Kind.THROTTLED, "429", 120.0), 0.0)
    assert breaker.rest_s(0.0) == 120


@given(st.lists(st.tuples(st.sampled_from([None, DOWN, MISSING]), st.floats(0, 20)), max_size=60))
def test_a_breaker_knows_every_event_in_every_state(steps: list[tuple[Failure | None, float]]) -> None:
    breaker, now = Breaker(limit=2, open_s=5), 0.0
    for failure, pause in steps:
        now += pause
        rest = breaker.rest_s(now)
        assert 0 <= rest <= 600
        assert (rest > 0) == (breaker.state == "open")
        breaker.note(failure, now)
        assert breaker.state in BREAKER.states
        assert breaker.state == "closed" or breaker.row >= 1


@given(st.floats(0.5, 100), st.integers(1, 20), st.lists(st.floats(0, 0.5), min_size=1, max_size=100))
def test_a_bucket_never_lets_more_begin_than_its_rate_and_burst(
    rate: float, burst: int, pauses: list[float]
) -> None:
    bucket, now, begun = Bucket(rate, burst, burst, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        while bucket.wait_s(now) == 0:
            bucket.take()
            begun += 1
        assert begun <= burst + rate * now + 1e-6
        assert bucket.wait_s(now) <= 1 / rate + 1e-9
    assert begun >= min(burst, 1)


@given(
    st.dictionaries(st.integers(0, 4), st.tuples(st.integers(1, 3), st.integers(0, 12)), min_size=1),
    st.randoms(use_true_random=False),
)
def test_all_gets_its_turn_and_no_server_has_more_at_a_time_than_allowed(
    lanes: dict[int, tuple[int, int]], dice: object
) -> None:
    turns: Turns[tuple[int, int]] = Turns()
    for name, (concurrency, count) in lanes.items():
        lane = turns.lane(name, lambda concurrency=concurrency: gate(concurrency))
        for number in range(count):
            turns.add(lane, (name, number))
    running: list[tuple[tuple[int, int], Lane[tuple[int, int]]]] = []
    done: dict[int, list[int]] = defaultdict(list)
    while True:
        while (turn := turns.next(0.0)) is not None:
            running.append(turn)
        at_once = Counter(name for (name, _), _ in running)
        assert all(at_once[name] == min(lanes[name][0], lanes[name][1] - len(done[name])) for name in lanes)
        if not running:
            break
        (name, number), lane = running.pop(dice.randrange(len(running)))  # type: ignore[attr-defined]
        done[name].append(number)
        turns.end(lane, dice.choice([None, MISSING]), 0.0)  # type: ignore[attr-defined]
    assert {name: sorted(numbers) for name, numbers in done.items()} == {
        name: list(range(count)) for name, (_, count) in lanes.items()
    }
    assert turns.waiting == 0


def test_servers_take_turns_however_much_waits_for_one() -> None:
    turns: Turns[str] = Turns()
    for name, count in (("busy", 1000), ("small", 3)):
        lane = turns.lane(name, lambda: gate(100))
        for _ in range(count):
            turns.add(lane, name)
    first = [turns.next(0.0)[0] for _ in range(6)]  # type: ignore[index]
    assert first == ["busy", "small"] * 3


def test_a_server_that_never_answers_keeps_its_own_places_and_no_others() -> None:
    turns: Turns[str] = Turns()
    stuck, quick = turns.lane("stuck", lambda: gate(2)), turns.lane("quick", lambda: gate(2))
    for _ in range(50):
        turns.add(stuck, "stuck")
        turns.add(quick, "quick")
    served = 0
    while (turn := turns.next(0.0)) is not None:
        if turn[0] == "quick":
            served += 1
            turns.end(quick, None, 0.0)
    assert served == 50
    assert stuck.gate.running == 2


def test_the_last_places_go_to_servers_that_have_nothing_running() -> None:
    turns: Turns[str] = Turns()
    for name, count in (("slow", 9), ("other", 1)):
        lane = turns.lane(name, lambda: gate(100))
        for _ in range(count):
            turns.add(lane, name)
    assert turns.next(0.0) is not None
    slow = turns.lane("slow", gate)
    assert turns.next(0.0, idle_only=True) == ("other", turns.lane("other", gate))
    assert turns.next(0.0, idle_only=True) is None
    assert turns.next(0.0) == ("slow", slow)


def test_what_waits_for_a_server_whose_breaker_opens_is_handed_back_at_once() -> None:
    turns: Turns[int] = Turns()
    lane = turns.lane("down", lambda: gate(1, failures=2))
    for number in range(5):
        turns.add(lane, number)
    for _ in range(2):
        assert turns.next(0.0) is not None
        turns.end(lane, DOWN, 0.0)
    assert [(item, rest) for item, _, rest in turns.broken()] == [(2, 10), (3, 10), (4, 10)]
    turns.add(lane, 5)
    assert turns.next(4.0) is None
    assert [(item, rest) for item, _, rest in turns.broken()] == [(5, 6)]
    for number in (6, 7):
        turns.add(lane, number)
    assert turns.next(10.0) == (6, lane)
    assert turns.next(10.0) is None  # half-open: one tries alone
    turns.end(lane, None, 11.0)
    assert turns.next(11.0) == (7, lane)


def test_a_rate_puts_a_server_aside_until_its_time() -> None:
    turns: Turns[int] = Turns()
    lane = turns.lane("slow", lambda: gate(9, rate=2.0, burst=1))
    for number in range(3):
        turns.add(lane, number)
    assert turns.next(0.0) == (0, lane)
    assert turns.next(0.1) is None
    assert turns.wake_s(0.1) == pytest.approx(0.4)
    assert turns.next(0.5) == (1, lane)


def test_what_is_taken_out_never_has_a_turn() -> None:
    turns: Turns[int] = Turns()
    lane = turns.lane("a", lambda: gate(9))
    for number in range(6):
        turns.add(lane, number)
    assert turns.take_out(lambda number: number % 2 == 0) == [0, 2, 4]
    assert [turns.next(0.0), turns.next(0.0), turns.next(0.0), turns.next(0.0)] == [
        (1, lane),
        (3, lane),
        (5, lane),
        None,
    ]


def test_idle_servers_are_forgotten_and_busy_ones_kept() -> None:
    turns: Turns[int] = Turns(most_idle=4)
    busy = turns.lane("busy", gate)
    turns.add(busy, 1)
    for number in range(50):
        turns.lane(number, gate)
    assert turns.lane("busy", gate) is busy
    assert len(list(turns.lanes())) <= 5
