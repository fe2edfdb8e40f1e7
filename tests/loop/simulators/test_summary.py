from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from isthmus.core.errors import UnknownName
from isthmus.loop.measure import Measure
from isthmus.loop.simulators import port
from isthmus.loop.simulators.highway import HighwayEnv
from isthmus.loop.simulators.logreplay import LogReplay
from isthmus.loop.simulators.policy import policy
from isthmus.loop.simulators.port import Episode
from isthmus.loop.simulators.summary import FIGURES, summarise, worst
from simulated_roads import Car, scene


@pytest.fixture(scope="module")
def clean() -> Episode:
    return LogReplay().episode(scene(Car(0.0, 10.0), Car(40.0, 10.0), scene_id="a"), policy("replay"))


def of(measures: list[Measure], metric: str, where: str = "overall") -> Measure:
    return next(one for one in measures if one.metric == metric and one.slice == where)


def test_figures_come_overall_and_for_each_slice_with_their_counts(clean: Episode) -> None:
    crash = replace(clean, scene_id="b", collided=True, at_fault=True, passed=False, score=0.0, progress=0.4)
    fast = replace(clean, scene_id="c", progress=1.5)
    slices = {"a": ("tag:urban",), "b": ("tag:urban", "rule:cut_in", "rule:cut_in")}
    measures = summarise([clean, crash, fast], slices, "candidate")
    assert len(measures) == 3 * len(FIGURES)
    assert {one.model for one in measures} == {"candidate"}
    assert of(measures, "log_replay.at_fault_rate").value == pytest.approx(1 / 3)
    assert of(measures, "log_replay.at_fault_rate", "tag:urban").value == pytest.approx(1 / 2)
    assert of(measures, "log_replay.at_fault_rate", "rule:cut_in").count == 1
    assert of(measures, "log_replay.progress").value == pytest.approx((1 + 0.4 + 1) / 3)
    assert of(measures, "log_replay.pass_rate").value == pytest.approx(2 / 3)
    assert of(measures, "log_replay.collision_rate").better == "lower"
    assert of(measures, "log_replay.ttc_min_p5").unit == "s"
    assert measures[0].slice == "overall"


def test_simulators_are_kept_apart(clean: Episode) -> None:
    measures = summarise([clean, replace(clean, simulator="highway_env", score=0.5)], {}, "idm")
    assert of(measures, "highway_env.score").value == 0.5
    assert of(measures, "log_replay.score").value == pytest.approx(1.0)


def test_without_episodes_there_are_no_figures() -> None:
    assert summarise([], {}, "idm") == []


def test_the_worst_are_those_at_fault_and_then_those_of_low_score(clean: Episode) -> None:
    crash = replace(clean, scene_id="crash", at_fault=True, score=0.0)
    poor = replace(clean, scene_id="poor", score=0.0)
    assert [one.scene_id for one in worst([clean, poor, crash], 2)] == ["crash", "poor"]


def test_simulators_are_found_by_entry_point_and_an_unknown_one_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = [
        EntryPoint("log_replay", "isthmus.loop.simulators.logreplay:LogReplay", port.GROUP),
        EntryPoint("highway_env", "isthmus.loop.simulators.highway:HighwayEnv", port.GROUP),
    ]
    monkeypatch.setattr(port, "entry_points", lambda group: points if group == port.GROUP else [])
    assert port.simulators() == ("highway_env", "log_replay")
    assert port.simulator("log_replay") is LogReplay
    assert port.simulator("highway_env") is HighwayEnv
    with pytest.raises(UnknownName, match="did you mean 'log_replay'"):
        port.simulator("logreplay")
