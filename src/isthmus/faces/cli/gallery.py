"""Commands of galleries: add, replace, remove, import, list at the inner site; feed, stat, calibrate, audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from isthmus.core.errors import InputError
from isthmus.faces.cli.root import Commands, isthmus, pairs
from isthmus.faces.cli.screen import Screen, say
from isthmus.faces.cli.tables import table

if TYPE_CHECKING:
    from isthmus.app.galleries.inner import Inner

PHOTO = click.Path(path_type=Path, exists=True, dir_okay=False)


def inner(ctx: click.Context) -> Inner:
    """Open the inner site that the command line names."""
    from isthmus.app.galleries.inner import Inner

    return Inner.open(ctx.obj)


@isthmus.group(cls=Commands)
def gallery() -> None:
    """Keep galleries of reference images."""


@gallery.command()
@click.argument("name")
@click.argument("id")
@click.argument("photo", type=PHOTO)
@click.option("--set", "attributes", multiple=True, metavar="NAME=VALUE", help="An attribute of the record.")
@click.pass_context
def add(ctx: click.Context, name: str, id: str, photo: Path, attributes: tuple[str, ...]) -> None:
    """Add record ID with its PHOTO to gallery NAME."""
    site = inner(ctx)
    site.site.add(site.name(name), id, photo.read_bytes(), pairs(attributes, "--set"))
    say(f"added {id} to {name}")


@gallery.command()
@click.argument("name")
@click.argument("id")
@click.argument("photo", type=PHOTO, required=False)
@click.option(
    "--set", "attributes", multiple=True, metavar="NAME=VALUE", help="Attributes in place of the old ones."
)
@click.pass_context
def replace(ctx: click.Context, name: str, id: str, photo: Path | None, attributes: tuple[str, ...]) -> None:
    """Give record ID another PHOTO, or other attributes, or both."""
    if photo is None and not attributes:
        raise InputError("nothing to replace", "name a photo, or attributes with --set")
    site = inner(ctx)
    new = pairs(attributes, "--set") if attributes else None
    site.site.replace(site.name(name), id, photo.read_bytes() if photo else None, new)
    say(f"replaced {id} of {name}")


@gallery.command()
@click.argument("name")
@click.argument("ids", nargs=-1, required=True)
@click.pass_context
def remove(ctx: click.Context, name: str, ids: tuple[str, ...]) -> None:
    """Remove records: here, and in time at every site and device."""
    site = inner(ctx)
    for id in ids:
        site.site.remove(site.name(name), id)
    say(f"removed {len(ids)} from {name}")


@gallery.command("import")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.pass_context
def import_(ctx: click.Context, name: str, folder: Path) -> None:
    """Take every image below FOLDER into gallery NAME.

    A record's id is the image's path in the folder, without its ending. What is there already and equal is left
    alone, so the same command goes on after an interruption.
    """
    with Screen() as screen:
        site = inner(ctx)
        done = site.site.import_folder(site.name(name), folder, screen)
    say(
        f"{name}: {done.added} added, {done.replaced} replaced, {done.unchanged} unchanged,"
        f" {len(done.refused)} refused"
    )
    for path, reason in done.refused[:20]:
        say(f"  refused {path}: {reason}")
    if done.refused:
        ctx.exit(3)


@gallery.command()
@click.pass_context
def tidy(ctx: click.Context) -> None:
    """Forget what is kept no longer.

    These are old changes, and images of records that were removed. `isthmus gate send` does so by itself.
    """
    say(f"removed {inner(ctx).tidy()} image files that nothing uses any more")


@gallery.command("list")
@click.argument("name")
@click.option("--after", help="Begin behind this id.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="At most so many.")
@click.pass_context
def list_(ctx: click.Context, name: str, after: str | None, limit: int) -> None:
    """List the records of gallery NAME."""
    from isthmus.app.galleries.inner import Inner
    from isthmus.app.galleries.outer import any_site

    site = any_site(ctx.obj)
    if not isinstance(site, Inner):
        brought = "isthmus gate receive" if site.gated else "isthmus gallery feed FILE"
        raise InputError(
            f"{ctx.obj} is an outer site: records are listed at an inner one",
            f"see what is here with isthmus gallery stat; more comes by {brought}",
        )
    rows = site.site.list(site.name(name), after, limit)
    table(
        ("id", "image", "bytes", "attributes"),
        [
            (row.id, (row.image or "")[:12], row.size, ", ".join(f"{k}={v}" for k, v in row.attributes.items()))
            for row in rows
        ],
    )


@gallery.command()
@click.pass_context
def stat(ctx: click.Context) -> None:
    """Count what each gallery holds."""
    from isthmus.app.galleries.outer import any_set

    with any_set(ctx.obj) as held:
        table(
            ("gallery", "records", "image bytes", "refused", "vectors", "changes"),
            [
                (one.gallery, one.records, one.image_bytes, one.refused, one.vectors, one.changed)
                for one in held.galleries()
            ],
        )
        say(f"position {held.position()}")


@gallery.command()
@click.argument("file", type=PHOTO, required=False)
@click.option("--mongodb-env", metavar="NAME", help="Tail the server whose URI this environment variable holds.")
@click.option("--mongodb-file", type=PHOTO, help="Tail the server whose URI this file holds.")
@click.option("--from-now", is_flag=True, help="Where nothing was taken yet: begin at the oplog's end.")
@click.pass_context
def feed(
    ctx: click.Context, file: Path | None, mongodb_env: str | None, mongodb_file: Path | None, from_now: bool
) -> None:
    """Take a foreign oplog in, from a file or a MongoDB server.

    FILE is an oplog.bson or MongoShake's tunnel file. It goes into set 1, or into set 2 of an outer site that has
    no [gate]. `allow`, `deny` and `rename` of [gallery] say what of it is taken. A server is resumed where it was
    stopped; a file may be taken again.
    """
    from isthmus.app.galleries.feeding import feed_file, feed_server
    from isthmus.app.galleries.outer import any_site
    from isthmus.app.galleries.secrets import server_uri

    if file is not None and (mongodb_env or mongodb_file or from_now):
        raise InputError("a file and a server at once", "give FILE alone, or the options of a server")
    if file is None and not mongodb_env and not mongodb_file:
        raise InputError("nothing to feed", "name one source: FILE, --mongodb-env or --mongodb-file")
    site = any_site(ctx.obj)
    with Screen() as screen:
        if file is not None:
            total = feed_file(site, file, screen)
        else:
            total = feed_server(site, server_uri(mongodb_env, mongodb_file), from_now, screen)
    say(
        f"{total.entries} entries: {total.applied} changes taken, {total.skipped} left out,"
        f" {total.refused} refused"
    )
    if total.refused:
        ctx.exit(3)


@gallery.command()
@click.option("--after", default=0, help="Begin behind this number.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@click.pass_context
def audit(ctx: click.Context, after: int, limit: int) -> None:
    """Show who added, removed, received and identified what."""
    from isthmus.app.galleries.outer import any_audit

    rows = any_audit(ctx.obj).entries(after, limit)
    table(
        ("number", "at", "who", "act", "gallery", "subject", "detail"),
        [
            (r.number, r.at.isoformat(timespec="seconds"), r.who, r.act, r.gallery, r.subject, r.detail)
            for r in rows
        ],
    )


@gallery.command()
@click.argument("name", required=False)
@click.option(
    "--target", default=0.01, show_default=True, help="The share of strangers that may be taken for known."
)
@click.option("--person", metavar="ATTRIBUTE", help="The attribute that says whose a record is.")
@click.option("--by-folder", is_flag=True, help="The id up to its last / says whose a record is.")
@click.option("--forget", is_flag=True, help="Let the model's own threshold hold again.")
@click.pass_context
def calibrate(
    ctx: click.Context, name: str | None, target: float, person: str | None, by_folder: bool, forget: bool
) -> None:
    """Find gallery NAME's threshold from its own vectors.

    At the outer site; without NAME it lists what was found. Devices learn it when they next synchronise. Every
    record is taken for a person of its own unless --person or --by-folder says otherwise: two records of one
    person that count as two make the threshold too strict.
    """
    from isthmus.app.galleries.calibrating import calibrate_gallery, forget_threshold
    from isthmus.app.galleries.outer import Outer

    if person and by_folder:
        raise InputError("--person and --by-folder exclude each other", "give one of them")
    site = Outer.open(ctx.obj)
    if name is None:
        rows = [(o.gallery, o.model, o.threshold, o.target, o.strangers, o.at) for o in site.thresholds.list()]
        table(("gallery", "model", "threshold", "target", "strangers", "at"), rows)
    elif forget:
        say(f"{name}: {forget_threshold(site, name)} thresholds forgotten")
    else:
        found = calibrate_gallery(site, name, target, person, by_folder)
        click.echo(f"{found.threshold:.4f}")
        say(found.sentence)


@gallery.command()
@click.option("--after", default=0, help="Begin behind this number.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000))
@click.pass_context
def quarantine(ctx: click.Context, after: int, limit: int) -> None:
    """Show changes not applied and images refused, and why."""
    from isthmus.app.galleries.outer import any_set, refused_images

    with any_set(ctx.obj) as held:
        rows = [(r["number"], r["at"], r["ns"], "", r["reason"]) for r in held.quarantined(after, limit)]
        rows += [("", "", gallery, id, why) for gallery, id, why in refused_images(held, limit - len(rows))]
    table(("number", "at", "namespace", "record", "reason"), rows)
