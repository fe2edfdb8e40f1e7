"""Changes of role: taking over, handing over, following again, leaving. Each can be cut short, and goes on.

The fence is written at the one moment that counts. What has to be true before anybody may write (no half round is
left, the epoch is a new one, the tables are published at the new primary) is made true before it, and whatever can
wait (a full round becomes due) is settled by the next turn.

One process at a time takes a turn or changes the role, which is its callers' to see to: a round that is landed
while the site takes over would make it a standby again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from blake3 import blake3

from isthmus.core.errors import Corrupt, InputError, Refused
from isthmus.core.ports import Clock
from isthmus.core.position import Position
from isthmus.recovery.backup import Backup, Round
from isthmus.recovery.barrier import Barrier, HeldFile, Named, TableAt, key_of
from isthmus.recovery.fork import Parted, keep_aside, manifests, parted
from isthmus.recovery.landing import Landing
from isthmus.recovery.notes import Notes
from isthmus.recovery.roles import RULING, Claim, next_epoch
from isthmus.recovery.states import ROLE
from isthmus.transfer.gate import Step, no_step
from isthmus.transfer.inbound import Inbound
from isthmus.warehouse import fence as fences
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.fence import Fence, Role, Shown
from isthmus.warehouse.files import files_of, manifest_of
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import local_path
from isthmus.warehouse.table import Table

Publish = Callable[[Sequence[TableAt], Named | None], None]
"""Publishes tables, by the publications of the former primary, at a site that is about to become the primary.

Without publications those of the site itself hold on. Again it changes nothing."""

SWITCHOVER = "switchover"
"""The event of the round that hands the primary's role over."""

_HINT: dict[str, str] = {"primary": "publish", "standby": "follow"}
_OF_A_PRIMARY = ("failback", "outranked", "took over", "whole", "answered")


@dataclass(frozen=True, slots=True)
class Loss:
    """What a failover leaves behind, as far as this site can know.

    `shown` and `shown_at` name the barrier that the site goes on from. `behind` counts the parts of the stream
    that were sent after it, of which `unfinished` have come; `latest_at` is the time of the last barrier that the
    primary reported. Nothing of what the primary wrote after `shown_at` is here. A site that was a primary itself
    (`own`) goes on from its own tables: what is lost is what the other one wrote since. `ahead` names the other
    site where it follows a later epoch than this one, which then was put back to an earlier state.
    """

    shown: str
    shown_at: datetime | None
    behind: int
    unfinished: int
    latest: str
    latest_at: datetime | None
    own: bool = False
    ahead: str = ""

    def __str__(self) -> str:
        if self.own:
            return "it goes on from its own tables; what the other site wrote since it took over is not here"
        if not self.shown:
            return "no round had come: the site has nothing to go on with"
        text = (
            f"it goes on from {self.shown}, taken {self.shown_at:%Y-%m-%d %H:%M:%S} UTC; later writes are not here"
        )
        if self.behind:
            text += f"; {self.behind} parts are known that were sent after it ({self.unfinished} had come)"
        if self.latest > self.shown:
            text += f"; the primary is known to have taken round {self.latest}"
        if self.ahead:
            text += f"; {self.ahead} holds more than this site, which was put back: let it take over instead"
        return text


