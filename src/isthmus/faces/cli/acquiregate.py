"""Commands of acquiring through gate folders: office, and gate keys, status, request, resend and what heals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isthmus.faces.cli.acquire import acquire
from isthmus.faces.cli.root import Commands
from isthmus.faces.cli.screen import say
from isthmus.faces.cli.standing import (
    one_or_every,
    show_alarms,
    show_dismissed,
    show_key,
    show_receiving,
    show_request,
    show_sending,
)
from isthmus.faces.cli.stopping import stopped_by_signals

if TYPE_CHECKING:
    from isthmus.app.acquiring.gates import GateSite

COMMANDS = "isthmus acquire gate"
_ENVIRONMENT = "isthmus.environment"


@acquire.command()
@click.option("--environment", "label", required=True, help="The environment's label, as in [acquire.gate.LABEL].")
@click.pass_context
def office(ctx: click.Context, label: str) -> None:
    """Work for an environment beyond a gate.

    Requests go out in bundles through [acquire.gate.LABEL], results come back; there, isthmus agent with
    [agent.gate] does the work.
    """
    stop = stopped_by_signals()  # first: what comes next takes a while
    from isthmus.app.acquiring.config import read_acquire_config
    from isthmus.app.acquiring.offices import run_office

    run_office(read_acquire_config(ctx.obj), label, stop)
    say("stopped")


def _noted(ctx: click.Context, _: click.Parameter, value: str) -> None:
    """Keep which gate is meant, where it is said behind the command."""
    if value:
        ctx.meta[_ENVIRONMENT] = value


_which = click.option(
    "--environment",
    default="",
    expose_value=False,
    callback=_noted,
    help="Which gate, where the site's TOML speaks of several.",
)
"""Said behind each command too, so that every operation takes it."""


@acquire.group(cls=Commands)
@click.option("--environment", "label", default="", help="Which gate, where the site's TOML speaks of several.")
@click.pass_context
def gate(ctx: click.Context, label: str) -> None:
    """Look after an environment's gate folders."""
    ctx.meta[_ENVIRONMENT] = label


def _site(ctx: click.Context) -> GateSite:
    from isthmus.app.acquiring.config import read_acquire_config
    from isthmus.app.acquiring.gates import gate_site

    return gate_site(read_acquire_config(ctx.obj), ctx.meta[_ENVIRONMENT])


@gate.command()
@_which
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.pass_context
def keys(ctx: click.Context, file: Path | None) -> None:
    """Make this side's signing key, or show its public half.

    FILE is the one that the gate's table names unless it is given. The public key goes into `trust` at the other
    side.
    """
    show_key(file or _site(ctx).key, "other side")


@gate.command()
@_which
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show what was sent, what came and is missing, and alarms. Exit code 3 where an alarm stands."""
    from isthmus.app.acquiring.gateside import opened

    site = _site(ctx)
    with opened(site) as side:
        sent, came = side.outbound.status(), side.inbound.status()
    if as_json:
        told: dict[str, Any] = {"environment": site.environment}
        told |= {"sending": sent.to_json(), "receiving": came.to_json()}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        say(f"sent by this side: {'requests' if site.serving else 'results'}")
        show_sending(sent)
        say(f"\nreceived by this side: {'results' if site.serving else 'requests'}")
        show_receiving(came)
        show_alarms((*sent.alarms, *came.alarms), COMMANDS)
    ctx.exit(3 if sent.alarms or came.alarms else 0)


@gate.command()
@_which
@click.option("--snapshot", "whole", is_flag=True, help="Ask for a snapshot even where nothing is missing.")
@click.pass_context
def request(ctx: click.Context, whole: bool) -> None:
    """Print the line that asks for what is missing.

    Carry it to the other side.
    """
    from isthmus.app.acquiring.gateside import opened

    with opened(_site(ctx)) as side:
        line = side.inbound.request(snapshot=whole)
    show_request(line, "other side", COMMANDS)


@gate.command()
@_which
@click.argument("line", nargs=-1, required=True)
@click.pass_context
def resend(ctx: click.Context, line: tuple[str, ...]) -> None:
    """Send again what a LINE asks for.

    The LINE is what `isthmus acquire gate request` printed at the other side.
    """
    from isthmus.app.acquiring.gateside import opened

    with opened(_site(ctx)) as side:
        for event in side.outbound.resend(" ".join(line)):
            say(event)


@gate.command()
@_which
@click.pass_context
def snapshot(ctx: click.Context) -> None:
    """Send all that is on its way now; it heals every gap."""
    from isthmus.app.acquiring.gateside import opened

    with opened(_site(ctx)) as side:
        for event in side.outbound.snapshot():
            say(event)


@gate.command()
@_which
@click.option("--above", default=0, type=click.IntRange(0, 10**9), help="The epoch that the other side stands in.")
@click.pass_context
def epoch(ctx: click.Context, above: int) -> None:
    """Begin another epoch of what this side sends.

    Sends the snapshot that it begins with.

    For a state that was restored from a backup or made anew: its history is not the one that the other side knows.
    """
    from isthmus.app.acquiring.gateside import begin_epoch

    begun, sent = begin_epoch(_site(ctx), above)
    say(f"begun at {begun}")
    for event in sent:
        say(event)


@gate.command()
@_which
@click.argument("file", required=False)
@click.option("--all", "every", is_flag=True, help="All that is in the quarantine.")
@click.pass_context
def dismiss(ctx: click.Context, file: str | None, every: bool) -> None:
    """Remove FILE, once looked at, from the quarantine."""
    from isthmus.app.acquiring.gateside import opened

    one_or_every(file, every)
    with opened(_site(ctx)) as side:
        count = side.inbound.dismiss(file)
    show_dismissed(file, count, COMMANDS)
