"""An operation, what it takes, and one run of it, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from isthmus.app.people.person import Role
from isthmus.core.progress import Progress

Kind = Literal["text", "whole number", "number", "yes or no", "moment", "file in", "file out", "choice"]
State = Literal["waiting", "running", "done", "failed", "cancelled", "lost"]
"""`lost`: the server or the machine stopped while it ran."""
ENDED: tuple[State, ...] = ("done", "failed", "cancelled", "lost")


@dataclass(frozen=True, slots=True)
class Parameter:
    """What an operation takes. `flag` is the option's name on the command line, empty for an argument by place.

    `least` and `most` bound a number, where it is bounded; `plain` texts are names without any sign of a path.
    """

    name: str
    kind: Kind
    about: str
    flag: str = ""
    needed: bool = False
    many: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One command of the command line, such as `recovery verify`, as something to run.

    `secret`: what it prints and writes is a secret, such as a new key. Who began it alone is shown that, for a
    while.
    """

    name: str
    about: str
    role: Role
    parameters: tuple[Parameter, ...] = ()
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """One run of an operation. `command` is the command line that does the same, for who would rather type it."""

    id: str
    operation: str
    arguments: Mapping[str, Any]
    command: str
    by: str
    state: State
    begun: datetime
    ended: datetime | None = None
    exit_code: int | None = None
    progress: Progress | None = None
    said: str = ""
    """What it printed for people, the last lines."""
    error: str = ""
    files: tuple[str, ...] = field(default=())
    """Names of the files that it wrote."""
