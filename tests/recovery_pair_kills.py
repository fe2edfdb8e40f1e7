"""A site of a pair that dies at any step of a round or of a change of role, and what must hold afterwards.

Each scene is made once, and copied for each death. Then both sites take turns, and nobody does anything else: they
come to rest in roles that are right, every table can be read whole, and no row is anywhere but where it should be.
What a person has to order in any case (the failback of a site that was fenced) is ordered then, once.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import recovery_pair_process
from isthmus.app.recovery.site import RecoverySite
from isthmus.core.errors import IsthmusError
from recovery_pair import INTERVAL_S, Two, full
from transfer_doubles import BEGIN

MORE = 'desync = "drop-desync-table"\npart_mb = 0.002'
Roles = tuple[str, str]


class Died(BaseException):
    """Stands for the end of a process at a step."""


def begun(two: Two) -> None:
    """a is the primary of four tables, and b shows them."""
    for table, row in (("things", "one"), ("words", "w"), ("gone", "g"), ("again", "first")):
        two.add(two.a, table, row, bulk=100)
    two.settle()


def altered(two: Two, site: RecoverySite) -> None:
    """Write, make, rename, drop, and drop and make again."""
    two.add(site, "things", *(f"{site.config.site.name} {number}" for number in range(8)), bulk=400)
    two.add(site, "fresh", "f")
    site.catalog.rename(full("words"), full("verbs"))
    site.catalog.drop(full("gone"))
    site.catalog.drop(full("again"))
    two.add(site, "again", "second", bulk=100)
    two.clock.forward(INTERVAL_S)


def a_round(two: Two) -> None:
    begun(two)
    altered(two, two.a)


def a_landing(two: Two) -> None:
    a_round(two)
    two.turn(two.a)


def a_handover(two: Two) -> None:
    a_round(two)


def a_takeover(two: Two) -> None:
    a_handover(two)
    two.a.turnover.hand_over()
    two.turn(two.a)


def a_demotion(two: Two) -> None:
    a_takeover(two)
    two.turn(two.b)


def an_epoch(two: Two) -> None:
    a_demotion(two)
    two.turn(two.a)
    two.add(two.b, "things", "of epoch 2")
    two.clock.forward(INTERVAL_S)


def a_whole_landing(two: Two) -> None:
    an_epoch(two)
    two.turn(two.b)


def a_giving_up(two: Two) -> None:
    a_round(two)
    two.a.turnover.hand_over()


def a_failover(two: Two) -> None:
    begun(two)
    two.cut_link()
    two.add(two.a, "things", "alone", bulk=400)


def a_failover_in_a_landing(two: Two) -> None:
    """b died in the middle of a round that it has to take back."""
    a_landing(two)
    die(two, two.b, "turn", named="landing collision placed")


def an_outranking(two: Two) -> None:
    a_failover(two)
    two.fail_over(two.b)
    two.add(two.b, "things", "of b", bulk=400)
    two.add(two.b, "here", "h")
    two.turn(two.b)
    two.mend_link()
    two.carry()


def a_failback(two: Two) -> None:
    an_outranking(two)
    two.add(two.a, "only", "a")
    two.turn(two.a)
    two.turn(two.b)


def a_leaving(two: Two) -> None:
    a_landing(two)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is made before, who does what and dies, and which roles may be there when all has come to rest."""

    made: Callable[[Two], None]
    site: str
    action: str
    rest: tuple[Roles, ...]


BEFORE, AFTER = ("primary", "standby"), ("standby", "primary")
FENCED = ("fenced", "primary")
SCENES = {
    scene.made.__name__: scene
    for scene in (
        Scene(a_round, "a", "turn", (BEFORE,)),
        Scene(a_landing, "b", "turn", (BEFORE,)),
        Scene(a_handover, "a", "hand_over", (BEFORE, AFTER)),
        Scene(a_takeover, "b", "turn", (AFTER,)),
        Scene(a_demotion, "a", "turn", (AFTER,)),
        Scene(an_epoch, "b", "turn", (AFTER,)),
        Scene(a_whole_landing, "a", "turn", (AFTER,)),
        Scene(a_giving_up, "a", "give_up", (BEFORE, AFTER)),
        Scene(a_failover, "b", "fail_over", (BEFORE, FENCED)),
        Scene(a_failover_in_a_landing, "b", "fail_over", (BEFORE, FENCED)),
        Scene(an_outranking, "a", "turn", (FENCED,)),
        Scene(a_failback, "a", "fail_back", (FENCED, AFTER)),
        Scene(a_leaving, "b", "leave", (BEFORE, ("primary", "independent"))),
    )
}


