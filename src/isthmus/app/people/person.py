"""Who is asking, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal


class Role(IntEnum):
    """What someone may do; each role may do what those before it may."""

    VIEWER = 1
    """See everything but secrets."""
    OPERATOR = 2
    """Run the site's operations."""
    ADMIN = 3
    """Change who may do what, and which site is the primary."""

    @classmethod
    def of(cls, text: str) -> Role:
        """Read a role by its name. Raises ValueError with the names there are."""
        try:
            return cls[text.upper()]
        except KeyError:
            names = ", ".join(str(role) for role in cls)
            raise ValueError(f"{text!r} is no role; roles are {names}") from None

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Person:
    """Who is asking: a person with a session, or a program with a key."""

    name: str
    role: Role
    by: Literal["session", "key"]

    def may(self, role: Role) -> bool:
        """Tell whether a role is enough."""
        return self.role >= role
