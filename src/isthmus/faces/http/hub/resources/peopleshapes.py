"""What goes in and out at the doors of people, keys and the audit log. No shape shows a secret in its repr."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from isthmus.app.people.keyring import KeyShown
from isthmus.app.people.person import Person, Role
from isthmus.app.people.register import Member
from isthmus.app.people.rules import LEAST_PASSWORD, MOST_PASSWORD
from isthmus.app.people.trail import Line

RoleName = Literal["viewer", "operator", "admin"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
Password = Annotated[str, msgspec.Meta(max_length=MOST_PASSWORD, extra_json_schema={"minLength": LEAST_PASSWORD})]
"""A new one. That it is long enough is judged with the other rules, and told in better words."""


class LogIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name and its password."""

    name: Annotated[str, msgspec.Meta(max_length=200)]
    password: Annotated[str, msgspec.Meta(max_length=MOST_PASSWORD)]

    def __repr__(self) -> str:
        return "LogIn(…)"


class NewPerson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person to be added."""

    name: Name
    role: RoleName
    password: Password

    def __repr__(self) -> str:
        return f"NewPerson({self.name!r}, {self.role!r}, …)"


class NewRole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another role."""

    role: RoleName


class NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another password. `current` is the present one, which one's own change needs."""

    password: Password
    current: Annotated[str, msgspec.Meta(max_length=MOST_PASSWORD)] = ""

    def __repr__(self) -> str:
        return "NewPassword(…)"


class WantedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made; without `days` it lasts until it is revoked."""

    name: Name
    role: RoleName = "viewer"
    days: Annotated[float, msgspec.Meta(gt=0, le=3650)] | None = None


class Me(msgspec.Struct, frozen=True):
    """Who asks. `csrf` goes as the header `x-csrf-token` with every change that a cookie goes with."""

    name: str
    role: RoleName
    by: Literal["session", "key"]
    csrf: str = ""


class PersonShown(msgspec.Struct, frozen=True):
    """A person. `seen` is the latest login."""

    name: str
    role: RoleName
    made: datetime
    made_by: str
    changed: datetime
    seen: datetime | None = None


class KeyOut(msgspec.Struct, frozen=True):
    """An API key, never its text; `prefix` are its first signs."""

    name: str
    prefix: str
    role: RoleName
    made: datetime
    made_by: str
    expires: datetime | None = None
    used: datetime | None = None
    revoked: datetime | None = None


class MadeKey(msgspec.Struct, frozen=True):
    """A key that was made: `text` is told this once."""

    key: KeyOut
    text: str

    def __repr__(self) -> str:
        return f"MadeKey({self.key!r}, …)"


class ActShown(msgspec.Struct, frozen=True):
    """A line of the audit log. `digest` continues that of the line before."""

    number: int
    at: datetime
    who: str
    act: str
    subject: str
    outcome: str
    where: str
    digest: str


class Proof(msgspec.Struct, frozen=True):
    """Whether the audit log is whole. Note `head` elsewhere: with it a log that was written anew shows."""

    lines: int
    head: str
    faults: Sequence[str]


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`since` is a head that was noted before."""

    since: Annotated[str, msgspec.Meta(max_length=100)] = ""


class Ended(msgspec.Struct, frozen=True):
    """How many sessions ended."""

    sessions: int


def role_name(role: Role) -> RoleName:
    """Return a role's name."""
    names: dict[Role, RoleName] = {Role.VIEWER: "viewer", Role.OPERATOR: "operator", Role.ADMIN: "admin"}
    return names[role]


def me_of(person: Person, csrf: str) -> Me:
    """Show who asks."""
    return Me(person.name, role_name(person.role), person.by, csrf)


def person_shown(one: Member) -> PersonShown:
    """Show a person."""
    return PersonShown(one.name, role_name(one.role), one.made, one.made_by, one.changed, one.seen)


def key_shown(one: KeyShown) -> KeyOut:
    """Show a key."""
    return KeyOut(
        one.name, one.prefix, role_name(one.role), one.made, one.made_by, one.expires, one.used, one.revoked
    )


def act_shown(one: Line) -> ActShown:
    """Show a line of the audit log."""
    return ActShown(one.number, one.at, one.who, one.act, one.subject, one.outcome, one.where, one.digest)
