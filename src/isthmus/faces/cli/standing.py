"""What the commands of all gates have in common: where streams stand, alarms, keys, what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isthmus.core.errors import InputError
from isthmus.faces.cli.screen import say
from isthmus.faces.cli.tables import table

if TYPE_CHECKING:
    from isthmus.transfer.alarm import Alarm
    from isthmus.transfer.standing import InboundStatus, OutboundStatus

GATE = "isthmus gate"
"""How the commands begin that hints name."""


def show_sending(now: OutboundStatus) -> None:
    """Show where a stream stands at its sender."""
    times = {"last snapshot": now.snapshot, "last heartbeat": now.heartbeat, "last carousel": now.carousel}
    rows = [
        ("stream", now.stream),
        ("set stands at", str(now.position)),
        ("sent up to", str(now.head or "nothing yet")),
        ("changes not sent yet", str(now.waiting)),
        ("files kept to send again", str(len(now.kept))),
        ("unfinished", ", ".join(now.unfinished) or "none"),
        *((what, at.isoformat(timespec="seconds") if at else "never") for what, at in times.items()),
    ]
    table(("what", "value"), rows)


def show_receiving(now: InboundStatus) -> None:
    """Show where a stream stands at its receiver, what waits, what is missing and what was set aside."""
    rows = [
        ("stream", now.stream),
        ("stands at", str(now.standing or "nothing yet")),
        ("sender known to be at", str(now.latest or "unknown")),
        *((f"{what} there", str(count)) for what, count in now.content.items()),
        ("changes behind", str(now.lag)),
        ("last heard", now.heard.isoformat(timespec="seconds") if now.heard else "never"),
        *((what, str(count)) for what, count in now.counts.items()),
        ("growing", ", ".join(now.growing) or "none"),
    ]
    table(("what", "value"), rows)
    if now.staged:
        say("\nstaged, waiting for what comes before")
        table(
            ("file", "from", "to", "bytes"),
            [(one.file, str(one.since), str(one.until), one.size) for one in now.staged],
        )
    if now.missing or now.snapshot_needed:
        say("\nmissing" + (": a snapshot is needed" if now.snapshot_needed else ""))
        table(("epoch", "after", "up to"), [(one.epoch, one.since, one.until) for one in now.missing])
    if now.quarantined:
        say("\nquarantined")
        rows_ = [
            (one.unit, one.kind, one.why, one.at.isoformat(timespec="seconds"), one.healed)
            for one in now.quarantined
        ]
        table(("file", "kind", "why", "at", "healed"), rows_)


def show_alarms(alarms: Sequence[Alarm], commands: str = GATE) -> None:
    """Show alarms and what to do; `commands` is how those of this gate begin."""
    for alarm in alarms:
        say(f"ALARM {alarm.kind.name} since {alarm.since.isoformat(timespec='seconds')}: {alarm.what}", fold=True)
        say(f"  to do: {alarm.hint.replace(GATE, commands)}", fold=True)


def show_key(file: Path, other: str) -> None:
    """Print the public half of the signing key in `file`, which is made where it is not there.

    `other` is who is to trust it. Raises InputError, Refused as the key's own reading does.
    """
    from isthmus.transfer.signing import SigningKey

    if not file.exists():
        SigningKey.create().save(file)
        say(f"made {file}")
    public = SigningKey.load(file).public
    click.echo(public)
    say(f"fingerprint {public.fingerprint}: compare it by telephone before the {other} trusts it")


def show_request(line: str, other: str, commands: str = GATE) -> None:
    """Print the line that asks for what is missing, and what `other` does with it; or that nothing is missing."""
    if line:
        click.echo(line)
        say(f"at the {other}: {commands} resend '<this line>'")
    else:
        say("nothing is missing as far as is known here")


def one_or_every(file: str | None, every: bool) -> None:
    """Raise InputError where neither one file nor every one was named, or both."""
    if (file is None) != every:
        raise InputError("say what to dismiss", "name one file, or give --all")


def show_dismissed(file: str | None, count: int, commands: str = GATE) -> None:
    """Say how many went from the quarantine. Raises InputError where the `file` that was named was not there."""
    if file is not None and not count:
        raise InputError(f"{file} is not in the quarantine", f"{commands} status lists what is")
    say(f"{count} removed from the quarantine")
