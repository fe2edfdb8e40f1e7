"""The loop's tables in the warehouse, and the OLAP that follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from isthmus.core.progress import Progress, Report, silent
from isthmus.loop.fields import REJECTS, SCENES
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.olap import Olap
from isthmus.warehouse.table import Table


@dataclass(frozen=True)
class LoopTables:
    """The tables `scenes` and `rejects` of one database and schema; made when first used.

    `core_fields` are the simple fields of scenes that the OLAP holds; empty means all of them.
    """

    catalog: Catalog
    olap: Olap
    database: str = "main"
    schema: str = "loop"
    compression: Literal["zstd", "none"] = "zstd"
    core_fields: Sequence[str] = ()

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

        Returns the version of the scenes that the OLAP stands at now.
        """
        report(Progress("level the OLAP", 0, None))
        self.olap.follow(self.rejects, "rejects")
        return self.olap.follow(self.scenes, "scenes", self.core_fields or None).to_version

    def rebuild(self) -> None:
        """Make the OLAP anew from the warehouse alone."""
        self.olap.rebuild({"scenes": (self.scenes, self.core_fields or None), "rejects": (self.rejects, None)})

    def name(self, table: str) -> TableName:
        """Return the full name of one of the tables."""
        return TableName(self.database, self.schema, table)
