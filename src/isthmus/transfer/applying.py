"""Applies staged bundles in order, and only those that continue where the target stands.

The target's own position is the only truth about what was applied: a row of the journal that says "applying" is
looked up there after a crash. What continues the stream but cannot be applied leaves it stuck until a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from isthmus.core.chain import Verdict
from isthmus.core.errors import Corrupt, Diverged, Refused
from isthmus.core.header import BundleName, Header, Kind
from isthmus.core.ports import Target
from isthmus.transfer.alarm import Kind as AlarmKind
from isthmus.transfer.arrival import fits, verdicts
from isthmus.transfer.formats import open_files
from isthmus.transfer.gate import Step
from isthmus.transfer.journal import Arrived, Heard, Journal
from isthmus.transfer.limits import Limits
from isthmus.transfer.opened import Opened
from isthmus.transfer.quarantine import Quarantine
from isthmus.transfer.refusal import Tampered, Truncated, UnknownKey
from isthmus.transfer.signing import Allowed
from isthmus.transfer.staging import Staging
from isthmus.transfer.standing import Event

_COUNTS = {"duplicate": "duplicates", "beat": "heartbeats"}


class Applying:
    """The staged bundles of one stream, on their way into the target.

    `rows` are the journal's rows during a round; `fresh` is the bundle that was verified last, still open.
    """

    def __init__(
        self,
        stream: str,
        target: Target,
        journal: Journal,
        staging: Staging,
        quarantine: Quarantine,
        allowed: Allowed,
        limits: Limits,
        step: Step,
        stale_alarm: bool = True,
    ) -> None:
        self._stale_alarm = stale_alarm
        self._stream, self._target, self._journal = stream, target, journal
        self._staging, self._quarantine, self._step = staging, quarantine, step
        self._allowed, self._limits = allowed, limits
        self.rows: dict[str, Arrived] = {}
        self.fresh: tuple[str, Opened] | None = None

    def begin(self) -> None:
        """Read the journal anew, and finish or roll back what a crash left."""
        self.rows = self._journal.arrived()
        self._recover()

    def _recover(self) -> None:
        """Finish or roll back what a crash left."""
        for row in list(self.rows.values()):
            if row.state == "applying" and row.header is not None:
                done = self._target.position(self._stream) == row.header.until
                if done:
                    self._applied(row, row.header, 0, 0)
                else:
                    self.write(row.after("rolled back"))
        for name in self._staging.held():
            state = self.rows[name].state if name in self.rows else ""
            if state == "quarantined":
                self._quarantine.finish(name)
            elif state != "staged":
                self._staging.drop(name)

    def advance(self, now: datetime, events: list[Event]) -> None:
        """Deal with staged bundles in order, until all that are left have to wait."""
        while True:
            staged = sorted(
                (
                    (row.unit, row.header)
                    for row in self.rows.values()
                    if row.state == "staged" and row.header is not None
                ),
                key=lambda one: (one[1].until.order, one[1].kind is Kind.HEARTBEAT, one[0]),
            )
            standing = self._target.position(self._stream)
            found = verdicts(staged, standing, self.seen)
            if found is None:
                return
            row = self.rows[found[0]]
            header = row.header
            assert header is not None
            if found[1] in (Verdict.NEXT, Verdict.SNAPSHOT):
                self._apply(row, header, now, events)
            elif found[1] in (Verdict.DUPLICATE, Verdict.BEAT):
                self._finish(row, "duplicate" if found[1] is Verdict.DUPLICATE else "beat", events)
            elif found[1] is Verdict.FORK:
                why = f"it tells of {header.until}; what was applied, up to {standing}, says otherwise"
                self.refuse(row, AlarmKind.FORK, why, now, events)
            elif not self._stale_alarm:
                self._finish(row, "duplicate", events)
            else:
                why = f"it is of epoch {header.until.epoch}, which was ended (the target stands at {standing})"
                self.refuse(row, AlarmKind.STALE, why, now, events)

    def open(self, name: BundleName, copies: Mapping[str, Path]) -> Opened:
        """Verify the copies of a bundle. Raises what `open_files` raises, Tampered for another bundle's name."""
        opened = open_files(name, copies, self._allowed, self._limits)
        if not fits(name, opened.header):
            raise Tampered.at(
                name, f"its header tells of {opened.header.kind.value} {opened.header.until}: renamed"
            )
        return opened

    def write(self, row: Arrived, heard: Heard | None = None) -> Arrived:
        """Write a row, and what is known of the sender with it."""
        self._journal.write(row, heard=heard)
        self.rows[row.unit] = row
        return row

    def refuse(self, row: Arrived, kind: AlarmKind, why: str, now: datetime, events: list[Event]) -> None:
        """Set a bundle aside, with an alarm."""
        row = row.after("refused", why)
        self._quarantine.put(row, kind, why, now, events)
        self.rows[row.unit] = row

    def lose(self, row: Arrived) -> None:
        """Give a staged copy up: if it still lies in the gate it is taken again, else it is missing again."""
        row = row.after("lost")
        self.write(replace(row, noticed=replace(row.noticed, tried=""), header=None))
        self._staging.drop(row.unit)

    def seen(self, epoch: int, seq: int) -> str | None:
        """Return the digest that the target had at a position; None where it does not know."""
        return self._target.seen(self._stream, epoch, seq)

    def _finish(self, row: Arrived, event: str, events: list[Event]) -> None:
        """End what needs no application."""
        row = self.write(row.after(event), self._journal.heard().counted(**{_COUNTS[event]: 1}))
        self._staging.drop(row.unit)
        self._step("inbound finished")
        name = BundleName.of(row.unit)
        if event == "beat" and name is not None:
            self._quarantine.heal_beats(name, events)
        events.append(Event(row.state, row.unit))

    def _apply(self, row: Arrived, header: Header, now: datetime, events: list[Event]) -> None:
        name = BundleName.of(row.unit)
        assert name is not None
        known = self._quarantine.same_failed(name)
        row = self.write(row.after("begin"))
        self._step("inbound applying")
        if known is not None:  # it came again: nothing has changed, so it would only fail again
            self._stuck(row, AlarmKind[known.kind], known.why, now, events)
            return
        try:
            fresh = self.fresh
            opened = fresh[1] if fresh and fresh[0] == row.unit else self.open(name, self._staging.copies(name))
            applied = self._target.apply(opened)
        except Diverged as error:
            self._stuck(row, AlarmKind.DIVERGED, error.what, now, events)
        except (Tampered, Truncated, UnknownKey, FileNotFoundError) as error:
            self.lose(row.after("rolled back"))  # our copy is not any more what was verified
            events.append(Event("lost", row.unit, str(error)))
        except (Corrupt, Refused) as error:
            self._stuck(row, AlarmKind.REFUSED, str(error), now, events)
        else:
            self._step("inbound applied")
            self._applied(row, header, applied.changes, applied.refused)
            detail = f"{applied.changes} changes to {header.until}"
            events.append(
                Event("applied", row.unit, detail + (f", {applied.refused} refused" if applied.refused else ""))
            )

    def _applied(self, row: Arrived, header: Header, changes: int, refused: int) -> None:
        counts = {"applied": 1, "changes": changes, "refused changes": refused}
        if header.kind is Kind.SNAPSHOT:
            counts["snapshots"] = 1
        self.write(row.after("done"), replace(self._journal.heard().counted(**counts), stuck=False))
        self._staging.drop(row.unit)
        self._step("inbound finished")

    def _stuck(self, row: Arrived, kind: AlarmKind, why: str, now: datetime, events: list[Event]) -> None:
        """Set aside what continues the stream but cannot be applied: now only a snapshot helps."""
        self._journal.write(heard=replace(self._journal.heard(), stuck=True))
        self.refuse(row, kind, why, now, events)
