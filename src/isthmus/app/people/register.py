"""The people of a site: names, roles, hashes of passwords. Each change is noted in its own transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from isthmus.app.people.person import Role
from isthmus.app.people.rules import keep_an_admin, name_of
from isthmus.app.people.tables import seconds
from isthmus.app.people.trail import Actor, Trail
from isthmus.core.errors import InputError, UnknownName
from isthmus.core.ports import Clock
from isthmus.state.store import Store


@dataclass(frozen=True, slots=True)
class Member:
    """A person as others may see them: never the password's hash. `seen` is the latest login."""

    name: str
    role: Role
    made: datetime
    made_by: str
    changed: datetime
    seen: datetime | None


class Register:
    """The people of a site."""

    def __init__(self, store: Store, clock: Clock, trail: Trail) -> None:
        self._store, self._clock, self._trail = store, clock, trail

    def add(self, name: str, role: Role, hashed: str, by: Actor) -> str:
        """Add a person, with the hash of a password that was judged; returns the name as it is stored.

        Raises InputError where there is one of that name.
        """
        name, now = name_of(name), seconds(self._clock)
        with self._store.transaction() as own:
            if name in _roles(own):
                raise InputError(
                    f"there is a user {name} already", "change the role or the password, or take another name"
                )
            own.execute(
                "INSERT INTO person VALUES (?, ?, ?, ?, ?, ?, NULL)", (name, str(role), hashed, now, by.who, now)
            )
            self._trail.note(by, "user add", name, f"done: {role}", connection=own)
        return name

    def set_role(self, name: str, role: Role, by: Actor) -> None:
        """Give a person another role; it counts from their next call. Raises UnknownName, Refused (last admin)."""
        name = name_of(name)
        with self._store.transaction() as own:
            roles = _roles(own)
            _need(name, roles)
            keep_an_admin(roles, name, role)
            own.execute("UPDATE person SET role = ? WHERE name = ?", (str(role), name))
            self._trail.note(by, "user role", name, f"done: {roles[name]} to {role}", connection=own)

    def set_password(self, name: str, hashed: str, by: Actor) -> None:
        """Give a person another password, which ends all of their sessions. Raises UnknownName."""
        name = name_of(name)
        with self._store.transaction() as own:
            _need(name, _roles(own))
            own.execute(
                "UPDATE person SET password = ?, changed = ? WHERE name = ?", (hashed, seconds(self._clock), name)
            )
            own.execute("DELETE FROM session WHERE name = ?", (name,))
            own.execute("DELETE FROM known_from WHERE name = ?", (name,))
            self._trail.note(by, "user password", name, connection=own)

    def remove(self, name: str, by: Actor) -> None:
        """Remove a person, which ends all of their sessions. Raises UnknownName, Refused (last admin)."""
        name = name_of(name)
        with self._store.transaction() as own:
            roles = _roles(own)
            _need(name, roles)
            keep_an_admin(roles, name, None)
            own.execute("DELETE FROM person WHERE name = ?", (name,))
            self._trail.note(by, "user remove", name, f"done: was {roles[name]}", connection=own)

    def members(self, after: str = "", most: int = 1000) -> list[Member]:
        """List people by name."""
        rows = self._store.rows("SELECT * FROM person WHERE name > ? ORDER BY name LIMIT ?", (after, most))
        return [_member(row) for row in rows]

    def member(self, name: str) -> Member:
        """Return one person. Raises UnknownName, InputError."""
        rows = self._store.rows("SELECT * FROM person WHERE name = ?", (name_of(name),))
        if not rows:
            raise _unknown(name)
        return _member(rows[0])

    def hashed(self, name: str) -> str:
        """Return the hash of a person's password; empty where there is no such person."""
        rows = self._store.rows("SELECT password FROM person WHERE name = ?", (name,))
        return str(rows[0]["password"]) if rows else ""


def _member(row: sqlite3.Row) -> Member:
    return Member(
        row["name"],
        Role.of(row["role"]),
        moment(row["made"]),
        row["made_by"],
        moment(row["changed"]),
        None if row["seen"] is None else moment(row["seen"]),
    )


def moment(at: float) -> datetime:
    """Return Unix seconds as a moment in UTC."""
    return datetime.fromtimestamp(at, UTC)


def _roles(connection: sqlite3.Connection) -> dict[str, Role]:
    return {row["name"]: Role.of(row["role"]) for row in connection.execute("SELECT name, role FROM person")}


def _need(name: str, roles: dict[str, Role]) -> None:
    if name not in roles:
        raise _unknown(name)


def _unknown(name: str) -> UnknownName:
    return UnknownName(f"there is no user {name!r}", "see: isthmus user list")
