"""What was set aside: its files with the reason, its row, its alarm; and when an alarm is no longer needed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from isthmus.core.header import BundleName
from isthmus.core.position import Position
from isthmus.transfer.alarm import Alarms, Kind
from isthmus.transfer.arrival import rank
from isthmus.transfer.gate import Step
from isthmus.transfer.journal import Arrived, Journal, SetAside
from isthmus.transfer.staging import Staging
from isthmus.transfer.standing import Event

_OF_THE_COPY = frozenset((Kind.TRUNCATED.name, Kind.TAMPERED.name, Kind.UNKNOWN_KEY.name))
_OF_THE_WAY = frozenset((Kind.TRUNCATED.name, Kind.REFUSED.name, Kind.DIVERGED.name))
_OF_THIS_SITE = frozenset((Kind.REFUSED.name, Kind.DIVERGED.name))


class Quarantine:
    """The quarantine of one stream, bounded: beyond `most` bundles or `most_bytes` the oldest are removed."""

    def __init__(
        self, journal: Journal, staging: Staging, alarms: Alarms, most: int, most_bytes: int, step: Step
    ) -> None:
        self._journal, self._staging, self._alarms = journal, staging, alarms
        self._most, self._most_bytes, self._step = most, most_bytes, step

    def put(self, row: Arrived, kind: Kind, why: str, now: datetime, events: list[Event]) -> None:
        """Set a refused bundle aside. The alarm first, the row next, the files last: a crash leaves no silence."""
        if self._alarms.raise_(kind, f"{row.unit}: {why}", now, row.unit):
            events.append(Event("alarm", kind.name, row.unit))
        digest, size = self._staging.digest(_name(row.unit))
        aside = SetAside(row.unit, digest, kind.name, why, now, size)
        self._journal.write(row, heard=self._journal.heard().counted(quarantined=1), aside=aside)
        self._step("inbound quarantined")
        self._staging.set_aside(aside)
        self._bound()
        events.append(Event("quarantined", row.unit, f"{kind.name}: {why}"))

    def finish(self, unit: str) -> None:
        """Move files into the quarantine that a crash left among the copies."""
        digest, _ = self._staging.digest(_name(unit))
        for row in self._journal.set_aside():
            if (row.unit, row.digest) == (unit, digest):
                self._staging.set_aside(row)
                return
        self._staging.drop(unit)

    def same_failed(self, name: BundleName) -> SetAside | None:
        """Return what the quarantine holds of a bundle with the same bytes that could not be applied here."""
        rows = [row for row in self._journal.set_aside() if row.unit == str(name) and row.kind in _OF_THIS_SITE]
        if not rows:
            return None
        digest, _ = self._staging.digest(name)
        return next((row for row in rows if row.digest == digest), None)

    def heal_unit(self, unit: str, events: list[Event]) -> None:
        """Clear what was wrong with earlier copies of a bundle: an authentic one has come."""
        self._heal(lambda row: row.unit == unit and row.kind in _OF_THE_COPY, events)

    def heal_beats(self, name: BundleName, events: list[Event]) -> None:
        """Clear what was wrong with heartbeats before this one."""

        def earlier(row: SetAside) -> bool:
            other = _name(row.unit)
            return other.beat is not None and rank(other) < rank(name) and row.kind in _OF_THE_COPY

        self._heal(earlier, events)

    def heal_passed(self, standing: Position | None, events: list[Event]) -> None:
        """Clear what is needed no more, because the receiver stands past it."""

        def passed(row: SetAside) -> bool:
            name = _name(row.unit)
            return row.kind in _OF_THE_WAY and standing is not None and (name.epoch, name.seq) <= standing.order

        self._heal(passed, events)

    def dismiss(self, unit: str | None) -> int:
        """Remove one bundle or all, with their alarms; what this site alone refused may be tried again."""
        rows = [row for row in self._journal.set_aside() if unit in (None, row.unit)]
        self._remove(rows)
        self._journal.forget(*(row.unit for row in rows if row.kind in _OF_THIS_SITE))
        return len(rows)

    def _heal(self, which: Callable[[SetAside], bool], events: list[Event]) -> None:
        rows = [row for row in self._journal.set_aside() if not row.healed and which(row)]
        if rows:
            self._journal.heal(*rows)
        cleared = [row for row in rows if self._alarms.clear(Kind[row.kind], row.unit)]
        events.extend(Event("cleared", row.kind, row.unit) for row in cleared)

    def _bound(self) -> None:
        rows = self._journal.set_aside()
        size, old = sum(row.size for row in rows), []
        while rows and (len(rows) > self._most or size > self._most_bytes):
            old.append(rows.pop(0))
            size -= old[-1].size
        if old:
            self._remove(old)

    def _remove(self, rows: list[SetAside]) -> None:
        for row in rows:
            self._staging.dismiss(row)
            self._alarms.dismiss(row.unit)
        self._journal.dismiss(*rows)


def _name(unit: str) -> BundleName:
    name = BundleName.of(unit)
    assert name is not None, unit
    return name
