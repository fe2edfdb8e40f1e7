"""API keys of programs: 32 random bytes each, shown once and stored as their SHA-256 alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime

from isthmus.app.people.person import Person, Role
from isthmus.app.people.register import moment
from isthmus.app.people.rules import name_of
from isthmus.app.people.tables import seconds
from isthmus.app.people.trail import Actor, Trail
from isthmus.core.errors import InputError, UnknownName
from isthmus.core.ports import Clock
from isthmus.state.store import Store

MARK = "ish_"
"""What keys begin with, so that scanners of secrets find them where they should not be."""
_KEY_BYTES = 32
_PREFIX = len(MARK) + 6
_MOST_TEXT = 128
_MOST_DAYS = 3650
_NOTED_S = 60.0
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class KeyShown:
    """A key as others may see it. `prefix` are its first signs, to recognise it by."""

    name: str
    prefix: str
    role: Role
    made: datetime
    made_by: str
    expires: datetime | None
    used: datetime | None
    revoked: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now: `text` can be told this once."""

    shown: KeyShown
    text: str = field(repr=False)


class Keyring:
    """The API keys of a site."""

    def __init__(self, store: Store, clock: Clock, trail: Trail) -> None:
        self._store, self._clock, self._trail = store, clock, trail

    def add(self, name: str, role: Role, by: Actor, days: float | None = None) -> NewKey:
        """Make a key, which opens nothing any more after `days` where they are given. Raises InputError."""
        name, now = name_of(name), seconds(self._clock)
        if days is not None and not 0 < days <= _MOST_DAYS:
            raise InputError(f"a key cannot last {days:g} days", f"take more than 0 and at most {_MOST_DAYS}")
        text = MARK + secrets.token_urlsafe(_KEY_BYTES)
        expires = None if days is None else now + days * _DAY_S
        with self._store.transaction() as own:
            if own.execute("SELECT 1 FROM api_key WHERE name = ? AND revoked IS NULL", (name,)).fetchone():
                raise InputError(f"there is a key {name} already", "revoke it first, or take another name")
            row = (name, text[:_PREFIX], digest_of(text), str(role), now, by.who, expires)
            own.execute(
                "INSERT INTO api_key (name, prefix, digest, role, made, made_by, expires) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            until = "" if expires is None else f" until {moment(expires):%Y-%m-%d %H:%M} UTC"
            self._trail.note(by, "key add", f"key:{name}", f"done: {role}{until}", connection=own)
        shown = KeyShown(
            name,
            text[:_PREFIX],
            role,
            moment(now),
            by.who,
            None if expires is None else moment(expires),
            None,
            None,
        )
        return NewKey(shown, text)

    def revoke(self, name: str, by: Actor) -> None:
        """Let a key open nothing any more, from its next call on. Raises UnknownName."""
        name = name_of(name)
        with self._store.transaction() as own:
            changed = own.execute(
                "UPDATE api_key SET revoked = ? WHERE name = ? AND revoked IS NULL", (seconds(self._clock), name)
            )
            if not changed.rowcount:
                raise UnknownName(f"there is no key {name!r} that opens anything", "see: isthmus key list")
            self._trail.note(by, "key revoke", f"key:{name}", connection=own)

    def listed(self, after: int = 0, most: int = 1000) -> list[tuple[int, KeyShown]]:
        """List keys with their numbers, in the order in which they were made, revoked ones too."""
        rows = self._store.rows("SELECT * FROM api_key WHERE number > ? ORDER BY number LIMIT ?", (after, most))
        return [(row["number"], _shown(row)) for row in rows]

    def person(self, text: str) -> Person | None:
        """Return who a key stands for; None where it opens nothing.

        What is looked up is a digest: its time tells nothing of the key.
        """
        if not text.startswith(MARK) or len(text) > _MOST_TEXT:
            return None
        digest, now = digest_of(text), seconds(self._clock)
        rows = self._store.rows("SELECT * FROM api_key WHERE digest = ? AND revoked IS NULL", (digest,))
        if not rows or not hmac.compare_digest(rows[0]["digest"], digest):
            return None
        row = rows[0]
        if row["expires"] is not None and now >= row["expires"]:
            return None
        if row["used"] is None or now - row["used"] >= _NOTED_S:
            with self._store.transaction() as own:
                own.execute("UPDATE api_key SET used = ? WHERE number = ?", (now, row["number"]))
        return Person(row["name"], Role.of(row["role"]), "key")

    def opening(self) -> int:
        """Count the keys that open something now."""
        sql = "SELECT count(*) FROM api_key WHERE revoked IS NULL AND (expires IS NULL OR expires > ?)"
        return int(self._store.rows(sql, (seconds(self._clock),))[0][0])


def digest_of(text: str) -> str:
    """Return what is stored of a key's or a session's text: both are random, so a plain hash is enough."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _shown(row: sqlite3.Row) -> KeyShown:
    times = (None if row[name] is None else moment(row[name]) for name in ("expires", "used", "revoked"))
    return KeyShown(row["name"], row["prefix"], Role.of(row["role"]), moment(row["made"]), row["made_by"], *times)
