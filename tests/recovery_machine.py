"""The rules by which the model of recovery is driven: by Hypothesis, or by a seeded random for planted bugs."""

from __future__ import annotations

import datetime
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from recovery_changes import Changes
from recovery_model import OTHER, World
from rough_gate import flipped

_SHM = Path("/dev/shm")
NUMBERS = st.integers(0, 999)
FUSES = st.one_of(st.just(0), st.integers(1, 9), st.integers(1, 60))
"""After so many steps a site dies; 0: it does not."""


def scratch() -> Path:
    """Make a folder, in memory where that can be: nothing here asks whether the disk keeps what it syncs."""
    return Path(tempfile.mkdtemp(prefix="isthmus-model-", dir=_SHM if _SHM.is_dir() else None))


class Deeds:
    """Everything that can happen to two sites, each by a few numbers."""

    def __init__(self) -> None:
        self.folder = scratch()
        self.world = World(self.folder)
        self.changes = Changes(self.world)

    def close(self) -> None:
        self.world.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, seed: int) -> None:
        """Two tables, published, with their first round shown."""
        for step in range(2):
            self.changes.tables("a", 0, 0, seed + step)
        self.changes.publish("a", seed, 0)
        if seed % 3:
            self.world.settle()

    def rows(self, site: int, number: int, kind: int, seed: int) -> None:
        self.changes.rows(self._primary(site), number, kind % 3, seed)

    def tables(self, site: int, number: int, kind: int, seed: int) -> None:
        self.changes.tables(self._primary(site), number, kind % 4, seed)

    def columns(self, site: int, number: int, kind: int, seed: int) -> None:
        self.changes.columns(self._primary(site), number, kind % 5, seed)

    def care(self, site: int, number: int, kind: int) -> None:
        self.changes.care(self._primary(site), number, kind % 4)

    def publish(self, site: int, number: int, kind: int) -> None:
        self.changes.publish(self._primary(site), number, kind % 4)

    def forbidden(self, site: int, number: int) -> None:
        self.changes.forbidden("ab"[site % 2], number)

    def back_up(self, site: int, full: int, fuse: int) -> None:
        name = self._primary(site)

        def write() -> None:
            for table in range(3):
                self.changes.rows(name, table, 1, full + table)

        self.world.back_up(name, full % 8 == 7, fuse, write if full % 3 == 1 else None)

    def turn(self, site: int, fuse: int) -> None:
        self.world.turn("ab"[site % 2], fuse)

    def land(self, site: int, fuse: int) -> None:
        """A round, and at once the standby's turn that brings it in, or dies at it."""
        name = self._primary(site)
        self.world.back_up(name)
        if self.world.expected[OTHER[name]].role == "standby":
            self.world.turn(OTHER[name], fuse)

    def rogue(self, number: int, what: int) -> None:
        if standby := self.world.standby():
            self.world.rogue(standby, number, what)

    def read_on(self, number: int) -> None:
        self.world.read_on(number)

    def damage(self, number: int, bit: int) -> None:
        self.world.damage(number, bit)

    def jump(self, hours: int) -> None:
        self.world.clock.at += datetime.timedelta(hours=hours)
        self.world.steps["clock"] += 1

    def road(self, kind: int, number: int, bit: int) -> None:
        """Lose, hold back, repeat, cut short or alter a file on its way, or repeat all that ever went one way."""
        world = self.world
        lying = [(road, name) for road in world.roads for name in world.roads[road].names()]
        if kind % 7 == 6:
            for road, name, content in world.passed:
                if road == sorted(world.roads)[bit % 2]:
                    world.roads[road].hold(name, content)
        elif kind % 6 == 5 and world.withheld:
            road, name, content = world.withheld.pop(number % len(world.withheld))
            world.roads[road].hold(name, content)
        elif kind % 6 == 4 and world.passed:
            road, name, content = world.passed[number % len(world.passed)]
            world.roads[road].hold(name, content)
        elif lying:
            road, name = lying[number % len(lying)]
            carrier = world.roads[road]
            content = carrier.files[name]
            if kind % 6 == 3:
                carrier.hold(name, flipped(content, bit))
            elif kind % 6 == 2:
                carrier.hold(name, content[: bit % (len(content) + 1)])
            else:
                carrier.drop(name)
                if kind % 6 == 1:
                    world.withheld.append((road, name, content))
        world.steps["road"] += 1

    def role(self, kind: int, fuse: int) -> None:
        """Order a change of role, where one can be ordered."""
        world = self.world
        roles = {name: world.expected[name].role for name in "ab"}
        standby, rulers = world.standby(), world.primaries()
        if kind % 4 == 0 and standby and world.expected[standby].barrier:
            world.fail_over(standby, fuse)
        elif kind % 4 == 1 and len(rulers) == 1 and standby:
            world.hand_over(rulers[0], fuse)
        elif kind % 4 == 2:
            for name in "ab":
                if roles[name] == "yielding":
                    world.give_up(name)
        else:
            for name in "ab":
                if roles[name] in ("fenced", "primary") and roles[OTHER[name]] == "primary":
                    world.fail_back(name, fuse)
                    break

    def settle(self) -> None:
        self.world.settle()
        self.world.steps["settled"] += 1

    def _primary(self, site: int) -> str:
        rulers = self.world.primaries() or ["a"]
        return rulers[site % len(rulers)]


