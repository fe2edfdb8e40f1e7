"""The demonstration: the whole loop in a folder of its own, on real samples where they are, else simulated."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.app.site import Site
from isthmus.app.starter import write_site
from isthmus.core.progress import Report
from isthmus.loop.runs.ledger import Ask, Run

DAY = datetime.date(2026, 11, 20)
_NEAR = (Path("../shared/data"),)


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of what the demonstration did."""

    what: str
    result: str


def find_samples() -> Path | None:
    """Return the folder of the real samples: ISTHMUS_SAMPLES, or ../shared/data where that is there."""
    named = os.environ.get("ISTHMUS_SAMPLES")
    for folder in (Path(named),) if named else _NEAR:
        if (folder / "driving").is_dir():
            return folder
    return None


def demonstrate(folder: Path, report: Report) -> Iterator[Happened]:
    """Run the loop twice: all scenes to a first champion, then a mined list to its challenger.

    Yields what happened as it happens. The folder is made by the first demonstration and taken up by a later one.
    """
    samples = find_samples()
    path = folder / "isthmus.toml"
    if not path.exists():
        write_site(folder, samples, small=True)
    site = Site.open(path, report)
    yield Happened("samples", str(samples) if samples else "none found: the simulator alone")
    for source in site.config.sources.values():
        done = site.ingest()(source, DAY)
        reasons = ", ".join(f"{count} {reason}" for reason, count in done.reasons)
        yield Happened(
            f"ingest {source.name} ({source.job_type})",
            f"{done.scenes} scenes" + (f", {done.rejects} set aside ({reasons})" if done.rejects else ""),
        )
    counts = site.tables.olap.query(
        "SELECT count(*) AS scenes, sum(distance_m) / 1000 AS km, sum(cut_ins) AS cut_ins FROM scenes"
    ).to_pylist()[0]
    yield Happened("warehouse", f"{counts['scenes']} scenes, {counts['km']:.0f} km, {counts['cut_ins']} cut-ins")
    pipeline = site.pipeline("forecast")
    yield from _told("first run, all scenes", pipeline.fire("demo", Ask(mode="full")))
    rule = "hard_brake or hard_slowdown" if samples else "hard_brake or close_following"
    yield from _told(f"second run, {rule}", pipeline.fire("demo", Ask(rule=rule)))
    champion = site.registry.champion("forecast")
    yield Happened("champion", champion.folder if champion else "none")
    for run in site.ledger.runs("forecast")[:2]:
        yield Happened(f"report of {run.id}", str(site.run_folder(run.id).report))


def _told(what: str, run: Run) -> Iterator[Happened]:
    decision = (run.notes.get("decision") or {}).get("sentence", "")
    trained = " → ".join(run.notes.get("attempts", ()))
    yield Happened(
        what, f"{run.notes.get('count', 0)} scenes, trained {trained or 'nothing'}: {run.state}. {decision}"
    )
