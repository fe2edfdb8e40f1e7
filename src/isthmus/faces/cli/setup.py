"""Commands for a new user: init, check, keys, demo."""

from __future__ import annotations

from pathlib import Path

import click

from isthmus.faces.cli.root import isthmus, open_site
from isthmus.faces.cli.screen import Screen, say, table


@isthmus.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--samples", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Real samples to use."
)
def init(folder: Path, samples: Path | None) -> None:
    """Make a new site in FOLDER: its TOML, which explains itself, and a rule of one's own to start from."""
    from isthmus.app.starter import write_site

    path = write_site(folder, samples)
    say(f"made {path}")
    say(f"next: isthmus --site {folder} ingest --source highway --day 2026-11-20")


@isthmus.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Read the site's TOML and rules and say everything that is wrong with them."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        rules = len(site.catalogue.names())
        for note in site.catalogue.notes:
            say(note)
    config = site.config
    say(
        f"{config.path} is sound: {len(config.sources)} sources, {rules} rules, "
        f"{len(config.pipelines)} pipelines, {len(config.triggers)} triggers"
    )


@isthmus.command()
@click.argument("part", required=False)
def keys(part: str | None) -> None:
    """Explain every key of a site's TOML; PART is a table such as warehouse or pipeline.train."""
    from isthmus.app.keys import explained

    table(("table", "key", "default", "meaning"), list(explained(part)))


@isthmus.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-site"))
def demo(folder: Path) -> None:
    """Run the whole loop in FOLDER: ingest, mine, train, evaluate, decide, release, report."""
    from isthmus.app.demo import demonstrate

    with Screen() as screen:
        happened = list(demonstrate(folder, screen))
    table(("what", "result"), [(line.what, line.result) for line in happened])
    say("")
    say("try next:")
    say(f'  isthmus --site {folder} query "SELECT source, count(*) AS scenes FROM scenes GROUP BY source"')
    say(f"  isthmus --site {folder} mine cut_in --set gap_m=15 --out {folder}/cut_ins.parquet")
    say(f"  isthmus --site {folder} loop models")
