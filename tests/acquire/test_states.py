"""The machine of requests: every state ends, or waits for something that comes."""

from __future__ import annotations

import pytest

from isthmus.acquire.states import ENDED, LIVE, REQUESTS, State
from isthmus.core.errors import IllegalTransition


def test_the_rows_speak_of_all_states_and_of_no_others() -> None:
    assert {state.word for state in State} == REQUESTS.states


def test_stored_numbers_never_change() -> None:
    assert [(state.word, int(state)) for state in State] == [
        ("queued", 0), ("waiting", 1), ("following", 2), ("leased", 3), ("paused", 4),
        ("done", 5), ("failed", 6), ("cancelled", 7), ("expired", 8),
    ]  # fmt: skip


def test_live_and_ended_are_all_there_is() -> None:
    assert frozenset(State) == LIVE | ENDED
    assert not LIVE & ENDED


def test_an_ended_request_lives_again_only_by_a_retry() -> None:
    for state in ENDED:
        assert set(REQUESTS.events(state.word)) <= {"retry"}
    assert {"done", "cancelled"} == REQUESTS.terminal


def test_every_live_request_can_be_cancelled_done_and_expired() -> None:
    for state in LIVE:
        assert REQUESTS.next(state.word, "cancel") == "cancelled"
        assert REQUESTS.next(state.word, "settle") == "done"
        assert REQUESTS.next(state.word, "expire") == "expired"


@pytest.mark.parametrize("state", sorted(LIVE - {State.QUEUED}))
def test_only_what_is_queued_is_leased(state: State) -> None:
    with pytest.raises(IllegalTransition):
        REQUESTS.next(state.word, "claim")
