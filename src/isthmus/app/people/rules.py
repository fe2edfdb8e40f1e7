"""What holds of people and keys, decided without I/O: names, passwords, the last admin, how long sessions live."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from isthmus.app.people.person import Role
from isthmus.core.errors import InputError, Refused

LEAST_PASSWORD = 12
MOST_PASSWORD = 256
CLOCK_STEP_S = 120.0
"""So far back a clock may be set without ending sessions; further, nobody knows how old they are."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_LEAST_SIGNS = 5
_COMMON = (
    "password",
    "passwort",
    "qwertyuiop",
    "qwerty",
    "administrator",
    "admin",
    "letmein",
    "welcome",
    "isthmus",
)


def name_of(text: str) -> str:
    """Return a name of a person or key as it is stored: in lower case. Raises InputError."""
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise InputError(
            "that is no name", "use letters, digits and . _ @ -, 64 at most, a letter or digit first"
        )  # without the text: some type their password where the name belongs
    return name


def password_of(text: str) -> str:
    """Return a password as it is hashed: in NFKC, so that all keyboards write it alike (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", text)


def judge_password(text: str, name: str) -> str:
    """Return a new password of `name` as it is hashed. Raises InputError, which never holds the password."""
    password = password_of(text)
    if len(password) < LEAST_PASSWORD:
        raise InputError(f"the password has {len(password)} signs", f"take {LEAST_PASSWORD} or more")
    if len(password) > MOST_PASSWORD:
        raise InputError(f"the password has more than {MOST_PASSWORD} signs", "take a shorter one")
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in password):
        raise InputError("the password has a control sign, such as a line end", "leave it out")
    core = re.sub(r"[\W\d_]+", "", password.lower())
    if len(set(password)) < _LEAST_SIGNS or core in _COMMON or core == re.sub(r"[\W\d_]+", "", name) != "":
        raise InputError(
            "the password is one of the first that are tried", "take a few words that do not go together"
        )
    return password


def keep_an_admin(roles: Mapping[str, Role], name: str, role: Role | None) -> None:
    """Raise Refused where `name` is the last admin and is to get another `role`, or none."""
    others = [one for one, held in roles.items() if held is Role.ADMIN and one != name]
    if roles.get(name) is Role.ADMIN and role is not Role.ADMIN and not others:
        what = "removed" if role is None else f"made {role}"
        raise Refused(f"{name} is the last admin and cannot be {what}", "make another admin first")


@dataclass(frozen=True, slots=True)
class Lasting:
    """How long a session lives: `age_s` after the login, `idle_s` after the last call."""

    age_s: float = 12 * 3600.0
    idle_s: float = 3600.0

    def alive(self, made: float, seen: float, now: float) -> bool:
        """Tell whether a session that was made and last seen then (Unix seconds) still counts."""
        if now < max(made, seen) - CLOCK_STEP_S:
            return False
        return now - made < self.age_s and now - seen < self.idle_s

    @property
    def note_s(self) -> float:
        """How old `seen` may get before it is written anew: seldom, since each writing waits for the disk."""
        return min(60.0, self.idle_s / 4)
