"""Images as rows of the warehouse table acquire.images, and of the OLAP: in a process that has room for both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isthmus.acquire.clerk import Clerk
from isthmus.app.acquiring.config import read_acquire_config
from isthmus.app.acquiring.ledgers import open_ledger
from isthmus.app.site import Site
from isthmus.core.progress import Report
from isthmus.state.lock import held


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows came, and how many went because their images were removed."""

    written: int
    deleted: int


def write_rows(path: Path, report: Report, *, removed: bool = False) -> Rows:
    """Write the rows that are missing, with `removed` delete those whose image is gone, and level the OLAP.

    May end anywhere and be done again. Raises Busy where another process is at it.
    """
    config = read_acquire_config(path)
    site = Site.open(path, report)
    with held(config.state_folder / ".rows.lock", "the writing of rows"):
        ledger = open_ledger(config)
        try:
            clerk = Clerk(ledger, site.tables.catalog, site.config.warehouse.database)
            written = clerk.write(report=report)
            deleted = clerk.forget() if removed else 0
        finally:
            ledger.close()
    site.tables.level(report)
    return Rows(written.rows, deleted)