class Stage:
    """The scenes, each made once under a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Two] = {}
        self._steps: dict[str, list[str]] = {}
        self.killed = 0

    def copy(self, name: str, into: Path) -> Two:
        """Return a scene as it is before its action."""
        if name not in self._made:
            made = Two(self._folder / name, MORE)
            SCENES[name].made(made)
            made.close()
            self._made[name] = made
        two = Two(into, like=self._made[name])
        two.linked = self._made[name].linked
        return two

    def steps(self, name: str) -> list[str]:
        """Return the names of the steps that the action of a scene takes, in their order."""
        if name not in self._steps:
            two = self.copy(name, self._folder / f"{name}-steps")
            site = getattr(two, SCENES[name].site)
            told: list[str] = []
            site.step = told.append
            recovery_pair_process.ACTIONS[SCENES[name].action](site)
            two.close()
            self._steps[name] = told
        return self._steps[name]

    def check(self, name: str, at: int, into: Path, really: bool) -> None:
        """Let the site of a scene die at the step `at` of its action, counted from 1, and both go on."""
        scene, two = SCENES[name], self.copy(name, into)
        wanted = two.tables(two.a)
        site = getattr(two, scene.site)
        if really:
            kill(two, site, scene.action, at)
        else:
            die(two, site, scene.action, at)
        self.killed += 1
        two.mend_link()
        try:
            settle(two)
            came_to_rest(two, scene, wanted)
        except (AssertionError, IsthmusError) as error:
            raise AssertionError(f"{name} at step {at} ({self.steps(name)[at - 1]}): {error}") from error
        two.close()


def chosen(steps: list[str], seed: int) -> list[int]:
    """Choose one time of each step by its name, counted from 1."""
    times: dict[str, list[int]] = {}
    for at, step in enumerate(steps, 1):
        times.setdefault(step, []).append(at)
    return [random.Random(f"{seed} {step}").choice(each) for step, each in times.items()]


def die(two: Two, site: RecoverySite, action: str, at: int = 0, named: str = "") -> None:
    """Do an action in this process and leave all as it is at a step; nothing that follows does anything."""
    left = at

    def step(told: str) -> None:
        nonlocal left
        left -= 1
        if left <= 0 if at else told == named or left < -(10**6):
            left = -(10**7)
            raise Died(told)

    site.step = step
    try:
        recovery_pair_process.ACTIONS[action](site)
    except Died:
        two.reopen(site)
        return
    raise AssertionError(f"{action} did not come to step {at or named}")


def kill(two: Two, site: RecoverySite, action: str, at: int) -> None:
    """Do an action in a process that kills itself at a step."""
    name, seconds = site.config.site.name, (two.clock.now() - BEGIN).total_seconds()
    site.close()
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, recovery_pair_process.__file__, str(two.folder), name, action, str(seconds), str(at)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"{action} did not come to step {at}: {done.stderr}"
    two.reopen(site)


def settle(two: Two) -> None:
    """Let both take turns, with nothing of them lost on the way."""
    two.carry()
    two.settle()


def came_to_rest(two: Two, scene: Scene, wanted: dict[str, list[str]]) -> None:
    """See that roles and tables are right; order the failback where one is due; see that rows go over again."""
    assert two.roles() in scene.rest, f"{two.roles()} are no roles to rest in: {two.told[-8:]}"
    everywhere = {**two.tables(two.a), **two.tables(two.b)}
    assert everywhere
    if two.roles() == FENCED:
        two.fail_back(two.a)
        settle(two)
    if "independent" in two.roles():
        return
    if scene.action == "leave":  # it stopped the rounds before, and they stay so until a person starts them
        site = getattr(two, scene.site)
        site.notes.put(**{"restore stopped": ""})
        settle(two)
    primary, standby = (two.a, two.b) if two.roles() == BEFORE else (two.b, two.a)
    shown = {name: rows for name, rows in two.tables(standby).items() if ".quarantine." not in name}
    known = {name: rows for name, rows in two.tables(primary).items() if ".quarantine." not in name}
    known = {name: rows for name, rows in known.items() if name in shown or name != "main.fleet.only"}
    assert shown == known, f"{shown} is shown of {known}"
    rows = {row for each in (two.tables(two.a), two.tables(two.b)) for found in each.values() for row in found}
    assert rows >= {row for found in wanted.values() for row in found}, "a row is nowhere any more"
    two.add(primary, "things", "after all")
    settle(two)
    assert two.rows(standby, "things") == two.rows(primary, "things")
    assert not standby.landing.missing()
