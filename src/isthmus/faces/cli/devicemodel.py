"""Commands of models on a device: models, model, rollback, run."""

from __future__ import annotations

from pathlib import Path

import click

from isthmus.faces.cli.device import device
from isthmus.faces.cli.model import files_into
from isthmus.faces.cli.screen import say
from isthmus.faces.cli.tables import table

OUT = click.Path(path_type=Path, dir_okay=False)


@device.command()
@click.option("--retry", metavar="NAME", help="Try again what was not proven, or rolled back, of this model.")
@click.pass_context
def models(ctx: click.Context, retry: str | None) -> None:
    """On a device: show which version of each model is active."""
    from isthmus.app.galleries.device import Portable

    site = Portable.open(ctx.obj).site
    if retry:
        for one in site.settle_models(retry):
            say(f"{one.name}: {one.what}")
    table(
        ("model", "version", "state", "bytes", "digest", "since"),
        [
            (one.name, one.published.version, one.state, one.published.size, one.published.digest[:12], one.at)
            for one in site.models.versions()
        ],
    )


@device.command()
@click.argument("name")
@click.pass_context
def rollback(ctx: click.Context, name: str) -> None:
    """On a device: go back to a model's version before.

    The active version of model NAME is left. It is passed over from then on, until it is published with other
    files or tried again with isthmus device models --retry NAME.
    """
    from isthmus.app.galleries.device import Portable

    one = Portable.open(ctx.obj).site.roll_back_model(name)
    say(f"{name} {one.version} is active")


@device.command()
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.pass_context
def files(ctx: click.Context, name: str, folder: Path) -> None:
    """On a device: write a model's files out.

    Those of the active version of NAME go into FOLDER, for other programs.
    """
    from isthmus.app.galleries.device import Portable

    models = Portable.open(ctx.obj).site.models
    active = models.active(name)
    files_into(folder, {one.path: models.file(active, one.path) for one in active.files})
    say(f"wrote {len(active.files)} files of {name} {active.version}")


@device.command()
@click.argument("name")
@click.argument("inputs", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--out", type=OUT, help="Write the outputs into this file, .npz.")
@click.pass_context
def run(ctx: click.Context, name: str, inputs: Path | None, out: Path | None) -> None:
    """On a device: run the active version of model NAME.

    INPUTS is an .npz file with an array by the name of each input; without it the model is run on the example by
    which it was proven.
    """
    from isthmus.app.galleries.running import run_model

    done = run_model(ctx.obj, name, inputs, out)
    table(("output", "shape", "first values"), done.rows)
    say(f"{name} {done.version} ran in {done.ms:.1f} ms")
