from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import ConfigError
from isthmus.core.settings import Reader
from isthmus.loop.decision import Bound, Decision, GateSettings, decide, next_rung
from isthmus.loop.measure import Measure

BETTER = {"minADE": "lower", "minFDE": "lower", "average_precision": "higher"}


def measure(
    metric: str, value: float, model: str = "candidate", slice: str = "overall", count: int = 100
) -> Measure:
    return Measure(metric, slice, model, value, count, "m", BETTER[metric])  # type: ignore[arg-type]


def gate(*bounds: Bound, **more: object) -> GateSettings:
    return GateSettings(bounds=bounds, **more)  # type: ignore[arg-type]


def read(text: str) -> GateSettings:
    reader = Reader(text, "site.toml")
    settings = reader.read(GateSettings, reader.root["gate"], ("gate",))
    reader.finish()
    assert settings is not None
    return settings


BEATS_BASELINE = Bound("minADE", against="constant velocity", min_improvement=0.2)
NOT_WORSE = Bound("minADE", against="champion", tolerance=0.05)


def test_a_candidate_that_beats_the_baseline_and_the_champion_is_promoted() -> None:
    measures = [
        measure("minADE", 0.7),
        measure("minADE", 1.0, "constant velocity"),
        measure("minADE", 0.72, "champion"),
    ]
    decision = decide(measures, gate(BEATS_BASELINE, NOT_WORSE), ["incremental"], has_champion=True)
    assert (decision.verdict, decision.next) == ("promote", None)
    assert [reason.status for reason in decision.reasons] == ["held", "held"]
    assert decision.reasons[0].sentence == (
        "minADE is 0.7 m, 30.0 % better than constant velocity's 1 m; asked is at least 20 % better."
    )
    assert (decision.reasons[0].value, decision.reasons[0].baseline) == (0.7, 1.0)
    assert decision.reasons[0].limit == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("attempts", "verdict", "rung"),
    [
        ((), "continue", "full"),
        (("incremental",), "continue", "full"),
        (("incremental", "full"), "continue", "tune"),
        (("full",), "continue", "tune"),
        (("full", "tune"), "keep", None),
        (("tune",), "keep", None),
    ],
)
def test_a_failing_candidate_climbs_the_ladder_and_ends_with_the_champion_kept(
    attempts: tuple[str, ...], verdict: str, rung: str | None
) -> None:
    decision = decide([measure("minADE", 9.0)], gate(Bound("minADE", maximum=1.0)), attempts, has_champion=True)
    assert (decision.verdict, decision.next) == (verdict, rung)
    assert decision.reasons[0].sentence == "minADE is 9 m, above the greatest allowed 1 m."


def test_the_ladder_of_the_configuration_is_the_one_that_is_climbed() -> None:
    assert next_rung(["incremental"], ("tune",)) == "tune"
    assert next_rung(["incremental"], ()) is None
    assert next_rung(["incremental"], ("tune", "full")) == "full"


def test_regression_on_one_slice_alone_stops_the_promotion() -> None:
    on_slice = Bound("minADE", slice="rule:cut_in", against="champion", tolerance=0.05)
    measures = [
        measure("minADE", 0.7),
        measure("minADE", 1.0, "constant velocity"),
        measure("minADE", 1.2, slice="rule:cut_in"),
        measure("minADE", 1.0, "champion", slice="rule:cut_in"),
    ]
    decision = decide(measures, gate(BEATS_BASELINE, on_slice), ["full"], has_champion=True)
    assert decision.verdict == "continue"
    assert decision.reasons[1].status == "broken"
    assert "minADE on rule:cut_in is 1.2 m, 20.0 % worse than the champion's 1 m" in decision.reasons[1].sentence


def test_without_a_champion_its_bounds_are_not_judged_and_do_not_block() -> None:
    measures = [measure("minADE", 0.7), measure("minADE", 1.0, "constant velocity")]
    decision = decide(measures, gate(BEATS_BASELINE, NOT_WORSE), [], has_champion=False)
    assert decision.verdict == "promote"
    assert decision.reasons[1].status == "not judged"
    assert "no champion yet" in decision.reasons[1].sentence


def test_a_champion_that_exists_but_was_not_measured_stops_the_promotion_and_the_training() -> None:
    measures = [measure("minADE", 0.7), measure("minADE", 1.0, "constant velocity")]
    decision = decide(measures, gate(BEATS_BASELINE, NOT_WORSE), [], has_champion=True)
    assert decision.verdict == "keep"
    assert decision.reasons[1].sentence == "minADE was not measured for the champion."
    assert "training cannot mend it" in decision.sentence