class TwoSites(RuleBasedStateMachine):
    """The rules, as Hypothesis drives them."""

    total: ClassVar[Counter[str]] = Counter()
    began: ClassVar[float] = time.perf_counter()

    def __init__(self) -> None:
        super().__init__()
        self.deeds = Deeds()

    @initialize(seed=NUMBERS)
    def begin(self, seed: int) -> None:
        self.deeds.start(seed)

    @rule(site=NUMBERS, number=NUMBERS, kind=NUMBERS, seed=NUMBERS)
    def rows(self, site: int, number: int, kind: int, seed: int) -> None:
        self._count()
        self.deeds.rows(site, number, kind, seed)

    @rule(site=NUMBERS, number=NUMBERS, kind=NUMBERS, seed=NUMBERS)
    def tables(self, site: int, number: int, kind: int, seed: int) -> None:
        self._count()
        self.deeds.tables(site, number, kind, seed)

    @rule(site=NUMBERS, number=NUMBERS, kind=NUMBERS, seed=NUMBERS)
    def columns(self, site: int, number: int, kind: int, seed: int) -> None:
        self._count()
        self.deeds.columns(site, number, kind, seed)

    @rule(site=NUMBERS, number=NUMBERS, kind=NUMBERS)
    def care(self, site: int, number: int, kind: int) -> None:
        self._count()
        self.deeds.care(site, number, kind)

    @rule(site=NUMBERS, number=NUMBERS, kind=NUMBERS)
    def publish(self, site: int, number: int, kind: int) -> None:
        self._count()
        self.deeds.publish(site, number, kind)

    @rule(site=NUMBERS, full=NUMBERS, fuse=FUSES)
    def back_up(self, site: int, full: int, fuse: int) -> None:
        self._count()
        self.deeds.back_up(site, full, fuse)

    @rule(site=NUMBERS, fuse=FUSES)
    def turn(self, site: int, fuse: int) -> None:
        self._count()
        self.deeds.turn(site, fuse)

    @rule(site=NUMBERS)
    def turn_whole(self, site: int) -> None:
        self._count()
        self.deeds.turn(site, 0)

    @rule(site=NUMBERS, fuse=st.integers(0, 40))
    def land(self, site: int, fuse: int) -> None:
        self._count()
        self.deeds.land(site, fuse)

    @rule(kind=NUMBERS, number=NUMBERS, bit=st.integers(0, 1 << 20))
    def road(self, kind: int, number: int, bit: int) -> None:
        self._count()
        self.deeds.road(kind, number, bit)

    @rule(number=NUMBERS, what=NUMBERS)
    def rogue(self, number: int, what: int) -> None:
        self._count()
        self.deeds.rogue(number, what)

    @rule(number=NUMBERS)
    def read_on(self, number: int) -> None:
        self._count()
        self.deeds.read_on(number)

    @rule(number=NUMBERS, bit=st.integers(0, 1 << 20))
    def damage(self, number: int, bit: int) -> None:
        self._count()
        self.deeds.damage(number, bit)

    @rule(hours=st.sampled_from((-1, 1)))
    def jump(self, hours: int) -> None:
        self._count()
        self.deeds.jump(hours)

    @rule(site=NUMBERS, number=NUMBERS)
    def forbidden(self, site: int, number: int) -> None:
        self._count()
        self.deeds.forbidden(site, number)

    @rule(kind=NUMBERS, fuse=FUSES)
    def role(self, kind: int, fuse: int) -> None:
        self._count()
        self.deeds.role(kind, fuse)

    @rule(number=NUMBERS)
    def settle(self, number: int) -> None:
        self._count()
        if number % 4 == 3:  # it costs as much as ten others
            self.deeds.settle()

    def _count(self) -> None:
        TwoSites.total["steps"] += 1

    def teardown(self) -> None:
        try:
            self.deeds.settle()
        finally:
            TwoSites.total += self.deeds.world.steps
            self.deeds.close()

    @classmethod
    def told(cls) -> str:
        """Say how much was tried."""
        took = time.perf_counter() - cls.began
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(cls.total.items()) if "died at" not in name)
        places = sum(name.startswith("died at") for name in cls.total)
        return f"{cls.total['steps']:,} steps in {took:.0f} s; deaths at {places} named steps; {kinds}"


