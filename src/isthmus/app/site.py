"""One site, wired: its parts are made from its configuration when they are first used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from isthmus.app.clock import SystemClock
from isthmus.app.config import SiteConfig, TriggerPart, read_config
from isthmus.core.errors import InputError, UnknownName
from isthmus.core.ports import Clock
from isthmus.core.progress import Report, silent
from isthmus.loop.ingest.journal import Journal
from isthmus.loop.ingest.run import Ingest
from isthmus.loop.ingest.work import Source
from isthmus.loop.release.registry import Registry
from isthmus.loop.release.releases import Releases
from isthmus.loop.runs.folder import RunFolder
from isthmus.loop.runs.ledger import Ledger
from isthmus.loop.runs.parts import Parts
from isthmus.loop.runs.pipeline import Pipeline
from isthmus.loop.runs.schedule import Schedule, Scheduler
from isthmus.loop.tables import LoopTables
from isthmus.state.store import Store
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.olap import Olap

if TYPE_CHECKING:
    from isthmus.loop.rules.catalogue import Catalogue

T = TypeVar("T")

IMAGES = "acquire.images"
"""The table of acquired images, in the warehouse's database and in the OLAP."""


class Site:
    """The parts of a site. `report` gets the progress of whatever runs."""

    def __init__(self, config: SiteConfig, report: Report = silent, clock: Clock | None = None) -> None:
        self.config = config
        self.report = report
        self.clock = clock or SystemClock()

    @classmethod
    def open(cls, path: Path, report: Report = silent) -> Site:
        """Open the site whose TOML is at `path`. Raises ConfigError with every mistake in it."""
        return cls(read_config(path), report)

    @property
    def state_folder(self) -> Path:
        """Where state, staging, runs and releases lie."""
        return self.config.folder / self.config.site.state

    @cached_property
    def store(self) -> Store:
        """The site's SQLite file."""
        return Store(self.state_folder / "isthmus.sqlite")

    @cached_property
    def tables(self) -> LoopTables:
        """The loop's tables and the OLAP that follows them."""
        part = self.config.warehouse
        return LoopTables(
            Catalog(self._place(part.root)),
            Olap(self.state_folder / "olap.duckdb"),
            part.database,
            part.schema,
            part.compression,
            part.core_fields,
            {IMAGES: TableName.parse(f"{part.database}.{IMAGES}")},
        )

    @cached_property
    def catalogue(self) -> Catalogue:
        """The rules: the built-in ones and the user's."""
        from isthmus.loop.rules.catalogue import Catalogue  # its parser is 9 MB that a site at rest does not need

        return Catalogue.load([self.config.folder / file for file in self.config.rules.files])

    @cached_property
    def journal(self) -> Journal:
        """What the site knows of its ingests."""
        return Journal(self.store, self.clock)

    @cached_property
    def ledger(self) -> Ledger:
        """The runs of the site's pipelines."""
        return Ledger(self.store, self.clock)

    @cached_property
    def registry(self) -> Registry:
        """The models of the site's pipelines."""
        return Registry(self.store, self.clock)

    @cached_property
    def releases(self) -> Releases:
        """The released models."""
        return Releases(self.registry, str(self.state_folder / "releases"))

    def run_folder(self, run_id: str) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.state_folder / "runs" / run_id)

    def ingest(self, workers: int | None = None) -> Ingest:
        """Make the ingest of this site."""
        return Ingest(
            self.tables,
            self.journal,
            self.state_folder / "staging",
            self.config.extract,
            workers or self.config.site.workers,
            self.report,
        )

    def source(self, name: str) -> Source:
        """Return a declared source. Raises UnknownName with the nearest."""
        return _named("source", name, self.config.sources)

    def trigger(self, name: str) -> TriggerPart:
        """Return a declared trigger. Raises UnknownName with the nearest."""
        return _named("trigger", name, self.config.triggers)

    def pipeline(self, name: str) -> Pipeline:
        """Return a declared pipeline, ready to run. Raises UnknownName with the nearest."""
        settings = _named("pipeline", name, self.config.pipelines)
        parts = Parts(
            name,
            settings,
            self.tables,
            self.catalogue,
            self.releases,
            self.state_folder / "runs",
            self.clock,
            self.report,
        )
        return Pipeline(parts, self.ledger)

    def one_pipeline(self, name: str | None) -> str:
        """Return `name`, or the site's only pipeline. Raises InputError where there is none or more than one."""
        known = list(self.config.pipelines)
        if name is None and len(known) != 1:
            raise InputError(
                f"the site has {len(known)} pipelines", f"name one: {', '.join(known) or 'none is declared'}"
            )
        return name if name is not None else known[0]

    def scheduler(self, names: Iterable[str] | None = None) -> Scheduler:
        """Make the scheduler of the site's triggers, or of some of them."""
        chosen = list(names) if names is not None else list(self.config.triggers)
        zone = self.config.site.timezone
        return Scheduler(
            self.store, self.clock, {name: Schedule(name, self.trigger(name).cron, zone) for name in chosen}
        )

    def _place(self, text: str) -> str:
        return text if "://" in text else str((self.config.folder / text).resolve())


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UnknownName.among(kind, name, known)
    return known[name]
