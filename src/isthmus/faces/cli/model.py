"""Commands of published models: publish, list, show, withdraw at the inner site; list and show at every site."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isthmus.core.errors import InputError
from isthmus.faces.cli.gallery import inner
from isthmus.faces.cli.root import Commands, isthmus
from isthmus.faces.cli.screen import say
from isthmus.faces.cli.tables import table

if TYPE_CHECKING:
    from isthmus.imaging.network import Sight


@isthmus.group(cls=Commands)
def model() -> None:
    """Publish released models to the sites and devices behind the gate."""


@model.command()
@click.argument("what")
@click.option("--name", default="", help="What devices call it; of a release it is the pipeline.")
@click.option("--version", default="", help="What this version is called; of a release it is the model id.")
@click.option("--note", default="", help="A sentence for whoever lists it.")
@click.option("--keep", default=2, show_default=True, type=click.IntRange(1, 20), help="So many versions stay.")
@click.option("--picture", metavar="WIDTHxHEIGHT", help="It makes vectors of pictures of this size.")
@click.option("--size", default=0, type=click.IntRange(0, 8192), help="So many components a vector has.")
@click.option("--threshold", default=1.0, show_default=True, help="Up to this distance two show the same.")
@click.option("--layout", type=click.Choice(["nchw", "nhwc"]), default="nchw", show_default=True)
@click.option("--mean", default="0,0,0", show_default=True, help="Taken from each channel, of 0 to 255.")
@click.option("--std", default="255,255,255", show_default=True, help="What each channel is divided by then.")
@click.option("--bgr", is_flag=True, help="Channels are blue, green, red.")
@click.option("--raw", is_flag=True, help="Vectors are taken as they are, not brought to length 1.")
@click.pass_context
def publish(
    ctx: click.Context,
    what: str,
    name: str,
    version: str,
    note: str,
    keep: int,
    picture: str | None,
    size: int,
    threshold: float,
    layout: str,
    mean: str,
    std: str,
    bgr: bool,
    raw: bool,
) -> None:
    """At the inner site: publish a version.

    It crosses the gate with the galleries. WHAT is a released folder, an ONNX file, any folder of files, or a
    model or pipeline of this site's loop, of which the champion is taken. With --picture the model makes the
    vectors of galleries where [gallery] and [device] name it. Publishing a version again makes it the one that
    counts, and heals its pieces everywhere.
    """
    from isthmus.app.galleries.models import PublishAsk, publish_model

    sight = _sight(picture, size, threshold, layout, mean, std, bgr, raw) if picture else None
    site = inner(ctx)
    found, done = publish_model(site, PublishAsk(what, name, version, sight, note, keep), getpass.getuser())
    click.echo(f"{found} {done.version}")
    say(f"published {len(done.files)} files, {done.size:,} bytes, {done.digest[:12]}; next: isthmus gate send")


@model.command("list")
@click.pass_context
def list_(ctx: click.Context) -> None:
    """List the published versions, and whether they are whole here."""
    from isthmus.app.galleries.outer import any_set
    from isthmus.gallery.shelves import Shelves

    with any_set(ctx.obj) as held:
        rows = [
            (
                one.name,
                one.published.version,
                "counts" if one.latest else "earlier",
                one.published.size,
                one.published.digest[:12],
                one.published.by,
                one.published.at,
                one.flaw or "whole",
            )
            for one in Shelves(held).list()
        ]
    table(("model", "version", "state", "bytes", "digest", "by", "at", "files"), rows)


@model.command()
@click.argument("name")
@click.option("--version", default="", help="Another one than the one that counts.")
@click.pass_context
def show(ctx: click.Context, name: str, version: str) -> None:
    """Show a version as one JSON document."""
    from isthmus.app.galleries.models import card_text
    from isthmus.app.galleries.outer import any_set
    from isthmus.gallery.shelves import Shelves

    with any_set(ctx.obj) as held:
        catalogue = Shelves(held).known(name)
    chosen = catalogue.version(version) if version else catalogue.latest
    if chosen is None:
        raise InputError(f"every version of {name} is withdrawn", "publish one: isthmus model publish")
    click.echo(card_text(chosen))


@model.command()
@click.argument("name")
@click.option("--version", default="", help="Another one than the one that counts.")
@click.option("--why", default="", help="A sentence for whoever asks later.")
@click.pass_context
def withdraw(ctx: click.Context, name: str, version: str, why: str) -> None:
    """At the inner site: withdraw a version.

    Devices go back to the one before, or have none.
    """
    left = inner(ctx).publishing.withdraw(name, version, why)
    say(f"withdrawn; {left.latest.version if left.latest else 'no version'} of {name} counts now")


def _sight(
    picture: str, size: int, threshold: float, layout: str, mean: str, std: str, bgr: bool, raw: bool
) -> Sight:
    from isthmus.imaging.network import Sight

    width, _, height = picture.partition("x")
    try:
        return Sight(int(width), int(height), size, threshold, layout, _three(mean), _three(std), bgr, not raw)
    except ValueError as error:
        raise InputError(
            f"such a model cannot be given pictures: {error}", "see isthmus model publish -h"
        ) from error


def _three(text: str) -> tuple[float, float, float]:
    first, second, third = (float(part) for part in text.split(","))
    return first, second, third


def files_into(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files into a folder that is made. Raises InputError where there is one already."""
    if folder.exists():
        raise InputError(f"{folder} is there already", "name another folder")
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
