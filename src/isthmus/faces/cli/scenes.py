"""Commands that bring scenes in and look at them: sources, ingest, query, scenes, olap."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isthmus.core.errors import InputError, IsthmusError
from isthmus.faces.cli.root import Commands, isthmus, open_site
from isthmus.faces.cli.screen import Screen, say
from isthmus.faces.cli.tables import table

if TYPE_CHECKING:
    from isthmus.app.site import Site
    from isthmus.loop.ingest.run import Ingested
    from isthmus.loop.ingest.work import Source
    from isthmus.loop.mining.statistics import By

DAY = click.DateTime(["%Y-%m-%d"])
FORMS = ["table", "csv", "jsonl", "parquet"]


@isthmus.command()
@click.pass_context
def sources(ctx: click.Context) -> None:
    """List the sources and what each last brought."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        last = {}
        for entry in reversed(site.journal.entries()):
            last[entry.source] = entry
    rows = []
    for name, source in site.config.sources.items():
        seen = last.get(name)
        rows.append(
            (name, source.job_type, *((seen.day, seen.state, seen.scenes, seen.rejects) if seen else [None] * 4))
        )
    if not rows:
        say("the site declares no source yet: add [source.NAME] to its TOML")
        return
    table(("source", "job type", "last day", "state", "scenes", "rejects"), rows)


@isthmus.command()
@click.option("--source", "names", multiple=True, help="The source; may be given several times. Default: all.")
@click.option("--day", type=DAY, required=True, help="The day to bring in, YYYY-MM-DD.")
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes; default as the site says.")
@click.pass_context
def ingest(ctx: click.Context, names: tuple[str, ...], day: datetime.datetime, workers: int | None) -> int:
    """Bring one day of a source in.

    The same day again replaces it; an ingest that was killed goes on.

    A source that fails does not keep the others from coming in; the failure gives the exit code. Else the
    code is 3 where records were set aside: see them with isthmus query "SELECT * FROM rejects".
    """
    results: list[Ingested] = []
    failed: list[IsthmusError] = []
    left: list[str] = []
    try:
        with Screen() as screen:
            site = open_site(ctx, screen)
            chosen = _chosen(site, names)
            left = [source.name for source in chosen]
            for source in chosen:
                try:
                    results.append(site.ingest(workers)(source, day.date()))
                except IsthmusError as error:  # the other sources go in all the same
                    failed.append(error)
                left.remove(source.name)
    except BaseException:  # a full disk, ctrl-C: what went in before is told, and that the rest did not
        _tell_ingested(results, failed)
        if results or failed or len(left) > 1:
            say(f"isthmus: not ingested: {', '.join(left)}", fold=True)
        raise
    gravest = max(failed, key=lambda error: not error.retryable, default=None)
    _tell_ingested(results, [error for error in failed if error is not gravest])
    if gravest:
        raise gravest
    return 3 if any(done.rejects for done in results) else 0


def _chosen(site: Site, names: Sequence[str]) -> list[Source]:
    chosen = [site.source(name) for name in dict.fromkeys(names or site.config.sources)]
    if not chosen:
        raise InputError("the site declares no source", "add [source.NAME] to its TOML; see: isthmus keys source")
    return chosen


def _tell_ingested(results: Sequence[Ingested], failed: Sequence[IsthmusError]) -> None:
    rows = []
    for done in results:
        reasons = ", ".join(f"{count} {reason}" for reason, count in done.reasons)
        note = "nothing new: earlier rows stay" if done.kept else "resumed" if done.resumed else ""
        rows.append((done.source, done.day, done.units, done.scenes, done.rejects, reasons, note))
    if rows:
        table(("source", "day", "units", "scenes", "rejects", "reasons", "note"), rows)
    for error in failed:
        say(f"isthmus: {error}", fold=True)


