"""The standby's end of a stream of recovery: parts become staged contents, and the last part of a round a barrier.

A `core.ports.Target`. What a round brings is staged part by part, and each part moves the stream's position. The
last part is different: only once everything that the new barrier needs is proven is the publication written down,
and then, in this order, each step durable before the next:

1. new tables are hidden by the fence; a table of their name that is this site's own stops the round;
2. files go to their tables, manifests after all others;
3. what takes the place of something that is shown is placed, behind a fence that hides its table;
4. one write of the fence shows all tables of the new barrier at once;
5. the position and what is held are committed.

A crash leaves either no publication (the part is applied again) or a written one, which `recover` finishes or, if
its contents were damaged meanwhile, takes back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.digest import Digest, record_hash
from isthmus.core.errors import Busy, Corrupt, Diverged, InputError, IsthmusError, Refused
from isthmus.core.header import Header, Kind
from isthmus.core.ports import Applied, Clock, Delivery
from isthmus.core.position import Position
from isthmus.recovery.barrier import Barrier, Change, Named
from isthmus.recovery.holding import GRACE_S, Desync, Holding
from isthmus.recovery.part import BEGIN, CHANGE, FILES, INDEX
from isthmus.recovery.placing import sound
from isthmus.recovery.publishing import Publishing
from isthmus.recovery.restoring import Landed, Publication, Restoring, change_of, index_of
from isthmus.state.files import private_folder
from isthmus.state.lock import held
from isthmus.state.store import Store
from isthmus.transfer.gate import Step, no_step

__all__ = ["Landed", "Landing", "LandingSettings"]

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


@dataclass(frozen=True, slots=True)
class LandingSettings:
    """How rounds are taken in. Sizes in bytes, times in seconds.

    `desync` says what becomes of a table that leaves the publication, `grace_s` how long readers keep files that
    are not needed any more, `least_free_bytes` how much of the disk a round leaves alone.
    """

    desync: Desync = "none"
    grace_s: float = GRACE_S
    least_free_bytes: int = 64 * MIB
    most_index_bytes: int = 64 * MIB
    most_change_bytes: int = GIB
    most_content_bytes: int = 4 * TIB
    most_files: int = 10_000_000


class Landing:
    """Takes the stream of a primary in at a standby. One process at a time applies; others get Busy."""

    def __init__(
        self,
        store: Store,
        catalog_root: str | Path,
        folder: Path,
        clock: Clock,
        site: str,
        step: Step = no_step,
        settings: LandingSettings | None = None,
    ) -> None:
        """Open, and finish or take back what a crash left. `folder` is on the disk of the tables where it can be.

        Raises InputError where the root is no local folder.
        """
        self._settings = settings or LandingSettings()
        private_folder(folder)
        self._store, self._folder, self._clock, self._site, self._step = store, folder, clock, site, step
        self._rounds = Restoring(store)
        self.holding = Holding(store, catalog_root, folder, clock, grace_s=self._settings.grace_s, step=step)
        self._publishing = Publishing(store, self.holding, self._rounds, clock, self._settings.desync, step)
        self.holding.roll_back = self._take_back
        self._settle()

    def position(self, stream: str) -> Position | None:
        """Return where the stream stands here; None before its first bundle."""
        return self._rounds.position(stream)

    def seen(self, stream: str, epoch: int, seq: int) -> str | None:
        """Return the digest, as text, that the stream had at (epoch, seq); None where that is not known."""
        return self._rounds.seen(stream, epoch, seq)

    def barrier(self) -> Barrier | None:
        """Return the barrier that is shown; None before the first."""
        self._settle()
        return self.holding.shown()

    def event(self) -> str:
        """Return what the shown round is for beside its tables, such as `switchover`; empty for most."""
        shown, rounds = self.holding.shown(), self._rounds.rounds()
        ended = [row for row in rounds if row.state in ("CONFIRM", "FINISH")]
        return ended[-1].event if shown and ended and ended[-1].key == shown.key else ""

    def named(self) -> Named | None:
        """Return the publications of the primary as the shown round told them; None where it told none.

        So it is for tables that this site began to follow with: then its own publications are the last it knows.
        """
        return self._rounds.named()

    def rounds(self) -> list[Landed]:
        """List the restore rounds that are remembered, oldest first."""
        return self._rounds.rounds()

    def missing(self) -> list[bytes]:
        """Name the contents that are needed, and of which no good copy lies here."""
        return self.holding.missing()

    def apply(self, bundle: Delivery) -> Applied:
        """Apply a bundle that was judged NEXT or SNAPSHOT; afterwards the position is `header.until`.

        Raises Diverged, and shows nothing new, where contents or the barrier are not what they should be; Corrupt
        where the bundle makes no sense, Refused for another key or an ended epoch, Busy where this site follows
        nobody or has a table of its own where one is to come (the part is then tried again), OSError.
        """
        header = bundle.header
        with self._alone():
            self._recover()
            if self.position(header.stream) == header.until:
                return Applied(header.until, 0)  # a crash came between this and the journal
            self._may(header)
            if header.kind is Kind.SNAPSHOT:
                self._begin(bundle)
            elif header.kind is Kind.INCREMENT:
                self._part(bundle)
            else:
                raise InputError("a heartbeat carries nothing to apply", "apply increments and snapshots")
        return Applied(header.until, 1)

    def recover(self) -> None:
        """Finish what a crash left of a publication, or take it back. Raises Busy, OSError."""
        with self._alone():
            self._recover()

    def tidy(self) -> list[str]:
        """Set aside what others wrote to replicas, and remove what nobody needs any more; return it in words."""
        with self._alone():
            self._recover()
            events = [str(one) for one in self.holding.set_aside_rogues()]
            events += self.holding.collect()
            self._publishing.fence_again()
            with self._store.transaction() as connection:
                for row in self._rounds.rounds():
                    if row.state == "CONFIRM":
                        self._rounds.went(connection, row.number, "confirmed", self._clock.now())
        return events

    def adopt(self, barrier: Barrier, position: Position) -> None:
        """Show a barrier whose files lie here already, and stand at a position: the site begins to follow.

        The fence is left to the caller. Raises Corrupt where a file of the barrier is not there.
        """
        with self._alone():
            now = self._clock.now()
            self.holding.adopt(barrier, now)
            self.holding.contents.drop(self.holding.contents.covered())
            with self._store.transaction() as connection:
                self._rounds.published(connection)
                self._rounds.dropped(connection, now)
                self._rounds.stand_anew(connection, position)
                self._rounds.name(connection, None)

    def release(self, name: str) -> None:
        """Make a table that left the publication this site's own. Raises InputError for another, Busy."""
        with self._alone():
            self.holding.rows.release(name)
            self._publishing.fence_again()

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return held(self._folder / ".lock", "taking in a round")

    def _settle(self) -> None:
        """Recover where that is needed and can be done now; what holds it up shows when a part is applied."""
        if self._rounds.publication() is not None:
            with contextlib.suppress(IsthmusError, OSError):
                self.recover()

    def _may(self, header: Header) -> None:
        fence = self._publishing.fence()
        if fence.role != "standby":
            raise Busy(
                f"{self._site} is {fence.role}: it takes no rounds from {header.site}", "let it follow first"
            )
        if header.until.epoch < fence.epoch:
            raise Refused(f"{header.site} was the primary of epoch {header.until.epoch}, which was ended")
        key = self._rounds.key(header.stream)
        if header.kind is not Kind.SNAPSHOT and key not in (None, header.key):
            raise Refused(f"{header.stream} has another key than before", "ask for a full round")

    def _begin(self, bundle: Delivery) -> None:
        """Begin a full round: what is proven stays, and the shown barrier, too."""
        header = bundle.header
        begin = _read(bundle, BEGIN, self._settings.most_index_bytes)
        if Digest().plus(record_hash(header.key, b"begin", begin)) != header.until.digest:
            raise Diverged(f"the beginning of a full round is not what {header.until} says")
        self.holding.contents.keep_proven()
        self._step("landing begun")
        with self._store.transaction() as connection:
            self._rounds.dropped(connection, self._clock.now())
            self._rounds.stand(connection, header.stream, header.key, header.until, full=True)
        self._step("landing committed")
        self.holding.contents.sweep()

    def _part(self, bundle: Delivery) -> None:
        header, settings, contents = bundle.header, self._settings, self.holding.contents
        index = index_of(_read(bundle, INDEX, settings.most_index_bytes))
        self._rounds.expected(index, header.until.seq)
        if not index.last and index.added_to(header.since.digest, header.key) != header.until.digest:
            raise Diverged(f"part {index.number} of round {index.key} is not what {header.until} says")
        change = change_of(_read(bundle, CHANGE, settings.most_change_bytes)) if index.last else None
        if change is not None:
            self._judged(change, index.key, header)
        contents.room(contents.judge(index.pieces, settings.most_content_bytes), settings.least_free_bytes)
        packed = _Timed(bundle.read(FILES))
        contents.take(index.pieces, packed)
        full = self._rounds.full(header.stream)
        with self._store.transaction() as connection:
            contents.note(connection, index.pieces)
            size = sum(piece.length for piece in index.pieces)
            pace = {"unpacked": (size, packed.seconds)}
            if (received_s := getattr(bundle, "received_s", 0.0)) > 0:
                pace["received"] = size, received_s
            now = self._clock.now()
            number = self._rounds.received(connection, index, header, size, now, full=full, pace=pace)
            if change is None:
                self._rounds.stand(connection, header.stream, header.key, header.until, full=full)
        self._step("landing noted")
        if change is not None:
            self._land(Publication(number, header, change))

    def _judged(self, change: Change, key: str, header: Header) -> Barrier:
        """Return the barrier that a change leads to. Raises Diverged, Corrupt."""
        try:
            barrier = change.applied(self.holding.shown())
        except ValueError as error:
            raise Diverged(str(error), "ask for a full round") from error
        sound(barrier, self._settings.most_files)
        self._publishing.grants_fit(barrier)
        if change.key != key or barrier.digest(header.key) != header.until.digest:
            raise Diverged(f"round {key} does not lead to the barrier that {header.until} says: nothing was shown")
        return barrier

    def _land(self, publication: Publication) -> None:
        """Verify what a round needs, and publish it."""
        number, publishing = publication.number, self._publishing
        try:
            with self._store.transaction() as connection:
                self._rounds.verifying(connection, publication, self._clock.now())
            publishing.claim(publication)
            self._step("landing claimed")
            plan = publishing.verified(publication)
            self._step("landing verified")
            with self._store.transaction() as connection:
                self._rounds.publish(connection, publication)
                self._rounds.went(connection, number, "verified", self._clock.now())
        except Diverged as error:
            with self._store.transaction() as connection:
                self._rounds.went(connection, number, "damaged", self._clock.now(), error.what)
            publishing.fence_again()
            raise
        except (IsthmusError, OSError) as error:
            self._rounds.fail(number, str(error))
            raise
        self._step("landing planned")
        publishing.publish(publication, plan)

    def _recover(self) -> None:
        publication = self._rounds.publication()
        if publication is None:
            self._publishing.fence_again()
            if not self._rounds.between():
                self._publishing.sweep()
            return
        if self._publishing.fence().role != "standby":
            with self._store.transaction() as connection:  # its tables are others' by now
                self._rounds.published(connection)
                self._rounds.went(connection, publication.number, "taken back", self._clock.now())
            return
        self._publishing.resume(publication)

    def _take_back(self) -> None:
        with self._alone():
            publication = self._rounds.publication()
            if publication is not None:
                self._publishing.take_back(publication, "this site goes on without it")
            self.holding.contents.drop(self.holding.contents.covered())
            with self._store.transaction() as connection:
                self._rounds.dropped(connection, self._clock.now())


class _Timed:
    """Hands on what comes, and takes the time that it took to come."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream, self.seconds = stream, 0.0

    def __iter__(self) -> _Timed:
        return self

    def __next__(self) -> bytes:
        begin = time.perf_counter()
        try:
            return next(self._stream)
        finally:
            self.seconds += time.perf_counter() - begin


def _read(bundle: Delivery, member: str, most_bytes: int) -> bytes:
    """Read a member whole. Raises Corrupt where it is larger than allowed, or not there."""
    found = bytearray()
    for stretch in bundle.read(member):
        found += stretch
        if len(found) > most_bytes:
            raise Corrupt(f"{member!r} of {bundle.header.until} has more than the {most_bytes:,} bytes allowed")
    return bytes(found)
