"""The receiving side of the gate: takes what arrives, verifies it, and applies it in order, and only that.

One round, `Inbound.step`, does this, each part after the one before it has been written down:

1. What a crash left is finished or rolled back: copies nobody speaks of are swept, begun applications looked up.
2. Every arrived bundle is looked at; what may be whole is copied to a private folder and verified there.
3. What verifies is staged and, as soon as it continues where the target stands, applied.
4. What never will be right is set aside with its reason, unparsed, and an alarm tells it.
5. What is missing for too long, and a sender that is silent for too long, are alarms.

Names order the work; headers decide.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from isthmus.core.chain import Verdict, judge
from isthmus.core.errors import InputError, Refused
from isthmus.core.header import BundleName, Header, Kind
from isthmus.core.ports import Carrier, Clock, Target
from isthmus.core.position import Position
from isthmus.state.lock import held, patiently
from isthmus.state.store import Store
from isthmus.transfer.alarm import Alarms
from isthmus.transfer.alarm import Kind as AlarmKind
from isthmus.transfer.applying import Applying
from isthmus.transfer.arrival import (
    ENDED,
    Do,
    Room,
    Unit,
    looked,
    missing,
    needs_snapshot,
    to_evict,
    units,
)
from isthmus.transfer.gate import Step, no_step
from isthmus.transfer.journal import Arrived, Heard, Journal
from isthmus.transfer.limits import Limits
from isthmus.transfer.opened import Opened
from isthmus.transfer.patience import Waited
from isthmus.transfer.quarantine import Quarantine
from isthmus.transfer.refusal import Tampered, TooLarge, Truncated, UnknownKey
from isthmus.transfer.resend import Request
from isthmus.transfer.signing import Allowed
from isthmus.transfer.staging import Staging
from isthmus.transfer.standing import Event, InboundStatus, Staged

_LOCK_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class InboundSettings:
    """How a stream is received. Times in seconds.

    `settle_s`: what does not verify and stays the same for so long never will. `silent_s` 0: silence is no alarm.
    `consume`: what was dealt with is removed from the gate; otherwise the gate is only read. `stale_alarm`: what
    is of an epoch that was ended is set aside with an alarm; otherwise it counts as one that came twice, which is
    right where two sites take turns at sending and each ends the other's epochs.
    """

    gap_alarm_s: float = 900.0
    settle_s: float = 120.0
    silent_s: float = 900.0
    consume: bool = True
    stale_alarm: bool = True
    most_staged: int = 4096
    most_staged_bytes: int = 64 << 30
    most_quarantined: int = 256
    most_quarantined_bytes: int = 8 << 30


class Inbound:
    """Receives one stream. One process at a time works on a staging folder; others get Busy.

    `stream` may be left out where `allowed` names one alone. Files of other streams are left alone.
    """

    def __init__(
        self,
        store: Store,
        staging: Path,
        target: Target,
        carrier: Carrier,
        allowed: Allowed,
        limits: Limits,
        clock: Clock,
        settings: InboundSettings,
        *,
        stream: str | None = None,
        step: Step = no_step,
    ) -> None:
        if stream is None and len(allowed) != 1:
            raise InputError(f"{len(allowed)} streams are allowed here", "say which one is to be received")
        self._stream = stream or next(iter(allowed))
        theirs = {self._stream: allowed.get(self._stream, frozenset())}
        self._target, self._carrier, self._limits = target, carrier, limits
        self._clock, self._settings, self._step = clock, settings, step
        self._journal = Journal(store, self._stream)
        self._alarms = Alarms(store, "inbound", self._stream)
        self._staging = Staging(staging / self._stream, step)
        self._quarantine = Quarantine(
            self._journal,
            self._staging,
            self._alarms,
            settings.most_quarantined,
            settings.most_quarantined_bytes,
            step,
        )
        self._work = Applying(
            self._stream,
            target,
            self._journal,
            self._staging,
            self._quarantine,
            theirs,
            limits,
            step,
            settings.stale_alarm,
        )

    def step(self) -> list[Event]:
        """Do one round; return what happened. A disk that refuses is an alarm, not an error, and nothing is lost.

        Raises Busy where another process is at work or holds the target.
        """
        events: list[Event] = []
        now = self._clock.now()
        try:
            with self._held():
                self._round(now, events)
        except OSError as error:
            if self._alarms.raise_disk(error, now):
                events.append(Event("alarm", "DISK", str(error)))
        else:
            if self._alarms.clear(AlarmKind.DISK):
                events.append(Event("cleared", "DISK"))
        finally:
            self._work.fresh = None
        return events

    def status(self) -> InboundStatus:
        """Tell where the stream stands."""
        rows, heard, standing = self._journal.arrived(), self._journal.heard(), self._target.position(self._stream)
        staged = [row for row in rows.values() if row.state in ("staged", "applying")]
        return InboundStatus(
            self._stream,
            standing,
            heard.latest,
            heard.at,
            tuple(
                Staged(row.unit, row.header.kind.value, row.header.since, row.header.until, row.size)
                for row in staged
                if row.header is not None
            ),
            tuple(row.unit for row in rows.values() if row.state in ("seen", "growing")),
            missing(standing, _stretches(staged), heard.latest),
            needs_snapshot(standing, heard.latest) or heard.stuck,
            tuple(self._journal.set_aside()),
            tuple(self._alarms.raised()),
            heard.counts,
            heard.content,
        )

    def request(self, *, snapshot: bool = False) -> str:
        """Write the line that an operator carries back to the sender; empty where nothing is missing.

        `snapshot` asks for one in any case.
        """
        status = self.status()
        at = max(
            (p for p in (status.latest, status.standing) if p is not None), key=lambda p: p.order, default=None
        )
        if snapshot or status.snapshot_needed:
            return str(Request(self._stream, at.epoch if at else 1))
        stretches = [(one.since, one.until) for one in status.missing]
        return str(Request.of(self._stream, at.epoch, stretches)) if at and stretches else ""

    def dismiss(self, name: str | None = None) -> int:
        """Remove what an operator has looked at from the quarantine, one bundle or all, with its alarms.

        What was refused only for this site's limits or content is then tried again if it still lies in the gate.
        """

        def locked() -> int:
            with self._held():
                return self._quarantine.dismiss(name)

        return patiently(locked, for_s=_LOCK_PATIENCE_S)

    def _held(self) -> AbstractContextManager[None]:
        return held(self._staging.folder / ".lock", f"receiving of stream {self._stream}")

    def _round(self, now: datetime, events: list[Event]) -> None:
        self._work.begin()
        self._work.advance(now, events)
        denied: OSError | None = None
        listing = units(self._carrier.names(), self._stream)
        self._forget({str(unit.name) for unit in listing})
        for unit in listing:
            try:
                self._look(unit, now, events)
            except FileNotFoundError:
                continue  # the gatekeeper took it away again
            except PermissionError as error:
                denied = denied or error
        self._watch(now, events)
        self._quarantine.heal_passed(self._target.position(self._stream), events)
        if denied is not None:
            raise denied

    def _forget(self, there: set[str]) -> None:
        """Forget bundles that lie in the gate no more and of which nothing is kept."""
        gone = [
            name
            for name, row in self._work.rows.items()
            if name not in there and row.state not in ("staged", "applying")
        ]
        if gone:
            self._journal.forget(*gone)
            for name in gone:
                del self._work.rows[name]

    def _look(self, unit: Unit, now: datetime, events: list[Event]) -> None:
        row = self._work.rows.get(str(unit.name))
        if not unit.whole:
            if row is not None and row.state in ENDED:
                self._consume(unit, row)
            return
        stamps, size = self._stamps(unit)
        noticed, do = looked(row.noticed if row else None, stamps, now, self._settings.settle_s)
        if row is not None and noticed.state in ("staged", "applying", *ENDED):
            if noticed.state in ENDED:
                self._consume(unit, row)  # a crash may have come before
            return
        row = replace(row or Arrived(str(unit.name), noticed), noticed=noticed, size=size)
        if do is Do.WAIT:
            self._work.write(row)
            return
        self._take(unit, row, do, now, events)

    def _take(self, unit: Unit, row: Arrived, do: Do, now: datetime, events: list[Event]) -> None:
        """Copy and verify a bundle, and stage it, wait for it, or set it aside."""
        tried = replace(row, noticed=replace(row.noticed, tried=row.noticed.stamp))
        if row.size > self._limits.most_file_bytes:
            most = self._limits.most_file_bytes
            why = f"it has {row.size:,} bytes, {most:,} at most are allowed; it was left in the gate"
            self._work.refuse(tried, AlarmKind.REFUSED, why, now, events)
            return
        if not self._make_room(unit, row.size, events):
            self._work.write(row)
            return
        begin = time.perf_counter()
        copies = self._staging.take(unit, self._carrier)
        changed = self._stamps(unit)[0] != tried.noticed.stamp
        try:
            opened = self._work.open(unit.name, copies)
            opened = replace(opened, received_s=time.perf_counter() - begin)
        except (Truncated, Tampered) as error:
            why = _without_place(error.what, copies)
            if do is Do.LAST and not changed:
                kind = AlarmKind.TRUNCATED if isinstance(error, Truncated) else AlarmKind.TAMPERED
                self._work.refuse(tried, kind, why, now, events)
                return
            self._staging.drop(row.unit)
            self._work.write(tried.after("unfinished", why))
            events.append(Event("growing", row.unit, why))
        except UnknownKey as error:
            self._work.refuse(tried, AlarmKind.UNKNOWN_KEY, _without_place(error.what, copies), now, events)
        except (TooLarge, Refused) as error:
            self._work.refuse(tried, AlarmKind.REFUSED, _without_place(str(error), copies), now, events)
        else:
            self._stage(unit, replace(tried.after("verified"), header=opened.header), opened, now, events)

    def _stage(self, unit: Unit, row: Arrived, opened: Opened, now: datetime, events: list[Event]) -> None:
        self._step("inbound verified")
        self._staging.keep(unit.name)
        self._work.write(row, self._listened(opened.header, now))
        self._step("inbound staged")
        events.append(Event("staged", row.unit))
        self._quarantine.heal_unit(row.unit, events)
        self._work.fresh = row.unit, opened
        self._work.advance(now, events)
        if self._work.rows[row.unit].state in ENDED:
            self._consume(unit, self._work.rows[row.unit])

    def _listened(self, header: Header, now: datetime) -> Heard | None:
        """Return what a verified header tells of the sender, where that is new."""
        heard, until = self._journal.heard(), header.until
        if judge(header, self._target.position(self._stream), self._work.seen) in (Verdict.FORK, Verdict.STALE):
            return None
        further = heard.latest is None or until.order > heard.latest.order
        later = heard.latest == until and (heard.made is None or header.made > heard.made)
        told = header.counts if header.kind is not Kind.INCREMENT else {}
        if further or later:
            content = told or ({} if further else heard.content)
            return replace(heard, latest=until, made=header.made, at=now, silent=Waited(now), content=content)
        if told and heard.latest == until and not heard.content:
            return replace(heard, content=told)
        return None  # a repetition: it does not prove that the sender lives

    def _make_room(self, unit: Unit, size: int, events: list[Event]) -> bool:
        staged = {row.unit: row for row in self._work.rows.values() if row.state == "staged"}
        names = [(name, row.size) for text, row in staged.items() if (name := BundleName.of(text)) is not None]
        room = Room(self._settings.most_staged, self._settings.most_staged_bytes)
        evicted = to_evict((unit.name, size), names, room)
        for text in evicted or ():
            self._work.lose(staged[text])
            events.append(Event("evicted", text, f"{unit.name} comes before it"))
        return evicted is not None

    def _stamps(self, unit: Unit) -> tuple[str, int]:
        """Return the stamp of all files of a bundle, and their size in bytes."""
        looks = {name: self._carrier.look(name) for name in unit.files.values()}
        stamps = {name: f"{look.size} {look.stamp}" for name, look in looks.items()}
        return json.dumps(stamps, sort_keys=True), sum(look.size for look in looks.values())

    def _consume(self, unit: Unit, row: Arrived) -> None:
        """Remove what was dealt with from the gate, where it is still what was dealt with."""
        if not self._settings.consume or row.size > self._limits.most_file_bytes:
            return
        tried = json.loads(row.noticed.tried or "{}")
        for name in unit.files.values():
            look = self._carrier.look(name)
            if tried.get(name) == f"{look.size} {look.stamp}":
                self._carrier.drop(name)
                self._step("inbound dropped")

    def _watch(self, now: datetime, events: list[Event]) -> None:
        """Raise and clear the alarms of waiting: GAP and SILENT."""
        heard, settings = self._journal.heard(), self._settings
        status = self.status()
        begin = f"{status.missing[0].epoch}/{status.missing[0].since}" if status.missing else ""
        begin = "snapshot" if status.snapshot_needed else begin
        gap = None
        if begin:
            going = heard.gap is not None and heard.gap_begin == begin
            gap = heard.gap.again(now, settings.gap_alarm_s) if going and heard.gap else Waited(now)
        silent = heard.silent.again(now, settings.silent_s) if heard.silent else Waited(now)
        if (gap, silent) != (heard.gap, heard.silent):
            self._journal.write(heard=replace(heard, gap=gap, gap_begin=begin, silent=silent))
        if gap is not None and gap.enough(settings.gap_alarm_s):
            self._alarm(AlarmKind.GAP, f"missing {_words(status)}; request: {self.request()}", now, events)
        elif gap is None and self._alarms.clear(AlarmKind.GAP):
            events.append(Event("cleared", "GAP"))
        if settings.silent_s > 0 and silent.enough(settings.silent_s):
            last = f"since {heard.at.isoformat(timespec='seconds')}" if heard.at else "at all so far"
            self._alarm(AlarmKind.SILENT, f"nothing new was heard from the sender {last}", now, events)
        elif self._alarms.clear(AlarmKind.SILENT):
            events.append(Event("cleared", "SILENT"))

    def _alarm(self, kind: AlarmKind, what: str, now: datetime, events: list[Event]) -> None:
        if self._alarms.raise_(kind, what, now):
            events.append(Event("alarm", kind.name, what))


def _without_place(why: str, copies: Mapping[str, Path]) -> str:
    """Leave out where the private copy of a bundle lay: it does no more when somebody reads this."""
    for ending, copy in copies.items():
        why = why.replace(f"{copy}: ", f"{ending}: " if len(copies) > 1 else "")
    return why


def _stretches(rows: list[Arrived]) -> list[tuple[Position, Position]]:
    headers = [row.header for row in rows if row.header is not None and row.header.kind is Kind.INCREMENT]
    return [(header.since, header.until) for header in headers]


def _words(status: InboundStatus) -> str:
    stretches = ", ".join(f"{one.epoch}/{one.since + 1}–{one.until}" for one in status.missing[:4])
    more = ", …" if len(status.missing) > 4 else ""
    return f"a snapshot ({stretches}{more})" if status.snapshot_needed else f"changes {stretches}{more}"
