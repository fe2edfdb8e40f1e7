"""What expressions yield: truths, numbers, texts, dates and arrays of them."""

from __future__ import annotations

import datetime
import enum
import math
from typing import TypeAlias

from isthmus.core.errors import ConditionError

Value: TypeAlias = bool | int | float | str | datetime.date


class Type(enum.Enum):
    """What an expression yields (or null)."""

    BOOL = "true or false"
    INT = "a whole number"
    FLOAT = "a number"
    STRING = "a text"
    DATE = "a date"
    INTS = "an array of whole numbers"
    FLOATS = "an array of numbers"
    STRINGS = "an array of texts"

    @property
    def numeric(self) -> bool:
        """Whether arithmetic understands it."""
        return self in (Type.INT, Type.FLOAT)

    @property
    def element(self) -> Type | None:
        """What the array holds; None for what is no array."""
        return {Type.INTS: Type.INT, Type.FLOATS: Type.FLOAT, Type.STRINGS: Type.STRING}.get(self)

    @property
    def ordered(self) -> bool:
        """Whether < and > mean something."""
        return self.numeric or self in (Type.STRING, Type.DATE)


def type_of_value(value: object) -> Type:
    """Tell the type of a constant.

    Raises ConditionError for what engines cannot hold: NaN, infinity, whole numbers beyond 64 bits.
    """
    if isinstance(value, bool):
        return Type.BOOL
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ConditionError(f"{value} is beyond whole numbers of 64 bits", "write it with a decimal point")
        return Type.INT
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConditionError(f"{value} is no number to compare with", "write a finite number")
        return Type.FLOAT
    if isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ConditionError(f"{value!r} is no valid Unicode text", "write it in UTF-8")
        return Type.STRING
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return Type.DATE
    raise ConditionError(f"{value!r} is none of true, false, a number, a text, a date")
