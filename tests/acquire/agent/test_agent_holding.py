"""Whatever order results, failures, refusals and losses come in, a task is in one place or has ended."""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from examples import examples
from isthmus.acquire.agent.bench import Reach
from isthmus.acquire.agent.holding import Holding, held_of
from isthmus.acquire.agent.pace import Pace, wanted
from isthmus.acquire.agent.settings import AgentSettings
from isthmus.acquire.delivery.package import INLINE_BYTES, MOST_ITEMS, MOST_TOGETHER
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.ports import Got, Held, Parcel, Task

GATHER_S = 0.02
BIG = bytes(INLINE_BYTES)
BIGGER = bytes(INLINE_BYTES + 1)


class Hands(RuleBasedStateMachine):
    """An agent's hands against a plain dictionary of where each task is."""

    def __init__(self) -> None:
        super().__init__()
        self.holding = Holding(GATHER_S)
        self.where: dict[Held, str] = {}
        self.keys: dict[int, Held] = {}
        self.going: list[list[Parcel]] = []
        self.now, self.made = 0.0, 0

    @rule(count=st.integers(1, 40))
    def claim(self, count: int) -> None:
        tasks = [Task(self.made + n, 1, 1, "a", "r", "t") for n in range(count)]
        self.made += count
        self.holding.took(tasks)
        self.where.update((Held(task.request, 1), "waiting") for task in tasks)

    @rule(room=st.integers(0, 64))
    def begin(self, room: int) -> None:
        for key, task in self.holding.begin(room):
            self.keys[key] = Held(task.request, 1)
            assert self.where[self.keys[key]] == "waiting"
            self.where[self.keys[key]] = "fetching"

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), content=st.sampled_from([b"", b"x" * 20_000, BIG, BIGGER, None, Path("/file")]))
    def come(self, data: st.DataObject, content: bytes | Path | None) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.keys)), unique=True, max_size=20))
        outcome: Got | Failure = Failure(Kind.GONE, "404")
        if content is not None:
            size = len(content) if isinstance(content, bytes) else 10
            outcome = Got(content, size, blake3(b"").hexdigest())
        unwanted = self.holding.came([(key, outcome) for key in keys], self.now)
        lost = [key for key in keys if self.keys[key] not in self.where]
        assert len(unwanted) == (len(lost) if isinstance(outcome, Got) else 0)
        for key in keys:
            held = self.keys.pop(key)
            if held in self.where:
                self.where[held] = "ready"

    @rule(later=st.floats(0, 0.05))
    def send(self, later: float) -> None:
        self.now += later
        group = self.holding.group(self.now)
        if not group:
            return
        sizes = [one.outcome.size for one in group if isinstance(one.outcome, Got)]
        assert len(group) <= MOST_ITEMS and (len(group) == 1 or sum(sizes) <= MOST_TOGETHER)
        assert len(group) == 1 or not any(size > INLINE_BYTES for size in sizes)
        for parcel in group:
            assert self.where[held_of(parcel)] == "ready"
            self.where[held_of(parcel)] = "going"
        self.going.append(group)

    @precondition(lambda self: self.going)
    @rule(data=st.data(), fine=st.booleans(), alone=st.booleans())
    def answer(self, data: st.DataObject, fine: bool, alone: bool) -> None:
        group = self.going.pop(data.draw(st.integers(0, len(self.going) - 1)))
        if fine:
            files = self.holding.done(group)
            assert len(files) == sum(
                isinstance(one.outcome, Got) and isinstance(one.outcome.content, Path) for one in group
            )
        else:
            self.holding.back(group, alone=alone)
        for parcel in group:
            if fine:
                del self.where[held_of(parcel)]
            else:
                self.where[held_of(parcel)] = "ready"

    @precondition(lambda self: self.where)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        held = data.draw(st.lists(st.sampled_from(sorted(self.where, key=lambda one: one.request)), max_size=9))
        keys = self.holding.lost(held)
        assert all(self.keys[key] in held for key in keys)
        for one in held:
            if self.where.get(one) in ("waiting", "fetching"):
                del self.where[one]

    @rule()
    def stop(self) -> None:
        given = self.holding.give_up()
        keys, others = self.holding.stop_fetching()
        assert {self.keys[key] for key in keys} == set(others)
        for one in (*given, *others):
            assert self.where.pop(one) in ("waiting", "fetching")

    @invariant()
    def all_are_held_and_weighed(self) -> None:
        assert sorted(self.holding.held(), key=lambda one: one.request) == sorted(
            self.where, key=lambda one: one.request
        )
        assert self.holding.count == len(self.where)
        assert self.holding.bytes >= 0
        if not self.holding.unsent and not self.holding.going:
            assert self.holding.bytes == 0

    def teardown(self) -> None:
        self.now += 1
        while group := self.holding.group(self.now):  # whatever happened, all that came can be sent
            self.holding.done(group)
        assert not self.holding.unsent


Hands.TestCase.settings = settings(max_examples=examples(15), stateful_step_count=25, deadline=None)
TestHands = Hands.TestCase


def test_small_results_wait_for_others_only_while_others_may_come() -> None:
    holding = Holding(GATHER_S)
    holding.took([Task(n, 1, 1, "a", "r", "t") for n in range(3)])
    begun = holding.begin(3)
    holding.came([(begun[0][0], Failure(Kind.GONE, ""))], 1.0)
    assert not holding.group(1.0 + GATHER_S / 2)
    assert len(holding.group(1.0 + GATHER_S)) == 1
    holding.came([(key, Failure(Kind.GONE, "")) for key, _ in begun[1:]], 2.0)
    assert len(holding.group(2.0)) == 2


@given(
    st.none() | st.floats(0, 1e5),
    st.integers(0, 2000),
    st.integers(0, 5000),
    st.integers(0, 5000),
    st.floats(1, 600),
)
def test_never_more_is_claimed_than_may_be_held_nor_twice_what_a_lease_allows(
    rate: float | None, room: int, waiting: int, more: int, lease_s: float
) -> None:
    bounds = AgentSettings()
    most = wanted(rate, room, waiting, waiting + more, lease_s, bounds)
    assert 0 <= most <= max(0, bounds.most_held - waiting - more)
    if rate is not None and most:
        assert waiting + most <= max(16, 2 * rate * lease_s + 1)
    if waiting == 0 and more == 0:
        assert most >= 16


def test_the_pace_is_that_of_the_time_in_which_something_was_fetched() -> None:
    pace = Pace()
    for second in range(10):
        pace.note(100, True, float(second))
    assert pace.rate is not None and 99 < pace.rate < 101
    pace.note(0, False, 10.0)
    before = pace.rate
    for second in range(11, 1000):
        pace.note(0, False, float(second))  # idle
    assert pace.rate == before


@given(st.lists(st.sampled_from(["try", "fail", "fine", "wait"]), max_size=60), st.floats(0, 1))
def test_one_try_at_a_time_is_made_while_the_server_is_away(acts: list[str], dice: float) -> None:
    bounds = AgentSettings()
    reach, now, trying = Reach(bounds, lambda: dice), 0.0, 0
    for act in acts:
        if act == "wait":
            now += bounds.most_pause_s
        elif act == "try" and reach.may(now):
            assert reach.since is None or trying == 0
            reach.begin()
            trying += reach.since is not None
        elif act == "fail" and (trying or reach.since is None):
            reach.failed(now)
            trying = 0
            assert not reach.may(now)
            assert now + bounds.least_pause_s / 2 <= reach.next_try <= now + bounds.most_pause_s
        elif act == "fine" and (trying or reach.since is None):
            reach.fine()
            trying = 0
            assert reach.may(now)
