"""What a trigger by time does: ingest what it names up to the day before, then run its pipeline on all scenes."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo

from isthmus.app.site import Site
from isthmus.core.errors import IsthmusError
from isthmus.core.progress import Progress, Report
from isthmus.loop.ingest.journal import Entry
from isthmus.loop.ingest.states import DONE
from isthmus.loop.runs.ledger import Ask

CATCH_UP_DAYS = 31
"""Days before today, at most, that a trigger ingests."""


def fire(site_file: Path, trigger: str, report: Report) -> str:
    """Serve one trigger; returns a line that says what came of it.

    The site is opened anew: its file may have changed since the last time. A source that is not ready is told
    and does not keep the others, or the run, from going on; its day is tried again by the next firing. Raises
    Busy, before anything is done, where a process works on a run of the pipeline, and what the run raises.
    """
    site = Site.open(site_file, report)
    try:
        part = site.trigger(trigger)
        pipeline = site.pipeline(part.pipeline)
        pipeline.must_be_idle()
        today = site.clock.now().astimezone(ZoneInfo(site.config.site.timezone)).date()
        yesterday = today - datetime.timedelta(days=1)
        due = [(name, day) for name in part.ingest for day in days_due(site.journal.entries(), name, yesterday)]
        notes = [_brought(site, name, day) for name, day in due]
        run = pipeline.fire(trigger, Ask(mode=part.mode))
        return "; ".join([*notes, f"run {run.id}: {run.state}"])
    finally:
        site.store.close()


def days_due(entries: Iterable[Entry], source: str, yesterday: datetime.date) -> list[datetime.date]:
    """List the days to ingest: yesterday, those missed since the last one that came in, and those not finished.

    A source that never brought anything begins with yesterday. Nothing older than CATCH_UP_DAYS.
    """
    oldest = yesterday - datetime.timedelta(days=CATCH_UP_DAYS - 1)
    own = [entry for entry in entries if entry.source == source and oldest <= entry.day <= yesterday]
    due = {yesterday, *(entry.day for entry in own if entry.state != DONE)}
    done = [entry.day for entry in own if entry.state == DONE]
    if done:
        missed = (yesterday - max(done)).days
        due |= {yesterday - datetime.timedelta(days=back) for back in range(missed)}
    return sorted(due)


def _brought(site: Site, name: str, day: datetime.date) -> str:
    try:
        done = site.ingest()(site.source(name), day)
    except IsthmusError as error:
        site.report(Progress(f"ingest {name}", 0, note=str(error)))
        return f"{name} {day}: {error}"
    return f"{name} {day}: {done.scenes} scenes, {done.rejects} rejects"
