"""The site's TOML, read into frozen dataclasses; all mistakes are reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from isthmus.app.sitepart import SitePart, open_toml
from isthmus.core.errors import InputError, IsthmusError, MissingExtra, suggestion
from isthmus.core.settings import Reader, setting
from isthmus.loop.extract import ExtractSettings
from isthmus.loop.fields import SCENES
from isthmus.loop.ingest.work import Source
from isthmus.loop.release.lifecycle import check_pipeline_name
from isthmus.loop.runs.schedule import cron
from isthmus.loop.runs.settings import PipelineSettings
from isthmus.loop.sources.port import job_type

ALWAYS = ("scene_id", "day", "source", "leak_group", "tags", "duration_s", "distance_m", "speed_mean")
"""The simple fields that the OLAP always holds: runs, slices and statistics ask for them."""


@dataclass(frozen=True, slots=True)
class WarehousePart:
    """`[warehouse]`: where the tables lie."""

    root: str = setting("folder or URI of the warehouse", default="warehouse")
    database: str = setting("database of the loop's tables", default="main")
    schema: str = setting("schema of the loop's tables", default="loop")
    compression: Literal["zstd", "none"] = setting(
        "compression of the complex field: zstd is half the size, none loads faster", default="zstd"
    )
    core_fields: tuple[str, ...] = setting(
        f"simple fields that the OLAP holds, beside {', '.join(ALWAYS)}; empty means all", default=()
    )

    def __post_init__(self) -> None:
        if self.core_fields:
            object.__setattr__(self, "core_fields", tuple(dict.fromkeys((*ALWAYS, *self.core_fields))))


@dataclass(frozen=True, slots=True)
class RulesPart:
    """`[rules]`: the user's own catalogues."""

    files: tuple[str, ...] = setting("rule catalogues in TOML, later ones override", default=())


@dataclass(frozen=True, slots=True)
class TriggerPart:
    """`[trigger.NAME]`: a pipeline that runs by time, on all scenes."""

    cron: str = setting("minute hour day month weekday")
    pipeline: str = setting("the pipeline that runs")
    ingest: tuple[str, ...] = setting("sources to ingest first, for the day before", default=())
    mode: Literal["auto", "full", "incremental", "tune"] = setting("how the run trains", default="auto")


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """Everything that a site's TOML says. Paths are relative to the folder of the file."""

    path: Path
    site: SitePart
    warehouse: WarehousePart = field(default_factory=WarehousePart)
    extract: ExtractSettings = field(default_factory=ExtractSettings)
    rules: RulesPart = field(default_factory=RulesPart)
    sources: Mapping[str, Source] = field(default_factory=dict)
    pipelines: Mapping[str, PipelineSettings] = field(default_factory=dict)
    triggers: Mapping[str, TriggerPart] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self.path.parent


def read_config(path: Path) -> SiteConfig:
    """Read and check a site's TOML.

    Raises ConfigError with every mistake and its line, InputError where the file cannot be read.
    """
    reader = open_toml(path)
    root = reader.root
    site = reader.read(SitePart, root.get("site", {}), ("site",))
    warehouse = reader.read(WarehousePart, root.get("warehouse", {}), ("warehouse",))
    extract = reader.read(ExtractSettings, root.get("extract", {}), ("extract",))
    rules = reader.read(RulesPart, root.get("rules", {}), ("rules",))
    pipelines = _named(reader, "pipeline", PipelineSettings)
    for name in pipelines:
        _check_pipeline(reader, name)
    triggers = _named(reader, "trigger", TriggerPart)
    sources = _sources(reader)
    for name, trigger in triggers.items():
        _check_trigger(reader, name, trigger, pipelines, sources)
    if warehouse:
        for name in warehouse.core_fields:
            if name not in SCENES.names:
                near = suggestion(name, SCENES.names)
                reader.mistake(("warehouse", "core_fields"), f"core_fields names no field {name!r}; {near}")
    reader.finish()
    assert site and warehouse and extract and rules
    return SiteConfig(path, site, warehouse, extract, rules, sources, pipelines, triggers)


def _named(reader: Reader, part: str, cls: type[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    tables = reader.root.get(part, {})
    if not isinstance(tables, dict):
        reader.mistake((part,), f"write [{part}.NAME]")
        return found
    for name, table in tables.items():
        value = reader.read(cls, table, (part, name))
        if value is not None:
            found[name] = value
    return found


def _check_pipeline(reader: Reader, name: str) -> None:
    try:
        check_pipeline_name(name)
    except InputError as error:
        reader.mistake(("pipeline", name), str(error))


def _sources(reader: Reader) -> dict[str, Source]:
    found: dict[str, Source] = {}
    tables = reader.root.get("source", {})
    if not isinstance(tables, dict):
        reader.mistake(("source",), "write [source.NAME]")
        return found
    for name, table in tables.items():
        where = ("source", name)
        if not name or name.startswith(".") or "/" in name or "\0" in name:
            reader.mistake(where, f"{name!r} is no source name; a folder is called so: leave / and first dots out")
        if not isinstance(table, dict) or not isinstance(table.get("job_type"), str):
            reader.mistake(where, f'source {name} lacks job_type = "…"')
            continue
        for key in table.keys() - {"job_type", "settings"}:
            reader.mistake((*where, key), f"unknown key {key!r}; {suggestion(key, ('job_type', 'settings'))}")
        try:
            job = job_type(table["job_type"])
        except IsthmusError as error:
            reader.mistake((*where, "job_type"), str(error))
            continue
        settings = reader.read(job.Settings, table.get("settings", {}), (*where, "settings"))
        if settings is not None:
            found[name] = Source(name, table["job_type"], job(name, settings))
    return found


def _check_trigger(
    reader: Reader,
    name: str,
    trigger: TriggerPart,
    pipelines: Mapping[str, PipelineSettings],
    sources: Mapping[str, Source],
) -> None:
    where = ("trigger", name)
    try:
        cron(trigger.cron)
    except MissingExtra:
        pass  # a machine without the extra serves no triggers, and says so when it is asked to
    except InputError as error:
        reader.mistake((*where, "cron"), str(error))
    if trigger.pipeline not in reader.root.get("pipeline", {}):
        near = suggestion(trigger.pipeline, pipelines)
        reader.mistake((*where, "pipeline"), f"unknown pipeline {trigger.pipeline!r}; {near}")
    for source in trigger.ingest:
        if source not in reader.root.get("source", {}):
            reader.mistake((*where, "ingest"), f"unknown source {source!r}; {suggestion(source, sources)}")
