"""The loop's tables in the warehouse, and the OLAP that follows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeVar

from isthmus.core.errors import Busy, InputError, UnknownName
from isthmus.core.progress import Progress, Report, silent
from isthmus.loop.fields import REJECTS, SCENES
from isthmus.state.lock import PATIENCE_S, patiently
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.olap import Olap
from isthmus.warehouse.table import Table

T = TypeVar("T")


@dataclass(frozen=True)
class LoopTables:
    """The tables `scenes` and `rejects` of one database and schema; made when first used.

    `beside` are other tables of the warehouse that the OLAP holds too, once they are there, by the name that they
    have in it (`table` or `schema.table`).
    `core_fields` are the simple fields of scenes that the OLAP holds; empty means all of them. `patience_s` is
    how long a write waits for one of another process, `pause` how it does so.
    """

    catalog: Catalog
    olap: Olap
    database: str = "main"
    schema: str = "loop"
    compression: Literal["zstd", "none"] = "zstd"
    core_fields: Sequence[str] = ()
    beside: Mapping[str, TableName] = field(default_factory=dict)
    patience_s: float = PATIENCE_S
    pause: Callable[[float], None] = time.sleep

    @cached_property
    def scenes(self) -> Table:
        """The scenes: simple fields and the complex field."""
        return self.catalog.create(self.name("scenes"), SCENES, compression=self.compression)

    @cached_property
    def rejects(self) -> Table:
        """Records that were set aside, with the reason."""
        return self.catalog.create(self.name("rejects"), REJECTS)

    def level(self, report: Report = silent) -> int:
        """Bring the OLAP to the warehouse's version; quick where it is there already.

        Returns the version of the scenes that the OLAP stands at now. Waits while another process is at it;
        raises Busy where that takes too long.
        """
        report(Progress("level the OLAP", 0, None))
        return self.waiting(self._follow, report)

    def level_unless_busy(self, report: Report = silent) -> None:
        """Bring the OLAP level for one who only reads; where another process is at it, its last state is read."""
        try:
            self._follow()
        except Busy:
            if not self.olap.path.exists():
                self.level(report)

    def waiting(self, write: Callable[[], T], report: Report = silent) -> T:
        """Do a write that can be done again; while another process writes, wait and say so. Raises Busy."""
        return patiently(
            write,
            lambda busy: report(Progress("wait", 0, note=busy.what)),
            for_s=self.patience_s,
            pause=self.pause,
        )

    def _follow(self) -> int:
        return self.olap.follow_all(self._wanted())["scenes"].to_version

    def _wanted(self) -> dict[str, tuple[Table, Sequence[str] | None]]:
        own: dict[str, tuple[Table, Sequence[str] | None]] = {
            "rejects": (self.rejects, None),
            "scenes": (self.scenes, self.core_fields or None),
        }
        return own | {as_name: (table, None) for as_name, table in self._beside()}

    def _beside(self) -> Iterator[tuple[str, Table]]:
        there = set(self.catalog.names()) if self.beside else set()
        for as_name, name in self.beside.items():
            if name in there:
                yield as_name, self.catalog.open(name)

    def standing(self) -> Iterator[tuple[str, Table]]:
        """Yield every table that stands, by the name that the OLAP has for it."""
        yield "scenes", self.scenes
        yield "rejects", self.rejects
        yield from self._beside()

    def table(self, as_name: str) -> Table:
        """Open the warehouse table that the OLAP calls `as_name`.

        Raises UnknownName, InputError for one beside the scenes that nothing was written to yet.
        """
        if as_name in ("scenes", "rejects"):
            return self.scenes if as_name == "scenes" else self.rejects
        if as_name not in self.beside:
            raise UnknownName.among("table", as_name, ["scenes", "rejects", *self.beside])
        if self.beside[as_name] not in self.catalog.names():
            raise InputError(f"the table {as_name} is not there yet", "it comes with the first rows written to it")
        return self.catalog.open(self.beside[as_name])

    def rebuild(self) -> None:
        """Make the OLAP anew from the warehouse alone."""
        self.olap.rebuild(self._wanted())

    def name(self, table: str) -> TableName:
        """Return the full name of one of the tables."""
        return TableName(self.database, self.schema, table)
