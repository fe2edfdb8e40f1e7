"""What `show-progress` shows and a report tells, gathered from a site's rows and the other site's last report."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from isthmus.app.recovery.config import RecoveryConfig
from isthmus.app.recovery.listing import list_rounds
from isthmus.app.recovery.site import RecoverySite
from isthmus.app.recovery.verifying import own_sums
from isthmus.core.ports import Clock
from isthmus.recovery.backup import Round
from isthmus.recovery.landing import Landed
from isthmus.recovery.pace import Pace, rate_of
from isthmus.recovery.progress import Action, Applied, Picture, Rates, state_of
from isthmus.recovery.report import Report
from isthmus.recovery.roles import RULING

_ENDED = ("FINISH", "FAILED", "DROPPED")


def own_action(site: RecoverySite) -> Action | None:
    """Return the last round of this site, as its role has them; None where there was none."""
    now = site.clock.now()
    if site.pair.fence.role in RULING:
        rounds = site.backup.rounds()
        return backing_up(rounds[-1], now, site.backup.paces.of(rounds[-1].key)) if rounds else None
    landed = site.landing.rounds()
    return restoring(landed[-1], now) if landed else None


def picture_of(site: RecoverySite) -> Picture:
    """Gather the picture at this moment."""
    return picture_with(site, site.pair.other())


def picture_with(site: RecoverySite, other: Report | None) -> Picture:
    """Gather the picture from this site's rows and what is known of the other site."""
    now, rules = site.clock.now(), site.pair.fence.role in RULING
    mine = own_action(site)
    theirs = _reported(other.progress) if other else None
    primary, standby = (mine, theirs) if rules else (theirs, mine)
    shown = site.landing.barrier()
    there = other.barrier_at if other and other.role == "standby" else None
    shown_at = there if rules else (shown.at if shown else None)
    barrier = site.backup.barrier() if rules else None
    taken = barrier.at if barrier else (other.barrier_at if other and other.role in RULING else None)
    silent = 10 * max(site.part.backup_s, 60.0)
    return Picture(
        now,
        primary,
        standby,
        Applied(
            state_of(
                primary,
                now,
                stopped=rules and bool(site.notes["backup stopped"]),
                known=rules or other is not None,
            ),
            state_of(
                standby,
                now,
                stopped=not rules and bool(site.notes["restore stopped"]),
                known=not rules or other is not None,
                silent_s=silent if rules else 0.0,
            ),
            taken,
            shown_at,
        ),
        taken,
        shown_at,
    )


def backing_up(row: Round, now: datetime, pace: Pace | None = None) -> Action:
    """Describe a backup round. `pace` tells how fast it was packed and sent."""
    took = (row.sealed - row.begun).total_seconds() if row.sealed and row.begun else 0.0
    sent = row.state in ("CONFIRM", "UNPIN", "FINISH")
    failed = row.state in ("FAILED", "DROPPED")
    return Action(
        "Backup",
        row.key,
        row.prior,
        row.bytes if sent else 0,
        row.bytes,
        Rates(row.bytes / took if took > 0 else 0.0, rate_of(pace or {}, "packed"), rate_of(pace or {}, "sent")),
        row.state,
        failed_step=row.state if failed and row.error else "",
        error=row.error,
        started=row.begun,
        ended=row.ended or (row.sealed if sent else None),
        updated=now,
    )


def restoring(row: Landed, now: datetime) -> Action:
    """Describe a restore round."""
    return Action(
        "Restore",
        row.key,
        row.prior,
        row.bytes if row.state in ("CONFIRM", "FINISH") else 0,
        row.bytes,
        Rates(row.rate("received"), row.rate("unpacked"), row.shown_rate),
        row.state,
        failed_step=row.state if row.error else "",
        error=row.error,
        started=row.begun,
        ended=row.ended,
        updated=now,
    )


def _reported(value: Mapping[str, Any]) -> Action | None:
    """Read the action of the other site's report; None where it tells of none."""
    with suppress(ValueError):
        return Action.of_plain(value)
    return None


def opened(config: RecoveryConfig, clock: Clock | None = None) -> RecoverySite:
    """Open a site whose reports tell of its progress and its sums, and whose CSV is level with each of them."""
    site = RecoverySite(config, clock)

    def describe(report: Report) -> Report:
        if report.role != "independent":  # a site that has left keeps no list
            with suppress(OSError):  # a full disk is told by what needs it more
                list_rounds(site)
        action = own_action(site)
        sums = own_sums(site) if report.role in RULING else {}
        return replace(report, progress=action.to_plain() if action else {}, verify=sums)

    site.describe = describe
    return site
