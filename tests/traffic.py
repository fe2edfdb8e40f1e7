"""Simulated traffic as a Spark job would leave it: columns of cars that follow leaders who brake and set off.

The future follows from the past (a leader's braking reaches its followers later), so a model can learn it.
"""

from __future__ import annotations

import datetime
import functools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from isthmus.app.site import Site
    from isthmus.loop.ingest.run import Ingested

DAY = datetime.date(2026, 11, 20)
SITE = """\
[site]
name = "test"
workers = 1

[source.cars]
job_type = "batch"
[source.cars.settings]
folder = "traffic"
[source.cars.settings.columns]
record = "record"
agent = "agent"
step = "step"
x = "x"
y = "y"
v = "v"

[pipeline.forecast.train]
epochs = 3
hidden = 48
pool = 16
stride = 4
[pipeline.forecast.evaluation]
failures = 2
[pipeline.forecast.simulation]
simulators = ["log_replay"]
scenes = 4
[pipeline.forecast.gate]
{gate}
[pipeline.forecast.tuning.training]
trials = 2
[pipeline.forecast.tuning.policy]
trials = 2
[pipeline.forecast.tuning]
scenes = 2

[trigger.nightly]
cron = "0 2 * * *"
pipeline = "forecast"
ingest = ["cars"]
"""

EASY = '[[pipeline.forecast.gate.bounds]]\nmetric = "ADE"\nmaximum = 50.0\n'
IMPOSSIBLE = '[[pipeline.forecast.gate.bounds]]\nmetric = "ADE"\nmaximum = 0.0001\n'


def platoon(seed: int, cars: int = 4, steps: int = 90) -> pa.Table:
    """One recording: a leader whose speed varies, and cars that follow it by the intelligent driver model."""
    draw = np.random.default_rng(seed)
    knots = draw.uniform(3, 16, 5)
    lead = np.interp(np.arange(steps), np.linspace(0, steps - 1, 5), knots)
    x, v = np.zeros((cars, steps)), np.zeros((cars, steps))
    x[:, 0] = -np.arange(cars) * 22.0
    v[:, 0] = lead[0]
    for now in range(1, steps):
        v[0, now] = lead[now]
        for car in range(1, cars):
            gap = max(x[car - 1, now - 1] - x[car, now - 1] - 4.8, 0.5)
            speed = v[car, now - 1]
            wish = 2 + speed * 1.2 + speed * (speed - v[car - 1, now - 1]) / 4
            push = 1.6 * (1 - (speed / 18) ** 4 - (max(wish, 0) / gap) ** 2)
            v[car, now] = max(0.0, speed + 0.1 * max(push, -6))
        x[:, now] = x[:, now - 1] + 0.1 * v[:, now]
    count = cars * steps
    return pa.table(
        {
            "record": [f"drive-{seed:03d}"] * count,
            "agent": np.repeat(np.arange(cars), steps),
            "step": np.tile(np.arange(steps), cars),
            "x": x.ravel(),
            "y": np.zeros(count),
            "v": v.ravel(),
        }
    )


def write_day(folder: Path, day: str, seeds: range) -> None:
    """Write one finished day partition."""
    place = folder / "traffic" / f"day={day}"
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables([platoon(seed) for seed in seeds]), place / "part-0.parquet")
    (folder / "traffic" / "_SUCCESS").touch()


def write_site(folder: Path, gate: str = EASY) -> Path:
    """Write a small site with one day of traffic; returns its TOML."""
    folder.mkdir(parents=True, exist_ok=True)
    write_day(folder, "2026-11-20", range(14))
    path = folder / "isthmus.toml"
    path.write_text(SITE.format(gate=gate))
    return path


def bring(site: Site, day: datetime.date = DAY, source: str = "cars") -> Ingested:
    """Ingest a day in this process: who only wants its scenes need not wait for the start of another."""
    return replace(site.ingest(), workers=0)(site.source(source), day)


@functools.cache
def _brought() -> tempfile.TemporaryDirectory[str]:
    from isthmus.app.site import Site

    made = tempfile.TemporaryDirectory(prefix="isthmus-traffic-")
    site = Site.open(write_site(Path(made.name)))
    done = bring(site)
    assert (done.scenes, done.rejects) == (14 * 4, 0)
    site.store.close()
    return made


def site_with_a_day(folder: Path, gate: str = EASY) -> Path:
    """Write a site whose day of traffic is in its warehouse already; returns its TOML."""
    shutil.copytree(_brought().name, folder, dirs_exist_ok=True)
    path = folder / "isthmus.toml"
    path.write_text(SITE.format(gate=gate))
    return path
