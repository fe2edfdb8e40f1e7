"""What there is to see of runs. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from isthmus.client.calls import AsyncSees, Sees, inside


class DecisionShown(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate said. `verdict` is promote, continue or keep."""

    verdict: str
    sentence: str
    reasons: Sequence[ReasonShown]


class ReasonShown(msgspec.Struct, frozen=True, kw_only=True):
    """How one bound of the gate came out."""

    metric: str
    part: str
    status: str
    sentence: str
    blocks: bool
    value: float | None
    limit: float | None
    baseline: float | None
    unit: str


class RunDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One run with everything that its steps left behind."""

    run: RunShown
    steps: Sequence[str]
    passed: Sequence[StepShown]
    champion: str
    considered: int | None
    version: int | None
    table: str
    digest: str
    samples: Mapping[str, int]
    tuned: Mapping[str, Mapping[str, float]]
    trainings: Sequence[Training]
    offline: Sequence[RunsFigure]
    simulation: Sequence[RunsFigure]
    failures: Sequence[RunsFailure]
    decision: DecisionShown | None
    report: bool


class RunShown(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the list."""

    id: str
    pipeline: str
    trigger: str
    state: str
    open: bool
    going: bool
    rule: str
    where: str
    settings: Mapping[str, str]
    mode: str
    scenes: int | None
    attempts: Sequence[str]
    started: str
    changed: str
    error: str
    verdict: str
    model: str


class RunsFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A moment that the candidate got most wrong: metres off after 3 s, from a step of a scene."""

    scene_id: str
    step: int
    error: float


class RunsFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of an evaluation.

    `model` is candidate, champion or a baseline; `value` None for no sample.
    """

    metric: str
    part: str
    model: str
    value: float | None
    count: int
    unit: str
    better: str


class StepShown(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of a run."""

    event: str
    state: str
    at: str
    why: str


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """One training: its losses, and the mean error in metres on validation groups, one figure an epoch."""

    number: int
    mode: str
    epochs: int
    train_loss: Sequence[float | None]
    loss: Sequence[float | None]
    ade: Sequence[float | None]
    best: int | None
    seconds: float | None
    trials: int
    over: bool
    settings: Mapping[str, Any]


class SeesRuns(Sees):
    """Calls of runs, for the blocking client."""

    def runs(self, *, pipeline: str | None = None) -> Iterator[RunShown]:
        """List runs, newest first. Raises ApiError."""
        return self._site.pages("/v1/runs", RunShown, pipeline=pipeline)

    def run(self, run: str) -> RunDetails:
        """Show a run: steps, curves, figures, decision. Raises ApiError."""
        found: RunDetails = self._site.get(inside("/v1/runs/{run}", run=run), RunDetails)
        return found


class AsyncSeesRuns(AsyncSees):
    """Calls of runs, for asyncio."""

    def runs(self, *, pipeline: str | None = None) -> AsyncIterator[RunShown]:
        """List runs, newest first. Raises ApiError."""
        return self._site.pages("/v1/runs", RunShown, pipeline=pipeline)

    async def run(self, run: str) -> RunDetails:
        """Show a run: steps, curves, figures, decision. Raises ApiError."""
        found: RunDetails = await self._site.get(inside("/v1/runs/{run}", run=run), RunDetails)
        return found