@isthmus.command()
@click.argument("sql")
@click.option(
    "--format", "form", type=click.Choice(FORMS), help="Default: what --out ends in, else a table on the screen."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file, in its place.")
@click.option("--limit", type=click.IntRange(1), help="Rows at most.")
@click.pass_context
def query(ctx: click.Context, sql: str, form: str | None, out: Path | None, limit: int | None) -> None:
    """Ask the OLAP in SQL, read-only.

    Its tables are scenes and rejects, and acquire.images where images were acquired; their fields: DESCRIBE
    scenes. For example:

    isthmus query "SELECT source, day, count(*) FROM scenes GROUP BY ALL"
    """
    from isthmus.app.asking import count, empty_hint, rows, write_rows

    form = form or (out.suffix.removeprefix(".") if out else "table")
    if form not in FORMS or (form == "table" and out):
        raise InputError(f"{out} names no form", "choose --format csv, jsonl or parquet")

    with Screen() as screen:
        site = open_site(ctx, screen)
        site.tables.level_unless_busy()
        found = rows(site, sql, limit)
        hint = empty_hint(site) if not found.num_rows and not count(site) else ""
    if form != "table":
        write_rows(found, form, out)
        if out:
            say(f"{found.num_rows} {'row' if found.num_rows == 1 else 'rows'} in {out}")
        return
    shown = table(found.column_names, _rows(found), cut=limit is None)
    if hint:
        say(hint)
    elif not found.num_rows:
        say("no row")
    elif shown < found.num_rows:
        say(f"{shown} of {found.num_rows} rows shown; all of them: --format csv, or --limit {found.num_rows}")


@isthmus.group(cls=Commands)
def scenes() -> None:
    """Draw a scene, count scenes."""


@scenes.command("show")
@click.argument("scene_id")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The PNG; default SCENE_ID.png here.")
@click.option("--step", type=click.IntRange(0), help="The step to draw; default: the middle.")
@click.pass_context
def show(ctx: click.Context, scene_id: str, out: Path | None, step: int | None) -> None:
    """Draw a scene from above, and print its fields.

    The picture is a PNG; the simple fields come with their units, and the rules that hold.
    """
    from isthmus.app.asking import draw, facts

    path = out or Path(f"{scene_id}.png")
    if path.suffix.lower() != ".png":
        raise InputError(f"{path} is no place for a PNG", "let it end in .png")
    with Screen() as screen:
        site = open_site(ctx, screen)
        row = draw(site, scene_id, path, step)
        lines = facts(site, row)
    table(("field", "value", "unit", "meaning"), lines)
    say(f"drawn to {path}")


@scenes.command("stats")
@click.option("--by", type=click.Choice(["day", "source", "tag"]), default="source", show_default=True)
@click.option("--where", default="", help="A filter on simple fields, such as day >= '2026-11-01'.")
@click.pass_context
def stats(ctx: click.Context, by: By, where: str) -> None:
    """Count scenes by day, source or tag.

    With their hours, kilometres and mean speed, and the share of scenes for which each rule holds.
    """
    from isthmus.app.asking import count, empty_hint
    from isthmus.loop.mining.statistics import statistics

    with Screen() as screen:
        site = open_site(ctx, screen)
        site.tables.level_unless_busy()
        bound = [site.catalogue.bind(name) for name in site.catalogue.names()]
        condition = site.catalogue.where(where) if where else None
        found = statistics(site.tables.olap, "scenes", by, bound, condition)
        hint = "no scene" if count(site) else empty_hint(site)
    if found.num_rows:
        table(found.column_names, _rows(found))
    else:
        say(hint)


@isthmus.group(cls=Commands)
def olap() -> None:
    """The OLAP database that follows the warehouse."""


@olap.command("rebuild")
@click.pass_context
def rebuild(ctx: click.Context) -> None:
    """Make the OLAP anew from the warehouse."""
    from isthmus.app.asking import count

    with Screen() as screen:
        site = open_site(ctx, screen)
        site.tables.rebuild()
        scenes_now = count(site)
    say(f"rebuilt from the warehouse: {scenes_now} scenes")


@olap.command("level")
@click.pass_context
def level(ctx: click.Context) -> None:
    """Bring the OLAP to the warehouse's version."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        site.tables.level()
    say(f"the OLAP stands at warehouse version {site.tables.scenes.version}")


def _rows(found: Any) -> list[tuple[Any, ...]]:
    """Turn a table round; two columns may bear the same name."""
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))
