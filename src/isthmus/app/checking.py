"""Checks beyond a site's TOML: rules, metrics and simulators that pipelines name, and the OLAP's core fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from isthmus.app.config import SiteConfig
from isthmus.app.site import Site
from isthmus.core.errors import InputError
from isthmus.core.settings import Reader
from isthmus.loop.fields import SCENES
from isthmus.loop.forecasting.metrics import metrics
from isthmus.loop.mining.held import fields_of
from isthmus.loop.runs.settings import PipelineSettings
from isthmus.loop.simulators.port import simulator, simulators


def check_site(site: Site) -> list[str]:
    """Check what the parts of a site say of each other; returns notes on what is allowed but may surprise.

    Raises ConfigError with every mistake and its line, MissingExtra where a part that is named is not installed.
    """
    text = site.config.path.read_text(encoding="utf-8-sig")
    reader = Reader(text, str(site.config.path))
    for name, pipeline in site.config.pipelines.items():
        for where, what in _mistakes(site, name, pipeline):
            reader.mistake(where, what)
        _check_simulators(reader, name, pipeline)
    reader.finish()
    return [*site.catalogue.notes, *_unheld(site, site.config)]


def _mistakes(site: Site, name: str, pipeline: PipelineSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    asked: list[tuple[tuple[str, ...], str, Callable[[str], object]]] = [
        *((("evaluation", "rules"), rule, site.catalogue.bind) for rule in pipeline.evaluation.rules),
        *(
            (("evaluation", "metrics"), metric, lambda one: metrics([one]))
            for metric in pipeline.evaluation.metrics
        ),
        *((("simulation", "simulators"), one, simulator) for one in pipeline.simulation.simulators),
        *((("simulation", "settings", one), one, simulator) for one in pipeline.simulation.settings),
    ]
    for where, value, find in asked:
        try:
            find(value)
        except InputError as error:
            yield ("pipeline", name, *where), str(error)


def _check_simulators(reader: Reader, name: str, pipeline: PipelineSettings) -> None:
    """Note what is wrong with the settings of the simulators that are installed."""
    for one, table in pipeline.simulation.settings.items():
        if one in simulators():
            reader.read(simulator(one).Settings, dict(table), ("pipeline", name, "simulation", "settings", one))


def _unheld(site: Site, config: SiteConfig) -> Iterator[str]:
    """Name the rules that cannot be mined because the OLAP holds a core of the fields alone."""
    held = {SCENES.key, *(config.warehouse.core_fields or SCENES.names)}
    for name in site.catalogue.names():
        lacking = sorted(fields_of(site.catalogue.bind(name).expression) - held)
        if lacking:
            yield f"rule {name} can be neither mined nor judged as a slice: core_fields lacks {', '.join(lacking)}"
