"""Turns between batches: nobody waits for more than its own share times the batches that wait beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from acquire_making import asking, at, wishes
from examples import examples
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.ports import Missed
from isthmus.acquire.queue.sqlite import SqliteLedger

ACTS = st.one_of(
    st.tuples(st.just("accept"), st.integers(1, 30)),
    st.tuples(st.just("claim"), st.integers(1, 12)),
    st.tuples(st.just("later"), st.integers(1, 8)),
    st.tuples(st.just("sweep"), st.just(0)),
    st.tuples(st.just("pause"), st.integers(0, 5)),
    st.tuples(st.just("resume"), st.integers(0, 5)),
)


@settings(max_examples=examples(25))
@given(before=st.lists(ACTS, max_size=14), count=st.integers(1, 10), after=st.lists(ACTS, max_size=8))
def test_a_batch_waits_for_no_more_than_its_share_beside_each_live_batch(
    before: list[tuple[str, int]], count: int, after: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = SqliteLedger(Path(folder) / "acquire.db")
        scene = _Scene(ledger)
        for act, number in before:
            scene.do(act, number)
        mine = ledger.accept(asking(), wishes(count, "mine"), at(scene.now)).batch
        own, foreign = 0, 0
        script = iter(after)
        while own < count:
            act, number = next(script, ("claim", 1))
            if act != "claim":
                scene.do(act, number)
                continue
            for batch in scene.claim(1):
                own += batch == mine
                foreign += batch != mine
            # each other batch that ever waited beside this one has had as many turns, one of the turn that was
            # being served when this one came, and one for being ahead in the next
            assert foreign <= (own + 2) * len(scene.batches) + own
        ledger.close()


class _Scene:
    """Other batches, about which nothing is known but that they are of the same priority."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger, self.now = ledger, 0.0
        self.batches: list[str] = []
        self.leased: list[tuple[int, int]] = []

    def claim(self, most: int) -> list[str]:
        tasks = self.ledger.claim("public", "agent", most, 10_000, at(self.now))
        self.leased += [(task.request, task.fence) for task in tasks]
        lines = [self.ledger.line(task.request) for task in tasks]
        return [line.batch for line in lines if line is not None]

    def do(self, act: str, number: int) -> None:
        self.now += 1
        if act == "accept":
            self.batches.append(self.ledger.accept(asking(), wishes(number), at(self.now)).batch)
        elif act == "claim":
            self.claim(number)
        elif act == "later":
            some, self.leased = self.leased[:number], self.leased[number:]
            failure = Failure(Kind.TIMEOUT, "slow")
            self.ledger.settle([Missed(*held, failure, 2.0) for held in some], at(self.now))
        elif act == "sweep":
            self.now += 2
            self.ledger.sweep(at(self.now), 9)
        elif self.batches:
            steer = self.ledger.pause if act == "pause" else self.ledger.resume
            steer(self.batches[number % len(self.batches)], at(self.now))


def test_ten_are_served_within_twenty_while_a_hundred_thousand_are_under_way(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "acquire.db")
    ledger.accept(asking(), wishes(100_000, "large"), at(0))
    for _ in range(20):
        ledger.claim("public", "agent", 100, 1_000, at(1))
    ledger.accept(asking("other"), wishes(10, "small"), at(2))
    served = [task.record for task in ledger.claim("public", "agent", 20, 1_000, at(3))]
    assert sum(record.startswith("small") for record in served) == 10
    ledger.close()
