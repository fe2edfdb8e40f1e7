"""The gate: reads the measures of an evaluation and says promote, continue or keep the champion, and why.

The rules:
- every bound of the gate is judged by itself and yields one Reason;
- the candidate is promoted where at least one bound holds and no reason blocks;
- else the next rung of the ladder is tried: incremental → full → tune;
- after the last rung, or where no training can mend what blocks (a bound that names an unknown metric, a
  champion that was not measured), the champion is kept.

No I/O, no clock: the same measures give the same decision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from isthmus.core.errors import suggestion
from isthmus.core.settings import setting
from isthmus.loop.measure import OVERALL, Measure

CANDIDATE = "candidate"
CHAMPION = "champion"
INCREMENTAL = "incremental"

Rung = Literal["full", "tune"]
Verdict = Literal["promote", "continue", "keep"]
Status = Literal["held", "broken", "not judged"]

_RUNGS: tuple[Rung, ...] = ("full", "tune")


@dataclass(frozen=True, slots=True)
class Bound:
    """What one metric on one slice must hold to. Raises ValueError where the keys contradict each other.

    Either absolute (`minimum`, `maximum` or both) or `against` a baseline: `min_improvement` asks to be better
    by a share of the baseline's value, `tolerance` and `slack` allow to be worse by a share of it and by an
    amount in the metric's unit. Which way is better comes with the measure.
    """

    metric: str = setting("the metric's name, as the evaluation reports it")
    slice: str = setting("overall, or rule:NAME, tag:NAME, source:NAME", default=OVERALL)
    minimum: float | None = setting("the least value allowed, in the metric's unit", default=None)
    maximum: float | None = setting("the greatest value allowed, in the metric's unit", default=None)
    against: Literal["champion", "constant velocity"] | None = setting("the model to compare with", default=None)
    min_improvement: float | None = setting(
        "share of the baseline's value to be better by: 0.2 is 20 %", default=None, minimum=0.0
    )
    tolerance: float | None = setting(
        "share of the baseline's value to be worse by at most: 0.05 is 5 %", default=None, minimum=0.0
    )
    slack: float = setting("amount to be worse by at most, in the metric's unit", default=0.0, minimum=0.0)
    min_count: int = setting("samples below which the bound is not judged", default=1, minimum=1)

    def __post_init__(self) -> None:
        absolute = self.minimum is not None or self.maximum is not None
        relative = self.min_improvement is not None or self.tolerance is not None or self.slack > 0
        if absolute and self.against:
            raise ValueError("a bound has either minimum/maximum or against, not both: write two bounds")
        if relative and not self.against:
            raise ValueError("min_improvement, tolerance and slack need against = the model to compare with")
        if not absolute and not self.against:
            raise ValueError("a bound needs minimum, maximum or against")
        if self.min_improvement is not None and (self.tolerance is not None or self.slack > 0):
            raise ValueError("a bound asks for min_improvement or allows tolerance and slack, not both")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")

    @property
    def subject(self) -> str:
        """Name what is judged: the metric, and the slice where it is not overall."""
        return self.metric if self.slice == OVERALL else f"{self.metric} on {self.slice}"


def _default_bounds() -> tuple[Bound, ...]:
    return (
        Bound("ADE", against="constant velocity", min_improvement=0.1),
        Bound("FDE", against="constant velocity", min_improvement=0.1),
        Bound("ADE", against="champion", tolerance=0.02),
        Bound("miss_rate", against="champion", slack=0.01),
    )


@dataclass(frozen=True, slots=True)
class GateSettings:
    """The gate of a pipeline, as the site's TOML has it: `[[gate.bounds]]` tables and what goes for all."""

    bounds: tuple[Bound, ...] = setting("what a candidate must hold to", factory=_default_bounds)
    few_samples_block: bool = setting(
        "whether a bound that is not judged for too few samples stops the promotion", default=False
    )
    ladder: tuple[Literal["full", "tune"], ...] = setting(
        "rungs to climb when a candidate fails, always full before tune; empty keeps the champion at once",
        default=_RUNGS,
    )