class Turnover:
    """Changes the role of one site of a pair."""

    def __init__(
        self,
        root: str,
        catalog: Catalog,
        backup: Backup,
        landing: Landing,
        inbound: Inbound,
        notes: Notes,
        clock: Clock,
        publish: Publish,
        hint: Role = "independent",
        step: Step = no_step,
    ) -> None:
        """`hint` is the role that a site which never had one takes."""
        self._root, self._catalog, self._backup, self._landing = root, catalog, backup, landing
        self._inbound, self._notes, self._clock, self._publish = inbound, notes, clock, publish
        self._hint, self._step = hint, step

    @property
    def fence(self) -> Fence:
        """What the warehouse says of itself now."""
        return fences.read(self._root)

    def claim(self, took: str = "") -> Claim:
        """Return what this site says that it is. `took` is the round at which the other one says it took over."""
        fence = self.fence
        if fence.role != "yielding":
            return Claim(fence.role, fence.epoch, self._notes["took over"])
        handed = self.handed()
        return Claim(fence.role, fence.epoch, took if took in handed else (handed[-1] if handed else ""))

    def handed(self) -> tuple[str, ...]:
        """Return the keys of the rounds that hand over in this epoch. Nobody writes: all hold the same."""
        epoch = self.fence.epoch
        return tuple(
            row.key
            for row in self._backup.rounds()
            if row.event == SWITCHOVER and row.epoch == epoch and row.sealed is not None
        )

    def settle(self, events: list[str], other: Claim | None = None) -> None:
        """Finish what a change of role began.

        A site that has no role yet takes that of its configuration. Raises Refused where that is the primary's and
        the other site, as it claims, is the primary.
        """
        fence = self.fence
        if fence.role == "independent" and self._hint in _HINT and not self._notes["left"]:
            if self._hint == "primary" and other is not None and other.role in RULING:
                raise Refused(
                    f"the other site is the primary of epoch {other.epoch}: this one cannot be a primary too",
                    'set role = "standby" under [recovery] here, or let the other site leave first',
                )
            later = other is not None and other.role != "independent" and other.epoch > fence.epoch
            epoch = other.epoch + 1 if other is not None and later and self._hint == "primary" else fence.epoch
            self._become(replace(fence, role=self._hint, epoch=epoch), _HINT[self._hint])
            events.append(f"this site is the {self._hint} from now on")
            fence = self.fence
        if fence.role == "independent" and self._notes["left"]:
            self.forget()
        if fence.role == "standby":
            self._followed()
        if fence.role in RULING:
            self._backup.begin_epoch(fence.epoch)

    def hand_over(self) -> None:
        """Keep the writers out; the next turn takes the last round.

        Raises IllegalTransition at no primary, InputError where nothing is published and never was.
        """
        fence = self.fence
        if fence.role == "primary" and self._backup.barrier() is None and not self._backup.published():
            raise InputError(
                "nothing is published, so nothing can be handed over",
                "publish tables first: isthmus recovery create-publication; or leave the pair: set-independent",
            )
        self._become(replace(fence, role="yielding", held="a switchover hands the tables over"), "hand over")
        self._step("switchover held")

    def last_round(self, known: Collection[bytes] | None = None) -> Round:
        """Take the round that hands over, once nobody writes any more; a full one leaves out what is `known`.

        Raises Busy where a write does not end, InputError where nothing is published.
        """
        self._catalog.drain()
        self._step("switchover drained")
        row = self._backup.round(event=SWITCHOVER, known=known)
        if row is None:
            raise InputError(
                "nothing is published, so nothing can be handed over",
                "let the writers in again: isthmus recovery switchover --give-up",
            )
        self._step("switchover sealed")
        return row

    def give_up(self) -> None:
        """Let the writers in again. Raises Refused once the last round may have been taken over."""
        if self.fence.role == "yielding" and (handed := self.handed()):
            raise Refused(
                f"round {handed[-1]} hands the tables over and may have arrived",
                "wait for its report; where that site is lost, take over here: isthmus recovery failover",
            )
        self._become(replace(self.fence, role="primary", held=""), "given up")
        self._step("switchover given up")

    def fence_off(self, epoch: int, site: str) -> None:
        """Let nobody write any more: another site knows of a later epoch, or of more than was sent from here."""
        self._notes.put(outranked=str(epoch))
        self._step("fence noted")
        self._become(replace(self.fence, role="fenced", primary=site, held=""), "outranked")
        self._step("fence written")

    def catch_up(self, epoch: int, site: str) -> None:
        """Go on as the standby of a later epoch."""
        self._become(replace(self.fence, epoch=epoch, primary=site), "outranked")

    def demote(self, epoch: int, site: str) -> None:
        """Become the standby of the site that took the last round over: both hold the same."""
        barrier = self._backup.barrier()
        if barrier is None or barrier.key not in self.handed():
            raise Corrupt("the round that was handed over is not the last one here", "isthmus recovery failback")
        self._follow(barrier, epoch, site, "taken over")
        self._followed()

    def take_over(self, how: str, heard: int = 0) -> str:
        """Become the primary of a new epoch, with the shown barrier's tables writable; return it in words.

        A site that was a primary goes on from its own tables. Where it has handed over, the other site may have
        begun the next epoch unheard, so it begins the one after that.
        """
        fence, barrier = self.fence, self._landing.barrier()
        follows = fence.role == "standby"
        unheard = fence.epoch + 1 if fence.role == "yielding" and self.handed() else 0
        epoch = next_epoch(fence.epoch, heard, unheard, self._notes.count("outranked"))
        if follows:
            self._landing.holding.rewind()
        self._step("takeover rewound")
        key = barrier.key if barrier and follows else ""
        self._notes.put(**{"took over": key, "whole": "", "answered": ""})
        self._step("takeover noted")
        if follows and barrier is not None:
            self._publish(
                tuple(barrier.tables.values()), self._landing.named()
            )  # while nobody can rename or drop one
        self._step("takeover published")
        self._become(Fence("primary", epoch), "take over")
        self._step("takeover fenced")
        self.settle([])
        self._step("takeover settled")
        return f"this site is the primary of epoch {epoch} ({how}, from {key or 'its own tables'})"

    def history(self) -> dict[bytes, int]:
        """Return by what contents the other site finds where its tables parted from this primary's, with sizes.

        These are what this one took over with, what its last round holds, and the manifest of every version.
        """
        barrier, last = self._landing.barrier(), self._backup.barrier()
        found = last.contents() if last else {}
        if self._notes["took over"]:
            found |= self._landing.holding.inventory()
        known = [*(barrier.tables.values() if barrier else ()), *(last.tables.values() if last else ())]
        return found | manifests(self._catalog, {TableName.parse(table.name) for table in known})

    def loss(self, latest: str, latest_at: datetime | None, ahead: str = "") -> Loss:
        """Say what a failover would leave behind. `latest` is the last barrier that the primary reported."""
        barrier, status = self._landing.barrier(), self._inbound.status()
        return Loss(
            barrier.key if barrier else "",
            barrier.at if barrier else None,
            status.lag,
            len(status.staged),
            latest,
            latest_at,
            own=self.fence.role in ("fenced", "yielding"),
            ahead=ahead,
        )

    def fail_back(self, theirs: Collection[bytes], epoch: int, site: str) -> list[tuple[Parted, TableName]]:
        """Follow the site that took over; what this one had alone is kept aside. Return it with its new names.

        Published tables that no round has told of, made here alone, are kept aside too. `theirs` are the contents
        that the other site holds. Raises Refused where this site is not fenced off.
        """
        fence = self.fence
        if fence.role in RULING:
            self.fence_off(epoch, site)
        elif fence.role != "fenced":
            raise Refused(
                f"this site is {fence.role}: it has nothing to fail back from", "see: isthmus recovery status"
            )
        begun, _, key = self._notes["failback"].partition(" ")
        if begun != str(epoch) or not key:
            key = key_of(self._clock.now())
            self._notes.put(failback=f"{epoch} {key}")
        self._step("failback noted")
        self._catalog.drain()
        last = self._backup.barrier()
        names = {TableName.parse(table.name) for table in last.tables.values()} if last else set()
        names |= {TableName.parse(table.name) for table in self._backup.published()}
        names &= set(self._catalog.names())
        alone = list(parted(self._catalog, names, theirs))
        found = [(one, keep_aside(self._catalog, one.name, key, self._step)) for one in alone]
        common = {name: self._catalog.open(name).version for name in names}
        common.update({one.name: one.common for one, _ in found})
        for one, _ in found:
            place = local_path(self._catalog.uri(one.name))
            if not one.common and place is not None:
                shutil.rmtree(place, ignore_errors=True)  # it was made here alone, and is kept aside
        self._step("failback parted")
        self._follow(self._barrier_at(key, common, last), epoch, site, "fail back")
        self._followed()
        return found

    def failing_back(self) -> int:
        """Return the epoch that a failback which was cut short was to follow; 0 where there is none."""
        return int(self._notes["failback"].partition(" ")[0] or 0) if self.fence.role == "fenced" else 0

    def leave(self) -> None:
        """Become independent: all tables are writable, and nothing is sent or taken any more.

        A site that sent begins a new epoch with that: should it ever send again, nobody takes it for a sequel.
        """
        fence = self.fence
        follows = fence.role == "standby"
        epoch = fence.epoch if follows else next_epoch(fence.epoch, self._notes.count("outranked"))
        if follows:
            self._landing.holding.rewind()
        self._notes.put(left="yes", outranked="", **{"took over": ""})
        self._step("leave noted")
        self._become(Fence("independent", epoch), "leave")
        self._step("leave fenced")
        self.forget()

    def forget(self) -> None:
        """Let go of what a site that left held for the other one: again it changes nothing."""
        epoch = self.fence.epoch
        self._backup.begin_epoch(epoch)
        barrier = self._landing.barrier()
        if barrier is not None and barrier.tables:
            self._landing.adopt(Barrier(barrier.key, barrier.at), Position(epoch, 0))

    def _followed(self) -> None:
        """Forget what a standby has no use for, of the time when it was a primary."""
        if any(self._notes[name] for name in _OF_A_PRIMARY):
            self._notes.put(**dict.fromkeys(_OF_A_PRIMARY, ""))

    def _follow(self, barrier: Barrier, epoch: int, site: str, event: str) -> None:
        """Show a barrier whose files lie here already, and stand at the beginning of another site's epoch."""
        self._backup.begin_epoch(epoch)  # lets go of what was to be sent
        self._landing.adopt(barrier, Position(epoch, 0))
        self._step("follow adopted")
        shown = {
            table.name: Shown(table.version, barrier.files[identity][table.manifest].digest.hex())
            for identity, table in barrier.tables.items()
        }
        self._become(Fence("standby", epoch, site, barrier=barrier.key, tables=shown), event)
        self._step("follow fenced")

    def _become(self, fence: Fence, event: str) -> None:
        before = self.fence
        if before == fence:
            return
        if ROLE.next(before.role, event) != fence.role:
            raise ValueError(f"{event!r} does not make a {before.role} site {fence.role}")
        fences.write(self._root, fence)

    def _barrier_at(self, key: str, versions: dict[TableName, int], last: Barrier | None) -> Barrier:
        """Describe tables at versions as a barrier; files that the last round knew are not read again."""
        known = {
            (identity, file.path, file.size): file.digest
            for identity, files in (last.files.items() if last else ())
            for file in files.values()
        }
        told = {table.name: table for table in last.tables.values()} if last else {}
        tables, files = {}, {}
        for name, version in versions.items():
            if not version:
                continue
            table = self._catalog.open(name).at(version)
            before = told.get(str(name))
            tables[table.identity] = TableAt(
                str(name),
                table.identity,
                version,
                manifest_of(table),
                table.count(),
                *((before.distribution, before.grants) if before else ()),
            )
            files[table.identity] = _held(table, known)
        return Barrier(key, self._clock.now(), tables, files)


def _held(table: Table, known: dict[tuple[str, str, int], bytes]) -> dict[str, HeldFile]:
    place = local_path(table.uri)
    assert place is not None
    found = {}
    for file in files_of(table):
        digest = known.get((table.identity, file.path, file.size))
        if digest is None or file.kind == "manifest":
            state = blake3()
            if file.size:
                state.update_mmap(place / file.path)
            digest = state.digest()
        found[file.path] = HeldFile(file.path, file.size, digest)
    return found
