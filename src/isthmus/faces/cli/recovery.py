"""Commands of recovery at work: rounds, progress, verifying, drills, changes of role."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isthmus.core.errors import Busy, InputError
from isthmus.faces.cli.root import Commands, isthmus
from isthmus.faces.cli.screen import say
from isthmus.faces.cli.standing import (
    one_or_every,
    show_alarms,
    show_dismissed,
    show_receiving,
    show_request,
    show_sending,
)
from isthmus.faces.cli.tables import table
from isthmus.state.lock import patiently

if TYPE_CHECKING:
    from isthmus.app.recovery.site import RecoverySite
    from isthmus.recovery.damage import Finding

_COMMANDS = "isthmus recovery"


class _ByAction(Commands):
    """Takes `-t ACTION` for the command of that name, as operators of the product write it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments."""
        if args and args[0] == "-t":
            args = args[1:]
        return super().parse_args(ctx, args)


def opened(ctx: click.Context) -> RecoverySite:
    """Open the site that the command line names."""
    from isthmus.app.recovery.config import read_recovery_config
    from isthmus.app.recovery.picture import opened as wired

    return wired(read_recovery_config(ctx.obj))


@isthmus.group(cls=_ByAction)
def recovery() -> None:
    """Keep chosen tables on another site, ready to take over.

    `isthmus recovery -t backup` and its like are understood, too.
    """


def _waits(busy: Busy) -> None:
    say(f"waits: {busy}")


def _turns(site: RecoverySite, watch: bool, turn: Callable[[], list[str]]) -> None:
    while True:
        for event in patiently(turn, _waits):
            say(event, fold=True)
        if not watch:
            return
        time.sleep(min(5.0, max(0.2, site.part.restore_s)))


@recovery.command()
@click.option("--full", is_flag=True, help="Tell everything anew; what the standby is known to hold is left out.")
@click.option("--when-due", is_flag=True, help="Take a round only if its interval has passed.")
@click.option("--watch", is_flag=True, help="Go on until interrupted, at each interval.")
@click.pass_context
def backup(ctx: click.Context, full: bool, when_due: bool, watch: bool) -> None:
    """Take a round at the primary and send it."""
    site = opened(ctx)
    if not when_due and not watch:
        for event in patiently(lambda: site.pair.back_up(full), _waits):
            say(event, fold=True)
        return
    _turns(site, watch, lambda: site.pair.turn_of("primary"))


@recovery.command()
@click.option("--when-due", is_flag=True, help="Look only if the interval has passed.")
@click.option("--watch", is_flag=True, help="Go on until interrupted.")
@click.pass_context
def restore(ctx: click.Context, when_due: bool, watch: bool) -> None:
    """Take in what has come, at the standby.

    Afterwards it shows the last barrier that came whole.
    """
    site = opened(ctx)
    _turns(site, watch, lambda: site.pair.turn_of("standby", at_once=not when_due))
    barrier = site.landing.barrier()
    say(f"shows {barrier.key}" if barrier else "shows nothing yet: no round has come whole")


@recovery.command()
@click.pass_context
def status(ctx: click.Context) -> int:
    """Show role, rounds, what is missing, and alarms."""
    site = opened(ctx)
    fence, other = site.pair.fence, site.pair.other()
    rows = [
        ("site", site.config.site.name),
        ("role", fence.role + (f": {fence.held}" if fence.held else "")),
        ("epoch", str(fence.epoch)),
        ("shows", fence.barrier or "its own tables"),
        ("the other site", _told_of(other) if other else "nothing was heard of it"),
    ]
    table(("what", "value"), rows)
    sends = fence.role in ("primary", "yielding")
    if sends:
        table(
            ("round", "prior", "state", "tables", "contents", "bytes", "error"),
            [
                (one.key, one.prior, one.state, one.tables, one.files, one.bytes, one.error)
                for one in site.backup.rounds()[-10:]
            ],
        )
        now = site.outbound.status()
        show_sending(now)
        show_alarms(now.alarms, _COMMANDS)
        return 1 if now.alarms else 0
    came = site.inbound.status()
    show_receiving(came)
    table(
        ("found", "kind", "table", "what"),
        [(f"{one.at:%Y-%m-%d %H:%M:%S}", one.kind, one.name, one.what) for one in _last_findings(site)],
    )
    show_alarms(came.alarms, _COMMANDS)
    return 1 if came.alarms else 0


def _last_findings(site: RecoverySite) -> list[Finding]:
    return site.landing.holding.findings()[-10:]


def _told_of(report: Any) -> str:
    shown = f", shows {report.barrier}" if report.barrier else ""
    return (
        f"{report.site}, {report.role} of epoch {report.epoch}{shown}, heard {report.made:%Y-%m-%d %H:%M:%S} UTC"
    )


@recovery.command("show-progress")
@click.option("--watch", is_flag=True, help="Show it again and again, for people, until interrupted.")
@click.pass_context
def show_progress(ctx: click.Context, watch: bool) -> None:
    """Show how far both sites are, as JSON.

    With --watch as lines with bars, for people.
    """
    from isthmus.app.recovery.picture import picture_of
    from isthmus.recovery.progress import lines, to_json

    site = opened(ctx)
    while watch:
        click.clear()
        click.echo("\n".join(lines(picture_of(site), site.config.zone)))
        time.sleep(1.0)
    click.echo(json.dumps(to_json(picture_of(site), site.config.zone), indent=2, ensure_ascii=False))


@recovery.command()
@click.option("--rows", is_flag=True, help="Sum the rows of every table too, not only the files.")
@click.pass_context
def verify(ctx: click.Context, rows: bool) -> int:
    """Prove that both sites hold the same.

    At the standby: files, and rows against the primary's sums where it has told them. At the primary: takes the
    sums and tells them to the standby with its next report. Ends with code 5 where something differs.
    """
    from isthmus.app.recovery.verifying import verified

    told = verified(opened(ctx), rows)
    table(("table", "version", "rows", "state"), told.rows)
    say(told.sentence, fold=True)
    return 5 if told.differences else 0


@recovery.command()
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), help="Folder for the scratch copy.")
@click.option("--keep", is_flag=True, help="Leave the scratch copy there.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Where the signed report goes.")
@click.pass_context
def drill(ctx: click.Context, into: Path | None, keep: bool, report: Path | None) -> int:
    """Restore to a scratch copy, at the standby.

    Every table is opened there, its rows are counted and summed, and the time is measured (RTO). The report is
    signed.
    """
    from isthmus.app.recovery.verifying import drilled

    told, place = drilled(opened(ctx), into, keep, report)
    table(("what", "value"), told)
    say(f"signed report: {place}")
    return 0 if ("result", "restored") in told else 5


@recovery.command()
@click.option("--deep", is_flag=True, help="Read every file, not only its name and size.")
@click.pass_context
def check(ctx: click.Context, deep: bool) -> int:
    """Find damaged files of the standby."""
    site = opened(ctx)
    found = site.landing.holding.check(deep)
    table(("table", "file", "damage"), [(one.name, one.path, one.kind) for one in found])
    say(f"{len(found)} damaged; mend them: {_COMMANDS} repair" if found else "all files are there")
    return 5 if found else 0


@recovery.command()
@click.pass_context
def repair(ctx: click.Context) -> int:
    """Replace damaged files of the standby.

    By good copies that lie here; the primary is asked for the others.
    """
    from isthmus.app.recovery.verifying import repaired

    mended, asked = repaired(opened(ctx))
    say(f"{mended} mended here, {asked} asked of the primary with the next report")
    return 0


@recovery.command("stop-backup")
@click.pass_context
def stop_backup(ctx: click.Context) -> None:
    """Take no more rounds until `start`."""
    opened(ctx).notes.put(**{"backup stopped": "yes"})
    say("no rounds are taken any more; go on: isthmus recovery start")


@recovery.command("stop-restore")
@click.pass_context
def stop_restore(ctx: click.Context) -> None:
    """Take no more rounds in until `start`."""
    opened(ctx).notes.put(**{"restore stopped": "yes"})
    say("nothing is taken in any more; go on: isthmus recovery start")


@recovery.command()
@click.pass_context
def start(ctx: click.Context) -> None:
    """Take rounds, and take them in, again."""
    opened(ctx).notes.put(**{"backup stopped": "", "restore stopped": "", "left": ""})
    say("rounds go on with the next turn")


@recovery.command("set-independent")
@click.pass_context
def set_independent(ctx: click.Context) -> None:
    """Leave the pair.

    All tables are writable then, and what waited to be sent or applied is removed. Only after stop-backup
    at the primary and stop-restore at the standby.
    """
    from isthmus.app.recovery.roles import leave

    leave(opened(ctx))
    say("this site is independent")


@recovery.command()
@click.option("--give-up", is_flag=True, help="Let the writers in again, if the last round has not left yet.")
@click.option(
    "--wait", "wait_s", type=float, default=600.0, show_default=True, help="Seconds to wait for the standby."
)
@click.pass_context
def switchover(ctx: click.Context, give_up: bool, wait_s: float) -> None:
    """Hand the tables over, with nothing lost.

    At the primary, while both sites run.
    """
    from isthmus.app.recovery.roles import alone, switch_over

    site = opened(ctx)
    if give_up:
        alone(site, site.turnover.give_up)
        say("the writers are let in again")
        return
    switch_over(site, wait_s, lambda text: say(text, fold=True))


@recovery.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def failover(ctx: click.Context, yes: bool) -> None:
    """Take over, because the primary is lost.

    At the standby alone.
    """
    from isthmus.app.recovery.roles import fail_over, loss_of

    site = opened(ctx)
    say(str(loss_of(site)), fold=True)
    if not yes:
        click.confirm("Take over here? A primary that lives is fenced off", abort=True)
    say(fail_over(site), fold=True)


@recovery.command()
@click.option("--wait", "wait_s", type=float, default=0.0, help="Seconds to wait until this site shows a barrier.")
@click.pass_context
def failback(ctx: click.Context, wait_s: float) -> None:
    """Follow the site that took over: at the old primary. What it had alone is kept aside as tables of its own."""
    from isthmus.app.recovery.roles import fail_back

    site = opened(ctx)
    found = fail_back(site, wait_s, lambda text: say(text, fold=True))
    if found:
        table(
            ("table", "last common version", "version here", "kept as"),
            [(str(one.name), one.common, one.latest, str(kept)) for one, kept in found],
        )
    else:
        say("this site had nothing alone")


@recovery.command()
@click.option("--snapshot", is_flag=True, help="Ask for everything in any case.")
@click.pass_context
def request(ctx: click.Context, snapshot: bool) -> None:
    """Print the line that asks for what is missing.

    It is carried back by hand, and given to resend at the primary.
    """
    show_request(opened(ctx).inbound.request(snapshot=snapshot), "primary", _COMMANDS)


@recovery.command()
@click.argument("line")
@click.pass_context
def resend(ctx: click.Context, line: str) -> None:
    """Send again what LINE asks for."""
    for event in opened(ctx).outbound.resend(line):
        say(event, fold=True)


@recovery.command()
@click.argument("file", required=False)
@click.option("--all", "every", is_flag=True, help="Every file.")
@click.pass_context
def dismiss(ctx: click.Context, file: str | None, every: bool) -> None:
    """Remove what you have seen from the quarantine."""
    one_or_every(file, every)
    show_dismissed(file, opened(ctx).inbound.dismiss(file), _COMMANDS)


__all__ = ["InputError", "opened", "recovery"]
