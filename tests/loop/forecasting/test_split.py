from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isthmus.loop.forecasting.split import SplitSettings, folds, part_of, parts_of

names = st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=30)
shares = st.builds(
    SplitSettings,
    validation=st.floats(0, 0.45),
    test=st.floats(0, 0.45),
    seed=st.integers(0, 1000),
)


@given(names, names, shares)
def test_a_group_that_tests_does_so_whoever_else_is_there(
    some: list[str], others: list[str], how: SplitSettings
) -> None:
    everyone = [*others, *some, "one more", "and another", "and a third"]
    drawn = {group for group in everyone if part_of(group, how) == "test"}
    found = parts_of(everyone, how)
    if drawn and len(drawn) + 2 <= len(set(everyone)):
        assert {group for group in everyone if found[group] == "test"} == drawn


@given(names, shares)
def test_each_group_lies_in_exactly_one_part_and_no_wanted_part_is_empty(
    groups: list[str], how: SplitSettings
) -> None:
    found = parts_of(groups, how)
    assert set(found) == set(groups)
    assert parts_of(reversed(groups), how) == found
    if len(groups) >= 3:
        wanted = {"train"} | ({"test"} if how.test else set()) | ({"validation"} if how.validation else set())
        assert wanted <= set(found.values())


@given(shares)
def test_one_group_alone_is_trained_on(how: SplitSettings) -> None:
    assert parts_of(["only"], how) == {"only": "train"}


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 500), max_size=40), st.integers(2, 7))
def test_folds_take_whole_groups_and_differ_by_no_more_than_the_largest_group(
    counts: dict[str, int], k: int
) -> None:
    dealt = folds(counts, k)
    assert set(dealt) == set(counts)
    load = [sum(counts[name] for name in dealt if dealt[name] == fold) for fold in range(k)]
    assert max(load) - min(load) <= max(counts.values(), default=0)
    assert folds(dict(reversed(counts.items())), k) == dealt


def test_the_shares_hold_over_many_groups() -> None:
    how = SplitSettings(validation=0.15, test=0.2)
    found = list(parts_of([f"group {number}" for number in range(4000)], how).values())
    assert abs(found.count("test") / 4000 - 0.2) < 0.02
    assert abs(found.count("validation") / 4000 - 0.15) < 0.02


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 500), min_size=2, max_size=40))
def test_validation_takes_no_more_than_its_share_of_the_samples(counts: dict[str, int]) -> None:
    found = parts_of(counts, SplitSettings(validation=0.2, test=0.0))
    taken = [counts[group] for group in counts if found[group] == "validation"]
    assert sum(taken) <= 0.2 * sum(counts.values()) or taken == [min(counts.values())]
