"""The ledger against a plain model: whatever is called in whatever order, both tell the same.

The model knows states, fences, leaders and events, and nothing of turns: which requests a claim brings is checked
against what may be leased; fairness has a test of its own. Every UPDATE of a state must be a row of the machine.
"""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import acquire_servers
from acquire_making import asking, at, filed, wish
from acquire_model import Asked, Model
from examples import examples
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.ports import Held, Missed, Settled, Which
from isthmus.acquire.queue.ledger import SqlLedger
from isthmus.acquire.queue.postgres import PostgresLedger
from isthmus.acquire.queue.sqlite import SqliteLedger
from isthmus.acquire.states import LIVE, REQUESTS, State

ENVIRONMENTS = ("public", "intranet")
MOST_ATTEMPTS = 3
LEASE_S = 20
_STATE = {state.word: state for state in State}
_PAIRS = {(int(_STATE[row.source]), int(_STATE[row.target])) for row in REQUESTS.rows}


class LedgerMachine(RuleBasedStateMachine):
    """Calls both."""

    def open(self) -> SqlLedger:
        """Open an empty ledger."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.ledger = self.open()
        self.model = Model()
        self.now = 0.0
        self.batches: list[str] = []
        self.held: list[Held] = []
        self.counter = itertools.count()

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()

    @rule(seconds=st.sampled_from([0.5, 3, 15, 40]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        asked=st.lists(
            st.tuples(
                st.sampled_from(ENVIRONMENTS),
                st.sampled_from([None, None, "j", "k"]),
                st.sampled_from([None, None, 5, 30]),
                st.sampled_from([5, 5, 9]),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def accept(self, asked: list[tuple[str, str | None, float | None, int]]) -> None:
        wishes = [
            wish(
                f"r{next(self.counter)}", environment, dedup=dedup, priority=priority,
                deadline=None if seconds is None else at(self.now + seconds),
            )
            for environment, dedup, seconds, priority in asked
        ]  # fmt: skip
        accepted = self.ledger.accept(asking(), wishes, at(self.now))
        first = int(accepted.batch.partition("-")[0])
        following = 0
        for number, (environment, dedup, seconds, _) in enumerate(asked, first):
            deadline = None if seconds is None else self.now + seconds
            one = Asked(number, accepted.batch, environment, dedup, deadline)
            leader = self.model.leader(dedup) if dedup else None
            self.model.requests[number] = one
            if leader is not None and leader.image is not None:
                one.state, one.leader, one.image = State.DONE, leader.image, leader.image
                self.model.events.append(("done", number))
            elif leader is not None:
                one.state, one.leader = State.FOLLOWING, leader.number
                following += 1
        assert (accepted.requests, accepted.following) == (len(asked), following)
        self.batches.append(accepted.batch)

    @rule(environment=st.sampled_from(ENVIRONMENTS), agent=st.sampled_from("ab"), most=st.integers(1, 4))
    def claim(self, environment: str, agent: str, most: int) -> None:
        tasks = self.ledger.claim(environment, agent, most, LEASE_S, at(self.now))
        may = {
            one.number
            for one in self.model.requests.values()
            if one.state is State.QUEUED
            and one.environment == environment
            and (one.deadline is None or one.deadline > self.now)
        }
        assert len(tasks) == min(most, len(may))
        assert {task.request for task in tasks} <= may
        for task in tasks:
            one = self.model.requests[task.request]
            one.state, one.fence, one.attempts = State.LEASED, one.fence + 1, one.attempts + 1
            one.agent, one.due = agent, self.now + LEASE_S
            assert (task.fence, task.attempt) == (one.fence, one.attempts)
            self.held.append(Held(task.request, task.fence))

    def judged(self, held: Held, image: bool) -> str:
        one = self.model.requests[held.request]
        if held.fence != one.fence:
            return "stale"
        if image and one.state is State.DONE:
            return "again"
        if not image and one.missed == one.fence:
            return "again"
        return "taken" if one.state in LIVE else "over"

    @precondition(lambda self: self.held)
    @rule(chosen=st.lists(st.integers(0, 30), min_size=1, max_size=4), content=st.integers(0, 3))
    def settle(self, chosen: list[int], content: int) -> None:
        held = [self.held[-1 - number % len(self.held)] for number in chosen]
        outcomes = [Settled(h.request, h.fence, filed(h.request, content or None)) for h in held]
        said = self.ledger.settle(outcomes, at(self.now))
        ended: dict[int, Asked] = {}
        for one, verdict in zip(held, said, strict=True):
            if one.request in ended:
                assert verdict in ("again", "stale")
                continue
            assert verdict == self.judged(one, True)
            if verdict == "taken":
                ended[one.request] = self.model.requests[one.request]
        self.model.done(list(ended.values()))

    @precondition(lambda self: self.held)
    @rule(chosen=st.integers(0, 30), retry_s=st.sampled_from([None, 1, 10]))
    def miss(self, chosen: int, retry_s: float | None) -> None:
        held = self.held[-1 - chosen % len(self.held)]
        failure = Failure(Kind.TIMEOUT, "slow")
        (said,) = self.ledger.settle([Missed(held.request, held.fence, failure, retry_s)], at(self.now))
        assert said == self.judged(held, False)
        one = self.model.requests[held.request]
        if said != "taken":
            return
        one.missed, one.kind = one.fence, Kind.TIMEOUT.value
        if one.state is not State.LEASED:
            return
        one.agent = ""
        if retry_s is None:
            self.model.fail([one], Kind.TIMEOUT)
        elif one.batch in self.model.paused:
            one.state, one.due = State.PAUSED, None
        else:
            one.state, one.due = State.WAITING, self.now + retry_s

    @precondition(lambda self: self.held)
    @rule(agent=st.sampled_from("ab"), give_back=st.booleans())
    def beat_or_release(self, agent: str, give_back: bool) -> None:
        held = self.held[-4:]
        mine = {h for h in held if self.holds(agent, h)}
        if not give_back:
            assert set(self.ledger.beat(agent, held, LEASE_S, at(self.now))) == set(held) - mine
            for one in mine:
                self.model.requests[one.request].due = self.now + LEASE_S
            return
        assert self.ledger.release(agent, held, at(self.now)) == len(mine)
        for one in mine:
            asked = self.model.requests[one.request]
            asked.attempts -= 1
            self.back(asked)

    def holds(self, agent: str, held: Held) -> bool:
        one = self.model.requests[held.request]
        return one.state is State.LEASED and one.agent == agent and one.fence == held.fence

    def back(self, one: Asked) -> None:
        one.state = State.PAUSED if one.batch in self.model.paused else State.QUEUED
        one.agent, one.due = "", None

    @rule()
    def sweep(self) -> None:
        swept = self.ledger.sweep(at(self.now), MOST_ATTEMPTS)
        model, now = self.model, self.now
        passed = [one for one in model.requests.values() if one.deadline is not None and one.deadline <= now]
        early = [one for one in passed if one.state in LIVE - {State.LEASED}]
        model.end(early, State.EXPIRED)
        out = [one for one in model.requests.values() if one.state is State.LEASED and (one.due or 0) <= now]
        late = [one for one in out if one.deadline is not None and one.deadline <= now]
        lost = [one for one in out if one not in late and one.attempts >= MOST_ATTEMPTS]
        released = [one for one in out if one not in late and one not in lost]
        model.end(late, State.EXPIRED)
        model.fail(lost, Kind.LOST)
        for one in released:
            self.back(one)
        due = [one for one in model.requests.values() if one.state is State.WAITING and (one.due or 0) <= now]
        for one in due:
            one.state, one.due = State.QUEUED, None
        assert swept == {
            "due": len(due), "lost": len(released), "failed": len(lost), "expired": len(early) + len(late),
        }  # fmt: skip

    @precondition(lambda self: self.batches)
    @rule(chosen=st.integers(0, 20), act=st.sampled_from(["cancel", "pause", "resume", "retry"]))
    def steer(self, chosen: int, act: str) -> None:
        batch, model = self.batches[-1 - chosen % len(self.batches)], self.model
        if act == "cancel":
            ending = model.of(batch, *LIVE)
            assert self.ledger.cancel(batch, at(self.now)) == len(ending)
            model.end(ending, State.CANCELLED)
        elif act == "pause":
            stopped = model.of(batch, State.QUEUED, State.WAITING)
            assert self.ledger.pause(batch, at(self.now)) == len(stopped)
            model.paused.add(batch)
            for one in stopped:
                one.state, one.due = State.PAUSED, None
        elif act == "resume":
            going = model.of(batch, State.PAUSED)
            assert self.ledger.resume(batch, at(self.now)) == len(going)
            model.paused.discard(batch)
            for one in going:
                one.state = State.QUEUED
        else:
            self.retry(batch)

    def retry(self, batch: str) -> None:
        model = self.model
        again = model.of(batch, State.FAILED, State.EXPIRED)
        assert self.ledger.retry(batch, [], at(self.now)) == len(again)
        leading: dict[str, int] = {}
        for one in again:
            leader = model.leader(one.dedup) if one.dedup else None
            if one.dedup and leader is not None and leader.image is None:
                leading[one.dedup] = leader.number
        for one in again:
            if one.state is State.EXPIRED or (one.deadline is not None and one.deadline <= self.now):
                one.deadline = None
            one.state, one.attempts, one.kind, one.leader = State.QUEUED, 0, None, None
            ahead = leading.setdefault(one.dedup, one.number) if one.dedup else one.number
            if ahead != one.number:
                one.state, one.leader = State.FOLLOWING, ahead
            elif batch in model.paused:
                one.state = State.PAUSED

    @rule(chosen=st.lists(st.integers(0, 10), max_size=3))
    def images_are_removed(self, chosen: list[int]) -> None:
        requests = [one for one in self.model.requests.values() if one.image is not None]
        numbers = {requests[number % len(requests)].number for number in chosen} if requests else set()
        self.ledger.removed(sorted(numbers), at(self.now))
        for number in numbers:
            self.model.requests[number].image = None

    @invariant()
    def every_request_stands_where_the_model_has_it(self) -> None:
        if not hasattr(self, "ledger"):
            return
        lines = {line.request: line for line in self.ledger.lines(Which(), most=10_000)}
        assert {n: line.state for n, line in lines.items()} == {n: a.state for n, a in self.model.requests.items()}
        for number, one in self.model.requests.items():
            line = lines[number]
            assert line.attempts == one.attempts
            assert line.due == (None if one.due is None else at(one.due))
            assert (line.failure and line.failure.kind.value) == one.kind
            assert (line.filed is not None) == (one.image is not None)

    @invariant()
    def every_end_was_told_once_and_in_order(self) -> None:
        if not hasattr(self, "ledger"):
            return
        events = self.ledger.events(0, most=10_000)
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert self.ledger.latest() == len(events)
        told = [(event.kind, event.request) for event in events]
        assert Counter(told) == Counter(self.model.events)
        done = [request for kind, request in told if kind == "done"]
        assert len(done) == len(set(done))

    @invariant()
    def the_counters_equal_a_recount(self) -> None:
        if not hasattr(self, "ledger"):
            return
        requests = list(self.model.requests.values())
        depths = {depth.environment: dict(depth.counts) for depth in self.ledger.depths(at(self.now))}
        for environment in {one.environment for one in requests}:
            own = Counter(o.state.word for o in requests if o.environment == environment and o.state in LIVE)
            assert depths[environment] == own
        for name in self.batches:
            batch = self.ledger.batch(name)
            own_batch = [one for one in requests if one.batch == name]
            assert batch.counts == Counter(one.state.word for one in own_batch)
            assert batch.failures == Counter(one.kind for one in own_batch if one.state is State.FAILED)
            assert (batch.ended is None) == any(one.state in LIVE for one in own_batch)
            assert batch.paused == (name in self.model.paused)

    @invariant()
    def what_is_due_next_is_known(self) -> None:
        if not hasattr(self, "ledger"):
            return
        dues = [one.due for one in self.model.requests.values() if one.due is not None]
        dues += [
            one.deadline
            for one in self.model.requests.values()
            if one.deadline is not None and one.state in LIVE - {State.LEASED}
        ]
        assert self.ledger.next_due() == (at(min(dues)) if dues else None)


class SqliteMachine(LedgerMachine):
    def open(self) -> SqlLedger:
        self.folder = Path(tempfile.mkdtemp(prefix="isthmus-ledger-"))
        ledger = SqliteLedger(self.folder / "acquire.db")
        pairs = " OR ".join(f"(OLD.state = {a} AND NEW.state = {b})" for a, b in sorted(_PAIRS))
        with sqlite3.connect(self.folder / "acquire.db") as connection:
            connection.execute(
                f"CREATE TRIGGER legal BEFORE UPDATE OF state ON request WHEN NOT ({pairs}) "
                "BEGIN SELECT RAISE(ABORT, 'no row of the machine'); END"
            )
        connection.close()
        return ledger

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


def test_the_ledger_in_sqlite_tells_what_a_plain_model_tells() -> None:
    run_state_machine_as_test(
        SqliteMachine, settings=settings(max_examples=examples(15), stateful_step_count=40, deadline=None)
    )


def test_the_ledger_in_postgres_tells_what_a_plain_model_tells(postgres: acquire_servers.Postgres) -> None:
    schemas = itertools.count()

    class PostgresMachine(LedgerMachine):
        def open(self) -> SqlLedger:
            return PostgresLedger(postgres.dsn, f"model_{next(schemas)}")

    run_state_machine_as_test(
        PostgresMachine, settings=settings(max_examples=examples(3), stateful_step_count=30, deadline=None)
    )
