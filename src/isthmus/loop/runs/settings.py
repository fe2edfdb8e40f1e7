"""What a pipeline is: how its scenes are split, its model trained, judged, decided on and released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from isthmus.core.errors import suggestion
from isthmus.core.settings import setting
from isthmus.loop.decision import GateSettings
from isthmus.loop.forecasting.cluster import ClusterSettings
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.forecasting.split import SplitSettings
from isthmus.loop.forecasting.tune import Range, TuneSettings
from isthmus.loop.simulators.policy import PolicySettings


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """What a candidate is judged on, besides the gate's bounds."""

    metrics: tuple[str, ...] = setting("offline metrics; empty means every installed one", default=())
    rules: tuple[str, ...] = setting(
        "rules whose scenes are slices of their own",
        default=("hard_brake", "cut_in", "lane_change", "low_ttc", "stop_and_go", "dense_traffic", "high_speed"),
    )
    scenes: int = setting("scenes at most in the offline test", default=20_000, minimum=1)
    failures: int = setting("failure cases drawn in the report", default=6, minimum=0, maximum=50)


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """Which simulators judge the policy, and on how much."""

    simulators: tuple[str, ...] = setting("simulators, by entry point name", default=("log_replay", "highway_env"))
    policy: Literal["forecast", "idm", "replay"] = setting("the policy under test", default="forecast")
    scenes: int = setting("mined scenes replayed at most", default=200, minimum=1)
    settings: Mapping[str, Mapping[str, Any]] = setting("settings of each simulator, by its name", factory=dict)


@dataclass(frozen=True, slots=True)
class TuningSettings:
    """What is searched, and for how long, when a full training does not hold the gate."""

    training: TuneSettings = setting("the search of the training", factory=lambda: TuneSettings(trials=10))
    policy: TuneSettings = setting("the search of the policy", factory=lambda: TuneSettings(trials=20))
    training_space: Mapping[str, Range] = setting(
        "ranges of training settings; empty takes learning rate, weight decay, dropout and widths", factory=dict
    )
    policy_space: Mapping[str, Range] = setting("ranges of policy settings; empty takes all", factory=dict)
    scenes: int = setting("validation scenes that each trial of the policy drives", default=40, minimum=1)

    def __post_init__(self) -> None:
        _must_be_settings(self.training_space, TrainSettings, "training_space")
        _must_be_settings(self.policy_space, PolicySettings, "policy_space")


def _must_be_settings(space: Mapping[str, Range], cls: type[Any], name: str) -> None:
    known = [item.name for item in fields(cls)]
    for key in space:
        if key not in known:
            raise ValueError(f"{name} names no setting {key!r}; {suggestion(key, known)}")


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """One pipeline of the site's TOML, `[pipeline.NAME]`."""

    release: Literal["auto", "manual"] = setting(
        "whether a candidate that holds the gate becomes the champion by itself", default="auto"
    )
    split: SplitSettings = setting("how scenes are parted", factory=SplitSettings)
    train: TrainSettings = setting("how the model is trained", factory=TrainSettings)
    cluster: ClusterSettings = setting(
        "where it is trained, and each trial of its tuning", factory=ClusterSettings
    )
    policy: PolicySettings = setting("parameters of the driving policy", factory=PolicySettings)
    evaluation: EvaluationSettings = setting("what a candidate is judged on", factory=EvaluationSettings)
    simulation: SimulationSettings = setting("closed-loop evaluation", factory=SimulationSettings)
    gate: GateSettings = setting("what a candidate must hold to", factory=GateSettings)
    tuning: TuningSettings = setting("the search for better parameters", factory=TuningSettings)
