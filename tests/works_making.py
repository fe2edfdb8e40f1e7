"""Works for tests: the real runner with a program that stands for the command line."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isthmus.app.clock import SystemClock
from isthmus.app.people.person import Person, Role
from isthmus.app.works.happening import Happening
from isthmus.app.works.recipe import Recipe, Recipes
from isthmus.app.works.runner import Runner, WorksSettings
from isthmus.app.works.waiting import wait_for
from isthmus.app.works.work import Operation, Parameter, Work

PROGRAM = Path(__file__).with_name("works_program.py")
STAND_IN = (sys.executable, str(PROGRAM))
ADA = Person("ada", Role.ADMIN, "session")
OLA = Person("ola", Role.OPERATOR, "session")
VIC = Person("vic", Role.VIEWER, "session")
LONG_S = 60.0

_TOLD = (
    Parameter("name", "text", "a name", needed=True),
    Parameter("more", "text", "", many=True),
    Parameter("where", "text", "a filter", "--where"),
    Parameter("count", "whole number", "", "--count", least=1, most=10),
    Parameter("share", "number", "", "--share"),
    Parameter("form", "choice", "", "--form", choices=("csv", "table")),
    Parameter("day", "moment", "", "--day"),
    Parameter("quick", "yes or no", "", "--quick"),
    Parameter("set", "text", "", "--set", many=True),
    Parameter("photo", "file in", "", "--photo"),
    Parameter("folder", "file in", "", "--folder", many=True),
    Parameter("out", "file out", "", "--out"),
    Parameter("picture", "file out", "", "--picture", default="scene.png"),
)
_ONE = {
    "tell": (Role.VIEWER, _TOLD),
    "go": (Role.OPERATOR, ()),
    "fail": (Role.OPERATOR, (Parameter("code", "whole number", "", "--code"),)),
    "much": (Role.OPERATOR, ()),
    "stay": (Role.OPERATOR, ()),
    "stubborn": (Role.OPERATOR, ()),
    "leave": (Role.OPERATOR, ()),
    "secret go": (Role.ADMIN, ()),
    "whisper": (Role.OPERATOR, ()),
}
SECRET = frozenset({"whisper"})
_ALWAYS = {"tell": ("--always",)}
RECIPES = {
    name: Recipe(
        Operation(name, f"{name} a while", role, parameters, name in SECRET),
        tuple(name.split()[-1:]),
        _ALWAYS.get(name, ()),
        grave=name == "secret go",
    )
    for name, (role, parameters) in _ONE.items()
}
QUICK = WorksSettings(grace_s=0.3)


def runner_in(
    folder: Path,
    settings: WorksSettings = QUICK,
    recipes: Callable[[], Recipes] = lambda: RECIPES,
    program: Sequence[str] = STAND_IN,
) -> Runner:
    """Return a runner that is not open yet."""
    site = folder / "isthmus.toml"
    site.touch()
    return Runner(folder / "state", site, recipes, SystemClock(), settings, program)


@contextmanager
def running(folder: Path, settings: WorksSettings = QUICK) -> Iterator[Runner]:
    """Open a runner for a block."""
    runner = runner_in(folder, settings)
    runner.open()
    try:
        yield runner
    finally:
        runner.close()


def done(runner: Runner, operation: str, by: Person = ADA, files: Any = None, **arguments: Any) -> Work:
    """Run an operation to its end."""
    return wait_for(runner, runner.start(operation, arguments, by, files).id, LONG_S)


def until(runner: Runner, id: str, holds: Callable[[Happening], bool]) -> Happening:
    """Wait for something that happens to a work, from its beginning."""
    found: list[Happening] = []
    come = threading.Event()

    def take(one: Happening) -> None:
        if one.work.id == id and not found and holds(one):
            found.append(one)
            come.set()

    leave, _ = runner.happenings.watch(take, f"{runner.happenings.start}-0")
    try:
        assert come.wait(LONG_S), "it never happened"
    finally:
        leave()
    return found[0]
