"""Commands that bring scenes in and look at them: sources, ingest, query, scenes, olap."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isthmus.core.errors import InputError
from isthmus.faces.cli.root import Commands, isthmus, open_site
from isthmus.faces.cli.screen import Screen, cell, say, table

if TYPE_CHECKING:
    from isthmus.loop.mining.statistics import By

DAY = click.DateTime(["%Y-%m-%d"])


@isthmus.command()
@click.pass_context
def sources(ctx: click.Context) -> None:
    """List the sources of the site and what each last brought."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        last = {}
        for entry in reversed(site.journal.entries()):
            last[entry.source] = entry
    rows = []
    for name, source in site.config.sources.items():
        seen = last.get(name)
        rows.append(
            (name, source.job_type, *((seen.day, seen.state, seen.scenes, seen.rejects) if seen else "----"))
        )
    table(("source", "job type", "last day", "state", "scenes", "rejects"), rows)


@isthmus.command()
@click.option("--source", "names", multiple=True, help="The source; may be given several times. Default: all.")
@click.option("--day", type=DAY, required=True, help="The day to bring in, YYYY-MM-DD.")
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes; default as the site says.")
@click.pass_context
def ingest(ctx: click.Context, names: tuple[str, ...], day: datetime.datetime, workers: int | None) -> int:
    """Bring one day of a source in; the same day again replaces it, a killed ingest goes on.

    Ends with code 3 where records were set aside: see them with
    isthmus query "SELECT * FROM rejects".
    """
    with Screen() as screen:
        site = open_site(ctx, screen)
        chosen = [site.source(name) for name in names or site.config.sources]
        results = [site.ingest(workers)(source, day.date()) for source in chosen]
    rows = []
    for done in results:
        reasons = ", ".join(f"{count} {reason}" for reason, count in done.reasons)
        note = "nothing new: earlier rows stay" if done.kept else "resumed" if done.resumed else ""
        rows.append((done.source, done.day, done.units, done.scenes, done.rejects, reasons, note))
    table(("source", "day", "units", "scenes", "rejects", "reasons", "note"), rows)
    return 3 if any(done.rejects for done in results) else 0


@isthmus.command()
@click.argument("sql")
@click.option("--format", "form", type=click.Choice(["table", "csv", "jsonl", "parquet"]), default="table")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@click.option("--limit", type=click.IntRange(1), help="Rows at most.")
@click.pass_context
def query(ctx: click.Context, sql: str, form: str, out: Path | None, limit: int | None) -> None:
    """Ask the OLAP in SQL, read-only. Its tables are scenes and rejects.

    For example: isthmus query "SELECT source, day, count(*) FROM scenes GROUP BY ALL"
    """
    from isthmus.app.asking import rows, write_rows

    with Screen() as screen:
        site = open_site(ctx, screen)
        site.tables.level()
        found = rows(site, sql, limit)
    if form == "table" and out is None:
        table(found.column_names, _rows(found))
    elif form == "table":
        raise InputError("a table is for the screen", "choose --format csv, jsonl or parquet for a file")
    else:
        write_rows(found, form, out)


@isthmus.group(cls=Commands)
def scenes() -> None:
    """Look at scenes: draw one, count them."""


@scenes.command("show")
@click.argument("scene_id")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The PNG; default SCENE_ID.png here.")
@click.option("--step", type=click.IntRange(0), help="The step to draw; default: the middle.")
@click.pass_context
def show(ctx: click.Context, scene_id: str, out: Path | None, step: int | None) -> None:
    """Draw a scene from above as PNG, and print its simple fields and the rules that hold."""
    from isthmus.app.asking import draw, facts

    path = out or Path(f"{scene_id}.png")
    with Screen() as screen:
        site = open_site(ctx, screen)
        row = draw(site, scene_id, path, step)
        lines = facts(site, row)
    table(("field", "value", "unit", "meaning"), lines)
    say(f"drawn to {path}")


@scenes.command("stats")
@click.option("--by", type=click.Choice(["day", "source", "tag"]), default="source", show_default=True)
@click.pass_context
def stats(ctx: click.Context, by: By) -> None:
    """Count scenes, hours, kilometres and how often each rule holds, by day, source or tag."""
    from isthmus.loop.mining.statistics import statistics

    with Screen() as screen:
        site = open_site(ctx, screen)
        site.tables.level()
        bound = [site.catalogue.bind(name) for name in site.catalogue.names()]
        found = statistics(site.tables.olap, "scenes", by, bound)
    table(found.column_names, _rows(found))


@isthmus.group(cls=Commands)
def olap() -> None:
    """The OLAP database that follows the warehouse."""


@olap.command("rebuild")
@click.pass_context
def rebuild(ctx: click.Context) -> None:
    """Make the OLAP anew from the warehouse, whatever state it is in."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        site.tables.rebuild()
        count = site.tables.olap.query("SELECT count(*) AS n FROM scenes")["n"][0].as_py()
    say(f"rebuilt from the warehouse: {cell(count)} scenes")


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