@pytest.mark.parametrize(("blocks", "verdict"), [(False, "promote"), (True, "keep")])
def test_too_few_samples_are_said_and_block_only_where_the_gate_says_so(blocks: bool, verdict: str) -> None:
    rare = Bound("minADE", slice="tag:rain", maximum=1.0, min_count=50)
    measures = [measure("minADE", 0.5), measure("minADE", 5.0, slice="tag:rain", count=3)]
    settings = gate(Bound("minADE", maximum=1.0), rare, few_samples_block=blocks)
    decision = decide(measures, settings, ["full"], has_champion=True)
    assert decision.verdict == verdict
    assert decision.reasons[1].status == "not judged"
    assert "3 samples, the bound asks for 50" in decision.reasons[1].sentence


def test_when_nothing_could_be_judged_nothing_is_promoted() -> None:
    settings = gate(Bound("minADE", maximum=1.0, min_count=50))
    decision = decide([measure("minADE", 0.1, count=2)], settings, ["full"], has_champion=False)
    assert decision.verdict == "keep"
    assert decide([], gate(), [], has_champion=True).verdict == "keep"


def test_an_unknown_metric_or_slice_is_named_with_the_nearest_and_does_not_pass() -> None:
    measures = [measure("minADE", 0.1), measure("minADE", 0.1, slice="rule:cut_in")]
    settings = gate(
        Bound("minADE", maximum=1.0),
        Bound("minAED", maximum=1.0),
        Bound("minADE", slice="rule:cutin", maximum=1.0),
    )
    decision = decide(measures, settings, [], has_champion=False)
    assert decision.verdict == "keep"
    assert "did you mean 'minADE'?" in decision.reasons[1].sentence
    assert "did you mean 'rule:cut_in'?" in decision.reasons[2].sentence


def test_two_different_values_for_the_same_thing_do_not_pass() -> None:
    decision = decide(
        [measure("minADE", 0.1), measure("minADE", 0.9)], gate(Bound("minADE", maximum=1.0)), [], has_champion=True
    )
    assert decision.verdict == "keep"
    assert "measured 2 times" in decision.reasons[0].sentence


def test_a_share_of_zero_asks_for_any_gain_and_slack_allows_an_amount() -> None:
    nothing_lost = Bound("minADE", against="champion", tolerance=0.1)
    with_slack = Bound("minADE", against="champion", slack=0.5)
    gain = Bound("average_precision", against="champion", min_improvement=0.1)
    measures = [
        measure("minADE", 0.4),
        measure("minADE", 0.0, "champion"),
        measure("average_precision", 0.0),
        measure("average_precision", 0.0, "champion"),
    ]
    decision = decide(measures, gate(nothing_lost, with_slack, gain), [], has_champion=True)
    assert [reason.status for reason in decision.reasons] == ["broken", "held", "broken"]


def test_the_gate_is_read_from_toml() -> None:
    settings = read(
        """
        [gate]
        few_samples_block = true
        ladder = ["tune"]
        [[gate.bounds]]
        metric = "minADE"
        against = "constant velocity"
        min_improvement = 0.2
        [[gate.bounds]]
        metric = "miss_rate"
        slice = "source:ngsim"
        maximum = 0.4
        min_count = 30
        """
    )
    assert settings.few_samples_block
    assert settings.ladder == ("tune",)
    assert settings.bounds[0] == BEATS_BASELINE
    assert settings.bounds[1] == Bound("miss_rate", slice="source:ngsim", maximum=0.4, min_count=30)


def test_the_gate_of_a_site_that_says_nothing_releases_what_beats_constant_velocity() -> None:
    def figures(candidate: float) -> list[Measure]:
        models = {"candidate": candidate, "constant velocity": 1.0}
        return [
            Measure(metric, "overall", model, value, 50, "m", "lower")
            for metric in ("ADE", "FDE", "miss_rate")
            for model, value in models.items()
        ]

    assert decide(figures(0.8), read("[gate]"), [], has_champion=False).verdict == "promote"
    assert decide(figures(0.95), read("[gate]"), [], has_champion=False).verdict == "continue"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("maximum = 1.0\nagainst = 'champion'", "not both"),
        ("tolerance = 0.1", "need against"),
        ("slice = 'overall'", "needs minimum, maximum or against"),
        ("against = 'champion'\nmin_improvement = 0.1\ntolerance = 0.1", "not both"),
        ("minimum = 2.0\nmaximum = 1.0", "minimum 2 is above maximum 1"),
        ("maximun = 1.0", "did you mean 'maximum'?"),
        ("against = 'the best'", "allowed: 'champion', 'constant velocity'"),
    ],
)
def test_a_bound_that_contradicts_itself_is_refused_with_its_line(keys: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"site\.toml:") as caught:
        read(f"[gate]\n[[gate.bounds]]\nmetric = 'minADE'\n{keys}\n")
    assert message in str(caught.value)


