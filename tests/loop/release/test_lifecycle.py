from __future__ import annotations

import contextlib
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import IllegalTransition, InputError
from isthmus.loop.release.lifecycle import CHAMPION, MODEL, WITHDRAWN, ModelId

ids = st.builds(
    ModelId,
    st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True),
    st.dates(datetime.date(1000, 1, 1)),
    st.integers(1),
)


@given(ids)
def test_a_model_id_and_its_text_are_the_same_thing(name: ModelId) -> None:
    assert ModelId.parse(str(name)) == name


@given(st.text(max_size=30))
def test_no_text_makes_a_model_id_but_its_own(text: str) -> None:
    with contextlib.suppress(InputError):
        assert str(ModelId.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "forecast", "forecast-20261320-1", "forecast-20261120-0", "A-20261120-1", "a-20261120-1\n"]
)
def test_a_wrong_model_id_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match="forecast-20261120-3"):
        ModelId.parse(text)


def test_the_champion_is_left_only_by_another_champion_taking_over() -> None:
    assert MODEL.events(CHAMPION) == ("supersede", "roll_back")
    with pytest.raises(IllegalTransition, match="'withdraw' cannot happen"):
        MODEL.next(CHAMPION, "withdraw")


def test_withdrawn_is_final_and_the_only_end() -> None:
    assert MODEL.terminal == {WITHDRAWN}


def test_every_row_says_why() -> None:
    assert all(row.why for row in MODEL.rows)
