"""What a report tells, as plain values. Every part may be missing; the page then says "none"."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.loop.decision import Decision
from isthmus.loop.measure import Measure


@dataclass(frozen=True, slots=True)
class StatePassed:
    """One state that the run was in, since when, and why it came there."""

    state: str
    at: datetime.datetime
    why: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The scenes that the run read: from which table and version, how many, and the list of their ids.

    `by_source`, `by_day` and `by_tag` count scenes; `splits` counts the samples that were cut from them.
    """

    table: str
    version: int
    id_list: str
    id_list_digest: str
    count: int
    where: str = ""
    by_source: Mapping[str, int] = field(default_factory=dict)
    by_day: Mapping[str, int] = field(default_factory=dict)
    by_tag: Mapping[str, int] = field(default_factory=dict)
    splits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParameterShown:
    """A rule's parameter as it was used; `default` is what it would have been."""

    name: str
    value: Any
    default: Any = None
    unit: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class RuleShown:
    """A rule that chose scenes."""

    name: str
    expression: str
    about: str = ""
    parameters: tuple[ParameterShown, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One rung of training: its settings and its losses, one figure an epoch."""

    mode: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    train_loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class FailureCase:
    """A scene that the candidate got wrong; `png` is its picture, `also` names scenes that show the same."""

    scene_id: str
    caption: str
    png: bytes = b""
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything that the page of one run shows. `measures` and `simulation` hold all models side by side.

    Where the run has ended, the last of `states` is released, offered, kept or cancelled. `folder` holds what the
    run left.
    """

    run_id: str
    pipeline: str
    trigger: str = ""
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    states: tuple[StatePassed, ...] = ()
    selection: Selection | None = None
    rules: tuple[RuleShown, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    measures: tuple[Measure, ...] = ()
    simulation: tuple[Measure, ...] = ()
    failures: tuple[FailureCase, ...] = ()
    decision: Decision | None = None
    model_id: str = ""
    champion_id: str = ""
    seed: int | None = None
    folder: str = ""
    commands: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
