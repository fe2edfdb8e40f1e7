"""The demonstration: the whole loop in a folder of its own, on real samples where they are, else simulated."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from isthmus.app.chapters import Chapter, Happened, find_samples
from isthmus.app.mining import MineAsk, mine_site, plain
from isthmus.app.site import Site
from isthmus.app.starter import write_site
from isthmus.core.progress import Report
from isthmus.loop.runs.ledger import Ask, Run

DAY = datetime.date(2026, 11, 20)


def demonstrate(folder: Path, report: Report) -> Iterator[Chapter | Happened]:
    """Run the loop twice: all scenes to a first champion, then a mined list to its challenger.

    Yields what comes and what happened, as it happens. The folder is made by the first demonstration and taken
    up by a later one.
    """
    samples = find_samples()
    path = folder / "isthmus.toml"
    if not path.exists():
        write_site(folder, samples, small=True)
    site = Site.open(path, report)
    yield Chapter("Bring driving records in")
    yield Happened("samples", str(samples) if samples else "none found: the simulator alone")
    yield from _ingested(site)
    rule = "hard_brake or hard_slowdown" if samples else "hard_brake or close_following"
    yield Chapter("Mine scenes")
    for asked in ("cut_in", rule):
        out = folder / f"{'cut_ins' if asked == 'cut_in' else 'braking'}.parquet"
        found = mine_site(site, MineAsk(asked, out=str(out)))
        yield Happened("mine", f"{asked}: {found.rows.num_rows} of {found.considered} scenes, listed in {out}")
    pipeline = site.pipeline("forecast")
    yield Chapter("Train on all scenes, evaluate, decide")
    yield from _told("first run", pipeline.fire("demo", Ask(mode="full")))
    yield Chapter("Train on the mined scenes, compare with the champion, decide")
    yield from _told("second run", pipeline.fire("demo", Ask(rule=rule)))
    champion = site.registry.champion("forecast")
    yield Happened("champion", _near(plain(champion.folder)) if champion else "none")
    for run in site.ledger.runs("forecast")[:1]:
        yield Happened("report", _near(str(site.run_folder(run.id).report)))


def _near(place: str) -> str:
    """Write a path from the present folder where it lies within."""
    path = Path(place)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else place


def _ingested(site: Site) -> Iterator[Happened]:
    for source in site.config.sources.values():
        done = site.ingest()(source, DAY)
        reasons = ", ".join(f"{count} {reason}" for reason, count in done.reasons)
        yield Happened(
            f"ingest {source.name}",
            f"{done.scenes} scenes ({source.job_type})"
            + (f", {done.rejects} records set aside: {reasons}" if done.rejects else ""),
        )
    counts = site.tables.olap.query(
        "SELECT count(*) AS scenes, sum(distance_m) / 1000 AS km, sum(cut_ins) AS cut_ins FROM scenes"
    ).to_pylist()[0]
    yield Happened(
        "warehouse", f"{counts['scenes']} scenes, {counts['km'] or 0:.0f} km, {counts['cut_ins'] or 0} cut-ins"
    )


def _told(what: str, run: Run) -> Iterator[Happened]:
    decision = (run.notes.get("decision") or {}).get("sentence", "")
    trained = ", then ".join(run.notes.get("attempts", ()))
    yield Happened(
        what,
        f"{run.notes.get('count', 0)} scenes, training: {trained or 'none'}; {run.state}. {decision}".strip(),
    )
