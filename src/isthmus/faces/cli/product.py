"""Commands of the whole site: up, status, doctor."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from isthmus.faces.cli.root import isthmus

if TYPE_CHECKING:
    from isthmus.app.product.record import PartRecord


@isthmus.command()
@click.option("--leave-out", multiple=True, metavar="PART", help="Do not start this part; may be given again.")
@click.option("--show", is_flag=True, help="Say what would be started, and end.")
@click.pass_context
def up(ctx: click.Context, leave_out: tuple[str, ...], show: bool) -> None:
    """Run all that the site's TOML asks for, and keep it running.

    Each part is a process of its own: servers, agents, schedules, the console. One that ends is started
    again after a pause; ctrl-C or SIGTERM ends all of them, the console last. [up] in the TOML says what is
    left out, and how patient it is.
    """
    from isthmus.app.product.asked import asked_for, need_parts
    from isthmus.app.product.supervisor import Supervisor
    from isthmus.app.upconfig import read_up_config

    config = read_up_config(ctx.obj)
    parts = asked_for(config, leave_out)
    need_parts(config, parts)
    if show:
        for part in parts:
            line = shlex.join(["isthmus", "--site", str(ctx.obj), *part.words])
            click.echo(f"{part.name}\t{part.because}\t{line}")
        return
    ctx.exit(Supervisor(config, parts, Told()).run())


@isthmus.command()
@click.option("--running", is_flag=True, help="Only whether isthmus up and its parts run; quick.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@click.pass_context
def status(ctx: click.Context, running: bool, as_json: bool) -> int:
    """Show what runs, how far behind each part is, and alarms.

    Works whether the site runs or not. Exit code 1: something is wrong; with --running, for health checks, also a
    site that is not up.
    """
    from isthmus.app.product.status import running_of, status_of
    from isthmus.app.upconfig import read_up_config

    now = (running_of if running else status_of)(read_up_config(ctx.obj))
    if as_json:
        click.echo(json.dumps(now.to_json(), indent=2, ensure_ascii=False))
        return 0 if now.well else 1
    from isthmus.faces.cli.screen import say
    from isthmus.faces.cli.tables import table

    table(
        ("part", "state", "since", "address", "restarts", "stands"),
        [(one.name, one.state, one.since, one.address, one.restarts, one.lag.text) for one in now.parts],
    )
    now_up = f"up since {now.begun:%Y-%m-%d %H:%M:%S}, process {now.pid}" if now.up and now.begun else "not up"
    say(f"{now.site} is {now_up}" + (f": {now.wrong}" if now.wrong else ""))
    for one in now.parts:
        for line in (one.wrong, *one.lag.alarms):
            if line:
                say(f"WRONG {one.name}: {line}", fold=True)
    return 0 if now.well else 1


@isthmus.command()
@click.option("--network", is_flag=True, help="Call the peers that the TOML names, too.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@click.pass_context
def doctor(ctx: click.Context, network: bool, as_json: bool) -> int:
    """Say what is wrong with a site, and how to mend it.

    Looks at the TOML, the installation, folders, disks, keys, state files, ports, the clock. Changes nothing.
    Exit code 1: something is an error.
    """
    from isthmus.app.product.doctor import examine

    found = examine(ctx.obj, network=network)
    errors = sum(one.severity == "error" for one in found)
    if as_json:
        click.echo(json.dumps([one.to_json() for one in found], indent=2, ensure_ascii=False))
        return 1 if errors else 0
    from isthmus.faces.cli.screen import say

    for one in found:
        where = f" ({one.where})" if one.where else ""
        click.echo(f"{one.severity.upper():<8} {one.what}{where}")
        if one.mend:
            click.echo(f"{'':<8} to mend: {one.mend}")
    warnings = sum(one.severity == "warning" for one in found)
    say(f"{errors} errors, {warnings} warnings" if errors or warnings else "all is well")
    return 1 if errors else 0


class Told:
    """Prints one line for each change of a part, and on the error stream what the parts write.

    In a terminal as text with the part's name before it; in a pipe, such as the journal, as JSON lines.
    """

    def __init__(self) -> None:
        self._plain = sys.stderr.isatty()

    def said(self, part: str, line: str) -> None:
        """Print a line of a part."""
        if self._plain:
            self._print(f"{part:<12}  {line}", sys.stderr)
        else:
            self._print(json.dumps(as_json(part, line), ensure_ascii=False), sys.stderr)

    def stands(self, record: PartRecord) -> None:
        """Print how a part stands."""
        self._print(f"{record.name:<12}  {told(record)}", sys.stdout)

    def _print(self, text: str, stream: Any) -> None:
        try:
            print(text, file=stream, flush=True)
        except BrokenPipeError:
            return  # nobody reads any more: the parts go on


def told(record: PartRecord) -> str:
    """Say how a part stands, on one line."""
    why = f": {record.why}" if record.why and record.state not in ("running", "starting") else ""
    said = f"; it said: {record.said}" if record.said else ""
    if record.state == "failed":
        return f"given up{why}{said}"
    at = f" at {record.address}" if record.address and record.state == "running" else ""
    return f"{record.state}{at}{why}{said}"


def as_json(part: str, line: str) -> dict[str, Any]:
    """Return a line of a part as a JSON object; one that is an object already gets the part's name."""
    if line.startswith("{"):
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return {"part": part, **found}
    return {"part": part, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), "line": line}
