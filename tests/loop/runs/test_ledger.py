from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import Busy, IllegalTransition, UnknownName
from isthmus.loop.runs.ledger import Ask, Ledger
from isthmus.loop.runs.states import RUN
from isthmus.state.store import Store

START = datetime.datetime(2026, 11, 20, 2, 0, tzinfo=datetime.UTC)


class Standing:
    """A clock that moves only when told."""

    def __init__(self, at: datetime.datetime = START) -> None:
        self.at = at

    def now(self) -> datetime.datetime:
        self.at += datetime.timedelta(seconds=1)
        return self.at


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Store(tmp_path / "s"), Standing())


def test_a_run_remembers_what_was_asked_and_what_its_steps_left(ledger: Ledger) -> None:
    run = ledger.begin("forecast", "by hand", Ask("cut_in", {"gap_m": "15"}, "day >= DATE '2026-11-01'"))
    assert (run.id, run.state) == ("forecast-20261120-1", "selecting")
    ledger.move(run.id, "selected", "12 scenes fit", {"count": 12})
    again = ledger.move(run.id, "exported", "600 samples", {"samples": 600})
    assert again.ask == run.ask
    assert (again.state, again.notes) == ("training", {"count": 12, "samples": 600})
    assert [(step.event, step.why) for step in ledger.steps(run.id)] == [
        ("selected", "12 scenes fit"),
        ("exported", "600 samples"),
    ]


def test_two_runs_of_one_pipeline_are_never_open_at_once(ledger: Ledger) -> None:
    first = ledger.begin("forecast", "by hand", Ask())
    with pytest.raises(Busy, match="isthmus loop resume forecast-20261120-1"):
        ledger.begin("forecast", "nightly", Ask())
    assert ledger.begin("other", "nightly", Ask()).is_open
    ledger.move(first.id, "cancel", "no longer wanted")
    assert ledger.begin("forecast", "nightly", Ask()).id == "forecast-20261120-2"


def test_a_step_that_failed_stays_open_and_shows_its_error_until_it_moves_on(ledger: Ledger) -> None:
    run = ledger.begin("forecast", "by hand", Ask())
    ledger.fail(run.id, "the disk is full")
    assert (ledger.get(run.id).error, ledger.get(run.id).is_open) == ("the disk is full", True)
    assert ledger.move(run.id, "selected", "").error == ""


def test_a_finished_run_does_not_move(ledger: Ledger) -> None:
    run = ledger.begin("forecast", "by hand", Ask())
    ledger.move(run.id, "nothing", "no scene fits")
    with pytest.raises(IllegalTransition, match="'kept' is final"):
        ledger.move(run.id, "cancel", "")
    assert ledger.open_run("forecast") is None


def test_an_unknown_run_brings_the_nearest(ledger: Ledger) -> None:
    ledger.begin("forecast", "by hand", Ask())
    with pytest.raises(UnknownName, match="did you mean 'forecast-20261120-1'"):
        ledger.get("forecast-2026112-1")


@given(st.lists(st.integers(0, 9), max_size=25))
def test_whatever_happens_at_most_one_run_is_open_and_its_state_is_a_declared_one(choices: list[int]) -> None:
    ledger = Ledger(Store(Path(":memory:")), Standing())
    for choice in choices:
        run = ledger.open_run("p") or ledger.begin("p", "t", Ask())
        events = RUN.events(run.state)
        ledger.move(run.id, events[choice % len(events)], "")
        assert sum(r.is_open for r in ledger.runs("p")) <= 1
        assert {r.state for r in ledger.runs("p")} <= RUN.states


def test_runs_are_listed_a_part_at_a_time_also_where_two_began_together(ledger: Ledger) -> None:
    ids = []
    for _ in range(5):
        run = ledger.begin("forecast", "by hand", Ask()).id
        ledger.move(run, "cancel", "enough")
        ids.append(run)
    newest_first = ids[::-1]
    assert [run.id for run in ledger.runs()] == newest_first
    found = []
    before = None
    while part := ledger.runs("forecast", 2, before):
        found += [run.id for run in part]
        before = found[-1]
    assert found == newest_first