class Seeded:
    """The same deeds, chosen by a seeded random with weights."""

    def __init__(self, seed: int, weights: dict[str, int]) -> None:
        self._dice, self._weights = random.Random(seed), weights
        self.steps = 0
        self.log: list[str] = []

    def run(self, steps: int) -> None:
        """Take so many steps, then let everything come to rest. Raises what the oracle finds."""
        dice, deeds = self._dice, Deeds()
        try:
            deeds.start(1)
            for _ in range(steps):
                self.steps += 1
                self._deed(deeds, dice.choices(list(self._weights), list(self._weights.values()))[0])
            deeds.settle()
        finally:
            deeds.close()

    def _deed(self, deeds: Deeds, name: str) -> None:
        dice = self._dice
        number = [dice.randrange(1000) for _ in range(4)]
        fuse = dice.choice((0, dice.randint(1, 9), dice.randint(1, 60)))
        self.log.append(f"{name} {number} {fuse}")
        deeds.world.log = self.log
        match name:
            case "rows" | "tables" | "columns":
                getattr(deeds, name)(*number)
            case "care" | "publish":
                getattr(deeds, name)(*number[:3])
            case "back_up":
                deeds.back_up(number[0], number[1], fuse)
            case "round":
                deeds.back_up(number[0], 0, 0)
            case "land":
                deeds.land(number[0], dice.randint(1, 30))
            case "turn":
                deeds.turn(number[0], fuse)
            case "look":
                deeds.turn(number[0], 0)
            case "road":
                deeds.road(number[0], number[1], dice.randrange(1 << 20))
            case "read_on":
                deeds.read_on(number[0])
            case "damage":
                deeds.damage(number[0], dice.randrange(1 << 20))
            case "rogue" | "forbidden":
                getattr(deeds, name)(*number[:2])
            case "role":
                deeds.role(number[0], fuse)
            case "failover" | "switch" | "failback":
                deeds.role({"failover": 0, "switch": 1, "failback": 3}[name], 0)
            case "settle":
                deeds.settle()
            case "jump":
                deeds.jump(dice.choice((-1, 1)))
