"""Commands for the operator of an interface server: rows, API keys, the credentials of environments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from isthmus.core.errors import InputError
from isthmus.faces.cli.acquire import acquire
from isthmus.faces.cli.root import Commands
from isthmus.faces.cli.screen import Screen, say
from isthmus.faces.cli.tables import table


@acquire.command()
@click.option("--removed", is_flag=True, help="Also delete the rows of images that were removed.")
@click.pass_context
def rows(ctx: click.Context, removed: bool) -> None:
    """Write images as rows of acquire.images.

    Query and mine ask that table of the warehouse.
    """
    from isthmus.app.acquiring.rows import write_rows

    with Screen() as screen:
        done = write_rows(ctx.obj, screen, removed=removed)
    gone = f", {done.deleted} deleted" if removed else ""
    say(f"{done.written} {'row' if done.written == 1 else 'rows'} written{gone}")


@acquire.group(cls=Commands)
def keys() -> None:
    """Make, list and revoke API keys, at the server."""


@keys.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(["client", "viewer", "operator"]), default="client", show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the key there, for its owner alone."
)
@click.pass_context
def add_key(ctx: click.Context, name: str, role: str, out: Path | None) -> None:
    """Make an API key. It is shown once; only its digest is kept."""
    from isthmus.acquire.server.keys import make

    with _ledger(ctx) as (ledger, now):
        text, key = make(name, role, "", now)
        if out is not None:
            _private(out, text)
        try:
            ledger.put_key(key)
        except BaseException:
            if out is not None:
                out.unlink()
            raise
    say(f"key of {name}, a {role}" + (f", in {out}" if out else "; it is not shown again:"))
    if out is None:
        click.echo(text)


@keys.command("list")
@click.pass_context
def list_keys(ctx: click.Context) -> None:
    """List the API keys."""
    with _ledger(ctx) as (ledger, _):
        found = ledger.keys()
    rows = [
        (
            one.name,
            one.role,
            one.environment,
            _day(one.made),
            f"revoked {_day(one.revoked)}" if one.revoked else "",
        )
        for one in found
    ]
    table(("name", "role", "environment", "made", ""), rows)


@keys.command("revoke")
@click.argument("name")
@click.pass_context
def revoke_key(ctx: click.Context, name: str) -> None:
    """Let a key open nothing any more.

    A running server knows within seconds.
    """
    with _ledger(ctx) as (ledger, now):
        ledger.revoke_key(name, now)
    say(f"{name} opens nothing any more")


@acquire.group(cls=Commands)
def environment() -> None:
    """Make and retire environments' credentials."""


@environment.command("add")
@click.argument("label")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The credential file.")
@click.option("--name", default="", help="The API key's name; agent-LABEL and a number without one.")
@click.option(
    "--signature",
    type=click.Choice(["hmac", "ed25519"]),
    default="hmac",
    show_default=True,
    help="ed25519 where the environment is not trusted with a shared secret.",
)
@click.pass_context
def add_environment(ctx: click.Context, label: str, out: Path, name: str, signature: str) -> None:
    """Make a credential for an environment's agent. Carry the file there: it is all that the agent needs."""
    from isthmus.app.acquiring import environments
    from isthmus.app.acquiring.config import read_acquire_config
    from isthmus.app.clock import SystemClock

    config = read_acquire_config(ctx.obj)
    with _ledger(ctx) as (ledger, _):
        known = ledger.keys()
        taken = {key.name for key in known}
        free = (f"agent-{label}-{number}" for number in range(1, 1_000_000))
        named = name or next(one for one in free if one not in taken)
        environments.add_environment(
            config, ledger, SystemClock(), label, out, name=named, shared=signature == "hmac"
        )
    say(f"credential of {label} in {out} (key {named}); carry it there and name it in [agent]")


@environment.command("list")
@click.pass_context
def list_environments(ctx: click.Context) -> None:
    """List the environments that the server believes."""
    from isthmus.app.acquiring import environments
    from isthmus.app.acquiring.config import read_acquire_config

    found = environments.environments(read_acquire_config(ctx.obj))
    table(("environment", "credentials"), found)


@environment.command("retire")
@click.argument("label")
@click.option("--all", "whole", is_flag=True, help="All of its credentials.")
@click.pass_context
def retire_environment(ctx: click.Context, label: str, whole: bool) -> None:
    """Believe the oldest credential no longer.

    That is its signatures; revoke its API key as well.
    """
    from isthmus.app.acquiring import environments
    from isthmus.app.acquiring.config import read_acquire_config

    left = environments.retire(read_acquire_config(ctx.obj), label, whole=whole)
    say(f"{label} has {left} {'credential' if left == 1 else 'credentials'} left")


class _ledger:
    """Opens the site's ledger for a block."""

    def __init__(self, ctx: click.Context) -> None:
        self._path = ctx.obj

    def __enter__(self) -> tuple[Any, Any]:
        from isthmus.app.acquiring.config import read_acquire_config
        from isthmus.app.acquiring.ledgers import open_ledger
        from isthmus.app.clock import SystemClock

        self._open = open_ledger(read_acquire_config(self._path))
        return self._open, SystemClock().now()

    def __exit__(self, *_: object) -> None:
        self._open.close()


def _private(path: Path, text: str) -> None:
    from isthmus.state.files import write_private

    try:
        write_private(path, f"{text}\n".encode())
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}", "choose another file") from error


def _day(moment: Any) -> str:
    return f"{moment:%Y-%m-%d}" if moment else ""
