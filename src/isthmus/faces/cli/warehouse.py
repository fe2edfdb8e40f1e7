"""Commands that look after the warehouse: tidy."""

from __future__ import annotations

import click

from isthmus.faces.cli.root import Commands, isthmus, open_site
from isthmus.faces.cli.screen import Screen
from isthmus.faces.cli.tables import table


@isthmus.group(cls=Commands)
def warehouse() -> None:
    """Look after the tables of scenes."""


@warehouse.command("tidy")
@click.option(
    "--keep-days", type=click.IntRange(1), default=7, show_default=True, help="Keep versions younger than this."
)
@click.pass_context
def tidy(ctx: click.Context, keep_days: int) -> None:
    """Join small files, remove old versions and shards.

    Sample shards and versions that an open run reads stay.

    Every ingest leaves a version and files of its own; run this now and then, for example once a week.
    """
    from isthmus.app.maintenance import tidy as tidied

    with Screen() as screen:
        site = open_site(ctx, screen)
        done = tidied(site, keep_days)
    table(("what", "before", "after", "MB freed"), [(d.what, d.before, d.after, d.freed / 1e6) for d in done])
