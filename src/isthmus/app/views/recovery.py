"""What there is to see of a pair's site: its role, publications, rounds on both sides, RPO, what is wrong.

Everything is read from this site's state and warehouse; of the other site what its last report told, as it was
heard before: a view never waits for the road.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from isthmus.app.views.recoveryshapes import (
    RULES,
    ActionSeen,
    AlarmSeen,
    DrillSeen,
    OtherSeen,
    PublicationSeen,
    RecoverySeen,
    RoundSeen,
    TableSeen,
)
from isthmus.core.errors import IsthmusError, MissingExtra

if TYPE_CHECKING:
    from isthmus.app.recovery.site import RecoverySite
    from isthmus.recovery.backup import Round
    from isthmus.recovery.landing import Landed
    from isthmus.recovery.report import Report
    from isthmus.transfer.alarm import Alarm

T = TypeVar("T")
_SHOWN_ROUNDS = 20
_DRILLS = 5


def recovery_of(toml: Path, now: datetime | None = None) -> RecoverySeen:
    """Gather what there is to see.

    Raises ConfigError, InputError where the site has no [recovery], MissingExtra where that is not installed.
    """
    with opened(toml) as site:
        looking = _Looking(site, now or site.clock.now())
        return looking.everything() if has_begun(site) else looking.beginning()


def rounds_of(toml: Path) -> list[RoundSeen]:
    """List every round that the site remembers, oldest first. Raises as `recovery_of`."""
    with opened(toml) as site:
        return _rounds(site) if has_begun(site) else []


def publications_of(toml: Path) -> list[PublicationSeen]:
    """List the publications by name. Raises as `recovery_of`."""
    with opened(toml) as site:
        return _publications(site) if has_begun(site) else []


def tables_of(toml: Path) -> list[TableSeen]:
    """List the published tables, and those that cannot travel. Raises as `recovery_of`."""
    with opened(toml) as site:
        return _tables(site) if has_begun(site) else []


@contextlib.contextmanager
def opened(toml: Path) -> Iterator[RecoverySite]:
    """Lend the site for one view."""
    try:
        from isthmus.app.recovery.site import RecoverySite
    except ModuleNotFoundError as error:
        raise MissingExtra.named(str(error.name or error), "recovery") from error
    site = RecoverySite.open(toml)
    try:
        yield site
    finally:
        if "store" in site.__dict__:  # else it were made now
            site.close()


def has_begun(site: RecoverySite) -> bool:
    """Tell whether the site has a state yet: a view makes none."""
    return (site.folder.parent / "isthmus.sqlite").exists()


def rpo_of(rounds: Sequence[RoundSeen], now: datetime) -> list[tuple[datetime, float]]:
    """Return how many seconds a failover would have lost, over time: a saw that falls when a round arrives.

    Between two arrivals it grows with the clock, so two points stand at each: just before it, and just after.
    """
    points: list[tuple[datetime, float]] = []
    shown: datetime | None = None
    arrived = [one for one in rounds if one.ended is not None and not one.error and one.state != "DROPPED"]
    for one in sorted(arrived, key=lambda row: row.ended or row.at):
        assert one.ended is not None
        if shown is not None:
            points.append((one.ended, max(0.0, (one.ended - shown).total_seconds())))
        shown = max(shown, one.at) if shown else one.at
        points.append((one.ended, max(0.0, (one.ended - shown).total_seconds())))
    if shown is not None:
        points.append((now, max(0.0, (now - shown).total_seconds())))
    return points


class _Looking:
    """One look at a site; what cannot be read becomes a flaw, and the rest is shown."""

    def __init__(self, site: RecoverySite, now: datetime) -> None:
        self._site, self._now = site, now
        self._flaws: list[str] = []

    def beginning(self) -> RecoverySeen:
        """Return what there is to see before anything was begun: what is still missing for it."""
        from isthmus.app.recovery.checking import check_recovery
        from isthmus.warehouse import fence as fences

        site, fence = self._site, fences.read(self._site.root)
        _, notes = check_recovery(site.config.path)
        return RecoverySeen(
            site.config.site.name,
            site.part.peer,
            site.part.road,
            fence.role,
            fence.epoch,
            self._now,
            answers=site.answers,
            primary=ActionSeen("waiting"),
            standby=ActionSeen("waiting"),
            flaws=tuple(notes),
        )

    def everything(self) -> RecoverySeen:
        from isthmus.warehouse import fence as fences

        site, now = self._site, self._now
        fence = fences.read(site.root)
        role = fence.role
        other = self._try(lambda: site.post.heard(), None)
        rounds: list[RoundSeen] = self._try(lambda: _rounds(site), [])
        nothing: tuple[ActionSeen | None, ActionSeen | None, datetime | None] = (None, None, None)
        primary, standby, shown_at = self._try(lambda: _actions(site, other), nothing)
        alarms, lag, missing, unsent, request = self._road(role)
        barrier = self._try(lambda: site.backup.barrier() if role in RULES else site.landing.barrier(), None)
        tables: list[TableSeen] = self._try(lambda: _tables(site), [])
        return RecoverySeen(
            site=site.config.site.name,
            peer=site.part.peer,
            road=site.part.road,
            role=role,
            epoch=fence.epoch,
            now=now,
            held=fence.held,
            shows=barrier.key if barrier else "",
            shows_at=barrier.at if barrier else None,
            behind_s=max(0.0, (now - shown_at).total_seconds()) if shown_at else None,
            stopped=bool(site.notes["backup stopped" if role in RULES else "restore stopped"]),
            answers=site.answers,
            other=_other(other),
            primary=primary or ActionSeen("abnormal"),
            standby=standby or ActionSeen("abnormal"),
            rounds=tuple(rounds[-_SHOWN_ROUNDS:]),
            publications=tuple(self._try(lambda: _publications(site), [])),
            tables=tuple(tables),
            drills=tuple(self._try(lambda: _drills(site), [])),
            alarms=tuple(alarms),
            missing=missing,
            findings=tuple(self._try(lambda: [str(one) for one in site.landing.holding.findings()[-10:]], [])),
            request=request,
            unsent=unsent,
            lag=lag,
            flaws=tuple(self._flaws),
        )

    def _road(self, role: str) -> tuple[list[AlarmSeen], int, int, int, str]:
        """Return alarms, parts behind, contents missing, changes not sent, and the line that asks for them."""
        site = self._site
        if role in RULES:
            sends = self._try(lambda: site.outbound.status(), None)
            return ([_alarm(one) for one in sends.alarms], 0, 0, sends.waiting, "") if sends else ([], 0, 0, 0, "")
        comes = self._try(lambda: site.inbound.status(), None)
        if comes is None:
            return [], 0, 0, 0, ""
        request = self._try(lambda: site.inbound.request(snapshot=False), "")
        missing = self._try(lambda: len(site.landing.missing()), 0)
        return [_alarm(one) for one in comes.alarms], comes.lag, missing, 0, request

    def _try(self, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except (IsthmusError, OSError) as error:
            if str(error) not in self._flaws:
                self._flaws.append(str(error))
            return otherwise


def _actions(
    site: RecoverySite, other: Report | None
) -> tuple[ActionSeen | None, ActionSeen | None, datetime | None]:
    from isthmus.app.recovery.picture import picture_with
    from isthmus.recovery.progress import Action

    now = picture_with(site, other)

    def seen(action: Action | None, state: str, succeeded: datetime | None) -> ActionSeen:
        if action is None:
            return ActionSeen(state, succeeded=succeeded)
        return ActionSeen(
            state, action.key, action.step, action.fraction, action.done, action.total, action.error, succeeded
        )

    applied = now.applied
    return (
        seen(now.primary, applied.backup, applied.backup_success),
        seen(now.standby, applied.restore, applied.restore_success),
        now.shown,
    )


def _rounds(site: RecoverySite) -> list[RoundSeen]:
    found = [_backed_up(one) for one in site.backup.rounds()] + [_restored(one) for one in site.landing.rounds()]
    return sorted(found, key=lambda one: (one.key, one.action))


def _backed_up(one: Round) -> RoundSeen:
    ended = one.ended or (one.sealed if one.state in ("CONFIRM", "UNPIN", "FINISH") else None)
    return RoundSeen(
        "backup", one.key, one.prior, one.full, one.state, one.tables, one.files, one.bytes,
        one.at or _moment(one.key), one.begun, ended, one.error, _took(one.begun, ended),
    )  # fmt: skip


def _restored(one: Landed) -> RoundSeen:
    return RoundSeen(
        "restore", one.key, one.prior, one.full, one.state, None, one.files, one.bytes,
        _moment(one.key), one.begun, one.ended, one.error, _took(one.begun, one.ended),
    )  # fmt: skip


def _took(begun: datetime | None, ended: datetime | None) -> float | None:
    return (ended - begun).total_seconds() if begun and ended else None


def _moment(key: str) -> datetime:
    from isthmus.recovery.barrier import moment_of

    return moment_of(key)


def _publications(site: RecoverySite) -> list[PublicationSeen]:
    from isthmus.recovery import publications

    return [
        PublicationSeen(one.name, tuple(map(str, one.objects))) for one in publications.publications(site.store)
    ]


def _tables(site: RecoverySite) -> list[TableSeen]:
    """List what is published, with rows and version of the last barrier, and what cannot travel."""
    from isthmus.recovery import publications

    last = site.backup.barrier() or site.landing.barrier()
    counted = {table.name: table for table in last.tables.values()} if last else {}
    now = publications.standing(site.store, site.catalog, site.grants.of)
    found = []
    for one in now.published:
        at = counted.get(one.name)
        found.append(TableSeen(one.name, one.distribution, at.rows if at else None, at.version if at else None))
    for name, at in counted.items():
        if all(one.name != name for one in now.published):
            found.append(TableSeen(name, at.distribution, at.rows, at.version))
    found += [TableSeen(one.name, "", None, None, str(one)) for one in now.unfit]
    return sorted(found, key=lambda one: one.name)


def _drills(site: RecoverySite) -> list[DrillSeen]:
    """Read the newest reports of drills that this site signed, newest first."""
    from isthmus.recovery.drillreport import read_report

    found = []
    for file in sorted(site.lists.glob("drill-*.json"), key=lambda one: one.stat().st_mtime)[: -_DRILLS - 1 : -1]:
        report = read_report(file, [site.key.public])
        found.append(
            DrillSeen(
                file.name, report.site, report.barrier, report.ended, report.outcome, report.recovery_time_s,
                report.bytes, len(report.tables), report.error,
            )
        )  # fmt: skip
    return found


def _other(report: Report | None) -> OtherSeen | None:
    if report is None:
        return None
    missing = max(report.missing_count, len(report.missing))
    return OtherSeen(
        report.site, report.role, report.epoch, report.made.astimezone(UTC), report.barrier, report.barrier_at,
        missing, report.free_bytes, report.version,
    )  # fmt: skip


def _alarm(alarm: Alarm) -> AlarmSeen:
    return AlarmSeen(
        alarm.kind.name, alarm.what, alarm.hint.replace("isthmus gate", "isthmus recovery"), alarm.since
    )


__all__ = [
    "RULES", "ActionSeen", "AlarmSeen", "DrillSeen", "OtherSeen", "PublicationSeen", "RecoverySeen", "RoundSeen",
    "TableSeen",
    "opened", "publications_of", "recovery_of", "rounds_of", "rpo_of", "tables_of",
]  # fmt: skip
