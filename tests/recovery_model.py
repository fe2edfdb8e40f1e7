"""Two sites in one process, everything that may happen to them, and the oracle beside them.

The sites are real: their state, their tables, their rounds, bundles, reports and turns; only what carries files
between them is a dictionary, so that files can be lost, held back, repeated, cut short and altered there. A site
dies at a named step: its state is closed under it, and it is opened anew over the same folders.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import lance
import pyarrow as pa

from isthmus.app.recovery import roles
from isthmus.app.recovery.config import CarryPart, RecoveryConfig, RecoveryPart
from isthmus.app.recovery.site import RecoverySite
from isthmus.app.sitepart import SitePart
from isthmus.core.errors import Busy, InputError, Refused
from isthmus.core.ports import Carrier
from isthmus.recovery import cut
from isthmus.recovery.fork import aside
from isthmus.transfer.memory import MemoryCarrier
from isthmus.transfer.signing import SigningKey
from isthmus.warehouse import fence as fences
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.fence import Fence
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import local_path
from isthmus.warehouse.table import Table
from recovery_oracle import KEY, Content, Expected, Sealed, Sheet, Sheets, contents, copied
from rough_gate import flipped

BEGIN = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
KEYS = {name: SigningKey.create() for name in "ab"}
OTHER = {"a": "b", "b": "a"}
STREAM = "recovery"
GRACE = datetime.timedelta(minutes=30)
_ROUNDS = 30


class Died(BaseException):
    """The process of a site was killed at a step."""


class Wrong(AssertionError):
    """A site shows something that the oracle does not know."""


class Clock:
    """A clock that is moved by hand."""

    at = BEGIN

    def now(self) -> datetime.datetime:
        return self.at


class ModelSite(RecoverySite):
    """A site whose road is a dictionary, and which dies after a number of steps."""

    fuse = 0
    dead = ""

    def __init__(self, config: RecoveryConfig, clock: Clock, roads: dict[str, MemoryCarrier]) -> None:
        super().__init__(config, clock, self._burn)
        self._roads = roads

    @property
    def key(self) -> SigningKey:
        return KEYS[self.config.site.name]

    def _carrier(self, place: str) -> Carrier:
        return self._roads[place]

    def _burn(self, name: str) -> None:
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                self.dead = name
                self.store.close()  # nothing that cleans up behind an error is written any more
                raise Died(name)


class World:
    """Two sites, the roads between them, and what each must show."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Clock()
        self.roads = {"ab": MemoryCarrier(), "ba": MemoryCarrier()}
        self.withheld: list[tuple[str, str, bytes]] = []
        self.passed: list[tuple[str, str, bytes]] = []
        self.sites: dict[str, ModelSite] = {}
        self.expected = {"a": Expected("primary"), "b": Expected("standby")}
        self.order = self.away = 0
        self.history: dict[tuple[str, str], set[Content]] = {}
        self.reader: tuple[str, Table, Content, datetime.datetime] | None = None
        self.steps: Counter[str] = Counter()
        self._looked: dict[str, Any] = {}
        self.log: list[str] = []
        """What happened, for who reads a failure."""
        for name in "ab":
            (folder / name).mkdir(parents=True)
            self.revive(name)
            self.act(name, "turn", self.sites[name].pair.turn)

    def close(self) -> None:
        for site in self.sites.values():
            site.close()

    def revive(self, name: str) -> None:
        """Open a site anew over its folders, as a new process does."""
        other = OTHER[name]
        part = RecoveryPart(
            peer=other,
            role="primary" if name == "a" else "standby",
            out_place=name + other,
            in_place=other + name,
            trust=(str(KEYS[other].public),),
            backup_s=0.0,
            restore_s=0.5,
            part_mb=0.002,
            compression_level=0,
            parallel=1,
            cores=1,
            reserve=4,
            carry=CarryPart(heartbeat_s=5.0, settle_s=4.0, gap_alarm_s=10.0, keep_files=40),
        )
        place = self.folder / name
        config = RecoveryConfig(place / "isthmus.toml", SitePart(name), part, str(place / "warehouse"))
        self.sites[name] = ModelSite(config, self.clock, self.roads)

    # what a site does

    def act(
        self, name: str, what: str, action: Callable[[], Any], *allowed: type[Exception], fuse: int = 0
    ) -> Any:
        """Let a site do something, or die on the way; then look at what it shows. Returns the refusal, if any."""
        self.clock.at += datetime.timedelta(seconds=1)
        self.steps[what] += 1
        site = self.sites[name]
        site.fuse, answer = fuse, None
        try:
            answer = action()
        except BaseException as error:
            if site.dead:
                self.steps["died"] += 1
                answer = f"died at {site.dead}"
                self.left_behind(name, site.dead)
                self.steps[f"died at {site.dead}"] += 1
                self.revive(name)
            elif isinstance(error, allowed):
                answer = error
            else:
                raise
        site.fuse = 0
        self.log.append(f"  {name} {what}: {answer}")
        self._note_road(name)
        self.observe(name, what)
        return answer

    def turn(self, name: str, fuse: int = 0) -> Any:
        pair = self.sites[name].pair
        if self.expected[name].role == "fenced" and self.sites[name].notes["failback"]:
            return self.fail_back(name, fuse, pair.turn)  # it goes on with one that was cut short
        return self.act(name, "turn", pair.turn, Busy, fuse=fuse)

    def back_up(
        self, name: str, full: bool = False, fuse: int = 0, meanwhile: Callable[[], None] | None = None
    ) -> Any:
        """Take a round; `meanwhile` is done once, after the cut has looked at its first table."""
        left = [meanwhile] if meanwhile else []

        def looked(table: Path) -> Any:
            found = newest(table)
            if left:
                left.pop()()
            return found

        newest = cut.newest
        with mock.patch.object(cut, "newest", looked):
            return self.act(name, "round", lambda: self.sites[name].pair.back_up(full), InputError, fuse=fuse)

    def primaries(self) -> list[str]:
        return [name for name in "ab" if self.expected[name].role == "primary"]

    def standby(self) -> str:
        return next((name for name in "ab" if self.expected[name].role == "standby"), "")

    def catalog(self, name: str) -> Catalog:
        return self.sites[name].catalog

    # looking

    def observe(self, name: str, what: str) -> None:
        """Compare what a site is and shows with what it must be and show."""
        _ = self.sites[name].landing  # which finishes first what a death left of a round
        self._note_seal(name)
        fence, expected = fences.read(self.sites[name].root), self.expected[name]
        if fence.epoch < expected.epoch:
            raise Wrong(f"{name} went back from epoch {expected.epoch} to {fence.epoch}")
        if fence.role != expected.role:
            self._changed_role(name, what, fence)
        if fence.role == "standby" and fence.barrier != expected.barrier and what != "failback":
            self._went_on(name, fence.barrier, what)
        expected.epoch = fence.epoch
        if what != "failback":
            self._compare(name, what)
        self._positions(name)
        self._still_read()

    def _positions(self, name: str) -> None:
        """Where a standby stands at a position that was sealed as a round's last, it holds that very barrier."""
        if self.expected[name].role != "standby":
            return
        here, there = self.sites[name], self.sites[OTHER[name]]
        position, sealed = here.landing.position(STREAM), there.backup.barrier()
        if sealed is not None and position is not None and position == there.backup.source.position():
            last = next((row for row in there.backup.rounds() if row.key == sealed.key), None)
            if (
                last is not None
                and (last.epoch, last.last_seq) == position.order
                and here.landing.barrier() != sealed
            ):
                raise Wrong(f"both stand at {position}, but {name} holds another barrier")

    def _compare(self, name: str, what: str) -> None:
        look = self._look(name)
        if self._looked.get(name) == look and what not in ("settled", "rogue"):
            return
        found, wanted = dict(self.read(name)), contents(self.expected[name].tables)
        if found != wanted:
            raise Wrong(f"after {what} {name} ({self.expected[name].role}) shows:\n{_differ(found, wanted)}")
        self._looked[name] = look

    def _look(self, name: str) -> tuple[Any, ...]:
        """What must have changed where a reader of the site sees anything else."""
        root = self.folder / name / "warehouse"
        folders = sorted(root.glob("*/*/*.lance/_versions"))
        stamps = [(str(one), one.stat().st_mtime_ns, one.stat().st_ino) for one in folders]
        return fences.read(self.sites[name].root), tuple(stamps), tuple(sorted(self.expected[name].tables))

    def read(self, name: str) -> Iterator[tuple[str, tuple[str, Content]]]:
        """Read everything that a site shows to who lists and opens its tables."""
        catalog = Catalog(self.sites[name].root)
        for one in catalog.names():
            table = catalog.open(one)
            yield str(one), (table.identity, content_of(table))

    def left_behind(self, name: str, step: str) -> None:
        """Look at what a dead site shows before anybody mends it: one barrier, and no table half there."""
        expected, fence = self.expected[name], fences.read(self.sites[name].root)
        for place in (self.folder / name / "warehouse").glob("*/*/*.lance"):
            if any((place / "_versions").glob("*.manifest")):
                lance.dataset(str(place)).to_table()  # who opens it without the catalogue can read it, too
        if fence.role != "standby" or expected.role != "standby":
            return
        shown = expected.shown
        if fence.barrier != expected.barrier:
            sealed = self.expected[OTHER[name]].sealed.get(fence.barrier)
            if sealed is None or sealed.order < expected.least:
                raise Wrong(f"{name} shows {fence.barrier}, unknown or older than before, dead at {step}")
            shown = sealed.tables
        found = dict(self.read(name))
        # one that takes the place of another under its name is hidden for that while
        wanted = {one: sheet for one, sheet in {**expected.own, **shown}.items() if one not in fence.hidden}
        _same(found, wanted, f"{name} shows no whole barrier, dead at {step}")
        if strange := found.keys() - expected.tables.keys() - shown.keys():
            raise Wrong(f"{name} shows {strange}, dead at {step}")

    def _note_seal(self, name: str) -> None:
        expected = self.expected[name]
        barrier = self.sites[name].backup.barrier()
        if expected.role in ("primary", "yielding") and barrier and barrier.key not in expected.sealed:
            self.order += 1
            expected.sealed[barrier.key] = Sealed(
                self.order, copied(expected.published()), frozenset(expected.objects)
            )
            expected.latest = barrier.key
            told = {table.name: table.identity for table in barrier.tables.values()}
            wanted = {key: sheet.identity for key, sheet in expected.sealed[barrier.key].tables.items()}
            if told != wanted:
                raise Wrong(f"{name} sealed {sorted(told)}, published are {sorted(wanted)}")

    def _changed_role(self, name: str, what: str, fence: Fence) -> None:
        """Judge a change of role: only what was ordered, or what the other site's claim calls for."""
        expected, other = self.expected[name], self.expected[OTHER[name]]
        match expected.role, fence.role:
            case "standby", "primary":
                self._took_over(name, what, fence)
            case "fenced", "primary" if what == "failover":
                expected.role, expected.latest = "primary", ""
            case "primary" | "yielding", "fenced" if other.epoch > expected.epoch:
                expected.role = "fenced"
            case "primary", "yielding" if what == "switchover":
                expected.role = "yielding"
            case "yielding", "primary" if what == "give up":
                expected.role = "primary"
            case "yielding", "standby":
                handed = expected.latest
                # the other may have sealed rounds by now: what was handed over is older than any of them
                barrier = expected.sealed[handed]
                expected.follow(fence.epoch, handed, barrier.tables, barrier.order)
            case _, "standby" if what == "failback":
                pass
            case was, now:
                raise Wrong(f"{name} went from {was} to {now} after {what}")

    def _took_over(self, name: str, what: str, fence: Fence) -> None:
        expected, other = self.expected[name], self.expected[OTHER[name]]
        barrier = self.sites[name].landing.barrier()
        if barrier is not None and barrier.key != expected.barrier:
            self._went_on(name, barrier.key, what)
        if what != "failover" and (
            other.role != "yielding" or contents(other.published()) != contents(expected.shown)
        ):
            raise Wrong(f"{name} took over after {what}, without all that {OTHER[name]} ({other.role}) has")
        self.order += 1
        expected.least = self.order
        expected.take_over(fence.epoch)
        self.remember(name, *expected.own.values())

    def _went_on(self, name: str, key: str, what: str) -> None:
        """Follow a standby through the rounds that it landed, to the one that it shows.

        Raises Wrong where that was never sealed, or is older than what it showed.
        """
        expected = self.expected[name]
        ended = [row for row in self.sites[name].landing.rounds() if row.state in ("CONFIRM", "FINISH")]
        landed = [row.key for row in ended if row.number > expected.landed and row.key != key]
        expected.landed = max((row.number for row in ended), default=0)
        for one in (*landed, key):
            sealed = self.expected[OTHER[name]].sealed.get(one)
            if sealed is None or sealed.order < expected.least:
                raise Wrong(f"{name} shows {one}, unknown or older than what it showed, after {what}")
            if one != expected.barrier:
                expected.show(one, sealed)
                self.remember(name, *expected.shown.values())

    # the roads

    def _note_road(self, name: str) -> None:
        road = name + OTHER[name]
        for file, content in self.roads[road].files.items():
            one = road, file, content
            if one not in self.passed[-60:]:
                self.passed.append(one)

    def settle(self) -> None:
        """Let everything arrive and both sites take turns until nothing changes; then both hold the same."""
        for road, file, content in self.withheld:
            self.roads[road].hold(file, content)
        self.withheld.clear()
        asked = ""
        for _ in range(_ROUNDS):
            self.clock.at += datetime.timedelta(seconds=31)
            for name in "ab":
                self.turn(name)
                self._operate(name)
            rulers, standby = self.primaries(), self.standby()
            if len(rulers) == 1 and standby:
                ruler = self.expected[rulers[0]]
                if asked != rulers[0] or (ruler.latest and self.sites[rulers[0]].backup.full_due):
                    self.back_up(rulers[0])
                    asked = rulers[0]
                elif ruler.epoch == self.expected[standby].epoch and self._still(rulers[0], standby):
                    break
        else:
            raise Wrong(f"nothing comes to rest: {self.told()}")
        for name in "ab":
            self._compare(name, "settled")
        self._bounded(rulers[0], standby)

    def _still(self, ruler: str, standby: str) -> bool:
        """Tell whether the standby shows the latest barrier, and the primary knows it."""
        latest = self.expected[ruler].latest
        live = [row for row in self.sites[ruler].backup.rounds() if row.state not in ("FINISH", "DROPPED")]
        return (not latest and not live) or (self.expected[standby].barrier == latest and not live)

    def _operate(self, name: str) -> None:
        """Do what the sites tell a person to do: fail back, and rename a table that is in a replica's way."""
        expected, other = self.expected[name], self.expected[OTHER[name]]
        if expected.role == "fenced" and other.role == "primary":
            self.fail_back(name)
        if expected.role == "standby" and other.latest:
            coming = [sealed.tables for sealed in other.sealed.values() if sealed.order > expected.least]
            for clash in set(expected.own) & {table for tables in coming for table in tables}:
                self.move_away(name, clash)

    def move_away(self, name: str, clash: str) -> None:
        """Rename a table of a standby's own that a published one is named like."""
        expected = self.expected[name]
        self.away += 1
        to = TableName("own", "away", f"t{self.away}")
        try:
            self.catalog(name).rename(TableName.parse(clash), to)
        except Refused:
            return  # a round that was cut short hides it; the next turn finds out and lets it go
        expected.own[str(to)] = expected.own.pop(clash)
        self._compare(name, "rename")

    def _bounded(self, ruler: str, standby: str) -> None:
        """Nothing is left of what was on its way."""
        root = self.folder / ruler / "warehouse"
        tags = list(root.glob(f"*/*/*.lance/_refs/tags/{STREAM}-*"))
        staged = list((self.sites[ruler].folder / "backup" / "staged").glob("*"))
        coming = list((self.sites[standby].folder / "landing" / "contents").glob("*/*"))
        if tags or staged or coming:
            raise Wrong(f"left behind: {len(tags)} tags, {len(staged)} staged rounds, {len(coming)} contents")
        for road, carrier in self.roads.items():
            if len(carrier.files) > 120:
                raise Wrong(f"{len(carrier.files)} files lie on the road {road}")

    # changes of role

    def fail_over(self, name: str, fuse: int = 0) -> None:
        self.act(name, "failover", lambda: roles.fail_over(self.sites[name]), Refused, fuse=fuse)

    def hand_over(self, name: str, fuse: int = 0) -> None:
        other = self.sites[name].pair.other()
        if other is not None and other.role == "standby" and other.epoch == self.expected[name].epoch:
            expected = self.expected[name]
            nothing = (InputError,) if not (expected.published() or expected.sealed) else ()
            self.act(name, "switchover", self.sites[name].turnover.hand_over, *nothing, fuse=fuse)

    def give_up(self, name: str) -> None:
        self.act(name, "give up", self.sites[name].turnover.give_up, Refused)

    def fail_back(self, name: str, fuse: int = 0, action: Callable[[], Any] | None = None) -> Any:
        """Follow the new primary: what is lost of the tables here is found under a name of its own."""
        expected, site = self.expected[name], self.sites[name]
        before, was, epoch = copied(expected.own), expected.role, expected.epoch
        sealed = site.backup.barrier()
        names = {table.name for table in sealed.tables.values()} if sealed else set()
        names = (names | set(expected.published())) & set(before)
        order = action or (lambda: roles.fail_back(site, 0.0, lambda text: None))
        answer = self.act(name, "failback", order, Refused, fuse=fuse)
        fence, found = fences.read(self.sites[name].root), dict(self.read(name))
        key = self.sites[name].notes["failback"].partition(" ")[2] or fence.barrier
        away = {str(aside(TableName.parse(one), key)): one for one in names} if key else {}
        kept = {new: before[old] for new, old in away.items() if new in found}
        _same(found, kept, f"what {name} had alone is not what is kept aside")
        lost = {old for new, old in away.items() if new not in kept}
        _same(found, {old: before[old] for old in lost}, f"{name} lost tables by the failback")
        rest = {old: sheet for old, sheet in before.items() if old not in names}
        _same(found, rest, f"{name} changed tables that are not replicated")
        if fence.role != "standby":  # refused, or cut short: it is done again
            if not isinstance(answer, Refused) and was == "standby":
                raise Wrong(f"{name} is {fence.role} after a failback")
            expected.role, expected.epoch = fence.role, epoch
            self._half(name, before, kept, found)
            return answer
        shown: Sheets = {}
        for one in names & set(found):
            identity, content = found[one]
            if content not in self.history.get((OTHER[name], identity), ()):
                raise Wrong(f"{name} shows of {one} what {OTHER[name]} never had")
            shown[one] = Sheet(identity, list(content[0]), dict(content[1]))
        expected.own = {**rest, **kept}
        expected.follow(fence.epoch, fence.barrier, shown, self.expected[OTHER[name]].least)
        self._compare(name, "failed back")
        return answer

    def _half(self, name: str, before: Sheets, kept: Sheets, found: dict[str, Any]) -> None:
        """A failback was cut short: the tables aside are there, some of the others are gone already."""
        gone = set(before) - set(found)
        if gone - {old for old in before if any(before[old] is sheet for sheet in kept.values())}:
            raise Wrong(f"{name} lost {gone} in a failback that was cut short")
        self.expected[name].own = {
            **{old: sheet for old, sheet in before.items() if old not in gone},
            **kept,
        }

    def rogue(self, name: str, number: int, what: int) -> None:
        """Write to a replica through Lance itself, behind the fence's back."""
        replicas = sorted(self.expected[name].shown)
        if not replicas:
            return
        place = local_path(self.catalog(name).uri(TableName.parse(replicas[number % len(replicas)])))
        dataset = lance.dataset(str(place))
        if what % 2 and dataset.count_rows():
            dataset.delete("true")
        else:
            row = pa.RecordBatch.from_pylist([{KEY: f"rogue{number}"}], schema=dataset.schema)
            lance.write_dataset(pa.Table.from_batches([row]), dataset, mode="append")
        self.steps["rogue"] += 1
        self._compare(name, "rogue")

    def remember(self, name: str, *sheets: Sheet) -> None:
        """Take note of what a site held."""
        for sheet in sheets:
            self.history.setdefault((name, sheet.identity), set()).add(sheet.content)

    def read_on(self, number: int) -> None:
        """Open a replica as a reader does who stays at it for a while."""
        name = self.standby()
        replicas = sorted(self.expected[name].shown) if name else []
        if replicas:
            table = self.catalog(name).open(TableName.parse(replicas[number % len(replicas)]))
            self.reader = name, table, content_of(table), self.clock.at

    def _still_read(self) -> None:
        """Who opened a replica within the grace reads on what it was then."""
        if self.reader is not None:
            name, table, content, at = self.reader
            if not datetime.timedelta() <= self.clock.at - at < GRACE or self.expected[name].role != "standby":
                self.reader = None
            elif content_of(table) != content:
                raise Wrong(f"a reader at {name} reads something else than what it opened")

    def damage(self, number: int, bit: int) -> None:
        """Turn a bit of a content over that waits at a standby, and that no table shares."""
        if name := self.standby():
            staged = sorted((self.sites[name].folder / "landing" / "contents").glob("*/*"))
            alone = [one for one in staged if one.stat().st_nlink == 1 and one.stat().st_size]
            if alone:
                file = alone[number % len(alone)]
                file.write_bytes(flipped(file.read_bytes(), bit))
                self.steps["damage"] += 1

    def told(self) -> str:
        """Say where everything stands, for who reads a failure."""
        lines = []
        for name, site in self.sites.items():
            status = site.inbound.status()
            lines.append(
                f"{name}: {self.expected[name].role} {site.pair.fence.epoch} {site.pair.fence.barrier}"
                f" latest {self.expected[name].latest} standing {site.landing.position(STREAM)}"
                f" sends {site.backup.source.position()} {site.backup.full_due}"
                f" rounds {[(row.key, row.state, row.error) for row in site.backup.rounds()[-3:]]}"
                f" restores {[(row.key, row.state, row.error) for row in site.landing.rounds()[-2:]]}"
                f" alarms {status.alarms} missing {status.missing} {site.outbound.status().alarms}"
            )
        return "\n".join(lines)


def content_of(table: Table) -> Content:
    columns = [item for item in table.schema.fields if item.name != KEY]
    rows = [row for batch in table.scan() for row in batch.to_pylist()]
    return (
        tuple((item.name, item.type.value) for item in columns),
        frozenset((row[KEY], tuple(row[item.name] for item in columns)) for row in rows),
    )


def _same(found: dict[str, Any], wanted: Sheets, what: str) -> None:
    for name, sheet in wanted.items():
        if found.get(name) != (sheet.identity, sheet.content):
            raise Wrong(f"{what}: {_differ({name: found.get(name)}, contents({name: sheet}))}")


def _differ(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    return "\n".join(
        f"  {name}\n    found  {found.get(name)}\n    wanted {wanted.get(name)}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    )


__all__ = ["OTHER", "Died", "World", "Wrong"]
