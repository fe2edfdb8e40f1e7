"""What a trigger by time does: ingest what it names for the day before, then run its pipeline on all scenes."""

from __future__ import annotations

import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from isthmus.app.site import Site
from isthmus.core.errors import SourceError
from isthmus.core.progress import Progress, Report
from isthmus.loop.runs.ledger import Ask


def fire(site_file: Path, trigger: str, report: Report) -> str:
    """Serve one trigger; returns a line that says what came of it.

    The site is opened anew: its file may have changed since the last time, and this may be another thread. A
    source that is not ready is told and does not keep the others, or the run, from going on.
    """
    site = Site.open(site_file, report)
    part = site.trigger(trigger)
    yesterday = (
        site.clock.now().astimezone(ZoneInfo(site.config.site.timezone)) - datetime.timedelta(days=1)
    ).date()
    notes = []
    for name in part.ingest:
        try:
            done = site.ingest()(site.source(name), yesterday)
            notes.append(f"{name}: {done.scenes} scenes, {done.rejects} rejects")
        except SourceError as error:
            report(Progress(f"ingest {name}", 0, note=str(error)))
            notes.append(f"{name}: {error}")
    run = site.pipeline(part.pipeline).fire(trigger, Ask(mode=part.mode))
    return "; ".join([*notes, f"run {run.id}: {run.state}"])
