"""One site of a pair, turn by turn: it heeds the other's report, sends or receives as its role says, and reports.

Both sites run the same turns. Everything that a turn decides is read anew from what is stored, the fence and the
other site's last report, so a site that was killed goes on with its next turn:

1. A higher epoch is heeded first: a primary that hears of one writes no more.
2. What a change of role began, and a crash cut short, is finished.
3. A primary takes a round when one is due, and hands what is sealed to the carrier. The rounds that the standby
   reports are let go.
4. A standby takes what has come, and shows the last whole barrier; at the round of a switchover it takes over.
5. The site reports where it stands, where anything comes back at all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from blake3 import blake3

from isthmus.core.errors import Busy, Diverged, InputError, IsthmusError
from isthmus.core.ports import Clock
from isthmus.recovery.backup import Backup
from isthmus.recovery.landing import Landing
from isthmus.recovery.notes import Notes
from isthmus.recovery.report import Report, ReportBox
from isthmus.recovery.roles import RULING, Claim, Verdict, judge
from isthmus.recovery.turnover import SWITCHOVER, Turnover
from isthmus.recovery.windows import Last, Rhythm, due
from isthmus.transfer.inbound import Inbound
from isthmus.transfer.outbound import Outbound
from isthmus.warehouse.fence import Fence

_STEPS = 3
_DOUBLINGS = 7
"""So often the time doubles after which a request that stays is answered again; then it is an hour."""


@dataclass(frozen=True, slots=True)
class PairSettings:
    """How the turns go. `answers`: something comes back from the other site. Times in seconds."""

    site: str
    stream: str
    answers: bool
    rhythm: Rhythm = field(default_factory=lambda: Rhythm(timedelta(minutes=5)))
    restore: Rhythm = field(default_factory=lambda: Rhythm(timedelta(seconds=1)))
    report_s: float = 30.0


@dataclass(slots=True)
class Ends:
    """What a site works with. `box` writes its reports, `post` reads the other's; None where none can come."""

    backup: Backup
    outbound: Outbound
    landing: Landing
    inbound: Inbound
    box: ReportBox
    post: ReportBox | None