# What must hold for all measures.

finite = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))
metrics = st.sampled_from(sorted(BETTER))


@st.composite
def bounds(draw: st.DrawFn) -> Bound:
    metric, few = draw(metrics), draw(st.integers(1, 200))
    kind = draw(st.sampled_from(["toward", "improve", "tolerate"]))
    if kind == "toward":
        limit = draw(finite)
        if BETTER[metric] == "lower":
            return Bound(metric, maximum=limit, min_count=few)
        return Bound(metric, minimum=limit, min_count=few)
    against = draw(st.sampled_from(["champion", "constant velocity"]))
    share = draw(st.floats(0, 2))
    if kind == "improve":
        return Bound(metric, against=against, min_improvement=share, min_count=few)  # type: ignore[arg-type]
    slack = draw(st.floats(0, 10))
    return Bound(metric, against=against, tolerance=share, slack=slack, min_count=few)  # type: ignore[arg-type]


@st.composite
def evaluations(draw: st.DrawFn, values: st.SearchStrategy[float] = finite) -> list[Measure]:
    return [
        measure(metric, draw(values), model, count=draw(st.integers(0, 300)))
        for metric in sorted(BETTER)
        for model in ("candidate", "champion", "constant velocity")
    ]


gates = st.builds(
    GateSettings, bounds=st.lists(bounds(), min_size=0, max_size=5).map(tuple), few_samples_block=st.booleans()
)
attempts = st.lists(st.sampled_from(["incremental", "full", "tune"]), unique=True)


def improved(found: Measure, by: float) -> Measure:
    if found.model != "candidate":
        return found
    return dataclasses.replace(found, value=found.value + (-by if found.better == "lower" else by))


@given(evaluations(), gates, attempts, st.booleans(), st.floats(0, 1e6))
def test_better_values_never_break_a_bound_or_turn_a_promotion_away(
    measures: list[Measure], settings: GateSettings, tried: list[str], champion: bool, by: float
) -> None:
    before = decide(measures, settings, tried, champion)
    after = decide([improved(found, by) for found in measures], settings, tried, champion)
    for old, new in zip(before.reasons, after.reasons, strict=True):
        assert new.status == old.status or (old.status, new.status) == ("broken", "held")
    if before.verdict == "promote":
        assert after.verdict == "promote"


@given(evaluations(), gates, attempts, st.booleans(), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_candidate_without_finite_figures_is_never_promoted(
    measures: list[Measure], settings: GateSettings, tried: list[str], champion: bool, bad: float
) -> None:
    broken = [dataclasses.replace(m, value=bad) if m.model == "candidate" else m for m in measures]
    assert decide(broken, settings, tried, champion).verdict != "promote"


@given(
    evaluations(st.one_of(finite, st.sampled_from([math.nan, math.inf, -math.inf]))),
    gates,
    attempts,
    st.booleans(),
)
def test_a_decision_is_whole_whatever_was_measured(
    measures: list[Measure], settings: GateSettings, tried: list[str], champion: bool
) -> None:
    decision: Decision = decide(measures, settings, tried, champion)
    assert [reason.bound for reason in decision.reasons] == list(settings.bounds)
    assert all(reason.sentence and "\n" not in reason.sentence for reason in decision.reasons)
    assert (decision.next is not None) == (decision.verdict == "continue")
    assert not (decision.verdict == "promote" and any(reason.blocks for reason in decision.reasons))
    assert all(reason.blocks for reason in decision.reasons if reason.status == "broken")
    assert decision == decide(list(reversed(measures)), settings, tried, champion)
    json.dumps(dataclasses.asdict(decision), allow_nan=False)


@given(evaluations(), gates, st.booleans())
def test_the_ladder_always_ends(measures: list[Measure], settings: GateSettings, champion: bool) -> None:
    tried = ["incremental"]
    for _ in range(3):
        decision = decide(measures, settings, tried, champion)
        if decision.verdict != "continue":
            break
        assert decision.next is not None
        assert decision.next not in tried
        tried.append(decision.next)
    assert decision.verdict != "continue"
