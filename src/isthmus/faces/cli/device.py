"""Commands of devices: invite, list, revoke and grant at the server; enrol, sync, identify on the device."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isthmus.faces.cli.root import Commands, isthmus
from isthmus.faces.cli.screen import Screen, say
from isthmus.faces.cli.tables import table

if TYPE_CHECKING:
    from isthmus.app.galleries.outer import Outer
    from isthmus.gallery.registry import Devices

MODES = click.Choice(["images", "vectors", "both"])


def outer(ctx: click.Context) -> Outer:
    """Open the outer site that the command line names."""
    from isthmus.app.galleries.outer import Outer

    return Outer.open(ctx.obj)


def registry(ctx: click.Context) -> Devices:
    """Open the registry of devices of the outer site that the command line names."""
    return outer(ctx).desk.devices


@isthmus.group(cls=Commands)
def device() -> None:
    """Portable devices, at the sync server and on themselves."""


@device.command()
@click.argument("name")
@click.option("--tag", "tags", multiple=True, help="A tag such as its place or duty; may be given again.")
@click.option(
    "--hours", default=24, show_default=True, type=click.IntRange(1, 24 * 30), help="How long it is valid."
)
@click.pass_context
def invite(ctx: click.Context, name: str, tags: tuple[str, ...], hours: int) -> None:
    """At the server: print the token that device NAME enrols with. It works once."""
    token = registry(ctx).invite(name, tags, by=getpass.getuser(), valid=timedelta(hours=hours))
    click.echo(token)
    say(f"on the device, within {hours} h: isthmus device enrol URL --token-file FILE")


@device.command()
@click.argument("url")
@click.option(
    "--token-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Holds the token."
)
@click.option("--token-env", metavar="NAME", help="The environment variable that holds the token.")
@click.pass_context
def enrol(ctx: click.Context, url: str, token_file: Path | None, token_env: str | None) -> None:
    """On a device: make its key, register it at the server at URL."""
    from isthmus.app.galleries.device import Portable, token_of

    done = Portable.open(ctx.obj).enrol(url, token_of(token_file, token_env))
    say(f"enrolled as {done.device}; the server's key has fingerprint {done.server.fingerprint}")


@device.command()
@click.pass_context
def sync(ctx: click.Context) -> None:
    """On a device: bring its galleries up to date, over ICE. The same command goes on after an interruption."""
    from isthmus.app.galleries.device import Portable

    with Screen() as screen:
        portable = Portable.open(ctx.obj, screen)
        done = portable.sync()
    rows = [
        (one.gallery, "+".join(tier.value for tier in one.tiers), one.written, one.removed, one.verified)
        for one in done.galleries
    ]
    table(("gallery", "tier", "written", "removed", "verified"), rows)
    for name in done.dropped:
        say(f"{name} was taken away and deleted here")
    for one in portable.settled:
        say(f"model {one.name}: {one.what}")
    say(
        f"{done.bytes_received + done.bytes_sent:,} bytes, of them {done.content_bytes:,} content,"
        f" {done.round_trips} round trips, {done.seconds:.1f} s"
    )
    if not all(one.sound for one in portable.settled):
        ctx.exit(3)


@device.command()
@click.argument("photo", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--gallery", "galleries", multiple=True, help="Only in this gallery; may be given again.")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1, 100), help="So many candidates.")
@click.pass_context
def identify(ctx: click.Context, photo: Path, galleries: tuple[str, ...], top: int) -> None:
    """On a device: say who or what is on PHOTO, from what it holds."""
    from isthmus.app.galleries.device import Portable

    portable = Portable.open(ctx.obj)
    found = portable.site.identify(photo.read_bytes(), portable.extractor(), galleries or None, top)
    if not found.described:
        say("nothing to compare was found on the photo, such as a face")
    table(
        ("gallery", "id", "distance", "records", "known", "attributes"),
        [
            (one.gallery, one.id, round(one.distance, 3), one.records, one.known, _attributes(one.attributes))
            for one in found.matches
        ],
    )
    click.echo("unknown" if found.unknown else found.matches[0].id)


@device.command()
@click.pass_context
def extract(ctx: click.Context) -> None:
    """On a device: make the vectors of images without, to search."""
    from isthmus.app.galleries.device import Portable

    with Screen() as screen:
        portable = Portable.open(ctx.obj)
        say(f"made {portable.site.extract(portable.extractor(), screen)} vectors")


@device.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--without-onnxruntime", "small", is_flag=True, help="For devices that let dlib run the network.")
def weights(folder: Path, small: bool) -> None:
    """Put the weights for faces into FOLDER, for a device.

    A device that is given the folder needs no package of weights; there ISTHMUS_CACHE names it.
    """
    from isthmus.imaging.weights import Weights

    Weights(folder).prepare(onnx=not small)
    say(f"copy {folder} to the device and set ISTHMUS_CACHE to where it lies")


@device.command("list")
@click.pass_context
def list_(ctx: click.Context) -> None:
    """At the server the devices, on a device its galleries."""
    from isthmus.app.galleries.config import read_gallery_config
    from isthmus.app.galleries.device import Portable

    if read_gallery_config(ctx.obj).device is not None:
        rows = [
            (one.gallery, one.mode.value, one.records, one.change, one.verified, one.synced)
            for one in Portable.open(ctx.obj).site.list()
        ]
        table(("gallery", "mode", "records", "change", "verified", "synced"), rows)
        return
    devices = registry(ctx).list()
    table(
        ("device", "state", "tags", "key", "enrolled", "seen"),
        [
            (
                one.name,
                one.state.value,
                " ".join(sorted(one.tags)),
                one.key.fingerprint if one.key else "",
                one.enrolled and one.enrolled.isoformat(timespec="seconds"),
                one.seen and one.seen.isoformat(timespec="seconds"),
            )
            for one in devices
        ],
    )


@device.command()
@click.argument("name")
@click.pass_context
def revoke(ctx: click.Context, name: str) -> None:
    """At the server: never accept this device's key again."""
    registry(ctx).revoke(name, by=getpass.getuser())
    say(f"{name} is revoked: it is refused from its next message on")