class Pair:
    """One site of a pair. Belongs to one thread; one process at a time takes turns."""

    def __init__(
        self,
        ends: Ends,
        turnover: Turnover,
        notes: Notes,
        clock: Clock,
        settings: PairSettings,
        describe: Callable[[Report], Report] = lambda report: report,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`describe` adds to a report what only the site's surroundings know: free space, versions, progress.

        `alone` keeps other processes of the site from turns and changes of role during a block, or raises Busy.
        """
        self._alone = alone
        self._ends, self._turnover, self._notes = ends, turnover, notes
        self._clock, self._settings, self._describe = clock, settings, describe

    @property
    def fence(self) -> Fence:
        """What the warehouse says of itself now."""
        return self._turnover.fence

    def other(self) -> Report | None:
        """Return the other site's last report."""
        return self._ends.post.latest() if self._ends.post else None

    def turn(self) -> list[str]:
        """Do everything that is due; return what happened, in words.

        Raises Busy where another process is at work, and what a round or a restore raises: the next turn goes on.
        """
        with self._alone():
            return self._turn()

    def _turn(self) -> list[str]:
        events: list[str] = []
        now = self._clock.now()
        try:
            self._heed(events)
            self._turnover.settle(events, _claimed(self.other()))
            if self.fence.role in RULING:
                self._send(now, events)
            elif self.fence.role == "standby":
                self._receive(now, events)
            else:
                self._fail_back_further(events)
        finally:
            self.tell(now)
        return events

    def turn_of(self, role: str, at_once: bool = False) -> list[str]:
        """Do a turn of a site that must have a role; `at_once`: whatever the interval says. Raises InputError."""
        if self.fence.role not in (role, "independent") and not (role == "primary" and self.fence.role in RULING):
            raise InputError(f"this site is {self.fence.role}, not {role}", "see: isthmus recovery status")
        if at_once:
            self._notes.put(**{"last restore": ""})
        return self.turn()

    def back_up(self, full: bool = False) -> list[str]:
        """Take a round now, whatever the interval says, and send it.

        Raises InputError at a site that is no primary, Busy where another process is at work.
        """
        with self._alone():
            return self._backed_up(full)

    def _backed_up(self, full: bool) -> list[str]:
        events: list[str] = []
        now = self._clock.now()
        self._heed(events)
        self._turnover.settle(events, _claimed(self.other()))
        if self.fence.role != "primary":
            raise InputError(f"this site is {self.fence.role}: it takes no rounds", "take them at the primary")
        self._round(now, full, "", events)
        self._deliver(events)
        self.tell(now)
        return events

    def _heed(self, events: list[str]) -> None:
        """Take note of what the other site reports, its role before everything else."""
        report = self.other()
        own = self._turnover.claim(report.took_over if report else "")
        verdict = judge(own, _claimed(report))
        if verdict is Verdict.STAY or report is None:
            if (
                report is not None
                and own.role in RULING
                and report.role == "standby"
                and report.epoch == own.epoch
            ):
                self._confirmed(report, events)
            return
        if verdict is Verdict.FENCE:
            self._turnover.fence_off(report.epoch, report.site)
            events.append(
                f"{report.site} is the {report.role} of epoch {report.epoch}: nothing is written here any more"
            )
        elif verdict is Verdict.FOLLOW:
            self._turnover.demote(report.epoch, report.site)
            events.append(f"{report.site} has taken over in epoch {report.epoch}: this site is its standby")
        else:
            self._turnover.catch_up(report.epoch, report.site)
            events.append(f"{report.site} has begun epoch {report.epoch}")

    def _confirmed(self, report: Report, events: list[str]) -> None:
        """Let go of the rounds that the standby has, and answer what it asks for."""
        backup = self._ends.backup
        if report.standing is not None and report.standing.epoch == report.epoch and report.standing.seq:
            try:
                backup.confirm(report.standing)
            except Diverged:
                self._turnover.fence_off(report.epoch, report.site)
                events.append(
                    f"{report.site} stands at {report.standing}, which was never sent from here: this site was put"
                    " back to an earlier state, and nothing is written here any more. Go on from what"
                    f" {report.site} has: isthmus recovery failover there; or from what is here: the same here"
                )
                return
        if report.missing:
            self._whole(f"{len(report.missing)} contents are missing there", f"missing {report.number}", events)
        elif report.request:
            self._answer(report.request, events)

    def _answer(self, request: str, events: list[str]) -> None:
        """Send what is asked for; while it is still asked for, again after ever longer: it may have got lost."""
        now = self._clock.now()
        before, times, at = (*self._notes["answered"].split("|"), "0", "")[:3]
        if before != request:
            times, at = "0", ""
        wait = timedelta(seconds=self._settings.report_s) * 2 ** min(int(times), _DOUBLINGS)
        if at and timedelta() <= now - datetime.fromisoformat(at) < wait:
            return
        self._notes.put(answered=f"{request}|{int(times) + 1}|{now.isoformat()}")
        events += self._ends.outbound.resend(request)

    def _whole(self, why: str, what: str, events: list[str]) -> None:
        """Let the next round be a full one; once for each reason."""
        if self._notes["whole"] != what:
            self._notes.put(whole=what)
            self._ends.backup.source.snapshot()
            events.append(f"a full round is due: {why}")

    def _fail_back_further(self, events: list[str]) -> None:
        """Go on with a failback that was ordered, and cut short."""
        epoch, other = self._turnover.failing_back(), self.other()
        if (
            not epoch
            or other is None
            or self._ends.post is None
            or (other.role, other.epoch) != ("primary", epoch)
        ):
            return
        theirs = self._ends.post.inventory()
        if theirs is not None:
            for one, kept in self._turnover.fail_back(theirs, epoch, other.site):
                events.append(f"what {one.name} had alone is kept as {kept}")
            events.append(f"this site is the standby of {other.site} in epoch {epoch}")

    def _send(self, now: datetime, events: list[str]) -> None:
        role, notes = self.fence.role, self._notes
        if role == "yielding":
            if not self._turnover.handed() or self._ends.backup.full_due:
                row = self._turnover.last_round(self._known() if self._ends.backup.full_due else None)
                events.append(f"round {row.key} hands over")
        elif not notes["backup stopped"] and not self._waits():
            last = Last(notes.moment("last round"), notes.moment("last full"))
            decision = due(last, now, self._settings.rhythm)
            if decision.last != last:
                self._began(decision.last)
            if decision.begin or notes["asked"]:
                self._round(now, decision.begin == "full", "", events)
        self._deliver(events)

    def _waits(self) -> bool:
        """Tell whether a full round waits for a standby that says what it holds: else everything would travel."""
        if not self._settings.answers or not self._ends.backup.full_due:
            return False
        report = self.other()
        return report is None or report.role != "standby" or report.epoch != self.fence.epoch

    def _round(self, now: datetime, full: bool, event: str, events: list[str]) -> None:
        backup = self._ends.backup
        whole = full or bool(backup.full_due) or backup.barrier() is None
        known = self._known() if whole else None
        last = Last(self._notes.moment("last round"), self._notes.moment("last full"))
        row = backup.round(whole, event, known)
        self._began(last.began("full" if whole else "incremental", now))
        self._notes.put(asked="")
        if row is not None:
            kind = "full round" if row.full else "round"
            events.append(f"{kind} {row.key}: {row.tables} tables, {row.files} contents, {row.bytes:,} bytes")
            events += [row.notes] if row.notes else []

    def _known(self) -> set[bytes] | None:
        """Return the contents that the standby says it holds; None where it says none."""
        report = self.other()
        if self._ends.post is None or report is None or report.role != "standby":
            return None
        held = self._ends.post.inventory()
        return None if held is None else held.keys() - {bytes.fromhex(text) for text in report.missing}

    def _began(self, last: Last) -> None:
        self._notes.put(
            **{
                "last round": last.round.isoformat() if last.round else "",
                "last full": last.full.isoformat() if last.full else "",
            }
        )

    def _deliver(self, events: list[str]) -> None:
        """Hand what is sealed to the carrier."""
        backup, outbound = self._ends.backup, self._ends.outbound
        for _ in range(_STEPS):  # a snapshot goes alone: what follows it goes with the next step
            events += outbound.step()
            status = outbound.status()
            if status.head == status.position or status.alarms:
                break
        if status.head is not None and not status.unfinished:
            backup.sent(status.head)
        if not self._settings.answers:
            backup.expire(self._clock.now())

    def _receive(self, now: datetime, events: list[str]) -> None:
        if self._notes["restore stopped"]:
            return
        last = Last(self._notes.moment("last restore"))
        decision = due(last, now, self._settings.restore)
        if not decision.begin:
            if decision.last != last:  # the clock was set back: the interval is counted from now on
                self._notes.put(**{"last restore": decision.last.round.isoformat() if decision.last.round else ""})
            return
        self._notes.put(**{"last restore": now.isoformat()})
        landing = self._ends.landing
        before, found = landing.barrier(), landing.holding.findings()
        events += [str(event) for event in self._ends.inbound.step()]
        after = landing.barrier()
        if after is not None and (before is None or before.key != after.key):
            events.append(f"shows {after.key}: {len(after.tables)} tables")
        if landing.event() == SWITCHOVER:
            events.append(self._turnover.take_over(SWITCHOVER))
        elif after is not None:
            events += landing.tidy()
        new = (str(one) for one in landing.holding.findings() if one not in found)
        events += [text for text in new if text not in events]

    def tell(self, now: datetime) -> None:
        """Report where this site stands, where that is new or was not told for a while."""
        fence, landing, notes = self.fence, self._ends.landing, self._notes
        follows = fence.role == "standby"
        barrier = landing.barrier() if follows else self._ends.backup.barrier()
        report = self._describe(
            Report(
                self._settings.stream,
                self._settings.site,
                fence.role,
                fence.epoch,
                now,
                landing.position(self._settings.stream) if follows else None,
                barrier.key if barrier else "",
                barrier.at if barrier else None,
                tuple(digest.hex() for digest in landing.missing()) if follows else (),
                request=self._ends.inbound.request() if follows else "",
                took_over=notes["took over"],
            )
        )
        told, essence = notes.moment("reported"), blake3(report.essence).hexdigest()
        fresh = told is not None and timedelta() <= now - told < timedelta(seconds=self._settings.report_s)
        if fresh and notes["essence"] == essence:
            return
        self._list(report)
        self._ends.box.write(report)
        notes.put(essence=essence, reported=now.isoformat())

    def _list(self, report: Report) -> None:
        """List what is held here, where the other site needs it.

        A standby does in each epoch, and again when something is to be sent anew: what is listed does not travel.
        A primary does in each epoch that was not the first: the other site may have to find where they parted.
        """
        fence, notes = self.fence, self._notes
        follows, rules = fence.role == "standby", fence.role in RULING and fence.epoch > 1
        held = f"{'standby' if follows else 'primary'} {fence.epoch} {report.request} {' '.join(report.missing)}"
        held = blake3(held.encode()).hexdigest()
        other = self.other() if rules else None
        waiting = other is not None and other.role == "fenced"  # for the list, to fail back: it may have got lost
        if waiting or ((follows or rules) and notes["inventory"] != held):
            listed = self._ends.landing.holding.inventory() if follows else self._turnover.history()
            self._ends.box.write_inventory(listed, self._settings.site)
            notes.put(inventory=held)


def _claimed(report: Report | None) -> Claim | None:
    return Claim(report.role, report.epoch, report.took_over) if report else None


__all__ = ["SWITCHOVER", "Busy", "Ends", "IsthmusError", "Pair", "PairSettings"]
