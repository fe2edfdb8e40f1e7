"""The job type `simulation`: episodes of highway-env, a number of them each day, each day other ones.

An episode's seed comes from the configured seed, the day and the episode's number: a day that is ingested again
gives the same records, another day gives others. Scenarios, policies and densities take turns.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar, Literal

from isthmus.core.errors import IsthmusError, MissingExtra
from isthmus.core.settings import setting
from isthmus.loop.record import Record, Reject, Unit

Scenario = Literal["highway", "merge", "roundabout", "intersection"]
Policy = Literal["idle", "idm", "random", "aggressive"]


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """What a simulation source runs each day."""

    episodes: int = setting("episodes a day", default=20, minimum=1, maximum=1_000_000)
    seed: int = setting("start of all randomness; the day and the number are mixed in", default=0, minimum=0)
    scenarios: tuple[Scenario, ...] = setting(
        "roads that take turns: highway, merge, roundabout, intersection", default=("highway", "merge")
    )
    policies: tuple[Policy, ...] = setting(
        "who drives the ego, taking turns: idle, idm, random, aggressive", default=("idm", "aggressive")
    )
    densities: tuple[float, ...] = setting(
        "traffic densities that take turns, 1 is normal", default=(1.0,), minimum=0.1, maximum=4.0
    )
    duration_s: float = setting("length of an episode", default=20.0, minimum=2.0, maximum=600.0, unit="s")
    vehicles: int = setting("vehicles beside the ego", default=20, minimum=1, maximum=200)
    lanes: int = setting("lanes of highway and merge", default=3, minimum=1, maximum=8)
    near_m: float = setting(
        "only vehicles that come this near to the ego are recorded", default=150.0, minimum=10.0, unit="m"
    )
    scenes_of: Literal["ego", "all"] = setting(
        "whose scenes are made: the ego's alone, or those of every vehicle that is recorded", default="ego"
    )

    def __post_init__(self) -> None:
        for name in ("scenarios", "policies", "densities"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")


class SimulationJob:
    """Runs episodes; one unit, one record and one leak group for each."""

    Settings: ClassVar[type[SimulationSettings]] = SimulationSettings

    def __init__(self, name: str, settings: SimulationSettings) -> None:
        self.name = name
        self.settings = settings

    def discover(self, day: datetime.date) -> Sequence[Unit]:
        """List the day's episodes. Raises MissingExtra without highway-env."""
        try:
            engine = version("highway-env")
        except PackageNotFoundError:
            raise MissingExtra.named("highway-env", "loop") from None
        units = []
        for number in range(self.settings.episodes):
            args = self._episode(day, number)
            text = f"{engine}|{sorted(args.items())}"
            key = f"episode-{number:04d}"
            units.append(Unit(key, hashlib.blake2b(text.encode(), digest_size=16).hexdigest(), args))
        return units

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        """Run one episode. What the simulator cannot run becomes a Reject."""
        from isthmus.loop.sources.episode import Episode, record_episode

        try:
            record = record_episode(Episode(**unit.args), unit.key, f"{self.name}-{unit.args['seed']}")
            yield record if self.settings.scenes_of == "ego" else dataclasses.replace(record, egos=None)
        except IsthmusError:
            raise
        except Exception as error:  # noqa: BLE001  a scenario may fail for some seeds; the others go on
            yield Reject(unit.key, "unreadable", f"episode {unit.key}", f"{type(error).__name__}: {error}")

    def _episode(self, day: datetime.date, number: int) -> dict[str, object]:
        chosen = self.settings
        text = f"{chosen.seed}|{day.isoformat()}|{number}"
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")
        turn, scenario = divmod(number, len(chosen.scenarios))
        turn, policy = divmod(turn, len(chosen.policies))
        args: dict[str, object] = {
            "seed": seed,
            "scenario": chosen.scenarios[scenario],
            "policy": chosen.policies[policy],
            "density": chosen.densities[turn % len(chosen.densities)],
        }
        same = ("duration_s", "vehicles", "lanes", "near_m")
        return args | {key: value for key, value in dataclasses.asdict(chosen).items() if key in same}
