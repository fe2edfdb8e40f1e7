"""Commands of the whole site: up, status, doctor."""

from __future__ import annotations

import json
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
    from isthmus.app.product.config import read_up_config
    from isthmus.app.product.supervisor import Supervisor, command_of

    config = read_up_config(ctx.obj)
    parts = asked_for(config, leave_out)
    need_parts(config, parts)
    if show:
        for part in parts:
            click.echo(f"{part.name}\t{part.because}\tisthmus {' '.join(command_of(ctx.obj, part)[3:])}")
        return
    ctx.exit(Supervisor(config, parts, Told()).run())


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
    at = f" at {record.address}" if record.address else ""
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
