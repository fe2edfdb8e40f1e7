from __future__ import annotations

import datetime
import itertools
import sqlite3
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from examples import examples
from isthmus.core.errors import IllegalTransition, InputError, IsthmusError, UnknownName
from isthmus.loop.release.registry import Registry
from isthmus.state.store import Store
from releasing import card

DAY = datetime.datetime(2026, 11, 20, 23, 59, tzinfo=datetime.UTC)


class Still:
    """A clock that stands still."""

    def now(self) -> datetime.datetime:
        return DAY


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(Store(tmp_path / "state.sqlite"), Still())


def add(registry: Registry, pipeline: str = "forecast") -> str:
    model_id = registry.allot(pipeline)
    return registry.add_candidate(pipeline, f"file:///releases/{pipeline}/{model_id}", card(model_id), "cd" * 32)


def test_ids_count_up_within_a_day_and_are_never_given_twice(registry: Registry) -> None:
    assert [registry.allot("forecast") for _ in range(3)] == [f"forecast-20261120-{n}" for n in (1, 2, 3)]
    assert registry.allot("planner") == "planner-20261120-1"
    registry.add_candidate("forecast", "file:///f/9", card("forecast-20261120-9"))
    assert registry.allot("forecast") == "forecast-20261120-10"


def test_a_promotion_retires_the_champion_before_it(registry: Registry) -> None:
    first, second = add(registry), add(registry)
    registry.promote(first)
    assert registry.promote(second, "better").state == "champion"
    assert registry.get(first).state == "retired"
    champion = registry.champion("forecast")
    assert champion is not None
    assert champion.model_id == second
    assert champion.card == card(second) or champion.card.to_json() == card(second).to_json()
    assert [event.event for event in registry.history(first)] == ["add", "promote", "supersede"]
    assert registry.history(second)[-1].why == "better"


def test_promoting_the_champion_again_changes_nothing(registry: Registry) -> None:
    only = add(registry)
    registry.promote(only)
    before = registry.history(only)
    assert registry.promote(only).state == "champion"
    assert registry.history(only) == before


def test_each_rollback_goes_one_further_back_and_never_forth(registry: Registry) -> None:
    models = [add(registry) for _ in range(3)]
    for model in models:
        registry.promote(model)
    assert registry.rollback("forecast", "worse in rain").model_id == models[1]
    assert registry.rollback("forecast").model_id == models[0]
    with pytest.raises(InputError, match="first champion"):
        registry.rollback("forecast")
    assert registry.history(models[2])[-1].why == "worse in rain"


def test_a_rollback_passes_over_what_was_withdrawn(registry: Registry) -> None:
    models = [add(registry) for _ in range(3)]
    for model in models:
        registry.promote(model)
    registry.withdraw(models[1], "trained on broken records")
    assert registry.rollback("forecast").model_id == models[0]


def test_a_champion_that_returned_is_rolled_back_to_the_one_between(registry: Registry) -> None:
    one, two = add(registry), add(registry)
    for model in (one, two, one):
        registry.promote(model)
    assert [registry.rollback("forecast").model_id for _ in range(2)] == [two, one]
    with pytest.raises(InputError):
        registry.rollback("forecast")


def test_without_a_champion_there_is_nothing_to_roll_back(registry: Registry) -> None:
    add(registry)
    with pytest.raises(InputError, match="no champion"):
        registry.rollback("forecast")


def test_a_comparison_with_a_champion_of_yesterday_does_not_promote(registry: Registry) -> None:
    one, two, three = (add(registry) for _ in range(3))
    registry.promote(one)
    registry.promote(two, compared_with=one)
    with pytest.raises(IllegalTransition, match=r"the champion is .* by now"):
        registry.promote(three, compared_with=one)
    assert registry.get(three).state == "candidate"


def test_the_champion_cannot_be_withdrawn_and_a_withdrawn_model_never_returns(registry: Registry) -> None:
    one, two = add(registry), add(registry)
    registry.promote(one)
    with pytest.raises(IllegalTransition):
        registry.withdraw(one)
    registry.withdraw(two)
    with pytest.raises(IllegalTransition, match="is final"):
        registry.promote(two)
    champion = registry.champion("forecast")
    assert champion is not None
    assert champion.model_id == one


def test_a_rejected_model_may_still_be_released_by_hand(registry: Registry) -> None:
    model = add(registry)
    assert registry.reject(model, "worse than the champion").state == "rejected"
    assert registry.promote(model, "released by hand").state == "champion"


