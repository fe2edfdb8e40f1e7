"""Commands for a new user: init, check, keys, demo."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from isthmus.faces.cli.root import isthmus, open_site
from isthmus.faces.cli.screen import Screen, err, say
from isthmus.faces.cli.tables import aligned, table


@isthmus.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--samples", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Real samples to use."
)
def init(folder: Path, samples: Path | None) -> None:
    """Make a new site in FOLDER.

    Writes its TOML, which explains itself, and a catalogue with a rule of one's own to start from.
    """
    from isthmus.app.starter import write_site

    path = write_site(folder, samples)
    say(f"made {path}")
    say(f"next: isthmus --site {folder} ingest --source highway --day 2026-11-20")


@isthmus.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Say everything that is wrong with the site's TOML and rules."""
    from isthmus.app.checking import check_site

    with Screen() as screen:
        site = open_site(ctx, screen)
        notes = check_site(site)
    for note in notes:
        say(f"note: {note}")
    config = site.config
    counts = {
        "source": len(config.sources),
        "rule": len(site.catalogue.names()),
        "pipeline": len(config.pipelines),
        "trigger": len(config.triggers),
    }
    listed = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items())
    say(f"{config.path} is sound: {listed}")


@isthmus.command()
@click.argument("part", required=False)
def keys(part: str | None) -> None:
    """Explain every key of a site's TOML.

    PART is a table such as warehouse, pipeline.train or source.
    """
    from isthmus.app.keys import explained

    table(("table", "key", "default", "meaning"), list(explained(part)))


@isthmus.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-site"))
def demo(folder: Path) -> None:
    """Run the whole loop in FOLDER, as a first look.

    Ingest, mine, train, evaluate, decide, release, report: twice, all scenes first and then a mined list against
    the champion. FOLDER is demo-site by default; a second demo takes it up.
    """
    from isthmus.app.demo import Chapter, demonstrate

    happened, chapters = [], 0
    with Screen() as screen:
        for one in demonstrate(folder, screen):
            with screen.pausing():
                if isinstance(one, Chapter):
                    chapters += 1
                    err.print(f"\n{chapters}. {one.title}", style="bold")
                else:
                    happened.append((one.what, one.result))
                    say(f"  {one.what}: {one.result}", fold=True)
    say("\nWhat happened\n")
    aligned(happened)
    say("\nTry next\n")
    site = shlex.quote(str(folder))
    say(f'  isthmus --site {site} query "SELECT source, count(*) AS scenes FROM scenes GROUP BY source"')
    say(f'  isthmus --site {site} mine cut_in --set gap_m=15 --where "speed_mean > 10"')
    say(f"  isthmus --site {site} loop models")
    say("\nOpen the report in a browser; it needs no network.")
