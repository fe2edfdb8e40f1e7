"""Backup rounds: one at a time, each step written down before it is taken, none left half done.

A round goes through the rows of `recovery.states.BACKUP`. Whatever dies on the way, the next start finishes or
rolls back: a round that was not sealed lets go of its tags and staged files and counts as failed; a sealed one
goes on, since the sender cuts its parts from the rows and from what lies aside. Tags and folders that no round
speaks of are let go too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from isthmus.core.errors import Busy, IsthmusError
from isthmus.core.ports import Clock
from isthmus.core.position import Position
from isthmus.recovery.barrier import Barrier, Named
from isthmus.recovery.capture import Capture, Captured, Moved, Published
from isthmus.recovery.pace import Paces
from isthmus.recovery.round import LIVE, Part, Round, mark_after
from isthmus.recovery.rounds import Overtaken, Rounds
from isthmus.recovery.sealing import ALONE, parts_of
from isthmus.recovery.shards import Shards
from isthmus.recovery.source import RoundSource
from isthmus.state.lock import held
from isthmus.state.store import Store
from isthmus.transfer.gate import Step, no_step
from isthmus.warehouse.catalog import Catalog

__all__ = ["Backup", "BackupSettings", "Published", "Round"]

_UNSEALED = ("INIT", "CUT", "PIN", "STAGE", "SEAL")
_ENDING = ("UNPIN", "FAILED")


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """How rounds are taken.

    `part_bytes`: what of contents a part holds at most. `local_reserve`: so many rounds that no standby confirmed
    are kept at most, 0 is no limit. `lease_s`: where nothing comes back, what was sent is kept for so long, 0 is
    for ever. `prove_all`: prove every file in every round, also those that were proven before. `width`: so many
    files are proven at once. `most_tries`: how often a cut is made again for tables that move. `shards`: files of
    one pair of them travel together, apart from those of the others.
    """

    stream: str = "recovery"
    part_bytes: int = 64 << 20
    local_reserve: int = 0
    lease_s: float = 7 * 86_400.0
    prove_all: bool = False
    width: int = 4
    most_tries: int = 20
    shards: Shards = ALONE

    def __post_init__(self) -> None:
        if (
            self.part_bytes < 1
            or self.local_reserve < 0
            or self.lease_s < 0
            or min(self.width, self.most_tries) < 1
        ):
            raise ValueError(
                f"{self}: sizes, times and counts are not negative, part_bytes and counts of work not 0"
            )


class Backup:
    """Takes the rounds of one stream. One process at a time takes a round; others get Busy."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        folder: Path,
        published: Callable[[], Sequence[Published]],
        clock: Clock,
        settings: BackupSettings,
        step: Step = no_step,
        named: Callable[[], Named] = dict,
    ) -> None:
        """`folder` takes what lies aside: on the file system of the tables, or else files are copied there.

        `published` tells the published tables; it is asked in each reading of a cut. `named` tells the
        publications, which go along for the day on which the other site takes over.
        """
        self._folder, self._published, self._named, self._clock = folder, published, named, clock
        self._settings, self._step = settings, step
        self._rounds = Rounds(store, settings.stream)
        self.paces = Paces(store, settings.stream)
        """How fast the rounds were packed and sent."""
        self._capture = Capture(catalog, folder, settings.stream, clock, settings.width, step)
        self.source = RoundSource(self._rounds, self._capture.folder, clock)
        """The sealed rounds, for the sender."""

    @property
    def full_due(self) -> str:
        """Why the next round will be a full one, in words; empty where it will not."""
        return self._rounds.full_due

    def barrier(self) -> Barrier | None:
        """Return the barrier that was sealed last; None before the first."""
        return self._rounds.last()

    def published(self) -> Sequence[Published]:
        """List what is published now. Raises InputError for a table that cannot travel."""
        return self._published()

    def rounds(self) -> list[Round]:
        """List the rounds in the order in which they began; of ended ones the last thousand."""
        return self._rounds.rounds()

    def round(self, full: bool = False, event: str = "", known: Collection[bytes] | None = None) -> Round | None:
        """Take a round now and seal it; None where nothing is published and never was.

        A full one tells everything anew; contents whose BLAKE3 is in `known`, which the standby holds, are left
        out of its parts. The first round is full, and so is every round while `full_due` says why.

        Raises Busy where another round is under way or the tables change too fast, InputError for a table that
        cannot be replicated, OSError where the disk refuses: then the round is listed as failed, and nothing of
        it is left.
        """
        with self._held():
            self._recover()
            if not self._published() and self._rounds.last() is None:
                return None
            for _ in range(self._settings.most_tries):
                try:
                    return self._taken(full, event, frozenset(known or ()))
                except Overtaken:
                    continue
            raise Busy("a full round was asked for again and again while one was taken", "try again")

    def recover(self) -> None:
        """Finish or roll back what a crash left, as `round` does first. Raises Busy where a round is under way."""
        with self._held():
            self._recover()

    def sent(self, position: Position) -> None:
        """Take note that the carrier has everything up to a position: the head of a sender with nothing left."""
        self._rounds.sent(position)

    def confirm(self, position: Position) -> None:
        """Take note that the standby stands at a position, and let go of the rounds up to there.

        Raises Diverged where the stream never was at this position.
        """
        self._rounds.confirm(position)
        self._end()

    def expire(self, now: datetime) -> None:
        """Let go of rounds that the carrier has had for longer than the lease."""
        if self._settings.lease_s:
            self._rounds.expire(now - timedelta(seconds=self._settings.lease_s))
        self._end()

    def begin_epoch(self, epoch: int) -> None:
        """Begin an epoch: nothing of an earlier one is sent any more, and the next round is a full one.

        The epoch that is under way is begun only once. Raises InputError for one that was ended.
        """
        self._rounds.begin_epoch(epoch)
        self._end()

    def _held(self) -> AbstractContextManager[None]:
        return held(self._folder / ".lock", f"a backup round of stream {self._settings.stream}")

    def _recover(self) -> None:
        for row in self._rounds.rounds(*_UNSEALED):
            self._rounds.advance(row, "fail", error=f"it was cut short in state {row.state}")
        self._end()
        live = {row.key for row in self._rounds.rounds(*LIVE)}
        self._capture.release(*sorted(self._capture.held() - live))

    def _end(self) -> None:
        """Let go of what ended rounds held, and only then write down that it is gone."""
        for row in self._rounds.rounds(*_ENDING):
            self._capture.release(row.key)
            self._rounds.end(row, self._clock.now())
            self._step("backup ended")

    def _taken(self, full: bool, event: str, known: Collection[bytes]) -> Round:
        row = self._rounds.begin(self._clock.now(), full, event)
        self._step("backup begun")
        try:
            row = self._sealed(self._rounds.advance(row, "begin"), known)
        except BaseException as error:
            self._fail(row.key, error)
            raise
        self._rounds.keep_at_most(self._settings.local_reserve)
        self._step("backup superseded")
        self._end()
        return row

    def _fail(self, key: str, error: BaseException) -> None:
        what = str(error) if isinstance(error, (IsthmusError, OSError)) else repr(error)
        for row in self._rounds.rounds(*_UNSEALED):
            if row.key == key:
                self._rounds.advance(row, "fail", error=what)
        self._step("backup failed")
        self._end()

    def _sealed(self, row: Round, known: Collection[bytes]) -> Round:
        """Take a round from its cut to its sealing."""
        last = self._rounds.last()
        row, captured = self._captured(row, last)
        self._step("backup staged")
        base = self._rounds.position()
        parts: list[Part] = []
        if row.full:
            mark = self._rounds.part(*base.order)
            if mark is None or mark.round:
                parts = [mark_after(base, self._rounds.key, captured.barrier.at)]
        prior = None if row.full else last
        there = known if row.full else (prior.contents() if prior else ())
        made = parts_of(
            captured.barrier,
            prior,
            there,
            parts[0].position if parts else base,
            self._rounds.key,
            self._settings.part_bytes,
            self._rounds.counts()["round"] + 1,
            row.event,
            self._settings.shards,
            self._named(),
        )
        row = self._rounds.seal(
            row,
            captured.barrier,
            [*parts, *made],
            base,
            self._clock.now(),
            first_seq=made[0].position.seq,
            last_seq=made[-1].position.seq,
            bytes=sum(part.size for part in made),
            files=len({place for part in made for place in part.places}),
            at=captured.barrier.at,
            tables=len(captured.barrier.tables),
            rows=sum(table.rows for table in captured.barrier.tables.values()),
            notes=_notes(captured),
        )
        self._step("backup sealed")
        return row

    def _captured(self, row: Round, last: Barrier | None) -> tuple[Round, Captured]:
        """Cut, pin and stage; where a table moves meanwhile, once more from the cut."""
        capture, tries, why = self._capture, 0, ""
        for again in range(self._settings.most_tries):
            if again:
                row = self._rounds.advance(row, "moved")
                capture.release(row.key)
            seen = capture.cut(self._published)
            tries += seen.tries
            self._step("backup cut")
            row = self._rounds.advance(row, "cut", tries=tries)
            try:
                pinned = capture.pin(row.key, seen)
                row = self._rounds.advance(row, "pinned")
                captured = capture.stage(
                    row.key, seen, pinned, last, everything=row.full, prove_all=self._settings.prove_all
                )
            except Moved as moved:
                why = moved.what
                continue
            return self._rounds.advance(row, "staged"), captured
        raise Busy(f"the tables moved during each of {self._settings.most_tries} cuts: {why}", "try again later")


def _notes(captured: Captured) -> str:
    """Say what was strange, in words."""
    notes = [f"{name} was put back to another state" for name in captured.replaced]
    notes += [f"damaged on this site's disk: {path}" for path in captured.damaged]
    return "; ".join(notes)