def test_entering_the_same_folder_twice_changes_nothing_and_another_is_refused(registry: Registry) -> None:
    model = add(registry)
    uri = registry.get(model).folder
    assert registry.add_candidate("forecast", uri, card(model)) == model
    assert len(registry.history(model)) == 1
    with pytest.raises(InputError, match="is taken"):
        registry.add_candidate("forecast", uri + "-copy", card(model))
    with pytest.raises(InputError, match="belongs to pipeline"):
        registry.add_candidate("planner", uri, card(model))


def test_an_unknown_model_is_named_with_the_nearest(registry: Registry) -> None:
    add(registry)
    with pytest.raises(UnknownName, match="did you mean 'forecast-20261120-1'"):
        registry.promote("forecast-20261120-7")


def test_the_file_itself_refuses_a_second_champion(registry: Registry) -> None:
    one, two = add(registry), add(registry)
    registry.promote(one)
    with pytest.raises(sqlite3.IntegrityError), registry.store.transaction() as connection:
        connection.execute("UPDATE model SET state = 'champion' WHERE model_id = ?", (two,))
    other = add(registry, "planner")
    assert registry.promote(other).state == "champion"
    assert [model.model_id for model in registry.list("forecast")] == [two, one]


class AnyOrder(RuleBasedStateMachine):
    """Whatever is asked for in whatever order, the registry stays sound."""

    models = Bundle("models")

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(Store(Path(":memory:")), Still())
        self.stack: list[str] = []

    @rule(target=models)
    def enter(self) -> object:
        return add(self.registry)

    @rule(target=models)
    def enter_none(self) -> object:
        return multiple()

    @rule(model=models, event=st.sampled_from(["promote", "reject", "withdraw"]))
    def move(self, model: str, event: str) -> None:
        before = self.registry.get(model).state
        try:
            getattr(self.registry, event)(model)
        except IllegalTransition:
            assert self.registry.get(model).state == before
        else:
            if event == "promote" and before != "champion":
                self.stack.append(model)

    @rule()
    def roll_back(self) -> None:
        champion = self.registry.champion("forecast")
        try:
            restored = self.registry.rollback("forecast")
        except InputError:
            assert self.registry.champion("forecast") == champion
            return
        assert champion is not None
        while self.stack[-1] != restored.model_id:
            passed = self.stack.pop()
            assert passed == champion.model_id or self.registry.get(passed).state == "withdrawn"

    @invariant()
    def exactly_one_champion_from_the_first_release_on(self) -> None:
        champions = [model for model in self.registry.list("forecast") if model.state == "champion"]
        assert len(champions) == (1 if self.stack else 0)
        if champions:
            assert champions[0].model_id == self.stack[-1]

    @invariant()
    def the_history_explains_every_state(self) -> None:
        for model in self.registry.list():
            events = self.registry.history(model.model_id)
            assert events[-1].target == model.state
            assert all(one.target == next_.source for one, next_ in itertools.pairwise(events))

    def teardown(self) -> None:
        self.registry.store.close()


AnyOrder.TestCase.settings = settings(max_examples=examples(15), stateful_step_count=25, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_errors_of_the_registry_are_of_the_one_tree(registry: Registry) -> None:
    with pytest.raises(IsthmusError):
        registry.get("nothing")


def test_models_are_listed_in_brief_a_part_at_a_time(registry: Registry) -> None:
    ids = [add(registry) for _ in range(4)]
    other = registry.add_candidate(
        "forecast", "file:///releases/child", card(registry.allot("forecast"), parent=ids[1]), "cd" * 32
    )
    newest_first = [other, *ids[::-1]]
    assert [one.model_id for one in registry.briefs("forecast")] == newest_first
    assert [one.model_id for one in registry.briefs(most=2)] == newest_first[:2]
    assert [one.model_id for one in registry.briefs(before=ids[2])] == ids[1::-1]
    assert [one.model_id for one in registry.briefs(parent=ids[1])] == [other]
    assert registry.briefs("nosuch") == ()
    brief, whole = registry.brief(other), registry.get(other)
    assert brief is not None
    assert (brief.parent, brief.rules, brief.id_count) == (ids[1], ("cut_in",), whole.card.id_count)
    assert (brief.run_id, brief.table, brief.version) == (whole.card.run_id, whole.card.table, whole.card.version)
    assert (brief.id_list, brief.decision, brief.manifest) == (whole.card.id_list, "", whole.manifest)
    assert registry.brief("nosuch") is None


def test_who_reigns_and_who_would_is_told_without_their_cards(registry: Registry) -> None:
    assert registry.reigning("forecast") == ("", "")
    first, second = add(registry), add(registry)
    registry.promote(first)
    assert registry.reigning("forecast") == (first, "")
    registry.promote(second)
    assert registry.reigning("forecast") == (second, registry.predecessor("forecast").model_id) == (second, first)
    registry.rollback("forecast")
    assert registry.reigning("forecast") == (first, "")
