"""Commands of the one-way gate: keys, send, receive, status, request, resend, snapshot, epoch, dismiss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isthmus.core.errors import InputError
from isthmus.faces.cli.gallery import inner
from isthmus.faces.cli.root import Commands, isthmus
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
from isthmus.state.lock import patiently

if TYPE_CHECKING:
    from isthmus.app.galleries.outer import Outer


def outer(ctx: click.Context) -> Outer:
    """Open the outer site that the command line names."""
    from isthmus.app.galleries.outer import Outer

    return Outer.open(ctx.obj)


@isthmus.group(cls=Commands)
def gate() -> None:
    """Carry galleries through a gatekeeper that copies files one way."""


@gate.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.pass_context
def keys(ctx: click.Context, file: Path | None) -> None:
    """Make the sender's signing key, or show its public half.

    FILE is the one that [gate] names unless it is given. The public key goes into `trust` at the receiver.
    """
    from isthmus.app.galleries.config import read_gallery_config

    if file is None:
        named = read_gallery_config(ctx.obj).need("gate").key
        if not named:
            raise InputError(f"{ctx.obj}: [gate] names no key", 'add key = "keys/gate.pem", or name a file')
        file = Path(named)
    show_key(file, "receiver")


@gate.command()
@click.option("--watch", is_flag=True, help="Go on until interrupted.")
@click.pass_context
def send(ctx: click.Context, watch: bool) -> None:
    """Put what changed into the gate's folder, in signed bundles."""
    site = inner(ctx)
    for event in site.sending(watch):
        say(event)
    if not watch:
        say(f"sent up to {site.outbound.status().head}")


@gate.command()
@click.option("--watch", is_flag=True, help="Go on until interrupted.")
@click.pass_context
def receive(ctx: click.Context, watch: bool) -> None:
    """Verify and apply what the gatekeeper brought."""
    site = outer(ctx)
    for event in site.receiving(watch):
        say(str(event))
    status = site.inbound.status()
    say(f"stands at {status.standing}, {status.lag} changes behind what is known of the sender")
    if status.alarms:
        show_alarms(status.alarms)
        ctx.exit(3)


@gate.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show what came and is missing, or what was sent; and alarms."""
    from isthmus.app.galleries.inner import Inner
    from isthmus.app.galleries.outer import any_site
    from isthmus.transfer.standing import OutboundStatus

    site = any_site(ctx.obj)
    now = site.outbound.status() if isinstance(site, Inner) else site.inbound.status()
    if as_json:
        click.echo(json.dumps(now.to_json(), indent=2, ensure_ascii=False))
        return
    if isinstance(now, OutboundStatus):
        show_sending(now)
    else:
        show_receiving(now)
    show_alarms(now.alarms)


@gate.command()
@click.option("--snapshot", is_flag=True, help="Ask for a snapshot even where nothing is missing.")
@click.pass_context
def request(ctx: click.Context, snapshot: bool) -> None:
    """Print the line to carry back, to be sent what is missing."""
    show_request(outer(ctx).inbound.request(snapshot=snapshot), "sender")


@gate.command()
@click.argument("line", nargs=-1, required=True)
@click.pass_context
def resend(ctx: click.Context, line: tuple[str, ...]) -> None:
    """Send again what the LINE of `isthmus gate request` asks for."""
    outbound = inner(ctx).outbound
    for event in patiently(lambda: outbound.resend(" ".join(line))):
        say(event)


@gate.command()
@click.pass_context
def snapshot(ctx: click.Context) -> None:
    """Send the whole content now; it heals every gap."""
    for event in patiently(inner(ctx).outbound.snapshot):
        say(event)


@gate.command()
@click.option("--above", default=0, type=click.IntRange(0, 10**9), help="The epoch that the receiver stands in.")
@click.pass_context
def epoch(ctx: click.Context, above: int) -> None:
    """Begin another epoch, and send the snapshot that it begins with.

    For a set 1 that was restored from a backup or made anew: its history is not the one that receivers know. They
    take the snapshot in place of everything, and refuse what is of an earlier epoch from then on.
    """
    site = inner(ctx)
    say(f"begun at {site.site.begin_epoch(above)}")
    for event in patiently(site.outbound.snapshot):
        say(event)


@gate.command()
@click.argument("file", required=False)
@click.option("--all", "every", is_flag=True, help="All that is in the quarantine.")
@click.pass_context
def dismiss(ctx: click.Context, file: str | None, every: bool) -> None:
    """Remove FILE, once looked at, from the quarantine."""
    one_or_every(file, every)
    inbound = outer(ctx).inbound
    show_dismissed(file, patiently(lambda: inbound.dismiss(file)))
