from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import IllegalTransition
from isthmus.core.machine import Machine, Row
from isthmus.loop.ingest.states import INGEST
from isthmus.loop.runs.states import RUN

DOOR = Machine("door", "shut", (Row("shut", "open", "wide", "pulled"), Row("wide", "shut", "shut", "pushed")))


def test_an_event_leads_to_the_state_of_its_row() -> None:
    assert DOOR.next("shut", "open") == "wide"


def test_an_event_that_no_row_knows_names_the_nearest_that_the_state_does() -> None:
    with pytest.raises(IllegalTransition, match="did you mean 'open'"):
        DOOR.next("shut", "opne")


def test_a_final_state_says_so() -> None:
    with pytest.raises(IllegalTransition, match="'released' is final"):
        RUN.next("released", "cancel")


def test_rows_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="leads to two states"):
        Machine("x", "a", (Row("a", "go", "b", ""), Row("a", "go", "a", "")))


def test_a_state_that_nothing_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nothing leads to \['c'\]"):
        Machine("x", "a", (Row("a", "go", "b", ""), Row("c", "go", "b", "")))


def test_the_diagram_shows_every_row_and_every_end() -> None:
    lines = RUN.diagram().splitlines()
    assert lines[1] == "    [*] --> selecting"
    assert sum(": " in line for line in lines) == len(RUN.rows)
    assert {line.split()[0] for line in lines if line.endswith("--> [*]")} == RUN.terminal


@given(st.lists(st.integers(0, 20), max_size=40))
def test_any_walk_over_known_events_stays_among_the_declared_states(choices: list[int]) -> None:
    for machine in (RUN, INGEST):
        state = machine.initial
        for choice in choices:
            events = machine.events(state)
            if not events:
                break
            state = machine.next(state, events[choice % len(events)])
            assert state in machine.states
