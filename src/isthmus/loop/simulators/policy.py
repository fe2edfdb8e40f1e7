"""The policies under test: from one observation to one acceleration.

- `replay` drives as it was recorded: what a simulator says of it is what the record itself is worth.
- `idm` is the Intelligent Driver Model (Treiber, Hennecke, Helbing 2000, Phys. Rev. E 62, 1805), eq. 3–4, with
  two bounds that real controllers have: jerk is limited, and braking stays comfortable, for as long as the
  braking that the situation truly needs is comfortable.
- `forecast` is the same, and brakes early for agents that a forecaster sees in the ego's path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from isthmus.core.errors import InputError, UnknownName
from isthmus.core.settings import Bounds, setting
from isthmus.loop.forecast import ConstantVelocity, Forecaster
from isthmus.loop.simulators.anticipation import required_deceleration
from isthmus.loop.simulators.observation import Observation


@dataclass(frozen=True)
class PolicySettings:
    """Parameters of the policies; those with two bounds are searched by tuning."""

    speed_factor: float = setting(
        "desired speed over the speed that the road lets", default=1.0, minimum=0.5, maximum=1.3
    )
    headway_s: float = setting("desired time headway", default=1.2, minimum=0.6, maximum=3.0, unit="s")
    min_gap_m: float = setting("gap kept at a stand", default=2.0, minimum=0.5, maximum=6.0, unit="m")
    accel_max: float = setting("strongest acceleration", default=1.6, minimum=0.5, maximum=2.4, unit="m/s²")
    decel_comfort: float = setting("comfortable braking", default=2.5, minimum=0.8, maximum=4.0, unit="m/s²")
    decel_max: float = setting("strongest braking", default=8.0, minimum=4.0, maximum=10.0, unit="m/s²")
    jerk_max: float = setting("jerk outside emergencies", default=3.5, minimum=1.0, maximum=10.0, unit="m/s³")
    forecast_weight: float = setting(
        "part of the braking that the forecast asks for", default=1.0, minimum=0.0, maximum=1.5
    )
    # Below 0 by default: a forecast that drifts by a foot must not turn everybody on the next lane into a cut-in.
    forecast_margin_m: float = setting(
        "room left and right in which a forecast agent counts", default=-0.3, minimum=-0.5, maximum=1.0, unit="m"
    )
    forecast_every_s: float = setting(
        "time between two forecasts", default=0.3, minimum=0.1, maximum=1.0, unit="s"
    )


EMERGENCY = 0.75
"""Part of the strongest braking from which on a forecast alone makes an emergency."""
ANTICIPATED = 4.0
"""Braking in m/s² for what is only foreseen: it may still turn out otherwise, so it stays within comfort."""


def search_space() -> Mapping[str, tuple[float, float]]:
    """Give the bounds of every parameter that tuning may search, as {name: (least, greatest)}.

    The cadence of the forecasts is left out: it trades time for accuracy and has no best value in the score.
    """
    found: dict[str, tuple[float, float]] = {}
    for item in fields(PolicySettings):
        for rule in item.metadata.values():
            bounded = isinstance(rule, Bounds) and rule.minimum is not None and rule.maximum is not None
            if bounded and item.name != "forecast_every_s":
                found[item.name] = (float(rule.minimum), float(rule.maximum))
    return found


class Policy(Protocol):
    """Chooses the ego's acceleration. Deterministic; what it remembers is forgotten by `reset`."""

    @property
    def name(self) -> str:
        """How reports name the policy."""
        ...

    def reset(self) -> None:
        """Forget the last episode."""
        ...

    def __call__(self, seen: Observation) -> float:
        """Return the acceleration in m/s² that holds until the next step."""
        ...


class Replay:
    """Drives as it was recorded, and keeps its speed where nothing was recorded."""

    name = "replay"

    def reset(self) -> None:
        """Nothing is remembered."""

    def __call__(self, seen: Observation) -> float:
        """Reach the recorded speed of the next step."""
        if math.isnan(seen.recorded_speed):
            return 0.0
        return (seen.recorded_speed - seen.speed) / seen.dt