@device.command()
@click.argument("name")
@click.argument("tags", nargs=-1)
@click.pass_context
def tag(ctx: click.Context, name: str, tags: tuple[str, ...]) -> None:
    """At the server: give device NAME these tags and no others."""
    registry(ctx).tag(name, tags, by=getpass.getuser())
    say(f"{name}: {' '.join(sorted(tags)) or 'no tags'}")


@device.command()
@click.argument("galleries", nargs=-1, required=True)
@click.option("--tag", "tags", multiple=True, help="Only devices with this tag; may be given again.")
@click.option("--mode", type=MODES, default="both", show_default=True, help="Images, vectors, or both.")
@click.pass_context
def grant(ctx: click.Context, galleries: tuple[str, ...], tags: tuple[str, ...], mode: str) -> None:
    """At the server: let devices have GALLERIES.

    They are names or patterns such as galleries.gate-*. Without --tag every device gets them.
    """
    from isthmus.gallery.sync.mode import Mode

    site = outer(ctx)
    rule = site.desk.devices.grant(tags, map(site.pattern, galleries), Mode(mode), by=getpass.getuser())
    say(f"rule {rule.number}: {' '.join(rule.galleries)} for {' '.join(sorted(rule.tags)) or 'every device'}")


@device.command()
@click.argument("number", type=int)
@click.pass_context
def withdraw(ctx: click.Context, number: int) -> None:
    """At the server: remove rule NUMBER.

    What only it granted is deleted on the devices when they next synchronise.
    """
    registry(ctx).withdraw(number, by=getpass.getuser())
    say(f"rule {number} is removed")


@device.command()
@click.pass_context
def rules(ctx: click.Context) -> None:
    """At the server: list who gets what."""
    table(
        ("rule", "tags", "galleries", "mode"),
        [
            (one.number, " ".join(sorted(one.tags)), " ".join(one.galleries), one.mode.value)
            for one in registry(ctx).rules()
        ],
    )


def _attributes(attributes: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in attributes.items() if name != "_id")
