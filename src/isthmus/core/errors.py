"""One tree of errors. Each says what is wrong, what to do next, and whether trying again can help.

The faces print `str(error)` as one line; a traceback is shown only on request.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar


class IsthmusError(Exception):
    """Base of all errors that Isthmus raises on purpose.

    `what` says what is wrong and where; `hint` says what to do. `retryable` is true where the same call may
    succeed later without anybody changing anything. `exit_code` is what the command line ends with.
    """

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = what
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}" if self.hint else self.what

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.what, self.hint)  # crosses the border of a worker process unchanged


class InputError(IsthmusError):
    """What the user or a file asks for cannot be done as it stands."""

    exit_code = 2


class UnknownName(InputError):
    """A source, rule, parameter, table, column … that does not exist; names the nearest that does."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> UnknownName:
        """Build the error for `name`, which is none of the `known` names of this `kind`."""
        return cls(f"unknown {kind} {name!r}", suggestion(name, known))


class WrongArguments(InputError):
    """Everything that is wrong in what an operation was given; each mistake is one line."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))

    def __reduce__(self) -> tuple[type, tuple[Sequence[str]]]:  # type: ignore[override]
        return type(self), (self.mistakes,)


class ConditionError(InputError):
    """A condition that cannot be read, or whose types do not fit.

    `offset` is the place in its text, from 0, or None where the text is not known (yet).
    """

    def __init__(self, what: str, hint: str = "", offset: int | None = None) -> None:
        self.offset = offset
        super().__init__(what, hint)

    def __reduce__(self) -> tuple[type, tuple[str, str, int | None]]:  # type: ignore[override]
        return type(self), (self.what, self.hint, self.offset)


class UnknownInCondition(ConditionError, UnknownName):
    """A condition that speaks of a field, rule or parameter that does not exist."""


class QueryRefused(InputError):
    """A statement that is not one plain read, or that the OLAP cannot understand."""


class MissingExtra(InputError):
    """A part that is not installed; the hint names the extra that brings it."""

    @classmethod
    def named(cls, what: str, extra: str) -> MissingExtra:
        """Build the error for `what`, which the optional `extra` brings."""
        return cls(f"{what} is not installed", f"install it with: pip install 'isthmus[{extra}]'")


class SourceError(IsthmusError):
    """A source cannot be read at all (a folder that is not there, a day not finished by its producer)."""

    exit_code = 2


class Busy(IsthmusError):
    """Another process holds what this one needs."""

    retryable = True
    exit_code = 4


class Corrupt(IsthmusError):
    """Bytes that are not what their digest or format says."""

    exit_code = 5


class Diverged(Corrupt):
    """The content after an application is not the one that the sender had: nothing was committed."""


class Refused(IsthmusError):
    """A signature, key or right that does not allow what was asked."""

    exit_code = 6


class IllegalTransition(IsthmusError):
    """An event that the state machine does not know in this state."""


class RunFailed(IsthmusError):
    """A step of a run ended in an error; the run can be resumed from that step."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a configuration file."""

    file: str
    line: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}" if self.line else f"{self.file}: {self.what}"


class ConfigError(InputError):
    """Everything that is wrong in a configuration file, found in one reading."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))

    def __reduce__(self) -> tuple[type, tuple[Sequence[Mistake]]]:  # type: ignore[override]
        return type(self), (self.mistakes,)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Say which known name is nearest to `name`, or list the known ones where none is near."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return "none is defined"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"known: {shown}"
