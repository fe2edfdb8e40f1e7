"""When the triggers of a site fire next, and when they last made a run."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from isthmus.app.site import Site
from isthmus.loop.runs.schedule import cron


@dataclass(frozen=True, slots=True)
class Timetable:
    """One trigger by time; times are in the site's time zone, `after` is None where it never fires again."""

    name: str
    cron: str
    pipeline: str
    ingest: tuple[str, ...]
    last: datetime.datetime | None
    after: datetime.datetime | None


def timetable(site: Site) -> Iterator[Timetable]:
    """List the triggers in the order of the TOML."""
    zone = ZoneInfo(site.config.site.timezone)
    now = site.clock.now().astimezone(zone)
    for name, part in site.config.triggers.items():
        last = site.ledger.last_start(name)
        after = cron(part.cron, site.config.site.timezone).get_next_fire_time(None, now)
        yield Timetable(name, part.cron, part.pipeline, part.ingest, last and last.astimezone(zone), after)
