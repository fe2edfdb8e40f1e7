"""Commands for a new user: init, check, keys, demo."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from isthmus.app.product.questions import ROLES
from isthmus.core.errors import InputError, RunFailed
from isthmus.faces.cli.root import isthmus
from isthmus.faces.cli.screen import Screen, err, say
from isthmus.faces.cli.tables import aligned, table


@isthmus.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--samples", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Real samples to use."
)
@click.option("--role", type=click.Choice(list(ROLES)), help="What the site is to be; a terminal is asked.")
@click.option("--console", is_flag=True, help="With a console: pages and the API.")
def init(folder: Path, samples: Path | None, role: str | None, console: bool) -> None:
    """Make a new site in FOLDER.

    Writes its TOML, which explains itself. In a terminal it asks what the site is to be and what that needs,
    unless --role says it. The role loop gets a catalogue with a rule of one's own to start from; inner and outer
    are the two sides of a gate for galleries, device is a portable device; acquire is an interface server, agent
    what works for it inside a network environment; primary and standby keep tables of one site on another.
    """
    from isthmus.app.product.newsite import make_site

    answers = None
    if (folder / "isthmus.toml").exists():
        raise InputError(f"{folder / 'isthmus.toml'} is there already", "choose another folder, or edit that file")
    if role is None and samples is None:
        if not sys.stdin.isatty():
            raise InputError("nothing says what the site is to be", f"give --role, one of {', '.join(ROLES)}")
        role, answers = asked(folder)
    path, following = make_site(folder, role or "loop", samples, answers, console=console)
    say(f"made {path}")
    say(f"next: isthmus --site {shlex.quote(str(folder))} {following}")
    if console or (answers or {}).get(".console") == "yes":
        say(f"then: isthmus --site {shlex.quote(str(folder))} up")


def asked(folder: Path) -> tuple[str, dict[str, str]]:
    """Ask the person at the terminal; returns the role and the answers."""
    from isthmus.faces.cli.asking import ask, ask_role

    role = ask_role()
    return role, ask(role, folder)


@isthmus.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Say everything that is wrong with the site's TOML and rules."""
    from isthmus.app import soundness

    with Screen() as screen:
        found = soundness.check(ctx.obj, screen)
    for note in found.notes:
        say(f"note: {note}")
    say(f"{ctx.obj} is sound: {found.what}")


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
@click.option(
    "--only", type=click.Choice(["loop", "gallery", "acquire", "recovery"]), help="A part, with sites of its own."
)
@click.option("--serve", "serving", is_flag=True, help="Leave the console open over its sites at the end.")
def demo(folder: Path, only: str | None, serving: bool) -> None:
    """Tell one life in FOLDER, as a first look.

    Images are acquired from two network environments: ask, watch, refuse, retry, kill, lose nothing. Scenes are
    ingested and mined; a model is trained, judged and released, twice. The model and galleries cross a one-way
    gate; a device fetches them over ICE, identifies a photo and runs the model; a lost file shows and heals. The
    tables of all that are kept on a standby: follow, kill, fail over, fail back. FOLDER is demo-site by default; a
    second demo takes the loop and its warehouse up, and makes the other sites anew.
    """
    from isthmus.app.stories import Chapter, tell, told_briefly

    happened, chapters = [], 0
    with Screen() as screen:
        for one in tell(folder, only, screen):
            with screen.pausing():
                if isinstance(one, Chapter):
                    chapters += 1
                    err.print(f"\n{chapters}. {one.title}", style="bold")
                else:
                    happened.append(one)
                    say(f"  {one.what}: {one.result}", fold=True)
    say("\nWhat happened\n")
    aligned(told_briefly(happened, only))
    say("\nTry next\n")
    for line in _next(shlex.quote(str(folder)), only):
        say(line)
    if serving:
        _leave_open(folder)


def _leave_open(folder: Path) -> None:
    """Serve the console over a demonstration's sites until somebody interrupts."""
    from isthmus.app.showing import USER, prepare_console, serve_console

    site, password = prepare_console(folder)
    say(f"\nThe console is open over all of these sites; log in as {USER} with the password {password}")
    say("It is told this once, and another one the next time. Ctrl-C ends it.")
    if code := serve_console(site):
        raise RunFailed(f"the console ended with {code}", f"see isthmus --site {site} doctor")


def _next(site: str, only: str | None) -> Iterator[str]:
    """Say what to try where the stories were told, or the one of them."""
    if only in (None, "loop"):
        yield f'  isthmus --site {site} query "SELECT source, count(*) AS scenes FROM scenes GROUP BY source"'
        yield f'  isthmus --site {site} mine cut_in --set gap_m=15 --where "speed_mean > 10"'
        yield f"  isthmus --site {site} loop models"
    if only in (None, "gallery"):
        yield f"  isthmus --site {site}/gallery/outer gate status"
    if only is None:
        yield f"  isthmus --site {site}/gallery/inner model show forecast"
        yield f"  isthmus --site {site}/gallery/device device models"
    if only in (None, "gallery"):
        yield f"  isthmus --site {site}/gallery/outer gallery audit"
    if only in (None, "acquire"):
        yield f'  isthmus --site {site}/acquire/hub query "SELECT * FROM acquire.images LIMIT 5"'
        yield f"  isthmus --site {site}/acquire/hub serve acquire    # its page asks for the key that lies beside"
        yield f"  isthmus --site {site}/acquire/video agent --environment video"
    if only in (None, "recovery"):
        yield f"  isthmus --site {site}/recovery/south recovery status"
        yield f"  isthmus --site {site}/recovery/south recovery drill"
    if only in (None, "loop"):
        yield "\nOpen the report in a browser; it needs no network."
