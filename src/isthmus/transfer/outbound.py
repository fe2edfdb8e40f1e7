"""The sending side of the gate: cuts the stream into bundles, hands them over, repeats what may have been lost.

Nothing ever comes back from the other side, so everything here is by clock and by request:

1. What a crash left unfinished is finished first, to the same bytes.
2. Changes are cut when they fill a file or have waited long enough.
3. A snapshot is sent by schedule, on demand, at the beginning of an epoch, and where changes are no longer kept.
4. The carousel sends the last files again; a heartbeat tells how far the stream is.
5. Files beyond those that are to be kept, or of an ended epoch, are removed, from the outbox and from the gate. A
   source that knows what the receiver still needs has those kept, however many they are.

A source that stands before what was already sent (an old backup was restored) stops the sending: a new epoch is
needed, or two histories would go by the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from isthmus.core.errors import InputError
from isthmus.core.header import Kind
from isthmus.core.ports import Carrier, Clock, Cut, Source
from isthmus.core.position import Position
from isthmus.state.lock import held, patiently
from isthmus.state.store import Store
from isthmus.transfer.alarm import Alarms
from isthmus.transfer.alarm import Kind as AlarmKind
from isthmus.transfer.gate import Step, no_step
from isthmus.transfer.ledger import Bundled, Ledger
from isthmus.transfer.patience import due
from isthmus.transfer.resend import Request
from isthmus.transfer.sealing import MovedOn, Sealing, cut_again
from isthmus.transfer.sending import OutboundSettings, Paced, Send, Sending, told, unpaced
from isthmus.transfer.signing import SigningKey
from isthmus.transfer.standing import OutboundStatus

__all__ = ["Outbound", "OutboundSettings", "OutboundStatus"]

KEPT_BEATS = 2
_TRIES = 4
_LOCK_PATIENCE_S = 60.0


def _unknown() -> None:
    return None


class Outbound:
    """Sends one stream. One process at a time works on an outbox; others get Busy."""

    def __init__(
        self,
        store: Store,
        outbox: Path,
        source: Source,
        carrier: Carrier,
        key: SigningKey,
        site: str,
        clock: Clock,
        settings: OutboundSettings,
        step: Step = no_step,
        needed: Callable[[], tuple[int, int] | None] = _unknown,
        paced: Paced = unpaced,
    ) -> None:
        """`needed` tells from which (epoch, seq) on the receiver may lack what was sent: all that is kept.

        `paced` is told how long the packing and the sending of each bundle took.
        """
        self._outbox, self._source, self._carrier, self._clock = outbox, source, carrier, clock
        self._settings, self._step, self._stream, self._needed = settings, step, source.stream, needed
        self._ledger = Ledger(store, self._stream)
        self._alarms = Alarms(store, "outbound", self._stream)
        self._sealing = Sealing(outbox, self._stream, source.key, site, key, step, settings.level)
        self._sending = Sending(self._ledger, self._sealing, carrier, outbox, settings.parallel, step, paced)
        self._looked: tuple[Position, Position] | None = None
        self._pending = 0

    def step(self) -> list[str]:
        """Do one round of all that is due; return what was done, in words. A full disk is an alarm, not an error.

        Raises Busy where another process is at work, InputError where the source refuses.
        """
        events: list[str] = []
        now = self._clock.now()
        try:
            with self._held():
                self._round(now, events)
        except OSError as error:
            if self._alarms.raise_disk(error, now):
                events.append(f"alarm DISK: {error}")
        else:
            if self._alarms.clear(AlarmKind.DISK):
                events.append("cleared DISK")
        return events

    def snapshot(self) -> list[str]:
        """Send the whole content now, whatever the schedule says. Raises OSError; the next round then finishes."""
        return self._alone(lambda events: self._whole(self._clock.now(), events))

    def resend(self, line: str) -> list[str]:
        """Send again what a request line asks for, and a snapshot in place of what cannot be had any more.

        Raises InputError where the line is mistyped or asks for what never was, OSError.
        """
        request = Request.read(line)
        head = self._ledger.head().head
        if request.stream != self._stream:
            raise InputError(
                f"the line asks for stream {request.stream!r}, this is {self._stream!r}", "ask the right site"
            )
        last = request.stretches[-1][1] if request.stretches else 0
        if head is None or (request.epoch, last) > head.order:
            raise InputError(
                f"the line asks for changes up to {request.epoch}/{last}, but only {head or 'nothing'} was sent",
                "see that the receiver takes this sender's files, and no other's of the same stream",
            )
        return self._alone(lambda events: self._answer(request, head, events))

    def status(self) -> OutboundStatus:
        """Tell where the sending stands."""
        head, kept = self._ledger.head(), self._ledger.in_state("sent")
        return OutboundStatus(
            self._stream,
            head.head,
            self._source.position(),
            tuple(name for row in kept for name in row.files),
            tuple(f"{row.kind.value} {row.until}" for row in self._ledger.in_state("recorded", "sealed")),
            head.beat,
            head.carousel,
            head.heartbeat,
            head.snapshot,
            tuple(self._alarms.raised()),
        )

    def _held(self) -> Any:
        return held(self._outbox / ".lock", f"sending of stream {self._stream}")

    def _alone(self, work: Callable[[list[str]], None]) -> list[str]:
        def locked() -> list[str]:
            events: list[str] = []
            with self._held():
                lost = self._resume(events)
                if not self._parted(events):
                    self._heal(lost, events)
                    work(events)
            return events

        return patiently(locked, for_s=_LOCK_PATIENCE_S)

    def _round(self, now: datetime, events: list[str]) -> None:
        lost = self._resume(events)
        if self._parted(events):
            return
        self._heal(lost, events)
        self._cut(now, events)
        head = self._ledger.head()
        if due(head.snapshot, now, self._settings.snapshot_s) and self._source.position().seq:
            self._whole(now, events)
        if due(head.carousel, now, self._settings.carousel_s):
            self._carousel(now, events)
        if due(head.heartbeat, now, self._settings.heartbeat_s):
            self._beat(now, events)
        self._retire(events)

    def _beat(self, now: datetime, events: list[str]) -> None:
        """Send a heartbeat of the last position sent, with its counts where the source still stands there."""
        at = self._ledger.head().head or Position(self._source.position().epoch, 0)
        counts = self._source.counts()
        told = counts if self._source.position() == at else {}  # positions never come back, so none was between
        row = replace(self._row(Kind.HEARTBEAT, at, at, now), counts=told)
        self._send(row, cut_again(self._source, row), events)

    def _resume(self, events: list[str]) -> list[Bundled]:
        """Finish what a crash or a full disk left, oldest first; return what is lost, though more followed."""
        gone: list[Bundled] = []
        with self._sending.lanes(events) as send:
            for row in self._ledger.in_state("recorded", "sealed"):
                if row.state == "sealed" and not self._lies(row):
                    row = self._ledger.change(row, "lost")
                try:
                    send(row, cut_again(self._source, row) if row.state == "recorded" else None)
                except MovedOn as error:
                    gone.append(row)
                    events.append(f"gave up an unfinished {row.kind.value}: {error.what}")
        lost: list[Bundled] = []
        for row in reversed(gone):
            if self._ledger.followed(row):
                lost.append(row)
                continue
            self._ledger.abandon(row, self._ledger.before(row))
            self._ledger.note(**({"snapshot": None} if row.kind is Kind.SNAPSHOT else {"pending": row.made}))
        return lost

    def _heal(self, lost: list[Bundled], events: list[str]) -> None:
        """Send a snapshot where increments in between cannot be had any more; only then are they forgotten."""
        if lost:
            self._whole(self._clock.now(), events)
        for row in lost:
            self._ledger.abandon(row, self._ledger.head().head)

    def _parted(self, events: list[str]) -> bool:
        """Tell whether the source stands before what was sent already, and raise or clear the alarm."""
        head, position = self._ledger.head().head, self._source.position()
        apart = head is not None and (
            position.order < head.order or (position.order == head.order and position != head)
        )
        if apart:
            what = f"the source stands at {position}, {head} was sent already: nothing is sent before a new epoch"
            if self._alarms.raise_(AlarmKind.FORK, what, self._clock.now()):
                events.append(f"alarm FORK: {what}")
        elif self._alarms.clear(AlarmKind.FORK):
            events.append("cleared FORK")
        return apart

    def _cut(self, now: datetime, events: list[str]) -> None:
        """Cut what fills files or has waited long enough."""
        with self._sending.lanes(events) as send:
            whole = self._cut_due(now, send)
        if whole:
            self._whole(now, events)

    def _cut_due(self, now: datetime, send: Send) -> bool:
        """Cut what is due; return whether only a snapshot leads on, in a new epoch or where changes are gone."""
        while True:
            head, position = self._ledger.head(), self._source.position()
            begin = head.head or Position(position.epoch, 0)
            if begin == position:
                return False
            if begin.epoch != position.epoch or not position.seq:
                return True
            if head.pending is None:
                self._ledger.note(pending=now)
                head = replace(head, pending=now)
            waited = self._settings.cut_s <= 0 or due(head.pending, now, self._settings.cut_s)
            try:
                if not waited and not self._full(begin, position):
                    return False
                cut = self._source.after(begin, self._settings.cut_bytes)
            except InputError:
                return True
            if cut is None:
                return False
            send(self._recorded(self._row(Kind.INCREMENT, cut.since, cut.until, now)), cut)

    def _full(self, begin: Position, position: Position) -> bool:
        """Tell whether the changes fill a file. Cutting them to see would fix where they are cut."""
        if (begin, position) != self._looked:
            self._looked, self._pending = (begin, position), self._source.pending(begin)
        return self._pending >= self._settings.cut_bytes

    def _whole(self, now: datetime, events: list[str]) -> None:
        """Send a snapshot; the increments before it are cut first, so that the next one begins where it ends."""
        for _ in range(_TRIES):
            self._cut_up(now, events)
            cut = self._source.snapshot()
            if cut.until == self._ledger.head().head:
                break  # else somebody wrote in between: once more, and at last the snapshot alone leads on
        old = self._ledger.snapshot_at(cut.until, self._settings.format)
        if old is not None and self._again(old, events):
            self._ledger.note(snapshot=now)
            return
        self._send(self._row(Kind.SNAPSHOT, cut.since, cut.until, now), cut, events)

    def _cut_up(self, now: datetime, events: list[str]) -> None:
        """Cut everything up to the source's position, as far as changes are kept."""
        with self._sending.lanes(events) as send:
            while True:
                head, position = self._ledger.head().head, self._source.position()
                begin = head or Position(position.epoch, 0)
                if begin.epoch != position.epoch or begin == position:
                    return
                try:
                    cut = self._source.after(begin, self._settings.cut_bytes)
                except InputError:
                    return
                if cut is None:
                    return
                send(self._recorded(self._row(Kind.INCREMENT, cut.since, cut.until, now)), cut)

    def _row(self, kind: Kind, since: Position, until: Position, now: datetime) -> Bundled:
        settings = self._settings
        return Bundled(0, "recorded", kind, since, until, settings.format, now, settings.cut_bytes, None, {}, 0)

    def _recorded(self, row: Bundled) -> Bundled:
        """Write a bundle down before its file is made."""
        row = self._ledger.record(row)
        self._step("outbound recorded")
        return row

    def _send(self, row: Bundled, cut: Cut, events: list[str]) -> None:
        self._sending.finish(self._recorded(row), cut, events)

    def _lies(self, row: Bundled) -> bool:
        return all((self._outbox / name).is_file() for name in row.files)

    def _again(self, row: Bundled, events: list[str]) -> bool:
        """Send a bundle again, from the outbox or made anew; False where it would not come out the same."""
        if row.state == "sent" and not self._lies(row):
            row = self._ledger.change(row, "lost")
        if row.state == "retired":
            try:
                files = self._sealing.seal(row, cut_again(self._source, row))
            except MovedOn:
                return False
            if files != row.files:  # another key or release: the name is taken by other bytes
                self._remove(files)
                return False
            row = self._ledger.change(row, "made anew")
        self._sending.put(row)
        events.append(told(row, "sent again"))
        return True

    def _answer(self, request: Request, head: Position, events: list[str]) -> None:
        """Send what was asked for, as far as the same bytes can be had; else a snapshot."""
        if not request.stretches or request.epoch != head.epoch:
            self._whole(self._clock.now(), events)
            return
        wanted: dict[int, Bundled] = {}
        whole = False
        for since, until in request.stretches:
            rows = self._ledger.increments(request.epoch, since, until)
            whole = whole or not covers([(row.since.seq, row.until.seq) for row in rows], since, until)
            wanted.update((row.number, row) for row in rows)
        whole = whole or len(self._idle(wanted.values())) > self._settings.keep_files
        if whole or not all(self._again(row, events) for row in wanted.values()):
            self._whole(self._clock.now(), events)

    def _carousel(self, now: datetime, events: list[str]) -> None:
        for row in self._last_sent():
            if self._lies(row):
                self._again(row, events)
            else:
                self._ledger.change(row, "lost")
        self._ledger.note(carousel=now)

    def _last_sent(self) -> list[Bundled]:
        sent = [row for row in self._ledger.in_state("sent") if row.kind is not Kind.HEARTBEAT]
        epoch = self._epoch()
        files = [row for row in sent if row.until.epoch >= epoch]
        return files[len(files) - min(len(files), self._settings.carousel_files) :]

    def _retire(self, events: list[str]) -> None:
        """Remove files beyond those to be kept, and those of too long ago: they hold what was removed since."""
        rows = sorted(self._ledger.in_state("sent"), key=lambda row: row.sent)
        files = [row for row in rows if row.kind is not Kind.HEARTBEAT]
        beats = [row for row in rows if row.kind is Kind.HEARTBEAT]
        turning = {row.number for row in self._last_sent()}
        files = self._idle(files)
        old = [row for row in files[: -self._settings.keep_files] if row.number not in turning]
        epoch = self._epoch()
        ended = [row for row in rows if row.until.epoch < epoch]  # receivers refuse these, with an alarm
        eldest = self._clock.now() - timedelta(seconds=self._settings.keep_s)
        aged = [row for row in files if row.made < eldest]
        for row in {row.number: row for row in (*old, *beats[:-KEPT_BEATS], *ended, *aged)}.values():
            self._remove(row.files)
            for name in row.files:
                self._carrier.drop(name)
            self._ledger.change(row, "retired")
            self._step("outbound retired")
            if row.kind is not Kind.HEARTBEAT:
                events.append(f"retired {row.kind.value} {row.until}")
        known = {name for row in self._ledger.in_state("sealed", "sent") for name in row.files}
        self._sealing.sweep()
        self._remove(  # what a crash left while a file was made again
            file.name
            for file in self._outbox.iterdir()
            if not file.name.startswith(".") and file.name not in known
        )
        self._ledger.trim()

    def _idle(self, rows: Iterable[Bundled]) -> list[Bundled]:
        """Leave out what the receiver is known to need."""
        first = self._needed()
        return [row for row in rows if first is None or row.until.order < first]

    def _epoch(self) -> int:
        """Return the epoch that was sent last; 0 before anything was."""
        head = self._ledger.head().head
        return head.epoch if head is not None else 0

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self._outbox / name).unlink(missing_ok=True)


def covers(pieces: Iterable[tuple[int, int]], since: int, until: int) -> bool:
    """Tell whether pieces (since, until], sorted, leave nothing of a stretch out."""
    for begin, end in pieces:
        if begin > since:
            return False
        since = max(since, end)
    return since >= until
