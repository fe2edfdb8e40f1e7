"""One life on one machine: what is acquired and mined, trained and released, crosses, is used, and survives.

The sites are folders of their own, and what runs are processes of their own. One warehouse runs through the story:
the interface server files what it acquired into it, the loop its scenes; the loop's champion is the model that
crosses the gate with the galleries; and the warehouse's tables are those that the standby follows and takes over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isthmus.app.acquiring.demo import tell_acquiring
from isthmus.app.chapters import Chapter, Happened, find_samples
from isthmus.app.demo import demonstrate
from isthmus.app.galleries.demo import Released, tell_galleries
from isthmus.app.recovery.demo import tell_recovery
from isthmus.app.site import Site
from isthmus.app.starter import write_site
from isthmus.core.errors import RunFailed
from isthmus.core.progress import Report
from isthmus.warehouse.place import local_path

PIPELINE = "forecast"


def tell_life(folder: Path, report: Report) -> Iterator[Chapter | Happened]:
    """Tell it in `folder`. A later telling takes the loop and its warehouse up; the other sites are made anew."""
    warehouse = folder / "warehouse"
    if not (folder / "isthmus.toml").exists():
        write_site(folder, find_samples(), small=True)
    yield from tell_acquiring(folder / "acquire", warehouse)
    yield from demonstrate(folder, report)
    yield from tell_galleries(folder / "gallery", _released(folder))
    yield from tell_recovery(folder / "recovery", warehouse)
    yield Chapter("All of it is in one place")
    yield from _summed(folder, report)


def _released(folder: Path) -> Released:
    """Return the loop's champion, and a moment of traffic to run it on."""
    from isthmus.loop.forecasting.release import INPUTS, example_inputs

    champion = Site.open(folder / "isthmus.toml").registry.champion(PIPELINE)
    place = None if champion is None else local_path(champion.folder)
    if place is None:
        raise RunFailed("the loop has released no model", "see the report of its runs")
    return Released(place, dict(zip(INPUTS, example_inputs(1), strict=True)))


def _summed(folder: Path, report: Report) -> Iterator[Happened]:
    """Ask the warehouse through which everything went."""
    site = Site.open(folder / "isthmus.toml", report)
    site.tables.level()
    olap = site.tables.olap
    scenes = olap.query("SELECT count(*) AS scenes, count(DISTINCT day) AS days FROM scenes").to_pylist()[0]
    images = olap.query('SELECT count(*) AS images FROM "acquire"."images"').to_pylist()[0]
    yield Happened(
        "warehouse",
        f"{scenes['scenes']} scenes of {scenes['days']} days and {images['images']} acquired images, all of it on"
        " the standby too",
    )
