"""The TOML of a new site: what works at once, and what one changes first."""

from __future__ import annotations

from pathlib import Path

from isthmus.core.errors import InputError
from isthmus.state.files import replacing

_SITE = """\
# A site of Isthmus. Every key is explained by: isthmus keys
# Relative paths start from the folder of this file.

[site]
name = "{name}"
workers = 2              # processes that read records
timezone = "UTC"         # of days and schedules

[warehouse]
root = "warehouse"       # a folder, or a URI such as s3://bucket/warehouse
compression = "zstd"     # or "none": loads faster, twice as large

[rules]
files = ["rules.toml"]   # your own rules, beside those that ship

# Where scenes come from. Job types: simulation, ros, batch, and your own.

[source.highway]
job_type = "simulation"
[source.highway.settings]
episodes = {episodes}
scenarios = ["highway", "merge"]
policies = ["idm", "aggressive"]
scenes_of = "{scenes_of}"        # "ego": the driver's scenes alone; "all": every vehicle's
"""

_SAMPLES = """
[source.ngsim]           # NGSIM trajectories, as a Spark job leaves them
job_type = "batch"
[source.ngsim.settings]
folder = "{samples}/driving/ngsim"
files = "agents.parquet"
day_from = "any"
require_success = false
[source.ngsim.settings.columns]
record = "scenario_id"
agent = "agent_id"
step = "step"
x = "x"
y = "y"
heading = "heading"
v = "v"
a = "a"
length = "length"
width = "width"
kind = "type"
[source.ngsim.settings.records]
file = "scenarios.parquet"
record = "scenario_id"
tags = "tags"
leak_group = "leak_group"
only = "unique_recording"

[source.drive]           # a ROS 2 recording: speed and GNSS of one car
job_type = "ros"
[source.drive.settings]
files = "{samples}/driving/comma2k19/*.mcap"
day_from = "any"
tags = ["highway"]
[source.drive.settings.agents.car.topics."/gps/fix"]
latitude = "latitude"
longitude = "longitude"
[source.drive.settings.agents.car.topics."/vehicle/speed"]
v = "twist.linear.x"

[source.turtles]         # ROS 1 bags, one of them empty and one without messages
job_type = "ros"
[source.turtles.settings]
files = "{samples}/driving/rosbag/*.bag"
day_from = "any"
tags = ["turtlesim"]
leak_group = "folder"    # the bags hold the same drive, packed differently
[source.turtles.settings.agents.turtle1]
length = 0.5
width = 0.5
[source.turtles.settings.agents.turtle1.topics."/turtle1/pose"]
x = "x"
y = "y"
heading = "theta"
v = "linear_velocity"
[source.turtles.settings.agents.turtle2]
length = 0.5
width = 0.5
[source.turtles.settings.agents.turtle2.topics."/turtle2/pose"]
x = "x"
y = "y"
heading = "theta"
v = "linear_velocity"
"""

_PIPELINE = """
# How a model is made, judged and released.

[pipeline.forecast]
release = "auto"         # or "manual": a person runs isthmus loop release

[pipeline.forecast.train]
epochs = {epochs}

[pipeline.forecast.cluster]
mode = "local"           # or "cluster": PyTorch's own launcher over the hosts named here

[pipeline.forecast.simulation]
simulators = ["log_replay", "highway_env"]
policy = "forecast"
scenes = {replayed}
[pipeline.forecast.simulation.settings.highway_env]
episodes = 2

[[pipeline.forecast.gate.bounds]]    # better than driving straight on
metric = "ADE"
slice = "{judged}"
against = "constant velocity"
min_improvement = {improvement}
[[pipeline.forecast.gate.bounds]]    # no worse than the champion
metric = "ADE"
against = "champion"
tolerance = 0.02
[[pipeline.forecast.gate.bounds]]
metric = "log_replay.at_fault_rate"
against = "champion"
slack = 0.02

[pipeline.forecast.tuning.training]
trials = {trials}

[trigger.nightly]
cron = "0 2 * * *"
pipeline = "forecast"
ingest = [{sources}]
"""

_RULES = """\
# Your own rules. A condition speaks of the fields that `isthmus rules fields` lists, of its parameters, and of
# other rules; it is checked when it is read.

[rule.tailgating_at_speed]
about = "The ego follows closely while it drives fast."
when = "close_following and speed_mean >= speed"
[rule.tailgating_at_speed.parameters.speed]
default = 15.0
unit = "m/s"
about = "least mean speed"
minimum = 0.0
"""


def write_site(folder: Path, samples: Path | None = None, *, small: bool = False) -> Path:
    """Write a site's TOML and a rule catalogue into `folder`; returns the TOML.

    With `samples` it declares sources over the real samples. `small` keeps everything quick, for a first look.
    Raises InputError where a site is there already, or no samples are.
    """
    path = folder / "isthmus.toml"
    if path.exists():
        raise InputError(f"{path} is there already", "choose another folder, or edit that file")
    if samples and not (samples / "driving").is_dir():
        raise InputError(
            f"{samples} holds no samples", "name a folder that has driving/ in it, or leave --samples out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    text = _SITE.format(
        name=_plain_name(folder),
        episodes=(6 if samples else 16) if small else 20,
        scenes_of="ego" if samples else "all",
    )
    sources = ["highway"]
    if samples:
        text += _SAMPLES.format(samples=samples.resolve().as_posix())
        sources += ["ngsim", "drive", "turtles"]
    text += _PIPELINE.format(
        epochs=12 if small else 16,
        replayed=40 if small else 200,
        trials=4 if small else 20,
        judged="source:ngsim" if samples else "overall",
        improvement=0.1 if samples else 0.05,
        sources=", ".join(f'"{name}"' for name in sources),
    )
    with replacing(folder / "rules.toml") as file:
        file.write(_RULES.encode())
    with replacing(path) as file:
        file.write(text.encode())
    return path


def _plain_name(folder: Path) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in folder.resolve().name) or "site"