class IntelligentDriver:
    """The Intelligent Driver Model with bounded jerk."""

    name = "idm"

    def __init__(self, settings: PolicySettings | None = None) -> None:
        self.settings = settings or PolicySettings()

    def reset(self) -> None:
        """Nothing is remembered: the jerk bound looks at the observed acceleration."""

    def __call__(self, seen: Observation) -> float:
        """Follow the agent ahead, stop at a red light, and else reach the desired speed."""
        return self.bounded(seen, self.wanted(seen), needed_braking(seen, self.settings))

    def wanted(self, seen: Observation) -> float:
        """Return the acceleration that the model wants, before any bound."""
        chosen = self.settings
        free = chosen.accel_max * (1.0 - (seen.speed / max(0.1, chosen.speed_factor * seen.limit)) ** 4)
        free = max(free, -chosen.decel_comfort)
        nearest = free
        # A red light is a leader that stands one least gap behind its line.
        for gap, speed in ((seen.gap, seen.leader_speed), (seen.stop_gap + chosen.min_gap_m, 0.0)):
            if math.isfinite(gap):
                nearest = min(nearest, free - chosen.accel_max * self._interaction(seen.speed, gap, speed))
        return nearest

    def bounded(self, seen: Observation, wanted: float, needed: float, gentle: float = 0.0) -> float:
        """Bound jerk and braking, unless `needed` m/s² of braking say that this is an emergency.

        Braking that nothing needs yet is bounded by `gentle` m/s², or by what is comfortable where that is 0.
        """
        chosen = self.settings
        if needed >= chosen.decel_comfort:
            return max(-chosen.decel_max, min(wanted, -needed))
        wanted = min(chosen.accel_max, max(-(gentle or chosen.decel_comfort), wanted))
        change = chosen.jerk_max * seen.dt
        return min(seen.acceleration + change, max(seen.acceleration - change, wanted))

    def _interaction(self, speed: float, gap: float, leader_speed: float) -> float:
        chosen = self.settings
        closing = speed - leader_speed
        dynamic = speed * chosen.headway_s
        dynamic += speed * closing / (2.0 * math.sqrt(chosen.accel_max * chosen.decel_comfort))
        desired = chosen.min_gap_m + max(0.0, dynamic)
        return (desired / max(gap, 0.1)) ** 2


class Forecasting(IntelligentDriver):
    """The Intelligent Driver Model that also brakes for agents forecast to be in its path."""

    def __init__(self, settings: PolicySettings | None = None, forecaster: Forecaster | None = None) -> None:
        super().__init__(settings)
        self.forecaster = forecaster or ConstantVelocity()
        self.reset()

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name the forecaster too: its quality is what the score of this policy shows."""
        return f"forecast ({self.forecaster.name})"

    def reset(self) -> None:
        """Forget the last forecast."""
        self._foreseen = 0.0
        self._next = 0

    def __call__(self, seen: Observation) -> float:
        """Drive as the model does, or brake harder where the forecast asks for it."""
        chosen = self.settings
        if seen.step >= self._next:
            asked = required_deceleration(seen, self.forecaster, chosen.min_gap_m / 2, chosen.forecast_margin_m)
            self._foreseen = chosen.forecast_weight * asked
            self._next = seen.step + max(1, round(chosen.forecast_every_s / seen.dt))
        needed = needed_braking(seen, chosen)
        wanted = self.wanted(seen)
        if self._foreseen > 0.5:  # less than engine braking needs no answer
            wanted = min(wanted, -self._foreseen)
        if self._foreseen >= EMERGENCY * chosen.decel_max:
            needed = max(needed, min(self._foreseen, chosen.decel_max))
        return self.bounded(seen, wanted, needed, max(chosen.decel_comfort, ANTICIPATED))


def needed_braking(seen: Observation, settings: PolicySettings) -> float:
    """Return the constant braking in m/s² that just avoids the agent ahead or the red light; 0 where none is."""
    needed = 0.0
    closing = seen.speed - seen.leader_speed
    if closing > 0 and math.isfinite(seen.gap):
        needed = closing * closing / (2.0 * max(seen.gap - settings.min_gap_m / 2, 0.1))
    if seen.speed > 0 and math.isfinite(seen.stop_gap):
        needed = max(needed, seen.speed * seen.speed / (2.0 * max(seen.stop_gap, 0.5)))
    return needed


_POLICIES: Mapping[str, Callable[[PolicySettings, Forecaster | None], Policy]] = {
    "replay": lambda settings, forecaster: Replay(),
    "idm": lambda settings, forecaster: IntelligentDriver(settings),
    "forecast": Forecasting,
}

POLICIES = tuple(_POLICIES)


def policy(name: str, settings: PolicySettings | None = None, forecaster: Forecaster | None = None) -> Policy:
    """Make the policy `name`. Only `forecast` asks a forecaster; without one it takes constant velocity.

    Raises UnknownName with the nearest name.
    """
    if name not in _POLICIES:
        raise UnknownName.among("policy", name, _POLICIES)
    return _POLICIES[name](settings or PolicySettings(), forecaster)


def checked(acceleration: float, name: str) -> float:
    """Return the acceleration that a policy chose. Raises InputError where it is no finite number."""
    if not np.isfinite(acceleration):
        raise InputError(f"policy {name!r} chose the acceleration {acceleration}", "it must be a finite number")
    return float(acceleration)
