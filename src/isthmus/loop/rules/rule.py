"""A rule, its parameters, and the values that a user may give them."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass

from isthmus.core.errors import InputError
from isthmus.core.expression import Expression
from isthmus.core.kinds import Type, Value, type_of_value


@dataclass(frozen=True, slots=True)
class RuleParameter:
    """What a user may choose in a rule. All numbers are FLOAT; `minimum` and `maximum` are allowed values.

    Raises InputError where the default does not fit the bounds, or the bounds each other.
    """

    name: str
    default: Value
    about: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise InputError(f"{self.name} allows nothing: its minimum is above its maximum")
        if self.type is Type.FLOAT:
            object.__setattr__(self, "default", float(self.default))  # type: ignore[arg-type]
        elif self.minimum is not None or self.maximum is not None:
            raise InputError(f"{self.name} is {self.type.value}: it takes no minimum or maximum")
        self._within(self.default, self.name)

    @property
    def type(self) -> Type:
        """What the parameter holds, told by its default."""
        found = type_of_value(self.default)
        return Type.FLOAT if found.numeric else found

    def value(self, given: Value, called: str) -> Value:
        """Read a value as a user gives it, most often as text. Raises InputError that calls it `called`."""
        read = self._read(given)
        if read is None:
            unit = f" in {self.unit}" if self.unit else ""
            words = {Type.DATE: "a date such as 2026-11-20", Type.BOOL: "true or false"}
            wanted = words.get(self.type, self.type.value + unit)
            raise InputError(
                f"{called} must be {wanted}, not {given!r}", f"for example {called}={shown(self.default)}"
            )
        self._within(read, called)
        return read

    def _read(self, given: Value) -> Value | None:
        text = given.strip() if isinstance(given, str) else None
        if self.type is Type.FLOAT:
            if isinstance(given, bool) or not isinstance(given, (int, float, str)):
                return None
            try:
                number = float(given)
            except (ValueError, OverflowError):
                return None
            return number if math.isfinite(number) else None
        if self.type is Type.BOOL and text is not None:
            return {"true": True, "false": False}.get(text.lower())
        if self.type is Type.DATE and text is not None:
            try:
                return datetime.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
            except ValueError:
                return None
        return given if type_of_value(given) is self.type else None

    def _within(self, value: Value, called: str) -> None:
        if not isinstance(value, float):
            return
        low, high, unit = self.minimum, self.maximum, f" {self.unit}" if self.unit else ""
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = " and ".join(
                f"{word} {bound:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None
            )
            raise InputError(f"{called} is {value:g}{unit}", f"allowed: {bounds}{unit}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A named condition. `expression` still holds its parameters and the names of other rules."""

    name: str
    about: str
    when: str
    expression: Expression
    parameters: tuple[RuleParameter, ...]
    file: str
    line: int | None


def shown(value: Value) -> str:
    """Write a value as a user would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
