"""Commands of acquiring: ask for images and watch them come, steer batches, keys, environments, agents."""

from __future__ import annotations

import hashlib
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isthmus.core.errors import InputError
from isthmus.faces.cli.root import Commands, isthmus
from isthmus.faces.cli.screen import Screen, say
from isthmus.faces.cli.stopping import stopped_by_signals
from isthmus.faces.cli.tables import table

if TYPE_CHECKING:
    from isthmus.acquire.client import Client

_ENDED = ("done", "failed", "cancelled", "expired")


class _Acquire(Commands):
    """A group whose first word may also be a list of requests: `acquire list.csv` is `acquire send list.csv`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a file, or what looks like one, is sent."""
        if args and args[0] not in self.commands and (Path(args[0]).suffix or Path(args[0]).is_file()):
            args = ["send", *args]
        return super().resolve_command(ctx, args)


@isthmus.group(cls=_Acquire)
@click.option("--server", envvar="ISTHMUS_ACQUIRE_SERVER", default="", help="The interface server's address.")
@click.option(
    "--key-file",
    envvar="ISTHMUS_ACQUIRE_KEY_FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file with the API key; or put the key into ISTHMUS_ACQUIRE_KEY. At the server none is needed.",
)
@click.option("--ca", type=click.Path(path_type=Path, dir_okay=False), help="Certificates to judge the server by.")
@click.pass_context
def acquire(ctx: click.Context, server: str, key_file: Path | None, ca: Path | None) -> None:
    """Ask an interface server for images, and run one.

    isthmus acquire list.csv --watch sends a list and shows how its images come. A list is CSV, JSON or JSON lines
    with at least address, environment and record.
    """
    ctx.meta["isthmus.server"] = server, key_file, ca


def _client(ctx: click.Context) -> Client:
    from isthmus.acquire.client import Client
    from isthmus.app.secrets import secret_of

    server, key_file, ca = ctx.meta["isthmus.server"]
    key = secret_of(key_file, "ISTHMUS_ACQUIRE_KEY")
    if not server:
        from isthmus.app.acquiring.config import read_acquire_config
        from isthmus.app.acquiring.environments import public_url

        if not ctx.obj.exists():
            raise InputError("nothing says which server to ask", "name it with --server or ISTHMUS_ACQUIRE_SERVER")
        config = read_acquire_config(ctx.obj)
        server = public_url(config)
        if not key and key_file is None:
            from isthmus.app.acquiring.localkey import local_key

            key = local_key(config)
    return Client(server, key, ca)


@acquire.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--watch", is_flag=True, help="Show how the images come, until all have ended.")
@click.option("--label", default="", help="A name for the batch.")
@click.option("--again", is_flag=True, help="A new batch, though the same list was sent before.")
@click.pass_context
def send(ctx: click.Context, file: Path, watch: bool, label: str, again: bool) -> None:
    """Send a list of requests. The same list again is the same batch, so a command that broke off can be repeated.

    Exit code 3 with --watch: some did not come.
    """
    from isthmus.acquire.client import CONTENT_TYPES

    content = sys.stdin.buffer.read() if str(file) == "-" else _content(file)
    kind = CONTENT_TYPES.get(file.suffix.lower(), "")
    if not kind:
        kind = "application/x-ndjson" if content.lstrip()[:1] == b"{" else "text/csv"
    client = _client(ctx)
    once = "" if again else hashlib.sha256(content + label.encode()).hexdigest()
    taken = client.ask(content, kind, label=label, once=once)
    before = " (sent before: nothing new was asked for)" if taken["again"] else ""
    say(f"batch {taken['batch']}: {taken['requests']} requests{before}")
    click.echo(taken["batch"])
    if watch:
        _end(ctx, _watched(client, taken["batch"]))


@acquire.command("watch")
@click.argument("batch")
@click.pass_context
def watch_batch(ctx: click.Context, batch: str) -> None:
    """Show how a batch's images come, until all have ended. Exit code 3: some did not come."""
    _end(ctx, _watched(_client(ctx), batch))