@dataclass(frozen=True, slots=True)
class Reason:
    """How one bound came out, in one sentence.

    `value` is the candidate's, `limit` what it was held to, `baseline` the other model's value; each is None
    where there is no finite one. `blocks` says whether it stops the promotion, `mendable` whether a better
    model could change that.
    """

    bound: Bound
    status: Status
    sentence: str
    blocks: bool
    mendable: bool = True
    value: float | None = None
    limit: float | None = None
    baseline: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to the candidate. `next` is the rung to climb where the verdict is continue, else None."""

    verdict: Verdict
    next: Rung | None
    reasons: tuple[Reason, ...]
    sentence: str


def decide(
    measures: Sequence[Measure], gate: GateSettings, attempts: Sequence[str], has_champion: bool
) -> Decision:
    """Judge every bound and climb the ladder.

    `attempts` are the training modes that this run has behind it (incremental, full, tune), in any order.
    """
    reasons = tuple(_judge(bound, measures, gate, has_champion) for bound in gate.bounds)
    blocking = [reason for reason in reasons if reason.blocks]
    held = sum(reason.status == "held" for reason in reasons)
    if held and not blocking:
        unjudged = len(reasons) - held
        rest = f"; {unjudged} not judged" if unjudged else ""
        return Decision("promote", None, reasons, f"{_bounds(held)} held, none broken{rest}: promote.")
    kept = "keep the champion" if has_champion else "release nothing"
    if not blocking:
        sentence = f"No bound could be judged, and without evidence nothing is promoted: {kept}."
        return Decision("keep", None, reasons, sentence)
    failed = f"{_bounds(len(blocking))} of {len(reasons)} not passed"
    if not all(reason.mendable for reason in blocking):
        return Decision("keep", None, reasons, f"{failed}, and training cannot mend it: {kept}.")
    rung = next_rung(attempts, gate.ladder)
    if rung is None:
        return Decision("keep", None, reasons, f"{failed} and no rung of the ladder is left: {kept}.")
    words = {"full": "retrain on everything", "tune": "tune the parameters"}
    return Decision("continue", rung, reasons, f"{failed}: {words[rung]} next.")


def next_rung(attempts: Sequence[str], ladder: Sequence[Rung] = _RUNGS) -> Rung | None:
    """Return the first rung of `ladder` above all that was attempted, or None at its end."""
    height = max((_RUNGS.index(attempt) for attempt in attempts if attempt in _RUNGS), default=-1)
    return next((rung for rung in _RUNGS[height + 1 :] if rung in ladder), None)


def _judge(bound: Bound, measures: Sequence[Measure], gate: GateSettings, has_champion: bool) -> Reason:
    own = _find(bound, measures, CANDIDATE)
    if isinstance(own, str):
        return Reason(bound, "not judged", own, blocks=True, mendable=False)
    if bound.against == CHAMPION and not has_champion:
        sentence = f"{bound.subject} was not compared: there is no champion yet."
        return Reason(bound, "not judged", sentence, blocks=False, value=_finite(own.value), unit=own.unit)
    other = _find(bound, measures, bound.against) if bound.against else None
    if isinstance(other, str):
        return Reason(bound, "not judged", other, True, mendable=False, value=_finite(own.value), unit=own.unit)
    count = min(own.count, other.count) if other else own.count
    if count < bound.min_count:
        sentence = f"{bound.subject} was not judged: {_samples(count)}, the bound asks for {bound.min_count}."
        return Reason(
            bound,
            "not judged",
            sentence,
            gate.few_samples_block,
            mendable=False,
            value=_finite(own.value),
            unit=own.unit,
        )
    if not math.isfinite(own.value):
        sentence = f"{bound.subject} is {own.value}, which is no figure to promote on."
        return Reason(bound, "broken", sentence, blocks=True, value=_finite(own.value), unit=own.unit)
    return _compare(bound, own, other) if other else _measure_against_limits(bound, own)


def _find(bound: Bound, measures: Sequence[Measure], model: str) -> Measure | str:
    """Return the one measure that the bound speaks of, or the sentence that says why there is none."""
    of_metric = [measure for measure in measures if measure.metric == bound.metric]
    if not of_metric:
        near = suggestion(bound.metric, {measure.metric for measure in measures})
        return f"The gate names the metric {bound.metric!r}, which nobody measured; {near}"
    of_slice = [measure for measure in of_metric if measure.slice == bound.slice]
    if not of_slice:
        near = suggestion(bound.slice, {measure.slice for measure in of_metric})
        return f"The gate names the slice {bound.slice!r}, on which {bound.metric} was not measured; {near}"
    found = [measure for measure in of_slice if measure.model == model]
    if not found:
        return f"{bound.subject} was not measured for {_called(model)}."
    if any(_differ(measure, found[0]) for measure in found):
        return f"{bound.subject} was measured {len(found)} times for {_called(model)}, with different results."
    return found[0]


def _differ(one: Measure, other: Measure) -> bool:
    both_nan = math.isnan(one.value) and math.isnan(other.value)
    return one.better != other.better or (one.value != other.value and not both_nan)


def _measure_against_limits(bound: Bound, own: Measure) -> Reason:
    value = _shown(own.value, own.unit)
    for limit, broken, word in (
        (bound.minimum, bound.minimum is not None and own.value < bound.minimum, "below the least allowed"),
        (bound.maximum, bound.maximum is not None and own.value > bound.maximum, "above the greatest allowed"),
    ):
        if broken and limit is not None:
            sentence = f"{bound.subject} is {value}, {word} {_shown(limit, own.unit)}."
            return Reason(bound, "broken", sentence, True, value=own.value, limit=limit, unit=own.unit)
    limits = [
        f"{word} {_shown(limit, own.unit)}"
        for word, limit in (("at least", bound.minimum), ("at most", bound.maximum))
        if limit is not None
    ]
    limit = bound.maximum if bound.maximum is not None else bound.minimum
    sentence = f"{bound.subject} is {value}, allowed is {' and '.join(limits)}."
    return Reason(bound, "held", sentence, False, value=own.value, limit=limit, unit=own.unit)


def _compare(bound: Bound, own: Measure, other: Measure) -> Reason:
    if not math.isfinite(other.value):
        sentence = f"{bound.subject} of {_called(other.model)} is {other.value}: there is nothing to compare with."
        return Reason(bound, "not judged", sentence, True, mendable=False, value=_finite(own.value), unit=own.unit)
    toward = -1.0 if own.better == "lower" else 1.0
    scale = abs(other.value)
    if bound.min_improvement is not None:
        limit = other.value + toward * bound.min_improvement * scale
        wish = f"at least {bound.min_improvement * 100:.4g} % better"
    else:
        allowed = (bound.tolerance or 0.0) * scale + bound.slack
        limit = other.value - toward * allowed
        wish = f"no worse than {_shown(limit, own.unit)}"
    held = toward * (own.value - limit) >= 0
    if bound.min_improvement and scale == 0:
        held = toward * (own.value - other.value) > 0  # a share of nothing is nothing: ask for any gain
    sentence = (
        f"{bound.subject} is {_shown(own.value, own.unit)}, {_change(own, other)} {_called(other.model)}'s "
        f"{_shown(other.value, own.unit)}; asked is {wish}."
    )
    return Reason(
        bound, "held" if held else "broken", sentence, not held, True, own.value, limit, other.value, own.unit
    )


def _change(own: Measure, other: Measure) -> str:
    """Say how the candidate's value stands to the other's: `12.5 % better than`."""
    if own.value == other.value:
        return "the same as"
    worse = (own.value > other.value) == (own.better == "lower")
    word = "worse than" if worse else "better than"
    if other.value == 0:
        return word
    return f"{abs(own.value - other.value) / abs(other.value) * 100:.1f} % {word}"


def _called(model: str) -> str:
    return f"the {model}" if model in (CANDIDATE, CHAMPION) else model


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shown(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()


def _samples(count: int) -> str:
    return "1 sample" if count == 1 else f"{count} samples"


def _bounds(count: int) -> str:
    return "1 bound" if count == 1 else f"{count} bounds"