@acquire.command()
@click.argument("batch", required=False)
@click.pass_context
def status(ctx: click.Context, batch: str | None) -> None:
    """Tell how batches stand, with errors by kind."""
    client = _client(ctx)
    found = [client.batch(batch)] if batch else client.batches()
    rows = [
        (
            one["batch"],
            one["label"],
            one["owner"],
            "paused" if one["paused"] else "",
            ", ".join(f"{count} {word}" for word, count in one["counts"].items()),
            ", ".join(f"{count} {kind}" for kind, count in one["failures"].items()),
        )
        for one in found
    ]
    table(("batch", "label", "owner", "", "requests", "errors"), rows)


@acquire.command()
@click.argument("batch")
@click.option("--most", type=click.IntRange(1, 1000), default=50, show_default=True, help="Requests to show.")
@click.pass_context
def failed(ctx: click.Context, batch: str, most: int) -> None:
    """List what did not come of a batch, and why."""
    client = _client(ctx)
    found = client.requests(batch=batch, state="failed", most=most)
    rows = [
        (one["request"], one["wish"]["record"], one["wish"]["environment"], one["attempts"],
         one["failure"]["kind"], one["failure"]["reason"])
        for one in found
    ]  # fmt: skip
    if rows:
        table(("request", "record", "environment", "tries", "kind", "reason"), rows)
    say(f"{len(rows)} shown; try them again with: isthmus acquire retry {batch}" if rows else "nothing failed")


def _steering(step: str, about: str) -> None:
    @acquire.command(step, help=about)
    @click.argument("batch")
    @click.pass_context
    def steer(ctx: click.Context, batch: str) -> None:
        count = _client(ctx).steer(batch, step)
        say(f"{step}: {count} {'request' if count == 1 else 'requests'} of {batch}")


_steering("retry", "Try again what failed or expired of a batch, and only that.")
_steering("pause", "Let nothing more of a batch be fetched for now.")
_steering("resume", "Let a paused batch go on.")
_steering("cancel", "Give up what has not come yet of a batch.")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file} cannot be read: {error.strerror}", "name a CSV, JSON or JSON lines file"
        ) from error


def _end(ctx: click.Context, counts: Counter[str]) -> None:
    told = ", ".join(f"{counts[word]} {word}" for word in _ENDED if counts[word])
    say(told or "nothing was asked for")
    ctx.exit(3 if counts.total() > counts["done"] else 0)


def _watched(client: Client, batch: str) -> Counter[str]:
    """Show a batch's progress to its end; return how many requests ended how."""
    from isthmus.core.progress import Progress

    counts = _ends(client, batch)
    if counts is not None:
        return counts
    total = sum(client.batch(batch)["counts"].values())
    began = time.monotonic()
    ended: dict[int, str] = {}
    with Screen() as screen:
        for told in client.events(batch):
            kind = str(told.facts["failure"]["kind"]) if told.kind == "failed" else ""
            ended[int(told.facts["request"])] = kind  # what was tried again ends again
            kinds = Counter(filter(None, ended.values()))
            screen(Progress("acquire", len(ended), total, "images", _note(len(ended), total, kinds, began)))
            if len(ended) >= total and (counts := _ends(client, batch)) is not None:
                return counts
    raise AssertionError("events never end")


def _ends(client: Client, batch: str) -> Counter[str] | None:
    """Return how many requests of a batch ended how; None while one has not."""
    counts = Counter(client.batch(batch)["counts"])
    return counts if counts.keys() <= set(_ENDED) else None


def _note(done: int, total: int, kinds: Counter[str], began: float) -> str:
    rate = done / max(time.monotonic() - began, 1e-3)
    left_s = (total - done) / max(rate, 1e-3)
    errors = "".join(f", {count} {kind}" for kind, count in kinds.most_common(4))
    return f"{rate:.0f}/s, {left_s:.0f} s left{errors}"


# the agent


@isthmus.command()
@click.option("--environment", "label", required=True, help="The environment's label, as its credential bears it.")
@click.pass_context
def agent(ctx: click.Context, label: str) -> None:
    """Work inside a network environment.

    Lease requests, get images, send them to the interface server.

    The site's TOML has [agent] with the credential, what may be asked for, and how. Connections go out only. With
    [agent.gate] there is no credential and no connection to the server: bundles go through gate folders.
    """
    stop = stopped_by_signals()  # first: what comes next takes a while
    from isthmus.app.acquiring.agents import run_agent
    from isthmus.app.acquiring.config import read_acquire_config

    run_agent(read_acquire_config(ctx.obj), label, stop)
    say("stopped")
